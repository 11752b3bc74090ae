//! Getting an origin's connection, and trying again where that is safe.

use super::state::{Caller, Relay, State};
use super::{Action, Env, Exchange, Outcome, Part, Replay, Side};
use crate::error::Error;
use crate::limits::ATTEMPTS_MAX;
use crate::phase::peer::Target;
use crate::phase::{self, App, Peer, Phase};
use crate::settings::UpstreamTimeouts;
use crate::upstream::{EndpointId, Place};
use ringway_proto::message::RequestHead;
use std::borrow::Cow;
use std::rc::Rc;

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

/// What an attempt is made at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// An endpoint of the cluster with this index.
    Cluster(usize),
    /// A place that a hook chose.
    Place(Box<Place>),
    /// User code in this process.
    App(App),
}

impl Exchange {
    /// Lets hooks choose where the request goes next.
    pub(super) fn select(&mut self, source: Source, env: &mut Env<'_>) {
        self.source = source;
        self.state = State::Deciding;
        self.enter(Phase::Select, env);
    }

    pub(super) fn after_select(&mut self, env: &mut Env<'_>) {
        let Some(peer) = self.visit.as_mut().and_then(|visit| visit.peer.take()) else {
            return self.fail(Outcome::Internal, env);
        };
        if let Err(mistake) = self.aim_at(peer) {
            return self.fail_with(Error::new(Outcome::PeerInvalid).context(mistake), env);
        }
        // Anew for each attempt: a hook may have changed the request since the last one.
        if let Err(refusal) = self.prepare_upstream_request() {
            return self.refuse(refusal, env);
        }
        self.attempt(self.source, env);
    }

    /// Takes over what a hook chose.
    pub(super) fn aim_at(&mut self, peer: Peer) -> Result<(), Cow<'static, str>> {
        if let Some(mistake) = peer.mistake() {
            return Err(mistake.into());
        }
        let settings = &self.snapshot.settings;
        let goal = match peer.target {
            Target::Cluster(index) if index < settings.clusters.len() => Goal::Cluster(index),
            Target::Cluster(index) => return Err(format!("there is no cluster {index}").into()),
            Target::Named(name) => {
                let index = self.snapshot.cluster_index(&name);
                Goal::Cluster(index.ok_or_else(|| format!("there is no cluster \"{name}\""))?)
            }
            Target::Address(place) => Goal::Place(place),
            Target::App(app) => Goal::App(app),
        };
        let cluster = match goal {
            Goal::Cluster(index) => Some(&settings.clusters[index]),
            Goal::Place(_) | Goal::App(_) => None,
        };
        if goal != self.goal {
            // What was tried of another goal says nothing of this one.
            self.tried.clear();
            self.endpoint = None;
            self.goal = goal;
        }
        self.retries_max = cluster.map_or(0, |cluster| cluster.retries_max);
        self.timeouts = None;
        self.balance_key = None;
        if let Some(options) = peer.options {
            let timeouts = cluster.map_or_else(UpstreamTimeouts::default, |cluster| cluster.timeouts);
            self.timeouts = Some(options.timeouts(timeouts));
            self.retries_max = options.retries.unwrap_or(self.retries_max);
            if options.is_fresh {
                self.source = Source::Dial;
            }
            self.balance_key = options.balance_key;
        }
        Ok(())
    }

    /// Asks for a connection.
    pub(super) fn attempt(&mut self, source: Source, env: &mut Env<'_>) {
        if let Some(before) = self.endpoint.take() {
            self.tried.push(before.endpoint);
        }
        self.source = source;
        let session = self.session_mut();
        session.attempts += 1;
        session.facts.times.attempted = Some(env.now);
        session.facts.times.connected = None;
        session.facts.times.first_byte = None;
        self.state = State::Attempting { since: env.now };
        env.actions.push_back(Action::Open { source });
    }

    /// The shard chose an endpoint and is getting a connection to it; `None` where user code answers.
    pub fn on_selected(&mut self, endpoint: Option<EndpointId>, text: &Rc<str>) {
        self.endpoint = endpoint;
        self.session_mut().endpoint = Some(Rc::clone(text));
    }

    /// The connection that was asked for is ready: the request goes out, with what was sent before if this is
    /// not the first attempt.
    pub fn on_connected(&mut self, provenance: Provenance, env: &mut Env<'_>) {
        let State::Attempting { .. } = self.state else { return };
        self.session_mut().facts.times.connected = Some(env.now);
        if self.request().is_none() {
            return self.begin_tunnel(env);
        }
        self.is_reused = provenance == Provenance::Reused;
        if self.asked.has(Phase::Connected) {
            let is_reused = self.is_reused;
            let visit = self.visit.as_mut().expect("no hook waits");
            let endpoint = visit.session.endpoint.clone().expect("it was selected");
            visit.connected = Some(phase::Connected { endpoint, is_reused });
        }
        self.enter(Phase::Connected, env);
    }

    pub(super) fn after_connected(&mut self, env: &mut Env<'_>) {
        self.enter(Phase::UpstreamRequest, env);
    }

    pub(super) fn after_upstream_request(&mut self, env: &mut Env<'_>) {
        if let Err(mistake) = self.settle_host() {
            return self.fail_with(Error::failed(mistake), env);
        }
        if self.asked.has(Phase::RequestData) {
            self.include_joined();
        }
        if matches!(self.goal, Goal::App(_)) {
            self.hand_to_app(env);
        } else if self.upstream_request_mut().is_some_and(|head| !env.outlets.forward(head)) {
            // Nothing was sent: every request may go elsewhere.
            let may_retry = self.has_attempts_left();
            self.source = Source::Dial;
            return self.fail_attempt(Outcome::UpstreamClosed, may_retry, env);
        }
        self.send_again(env);
        let may_be_said = [Phase::Retry, Phase::UpstreamResponse].iter().any(|&phase| self.asked.has(phase));
        if !may_be_said && !self.may_be_sent_again() {
            self.replay = Replay::Lost;
        }
        self.state = State::Relaying(Relay { is_response_begun: false, is_switching: false });
    }

    /// An app is shown what the client sent, and answers an expectation by reading.
    fn hand_to_app(&mut self, env: &mut Env<'_>) {
        let Some(visit) = &mut self.visit else { return };
        if let Some(head) = &mut visit.session.request {
            head.retain(env.pool);
            // An app's port was made for this request.
            _ = env.outlets.forward(head);
        }
        self.answer_expectation(env);
    }

    /// Sends what an earlier attempt sent.
    fn send_again(&self, env: &mut Env<'_>) {
        let Replay::Kept { content, trailers, is_ended } = &self.replay else { return };
        for chunk in content.chunks(env.pool) {
            env.outlets.send(Side::Upstream, Part::Data(chunk));
        }
        if *is_ended {
            if let Some(trailers) = trailers {
                env.outlets.send(Side::Upstream, Part::Trailers(trailers.clone()));
            }
            env.outlets.send(Side::Upstream, Part::End);
        }
    }

    /// The connection that was asked for cannot be had.
    pub fn on_connect_failed(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        let State::Attempting { .. } = self.state else { return };
        self.note_error(outcome);
        // Nothing was sent: every request may go elsewhere.
        let may_retry = outcome != Outcome::NoEndpoint && self.has_attempts_left();
        if self.asked.has(Phase::ConnectFailed) {
            self.state = State::Failing { outcome, may_retry };
            return self.enter(Phase::ConnectFailed, env);
        }
        self.try_or_answer(outcome, may_retry, env);
    }

    /// Hooks had their say of an attempt that failed.
    pub(super) fn after_failed_attempt(&mut self, env: &mut Env<'_>) {
        let State::Failing { may_retry, .. } = self.state else { return };
        let (outcome, may_retry) = self.heard(may_retry);
        self.try_or_answer(outcome, may_retry, env);
    }

    /// A pooled connection that dies before the first response byte most likely idled out at the origin, so a request
    /// that is safe to repeat is tried again (RFC 9110 section 9.2.2).
    pub(super) fn fail_unanswered(&mut self, env: &mut Env<'_>) {
        // An address has no elsewhere, but another connection.
        let is_first = matches!(self.goal, Goal::Place(_)) && self.session_mut().attempts == 1;
        let may_retry = self.may_be_sent_again() && (is_first || self.has_attempts_left());
        self.source = Source::Dial;
        self.fail_attempt(Outcome::UpstreamClosed, may_retry, env);
    }

    /// It failed before an answer was taken. Hooks say whether another attempt is made, else `may_retry`.
    pub(super) fn fail_attempt(&mut self, outcome: Outcome, may_retry: bool, env: &mut Env<'_>) {
        env.actions.push_back(Action::Abandon);
        self.note_error(outcome);
        if self.asked.has(Phase::Retry) {
            self.state = State::Failing { outcome, may_retry };
            return self.enter(Phase::Retry, env);
        }
        self.try_or_answer(outcome, may_retry, env);
    }

    /// What hooks made of a failure: what it is called, and whether another attempt follows, as far as it can be had.
    fn heard(&self, may_retry: bool) -> (Outcome, bool) {
        let Some(visit) = &self.visit else { return (Outcome::Internal, false) };
        let Some(error) = &visit.error else { return (Outcome::Internal, false) };
        let may_retry = match error.retry() {
            Some(said) => said && visit.session.attempts < ATTEMPTS_MAX,
            None => may_retry,
        };
        (error.outcome(), may_retry)
    }

    fn try_or_answer(&mut self, outcome: Outcome, may_retry: bool, env: &mut Env<'_>) {
        if !may_retry || !self.replay.is_kept() {
            return self.answer(outcome, env);
        }
        if let Some(visit) = &mut self.visit {
            visit.error = None;
        }
        match self.request() {
            Some(_) if self.caller == Caller::Client => self.select(self.source, env),
            _ => self.attempt(self.source, env),
        }
    }

    /// Whether another attempt may follow this one without anybody's word. If not, nothing is kept for it.
    fn may_be_sent_again(&mut self) -> bool {
        let is_repeatable = |head: &mut RequestHead| head.method().is_idempotent() && head.upgrade.is_none();
        self.is_reused && self.upstream_request_mut().is_some_and(is_repeatable)
    }

    fn has_attempts_left(&mut self) -> bool {
        self.session_mut().attempts <= self.retries_max.min(ATTEMPTS_MAX - 1)
    }
}
