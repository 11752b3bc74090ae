//! What each connection waits for, until when, and what happens then.
//!
//! A connection has one timer. Its deadline is worked out from what the connection and its exchange are doing;
//! nothing is armed or cancelled per request as long as deadlines only move later.

use super::settle::unwatched_until;
use super::slots::{Client, Role, Serving, Slot, Timed, Upstream};
use super::{Life, Shard};
use crate::conn::Connection;
use crate::exchange::{Outcome, Refusal, Side, Timeout, Waits};
use crate::io::{Close, Io};
use crate::keys::{ConnKey, ExchangeKey};
use crate::limits::{DRAIN_PATIENCE, SEND_RATE_GRACE};
use crate::phase::downstream::DownstreamOptions;
use crate::settings::{Limits, UpstreamTimeouts};
use crate::time::Instant;
use std::time::Duration;

/// What happens when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The connection ends; nobody is owed an answer.
    Close,
    /// A request head was begun and not completed: 408.
    Header,
    /// What stands before everything did not come.
    Opening,
    /// The dial took too long.
    Dial(ExchangeKey),
    /// An idle upstream connection expired.
    Expire,
    /// The exchange is told.
    Exchange(ExchangeKey, Timeout),
    /// The client is watched from now on.
    Watch,
}

impl<I: Io> Shard<I> {
    /// Arms the connection's timer if its deadline is earlier than what is armed.
    pub(super) fn arm(&mut self, key: ConnKey) {
        let Some((deadline, _)) = self.deadline(key) else { return };
        let Some(slot) = self.conns.get_mut(key) else { return };
        match slot.timer {
            Some((_, armed)) if armed <= deadline => {}
            timer => {
                if let Some((timer, _)) = timer {
                    self.wheel.cancel(timer);
                }
                slot.timer = Some((self.wheel.insert(deadline, Timed::Conn(key)), deadline));
            }
        }
    }

    /// The connection's timer fired.
    pub(super) fn on_timer(&mut self, key: ConnKey) {
        let Some(slot) = self.conns.get_mut(key) else { return };
        slot.timer = None;
        match self.deadline(key) {
            Some((deadline, due)) if deadline <= self.now => self.on_due(key, due),
            _ => {}
        }
        self.touch(key);
    }

    /// Arms the timer of a hook that waits, unless it is.
    pub(super) fn arm_hook(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        let (Some(since), None) = (running.exchange.parked_since(), running.hook_timer) else { return };
        let patience = running.exchange.snapshot().settings.limits.hook_timeout;
        running.hook_timer = Some(self.wheel.insert(since + patience, Timed::Hook(key)));
    }

    /// The timer of a hook fired: of the one that waits now, or of an earlier one.
    pub(super) fn on_hook_timer(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        running.hook_timer = None;
        let patience = running.exchange.snapshot().settings.limits.hook_timeout;
        match running.exchange.parked_since() {
            Some(since) if since + patience <= self.now => {
                self.feed(key, |exchange, env| exchange.on_timeout(Timeout::Hook, env));
                self.after_hook(key);
            }
            _ => self.arm_hook(key),
        }
    }

    fn on_due(&mut self, key: ConnKey, due: Due) {
        match due {
            Due::Close => self.close(key, Close::Gentle),
            Due::Header => self.refuse(key, Refusal::Outcome(Outcome::HeaderTimeout), None),
            Due::Opening => self.fail_opening(key, Outcome::HeaderTimeout),
            Due::Expire => self.discard_idle(key),
            // It is settled behind every timer.
            Due::Watch => {}
            Due::Dial(exchange) => {
                self.counters.upstream_connect_failures.add(1);
                self.abandon_upstream(exchange);
                self.fail_exchange(exchange, Outcome::ConnectTimeout);
            }
            Due::Exchange(exchange, timeout) => {
                self.feed(exchange, |exchange, env| exchange.on_timeout(timeout, env));
                self.relay_exchange(exchange);
                self.touch_both(exchange);
            }
        }
    }

    /// The earliest thing that this connection's clock decides.
    fn deadline(&self, key: ConnKey) -> Option<(Instant, Due)> {
        let slot = self.conns.get(key)?;
        match &slot.role {
            Role::Downstream(client) => self.client_deadline(slot, client),
            Role::Upstream { endpoint, state } => {
                let cluster = self.upstreams.cluster(endpoint.cluster);
                match *state {
                    Upstream::Dialing { exchange, since } => {
                        let running = self.exchanges.get(exchange);
                        let own = running.and_then(|running| running.exchange.timeouts());
                        Some((since + own.unwrap_or(&cluster.timeouts).connect, Due::Dial(exchange)))
                    }
                    Upstream::Idle { since } => Some((since + cluster.keepalive.idle_timeout, Due::Expire)),
                    Upstream::Closing { since } => {
                        let moved = since.max(slot.conn.sent_at());
                        Some((moved + self.snapshot.settings.limits.write_idle, Due::Close))
                    }
                    Upstream::Busy { exchange } => self.upstream_deadline(slot, exchange, endpoint.cluster),
                }
            }
            Role::Local { exchange, side: Side::Upstream, .. } => self.app_deadline(slot, *exchange),
            // Who asks from within waits as long as it likes, and takes what it asked for when it likes.
            Role::Local { side: Side::Downstream, .. } | Role::Closed => None,
        }
    }

    fn client_deadline(&self, slot: &Slot, client: &Client) -> Option<(Instant, Due)> {
        let limits = &self.snapshot.settings.limits;
        match client.state {
            // Behind a response that was cut there may be something to send yet.
            Serving::Lingering { since } => {
                Some((since.max(slot.conn.sent_at()) + limits.linger, Due::Close))
            }
            // A pipelined head may have begun long before its turn came, and its end may wait in the kernel since
            // then: nobody was late but the exchange before it.
            Serving::Waiting { since } if slot.conn.is_head_begun() => {
                let begun = slot.conn.head_since().unwrap_or(since).max(since);
                Some((begun + limits.header_timeout, Due::Header))
            }
            Serving::Opening { since } if self.life == Life::Draining && !slot.conn.is_opening_begun() => {
                Some((since + DRAIN_PATIENCE, Due::Close))
            }
            Serving::Opening { since } => Some((since + limits.header_timeout, Due::Opening)),
            Serving::Waiting { since } => {
                let patience = match client.requests {
                    _ if self.life == Life::Draining => DRAIN_PATIENCE,
                    0 => limits.header_timeout,
                    _ => client.keepalive_idle.unwrap_or(limits.keepalive_idle),
                };
                Some((since + patience, Due::Close))
            }
            Serving::Busy { exchange } => self.busy_deadline(slot, exchange),
        }
    }

    /// What the client's side of a running exchange waits for.
    fn busy_deadline(&self, slot: &Slot, key: ExchangeKey) -> Option<(Instant, Due)> {
        let running = self.exchanges.get(key)?;
        let exchange = &running.exchange;
        let limits = &exchange.snapshot().settings.limits;
        let own = exchange.downstream_options();
        let due = |at: Instant, timeout| Some((at, Due::Exchange(key, timeout)));
        let writes = (!slot.conn.queue().is_empty())
            .then(|| due(write_deadline(&slot.conn, own, limits), Timeout::DownstreamWrite))
            .flatten();
        let total = own
            .and_then(|own| own.request_timeout)
            .unwrap_or(limits.request_timeout)
            .and_then(|timeout| due(exchange.begun() + timeout, Timeout::Request))
            .filter(|_| !matches!(exchange.waits(), Waits::Tunnel | Waits::Flush | Waits::Discard { .. }));
        let upstream = running.upstream.and_then(|upstream| self.conns.get(upstream));
        // While the origin does not take what the client sent, the client is not the one who is late.
        let is_origin_behind = upstream.is_some_and(is_behind);
        let body = |since: Instant| {
            let since = since.max(slot.conn.received_at()).max(exchange.resumed());
            let since = upstream.map_or(since, |upstream| upstream.conn.sent_at().max(since));
            (!is_origin_behind)
                .then(|| {
                    due(since + own.and_then(|own| own.body_idle).unwrap_or(limits.body_idle), Timeout::Body)
                })
                .flatten()
        };
        let wait = match exchange.waits() {
            Waits::FirstByte { request_ended: false, expecting: true } => {
                let connected = exchange.session().and_then(|session| session.times().connected);
                let since = connected.map_or(self.now, |connected| connected.max(exchange.resumed()));
                due(since + limits.expect_timeout, Timeout::Expect)
            }
            // What the client was sent so far is a 100 (Continue), which it may have waited for.
            Waits::FirstByte { request_ended: false, .. } => body(slot.conn.sent_at()),
            Waits::Response { request_ended: false } => body(Instant::ZERO),
            Waits::Discard { since } => {
                due(since + own.and_then(|own| own.linger).unwrap_or(limits.linger), Timeout::Linger)
            }
            Waits::Tunnel => {
                let other = upstream.map_or(Instant::ZERO, |up| up.conn.sent_at().max(up.conn.received_at()));
                let moved = slot.conn.sent_at().max(slot.conn.received_at()).max(other);
                due(
                    moved + own.and_then(|own| own.tunnel_idle).unwrap_or(limits.tunnel_idle),
                    Timeout::TunnelIdle,
                )
            }
            Waits::Hook
            | Waits::Connect { .. }
            | Waits::FirstByte { .. }
            | Waits::Response { .. }
            | Waits::Flush => None,
        };
        let watch = unwatched_until(slot, running).filter(|until| *until > self.now);
        let watch = watch.map(|until| (until, Due::Watch));
        [writes, total, wait, watch].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What user code that is to answer is waited for.
    fn app_deadline(&self, slot: &Slot, key: ExchangeKey) -> Option<(Instant, Due)> {
        let exchange = &self.exchanges.get(key)?.exchange;
        let Waits::FirstByte { request_ended: true, .. } = exchange.waits() else { return None };
        let patience =
            exchange.timeouts().map_or_else(|| UpstreamTimeouts::default().first_byte, |own| own.first_byte);
        Some((slot.conn.sent_at() + patience, Due::Exchange(key, Timeout::FirstByte)))
    }

    /// What the origin's side of a running exchange waits for.
    fn upstream_deadline(&self, slot: &Slot, key: ExchangeKey, cluster: usize) -> Option<(Instant, Due)> {
        let running = self.exchanges.get(key)?;
        let exchange = &running.exchange;
        let timeouts = exchange.timeouts().unwrap_or(&self.upstreams.cluster(cluster).timeouts);
        let due = |at: Instant, timeout| Some((at, Due::Exchange(key, timeout)));
        if !slot.conn.queue().is_empty() {
            let write_idle = exchange.snapshot().settings.limits.write_idle;
            return due(slot.conn.sent_at() + write_idle, Timeout::UpstreamWrite);
        }
        let client = self.conns.get(running.downstream)?;
        if is_behind(client) {
            // While the client does not take what came, the origin is not the one who is late.
            return None;
        }
        let since = slot.conn.sent_at().max(slot.conn.received_at()).max(client.conn.sent_at());
        // What a hook took is not the origin's doing.
        let since = since.max(exchange.resumed());
        match exchange.waits() {
            Waits::Response { .. } => due(since + timeouts.between_bytes, Timeout::BetweenBytes),
            // The first byte of a head is the first byte of the answer.
            Waits::FirstByte { .. } if slot.conn.is_head_begun() => {
                due(since + timeouts.between_bytes, Timeout::BetweenBytes)
            }
            // An interim response shows that the origin lives, and begins its time again.
            Waits::FirstByte { request_ended: true, .. } => {
                due(since + timeouts.first_byte, Timeout::FirstByte)
            }
            _ => None,
        }
    }
}

/// Until when a client has to take more of what is queued for it.
fn write_deadline(conn: &Connection, own: Option<&DownstreamOptions>, limits: &Limits) -> Instant {
    let Some(own) = own else { return conn.sent_at() + limits.write_idle };
    let idle = conn.sent_at() + own.write_idle.unwrap_or(limits.write_idle);
    let Some(rate) = own.send_rate_min else { return idle };
    let backlog = conn.backlog();
    let earned = Duration::from_millis(backlog.bytes.saturating_mul(1000) / rate);
    idle.min(backlog.since + SEND_RATE_GRACE + earned)
}

/// Whether the peer does not take what is queued for it. What is queued in this turn says nothing of that before it was
/// sent, and who waits for the other side may be settled first.
fn is_behind(slot: &Slot) -> bool {
    (!slot.conn.queue().is_empty() || slot.conn.as_port().is_some_and(|port| port.held_bytes() > 0))
        && !slot.is_touched
}
