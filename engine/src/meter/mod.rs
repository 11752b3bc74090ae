//! How often, how many, how much: numbers about keys that hooks decide by. A key is whatever can be hashed: an
//! address, a token, a path, a tuple of them.
//!
//! - [`Rate`]: how often a key was seen in a window of time.
//! - [`Inflight`]: how many of a key are under way right now.
//! - [`RateLimiter`]: whether a key may do once more what it may do so often, and if not, when.
//!
//! Their memory is fixed when they are made, whatever keys come, so that a client who makes up keys costs nothing but
//! precision; each type says how much, and to which side it errs. They allocate nothing after that, read no clock, and
//! answer the same to the same calls when they are given a fixed [`Seed`]. What needs the time is told it; on a shard
//! that is [`rt::now`](crate::rt::now).
//!
//! Each comes in two flavours with the same methods. [`Rate`], [`Inflight`] and [`RateLimiter`] belong to one shard
//! and cost some plain memory accesses. [`SharedRate`], [`SharedInflight`] and [`SharedRateLimiter`] are shared by
//! all shards and threads, with atomics and no lock: a limit then holds for the whole process, and shards that count
//! the same key at a time wait for each other's cache lines. The engine itself shares none on the way of a request; a
//! hook may choose to. A clone of any of them is the same meter, not a copy.
//!
//! What they do not do: keep an exact table of keys, say which keys are the most frequent, reach beyond the process,
//! or outlive it.
//!
//! Read `flavour.rs` and `sketch.rs`, then `rate.rs`, `inflight.rs`, `limiter.rs`.

pub mod flavour;
mod inflight;
mod limiter;
mod rate;
mod sketch;

pub use flavour::{Flavour, Local, Shared};
pub use inflight::{Guard, GuardOf, Inflight, InflightOf, SharedGuard, SharedInflight};
pub use limiter::{Quota, RateLimiter, RateLimiterOf, RetryAfter, SharedRateLimiter};
pub use rate::{Rate, RateOf, SharedRate};
pub use sketch::{Seed, Size};

/// Random numbers of tests: the same in every run.
#[cfg(test)]
mod random {
    use super::Seed;
    use std::cell::Cell;

    pub(super) struct Random(Cell<u64>);

    impl Random {
        pub(super) fn new(seed: u64) -> Self {
            Self(Cell::new(seed))
        }

        /// One below `end`.
        pub(super) fn below(&self, end: u64) -> u64 {
            self.0.set(self.0.get() + 1);
            Seed::fixed(0x5eed).hash(&self.0.get()) % end
        }
    }
}
