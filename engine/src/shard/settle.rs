//! How a turn ends: every connection that was touched is flushed, resumed, closed, watched and timed.

use super::slots::{Client, Role, Running, Serving, Slot, Upstream};
use super::{Life, Shard};
use crate::io::{Close, Interest, Io};
use crate::keys::ConnKey;
use crate::limits::{LAST_REQUEST_UNWATCHED, QUEUE_LOW_BYTES};
use crate::time::Instant;
use std::io::ErrorKind;

impl<I: Io> Shard<I> {
    /// Settles what was touched, and what that touches, until nothing is left.
    pub(super) fn settle(&mut self) {
        self.unsettled_bytes = 0;
        while let Some(key) = self.touched.pop() {
            if let Some(slot) = self.conns.get_mut(key) {
                slot.is_touched = false;
                self.settling = Some(key);
                self.flush(key);
                self.conclude(key);
                self.watch(key);
                self.arm(key);
            }
        }
        self.settling = None;
    }

    /// Sends what is queued, as far as the socket takes it.
    fn flush(&mut self, key: ConnKey) {
        let mut has_sent = false;
        while let Some(slot) = self.conns.get_mut(key) {
            let queued = slot.conn.queue().len();
            if queued == 0 || !slot.is_established() {
                break;
            }
            match self.io.transmit(key, slot.conn.queue()) {
                Ok(sent) => {
                    has_sent = true;
                    slot.conn.on_transmitted(self.now, sent);
                    self.count_sent(key, sent);
                    if sent < queued && sent < ringway_proto::chunk::LARGE_BYTES {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(error) => {
                    self.on_transmit_failed(key, error.kind());
                    break;
                }
            }
        }
        if has_sent {
            self.on_room(key);
        }
    }

    fn count_sent(&self, key: ConnKey, sent: usize) {
        let Some(slot) = self.conns.get(key) else { return };
        match slot.role {
            Role::Downstream(_) => self.counters.downstream_sent_bytes.add(sent as u64),
            Role::Upstream { .. } => self.counters.upstream_sent_bytes.add(sent as u64),
            Role::Local { .. } | Role::Closed => {}
        }
    }

    /// Nothing more can be sent. What the peer sent before may still be readable, an origin's early answer above
    /// all, so the receiving side decides how this ends.
    fn on_transmit_failed(&mut self, key: ConnKey, error: ErrorKind) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        slot.conn.on_output_failed(error);
        if matches!(slot.role, Role::Downstream(_)) {
            slot.conn.on_failed();
            self.relay(key);
        }
    }

    /// There is room in the queue again: the other side of the exchange goes on.
    fn on_room(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        let exchange = slot.exchange();
        if slot.is_full && slot.conn.held_bytes() <= QUEUE_LOW_BYTES {
            slot.is_full = false;
            if let Some(exchange) = exchange {
                self.relay_exchange(exchange);
                // Whoever was paused is watched again.
                self.touch_both(exchange);
            }
        } else if slot.interest.writable && slot.conn.queue().is_empty() {
            // This side was behind, so the other was not timed; now it is the other's turn to be late.
            if let Some(exchange) = exchange {
                self.touch_both(exchange);
            }
        }
    }

    /// Ends what is due to end once the queue is empty.
    fn conclude(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        if !slot.is_established() || !slot.conn.queue().is_empty() {
            return;
        }
        if slot.conn.as_port().is_some() {
            return self.conclude_local(key);
        }
        if slot.conn.is_finish_due() {
            slot.conn.on_output_finished();
            self.io.finish(key);
        }
        match &slot.role {
            Role::Downstream(Client { state: Serving::Busy { exchange }, .. }) => {
                let exchange = *exchange;
                let Some(running) = self.exchanges.get_mut(exchange) else { return };
                running.exchange.on_flushed();
                if running.exchange.outcome().is_some() {
                    // What comes behind a malformed request is the rest of it, whatever it looks like.
                    let may_have_more = running.exchange.rule().is_some() || !slot.conn.is_receive_done();
                    let session = running.exchange.session();
                    let had_content = session.is_some_and(|session| session.traffic().received > 0);
                    self.complete(exchange);
                    self.after_exchange(key, may_have_more, had_content);
                }
            }
            Role::Upstream { state: Upstream::Closing { .. }, .. } => self.close(key, Close::Gentle),
            _ => {}
        }
    }

    /// A client's exchange is over and everything was sent: the next request, or the end.
    fn after_exchange(&mut self, key: ConnKey, may_have_more: bool, had_content: bool) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        if slot.conn.is_failed() {
            return self.close(key, Close::Gentle);
        }
        let is_over = slot.conn.must_close() || !slot.conn.is_reusable();
        if is_over || (self.life == Life::Draining && slot.conn.undecoded_bytes() == 0) {
            return self.close_client(key, may_have_more, had_content);
        }
        // Nothing is touched for its own sake: who settles this connection goes on to watch and time it, and a
        // request that has already come touches what it sends to.
        self.relay_waiting(key);
    }

    /// Ends a client's connection so that it can read everything we sent: closed at once when it has nothing more
    /// to send, else half-closed, with the rest read and dropped for a while. A client that may send another request
    /// can have sent it by now; met by a closed socket it comes back as a reset, which destroys the answer that the
    /// client has not read yet (RFC 9112 section 9.6).
    fn close_client(&mut self, key: ConnKey, may_have_more: bool, had_content: bool) {
        let Some(slot) = self.conns.get(key) else { return };
        let is_clean = slot.conn.is_finished() || slot.conn.is_failed();
        if is_clean || slot.conn.is_tunnel() {
            return self.close(key, Close::Gentle);
        }
        let has_more = may_have_more || !slot.conn.is_reuse_declined() || slot.conn.undecoded_bytes() > 0;
        // Behind content some clients send an empty line too many (RFC 9112 section 2.2).
        if has_more || (had_content && self.has_bytes(key)) {
            self.linger(key);
        } else {
            self.close(key, Close::Gentle);
        }
    }

    /// Half-closes once everything is sent; what still comes is dropped until the client closes, too.
    pub(super) fn linger(&mut self, key: ConnKey) {
        let now = self.now;
        let Some(slot) = self.conns.get_mut(key) else { return };
        slot.conn.drop_received();
        if let Some(client) = slot.client_mut() {
            client.state = Serving::Lingering { since: now };
        }
        slot.conn.finish();
        self.touch(key);
    }

    /// Whether a close now would meet bytes that nobody has read, and so become a reset.
    fn has_bytes(&mut self, key: ConnKey) -> bool {
        let mut probe = [0; 1];
        matches!(self.io.receive(key, &mut probe), Ok(1..))
    }

    /// Tells the pump what to watch the connection for from now on.
    pub(super) fn watch(&mut self, key: ConnKey) {
        let wants_bytes = self.wants_bytes(key);
        let Some(slot) = self.conns.get_mut(key) else { return };
        if slot.conn.as_port().is_some() {
            return;
        }
        slot.conn.retain();
        let is_established = slot.is_established();
        let interest = Interest {
            readable: wants_bytes && is_established,
            writable: !slot.conn.queue().is_empty() || !is_established,
        };
        if interest != slot.interest {
            slot.interest = interest;
            self.io.watch(key, interest);
        }
    }

    /// Whether bytes from this connection are of use now. A client that waits for its answer is watched all the
    /// same, or we would not see it leave.
    pub(super) fn wants_bytes(&self, key: ConnKey) -> bool {
        let Some(slot) = self.conns.get(key) else { return false };
        if !slot.conn.is_receiving() {
            return false;
        }
        let Some(running) = slot.exchange().and_then(|exchange| self.exchanges.get(exchange)) else {
            return true;
        };
        let other = match &slot.role {
            Role::Downstream(_) if unwatched_until(slot, running).is_some_and(|until| self.now < until) => {
                return false;
            }
            Role::Downstream(_) => running.upstream,
            Role::Upstream { .. } | Role::Local { .. } | Role::Closed => Some(running.downstream),
        };
        !other.and_then(|other| self.conns.get(other)).is_some_and(|slot| slot.is_full)
    }

    /// Resets a connection. What the socket takes of its queue goes first: it may arrive before the reset.
    pub(super) fn reset(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get(key) else { return };
        if slot.is_established()
            && !slot.conn.queue().is_empty()
            && let Ok(sent) = self.io.transmit(key, slot.conn.queue())
        {
            self.count_sent(key, sent);
        }
        self.close(key, Close::Reset);
    }

    /// Closes a connection and forgets it.
    pub(super) fn close(&mut self, key: ConnKey, how: Close) {
        let Some(slot) = self.conns.remove(key) else { return };
        if let Some((timer, _)) = slot.timer {
            self.wheel.cancel(timer);
        }
        match slot.role {
            Role::Downstream(client) => {
                self.clients -= 1;
                self.counters.downstream_active.set(self.clients as u64);
                self.discard_idle_of(&client.facts);
            }
            Role::Upstream { endpoint, .. } => {
                self.counters.upstream_active.sub(1);
                self.upstreams.on_connection_gone(endpoint);
            }
            Role::Local { exchange, task, .. } => {
                return self.close_port(&slot.conn, exchange, task, how);
            }
            Role::Closed => return,
        }
        self.io.close(key, how);
    }
}

/// Until when a client's connection is left alone: its request is complete and was its last, so that nothing can come
/// any more but the news that it has left.
pub(super) fn unwatched_until(slot: &Slot, running: &Running) -> Option<Instant> {
    let is_last = slot.conn.is_reuse_declined() && slot.conn.is_receive_done() && !slot.conn.is_tunnel();
    is_last.then(|| running.exchange.begun() + LAST_REQUEST_UNWATCHED)
}
