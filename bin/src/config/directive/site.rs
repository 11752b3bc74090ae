//! `site`: the routes of some hosts.

use super::super::diagnose::{Report, Span};
use super::super::node::Node;
use super::super::spec::{Arguments, Directive, Spec, visit_all};
use super::super::syntax::parse_host;
use super::super::{Draft, Mention};
use super::filters::{self, Filtered, FiltersDraft};
use super::route::ROUTE;
use ringway_engine::settings::{PathPattern, Route, Site};

pub(super) static SITE: Directive<Draft> = Directive {
    spec: Spec {
        name: "site",
        arguments: Arguments::Many("HOST"),
        repeats: true,
        help: "What is done for requests to these hosts: \"example.com\", \"*.example.com\" for every name below \
               it, or \"*\" for all others. Hosts are compared without case and port; an unknown host is answered \
               404.",
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply,
};

static KEYS: &[&Directive<SiteDraft>] =
    &[&ROUTE, &COMPRESS, &DECOMPRESS, &REQUEST_LIMIT, &RESPONSE_LIMIT, &RATE_LIMIT, &CONCURRENCY_LIMIT];

static COMPRESS: Directive<SiteDraft> = filters::compress();
static DECOMPRESS: Directive<SiteDraft> = filters::decompress();
static REQUEST_LIMIT: Directive<SiteDraft> = filters::request_limit();
static RESPONSE_LIMIT: Directive<SiteDraft> = filters::response_limit();
static RATE_LIMIT: Directive<SiteDraft> = filters::rate_limit();
static CONCURRENCY_LIMIT: Directive<SiteDraft> = filters::concurrency_limit();

/// A site that is being read.
#[derive(Default)]
pub(super) struct SiteDraft {
    pub(super) routes: Vec<(Route, Span)>,
    /// Of each of the routes.
    pub(super) route_filters: Vec<FiltersDraft>,
    filters: FiltersDraft,
    pub(super) proxied: Vec<Mention>,
    /// Routes that are there but wrong, so that the site is not called empty as well.
    pub(super) faulty: usize,
}

fn apply(node: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let mut hosts = Vec::new();
    for value in node.arguments() {
        let Some(name) = value.parse(report, parse_host) else { continue };
        if let Some(earlier) = draft.hosts.iter().find(|earlier| earlier.name == name) {
            let error = report.error(value.span.clone(), format!("host \"{name}\" is given twice"));
            error.earlier(earlier.span.clone());
        }
        draft.hosts.push(Mention { name: name.clone(), span: value.span });
        hosts.push(name);
    }
    let mut site = SiteDraft::default();
    node.block(KEYS, &mut site, report);
    if site.routes.is_empty() && site.faulty == 0 {
        let error = report.error(node.span(), "a site without a route would answer 404 to everything");
        error.help("add `route { … }`");
    }
    check_reachable(&site.routes, report);
    site.filters.check_announced(None, report);
    site.route_filters.iter().for_each(|filters| filters.check_announced(Some(&site.filters), report));
    draft.proxied.append(&mut site.proxied);
    let of_routes = site.routes.into_iter().zip(site.route_filters);
    let routes = of_routes
        .map(|((route, _), filters)| Route { filters: filters.finish(&site.filters), ..route })
        .collect();
    let FiltersDraft { rate_limits, concurrency_limits, .. } = site.filters;
    draft.config.settings.sites.push(Site { rate_limits, concurrency_limits, ..Site::new(hosts, routes) });
}

impl Filtered for SiteDraft {
    fn filters(&mut self) -> &mut FiltersDraft {
        &mut self.filters
    }
}

/// Of routes with the same path the first whose method fits is taken: a later one must have a method left.
fn check_reachable(routes: &[(Route, Span)], report: &mut Report) {
    for (index, (route, span)) in routes.iter().enumerate() {
        let same_path = routes[..index].iter().filter(|(earlier, _)| earlier.path == route.path);
        for (earlier, earlier_span) in same_path {
            let taken = route.methods.iter().find(|method| earlier.methods.contains(method));
            let written = show(&route.path);
            let message = match taken {
                _ if earlier.methods.is_empty() && route.methods.is_empty() => {
                    format!("{written} is given twice")
                }
                _ if earlier.methods.is_empty() => format!("{written} was given for every method before"),
                Some(method) => format!("{written} with `{method}` is given twice"),
                None => continue,
            };
            report.error(span.clone(), message).earlier(earlier_span.clone());
            break;
        }
    }
}

fn show(path: &PathPattern) -> String {
    match path {
        PathPattern::Any => "the route for every path".into(),
        PathPattern::Exact(path) => format!("the route \"{path}\""),
        PathPattern::Prefix(path) => format!("the route \"{path}*\""),
    }
}
