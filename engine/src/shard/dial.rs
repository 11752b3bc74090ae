//! Upstream connections: from the pool or dialed, given back or given up.

use super::slots::{Role, Slot, Upstream};
use super::{Life, Shard};
use crate::conn::Connection;
use crate::exchange::{Goal, Outcome, Provenance, Source};
use crate::io::{Close, Io};
use crate::keys::{ConnKey, ExchangeKey};
use crate::upstream::EndpointId;
use std::rc::Rc;

impl<I: Io> Shard<I> {
    /// Gets an exchange a connection to what it aims at.
    pub(super) fn open(&mut self, key: ExchangeKey, source: Source) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        let exchange = &mut running.exchange;
        if let Goal::App(app) = exchange.goal() {
            let app = app.clone();
            return self.open_app(key, &app);
        }
        let endpoint = match exchange.goal() {
            Goal::App(_) => None,
            Goal::Cluster(cluster) => {
                self.upstreams.select(*cluster, exchange.tried(), exchange.balance_key())
            }
            Goal::Place(place) => self.upstreams.at(place),
        };
        let Some(endpoint) = endpoint else {
            return self.fail_exchange(key, Outcome::NoEndpoint);
        };
        exchange.on_selected(Some(endpoint), &self.upstreams.endpoint(endpoint).text);
        let is_raw = exchange.is_raw();
        let idle = match source {
            Source::Any => self.check_out(key, endpoint),
            Source::Dial => None,
        };
        match idle {
            Some(conn) => {
                self.counters.upstream_reuses.add(1);
                self.connect(key, conn, endpoint, Provenance::Reused);
            }
            None => self.dial(key, endpoint, is_raw),
        }
    }

    fn check_out(&mut self, key: ExchangeKey, endpoint: EndpointId) -> Option<ConnKey> {
        let conn = if self.upstreams.cluster(endpoint.cluster).send_proxy.is_some() {
            let owner = self.owner(key, endpoint)?;
            let is_its = |conn| {
                let other = self.conns.get(conn).and_then(|slot| slot.owner.as_ref());
                other.is_some_and(|other| Rc::ptr_eq(other, &owner))
            };
            self.upstreams.endpoint_mut(endpoint).idle.check_out_if(is_its)?
        } else {
            self.upstreams.endpoint_mut(endpoint).idle.check_out()?
        };
        debug_assert!(self.conns.get(conn).is_some(), "what dies is taken out of its pool");
        self.counters.upstream_idle.set(self.upstreams.idle_len() as u64);
        Some(conn)
    }

    fn dial(&mut self, key: ExchangeKey, endpoint: EndpointId, is_raw: bool) {
        let conn = if is_raw {
            Connection::raw(self.pool.clone(), self.now)
        } else {
            Connection::client(Rc::clone(&self.snapshot.client_limits), self.pool.clone(), self.now)
        };
        let state = Upstream::Dialing { exchange: key, since: self.now };
        let mut slot = Slot::new(conn, Role::Upstream { endpoint, state });
        slot.owner = self.owner(key, endpoint);
        let conn = self.conns.insert(slot);
        if let Some(running) = self.exchanges.get_mut(key) {
            running.upstream = Some(conn);
        }
        self.counters.upstream_active.add(1);
        self.upstreams.on_connection(endpoint);
        let (address, socket) = self.upstreams.way_to(endpoint);
        match self.io.dial(conn, address, socket) {
            Ok(()) => self.touch(conn),
            Err(error) => self.on_dial_failed(conn, key, &error),
        }
    }

    /// A dial became writable: it succeeded or failed.
    pub(super) fn on_dial_ended(&mut self, conn: ConnKey, key: ExchangeKey) {
        match self.io.dialed(conn) {
            Ok(()) => {
                let Some(Role::Upstream { endpoint, .. }) = self.conns.get(conn).map(|slot| &slot.role)
                else {
                    return;
                };
                let endpoint = *endpoint;
                self.counters.upstream_connects.add(1);
                self.announce(conn, key, endpoint);
                self.connect(key, conn, endpoint, Provenance::Fresh);
            }
            Err(error) => self.on_dial_failed(conn, key, &error),
        }
    }

    fn on_dial_failed(&mut self, conn: ConnKey, key: ExchangeKey, error: &std::io::Error) {
        self.counters.upstream_connect_failures.add(1);
        if let Some(running) = self.exchanges.get_mut(key) {
            running.upstream = None;
        }
        self.close(conn, Close::Gentle);
        // Out of descriptors, memory or ports: our trouble, and another endpoint would not help.
        let is_local = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL)
        );
        let outcome = if is_local { Outcome::LocalResources } else { Outcome::ConnectFailed };
        log::debug!("connect failed: {error}");
        self.fail_exchange(key, outcome);
    }

    /// The connection is ready for the exchange.
    fn connect(&mut self, key: ExchangeKey, conn: ConnKey, endpoint: EndpointId, provenance: Provenance) {
        let Some(slot) = self.conns.get_mut(conn) else { return };
        slot.role = Role::Upstream { endpoint, state: Upstream::Busy { exchange: key } };
        slot.conn.on_used(self.now);
        if let Some(running) = self.exchanges.get_mut(key) {
            running.upstream = Some(conn);
        }
        self.feed(key, |exchange, env| exchange.on_connected(provenance, env));
        self.relay_exchange(key);
        // Both, even if nothing moved: what the client's side waits for, and until when, is another thing now.
        self.touch_both(key);
    }

    /// The exchange is done with its upstream connection: back to the pool, or closed.
    pub(super) fn release_upstream(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        let Some(conn) = running.upstream.take() else { return };
        let downstream = running.downstream;
        let has_client = self.conns.get(downstream).is_some();
        let Some(slot) = self.conns.get_mut(conn) else { return };
        let Role::Upstream { endpoint, state } = &mut slot.role else {
            return self.close(conn, Close::Gentle);
        };
        let endpoint = *endpoint;
        let is_wanted = slot.owner.is_none() || has_client;
        let is_reusable = slot.conn.is_reusable() && slot.conn.queue().is_empty();
        if is_wanted && is_reusable && self.life == Life::Serving {
            *state = Upstream::Idle { since: self.now };
            if let Some(surplus) = self.upstreams.endpoint_mut(endpoint).idle.check_in(conn) {
                self.close(surplus, Close::Gentle);
            }
            self.counters.upstream_idle.set(self.upstreams.idle_len() as u64);
            self.touch(conn);
        } else if slot.conn.is_tunnel() && !slot.conn.is_failed() {
            *state = Upstream::Closing { since: self.now };
            self.touch(conn);
        } else {
            self.close(conn, Close::Gentle);
        }
    }

    /// The exchange gives its upstream connection up in the middle. A message has an end of its own, which the origin
    /// then misses; in a tunnel only a reset says that something is missing.
    pub(super) fn abandon_upstream(&mut self, key: ExchangeKey) {
        if let Some(conn) = self.exchanges.get_mut(key).and_then(|running| running.upstream.take()) {
            let slot = self.conns.get(conn);
            // An app whose answer nobody waits for is stopped.
            let is_cut = |slot: &Slot| match slot.conn.as_port() {
                Some(port) => !port.is_ended(),
                None => slot.conn.is_tunnel(),
            };
            if slot.is_some_and(is_cut) {
                self.reset(conn);
            } else {
                self.close(conn, Close::Gentle);
            }
        }
    }

    /// An idle connection died, spoke or expired.
    pub(super) fn discard_idle(&mut self, conn: ConnKey) {
        if let Some(Role::Upstream { endpoint, .. }) = self.conns.get(conn).map(|slot| &slot.role) {
            let endpoint = *endpoint;
            self.upstreams.endpoint_mut(endpoint).idle.remove(conn);
            self.counters.upstream_idle.set(self.upstreams.idle_len() as u64);
            self.close(conn, Close::Gentle);
        }
    }
}
