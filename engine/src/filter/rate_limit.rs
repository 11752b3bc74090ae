//! How often one may ask.

use super::key::Key;
use crate::error::{Error, Outcome, Result};
use crate::meter::{Quota, RetryAfter, SharedRateLimiter};
use crate::phase::{Filter, Flow, Response, Session};
use crate::rt;
use std::time::Duration;

/// Refuses requests that come too often, with 429 and `Retry-After`, or lets them wait a little.
///
/// Made once and cloned for every shard, so that one limit holds for the process:
///
/// ```
/// use ringway_engine::filter::RateLimit;
/// use ringway_engine::meter::Quota;
/// use ringway_engine::service::Service;
/// use std::time::Duration;
/// # use ringway_engine::error::Result;
/// # use ringway_engine::phase::{Peer, Proxy, Session};
/// # struct App;
/// # impl Proxy for App {
/// #     type Ctx = ();
/// #     fn new_ctx(&self) {}
/// #     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> { Ok(Peer::cluster("app")) }
/// # }
///
/// let limit = RateLimit::new(Quota::new(100, Duration::from_secs(1)).burst(20));
/// let service = Service::proxy(|| App).in_front(move || limit.clone());
/// # let _ = service;
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit {
    limiter: SharedRateLimiter,
    key: Key,
    delay_max: Duration,
}

impl RateLimit {
    /// Each client may do what `quota` allows.
    pub fn new(quota: Quota) -> Self {
        Self::with(SharedRateLimiter::new(quota))
    }

    /// As `limiter` counts, with which others may count, too.
    pub fn with(limiter: SharedRateLimiter) -> Self {
        Self { limiter, key: Key::client(), delay_max: Duration::ZERO }
    }

    /// Who is counted as one. Default: [`Key::client`].
    #[must_use]
    pub fn by(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Lets a request that comes too early wait for its time, if it has to wait no longer than this. Default: it is
    /// refused at once. Who waits for [`hook_timeout`](crate::settings::Limits::hook_timeout) fails.
    #[must_use]
    pub fn delay(mut self, max: Duration) -> Self {
        self.delay_max = max;
        self
    }
}

impl Filter for RateLimit {
    /// When it may be tried again, once it was refused.
    type Ctx = Option<RetryAfter>;

    fn new_ctx(&self) -> Self::Ctx {
        None
    }

    async fn request_filter(&self, session: &mut Session, refused: &mut Self::Ctx) -> Result<Flow> {
        let deadline = rt::now() + self.delay_max;
        loop {
            let now = rt::now();
            let Err(retry_after) = self.limiter.check(now, &self.key.of(session)) else {
                return Ok(Flow::Continue);
            };
            if retry_after.0 > deadline.since(now) {
                *refused = Some(retry_after);
                return Err(Outcome::RateLimited.into());
            }
            // Others may be faster then; who comes again and again has its turn before the deadline or not at all.
            rt::sleep(retry_after.0).await;
        }
    }

    async fn fail_to_proxy(
        &self,
        _: &mut Session,
        error: &Error,
        refused: &mut Self::Ctx,
    ) -> Option<Response> {
        let retry_after = refused.filter(|_| error.outcome() == Outcome::RateLimited)?;
        let response = Response::new(error.status())
            .header("retry-after", retry_after.seconds().to_string())
            .header("cache-control", "no-store")
            .body("429 Too Many Requests\n");
        Some(response)
    }
}
