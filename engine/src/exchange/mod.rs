//! One request and its response, from the first part to the outcome.
//!
//! An exchange consumes parts and emits [`Action`]s. It knows no socket, no connection and no version of HTTP:
//! the same relay serves every pair of versions. Everything that can happen to it is an `on_*` method, and
//! each method's `match` over [`State`] says what it means there.
//!
//! Read [`state`], then [`request`] (what happens before an origin is chosen), [`attempt`] (getting an origin's
//! connection and trying again), [`response`] (the way back), [`local`] (answers of our own), [`tunnel`], and
//! [`outcome`] (every way it can end).

mod attempt;
mod facts;
mod local;
pub mod outcome;
mod replay;
mod request;
mod response;
mod state;
mod tunnel;

pub use attempt::{Connected, Provenance, Source};
pub use facts::{Downstream, Facts, Id, Times, Traffic};
pub use outcome::{Fault, Outcome};
pub use request::Refusal;

use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::upstream::EndpointId;
use replay::Replay;
use ringway_proto::chunk::Pool;
use ringway_proto::message::{Line, Part, RefusedRequest, RequestHead, Reset, ResponseHead};
use ringway_proto::rules::Rule;
use state::{Half, State};
use std::collections::VecDeque;
use std::rc::Rc;

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
    /// Encodes the head of the request towards the origin.
    fn forward(&mut self, head: &RequestHead);
    /// The client's connection closes after this exchange, which a head that is still to be sent says.
    fn set_last(&mut self);
}

/// What an exchange wants its shard to do once it has returned, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get a connection to an endpoint of this cluster, then call [`Exchange::on_connected`] or
    /// [`Exchange::on_connect_failed`].
    Open {
        /// Index of the cluster.
        cluster: usize,
        /// Which connections will do.
        source: Source,
    },
    /// From now on the bytes of both connections are opaque.
    Tunnel,
    /// The upstream connection is done with: keep it if it is reusable, close it if not.
    Release,
    /// The upstream connection is in the middle of something that no longer matters: close it.
    Abandon,
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
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    snapshot: Rc<Snapshot>,
    request: Option<RequestHead>,
    /// What was read of a request that is none.
    refused: Option<Box<RefusedRequest>>,
    route: Option<crate::route::RouteIndex>,
    rule: Option<Rule>,
    /// The client named no host, and the endpoint's stands in its place.
    is_host_ours: bool,
    expect: state::Expect,
    replay: Replay,
    /// Endpoints of the cluster that were tried.
    tried: Vec<usize>,
    endpoint: Option<EndpointId>,
    attempts: u32,
    /// Status of the final response, once it was sent.
    status: Option<u16>,
    facts: Facts,
}

impl Exchange {
    /// A part came from one side. Only called when [`Exchange::accepts`] that side.
    pub fn on_part(&mut self, side: Side, part: Part, env: &mut Env<'_>) {
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
            (State::Relaying { .. } | State::Tunneling(_), _)
            | (State::Discarding { .. }, Side::Downstream) => true,
            (State::Attempting { .. } | State::Discarding { .. }, _) => false,
            (State::Flushing(_) | State::Finished(_), _) => false,
        }
    }

    /// The client's connection broke or was closed while the exchange was running.
    pub fn on_downstream_gone(&mut self, env: &mut Env<'_>) {
        match self.state {
            State::Finished(_) => {}
            // The answer is complete; only the rest of the request is missing. It may still be taken.
            State::Discarding { outcome, .. } => self.state = State::Flushing(outcome),
            State::Flushing(outcome) if outcome.fault() != Fault::None => self.finish(outcome),
            State::Flushing(_) => self.finish(Outcome::DownstreamClosed),
            State::Tunneling(_) => self.cut(Outcome::TunnelClosed, env),
            // A client that only stopped sending still reads, and must not take what it has for the whole.
            State::Attempting { .. } | State::Relaying { .. } => self.cut(Outcome::DownstreamClosed, env),
        }
    }

    /// A time-out passed.
    pub fn on_timeout(&mut self, timeout: Timeout, env: &mut Env<'_>) {
        match timeout {
            Timeout::Expect => self.answer_expectation(env),
            Timeout::Body => self.fail(Outcome::BodyTimeout, env),
            Timeout::DownstreamWrite => self.cut(Outcome::DownstreamWriteTimeout, env),
            Timeout::UpstreamWrite => self.fail(Outcome::UpstreamWriteTimeout, env),
            Timeout::FirstByte => self.fail(Outcome::FirstByteTimeout, env),
            Timeout::BetweenBytes => self.fail(Outcome::BetweenBytesTimeout, env),
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
        self.cut(outcome, env);
    }

    /// Its code panicked: 500 where no response has begun, else a cut.
    pub fn on_panicked(&mut self, env: &mut Env<'_>) {
        if self.status.is_some() || matches!(self.state, State::Finished(_)) {
            return self.cut(Outcome::Panicked, env);
        }
        env.actions.push_back(Action::Abandon);
        env.outlets.set_last();
        self.answer(Outcome::Panicked, env);
        if !matches!(self.state, State::Finished(_)) {
            self.state = State::Flushing(Outcome::Panicked);
        }
    }

    /// The request head as it is to be forwarded.
    pub fn request(&self) -> Option<&RequestHead> {
        self.request.as_ref()
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

    /// Whether nothing but the sending of queued bytes remains.
    #[inline]
    pub fn is_flushing(&self) -> bool {
        matches!(self.state, State::Flushing(_))
    }

    /// Whether an answer is owed and the origin is the one to give it: a client that closes now has left. (A raw
    /// connection owes no answer: what came before its end is still relayed.)
    pub fn is_waiting_for_origin(&self) -> bool {
        self.request.is_some() && matches!(self.state, State::Attempting { .. } | State::Relaying(_))
    }

    /// What it waits for, with the time from which a time-out counts where that is not a connection's activity.
    pub fn waits(&self) -> Waits {
        match &self.state {
            State::Attempting { since, .. } => Waits::Connect { since: *since },
            State::Relaying(relay) if relay.is_response_begun => {
                Waits::Response { request_ended: relay.request == Half::Ended }
            }
            State::Relaying(relay) => Waits::FirstByte {
                request_ended: relay.request == Half::Ended,
                expecting: self.expect == state::Expect::Forwarded,
            },
            State::Discarding { since, .. } => Waits::Discard { since: *since },
            State::Tunneling(_) => Waits::Tunnel,
            State::Flushing(_) | State::Finished(_) => Waits::Flush,
        }
    }

    /// What was noted for log and metrics.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The rule that was broken, where one was.
    pub fn rule(&self) -> Option<Rule> {
        self.rule
    }

    /// The final status that the client was sent.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The endpoint of the last attempt.
    pub fn endpoint(&self) -> Option<EndpointId> {
        self.endpoint
    }

    /// Endpoints of the cluster that were tried before.
    pub fn tried(&self) -> &[usize] {
        &self.tried
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The configuration it began with.
    pub fn snapshot(&self) -> &Rc<Snapshot> {
        &self.snapshot
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Finished(outcome);
        self.replay = Replay::Lost;
    }
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
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
