//! Clusters that are told with a PROXY header for whom a connection is.
//!
//! Such a connection serves one client connection: its origin takes everything on it for that client's. So what is idle
//! is used again for nobody else, and is closed when its client is gone.

use super::Shard;
use crate::exchange::Downstream;
use crate::io::Io;
use crate::keys::{ConnKey, ExchangeKey};
use crate::phase::Session;
use crate::settings::Address;
use crate::upstream::EndpointId;
use ringway_proto::proxy_protocol::{Endpoints, Facts, Header};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

impl<I: Io> Shard<I> {
    /// The client to which connections to this endpoint belong that are made for an exchange; `None` where they are
    /// everybody's.
    pub(super) fn owner(&self, key: ExchangeKey, endpoint: EndpointId) -> Option<Rc<Downstream>> {
        self.upstreams.cluster(endpoint.cluster).send_proxy?;
        self.exchanges.get(key)?.exchange.session().map(Session::client_facts)
    }

    /// Begins a connection that was just established with what its origin is to know of the client.
    pub(super) fn announce(&mut self, conn: ConnKey, key: ExchangeKey, endpoint: EndpointId) {
        let Some(version) = self.upstreams.cluster(endpoint.cluster).send_proxy else { return };
        let Some(slot) = self.conns.get(conn) else { return };
        let Some(running) = self.exchanges.get(key) else { return };
        let endpoints = match &slot.owner {
            Some(client) if Rc::ptr_eq(client, &self.within) => Endpoints::Local,
            Some(client) => endpoints_of(client),
            None => Endpoints::Unknown,
        };
        // What a TLS client asked for by name is known of a tunnel only: requests name their hosts themselves.
        let session = running.exchange.session().filter(|_| running.exchange.is_raw());
        let authority = session.map(|session| &*session.facts.host).filter(|host| !host.is_empty());
        let facts = Facts { authority, ..Facts::default() };
        let mut bytes = Vec::new();
        Header { endpoints, facts }.encode(version, &mut bytes);
        let now = self.now;
        if let Some(slot) = self.conns.get_mut(conn) {
            slot.conn.send_opening(now, &bytes);
        }
    }

    /// A client is gone: nobody else may use what was its own.
    pub(super) fn discard_idle_of(&mut self, client: &Rc<Downstream>) {
        let is_its = |conn: &ConnKey| {
            let owner = self.conns.get(*conn).and_then(|slot| slot.owner.as_ref());
            owner.is_some_and(|owner| Rc::ptr_eq(owner, client))
        };
        let idle: Vec<ConnKey> = self.upstreams.idle_of_clients().filter(is_its).collect();
        idle.into_iter().for_each(|conn| self.discard_idle(conn));
    }
}

/// Who connected to whom, on a client's connection.
fn endpoints_of(client: &Downstream) -> Endpoints<'static> {
    let Some(ip) = client.ip() else { return Endpoints::Unknown };
    let ours = match client.server_address.as_deref() {
        Some(Address::Tcp(address)) => Some(*address),
        Some(Address::Unix(_)) | None => None,
    };
    let destination = client.destination.or(ours).map(canonical);
    Endpoints::Ip {
        source: SocketAddr::new(ip, client.port),
        destination: destination.unwrap_or_else(|| nowhere(ip)),
    }
}

/// An IPv4 address as such, whatever family the socket has.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address that stands for none.
fn nowhere(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0; 16], 0).into(),
    }
}
