//! The proxy that a configuration describes: sites and their routes.
//!
//! What a route does besides choosing where a request goes is done by the filters that come along
//! ([`crate::filter`]): they join the exchanges of the routes that ask for them, and cost the others nothing.

use crate::error::{Error, Outcome, Result};
use crate::filter;
use crate::meter::{Seed, SharedRateLimiter};
use crate::phase::{Filter, Flow, LinkPool, Peer, Proxy, Response, Rooms, Session};
use crate::route::{NoRoute, RouteIndex, Table};
use crate::settings::{self, Settings};
use bytes::Bytes;
use ringway_proto::message::Status;
use ringway_proto::rules::upgrade::WEBSOCKET;
use std::rc::Rc;

/// Which host and path goes where.
#[derive(Debug)]
pub struct Sites {
    table: Table,
    sites: Vec<Vec<Route>>,
}

/// One route with its words turned into indices.
#[derive(Debug)]
struct Route {
    action: Rc<Action>,
    /// What joins its exchanges, in the order of a request. The last one answers, where the action is to.
    filters: Vec<Rc<LinkPool>>,
    /// Upgrades that may pass, where more than the usual may.
    upgrades: Option<Rc<[Box<[u8]>]>>,
}

/// What a route does.
#[derive(Debug)]
enum Action {
    Proxy { cluster: usize },
    Redirect { status: u16, location: String },
    Respond { status: u16, body: Bytes, content_type: String },
}

impl Sites {
    /// The sites of `settings`, which were checked, and of which `shared` was made.
    pub fn new(settings: &Settings, shared: &Shared, rooms: &Rooms) -> Self {
        let mut maker = Maker { settings, rooms, compressions: Vec::new() };
        let sites = settings.sites.iter().zip(&shared.sites).map(|(site, limits)| {
            let limits = site.routes.iter().zip(&limits.routes).map(|(route, own)| (route, &limits.all, own));
            limits.map(|(route, all, own)| maker.route(route, [all, own])).collect()
        });
        let sites = sites.collect();
        Self { table: Table::new(&settings.sites), sites }
    }

    #[inline]
    fn route(&self, index: RouteIndex) -> &Route {
        &self.sites[index.site][index.route]
    }
}

impl Proxy for Sites {
    /// The route that takes the request, once it was looked for.
    type Ctx = Option<RouteIndex>;

    fn new_ctx(&self) -> Self::Ctx {
        None
    }

    /// The route is looked for before anything else, so that its filters take part in what follows.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> Result<()> {
        let head = session.request();
        let index = self.table.find(head.authority(), head.path(), head.method_bytes())?;
        *ctx = Some(index);
        let route = self.route(index);
        if let Some(upgrades) = &route.upgrades {
            session.set_upgrades(Rc::clone(upgrades));
        }
        route.filters.iter().for_each(|filter| session.attach_pool(filter));
        Ok(())
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::Ctx) -> Result<Peer> {
        match ctx.map(|index| &*self.route(index).action) {
            Some(Action::Proxy { cluster }) => Ok(Peer::cluster_at(*cluster)),
            _ => Err(Outcome::Internal.into()),
        }
    }
}

impl Action {
    /// What a request gets that comes here.
    fn flow(&self) -> Flow {
        match self {
            Self::Proxy { .. } => Flow::Continue,
            Self::Redirect { status, location } => Response::redirect(*status, location).into(),
            Self::Respond { status, body, content_type } => {
                let response = Response::new(*status).body(body.clone());
                let has_type = !body.is_empty();
                if has_type { response.header("content-type", content_type) } else { response }.into()
            }
        }
    }
}

/// Answers for a route that does not ask an origin, behind its filters.
#[derive(Debug)]
struct Answers(Rc<Action>);

impl Filter for Answers {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, (): &mut ()) -> Result<Flow> {
        Ok(self.0.flow())
    }
}

/// What the sites of all shards have in common: limits that hold for the process.
#[derive(Debug)]
pub struct Shared {
    sites: Vec<SiteLimits>,
}

#[derive(Debug)]
struct SiteLimits {
    /// Of all routes together.
    all: Limits,
    routes: Vec<Limits>,
}

#[derive(Debug)]
struct Limits {
    rates: Vec<filter::RateLimit>,
    concurrencies: Vec<filter::ConcurrencyLimit>,
}

impl Shared {
    /// What `settings` limit.
    pub fn new(settings: &Settings) -> Self {
        let trusted = &settings.forwarding.trusted;
        let site = |site: &settings::Site| SiteLimits {
            all: Limits::new(&site.rate_limits, &site.concurrency_limits, trusted),
            routes: (site.routes.iter())
                .map(|route| &route.filters)
                .map(|filters| Limits::new(&filters.rate_limits, &filters.concurrency_limits, trusted))
                .collect(),
        };
        Self { sites: settings.sites.iter().map(site).collect() }
    }
}

impl Limits {
    fn new(
        rates: &[settings::RateLimit],
        concurrencies: &[settings::ConcurrencyLimit],
        trusted: &[settings::IpNet],
    ) -> Self {
        let rate = |limit: &settings::RateLimit| {
            let limiter = SharedRateLimiter::with(limit.quota, limit.keys, Seed::random());
            let key = filter::Key::new(limit.key.clone(), trusted);
            let rate = filter::RateLimit::with(limiter).by(key).delay(limit.delay_max);
            match &limit.announced {
                Some(name) => rate.announce(name),
                None => rate,
            }
        };
        let concurrency = |limit: &settings::ConcurrencyLimit| {
            filter::ConcurrencyLimit::new(limit.max).by(filter::Key::new(limit.key.clone(), trusted))
        };
        Self {
            rates: rates.iter().map(rate).collect(),
            concurrencies: concurrencies.iter().map(concurrency).collect(),
        }
    }
}

/// Makes routes.
struct Maker<'a> {
    settings: &'a Settings,
    rooms: &'a Rooms,
    /// Routes that code in the same way share their coders.
    compressions: Vec<(&'a settings::Compression, Rc<LinkPool>)>,
}

impl<'a> Maker<'a> {
    fn route(&mut self, route: &'a settings::Route, limits: [&Limits; 2]) -> Route {
        let action = Rc::new(Action::new(&route.action, &self.settings.clusters));
        let filters = self.filters(route, limits, &action);
        let more = route.upgrades.iter().map(|token| token.as_bytes().into());
        let upgrades =
            (!route.upgrades.is_empty()).then(|| [WEBSOCKET.into()].into_iter().chain(more).collect());
        Route { action, filters, upgrades }
    }

    /// What a route asks for, in the order that [`crate::filter`] explains.
    fn filters(
        &mut self,
        route: &'a settings::Route,
        limits: [&Limits; 2],
        action: &Rc<Action>,
    ) -> Vec<Rc<LinkPool>> {
        let mut filters = Vec::new();
        for limits in limits {
            filters.extend(limits.rates.iter().map(|limit| self.pool(limit.clone())));
            filters.extend(limits.concurrencies.iter().map(|limit| self.pool(limit.clone())));
        }
        let wanted = &route.filters;
        filters.extend(wanted.request_bytes_max.map(|max| self.pool(filter::RequestLimit::new(max))));
        filters.extend(wanted.compression.as_ref().map(|compression| self.compression(compression)));
        if !route.response_fields.is_empty() {
            filters.push(self.pool(filter::ResponseHeaders::new(&route.response_fields)));
        }
        if !route.request_fields.is_empty() {
            filters.push(self.pool(filter::RequestHeaders::new(&route.request_fields)));
        }
        filters.extend(wanted.decompression.map(|limits| self.pool(filter::Decompression::new(limits))));
        filters.extend(wanted.response_bytes_max.map(|max| self.pool(filter::ResponseLimit::new(max))));
        if !matches!(**action, Action::Proxy { .. }) {
            filters.push(self.pool(Answers(Rc::clone(action))));
        }
        filters
    }

    fn compression(&mut self, compression: &'a settings::Compression) -> Rc<LinkPool> {
        if let Some((_, pool)) = self.compressions.iter().find(|(other, _)| *other == compression) {
            return Rc::clone(pool);
        }
        let settings::Compression { policy, streams_max } = compression;
        let pool = self.pool(filter::Compression::new(policy.clone()).streams_max(*streams_max));
        self.compressions.push((compression, Rc::clone(&pool)));
        pool
    }

    fn pool<F: Filter>(&self, filter: F) -> Rc<LinkPool> {
        LinkPool::of_filter(Rc::new(filter), self.rooms)
    }
}

impl Action {
    fn new(action: &settings::RouteAction, clusters: &[settings::Cluster]) -> Self {
        match action {
            settings::RouteAction::Proxy { cluster } => {
                let found = clusters.iter().position(|other| other.name == *cluster);
                Self::Proxy { cluster: found.expect("Settings::check found every name") }
            }
            settings::RouteAction::Redirect { status, location } => {
                Self::Redirect { status: *status, location: location.clone() }
            }
            settings::RouteAction::Respond { status, body, content_type } => Self::Respond {
                status: *status,
                body: if Status(*status).is_bodiless() { Bytes::new() } else { body.clone().into() },
                content_type: content_type.clone().unwrap_or_else(|| "text/plain; charset=utf-8".into()),
            },
        }
    }
}

impl From<NoRoute> for Error {
    fn from(no_route: NoRoute) -> Self {
        Self::new(match no_route {
            NoRoute::Host | NoRoute::Path => Outcome::NoRoute,
            NoRoute::Refused(_) => Outcome::PathRefused,
        })
    }
}
