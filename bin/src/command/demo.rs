//! `ringway` alone: an origin of our own, a proxy in front of it, and what to try.

use super::Failure;
use super::proxy::reverse_proxy;
use crate::cli::flags::{self, Args};
use crate::cli::{Command, Operands};
use crate::demo::Origin;
use crate::serve::Bound;
use crate::{logging, serve};
use log::LevelFilter;
use ringway_engine::settings::Address;
use std::process::ExitCode;

pub(crate) static COMMAND: Command = Command {
    name: "",
    operands: Operands::None,
    summary: "The demo: an embedded origin, a proxy in front of it, and a banner that says what to try.",
    help: "",
    flags: &[&flags::LISTEN, &flags::WORKERS, &flags::ACCESS_LOG, &flags::CONTROL],
    later: &[],
    run,
};

fn run(args: Args) -> Result<ExitCode, Failure> {
    logging::start(LevelFilter::Info);
    let origin =
        Origin::start().map_err(|error| Failure::Run(format!("the demo's origin cannot start: {error}")))?;
    let settings = reverse_proxy(&args, vec![Address::Tcp(origin.address())])?;
    serve::serve(&serve::start(settings)?, |bound| {
        // A closed standard output is no reason to end a server.
        let _ = crate::print(&banner(&origin, bound));
    })
}

fn banner(origin: &Origin, bound: &[Bound]) -> String {
    let curl = match bound.first().map(|bound| &bound.address) {
        Some(Address::Unix(path)) => format!("curl --unix-socket {} http://demo", path.display()),
        Some(address) => format!("curl http://{address}"),
        None => String::new(),
    };
    let mut text =
        format!("\nringway {} in front of an origin of its own at {}. Try:\n\n", VERSION, origin.address());
    for (path, what) in crate::demo::PATHS {
        text.push_str(&format!("  {:50} # {what}\n", format!("{}{path}", insert_flags(&curl, path))));
    }
    text + "\nStop with Ctrl-C. Your own origin: `ringway proxy HOST:PORT`; everything else: `ringway --help`.\n\n"
}

/// `/slow` needs `-N`, or curl would keep the events to itself.
fn insert_flags(curl: &str, path: &str) -> String {
    if path == "/slow" { curl.replacen("curl", "curl -N", 1) } else { curl.to_owned() }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_has_a_command_for_every_path() {
        let origin = Origin::start().unwrap();
        let tcp = Bound { address: Address::Tcp(([127, 0, 0, 1], 8080).into()), scheme: "http" };
        let shown = banner(&origin, &[tcp]);
        assert!(shown.contains("curl http://127.0.0.1:8080/echo "), "{shown}");
        assert!(shown.contains("curl -N http://127.0.0.1:8080/slow "), "{shown}");
        let unix = Bound { address: Address::Unix("/a".into()), scheme: "http" };
        assert!(banner(&origin, &[unix]).contains("curl --unix-socket /a http://demo/time "));
    }
}
