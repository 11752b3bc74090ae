//! What happens in a turn: feed one, drain all, settle.

use super::opening::{Beginning, TCP};
use super::slots::{Client, Role, Serving, Slot, Stage, Timed, Upstream};
use super::{Life, ListenerKind, Shard};
use crate::exchange::{Downstream, Exchange, Outcome};
use crate::io::{Close, Io, PeerAddress};
use crate::keys::{ConnKey, ExchangeKey};
use crate::limits::{PANICS_PER_TURN, RECEIVES_PER_TURN, UNSETTLED_BYTES_MAX, WOKEN_PER_TURN};
use crate::rt::Wakee;
use crate::settings::Address;
use crate::time::Instant;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Whether a receive left something in the socket.
enum Received {
    /// The buffer was filled: there may be more.
    Full,
    /// Nothing more for now, or for ever.
    Dry,
}

impl<I: Io> Shard<I> {
    /// A client connected, to the address `local`.
    pub fn on_accepted(
        &mut self,
        now: Instant,
        kind: ListenerKind,
        accepted: I::Accepted,
        peer: PeerAddress,
        local: Rc<Address>,
    ) -> ConnKey {
        self.begin_turn(now);
        self.clients += 1;
        self.counters.downstream_accepted.add(1);
        self.counters.downstream_active.set(self.clients as u64);
        let (scheme, listener) = match kind {
            ListenerKind::Http { index } => ("http", index),
            ListenerKind::Tcp { index } => (TCP, index),
        };
        let facts = self.downstream(scheme, listener, &peer, None);
        let facts = Rc::new(Downstream { server_address: Some(local), ..facts });
        let beginning = self.beginning(kind, &peer);
        let (conn, state) = self.begin_connection(kind, &beginning);
        let client = Client { facts, requests: 0, context: None, keepalive_idle: None, state };
        let key = self.conns.insert(Slot::new(conn, Role::Downstream(client)));
        self.io.adopt(key, accepted);
        match (beginning, kind) {
            (Beginning::Refused, _) => self.fail_opening(key, Outcome::ProxyHeader),
            (Beginning::Plain, ListenerKind::Tcp { index }) => self.begin_tunnel(key, index, None),
            (Beginning::Plain | Beginning::Awaits(_), _) => {}
        }
        self.touch(key);
        self.end_turn();
        key
    }

    /// Bytes, or the end of them, are there.
    pub fn on_readable(&mut self, now: Instant, key: ConnKey) {
        self.take_in(now, key);
        self.end_turn();
    }

    /// As [`Shard::on_readable`], for a pump that has more connections to tell about at once: what this one caused
    /// may leave together with what they cause. Says whether anything waits for [`Shard::settle_all`], which has
    /// to follow before the pump sleeps.
    pub fn on_readable_of_many(&mut self, now: Instant, key: ConnKey) -> bool {
        self.take_in(now, key);
        if self.unsettled_bytes > UNSETTLED_BYTES_MAX {
            self.settle();
        } else if !self.wants_bytes(key) {
            // A side that is to be paused is paused now, or the pump would go on telling about it.
            self.watch(key);
        }
        !self.touched.is_empty() || self.rt.has_woken()
    }

    /// Settles what [`Shard::on_readable_of_many`] left.
    pub fn settle_all(&mut self, now: Instant) {
        self.begin_turn(now);
        self.end_turn();
    }

    /// Somebody was woken outside of a turn, or was left by one.
    pub fn on_rung(&mut self, now: Instant) {
        self.begin_turn(now);
        self.rt.answer();
        self.end_turn();
    }

    fn take_in(&mut self, now: Instant, key: ConnKey) {
        self.begin_turn(now);
        for _ in 0..RECEIVES_PER_TURN {
            let is_watched = self.conns.get(key).is_some_and(|slot| slot.interest.readable);
            if !is_watched || !self.wants_bytes(key) {
                break;
            }
            let received = self.receive(key);
            self.relay(key);
            if matches!(received, Received::Dry) || !self.wants_bytes(key) {
                break;
            }
        }
        self.touch(key);
    }

    /// There is room to send, or a dial ended.
    pub fn on_writable(&mut self, now: Instant, key: ConnKey) {
        self.begin_turn(now);
        let Some(slot) = self.conns.get(key) else { return };
        if let Role::Upstream { state: Upstream::Dialing { exchange, .. }, .. } = slot.role {
            self.on_dial_ended(key, exchange);
        }
        self.touch(key);
        self.end_turn();
    }

    /// Time passed: every deadline up to now is looked at.
    pub fn on_timeout(&mut self, now: Instant) {
        self.begin_turn(now);
        // Who is late shows only when everything that came was sent on.
        self.settle();
        while let Some(timed) = self.wheel.poll_expired(now) {
            match timed {
                Timed::Conn(key) => self.on_timer(key),
                Timed::Hook(key) => self.on_hook_timer(key),
            }
            self.settle();
        }
        if self.rt.is_timed() {
            self.rt.on_timeout(now);
        }
        self.end_turn();
    }

    /// A hook of an exchange was woken.
    fn on_woken(&mut self, index: usize) {
        let Some(key) = self.exchanges.key_at(index) else { return };
        self.refresh_ports(key);
        self.feed(key, Exchange::on_woken);
        self.after_hook(key);
    }

    /// A hook went on, or was ended: so does its exchange.
    pub(super) fn after_hook(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        if running.stage == Stage::Leaving {
            if !running.exchange.is_parked() {
                self.discard(key);
            }
            return;
        }
        self.relay_exchange(key);
        self.touch_both(key);
    }

    /// No new connections from now on; what runs may end. Clients that are between requests have a moment left: they
    /// cannot know yet, and their next request may be here or on the way. It is their last.
    pub fn drain(&mut self, now: Instant) {
        self.begin_turn(now);
        self.life = Life::Draining;
        self.rt.drain();
        for key in self.conns.keys() {
            let Some(slot) = self.conns.get_mut(key) else { continue };
            slot.conn.set_last();
            let is_head_begun = slot.conn.is_head_begun();
            match &mut slot.role {
                Role::Downstream(Client { state: Serving::Waiting { since }, .. }) if !is_head_begun => {
                    *since = now;
                }
                Role::Downstream(Client { state: Serving::Opening { since }, .. }) => *since = now,
                Role::Upstream { state: Upstream::Idle { .. }, .. } => self.discard_idle(key),
                _ => {}
            }
            self.touch(key);
        }
        self.end_turn();
    }

    /// Cuts everything that still runs, and drops the tasks.
    pub fn stop(&mut self, now: Instant) {
        // A panic of somebody's hook must not keep the others.
        for _ in 0..=self.conns.len() + self.exchanges.len() {
            if catch_unwind(AssertUnwindSafe(|| self.stop_all(now))).is_ok() {
                break;
            }
            _ = self.on_panicked(now, None);
        }
    }

    fn stop_all(&mut self, now: Instant) {
        self.begin_turn(now);
        self.life = Life::Draining;
        for key in self.conns.keys() {
            if let Some(exchange) = self.conns.get(key).and_then(Slot::exchange) {
                self.feed(exchange, |exchange, env| exchange.on_aborted(Outcome::Stopped, env));
                self.complete(exchange);
            }
            match self.conns.get(key).map(|slot| &slot.role) {
                Some(Role::Upstream { state: Upstream::Idle { .. }, .. }) => self.discard_idle(key),
                _ => self.close(key, Close::Gentle),
            }
        }
        // What is left of exchanges are hooks that wait.
        self.exchanges.keys().into_iter().for_each(|key| self.discard(key));
        self.settle();
        self.run_told();
        self.rt.stop();
    }

    /// Lets apps that were told come to their end, as far as they do not wait again: there is no time left.
    fn run_told(&mut self) {
        for _ in 0..self.rt.tasks() {
            match self.rt.poll_woken() {
                Some(Wakee::Task(key)) => self.rt.run(key),
                Some(Wakee::Exchange(_) | Wakee::Desk) => {}
                None => break,
            }
        }
    }

    /// A turn panicked, that of this connection if there is one: the exchange that ran is discarded, or that of the
    /// connection that was seen to, or that connection; everything else goes on. Says whether there was any of them:
    /// else the fault is the shard's own.
    #[must_use]
    pub fn on_panicked(&mut self, now: Instant, key: Option<ConnKey>) -> bool {
        // What follows runs others' hooks, which may panic in turn.
        for _ in 0..PANICS_PER_TURN {
            if let Ok(is_seen_to) = catch_unwind(AssertUnwindSafe(|| self.see_to_panic(now, key))) {
                return is_seen_to;
            }
        }
        false
    }

    fn see_to_panic(&mut self, now: Instant, key: Option<ConnKey>) -> bool {
        self.counters.panics.add(1);
        self.begin_turn(now);
        self.actions.clear();
        let conn = self.settling.take().or(key);
        let of_conn = || conn.and_then(|conn| self.conns.get(conn)).and_then(Slot::exchange);
        match (self.feeding.take().or_else(of_conn), conn) {
            (Some(exchange), _) => {
                self.feed(exchange, Exchange::on_panicked);
                match self.exchanges.get(exchange) {
                    Some(running) if running.stage == Stage::Leaving => self.after_hook(exchange),
                    _ => self.touch_both(exchange),
                }
            }
            (None, Some(conn)) => self.close(conn, Close::Reset),
            (None, None) => return false,
        }
        self.end_turn();
        true
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.rt.enter(now);
        self.update_date();
    }

    /// Settles, and lets those run who were woken.
    #[inline]
    fn end_turn(&mut self) {
        self.settle();
        if self.rt.has_woken() {
            self.run_woken();
        }
    }

    /// Lets those run who were woken, and settles what that causes, until nothing is left or others have to have their
    /// turn first.
    #[cold]
    fn run_woken(&mut self) {
        for _ in 0..WOKEN_PER_TURN {
            match self.rt.poll_woken() {
                Some(Wakee::Exchange(index)) => self.on_woken(index),
                Some(Wakee::Task(key)) => self.rt.run(key),
                Some(Wakee::Desk) => self.on_desk(),
                None => break,
            }
            if !self.rt.has_woken() || self.unsettled_bytes > UNSETTLED_BYTES_MAX {
                self.settle();
            }
        }
        self.settle();
        if self.rt.has_woken() {
            self.rt.call();
        }
    }

    fn receive(&mut self, key: ConnKey) -> Received {
        let mut vacant = self.pool.large();
        let received = self.io.receive(key, vacant.spare());
        let Some(slot) = self.conns.get_mut(key) else { return Received::Dry };
        slot.is_dry = true;
        match received {
            Ok(0) => slot.conn.on_finished(self.now),
            Ok(len) => {
                let is_full = len == vacant.capacity();
                slot.is_dry = !is_full;
                vacant.fill(len);
                slot.conn.on_received(self.now, vacant.freeze());
                let counter = match slot.role {
                    Role::Downstream(_) => &self.counters.downstream_received_bytes,
                    Role::Upstream { .. } | Role::Local { .. } | Role::Closed => {
                        &self.counters.upstream_received_bytes
                    }
                };
                counter.add(len as u64);
                if is_full {
                    return Received::Full;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => slot.conn.on_failed(),
        }
        Received::Dry
    }
}
