//! How often one may ask.

use super::key::Key;
use crate::error::{Error, Outcome, Result};
use crate::meter::{Quota, RetryAfter, SharedRateLimiter};
use crate::phase::{Filter, Flow, Response, Session};
use crate::rt;
use crate::settings;
use ringway_proto::message::ResponseHead;
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
    announced: Option<Announced>,
}

/// How responses tell of a limit.
#[derive(Clone, Debug)]
struct Announced {
    name: Box<str>,
    /// The value of `RateLimit-Policy`.
    policy: Box<str>,
}

/// What the limit said of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// It was not asked.
    #[default]
    Unasked,
    /// It may pass.
    Admitted {
        /// So many more could have come at once; 0 where nobody is told.
        available: u32,
    },
    /// It came too early.
    Refused(RetryAfter),
}

impl RateLimit {
    /// Each client may do what `quota` allows.
    pub fn new(quota: Quota) -> Self {
        Self::with(SharedRateLimiter::new(quota))
    }

    /// As `limiter` counts, with which others may count, too.
    pub fn with(limiter: SharedRateLimiter) -> Self {
        Self { limiter, key: Key::client(), delay_max: Duration::ZERO, announced: None }
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

    /// Responses tell of the limit by this name: what it is with `RateLimit-Policy`, what is left of it with `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers-11). Also where it refuses; not where another filter answered in front of
    /// it. Fields of the origin stay beside ours. Default: nothing is told, since it tells attackers, too.
    ///
    /// `q` and `w` are the quota's pace in the least number of whole seconds that has its time. `r` is what the client
    /// might have done at once when the request was admitted, and `t` the seconds for that at the quota's pace: whoever
    /// spreads `r` over `t` is not refused. When `r` is 0, another request may come after `t`, as `Retry-After` says.
    ///
    /// # Panics
    /// When the name cannot be sent, see [`settings::RateLimit::is_announceable`].
    #[must_use]
    pub fn announce(mut self, name: &str) -> Self {
        assert!(settings::RateLimit::is_announceable(name), "a limit is announced by printable ASCII");
        let (events, window_s) = in_whole_seconds(self.limiter.quota());
        let policy = format!("\"{name}\";q={events};w={window_s}").into();
        self.announced = Some(Announced { name: name.into(), policy });
        self
    }

    /// The value of `RateLimit`.
    fn service_limit(&self, name: &str, admission: Admission) -> Option<String> {
        let (available, window_s) = match admission {
            Admission::Unasked => return None,
            Admission::Admitted { available } => (available, time_of(available.max(1), self.limiter.quota())),
            Admission::Refused(retry_after) => (0, retry_after.seconds()),
        };
        Some(format!("\"{name}\";r={available};t={}", window_s.min(INTEGER_MAX)))
    }
}

/// What `quota` allows in the least number of whole seconds that is no less than its time: events, and those seconds.
fn in_whole_seconds(quota: Quota) -> (u64, u64) {
    let window_s = RetryAfter(quota.per()).seconds().min(INTEGER_MAX);
    let window_ns = u128::from(window_s) * NANOS_PER_SECOND;
    let events = u128::from(quota.events()) * window_ns / quota.per().as_nanos();
    (u64::try_from(events).unwrap_or(u64::MAX).min(INTEGER_MAX), window_s)
}

/// Whole seconds, rounded up, in which `quota` has so many events.
fn time_of(events: u32, quota: Quota) -> u64 {
    let nanos = quota.per().as_nanos().saturating_mul(u128::from(events)) / u128::from(quota.events());
    u64::try_from(nanos.div_ceil(NANOS_PER_SECOND)).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The greatest Integer of RFC 9651 section 3.3.1.
const INTEGER_MAX: u64 = 999_999_999_999_999;

impl Filter for RateLimit {
    type Ctx = Admission;

    fn new_ctx(&self) -> Admission {
        Admission::Unasked
    }

    async fn request_filter(&self, session: &mut Session, admission: &mut Admission) -> Result<Flow> {
        let deadline = rt::now() + self.delay_max;
        loop {
            let now = rt::now();
            let key = self.key.of(session);
            let Err(retry_after) = self.limiter.check(now, &key) else {
                // Looked up now, since other hooks may change what the key is made of.
                let available = self.announced.as_ref().map_or(0, |_| self.limiter.remaining(now, &key));
                *admission = Admission::Admitted { available };
                return Ok(Flow::Continue);
            };
            if retry_after.0 > deadline.since(now) {
                *admission = Admission::Refused(retry_after);
                return Err(Outcome::RateLimited.into());
            }
            // Others may be faster then; who comes again and again has its turn before the deadline or not at all.
            rt::sleep(retry_after.0).await;
        }
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        admission: &mut Admission,
    ) -> Result<()> {
        let Some(Announced { name, policy }) = &self.announced else { return Ok(()) };
        if let Some(limit) = self.service_limit(name, *admission) {
            response.fields.append("RateLimit-Policy", policy.as_bytes())?;
            response.fields.append("RateLimit", limit)?;
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        _: &mut Session,
        error: &Error,
        admission: &mut Admission,
    ) -> Option<Response> {
        let Admission::Refused(retry_after) = *admission else { return None };
        if error.outcome() != Outcome::RateLimited {
            return None;
        }
        let response = Response::new(error.status())
            .header("retry-after", retry_after.seconds().to_string())
            .header("cache-control", "no-store")
            .body("429 Too Many Requests\n");
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(quota: Quota, admission: Admission) -> (String, Option<String>) {
        let limit = RateLimit::new(quota).announce("a b");
        let policy = limit.announced.as_ref().expect("it was announced").policy.to_string();
        (policy, limit.service_limit("a b", admission))
    }

    fn admitted(available: u32) -> Admission {
        Admission::Admitted { available }
    }

    #[test]
    fn a_window_has_whole_seconds() {
        let policy = |events, per| told(Quota::new(events, per), Admission::Unasked);
        assert_eq!(policy(100, SECOND * 60), ("\"a b\";q=100;w=60".into(), None));
        assert_eq!(policy(1, SECOND / 2).0, "\"a b\";q=2;w=1");
        // Rather too little than too much.
        assert_eq!(policy(2, SECOND * 3 / 10).0, "\"a b\";q=6;w=1");
        assert_eq!(policy(3, SECOND * 3 / 2).0, "\"a b\";q=4;w=2");
        assert_eq!(policy(1, Duration::MAX).0, format!("\"a b\";q=0;w={INTEGER_MAX}"));
    }

    #[test]
    fn whoever_spreads_what_is_left_over_the_time_keeps_to_the_pace() {
        let quota = Quota::new(100, SECOND * 60).burst(200);
        let limit = |admission| told(quota, admission).1.expect("it was asked");
        assert_eq!(limit(admitted(50)), "\"a b\";r=50;t=30");
        assert_eq!(limit(admitted(199)), "\"a b\";r=199;t=120");
        assert_eq!(limit(admitted(0)), "\"a b\";r=0;t=1");
        assert_eq!(limit(Admission::Refused(RetryAfter(SECOND * 7 / 2))), "\"a b\";r=0;t=4");
        let slowest = Quota::new(1, Duration::MAX).burst(u32::MAX);
        let most = format!("\"a b\";r={};t={INTEGER_MAX}", u32::MAX);
        assert_eq!(told(slowest, admitted(u32::MAX)).1, Some(most));
    }

    #[test]
    #[should_panic(expected = "printable ASCII")]
    fn a_name_that_cannot_be_sent_is_refused() {
        let _ = RateLimit::new(Quota::new(1, SECOND)).announce("\"");
    }
}
