//! The proxy that a configuration describes: sites and their routes.

use crate::error::{Error, Outcome, Result};
use crate::phase::fields::apply;
use crate::phase::{Filter, Flow, LinkPool, Peer, Proxy, Response, Rooms, Session};
use crate::route::{NoRoute, RouteIndex, Table};
use crate::settings::{self, Settings};
use bytes::Bytes;
use ringway_proto::message::{RequestHead, ResponseHead, Status};
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
    action: Action,
    /// The changes of fields, where there are any: filters of their own, so that exchanges without are not asked.
    edits: Vec<Rc<LinkPool>>,
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
    /// The sites of `settings`, which were checked.
    pub fn new(settings: &Settings, rooms: &Rooms) -> Self {
        let routes = |site: &settings::Site| {
            site.routes.iter().map(|route| Route::new(route, &settings.clusters, rooms)).collect()
        };
        Self { table: Table::new(&settings.sites), sites: settings.sites.iter().map(routes).collect() }
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

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> Result<Flow> {
        let head = session.request();
        let index = self.table.find(head.authority(), head.path(), head.method_bytes())?;
        *ctx = Some(index);
        let route = self.route(index);
        for edits in &route.edits {
            session.attach(edits);
        }
        if let Some(upgrades) = &route.upgrades {
            session.set_upgrades(Rc::clone(upgrades));
        }
        Ok(match &route.action {
            Action::Proxy { .. } => Flow::Continue,
            Action::Redirect { status, location } => Response::redirect(*status, location).into(),
            Action::Respond { status, body, content_type } => {
                let response = Response::new(*status).body(body.clone());
                let has_type = !body.is_empty();
                if has_type { response.header("content-type", content_type) } else { response }.into()
            }
        })
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::Ctx) -> Result<Peer> {
        match ctx.map(|index| &self.route(index).action) {
            Some(Action::Proxy { cluster }) => Ok(Peer::cluster_at(*cluster)),
            _ => Err(Outcome::Internal.into()),
        }
    }
}

/// Changes of what goes to the origin.
struct RequestEdits(Vec<settings::FieldEdit>);

impl Filter for RequestEdits {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream_request: &mut RequestHead,
        (): &mut (),
    ) -> Result<()> {
        apply(&self.0, &mut upstream_request.fields);
        Ok(())
    }
}

/// Changes of what goes to the client.
struct ResponseEdits(Vec<settings::FieldEdit>);

impl Filter for ResponseEdits {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, (): &mut ()) -> Result<()> {
        apply(&self.0, &mut response.fields);
        Ok(())
    }
}

impl Route {
    fn new(route: &settings::Route, clusters: &[settings::Cluster], rooms: &Rooms) -> Self {
        let action = match &route.action {
            settings::RouteAction::Proxy { cluster } => {
                let found = clusters.iter().position(|other| other.name == *cluster);
                Action::Proxy { cluster: found.expect("Settings::check found every name") }
            }
            settings::RouteAction::Redirect { status, location } => {
                Action::Redirect { status: *status, location: location.clone() }
            }
            settings::RouteAction::Respond { status, body, content_type } => Action::Respond {
                status: *status,
                body: if Status(*status).is_bodiless() { Bytes::new() } else { body.clone().into() },
                content_type: content_type.clone().unwrap_or_else(|| "text/plain; charset=utf-8".into()),
            },
        };
        let request_edits = (!route.request_fields.is_empty())
            .then(|| LinkPool::of_filter(Rc::new(RequestEdits(route.request_fields.clone())), rooms));
        let response_edits = (!route.response_fields.is_empty())
            .then(|| LinkPool::of_filter(Rc::new(ResponseEdits(route.response_fields.clone())), rooms));
        let more = route.upgrades.iter().map(|token| token.as_bytes().into());
        Self {
            action,
            edits: request_edits.into_iter().chain(response_edits).collect(),
            upgrades: (!route.upgrades.is_empty())
                .then(|| [WEBSOCKET.into()].into_iter().chain(more).collect()),
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
