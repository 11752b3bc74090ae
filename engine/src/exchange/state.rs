//! Where an exchange stands.

use super::{Outcome, Source};
use crate::time::Instant;

/// Where an exchange stands. A variant holds what only that state has.
#[derive(Debug)]
pub(super) enum State {
    /// The shard is getting an upstream connection.
    Attempting {
        /// Index of the cluster.
        cluster: usize,
        /// Which connections will do.
        source: Source,
        /// When this attempt began.
        since: Instant,
    },
    /// Parts move both ways.
    Relaying(Relay),
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

/// Both halves of a relayed exchange.
#[derive(Debug)]
pub(super) struct Relay {
    /// The client's request.
    pub(super) request: Half,
    /// Whether a final response head was sent to the client: from then on a failure can only be a cut.
    pub(super) is_response_begun: bool,
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
