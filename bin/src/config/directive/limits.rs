//! `limits`: bounds on what peers may make us hold or wait for.

use super::super::Draft;
use super::super::diagnose::Report;
use super::super::node::Node;
use super::super::spec::{Directive, Spec, visit_all};
use ringway_engine::settings::Limits;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) static LIMITS: Directive<Draft> = Directive {
    spec: Spec {
        name: "limits",
        help: "Bounds on what peers may make us hold or wait for. Every default is safe against known attacks.",
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply: |node, draft, report| node.block(KEYS, &mut draft.config.settings.limits, report),
};

static KEYS: &[&Directive<Limits>] = &[
    &HEADER_TIMEOUT,
    &REQUEST_HEAD,
    &RESPONSE_HEAD,
    &FIELDS,
    &TARGET,
    &BODY_IDLE,
    &REQUEST_BODY,
    &KEEPALIVE_IDLE,
    &KEEPALIVE_REQUESTS,
    &WRITE_IDLE,
    &TUNNEL_IDLE,
    &LINGER,
    &REQUEST_TIMEOUT,
    &CONNECTIONS,
    &REPLAY,
    &EXPECT_TIMEOUT,
];

static HEADER_TIMEOUT: Directive<Limits> = Directive {
    spec: Spec::one(
        "header-timeout",
        "TIME",
        "From the start of a connection, or the first byte of a further request, to the end of the request's head. \
         Default: \"10s\".",
    ),
    apply: |node, limits, report| node.set_time(TICK, &mut limits.header_timeout, report),
};

static REQUEST_HEAD: Directive<Limits> = Directive {
    spec: Spec::one(
        "request-head",
        "SIZE",
        "Bytes of a request head; more is answered 431. Default: \"64KiB\".",
    ),
    apply: |node, limits, report| set_size(node, HEAD_BYTES, &mut limits.request_head_bytes, report),
};

static RESPONSE_HEAD: Directive<Limits> = Directive {
    spec: Spec::one(
        "response-head",
        "SIZE",
        "Bytes of a response head; more is answered 502. Default: \"64KiB\".",
    ),
    apply: |node, limits, report| set_size(node, HEAD_BYTES, &mut limits.response_head_bytes, report),
};

static FIELDS: Directive<Limits> = Directive {
    spec: Spec::one("fields", "NUMBER", "Fields of one head. Default: 128."),
    apply: |node, limits, report| set_number(node, 1..=10_000, &mut limits.fields_max, report),
};

static TARGET: Directive<Limits> = Directive {
    spec: Spec::one(
        "target",
        "SIZE",
        "Bytes of the request target; more is answered 414. Default: \"16KiB\".",
    ),
    apply: |node, limits, report| set_size(node, HEAD_BYTES, &mut limits.target_bytes, report),
};

static BODY_IDLE: Directive<Limits> = Directive {
    spec: Spec::one("body-idle", "TIME", "Between two pieces of a request body. Default: \"60s\"."),
    apply: |node, limits, report| node.set_time(TICK, &mut limits.body_idle, report),
};

static REQUEST_BODY: Directive<Limits> = Directive {
    spec: Spec::one(
        "request-body",
        "SIZE",
        "Bytes of a request body; more is answered 413. Default: no bound.",
    ),
    apply: |node, limits, report| {
        limits.request_body_bytes = node.argument().and_then(|value| value.size(0..=u64::MAX, report));
    },
};

static KEEPALIVE_IDLE: Directive<Limits> = Directive {
    spec: Spec::one("keepalive-idle", "TIME", "A client connection between requests. Default: \"75s\"."),
    apply: |node, limits, report| node.set_time(TICK, &mut limits.keepalive_idle, report),
};

static KEEPALIVE_REQUESTS: Directive<Limits> = Directive {
    spec: Spec::one(
        "keepalive-requests",
        "NUMBER",
        "Requests on one client connection, after which it is closed. Default: 1000000.",
    ),
    apply: |node, limits, report| set_number(node, 1..=u64::MAX, &mut limits.keepalive_requests, report),
};

static WRITE_IDLE: Directive<Limits> = Directive {
    spec: Spec::one("write-idle", "TIME", "A send in which no byte moves. Default: \"60s\"."),
    apply: |node, limits, report| node.set_time(TICK, &mut limits.write_idle, report),
};

static TUNNEL_IDLE: Directive<Limits> = Directive {
    spec: Spec::one("tunnel-idle", "TIME", "A tunnel in which no byte moves. Default: \"1h\"."),
    apply: |node, limits, report| node.set_time(TICK, &mut limits.tunnel_idle, report),
};

static LINGER: Directive<Limits> = Directive {
    spec: Spec::one(
        "linger",
        "TIME",
        "How long a connection that we end, or the rest of a request that was answered early, is still \
         read, so that the client sees the answer. Default: \"5s\".",
    ),
    apply: |node, limits, report| node.set_time(Duration::ZERO, &mut limits.linger, report),
};

static REQUEST_TIMEOUT: Directive<Limits> = Directive {
    spec: Spec::one(
        "request-timeout",
        "TIME",
        "From the first byte of a request to the last of its response. Default: no bound.",
    ),
    apply: |node, limits, report| {
        limits.request_timeout = node.argument().and_then(|value| value.time(TICK, report));
    },
};

static CONNECTIONS: Directive<Limits> = Directive {
    spec: Spec::one("connections", "NUMBER", "Client connections of the whole process. Default: 100000."),
    apply: |node, limits, report| set_number(node, 1..=CONNECTIONS_MAX, &mut limits.connections, report),
};

static REPLAY: Directive<Limits> = Directive {
    spec: Spec::one(
        "replay",
        "SIZE",
        "How much of a request body is kept, so that the request can be sent again on another connection. \
         Default: \"64KiB\".",
    ),
    apply: |node, limits, report| set_size(node, 0..=16 << 20, &mut limits.replay_bytes, report),
};

static EXPECT_TIMEOUT: Directive<Limits> = Directive {
    spec: Spec::one(
        "expect-timeout",
        "TIME",
        "How long the endpoint's answer to `Expect: 100-continue` is waited for before we answer 100 ourselves. \
         Default: \"1s\".",
    ),
    apply: |node, limits, report| node.set_time(Duration::ZERO, &mut limits.expect_timeout, report),
};

fn set_size(node: &Node<'_>, range: RangeInclusive<u64>, target: &mut usize, report: &mut Report) {
    let size = node.argument().and_then(|value| value.size(range, report));
    if let Some(size) = size.and_then(|size| usize::try_from(size).ok()) {
        *target = size;
    }
}

fn set_number<T>(node: &Node<'_>, range: RangeInclusive<T>, target: &mut T, report: &mut Report)
where
    T: TryFrom<i128> + PartialOrd + std::fmt::Display,
{
    if let Some(number) = node.argument().and_then(|value| value.number(range, report)) {
        *target = number;
    }
}

/// Zero would end every request before it starts.
const TICK: Duration = Duration::from_millis(1);
/// A head is held whole.
const HEAD_BYTES: RangeInclusive<u64> = 64..=1 << 20;
const CONNECTIONS_MAX: usize = 10_000_000;
