//! A configuration as one shard uses it: built once, never changed, replaced as a whole.

use crate::limits::{DEFAULT_NAME_PASSES_MAX, INTERIM_RESPONSES_MAX};
use crate::route::{RouteIndex, Table};
use crate::settings::{self, Settings};
use ringway_proto::h1::CodecLimits;
use ringway_proto::h1::head::HeadLimits;
use ringway_proto::rules::forwarded::Via;
use std::rc::Rc;
use std::sync::Arc;

/// Everything about a configuration that is worked out before the first request.
#[derive(Debug)]
pub struct Snapshot {
    /// What it was built from.
    pub settings: Arc<Settings>,
    /// Which route takes a request.
    pub table: Table,
    /// Bounds of the client side's codecs.
    pub server_limits: Rc<CodecLimits>,
    /// Bounds of the origin side's codecs.
    pub client_limits: Rc<CodecLimits>,
    /// Our name in `Via`.
    pub via: Via,
    /// How often a request may have passed a proxy of that name before it is a loop.
    pub passes_max: usize,
    sites: Vec<Vec<Route>>,
}

/// One route with its words turned into indices.
#[derive(Debug)]
pub struct Route {
    /// What it does.
    pub action: Action,
    /// Changes to requests.
    pub request_edits: Vec<settings::FieldEdit>,
    /// Changes to responses.
    pub response_edits: Vec<settings::FieldEdit>,
    /// Upgrades that may pass.
    pub upgrades: Vec<Box<[u8]>>,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Forward to the cluster with this index.
    Proxy {
        /// Index of the cluster.
        cluster: usize,
    },
    /// Answer with a `Location`.
    Redirect {
        /// The status.
        status: u16,
        /// The value of `Location`.
        location: Box<[u8]>,
    },
    /// Answer with a fixed body.
    Respond {
        /// The status.
        status: u16,
        /// The content.
        body: Rc<[u8]>,
        /// The value of `Content-Type`.
        content_type: Box<[u8]>,
    },
}

impl Snapshot {
    /// Works out `settings`, which were checked.
    pub fn new(settings: Arc<Settings>) -> Self {
        let limits = &settings.limits;
        let head = |bytes| HeadLimits { bytes, fields: limits.fields_max, target: limits.target_bytes };
        let server = CodecLimits {
            head: head(limits.request_head_bytes),
            body_bytes: limits.request_body_bytes,
            ..CodecLimits::default()
        };
        let client = CodecLimits {
            head: head(limits.response_head_bytes),
            interim_max: INTERIM_RESPONSES_MAX,
            ..CodecLimits::default()
        };
        let via = Via::new(settings.forwarding.via.as_deref().unwrap_or("ringway"))
            .or_else(|_| Via::new("ringway"))
            .expect("a token");
        let sites = settings
            .sites
            .iter()
            .map(|site| site.routes.iter().map(|route| Route::new(route, &settings.clusters)).collect());
        Self {
            table: Table::new(&settings.sites),
            server_limits: Rc::new(server),
            client_limits: Rc::new(client),
            via,
            // A name that somebody chose is this proxy's own. The default one is every ringway's: a chain of them
            // is no loop, but an endless one still ends.
            passes_max: if settings.forwarding.via.is_some() { 1 } else { DEFAULT_NAME_PASSES_MAX },
            sites: sites.collect(),
            settings,
        }
    }

    /// The route at `index`.
    #[inline]
    pub fn route(&self, index: RouteIndex) -> &Route {
        &self.sites[index.site][index.route]
    }

    /// The index of the cluster that raw connections of a TCP listener go to.
    pub fn tcp_cluster(&self, listener: usize) -> usize {
        cluster_index(&self.settings.clusters, &self.settings.tcp[listener].cluster)
    }
}

impl Route {
    fn new(route: &settings::Route, clusters: &[settings::Cluster]) -> Self {
        let action = match &route.action {
            settings::RouteAction::Proxy { cluster } => {
                Action::Proxy { cluster: cluster_index(clusters, cluster) }
            }
            settings::RouteAction::Redirect { status, location } => {
                Action::Redirect { status: *status, location: location.as_bytes().into() }
            }
            settings::RouteAction::Respond { status, body, content_type } => Action::Respond {
                status: *status,
                body: body.as_bytes().into(),
                content_type: content_type
                    .as_deref()
                    .unwrap_or("text/plain; charset=utf-8")
                    .as_bytes()
                    .into(),
            },
        };
        let websocket = ringway_proto::rules::upgrade::WEBSOCKET.into();
        let more = route.upgrades.iter().map(|token| token.as_bytes().into());
        Self {
            action,
            request_edits: route.request_fields.clone(),
            response_edits: route.response_fields.clone(),
            upgrades: std::iter::once(websocket).chain(more).collect(),
        }
    }
}

fn cluster_index(clusters: &[settings::Cluster], name: &str) -> usize {
    let found = clusters.iter().position(|cluster| cluster.name == name);
    found.expect("Settings::check found every name")
}
