//! `tcp`: raw connections that go to a cluster as they come.

use super::super::diagnose::Report;
use super::super::node::Node;
use super::super::spec::{Arguments, Directive, Spec, visit_all};
use super::super::{Draft, Mention};
use super::listen::{MODE, apply_address};
use super::route::mention;
use ringway_engine::settings::TcpListener;

pub(super) static TCP: Directive<Draft> = Directive {
    spec: Spec {
        name: "tcp",
        arguments: Arguments::One("ADDRESS"),
        repeats: true,
        help: "Accepts raw TCP at this address (written as for `listen`) and relays it unread.",
        properties: &[MODE],
        keys: |visit| visit_all(KEYS, visit),
        later: &["sni"],
    },
    apply,
};

static KEYS: &[&Directive<Option<Mention>>] = &[&PROXY];

static PROXY: Directive<Option<Mention>> = Directive {
    spec: Spec::one(
        "proxy",
        "CLUSTER",
        "Relays every connection to an endpoint of the cluster of this name.",
    ),
    apply: |node, target, report| *target = node.argument().and_then(|value| mention(&value, report)),
};

fn apply(node: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let listener = apply_address(node, draft, report);
    let mut target = None;
    node.block(KEYS, &mut target, report);
    let Some(target) = target else {
        report.error(node.span(), "this listener leads nowhere").help("add `{ proxy \"…\" }`");
        return;
    };
    if let Some((address, mode)) = listener {
        draft.config.settings.tcp.push(TcpListener { address, mode, cluster: Some(target.name.clone()) });
    }
    draft.proxied.push(target);
}
