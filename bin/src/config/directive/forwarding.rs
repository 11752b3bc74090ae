//! `forwarding`: what is believed of the fields in which proxies tell each other about clients.

use super::super::Draft;
use super::super::diagnose::Problem;
use super::super::spec::{Arguments, Directive, Spec, visit_all};
use super::super::syntax::parse_via;
use ringway_engine::settings::{Forwarding, IpNet};
use std::net::IpAddr;

pub(super) static FORWARDING: Directive<Draft> = Directive {
    spec: Spec {
        name: "forwarding",
        help: "What is believed of the fields in which proxies tell each other about clients, and what is added. \
               `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are always sent.",
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply: |node, draft, report| node.block(KEYS, &mut draft.config.settings.forwarding, report),
};

static KEYS: &[&Directive<Forwarding>] = &[&TRUSTED, &FORWARDED, &VIA];

static TRUSTED: Directive<Forwarding> = Directive {
    spec: Spec {
        name: "trusted",
        arguments: Arguments::Many("NETWORK"),
        help: "Clients whose forwarding fields are kept and appended to, as addresses or ranges like \
               \"10.0.0.0/8\"; those of all others are replaced. Default: nobody.",
        ..Spec::EMPTY
    },
    apply: |node, forwarding, report| {
        for value in node.arguments() {
            let Some(range) = value.parse(report, parse_range) else { continue };
            if forwarding.trusted.contains(&range) {
                report.error(value.span, "this range is given twice");
            } else {
                forwarding.trusted.push(range);
            }
        }
    },
};

static FORWARDED: Directive<Forwarding> = Directive {
    spec: Spec::one(
        "forwarded",
        "BOOLEAN",
        "Whether the standard `Forwarded` field (RFC 7239) is sent as well. Default: #false.",
    ),
    apply: |node, forwarding, report| {
        if let Some(forwarded) = node.argument().and_then(|value| value.flag(report)) {
            forwarding.forwarded = forwarded;
        }
    },
};

static VIA: Directive<Forwarding> = Directive {
    spec: Spec::one("via", "NAME", "What this proxy calls itself in `Via`. Default: \"ringway\"."),
    apply: |node, forwarding, report| forwarding.via = node.parse(report, parse_via),
};

pub(super) fn parse_range(text: &str) -> Result<IpNet, Problem> {
    let malformed = || {
        Problem::new(format!("`{text}` is not a range of addresses"))
            .with_help("like \"10.0.0.0/8\" or \"::1\"")
    };
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix else { return Ok(IpNet { address, prefix: width }) };
    let is_plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|prefix| is_plain && *prefix <= width).ok_or_else(malformed)?;
    Ok(IpNet { address, prefix })
}
