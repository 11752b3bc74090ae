//! One request and its response, from the first part to the outcome.
//!
//! An exchange consumes parts and emits [`Action`]s. It knows no socket, no connection and no version of HTTP:
//! the same relay serves every pair of versions. Everything that can happen to it is an `on_*` method, and
//! each method's `match` over [`State`] says what it means there.
//!
//! At its phases somebody else's hooks take part, which may wait: then the exchange is parked, takes no part of a
//! message, and goes on where it was once it is woken. What comes behind a phase is a function `after_...`.
//!
//! Read [`state`], then [`hooks`] (how a phase is visited), [`request`] (what happens before an origin is chosen),
//! [`attempt`] (getting an origin's connection and trying again), [`response`] (the way back), [`local`] (answers of
//! our own), [`tunnel`], and [`crate::error::outcome`] (every way it can end).

mod attempt;
mod hooks;
mod local;
mod replay;
mod request;
mod response;
mod state;
mod tunnel;

pub use crate::error::{Fault, Outcome};
pub use crate::phase::facts::{Downstream, Facts, Id, Times, Traffic};
pub use attempt::{Goal, Provenance, Source};
pub use hooks::{Callback, Spare};
pub use request::Refusal;

use crate::error::Error;
use crate::phase::chain::Chain;
use crate::phase::downstream::DownstreamOptions;
use crate::phase::intake::Intake;
use crate::phase::{ContentUse, Phase, Phases, Session, Visit};
use crate::settings::UpstreamTimeouts;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::upstream::EndpointId;
use hooks::{Callbacks, Parked};
use replay::Replay;
use ringway_proto::chunk::Pool;
use ringway_proto::message::{Line, Part, RefusedRequest, RequestHead, Reset, ResponseHead};
use ringway_proto::rules::Rule;
use state::{Half, State};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

/// Towards the client or towards the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's side.
    Downstream,
    /// The origin's side.
    Upstream,
}

/// Where an exchange's own side of a message goes: encoded at once, since a part is large to keep and there is nothing
/// to wait for.
pub trait Outlets {
    /// Encodes a part towards `side`.
    fn send(&mut self, side: Side, part: Part);
    /// Encodes the head of the request towards the origin. False when its connection takes none any more: it ended, or
    /// said something unasked, while hooks had their say.
    #[must_use]
    fn forward(&mut self, head: &RequestHead) -> bool;
    /// Whether so many bytes behind what was taken have come from `side` already.
    fn has_received(&self, side: Side, bytes: u64) -> bool;
    /// Takes the end of the message that comes from `side` where nothing else is left of it: true when the content that
    /// came last is the last. No [`Part::End`] follows then.
    fn take_end(&mut self, side: Side) -> bool;
    /// The client's connection closes after this exchange, which a head that is still to be sent says.
    fn set_last(&mut self);
}

/// What an exchange wants its shard to do once it has returned, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get a connection to [`Exchange::goal`], then call [`Exchange::on_connected`] or
    /// [`Exchange::on_connect_failed`].
    Open {
        /// Which connections will do.
        source: Source,
    },
    /// From now on the bytes of both connections are opaque.
    Tunnel,
    /// The upstream connection is done with: keep it if it is reusable, close it if not.
    Release,
    /// The upstream connection is in the middle of something that no longer matters: close it.
    Abandon,
    /// The upstream connection of a stream is open and silent: keep it for others.
    Keep,
    /// Reset the client's connection, so that what it got is not taken for complete.
    Cut,
}

/// What an exchange may look at and use while it decides.
pub struct Env<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The configuration that the shard uses now; an exchange keeps the one it began with.
    pub snapshot: &'a Rc<Snapshot>,
    /// Where buffers come from.
    pub pool: &'a Pool,
    /// `Date` in this second.
    pub date: &'a Line,
    /// Where its parts go.
    pub outlets: &'a mut dyn Outlets,
    /// What it wants done.
    pub actions: &'a mut VecDeque<Action>,
    /// Wakes it when a hook of it waits.
    pub waker: &'a Waker,
    /// Whether its shard finishes what runs.
    pub is_draining: bool,
}

/// Time-outs that a shard tells its exchanges about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The request body stopped coming.
    Body,
    /// The client takes nothing.
    DownstreamWrite,
    /// The origin takes nothing.
    UpstreamWrite,
    /// The origin does not begin to answer.
    FirstByte,
    /// The origin's answer paused.
    BetweenBytes,
    /// The whole exchange takes too long.
    Request,
    /// Nobody answered `Expect: 100-continue`.
    Expect,
    /// The rest of an unwanted request body does not come.
    Linger,
    /// No byte moves in a tunnel.
    TunnelIdle,
    /// A hook does not answer.
    Hook,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    caller: state::Caller,
    snapshot: Rc<Snapshot>,
    /// What hooks may touch; one that runs has it.
    visit: Option<Box<Visit>>,
    /// Whose hooks take part.
    chain: Chain,
    /// What anybody of the chain asked for.
    asked: Phases,
    /// The hook that waits.
    parked: Option<Parked>,
    /// Content hooks that want to be called without a piece of content.
    callbacks: Callbacks,
    /// The member of the chain whose hook ran last; looked at only after a panic.
    ran: usize,
    /// When it began; also to be known while a hook has the rest.
    begun: Instant,
    /// What hooks read of the content before it was relayed.
    intake: Option<Rc<Intake>>,
    /// When a hook that waited went on: until then nobody else was late.
    resumed: Instant,
    /// What was read of a request that is none.
    refused: Option<Box<RefusedRequest>>,
    rule: Option<Rule>,
    /// The client named no host, and the endpoint's stands in its place.
    is_host_ours: bool,
    /// A hook of the response's head failed, and is not asked about what says so.
    is_bare: bool,
    /// Whether all of the request was taken.
    request: Half,
    /// Which connections this attempt may use.
    source: Source,
    /// Whether the connection of this attempt was used before.
    is_reused: bool,
    expect: state::Expect,
    /// What hooks do with the request's content, settled when its head is made.
    request_use: ContentUse,
    /// What hooks do with the response's content, settled when its head is sent.
    response_use: ContentUse,
    replay: Replay,
    goal: Goal,
    /// Time-outs of this attempt, where a hook chose others than its endpoint's.
    timeouts: Option<UpstreamTimeouts>,
    /// Further attempts that may follow by themselves.
    retries_max: u32,
    /// Endpoints of the cluster that were tried.
    tried: Vec<usize>,
    endpoint: Option<EndpointId>,
    /// What of the client's side differs; known while a hook has the session, too.
    downstream_options: Option<Box<DownstreamOptions>>,
    /// What a hook wants the cluster to balance by.
    balance_key: Option<Box<[u8]>>,
}

impl Exchange {
    /// A part came from one side. Only called when [`Exchange::accepts`] that side.
    pub fn on_part(&mut self, side: Side, part: Part, env: &mut Env<'_>) {
        if self.parked.is_some() {
            return self.on_intake(part, env);
        }
        match (side, part) {
            (Side::Downstream, Part::Data(chunk)) => self.on_request_data(chunk, env),
            (Side::Downstream, Part::Trailers(fields)) => self.on_request_trailers(fields, env),
            (Side::Downstream, Part::End) => self.on_request_end(env),
            (Side::Downstream, Part::Reset(reset)) => self.on_request_reset(reset, env),
            (Side::Upstream, Part::Response(head)) => self.on_response(head, env),
            (Side::Upstream, Part::Data(chunk)) => self.on_response_data(chunk, env),
            (Side::Upstream, Part::Trailers(fields)) => self.on_response_trailers(fields, env),
            (Side::Upstream, Part::End) => self.on_response_end(env),
            (Side::Upstream, Part::Reset(reset)) => self.on_response_reset(reset, env),
            // A codec's role decides which heads it makes.
            (Side::Downstream, Part::Response(_) | Part::Request(_)) | (Side::Upstream, Part::Request(_)) => {
                self.fail(Outcome::Internal, env);
            }
        }
    }

    /// Whether a part from `side` would be taken now. What is not taken waits undecoded.
    #[inline]
    pub fn accepts(&self, side: Side) -> bool {
        match (&self.state, side) {
            _ if self.parked.is_some() => side == Side::Downstream && self.is_taking_in(),
            _ if self.callbacks.have_more(side) => false,
            (State::Relaying { .. } | State::Tunneling(_), _)
            | (State::Discarding { .. }, Side::Downstream) => true,
            (State::Attempting { .. } | State::Discarding { .. } | State::Deciding, _) => false,
            (State::Failing { .. } | State::Answering(_), _) => false,
            (State::Flushing(_) | State::Finished(_), _) => false,
        }
    }

    /// The client's connection broke or was closed while the exchange was running.
    pub fn on_downstream_gone(&mut self, env: &mut Env<'_>) {
        self.cancel_hook();
        match self.state {
            State::Finished(_) => {}
            // The answer is complete; only the rest of the request is missing. It may still be taken.
            State::Discarding { outcome, .. } => self.state = State::Flushing(outcome),
            State::Flushing(outcome) if outcome.fault() != Fault::None => self.finish(outcome),
            State::Flushing(_) => self.finish(Outcome::DownstreamClosed),
            State::Tunneling(_) => self.cut(Outcome::TunnelClosed, env),
            // A client that only stopped sending still reads, and must not take what it has for the whole.
            State::Deciding
            | State::Attempting { .. }
            | State::Relaying { .. }
            | State::Failing { .. }
            | State::Answering(_) => self.cut(Outcome::DownstreamClosed, env),
        }
    }

    /// A time-out passed.
    pub fn on_timeout(&mut self, timeout: Timeout, env: &mut Env<'_>) {
        if timeout == Timeout::Hook {
            return self.on_hook_timeout(env);
        }
        let is_asking = self.is_asking();
        self.cancel_hook();
        match timeout {
            Timeout::Hook => {}
            Timeout::Expect => self.answer_expectation(env),
            Timeout::Body => self.fail(Outcome::BodyTimeout, env),
            Timeout::DownstreamWrite => self.cut(Outcome::DownstreamWriteTimeout, env),
            Timeout::UpstreamWrite => self.fail(Outcome::UpstreamWriteTimeout, env),
            Timeout::FirstByte => self.fail(Outcome::FirstByteTimeout, env),
            Timeout::BetweenBytes => self.fail(Outcome::BetweenBytesTimeout, env),
            // Whoever is to say what is wrong has no time left, or would be asked again for ever.
            Timeout::Request if is_asking => self.give_up_asking(env),
            Timeout::Request => self.fail(Outcome::RequestTimeout, env),
            Timeout::TunnelIdle => self.cut(Outcome::TunnelIdle, env),
            Timeout::Linger => {
                if let State::Discarding { outcome, .. } = self.state {
                    env.outlets.set_last();
                    self.state = State::Flushing(outcome);
                }
            }
        }
    }

    /// Everything that was queued for the client has left.
    pub fn on_flushed(&mut self) {
        if let State::Flushing(outcome) = self.state {
            self.finish(outcome);
        }
    }

    /// The process stops now, or the exchange's code panicked: end it at once with this outcome.
    pub fn on_aborted(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        self.cancel_hook();
        self.cut(outcome, env);
    }

    /// Its code panicked, a hook's most likely: 500 where no response has begun, else a cut. The hooks of whoever
    /// panicked are run no more.
    pub fn on_panicked(&mut self, env: &mut Env<'_>) {
        let has_expelled = self.expel();
        if self.is_over() {
            // Only its last hook can have panicked; the others have theirs.
            if has_expelled {
                self.visit(Phase::Finished, self.ran..self.chain.places().end, env);
            }
            return;
        }
        if self.has_answered() || self.visit.is_none() {
            return self.cut(Outcome::Panicked, env);
        }
        env.actions.push_back(Action::Abandon);
        env.outlets.set_last();
        self.is_bare = true;
        self.answer_plainly(Outcome::Panicked, env);
        if !matches!(self.state, State::Finished(_)) {
            self.state = State::Flushing(Outcome::Panicked);
        }
    }

    /// The request as the client sent it, with what hooks changed; `None` of a raw connection, and while a hook waits.
    #[inline]
    pub fn request(&self) -> Option<&RequestHead> {
        self.visit.as_ref()?.session.request.as_ref()
    }

    /// What a hook wants to be called for, besides the next part.
    #[inline]
    pub fn callback(&self) -> Option<Callback> {
        if self.parked.is_some() || self.callbacks.are_none() {
            return None;
        }
        self.next_callback()
    }

    /// Whether something of a message is still to be done before its sender's connection matters again.
    pub fn is_held(&self) -> bool {
        self.is_parked() || self.callbacks.have_more(Side::Upstream)
    }

    /// Whether it relays a raw connection.
    pub fn is_raw(&self) -> bool {
        self.parked.is_none() && self.request().is_none()
    }

    /// What was read of the request, where it broke a rule that let no request become of it.
    pub fn refused_request(&self) -> Option<&RefusedRequest> {
        self.refused.as_deref()
    }

    /// How it ended, once it did.
    #[inline]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.state {
            State::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// How it ends or ended, as soon as that is known.
    pub fn verdict(&self) -> Option<Outcome> {
        match &self.state {
            State::Finished(outcome)
            | State::Flushing(outcome)
            | State::Discarding { outcome, .. }
            | State::Failing { outcome, .. } => Some(*outcome),
            State::Answering(answering) => Some(answering.outcome),
            State::Deciding | State::Attempting { .. } | State::Relaying(_) | State::Tunneling(_) => None,
        }
    }

    /// Whether nothing but the sending of queued bytes remains.
    #[inline]
    pub fn is_flushing(&self) -> bool {
        matches!(self.state, State::Flushing(_))
    }

    /// Whether an answer is owed and the origin is the one to give it: a client that closes now has left. (A raw
    /// connection owes no answer: what came before its end is still relayed.)
    pub fn is_waiting_for_origin(&self) -> bool {
        match self.state {
            State::Deciding | State::Failing { .. } | State::Answering(_) => true,
            State::Attempting { .. } | State::Relaying(_) => !self.is_raw(),
            State::Discarding { .. } | State::Tunneling(_) | State::Flushing(_) | State::Finished(_) => false,
        }
    }

    /// What it waits for, with the time from which a time-out counts where that is not a connection's activity.
    pub fn waits(&self) -> Waits {
        match &self.state {
            _ if self.parked.is_some() => Waits::Hook,
            State::Deciding | State::Failing { .. } | State::Answering(_) => Waits::Hook,
            State::Attempting { since } => Waits::Connect { since: *since },
            State::Relaying(relay) if relay.is_response_begun => {
                Waits::Response { request_ended: self.request == Half::Ended }
            }
            State::Relaying(_) => Waits::FirstByte {
                request_ended: self.request == Half::Ended,
                expecting: self.expect == state::Expect::Forwarded,
            },
            State::Discarding { since, .. } => Waits::Discard { since: *since },
            State::Tunneling(_) => Waits::Tunnel,
            State::Flushing(_) | State::Finished(_) => Waits::Flush,
        }
    }

    /// Whether user code in this process asked for it.
    pub fn is_call(&self) -> bool {
        self.caller == state::Caller::Within
    }

    /// When it began.
    #[inline]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// When a hook that waited last went on.
    #[inline]
    pub fn resumed(&self) -> Instant {
        self.resumed
    }

    /// What was noted for log and metrics; not to be had while a hook waits.
    #[inline]
    pub fn session(&self) -> Option<&Session> {
        self.visit.as_ref().map(|visit| &visit.session)
    }

    /// What went wrong last, where hooks were to know.
    pub fn error(&self) -> Option<&Error> {
        self.visit.as_ref()?.error.as_ref()
    }

    /// The rule that was broken, where one was.
    pub fn rule(&self) -> Option<Rule> {
        self.rule
    }

    /// The final status that the client was sent.
    pub fn status(&self) -> Option<u16> {
        self.session()?.status
    }

    /// What it wants to be connected to.
    #[inline]
    pub fn goal(&self) -> &Goal {
        &self.goal
    }

    /// Time-outs of this attempt, where a hook chose others than its endpoint's.
    #[inline]
    pub fn timeouts(&self) -> Option<&UpstreamTimeouts> {
        self.timeouts.as_ref()
    }

    /// What of the client's side differs from its server's limits, where something does.
    #[inline]
    pub(crate) fn downstream_options(&self) -> Option<&DownstreamOptions> {
        self.downstream_options.as_deref()
    }

    /// The configured cluster of the last attempt.
    pub fn cluster(&self) -> Option<usize> {
        match self.goal {
            Goal::Cluster(cluster) => self.endpoint.map(|_| cluster),
            Goal::Place(_) | Goal::App(_) => None,
        }
    }

    /// What a hook wants the cluster to balance by.
    pub fn balance_key(&self) -> Option<&[u8]> {
        self.balance_key.as_deref()
    }

    /// Endpoints of the cluster that were tried before.
    pub fn tried(&self) -> &[usize] {
        &self.tried
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.session().map_or(0, |session| session.attempts)
    }

    /// The configuration it began with.
    pub fn snapshot(&self) -> &Rc<Snapshot> {
        &self.snapshot
    }

    /// The session, of which a hook that waits would have the only one.
    #[inline]
    fn session_mut(&mut self) -> &mut Session {
        &mut self.visit.as_mut().expect("no hook waits").session
    }

    /// Whether a final response head was sent to the client.
    fn has_answered(&self) -> bool {
        match &self.state {
            State::Relaying(relay) => relay.is_response_begun,
            State::Deciding | State::Attempting { .. } | State::Failing { .. } | State::Answering(_) => false,
            _ => self.status().is_some(),
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Finished(outcome);
        if let (Some(intake), Some(visit)) = (self.intake.take(), &mut self.visit) {
            visit.session.facts.traffic.received += intake.bytes();
        }
        self.replay = Replay::Lost;
    }
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A hook.
    Hook,
    /// An upstream connection.
    Connect {
        /// Since when.
        since: Instant,
    },
    /// The origin's first byte, and perhaps more of the request.
    FirstByte {
        /// Whether the request was sent completely.
        request_ended: bool,
        /// Whether the client waits for 100 (Continue).
        expecting: bool,
    },
    /// More of the response, and perhaps more of the request.
    Response {
        /// Whether the request was sent completely.
        request_ended: bool,
    },
    /// The rest of a request that was answered already.
    Discard {
        /// Since when.
        since: Instant,
    },
    /// Bytes of a tunnel.
    Tunnel,
    /// The client to take what is queued.
    Flush,
}
