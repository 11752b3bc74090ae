//! Bounds that are not configured, and how they relate.
//!
//! What an operator may want to change is in [`crate::settings::Limits`]; what only we have a reason to change
//! is here, with the relations that must hold between the constants.

use std::time::Duration;

/// Bytes held by a send queue above which the side that fills it is paused. Counts memory, not payload.
pub const QUEUE_HIGH_BYTES: usize = 48 * 1024;
/// Bytes held by a send queue at or below which the paused side is resumed.
pub const QUEUE_LOW_BYTES: usize = 16 * 1024;
/// Undecoded bytes of a connection above which it is not received from: pipelined requests wait in the kernel. What
/// is kept of them holds at most twice as much memory.
///
/// A client that has sent more than this ahead is not seen leaving before its answer is due. What we wait with can wait
/// for bytes or for room, not for the end alone, and bytes are there as long as nobody reads them. TCP would tell little
/// more: an end that stands behind what does not fit the window does not arrive. So such an exchange costs its origin
/// what one costs whose client waits, up to `first-byte` or `request-timeout`.
pub const UNDECODED_HIGH_BYTES: usize = 32 * 1024;
/// Receives from one connection in one turn, so that a fast sender does not keep others waiting.
pub const RECEIVES_PER_TURN: usize = 8;
/// Futures of users that are polled in one turn, so that one that wakes itself for ever does not keep sockets waiting.
pub const WOKEN_PER_TURN: usize = 64;
/// Threads of a process for work that blocks.
pub const OFFLOAD_THREADS: usize = 4;
/// Pieces of work that wait for those threads; more are refused.
pub const OFFLOAD_QUEUE: usize = 256;
/// Threads of a process that look up names. They are apart from the others: a name server that does not answer holds each
/// of them for many seconds.
pub const LOOKUP_THREADS: usize = 4;
/// Names that wait for those threads; more are refused.
pub const LOOKUP_QUEUE: usize = 256;
/// How long a hook or a task waits for the machine's resolver, its turn included.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Panics of users' code that one turn bears, each in what is done about the one before; then the shard has failed.
pub const PANICS_PER_TURN: usize = 64;
/// Content that may wait for the end of a pass of the event loop so that many connections are sent to at once.
/// More would fall out of the cache before it is sent.
pub const UNSETTLED_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a PROXY header: those of version 2 may bring a client's certificate names along.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;
/// Slices of one vectored send.
pub const SLICES_PER_SEND: usize = 32;
/// Connections accepted from one listener in one turn.
pub const ACCEPTS_PER_TURN: usize = 64;
/// How long a listener waits after it ran out of descriptors or memory.
pub const ACCEPT_BACKOFF_MS: u64 = 100;
/// How long a client's connection between requests is kept when its shard begins to drain: the next request may be on
/// the way.
pub const DRAIN_PATIENCE: Duration = Duration::from_millis(250);
/// How long a client that has asked for nothing more is not watched while it waits for its answer. Most answers come
/// sooner, and the connection is then closed without a wait to take back; of one that leaves meanwhile the origin's
/// work for so long is in vain.
pub const LAST_REQUEST_UNWATCHED: Duration = Duration::from_millis(50);
/// What a client that has to take so many bytes a second has in advance: networks stall for some seconds.
pub const SEND_RATE_GRACE: Duration = Duration::from_secs(5);
/// Bytes of an unread request body that are read and dropped after an early answer, so that the connection can
/// be used again or the client at least sees the answer.
pub const DISCARD_BYTES_MAX: u64 = 1024 * 1024;
/// Attempts of one exchange, whatever its hooks allow.
pub const ATTEMPTS_MAX: u32 = 16;
/// Proxies of the default name in `Via` that a request may have passed: a chain of ringways nobody gave a name.
pub const DEFAULT_NAME_PASSES_MAX: usize = 4;
/// Interim (1xx) responses relayed for one request.
pub const INTERIM_RESPONSES_MAX: u32 = 16;
/// Entries of a ring's submission queue.
pub const RING_ENTRIES: u32 = 4096;
/// Entries of a ring's completion queue: an overflow stalls the ring until it is drained.
pub const RING_COMPLETIONS: u32 = 65536;

const _: () = {
    // Hysteresis: with equal marks a slow reader would toggle its sender on every chunk.
    assert!(QUEUE_LOW_BYTES < QUEUE_HIGH_BYTES);
    // A stopped reader whose origin dribbles holds less than 64 KiB: the queue, and what was received last.
    assert!(QUEUE_HIGH_BYTES + 2 * ringway_proto::chunk::SMALL_BYTES < 64 * 1024);
    // One full receive fills the queue: two would wait in memory for a reader that takes one at a time.
    assert!(ringway_proto::chunk::LARGE_BYTES >= QUEUE_HIGH_BYTES);
    // One receive that fills half a large buffer keeps it; shorter ones, of which there may be several, are copied.
    assert!(UNDECODED_HIGH_BYTES <= ringway_proto::chunk::LARGE_BYTES / 2);
    // A dribbled byte takes a small buffer; one such buffer must not pause anybody.
    assert!(ringway_proto::chunk::SMALL_BYTES <= QUEUE_LOW_BYTES);
    // Each connection has at most two operations in flight (readable, writable) and their cancellations.
    assert!(RING_COMPLETIONS >= 4 * RING_ENTRIES);
};
