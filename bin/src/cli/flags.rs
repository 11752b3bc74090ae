//! Every flag, and the arguments that flags make.

use super::Flag;
use crate::config::address::{parse_listen, parse_socket_path};
use crate::config::diagnose::Problem;
use crate::config::directive::{WORKERS_MAX, parse_format};
use ringway_engine::settings::{AccessLog, Address, LogTarget};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What was typed, checked one by one but not against each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Args {
    /// Where to listen.
    pub(crate) listen: Vec<Address>,
    /// How many shards.
    pub(crate) workers: Option<usize>,
    /// The access log.
    pub(crate) access_log: Option<AccessLog>,
    /// The control socket.
    pub(crate) control: Option<PathBuf>,
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// Whether answers are for machines.
    pub(crate) json: bool,
    /// What is no flag.
    pub(crate) operands: Vec<OsString>,
}

pub(crate) static LISTEN: Flag = Flag {
    long: "listen",
    short: None,
    value: Some("ADDR"),
    words: &[],
    repeats: true,
    help: "Accept HTTP here: an IP address and port, or unix:PATH. Port 0 asks the kernel for one. May be given \
           several times. Default: 127.0.0.1:8080.",
    apply: |args, value| {
        args.listen.push(parse_listen(text(value)?)?);
        Ok(())
    },
};

pub(crate) static WORKERS: Flag = Flag {
    long: "workers",
    short: None,
    value: Some("N"),
    words: &[],
    repeats: false,
    help: "How many shards serve. Default: one for each core that this process may use.",
    apply: |args, value| {
        let workers = text(value)?.parse().ok().filter(|workers| (1..=WORKERS_MAX).contains(workers));
        let refusal = || Problem::new(format!("a number from 1 to {WORKERS_MAX} is expected"));
        args.workers = Some(workers.ok_or_else(refusal)?);
        Ok(())
    },
};

pub(crate) static ACCESS_LOG: Flag = Flag {
    long: "access-log",
    short: None,
    value: Some("FORMAT"),
    words: &["json", "combined", "off"],
    repeats: false,
    help: "Write one line for each request to standard output: json, combined or off. Default: off.",
    apply: |args, value| {
        args.access_log = Some(match text(value)? {
            "off" => AccessLog::default(),
            format => AccessLog { target: LogTarget::Stdout, format: parse_format(format)? },
        });
        Ok(())
    },
};

pub(crate) static CONTROL: Flag = Flag {
    long: "control",
    short: None,
    value: Some("SOCK"),
    words: &[],
    repeats: false,
    help: "The control socket of the process. Default: what the configuration says, else /run/ringway.sock for \
           root and $XDG_RUNTIME_DIR/ringway.sock for others; none for `ringway proxy` and the demo.",
    apply: |args, value| {
        args.control = Some(parse_socket_path(text(value)?)?);
        Ok(())
    },
};

pub(crate) static CONFIG: Flag = Flag {
    long: "config",
    short: Some('c'),
    value: Some("FILE"),
    words: &[],
    repeats: false,
    help: "The configuration. Default: ringway.kdl.",
    apply: |args, value| {
        args.config = Some(PathBuf::from(value));
        Ok(())
    },
};

pub(crate) static JSON: Flag = Flag {
    long: "json",
    short: None,
    value: None,
    words: &[],
    repeats: false,
    help: "Answer in JSON.",
    apply: |args, _| {
        args.json = true;
        Ok(())
    },
};

/// A word that has to be text.
pub(crate) fn text(value: &OsStr) -> Result<&str, Problem> {
    value.to_str().ok_or_else(|| Problem::new(format!("`{}` is not UTF-8", value.to_string_lossy())))
}
