//! Where an exchange stands.

use super::Outcome;
use crate::time::Instant;
use ringway_proto::chunk::Chunk;

/// Where an exchange stands. A variant holds what only that state has.
#[derive(Debug)]
pub(super) enum State {
    /// Hooks decide what becomes of the request, or where it goes next.
    Deciding,
    /// The shard is getting an upstream connection, or hooks see to the one that is there.
    Attempting {
        /// When this attempt began.
        since: Instant,
    },
    /// Parts move both ways.
    Relaying(Relay),
    /// It failed in this way, and hooks say what is to be done.
    Failing {
        /// How.
        outcome: Outcome,
        /// Whether the request may be sent again without anybody's word.
        may_retry: bool,
    },
    /// Hooks see an answer of our own, which then is sent.
    Answering(Answering),
    /// The answer is queued completely; the rest of the request is read and dropped.
    Discarding {
        /// How it will have ended.
        outcome: Outcome,
        /// When the answer was complete.
        since: Instant,
        /// Bytes dropped so far.
        bytes: u64,
    },
    /// Opaque bytes move both ways.
    Tunneling(Tunnel),
    /// Both messages are complete; the client has yet to take what is queued.
    Flushing(Outcome),
    /// It is over.
    Finished(Outcome),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client, whose request we forward.
    Client,
    /// User code in this process: the request is ours, and the answer as it came.
    Within,
}

/// A relayed exchange.
#[derive(Debug)]
pub(super) struct Relay {
    /// Whether a final response head was sent to the client: from then on a failure can only be a cut.
    pub(super) is_response_begun: bool,
    /// Whether the origin agreed to switch protocols.
    pub(super) is_switching: bool,
}

/// An answer of our own.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) outcome: Outcome,
    pub(super) body: Chunk,
    /// What hooks have made of it so far.
    pub(super) made: Vec<Chunk>,
}

/// One direction of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// More is to come.
    Open,
    /// The end was relayed.
    Ended,
}

/// Both directions of a tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) downstream: Half,
    pub(super) upstream: Half,
}

/// Who answers `Expect: 100-continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nobody is waiting.
    Nothing,
    /// The expectation went to the origin; the client waits.
    Forwarded,
    /// We answered, because the origin did not.
    AnsweredHere,
}
