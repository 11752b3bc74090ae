//! The beginning of a client's connection: who the client is and where it wants to go, before anything is served.

use super::slots::{Client, Serving, Slot};
use super::{ListenerKind, Shard};
use crate::conn::{Awaited, Connection, Flaw, Opened, Proxied};
use crate::exchange::{Downstream, Id, Outcome};
use crate::io::{Close, Io, PeerAddress};
use crate::keys::ConnKey;
use crate::settings::{Others, ProxyProtocol};
use std::net::SocketAddr;
use std::rc::Rc;

/// How the connections of a peer begin.
pub(super) enum Beginning {
    /// With their protocol.
    Plain,
    /// With something else.
    Awaits(Awaited),
    /// They are not to be served.
    Refused,
}

impl<I: Io> Shard<I> {
    /// How connections of this peer to this listener begin.
    pub(super) fn beginning(&self, kind: ListenerKind, peer: &PeerAddress) -> Beginning {
        let settings = &self.snapshot.settings;
        let (proxies, hello) = match kind {
            ListenerKind::Http { index } => (&settings.listeners[index].proxy_protocol, false),
            ListenerKind::Tcp { index } => {
                (&settings.tcp[index].proxy_protocol, self.snapshot.reads_names(index))
            }
        };
        let ip = match peer {
            PeerAddress::Ip(address) => Some(address.ip()),
            PeerAddress::Unix => None,
        };
        let header = match proxies {
            Some(proxies) if proxies.is_from(ip) => true,
            Some(ProxyProtocol { others: Others::Refuse, .. }) => return Beginning::Refused,
            Some(_) | None => false,
        };
        if header || hello { Beginning::Awaits(Awaited { header, hello }) } else { Beginning::Plain }
    }

    /// A connection of which nothing was received yet.
    pub(super) fn begin_connection(
        &self,
        kind: ListenerKind,
        beginning: &Beginning,
    ) -> (Connection, Serving) {
        let since = self.now;
        let pool = self.pool.clone();
        match (beginning, kind) {
            (Beginning::Awaits(awaited), _) => {
                (Connection::opening(*awaited, pool, since), Serving::Opening { since })
            }
            (_, ListenerKind::Http { .. }) => {
                let limits = Rc::clone(&self.snapshot.server_limits);
                (Connection::server(limits, pool, since), Serving::Waiting { since })
            }
            (_, ListenerKind::Tcp { .. }) => (Connection::raw(pool, since), Serving::Waiting { since }),
        }
    }

    /// Takes in what the beginning of a connection says, and begins to serve when it is over.
    pub(super) fn relay_opening(&mut self, key: ConnKey) {
        while let Some(slot) = self.conns.get_mut(key) {
            match slot.conn.poll_opening() {
                Some(Opened::Proxied(said)) => self.introduce(key, said),
                Some(Opened::Begun { host }) => return self.begin_serving(key, host),
                Some(Opened::Refused(flaw)) => return self.refuse_opening(key, flaw),
                None if !slot.conn.is_finished() && !slot.conn.is_failed() => return,
                // Who only looks whether somebody is there is not worth a line.
                None if !slot.conn.is_opening_begun() => return self.close(key, Close::Gentle),
                None => return self.fail_opening(key, Outcome::DownstreamClosed),
            }
        }
    }

    /// A proxy said for whom its connection is.
    fn introduce(&mut self, key: ConnKey, said: Proxied) {
        let Some(client) = self.conns.get(key).and_then(Slot::client) else { return };
        let (scheme, listener) = (client.facts.scheme, client.facts.listener);
        let facts = match said {
            Proxied::Peer => return,
            Proxied::Unix => self.downstream(scheme, listener, &PeerAddress::Unix, None),
            Proxied::Ip { source, destination } => {
                self.downstream(scheme, listener, &PeerAddress::Ip(source), Some(destination))
            }
        };
        if let Some(client) = self.conns.get_mut(key).and_then(Slot::client_mut) {
            let server_address = client.facts.server_address.clone();
            client.facts = Rc::new(Downstream { server_address, ..facts });
        }
    }

    /// The beginning is over: the connection is one like others from here.
    fn begin_serving(&mut self, key: ConnKey, host: Option<Box<str>>) {
        let (now, limits) = (self.now, Rc::clone(&self.snapshot.server_limits));
        let Some(slot) = self.conns.get_mut(key) else { return };
        let Some(Client { facts, state, .. }) = slot.client_mut() else { return };
        *state = Serving::Waiting { since: now };
        let (is_tcp, listener) = (facts.scheme == TCP, facts.listener);
        if is_tcp {
            slot.conn.begin_raw();
            self.begin_tunnel(key, listener, host.as_deref());
        } else {
            slot.conn.begin_server(limits);
            self.relay_waiting(key);
        }
        self.touch(key);
    }

    fn refuse_opening(&mut self, key: ConnKey, flaw: Flaw) {
        if let Some(client) = self.conns.get(key).and_then(Slot::client) {
            log::info!("{} client={}", flaw.word(), client.facts.address);
        }
        let outcome = match flaw {
            Flaw::Header(_) => Outcome::ProxyHeader,
            Flaw::Hello(_) => Outcome::ClientHello,
        };
        self.fail_opening(key, outcome);
    }

    /// Ends a connection of which nothing was served, with a line in the access log.
    pub(super) fn fail_opening(&mut self, key: ConnKey, outcome: Outcome) {
        let id = Id::Made(self.ids.make());
        if let Some(slot) = self.conns.get_mut(key) {
            slot.conn.drop_received();
        }
        self.begin_exchange(key, id, |exchange, env| exchange.on_unserved(outcome, env));
    }

    /// What is known of a client.
    pub(super) fn downstream(
        &self,
        scheme: &'static str,
        listener: usize,
        peer: &PeerAddress,
        destination: Option<SocketAddr>,
    ) -> Downstream {
        let trusted = &self.snapshot.settings.forwarding.trusted;
        match peer {
            PeerAddress::Ip(address) => {
                let ip = address.ip().to_canonical();
                Downstream {
                    address: ip.to_string().into(),
                    port: address.port(),
                    destination,
                    is_trusted: trusted.iter().any(|range| range.contains(ip)),
                    scheme,
                    listener,
                    server_address: None,
                }
            }
            PeerAddress::Unix => Downstream {
                address: "unix".into(),
                port: 0,
                destination,
                is_trusted: false,
                scheme,
                listener,
                server_address: None,
            },
        }
    }
}

/// The scheme of what is relayed as it is.
pub(super) const TCP: &str = "tcp";
