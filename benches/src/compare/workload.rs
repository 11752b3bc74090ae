//! What is measured: the request workloads, and what each ratio should come to.

use super::contender::Contender;

/// A closed-loop load of equal GET requests.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) path: &'static str,
    pub(super) body_bytes: u64,
    pub(super) connections: usize,
    /// The client closes after each response; upstream connections stay.
    pub(super) close: bool,
    pub(super) contenders: &'static [Contender],
}

use Contender::{BareRelay, Haproxy, HaproxyTuned, Nginx, Ringway, RingwayTwoWorkers};

const SMALL: &[Contender] = &[Ringway, BareRelay, Haproxy, Nginx];
const LARGE: &[Contender] = &[Ringway, BareRelay, Haproxy, HaproxyTuned, Nginx];

/// In the order they run.
pub(super) const WORKLOADS: [Workload; 7] = [
    Workload {
        name: "get-1b",
        title: "keep-alive GET, 1 B, 64 connections",
        path: "/1",
        body_bytes: 1,
        connections: 64,
        close: false,
        contenders: SMALL,
    },
    Workload {
        name: "get-1k",
        title: "keep-alive GET, 1 KiB, 64 connections",
        path: "/1k",
        body_bytes: 1 << 10,
        connections: 64,
        close: false,
        contenders: SMALL,
    },
    Workload {
        name: "get-64k",
        title: "keep-alive GET, 64 KiB, 64 connections",
        path: "/64k",
        body_bytes: 64 << 10,
        connections: 64,
        close: false,
        contenders: LARGE,
    },
    Workload {
        name: "get-1m-16",
        title: "keep-alive GET, 1 MiB, 16 connections",
        path: "/1m",
        body_bytes: 1 << 20,
        connections: 16,
        close: false,
        contenders: LARGE,
    },
    Workload {
        name: "get-1m-64",
        title: "keep-alive GET, 1 MiB, 64 connections",
        path: "/1m",
        body_bytes: 1 << 20,
        connections: 64,
        close: false,
        contenders: LARGE,
    },
    Workload {
        name: "new-connection",
        title: "new connection per request, 1 B, 64 at a time",
        path: "/1",
        body_bytes: 1,
        connections: 64,
        close: true,
        // The bare relay forwards `Connection: close`: it would pay for new connections on both sides.
        contenders: &[Ringway, Haproxy, Nginx],
    },
    Workload {
        name: "two-workers",
        title: "two workers (cores 0 and 1) against one, keep-alive GET, 1 B, 64 connections",
        path: "/1",
        body_bytes: 1,
        connections: 64,
        close: false,
        contenders: &[Ringway, RingwayTwoWorkers],
    },
];

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// Everything core 0 did, kernel and interrupts included.
    Core,
    /// User and system time of the process, wherever it ran.
    Process,
}

/// A ratio that we promise: `contender` against `reference`, at most `limit`.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) workload: &'static str,
    pub(super) contender: Contender,
    pub(super) reference: Contender,
    pub(super) cost: Cost,
    pub(super) limit: f64,
}

/// What ringway promises about requests.
pub(super) const TARGETS: [Target; 9] = [
    target("get-1b", Haproxy, 0.95),
    target("get-1b", BareRelay, 1.2),
    target("get-1k", Haproxy, 0.95),
    target("get-1k", BareRelay, 1.2),
    target("get-64k", Haproxy, 0.85),
    target("get-1m-16", Haproxy, 0.9),
    target("get-1m-64", Haproxy, 0.9),
    target("new-connection", Haproxy, 1.0),
    Target {
        workload: "two-workers",
        contender: RingwayTwoWorkers,
        reference: Ringway,
        cost: Cost::Process,
        limit: 1.05,
    },
];

/// And about connections.
pub(super) const IDLE_BYTES_MAX: f64 = 2048.0;
pub(super) const DRIBBLE_BYTES_MAX: f64 = 65_536.0;

const fn target(workload: &'static str, reference: Contender, limit: f64) -> Target {
    Target { workload, contender: Ringway, reference, cost: Cost::Core, limit }
}
