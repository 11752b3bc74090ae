//! Parts between a connection and its exchange, and what the exchange wants done with them.

use super::slots::{Client, Role, Running, Serving, Slot, Stage, Upstream};
use super::{Life, Shard};
use crate::exchange::{Action, Callback, Env, Exchange, Fault, Id, Outcome, Refusal, Side};
use crate::io::{Close, Io};
use crate::keys::{ConnKey, ExchangeKey};
use crate::limits::QUEUE_HIGH_BYTES;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Part, RefusedRequest, Reset};
use std::rc::Rc;

impl<I: Io> Shard<I> {
    /// Moves on what was received on a connection.
    pub(super) fn relay(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        match &slot.role {
            Role::Downstream(Client { state: Serving::Busy { exchange }, .. })
            | Role::Upstream { state: Upstream::Busy { exchange }, .. } => {
                let exchange = *exchange;
                self.relay_exchange(exchange);
            }
            Role::Downstream(Client { state: Serving::Waiting { .. }, .. }) => self.relay_waiting(key),
            Role::Downstream(Client { state: Serving::Lingering { .. }, .. }) => self.relay_lingering(key),
            Role::Downstream(Client { state: Serving::Opening { .. }, .. }) => self.relay_opening(key),
            // An idle connection has nothing to say: a FIN, an error and a byte all mean that it is used no more
            // (RFC 9112 section 9.2: a byte there must never become somebody's response).
            Role::Upstream { state: Upstream::Idle { .. }, .. } => {
                if !slot.conn.is_reusable() {
                    self.discard_idle(key);
                }
            }
            Role::Upstream { state: Upstream::Dialing { .. } | Upstream::Closing { .. }, .. }
            | Role::Local { .. }
            | Role::Closed => {}
        }
    }

    /// Moves parts both ways until neither side has one that may be taken.
    pub(super) fn relay_exchange(&mut self, key: ExchangeKey) {
        let mut has_moved = self.relay_side(key, Side::Downstream);
        loop {
            // What one side brought may let the other go on, until one brings nothing.
            for side in [Side::Upstream, Side::Downstream].into_iter().cycle() {
                if !self.relay_side(key, side) {
                    break;
                }
                has_moved = true;
            }
            if !self.call_back(key) {
                break;
            }
            has_moved = true;
        }
        if has_moved {
            self.touch_both(key);
        }
        self.relay_endings(key);
    }

    /// Takes parts from one side as long as the exchange accepts them and the other side has room.
    fn relay_side(&mut self, key: ExchangeKey, side: Side) -> bool {
        let mut has_moved = false;
        while let Some(part) = self.next_part(key, side) {
            has_moved = true;
            self.feed(key, |exchange, env| exchange.on_part(side, part, env));
        }
        has_moved
    }

    /// Calls a content hook that asked for it, where that has become due.
    #[inline]
    fn call_back(&mut self, key: ExchangeKey) -> bool {
        let callback = self.exchanges.get(key).and_then(|running| running.exchange.callback());
        callback.is_some_and(|callback| self.call_back_for(key, callback))
    }

    #[cold]
    fn call_back_for(&mut self, key: ExchangeKey, callback: Callback) -> bool {
        let Some(running) = self.exchanges.get(key) else { return false };
        let ends = |side| match side {
            Side::Downstream => (Some(running.downstream), running.upstream),
            Side::Upstream => (running.upstream, Some(running.downstream)),
        };
        let is_due = match callback {
            Callback::Now => true,
            Callback::Room(side) => self.may_queue(ends(side).1),
            Callback::Pause(side) => {
                let (from, to) = ends(side);
                let is_dry = from.and_then(|from| self.conns.get(from)).is_none_or(|slot| slot.is_dry);
                is_dry && running.exchange.accepts(side) && self.may_queue(to)
            }
        };
        if is_due {
            self.feed(key, |exchange, env| exchange.on_callback(callback, env));
        }
        is_due
    }

    /// Whether more may be queued on a connection, if there is one.
    #[inline]
    fn may_queue(&mut self, key: Option<ConnKey>) -> bool {
        let Some(slot) = key.and_then(|key| self.conns.get_mut(key)) else { return true };
        slot.is_full |= slot.conn.held_bytes() >= QUEUE_HIGH_BYTES;
        !slot.is_full
    }

    #[inline]
    fn next_part(&mut self, key: ExchangeKey, side: Side) -> Option<Part> {
        let running = self.exchanges.get(key)?;
        if !running.exchange.accepts(side) {
            return None;
        }
        let (from, to) = match side {
            Side::Downstream => (Some(running.downstream), running.upstream),
            Side::Upstream => (running.upstream, Some(running.downstream)),
        };
        if !self.may_queue(to) {
            return None;
        }
        if side == Side::Downstream
            && let Some(part) = self.exchanges.get_mut(key).and_then(|running| running.exchange.poll_intake())
        {
            return Some(part);
        }
        self.conns.get_mut(from?)?.conn.poll_part()
    }

    /// Tells an exchange that a connection of its has ended, once everything that came before was relayed.
    fn relay_endings(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        if running.stage == Stage::Leaving {
            return;
        }
        self.relay_leaving(key);
        let Some(running) = self.exchanges.get(key) else { return };
        let (downstream, upstream, is_held) =
            (running.downstream, running.upstream, running.exchange.is_held());
        let is_drained = |slot: &&Slot| slot.conn.undecoded_bytes() == 0;
        // While a hook waits, or has more to send, the origin's end waits with what came before it.
        if let Some(slot) = upstream.and_then(|key| self.conns.get(key)).filter(is_drained)
            && slot.conn.is_failed()
            && !is_held
        {
            let has_begun = slot.conn.has_response_begun();
            let reset = if has_begun { Reset::Truncated } else { Reset::Unanswered };
            self.feed(key, |exchange, env| exchange.on_part(Side::Upstream, Part::Reset(reset), env));
            self.touch_both(key);
        }
        let Some(slot) = self.conns.get(downstream) else { return };
        // A client that closes while it waits for its answer has left: the origin is spared the work. (A tunnel
        // is half-closed by its End, an answer that is complete is sent all the same.)
        let has_left = slot.conn.is_finished()
            && self.exchanges.get(key).is_some_and(|running| running.exchange.is_waiting_for_origin());
        if slot.conn.is_failed() || has_left {
            self.feed(key, |exchange, env| exchange.on_downstream_gone(env));
            self.touch_both(key);
        }
    }

    /// A client's connection between requests: the next head begins an exchange.
    pub(super) fn relay_waiting(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        match slot.conn.poll_part() {
            Some(Part::Request(head)) => {
                let Some(client) = slot.client_mut() else { return };
                let id = Id::of_request(&head, &client.facts, &mut self.ids);
                let (listener, context) = (client.facts.listener, client.context.take());
                let snapshot = Rc::clone(&self.snapshot);
                self.begin_exchange(key, id, |exchange, env| {
                    exchange.on_request(head, snapshot.members(listener), context, env);
                });
            }
            Some(Part::Reset(Reset::Malformed(rule))) => {
                let refused = slot.conn.take_refused();
                self.refuse(key, Refusal::Rule(rule), refused);
            }
            Some(_) => self.close(key, Close::Gentle),
            None if slot.conn.is_finished() || slot.conn.is_failed() => self.close(key, Close::Gentle),
            None => {}
        }
    }

    /// Answers a client that did not manage to send a request, and ends its connection.
    pub(super) fn refuse(&mut self, key: ConnKey, refusal: Refusal, refused: Option<Box<RefusedRequest>>) {
        let id = Id::Made(self.ids.make());
        self.begin_exchange(key, id, |exchange, env| exchange.on_refused(refusal, refused, env));
    }

    /// Begins the exchange of a raw connection, whose ClientHello names `host`.
    pub(super) fn begin_tunnel(&mut self, key: ConnKey, listener: usize, host: Option<&str>) {
        let id = Id::Made(self.ids.make());
        if let Some(app) = self.snapshot.stream_app(listener) {
            let app = app.clone();
            return self.begin_exchange(key, id, |exchange, env| exchange.on_raw_app(app, env));
        }
        let listens = &self.snapshot.settings.tcp[listener];
        if listens.cluster.is_none() && listens.names.is_empty() {
            // Its app was forgotten.
            return self.close(key, Close::Gentle);
        }
        let host = host.map_or(Chunk::EMPTY, |host| self.pool.copy(host.as_bytes()));
        let cluster = self.snapshot.tcp_cluster(listener, &host);
        self.begin_exchange(key, id, |exchange, env| exchange.on_raw(cluster, host, env));
    }

    /// Begins an exchange of a client's connection. It has its place before it runs: should its code panic, there is
    /// something that can be answered and logged.
    pub(super) fn begin_exchange(
        &mut self,
        key: ConnKey,
        id: Id,
        begin: impl FnOnce(&mut Exchange, &mut Env<'_>),
    ) {
        let requests_max = self.snapshot.settings.limits.keepalive_requests;
        let Some(slot) = self.conns.get_mut(key) else { return };
        let Some(client) = slot.client_mut() else { return };
        client.requests += 1;
        let number = client.requests;
        let (facts, spare) = (Rc::clone(&client.facts), self.spares.pop());
        let exchange = Exchange::new(facts, number, id, &self.snapshot, spare, self.now);
        let running = Running::new(exchange, key);
        let exchange = self.exchanges.insert(running);
        client.state = Serving::Busy { exchange };
        if self.life == Life::Draining || number >= requests_max {
            slot.conn.set_last();
        }
        self.counters.requests.add(1);
        self.counters.exchanges_active.set(self.exchanges.len() as u64);
        self.feed(exchange, begin);
        // With a connection from the pool everything has been relayed by now.
        let upstream = self.exchanges.get(exchange).and_then(|running| running.upstream);
        if !upstream.and_then(|key| self.conns.get(key)).is_some_and(Slot::is_established) {
            self.relay_exchange(exchange);
        }
    }

    /// What comes on a connection that ends is dropped until the client has closed it too.
    fn relay_lingering(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        slot.conn.drop_received();
        if slot.conn.is_finished() || slot.conn.is_failed() {
            self.close(key, Close::Gentle);
        }
    }

    /// Does what the exchange that was just fed wants done.
    pub(super) fn perform(&mut self, key: ExchangeKey) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Open { source } => self.open(key, source),
                Action::Tunnel => self.note_tunnel(key),
                Action::Release => self.release_upstream(key),
                Action::Abandon => self.abandon_upstream(key),
                Action::Keep => self.keep_upstream(key),
                Action::Cut => self.cut_downstream(key),
            }
        }
    }

    fn note_tunnel(&mut self, key: ExchangeKey) {
        if let Some(running) = self.exchanges.get_mut(key) {
            running.stage = Stage::Tunneling;
            for conn in [Some(running.downstream), running.upstream].into_iter().flatten() {
                if let Some(port) = self.conns.get(conn).and_then(|slot| slot.conn.as_port()) {
                    port.open();
                }
            }
            self.counters.tunnels_active.add(1);
        }
    }

    /// Ends the client's connection in the middle of a response. Where its framing shows that something is missing the
    /// client gets what came, and an end in order behind it. Elsewhere only a reset shows it, which may destroy what
    /// is on its way; it serves as well for a client that is gone or takes nothing. What a panic left in the queue is
    /// not to be trusted.
    fn cut_downstream(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        let (downstream, outcome) = (running.downstream, running.exchange.outcome());
        if let Some(port) = self.conns.get(downstream).and_then(|slot| slot.conn.as_port()) {
            port.close(outcome.unwrap_or(Outcome::Internal) as u8);
        }
        self.complete(key);
        let is_wanted =
            outcome.is_some_and(|outcome| outcome.fault() == Fault::Upstream || outcome == Outcome::Stopped);
        let Some(slot) = self.conns.get(downstream) else { return };
        match outcome {
            Some(Outcome::Panicked) => self.close(downstream, Close::Reset),
            _ if is_wanted && slot.conn.is_cut_visible() => self.linger(downstream),
            _ => self.reset(downstream),
        }
    }

    /// Both connections of an exchange are to be settled.
    pub(super) fn touch_both(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        let (downstream, upstream) = (running.downstream, running.upstream);
        self.touch(downstream);
        if let Some(upstream) = upstream {
            self.touch(upstream);
        }
    }

    /// The outcome of an exchange whose tunnel or request never had a chance to be answered.
    pub(super) fn fail_exchange(&mut self, key: ExchangeKey, outcome: Outcome) {
        self.feed(key, |exchange, env| exchange.on_connect_failed(outcome, env));
        self.relay_exchange(key);
        self.touch_both(key);
    }
}
