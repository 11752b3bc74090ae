//! What a shard tells about itself: counters, access log lines, request ids.
//!
//! Nothing here blocks a shard. Counters are plain stores that the control thread reads; log lines are formatted
//! on the shard into a reused buffer and leave in whole batches for a thread that may wait for disks and pipes.
//! Lines that it cannot take in time are dropped and counted, since a proxy that stops for its log is down.
//!
//! Read `counters.rs`, then `access.rs` (one line), `writer.rs` (batches to the target), `request_id.rs`.

mod access;
mod counters;
mod request_id;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
mod writer;

pub use access::{Formatter, Record};
pub use counters::{Counter, Counters, OUTCOMES_MAX, Snapshot};
pub use request_id::{RequestId, RequestIds, is_acceptable};
pub use writer::{LogLines, LogSink, LogWriter};
