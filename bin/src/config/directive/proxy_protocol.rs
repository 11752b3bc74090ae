//! `proxy-protocol`, of every listener: whose connections begin with a PROXY header.

use super::super::diagnose::{Problem, Report};
use super::super::node::Node;
use super::super::spec::{Directive, Property, Spec};
use super::forwarding::parse_range;
use ringway_engine::settings::{Others, ProxyProtocol};

/// What is read of a listener that may stand behind proxies.
pub(super) trait Behind {
    /// Those proxies.
    fn proxies(&mut self) -> &mut Option<ProxyProtocol>;
}

impl Behind for Option<ProxyProtocol> {
    fn proxies(&mut self) -> &mut Self {
        self
    }
}

pub(super) const fn proxy_protocol<P: Behind>() -> Directive<P> {
    Directive {
        spec: Spec {
            name: "proxy-protocol",
            repeats: true,
            help: "Connections from these peers begin with a PROXY header, version 1 or 2, in which the proxy in front \
                   says who its client is; that address counts as the client's in everything that follows. A header \
                   that is missing, malformed or not there within `header-timeout` closes the connection. May stand \
                   several times.",
            properties: &[
                Property {
                    name: "from",
                    value: "NETWORK",
                    help: "The proxies, as an address or a range like \"10.0.0.0/8\", or \"unix\" for those on a Unix \
                           socket.",
                },
                Property {
                    name: "others",
                    value: "WHAT",
                    help: "What becomes of connections from elsewhere: \"serve\", as a client's own, in which a PROXY \
                           header is bytes like others, or \"refuse\". Default: \"serve\".",
                },
            ],
            ..Spec::EMPTY
        },
        apply: |node, target, report| apply(node, target.proxies(), report),
    }
}

fn apply(node: &Node<'_>, proxies: &mut Option<ProxyProtocol>, report: &mut Report) {
    let proxies = proxies.get_or_insert_default();
    if let Some(value) = node.property("others") {
        proxies.others = value.parse(report, parse_others).unwrap_or_default();
    }
    let Some(from) = node.property("from") else {
        let error = report.error(node.span(), "nobody is named whose headers are believed");
        error.help("add `from=\"10.0.0.0/8\"`");
        return;
    };
    if from.is_text("unix") {
        proxies.from_unix = true;
    } else if let Some(range) = from.parse(report, parse_range) {
        if proxies.from.contains(&range) {
            report.error(from.span, "this range is given twice");
        } else {
            proxies.from.push(range);
        }
    }
}

fn parse_others(text: &str) -> Result<Others, Problem> {
    match text {
        "serve" => Ok(Others::Serve),
        "refuse" => Ok(Others::Refuse),
        _ => {
            Err(Problem::new(format!("`{text}` is not known here"))
                .with_help("write \"serve\" or \"refuse\""))
        }
    }
}
