//! How often one may ask at a time.

use super::key::Key;
use crate::error::{Outcome, Result};
use crate::meter::{SharedGuard, SharedInflight};
use crate::phase::{Filter, Flow, Session};

/// Refuses requests of which too many are under way, with 429: from the request's head to the end of its response. As a
/// [`RateLimit`](super::RateLimit), made once and cloned for every shard.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    max: u64,
    inflight: SharedInflight,
    key: Key,
}

impl ConcurrencyLimit {
    /// Each client may have `max` requests under way.
    pub fn new(max: u64) -> Self {
        Self { max, inflight: SharedInflight::new(), key: Key::client() }
    }

    /// Who is counted as one. Default: [`Key::client`].
    #[must_use]
    pub fn by(mut self, key: Key) -> Self {
        self.key = key;
        self
    }
}

impl Filter for ConcurrencyLimit {
    /// What is under way ends with its exchange.
    type Ctx = Option<SharedGuard>;

    fn new_ctx(&self) -> Self::Ctx {
        None
    }

    async fn request_filter(&self, session: &mut Session, guard: &mut Self::Ctx) -> Result<Flow> {
        *guard = self.inflight.try_begin(&self.key.of(session), self.max);
        if guard.is_some() { Ok(Flow::Continue) } else { Err(Outcome::RateLimited.into()) }
    }
}
