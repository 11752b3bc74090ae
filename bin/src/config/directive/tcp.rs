//! `tcp`: raw connections that go to a cluster as they come, TLS by the name that it asks for.

use super::super::diagnose::{Problem, Report};
use super::super::node::Node;
use super::super::spec::{Arguments, Directive, Spec, visit_all};
use super::super::syntax::parse_host;
use super::super::{Draft, Mention};
use super::listen::{MODE, apply_address};
use super::proxy_protocol::{Behind, proxy_protocol};
use super::route::mention;
use ringway_engine::settings::{NameRoute, ProxyProtocol, TcpListener};

pub(super) static TCP: Directive<Draft> = Directive {
    spec: Spec {
        name: "tcp",
        arguments: Arguments::One("ADDRESS"),
        repeats: true,
        help: "Accepts raw TCP at this address (written as for `listen`) and relays it unread, or by the host that a \
               TLS client asks for.",
        properties: &[MODE],
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply,
};

static KEYS: &[&Directive<TcpDraft>] = &[&PROXY, &SNI, &PROXY_PROTOCOL];

static PROXY_PROTOCOL: Directive<TcpDraft> = proxy_protocol();

/// A listener that is being read.
#[derive(Default)]
struct TcpDraft {
    target: Option<Mention>,
    names: Vec<NameRoute>,
    /// Where each of the names stands.
    written: Vec<Mention>,
    /// What the names lead to.
    named: Vec<Mention>,
    /// Names that are there but wrong.
    is_faulty: bool,
    proxies: Option<ProxyProtocol>,
}

impl Behind for TcpDraft {
    fn proxies(&mut self) -> &mut Option<ProxyProtocol> {
        &mut self.proxies
    }
}

static PROXY: Directive<TcpDraft> = Directive {
    spec: Spec::one(
        "proxy",
        "CLUSTER",
        "Relays every connection to an endpoint of the cluster of this name, or, where there is `sni`, those that no \
         name sends elsewhere: other names, no name, and what is not TLS. Without it those are closed.",
    ),
    apply: |node, draft, report| draft.target = node.argument().and_then(|value| mention(&value, report)),
};

static SNI: Directive<TcpDraft> = Directive {
    spec: Spec {
        name: "sni",
        arguments: Arguments::Many("NAME"),
        repeats: true,
        help: "Where TLS connections go whose client asks for one of these names: \"example.com\", or \
               \"*.example.com\" for every name below it; an exact name goes before the longest `*.`. TLS is not \
               ended here: the endpoint gets every byte. A malformed ClientHello closes the connection, and so does \
               one that is not complete within `header-timeout`.",
        keys: |visit| visit_all(SNI_KEYS, visit),
        ..Spec::EMPTY
    },
    apply: apply_sni,
};

static SNI_KEYS: &[&Directive<Option<Mention>>] = &[&SNI_PROXY];

static SNI_PROXY: Directive<Option<Mention>> = Directive {
    spec: Spec::one("proxy", "CLUSTER", "The cluster to whose endpoints they are relayed."),
    apply: |node, target, report| *target = node.argument().and_then(|value| mention(&value, report)),
};

fn apply_sni(node: &Node<'_>, draft: &mut TcpDraft, report: &mut Report) {
    let mut target = None;
    node.block(SNI_KEYS, &mut target, report);
    let names: Vec<_> = node.arguments().map(|value| (value.parse(report, parse_name), value.span)).collect();
    let Some(target) = target else {
        draft.is_faulty = true;
        report.error(node.span(), "this name leads nowhere").help("add `{ proxy \"…\" }`");
        return;
    };
    for (name, span) in names {
        let Some(name) = name else {
            draft.is_faulty = true;
            continue;
        };
        if let Some(earlier) = draft.written.iter().find(|earlier| earlier.name == name) {
            let error = report.error(span.clone(), format!("name \"{name}\" is given twice"));
            error.earlier(earlier.span.clone());
        }
        draft.written.push(Mention { name: name.clone(), span });
        draft.names.push(NameRoute { pattern: name, cluster: target.name.clone() });
    }
    draft.named.push(target);
}

/// A host that a client can ask for: RFC 6066 permits no addresses.
fn parse_name(text: &str) -> Result<String, Problem> {
    let name = parse_host(text)?;
    if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(Problem::new(format!("`{text}`: TLS clients ask for names, not for addresses")));
    }
    Ok(name)
}

fn apply(node: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let listener = apply_address(node, draft, report);
    let mut tcp = TcpDraft::default();
    node.block(KEYS, &mut tcp, report);
    if tcp.target.is_none() && tcp.names.is_empty() && !tcp.is_faulty {
        report.error(node.span(), "this listener leads nowhere").help("add `{ proxy \"…\" }`");
        return;
    }
    let TcpDraft { target, names, named, proxies, .. } = tcp;
    if let Some((address, mode)) = listener {
        let cluster = target.as_ref().map(|target| target.name.clone());
        let listener = TcpListener::new(address, cluster);
        let listener = TcpListener { mode, names, proxy_protocol: proxies, ..listener };
        draft.config.settings.tcp.push(listener);
    }
    draft.proxied.extend(target);
    draft.proxied.extend(named);
}
