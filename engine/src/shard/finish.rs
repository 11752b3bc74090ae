//! The end of an exchange: metrics, log, and its connections' next use.

use super::Shard;
use super::slots::{Running, Serving, Slot, Stage};
use crate::exchange::{Exchange, Outcome};
use crate::io::Io;
use crate::keys::ExchangeKey;
use crate::observe::Record;
use crate::time::Instant;
use ringway_proto::message::{Fields, Name, Version};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Exchanges that are over and whose last hooks wait.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// In the order in which they came to that. Those are among them that are gone since.
    keys: VecDeque<ExchangeKey>,
    waiting: usize,
    /// How many were ended and not said to be.
    ended: u64,
    silent_until: Instant,
}

impl<I: Io> Shard<I> {
    /// Takes a finished exchange out: counted, logged, its connections freed. Then its last hooks run; the place of one
    /// whose hooks wait is kept until they are done.
    pub(super) fn complete(&mut self, key: ExchangeKey) {
        if self.exchanges.get(key).is_some_and(|running| running.upstream.is_some()) {
            self.abandon_upstream(key);
        }
        let Some(Running { exchange, downstream, stage, .. }) = self.exchanges.get_mut(key) else { return };
        if *stage == Stage::Leaving {
            return;
        }
        if *stage == Stage::Tunneling {
            self.counters.tunnels_active.sub(1);
        }
        *stage = Stage::Leaving;
        let outcome = exchange.outcome().unwrap_or(Outcome::Internal);
        if exchange.is_call() {
            // Whoever asked from within is told, and nobody else.
            return self.forget(key);
        }
        self.counters.outcome(outcome as usize);
        if let Some(status) = exchange.status() {
            self.counters.response(status);
        }
        if exchange.attempts() > 1 {
            self.counters.retries.add(u64::from(exchange.attempts() - 1));
        }
        if let Some(client) = self.conns.get_mut(*downstream).and_then(Slot::client_mut) {
            client.state = Serving::Waiting { since: self.now };
            client.context = exchange.take_connection_context();
            client.keepalive_idle = exchange.downstream_options().and_then(|own| own.keepalive_idle);
        }
        if outcome.fault() != crate::exchange::Fault::None {
            log_failure(exchange, outcome);
        }
        if self.log.is_some() {
            self.write_log(key, outcome);
        }
        if !self.bear(|shard| shard.feed(key, Exchange::on_finished)) {
            // Whoever panicked takes part no more; the others may write their lines.
            while !self.bear(|shard| shard.feed(key, Exchange::on_panicked)) {}
        }
        if self.exchanges.get(key).is_some_and(|running| running.exchange.is_parked()) {
            self.let_leave(key);
        } else {
            self.forget(key);
        }
    }

    /// The last hooks of an exchange wait. Those of whoever has waited longest end when there are too many: most likely
    /// what they wait for does not come.
    fn let_leave(&mut self, key: ExchangeKey) {
        self.leaving.keys.push_back(key);
        self.leaving.waiting += 1;
        let max = self.snapshot.settings.limits.logging_max;
        while self.leaving.waiting > max {
            let Some(oldest) = self.leaving.keys.pop_front() else { break };
            if self.exchanges.get(oldest).is_some() {
                self.discard(oldest);
                self.leaving.note_ended(max, self.now);
            }
        }
        if self.leaving.keys.len() > 2 * self.leaving.waiting + LEFT_MAX {
            self.leaving.keys.retain(|key| self.exchanges.get(*key).is_some());
        }
    }

    /// Forgets an exchange that ran until now or is leaving, and ends what of it still waits.
    pub(super) fn discard(&mut self, key: ExchangeKey) {
        if self.exchanges.get(key).is_some_and(|running| running.stage == Stage::Leaving) {
            self.leaving.waiting -= 1;
        }
        self.forget(key);
    }

    fn forget(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        if let Some(timer) = running.hook_timer {
            self.wheel.cancel(timer);
        }
        // What hooks and contexts hold is dropped here.
        self.bear(|shard| {
            let Some(running) = shard.exchanges.get_mut(key) else { return };
            if let Some(spare) = running.exchange.dismantle()
                && shard.spares.len() < SPARES_MAX
            {
                shard.spares.push(spare);
            }
        });
        // Where it is: it is too large to be moved out first.
        self.bear(|shard| shard.exchanges.discard(key));
        self.counters.exchanges_active.set(self.exchanges.len() as u64);
    }

    /// Runs what belongs to users at the end of an exchange. A panic there must not keep its connections from going on;
    /// says whether there was none.
    fn bear(&mut self, run: impl FnOnce(&mut Self)) -> bool {
        let is_well = catch_unwind(AssertUnwindSafe(|| run(self))).is_ok();
        if !is_well {
            self.counters.panics.add(1);
            self.feeding = None;
        }
        is_well
    }

    fn write_log(&mut self, key: ExchangeKey, outcome: Outcome) {
        let (Some(log), Some(Running { exchange, .. })) = (&mut self.log, self.exchanges.get(key)) else {
            return;
        };
        let Some(session) = exchange.session() else { return };
        let facts = &session.facts;
        let times = facts.times;
        let asked = Asked::of(exchange);
        let field = |name| asked.fields.and_then(|fields| fields.get_received(name));
        let status = exchange.status().unwrap_or_else(|| match outcome.fault() {
            crate::exchange::Fault::None => 0,
            _ => outcome.status(),
        });
        log.write(&Record {
            unix_ms: self.clock.unix_ms(),
            request_id: &facts.id,
            peer: &facts.downstream.address,
            method: asked.method,
            target: asked.target,
            host: (asked.fields.is_some() || !facts.host.is_empty()).then_some(&*facts.host),
            protocol: asked.protocol,
            status,
            received_bytes: facts.traffic.received,
            sent_bytes: facts.traffic.sent,
            referer: field(Name::Referer),
            user_agent: field(Name::UserAgent),
            cluster: exchange.cluster().map(|cluster| &*self.upstreams.cluster(cluster).name),
            endpoint: session.endpoint(),
            attempts: exchange.attempts(),
            select_us: times.attempted.map(|attempted| attempted.micros_since(times.begun)),
            connect_us: times
                .attempted
                .and_then(|attempted| times.connected.map(|connected| connected.micros_since(attempted))),
            first_byte_us: times.first_byte.map(|first_byte| first_byte.micros_since(times.begun)),
            total_us: self.now.micros_since(times.begun),
            outcome: outcome.label(),
            rule: exchange.rule().map(|rule| rule.word()),
            downstream_request: facts.number,
        });
    }
}

/// What was asked for, as far as it could be read.
struct Asked<'a> {
    method: &'a [u8],
    target: &'a [u8],
    protocol: &'static str,
    fields: Option<&'a Fields>,
}

impl<'a> Asked<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        let (method, target, version, fields) = match (exchange.request(), exchange.refused_request()) {
            (Some(head), _) => (head.received_method(), head.received_target(), head.version, &head.fields),
            (None, Some(head)) => (head.method_bytes(), head.received_target(), head.version, &head.fields),
            (None, None) => {
                let is_raw = exchange.session().is_some_and(|session| session.client().scheme == "tcp");
                return Self {
                    method: b"",
                    target: b"",
                    protocol: if is_raw { "TCP" } else { "" },
                    fields: None,
                };
            }
        };
        Self { method, target, protocol: protocol(version), fields: Some(fields) }
    }
}

/// The name of a version in the log. Other servers, too, give HTTP/2 a minor number there, which it does not have.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    }
}

/// One line for what somebody has to look at: our own faults loudly, a client's only when asked for.
fn log_failure(exchange: &Exchange, outcome: Outcome) {
    use crate::exchange::Fault;
    let level = match outcome.fault() {
        Fault::Local if outcome != Outcome::NoRoute => log::Level::Warn,
        Fault::Upstream => log::Level::Info,
        _ => log::Level::Debug,
    };
    if log::log_enabled!(level) {
        let Some(session) = exchange.session() else { return };
        let facts = &session.facts;
        let rule = exchange.rule().map_or("", |rule| rule.word());
        log::log!(
            level,
            "{outcome} {rule} client={} request={}",
            facts.downstream.address,
            String::from_utf8_lossy(&facts.id)
        );
    }
}

impl Leaving {
    /// Counts one that was ended, and says so once in a while: they come by thousands.
    fn note_ended(&mut self, max: usize, now: Instant) {
        self.ended += 1;
        if now >= self.silent_until {
            log::warn!("more than {max} logging hooks wait on a shard: ended {} of them", self.ended);
            self.ended = 0;
            self.silent_until = now + ENDED_SAID_EVERY;
        }
    }
}

/// How often it is said that logging hooks were ended.
const ENDED_SAID_EVERY: Duration = Duration::from_secs(1);
/// Exchanges that have left and are still in the row of those that leave, besides as many as are leaving.
const LEFT_MAX: usize = 64;
/// What is kept of exchanges that are over, for those that come.
const SPARES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_with_both_their_numbers() {
        let all = [Version::Http10, Version::Http11, Version::Http2];
        assert_eq!(all.map(protocol), ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]);
    }
}
