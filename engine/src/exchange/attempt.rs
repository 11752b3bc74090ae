//! Getting an origin's connection, and trying again where that is safe.

use super::state::{Half, Relay, State};
use super::{Action, Env, Exchange, Outcome, Part, Replay, Side};
use crate::upstream::EndpointId;
use ringway_proto::message::RequestHead;

/// Where an upstream connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// It was dialed for this attempt.
    Fresh,
    /// It was idle in the pool.
    Reused,
}

/// Which upstream connections an attempt may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An idle one of the pool where there is one.
    Any,
    /// Only one that is dialed for it. An idle connection turned out to be dead: what closed it, a restart or a
    /// network that forgets, rarely closed only one, and there may be more of them than attempts.
    Dial,
}

/// An upstream connection that is ready for the exchange.
#[derive(Clone, Copy, Debug)]
pub struct Connected<'a> {
    /// Where it leads.
    pub endpoint: EndpointId,
    /// The endpoint's address as text.
    pub text: &'a str,
    /// Where it came from.
    pub provenance: Provenance,
}

impl Exchange {
    /// Asks for a connection.
    pub(super) fn open(&mut self, cluster: usize, source: Source, env: &mut Env<'_>) {
        self.attempts += 1;
        if let Some(before) = self.endpoint.take() {
            self.tried.push(before.endpoint);
        }
        self.facts.times.attempted = Some(env.now);
        self.facts.times.connected = None;
        self.state = State::Attempting { cluster, source, since: env.now };
        env.actions.push_back(Action::Open { cluster, source });
    }

    /// The shard chose an endpoint and is getting a connection to it.
    pub fn on_selected(&mut self, endpoint: EndpointId) {
        self.endpoint = Some(endpoint);
    }

    /// The connection that was asked for is ready: the request goes out, with what was sent before if this is
    /// not the first attempt.
    pub fn on_connected(&mut self, connected: Connected<'_>, env: &mut Env<'_>) {
        let State::Attempting { .. } = self.state else { return };
        self.facts.times.connected = Some(env.now);
        if self.request.is_none() {
            return self.begin_tunnel(env);
        }
        self.complete_host(connected.text);
        if let Some(head) = &self.request {
            env.outlets.forward(head);
        }
        let request = self.send_again(env);
        if !self.may_be_sent_again(connected.provenance) {
            self.replay = Replay::Lost;
        }
        self.state = State::Relaying(Relay { request, is_response_begun: false });
    }

    /// Sends what an earlier attempt sent, and says whether that was the whole request.
    fn send_again(&self, env: &mut Env<'_>) -> Half {
        let Replay::Kept { content, trailers, is_ended } = &self.replay else { return Half::Open };
        for chunk in content.chunks(env.pool) {
            env.outlets.send(Side::Upstream, Part::Data(chunk));
        }
        if !is_ended {
            return Half::Open;
        }
        if let Some(trailers) = trailers {
            env.outlets.send(Side::Upstream, Part::Trailers(trailers.clone()));
        }
        env.outlets.send(Side::Upstream, Part::End);
        Half::Ended
    }

    /// The connection that was asked for cannot be had.
    pub fn on_connect_failed(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        let State::Attempting { cluster, source, .. } = self.state else { return };
        // Nothing was sent: every request may go elsewhere.
        if outcome != Outcome::NoEndpoint && self.has_attempts_left(cluster) && self.replay.is_kept() {
            self.open(cluster, source, env);
        } else {
            self.answer(outcome, env);
        }
    }

    /// A pooled connection that dies before the first response byte most likely idled out at the origin, so a
    /// request that is safe to repeat is tried again (RFC 9110 section 9.2.2).
    pub(super) fn try_again(&mut self, env: &mut Env<'_>) -> bool {
        let (State::Relaying(_), Some(endpoint)) = (&self.state, self.endpoint) else { return false };
        if !self.replay.is_kept() || !self.has_attempts_left(endpoint.cluster) {
            return false;
        }
        env.actions.push_back(Action::Abandon);
        self.open(endpoint.cluster, Source::Dial, env);
        true
    }

    /// Whether another attempt may follow one on such a connection. If not, nothing is kept for it.
    fn may_be_sent_again(&self, provenance: Provenance) -> bool {
        let is_repeatable = |head: &RequestHead| head.method.is_idempotent() && head.upgrade.is_none();
        provenance == Provenance::Reused && self.request.as_ref().is_some_and(is_repeatable)
    }

    fn has_attempts_left(&self, cluster: usize) -> bool {
        self.attempts <= self.snapshot.settings.clusters[cluster].retries_max
    }
}
