//! `ringway proxy`: a reverse proxy without a file.

use super::Failure;
use crate::cli::flags::{self, Args};
use crate::cli::{Command, Operands};
use crate::config::address::{Resolve, parse_upstream, resolve_by_system};
use crate::config::diagnose::Problem;
use crate::{logging, serve};
use log::LevelFilter;
use ringway_engine::settings::{Address, Listener, Settings};
use std::process::ExitCode;

pub(crate) static COMMAND: Command = Command {
    name: "proxy",
    operands: Operands::Many("UPSTREAM"),
    summary: "A reverse proxy without a file: every request goes to one of the upstreams in turn.",
    help: "UPSTREAM is host:port, http://host[:port] or unix:PATH. Names are resolved at the start, and each address \
           becomes an endpoint. Prints `listening on ADDRESS (http)` once it accepts.",
    flags: &[&flags::LISTEN, &flags::WORKERS, &flags::ACCESS_LOG, &flags::CONTROL],
    later: &["tls-cert", "tls-key"],
    run,
};

fn run(args: Args) -> Result<ExitCode, Failure> {
    logging::start(LevelFilter::Info);
    let settings = settings_of(&args, resolve_by_system)?;
    serve::serve(&serve::start(settings)?, |_| {})
}

fn settings_of(args: &Args, resolve: Resolve) -> Result<Settings, Failure> {
    let mut endpoints: Vec<Address> = Vec::new();
    for operand in &args.operands {
        for address in parse_upstream(flags::text(operand)?, resolve)? {
            if endpoints.contains(&address) {
                return Err(Problem::new(format!("upstream {address} is given twice")).into());
            }
            endpoints.push(address);
        }
    }
    reverse_proxy(args, endpoints)
}

/// A proxy to `endpoints` that listens and logs as `args` say.
pub(super) fn reverse_proxy(args: &Args, endpoints: Vec<Address>) -> Result<Settings, Failure> {
    let listens = match &args.listen[..] {
        [] => vec![Address::Tcp(([127, 0, 0, 1], 8080).into())],
        listens => listens.to_vec(),
    };
    for (index, address) in listens.iter().enumerate() {
        let asks_for_port = matches!(address, Address::Tcp(address) if address.port() == 0);
        if !asks_for_port && listens[..index].contains(address) {
            return Err(Problem::new(format!("--listen {address} is given twice")).into());
        }
    }
    let mut settings = Settings::reverse_proxy(listens[0].clone(), endpoints);
    settings.listeners = listens.into_iter().map(Listener::new).collect();
    settings.workers = args.workers;
    settings.access_log = args.access_log.clone().unwrap_or_default();
    settings.control = args.control.clone();
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::tests::resolve_for_tests;
    use ringway_engine::settings::{LogFormat, LogTarget};

    fn settings(words: &[&str]) -> Result<Settings, String> {
        let words = ["proxy"].iter().chain(words).map(std::ffi::OsString::from);
        match crate::cli::parse(words).map_err(|problem| problem.to_string())? {
            crate::cli::Request::Run(_, args) => {
                settings_of(&args, resolve_for_tests).map_err(|failure| failure.to_string())
            }
            _ => panic!("a command"),
        }
    }

    #[test]
    fn every_upstream_is_an_endpoint_of_one_cluster() {
        let settings = settings(&["http://origin.test", "unix:/a", "[::1]:9"]).unwrap();
        let endpoints: Vec<String> =
            settings.clusters[0].endpoints.iter().map(|e| e.address.to_string()).collect();
        assert_eq!(endpoints, ["127.0.0.1:80", "unix:/a", "[::1]:9"]);
        assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8080");
        assert_eq!((settings.workers, settings.control.clone()), (None, None));
        assert_eq!(settings.access_log.target, LogTarget::Off);
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn flags_say_where_and_how() {
        let words =
            ["--listen", "127.0.0.1:0", "--listen=127.0.0.1:0", "--listen", "unix:/b", "--workers", "3"];
        let more = ["--access-log", "combined", "--control", "/c", "origin.test:1"];
        let settings = settings(&[&words[..], &more[..]].concat()).unwrap();
        assert_eq!(settings.listeners.len(), 3);
        assert_eq!((settings.workers, settings.control), (Some(3), Some("/c".into())));
        assert_eq!(settings.access_log.target, LogTarget::Stdout);
        assert_eq!(settings.access_log.format, LogFormat::Combined);
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        for (words, expected) in [
            (&["https://origin.test"][..], "TLS to upstreams is not available in this version"),
            (&["127.0.0.1:1", "127.0.0.1:1"], "upstream 127.0.0.1:1 is given twice"),
            (&["gone.test:1"], "cannot resolve `gone.test`"),
            (
                &["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1", "unix:/a"],
                "--listen 127.0.0.1:1 is given twice",
            ),
            (&["--tls-cert", "a", "unix:/a"], "not available in this version"),
            (&[], "`proxy` needs UPSTREAM"),
        ] {
            let error = settings(words).unwrap_err();
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        }
    }
}
