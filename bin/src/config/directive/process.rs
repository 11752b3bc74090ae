//! `workers`, `control`, `drain-timeout`: the process as a whole.

use super::super::address::parse_socket_path;
use super::super::spec::{Directive, Spec};
use super::super::{Control, Draft};
use std::time::Duration;

pub(super) static WORKERS: Directive<Draft> = Directive {
    spec: Spec::one(
        "workers",
        "NUMBER",
        "How many shards serve, each with its own thread and event loop. Default: one for each core that this \
         process may use, with the quota of its cgroup rounded up.",
    ),
    apply: |node, draft, report| {
        draft.config.settings.workers =
            node.argument().and_then(|value| value.number(1..=WORKERS_MAX, report));
    },
};

pub(super) static CONTROL: Directive<Draft> = Directive {
    spec: Spec::one(
        "control",
        "PATH",
        "The socket that `ringway status` and `ringway stop` talk to; \"off\" for none. Default: /run/ringway.sock \
         for root, else $XDG_RUNTIME_DIR/ringway.sock.",
    ),
    apply: |node, draft, report| {
        let control = node.parse(report, |text| match text {
            "off" => Ok(Control::Off),
            path => parse_socket_path(path).map(Control::At),
        });
        draft.config.control = control.unwrap_or(Control::Default);
    },
};

pub(super) static DRAIN_TIMEOUT: Directive<Draft> = Directive {
    spec: Spec::one(
        "drain-timeout",
        "TIME",
        "How long running exchanges may take after a graceful stop was asked for. Default: \"30s\".",
    ),
    apply: |node, draft, report| {
        node.set_time(Duration::ZERO, &mut draft.config.settings.drain_timeout, report)
    },
};

/// More threads than any machine has cores were not meant.
pub(crate) const WORKERS_MAX: usize = 1024;
