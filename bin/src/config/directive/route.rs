//! `route`: one rule of a site, and what it does: `proxy`, `redirect` or `respond`.

use super::super::Mention;
use super::super::diagnose::{Report, Span};
use super::super::node::{Node, Value};
use super::super::spec::{Arguments, Directive, Property, Spec, visit_all};
use super::super::syntax::{parse_location, parse_media_type, parse_methods, parse_path, parse_upgrade};
use super::fields::{REQUEST_HEADER, RESPONSE_HEADER};
use super::filters::{self, Filtered, FiltersDraft};
use super::site::SiteDraft;
use ringway_engine::settings::{FieldEdit, PathPattern, Route, RouteAction};

pub(super) static ROUTE: Directive<SiteDraft> = Directive {
    spec: Spec {
        name: "route",
        arguments: Arguments::Optional("PATH"),
        repeats: true,
        help: "What is done with requests for a path: \"/x/*\" takes that prefix, \"/x\" exactly that path, no path \
               takes every one. The longest match wins; a route whose method does not fit leaves the request to \
               the next longest.",
        properties: &[Property {
            name: "method",
            value: "METHODS",
            help: "Which methods it takes, like \"GET\" or \"GET,HEAD\". Default: all.",
        }],
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply,
};

static KEYS: &[&Directive<RouteDraft>] = &[
    &PROXY,
    &REDIRECT,
    &RESPOND,
    &REQUEST_HEADER,
    &RESPONSE_HEADER,
    &UPGRADE,
    &COMPRESS,
    &DECOMPRESS,
    &REQUEST_LIMIT,
    &RESPONSE_LIMIT,
    &RATE_LIMIT,
    &CONCURRENCY_LIMIT,
];

static COMPRESS: Directive<RouteDraft> = filters::compress();
static DECOMPRESS: Directive<RouteDraft> = filters::decompress();
static REQUEST_LIMIT: Directive<RouteDraft> = filters::request_limit();
static RESPONSE_LIMIT: Directive<RouteDraft> = filters::response_limit();
static RATE_LIMIT: Directive<RouteDraft> = filters::rate_limit();
static CONCURRENCY_LIMIT: Directive<RouteDraft> = filters::concurrency_limit();

/// A route that is being read.
#[derive(Default)]
pub(super) struct RouteDraft {
    pub(super) request_fields: Vec<FieldEdit>,
    pub(super) response_fields: Vec<FieldEdit>,
    upgrades: Vec<String>,
    filters: FiltersDraft,
    /// What it is told to do; `None` where that is given but wrong.
    actions: Vec<(Span, Option<RouteAction>)>,
    proxied: Vec<Mention>,
}

fn apply(node: &Node<'_>, site: &mut SiteDraft, report: &mut Report) {
    let path = match node.argument() {
        Some(value) => value.parse(report, parse_path),
        None => Some(PathPattern::Any),
    };
    let methods = match node.property("method") {
        Some(value) => value.parse(report, parse_methods),
        None => Some(Vec::new()),
    };
    let mut draft = RouteDraft::default();
    node.block(KEYS, &mut draft, report);
    site.proxied.append(&mut draft.proxied);
    let action = draft.take_action(node, report);
    let (Some(path), Some(methods), Some(action)) = (path, methods, action) else {
        site.faulty += 1;
        return;
    };
    let RouteDraft { request_fields, response_fields, upgrades, filters, .. } = draft;
    let route = Route { request_fields, response_fields, methods, upgrades, ..Route::new(path, action) };
    site.routes.push((route, node.span()));
    site.route_filters.push(filters);
}

impl Filtered for RouteDraft {
    fn filters(&mut self) -> &mut FiltersDraft {
        &mut self.filters
    }
}

impl RouteDraft {
    /// The one thing that the route does.
    fn take_action(&mut self, node: &Node<'_>, report: &mut Report) -> Option<RouteAction> {
        let mut actions = std::mem::take(&mut self.actions).into_iter();
        let Some((first, action)) = actions.next() else {
            let error = report.error(node.span(), "this route does nothing");
            error.help("add `proxy`, `redirect` or `respond`");
            return None;
        };
        for (span, _) in actions {
            report.error(span, "a route does one thing only").earlier(first.clone());
        }
        if !self.upgrades.is_empty() && !matches!(action, Some(RouteAction::Proxy { .. }) | None) {
            report.error(node.span(), "`upgrade` has no effect without `proxy`");
        }
        action
    }
}

static PROXY: Directive<RouteDraft> = Directive {
    spec: Spec::one("proxy", "CLUSTER", "Forwards the request to an endpoint of the cluster of this name."),
    apply: |node, draft, report| {
        let mention = node.argument().and_then(|value| mention(&value, report));
        let action = mention.as_ref().map(|mention| RouteAction::Proxy { cluster: mention.name.clone() });
        draft.actions.push((node.span(), action));
        draft.proxied.extend(mention);
    },
};

/// The name of a cluster, and where it stands.
pub(super) fn mention(value: &Value<'_>, report: &mut Report) -> Option<Mention> {
    let name = value.text(report)?.to_owned();
    Some(Mention { name, span: value.span.clone() })
}

static REDIRECT: Directive<RouteDraft> = Directive {
    spec: Spec {
        name: "redirect",
        arguments: Arguments::One("LOCATION"),
        help: "Answers with this `Location`, a path or a URL.",
        properties: &[Property {
            name: "status",
            value: "STATUS",
            help: "301, 302, 303, 307 or 308. Default: 302, which nobody remembers.",
        }],
        ..Spec::EMPTY
    },
    apply: |node, draft, report| {
        let location = node.parse(report, parse_location);
        let status = read_status(node, 302, report);
        let action =
            location.zip(status).map(|(location, status)| RouteAction::Redirect { status, location });
        if let (Some(value), Some(status)) = (node.property("status"), status)
            && ![301, 302, 303, 307, 308].contains(&status)
        {
            report.error(value.span, format!("{status} is not a redirect")).help("301, 302, 303, 307 or 308");
        }
        draft.actions.push((node.span(), action));
    },
};

static RESPOND: Directive<RouteDraft> = Directive {
    spec: Spec {
        name: "respond",
        help: "Answers without asking an endpoint.",
        properties: &[
            Property { name: "status", value: "STATUS", help: "200 to 599. Default: 200." },
            Property { name: "body", value: "TEXT", help: "The content. Default: none." },
            Property {
                name: "content-type",
                value: "TYPE",
                help: "What the content is. Default: \"text/plain; charset=utf-8\".",
            },
        ],
        ..Spec::EMPTY
    },
    apply: apply_respond,
};

fn apply_respond(node: &Node<'_>, draft: &mut RouteDraft, report: &mut Report) {
    let status = read_status(node, 200, report);
    let body_value = node.property("body");
    let body = body_value.as_ref().map_or(Some(""), |value| value.text(report)).map(str::to_owned);
    let content_type = node.property("content-type").and_then(|value| value.parse(report, parse_media_type));
    // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: these never have content.
    if let (Some(status @ (204 | 205 | 304)), Some(value)) = (status, &body_value) {
        report.error(value.span.clone(), format!("a response {status} has no body"));
    }
    let action = status.zip(body).map(|(status, body)| RouteAction::Respond { status, body, content_type });
    draft.actions.push((node.span(), action));
}

fn read_status(node: &Node<'_>, default: u16, report: &mut Report) -> Option<u16> {
    match node.property("status") {
        Some(value) => value.number(200..=599, report),
        None => Some(default),
    }
}

static UPGRADE: Directive<RouteDraft> = Directive {
    spec: Spec {
        name: "upgrade",
        arguments: Arguments::Many("TOKEN"),
        help: "Tokens of the `Upgrade` field that may pass besides \"websocket\". \"h2c\" never passes.",
        ..Spec::EMPTY
    },
    apply: |node, draft, report| {
        for value in node.arguments() {
            let Some(token) = value.parse(report, parse_upgrade) else { continue };
            if draft.upgrades.contains(&token) {
                report.error(value.span, format!("`{token}` is given twice"));
            } else {
                draft.upgrades.push(token);
            }
        }
    },
};
