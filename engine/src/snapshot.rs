//! A configuration as one shard uses it: built once, never changed, replaced as a whole.

use crate::limits::{DEFAULT_NAME_PASSES_MAX, INTERIM_RESPONSES_MAX};
use crate::phase::{App, LinkPool, Members, Rooms};
use crate::route::Hosts;
use crate::service::Services;
use crate::settings::{Settings, TcpListener};
use crate::site::Sites;
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
    /// Bounds of the client side's codecs.
    pub server_limits: Rc<CodecLimits>,
    /// Bounds of the origin side's codecs.
    pub client_limits: Rc<CodecLimits>,
    /// Our name in `Via`.
    pub via: Via,
    /// How often a request may have passed a proxy of that name before it is a loop.
    pub passes_max: usize,
    /// Upgrades that may pass where nobody says otherwise.
    pub upgrades: Rc<[Box<[u8]>]>,
    /// Who takes part in the exchanges of each listener, in order.
    members: Vec<Rc<Members>>,
    /// Who serves the connections of each TCP listener, where a cluster does not.
    streams: Vec<Option<App>>,
    /// Which cluster the names of each TCP listener lead to.
    names: Vec<Hosts>,
}

impl Snapshot {
    /// Works out `settings`, which were checked: every listener serves their sites.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self::with(settings, &Services::default())
    }

    /// Works out `settings`, which were checked. A listener for which there is no service serves the sites.
    pub fn with(settings: Arc<Settings>, services: &Services) -> Self {
        let rooms = Rooms::new();
        let sites = Sites::new(&settings, services.shared(&settings), &rooms);
        let sites = Members::new(vec![LinkPool::of_proxy(Rc::new(sites), &rooms)]);
        let members =
            |listener| services.members(listener, &rooms).map_or_else(|| Rc::clone(&sites), Members::new);
        let members = (0..settings.listeners.len()).map(members).collect();
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
        Self {
            server_limits: Rc::new(server),
            client_limits: Rc::new(client),
            via,
            // A name that somebody chose is this proxy's own. The default one is every ringway's: a chain of them
            // is no loop, but an endless one still ends.
            passes_max: if settings.forwarding.via.is_some() { 1 } else { DEFAULT_NAME_PASSES_MAX },
            upgrades: Rc::new([ringway_proto::rules::upgrade::WEBSOCKET.into()]),
            members,
            streams: (0..settings.tcp.len()).map(|listener| services.stream(listener)).collect(),
            names: settings.tcp.iter().map(|listener| names(&settings, listener)).collect(),
            settings,
        }
    }

    /// Who takes part in the exchanges of this listener.
    #[inline]
    pub fn members(&self, listener: usize) -> &Rc<Members> {
        &self.members[listener]
    }

    /// The index of the cluster of this name.
    pub fn cluster_index(&self, name: &str) -> Option<usize> {
        self.settings.clusters.iter().position(|cluster| cluster.name == name)
    }

    /// The app that serves the connections of a TCP listener, if one does.
    pub fn stream_app(&self, listener: usize) -> Option<&App> {
        self.streams.get(listener)?.as_ref()
    }

    /// Whether where connections of a TCP listener go depends on the host that their ClientHello names.
    pub fn reads_names(&self, listener: usize) -> bool {
        !self.settings.tcp[listener].names.is_empty() && self.stream_app(listener).is_none()
    }

    /// The index of the cluster that raw connections of a TCP listener go to that ask for `host`, or for none when it is
    /// empty. `None` where there is none for them.
    pub fn tcp_cluster(&self, listener: usize, host: &[u8]) -> Option<usize> {
        let named = if host.is_empty() { None } else { self.names[listener].find(host) };
        let default = || self.settings.tcp[listener].cluster.as_deref();
        named.or_else(|| default().and_then(|name| self.cluster_index(name)))
    }
}

fn names(settings: &Settings, listener: &TcpListener) -> Hosts {
    let mut names = Hosts::default();
    for route in &listener.names {
        let cluster = settings.clusters.iter().position(|cluster| cluster.name == route.cluster);
        names.insert(&route.pattern, cluster.expect("settings were checked"));
    }
    names
}
