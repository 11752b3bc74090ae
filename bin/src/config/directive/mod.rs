//! Every key of the configuration: one file a block, registered in [`ALL`] or in its parent block.

mod cluster;
mod fields;
mod filters;
mod forwarding;
mod limits;
mod listen;
mod log;
mod process;
mod proxy_protocol;
mod route;
mod site;
mod tcp;

pub(crate) use log::parse_format;
pub(crate) use process::WORKERS_MAX;

use super::Draft;
use super::spec::{Directive, Spec, visit_all};

/// The keys at the top of a file, in the order of the manual.
pub(super) static ALL: &[&Directive<Draft>] = &[
    &process::WORKERS,
    &process::CONTROL,
    &process::DRAIN_TIMEOUT,
    &log::LOG,
    &listen::LISTEN,
    &cluster::CLUSTER,
    &site::SITE,
    &tcp::TCP,
    &limits::LIMITS,
    &forwarding::FORWARDING,
];

/// The file itself, as the block that holds the others.
pub(crate) static ROOT: Spec =
    Spec { keys: |visit| visit_all(ALL, visit), later: &["fips", "handoff-timeout"], ..Spec::EMPTY };
