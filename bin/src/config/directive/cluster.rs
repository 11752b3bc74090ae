//! `cluster`: a named set of interchangeable endpoints.

use super::super::address::{Resolve, parse_endpoint};
use super::super::diagnose::{Problem, Report, Span};
use super::super::node::Node;
use super::super::spec::{Arguments, Directive, Property, Spec, visit_all};
use super::super::{Draft, Mention};
use ringway_engine::settings::{Cluster, Endpoint, ProxyVersion};
use ringway_engine::upstream::balance::ALGORITHMS;
use std::time::Duration;

pub(super) static CLUSTER: Directive<Draft> = Directive {
    spec: Spec {
        name: "cluster",
        arguments: Arguments::One("NAME"),
        repeats: true,
        help: "A named set of interchangeable endpoints, to which routes send requests.",
        keys: |visit| visit_all(KEYS, visit),
        later: &["tls", "health"],
        ..Spec::EMPTY
    },
    apply,
};

static KEYS: &[&Directive<ClusterDraft>] =
    &[&ENDPOINT, &BALANCE, &PROTOCOL, &TIMEOUT, &KEEPALIVE, &RETRY, &SEND_PROXY];

/// A cluster that is being read.
struct ClusterDraft {
    cluster: Cluster,
    resolve: Resolve,
    /// Endpoints as written, to find those given twice. What a name resolves to is not the file's mistake.
    written: Vec<(String, Span)>,
}

fn apply(node: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let name = node.parse(report, parse_name).unwrap_or_default();
    let mut cluster = ClusterDraft {
        cluster: Cluster::new(name.as_str(), Vec::new()),
        resolve: draft.resolve,
        written: Vec::new(),
    };
    node.block(KEYS, &mut cluster, report);
    if cluster.written.is_empty() {
        let error = report.error(node.span(), format!("cluster \"{name}\" has no endpoint"));
        error.help("add `endpoint \"host:port\"`");
    }
    if let (false, Some(value)) = (name.is_empty(), node.argument()) {
        draft.clusters.push(Mention { name, span: value.span });
    }
    draft.config.settings.clusters.push(cluster.cluster);
}

static ENDPOINT: Directive<ClusterDraft> = Directive {
    spec: Spec {
        name: "endpoint",
        arguments: Arguments::One("ADDRESS"),
        repeats: true,
        help: "A member: \"host:port\", an IP address and port, or \"unix:PATH\". A name is resolved when the \
               process starts, and each of its addresses becomes an endpoint.",
        properties: &[Property {
            name: "weight",
            value: "NUMBER",
            help: "Its share of the requests relative to the other endpoints. Default: 1.",
        }],
        ..Spec::EMPTY
    },
    apply: apply_endpoint,
};

fn apply_endpoint(node: &Node<'_>, draft: &mut ClusterDraft, report: &mut Report) {
    let weight = node.property("weight").and_then(|value| value.number(1..=WEIGHT_MAX, report)).unwrap_or(1);
    let Some(value) = node.argument() else {
        draft.written.push((String::new(), node.span()));
        return;
    };
    let written = value.text(report).unwrap_or_default().to_ascii_lowercase();
    if let Some((_, earlier)) =
        draft.written.iter().find(|(earlier, _)| !written.is_empty() && *earlier == written)
    {
        report
            .error(value.span.clone(), format!("endpoint {written} is given twice"))
            .earlier(earlier.clone());
    }
    let is_text = !written.is_empty();
    draft.written.push((written, value.span.clone()));
    let resolve = draft.resolve;
    if let Some(addresses) =
        is_text.then(|| value.parse(report, |text| parse_endpoint(text, resolve))).flatten()
    {
        draft.cluster.endpoints.extend(addresses.into_iter().map(|address| Endpoint { address, weight }));
    }
}

static BALANCE: Directive<ClusterDraft> = Directive {
    spec: Spec::one(
        "balance",
        "ALGORITHM",
        "How endpoints are chosen: \"round-robin\", in turn by weight, is the one of this version.",
    ),
    apply: |node, draft, report| {
        let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        let balance = node.parse(report, |text| parse_choice(text, &known, LATER_BALANCES));
        draft.cluster.balance = balance.unwrap_or_else(|| std::mem::take(&mut draft.cluster.balance));
    },
};

static PROTOCOL: Directive<ClusterDraft> = Directive {
    spec: Spec::one(
        "protocol",
        "PROTOCOL",
        "What is spoken with the endpoints: \"http/1.1\" is the one of this version.",
    ),
    apply: |node, _, report| {
        node.parse(report, |text| parse_choice(text, &["http/1.1"], &["h2", "h2c", "auto"]));
    },
};

static TIMEOUT: Directive<ClusterDraft> = Directive {
    spec: Spec {
        name: "timeout",
        help: "How long to wait for endpoints.",
        properties: &[
            Property { name: "connect", value: "TIME", help: "Until a connection stands. Default: \"2s\"." },
            Property {
                name: "first-byte",
                value: "TIME",
                help: "From the end of the request to the first byte of the answer. Default: \"30s\".",
            },
            Property {
                name: "between-bytes",
                value: "TIME",
                help: "Between two pieces of a response. Default: \"60s\".",
            },
        ],
        ..Spec::EMPTY
    },
    apply: |node, draft, report| {
        let timeouts = &mut draft.cluster.timeouts;
        let mut set = |name, target: &mut Duration| {
            let time = node.property(name).and_then(|value| value.time(Duration::from_millis(1), report));
            *target = time.unwrap_or(*target);
        };
        set("connect", &mut timeouts.connect);
        set("first-byte", &mut timeouts.first_byte);
        set("between-bytes", &mut timeouts.between_bytes);
    },
};

static KEEPALIVE: Directive<ClusterDraft> = Directive {
    spec: Spec {
        name: "keepalive",
        help: "What happens to connections between requests.",
        properties: &[
            Property {
                name: "max-idle",
                value: "NUMBER",
                help: "Idle connections kept for each endpoint and shard; 0 closes each after its request. \
                       Default: 128.",
            },
            Property { name: "for", value: "TIME", help: "How long one may stay idle. Default: \"60s\"." },
        ],
        ..Spec::EMPTY
    },
    apply: |node, draft, report| {
        let keepalive = &mut draft.cluster.keepalive;
        let idle_max = node.property("max-idle").and_then(|value| value.number(0..=IDLE_MAX, report));
        keepalive.idle_max = idle_max.unwrap_or(keepalive.idle_max);
        let idle_timeout =
            node.property("for").and_then(|value| value.time(Duration::from_millis(1), report));
        keepalive.idle_timeout = idle_timeout.unwrap_or(keepalive.idle_timeout);
    },
};

static RETRY: Directive<ClusterDraft> = Directive {
    spec: Spec {
        name: "retry",
        help: "What happens when an endpoint fails before it answers.",
        properties: &[Property {
            name: "max",
            value: "NUMBER",
            help: "Further attempts after the first, of requests that are safe to repeat. Default: 2.",
        }],
        ..Spec::EMPTY
    },
    apply: |node, draft, report| {
        let retries = node.property("max").and_then(|value| value.number(0..=RETRIES_MAX, report));
        draft.cluster.retries_max = retries.unwrap_or(draft.cluster.retries_max);
    },
};

static SEND_PROXY: Directive<ClusterDraft> = Directive {
    spec: Spec::one(
        "send-proxy",
        "VERSION",
        "Begins every connection with a PROXY header that names the client: \"v1\" or \"v2\". Such a connection is \
         used for one client connection only, and closed with it. Default: none.",
    ),
    apply: |node, draft, report| draft.cluster.send_proxy = node.parse(report, parse_version),
};

fn parse_version(text: &str) -> Result<ProxyVersion, Problem> {
    match text {
        "v1" => Ok(ProxyVersion::V1),
        "v2" => Ok(ProxyVersion::V2),
        _ => Err(Problem::new(format!("`{text}` is not known here")).with_help("write \"v1\" or \"v2\"")),
    }
}

/// Names go into logs and metrics as they are.
fn parse_name(text: &str) -> Result<String, Problem> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_name_byte) {
        true => Ok(text.to_owned()),
        false => Err(Problem::new("a name has 1 to 64 letters, digits, `-`, `_` and `.`")),
    }
}

/// A value of a list, which gets longer.
fn parse_choice(text: &str, known: &[&str], later: &[&str]) -> Result<String, Problem> {
    match text {
        _ if known.contains(&text) => Ok(text.to_owned()),
        _ if later.contains(&text) => Err(Problem::new(format!("`{text}` is not available in this version"))),
        _ => Err(Problem::new(format!("`{text}` is not known here"))
            .with_help(format!("write \"{}\"", known.join("\" or \"")))),
    }
}

const LATER_BALANCES: &[&str] = &["least-request", "p2c", "ewma", "random", "ketama"];
const WEIGHT_MAX: u32 = 1000;
const IDLE_MAX: usize = 100_000;
const RETRIES_MAX: u32 = 100;
