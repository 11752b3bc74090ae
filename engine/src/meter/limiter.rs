//! Whether a key may do it once more.

use super::flavour::{Flavour, Local, Shared, Word};
use super::sketch::Seed;
use crate::time::Instant;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// Limits what keys do on one shard. A client whose connections are on several shards has a bucket on each. See
/// [`RateLimiterOf`].
pub type RateLimiter = RateLimiterOf<Local>;

/// Limits what keys do on all threads that have a clone. See [`RateLimiterOf`].
pub type SharedRateLimiter = RateLimiterOf<Shared>;

/// What each key may do: so many events in so much time, evenly, and some at once.
///
/// ```
/// use ringway_engine::meter::Quota;
/// use std::time::Duration;
///
/// let steady = Quota::new(100, Duration::from_secs(1)); // and up to 100 at once
/// let patient = Quota::new(3, Duration::from_secs(60)).burst(10);
/// assert_ne!(steady, patient);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    events: u32,
    per: Duration,
    burst: u32,
}

impl Quota {
    /// `events` in each `per`, and as many at once by a key that did nothing for that long.
    ///
    /// # Panics
    /// With no events, or more than one a nanosecond.
    pub const fn new(events: u32, per: Duration) -> Self {
        assert!(events > 0, "a quota allows something");
        assert!(events as u128 <= per.as_nanos(), "a quota allows at most one event a nanosecond");
        Self { events, per, burst: events }
    }

    /// As many as `burst` at once, then at the quota's pace. With 1, none comes sooner after another than that.
    ///
    /// # Panics
    /// With none.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "a quota allows something");
        self.burst = burst;
        self
    }

    /// How many events each [`per`](Self::per) has.
    pub const fn events(self) -> u32 {
        self.events
    }

    /// The time that has so many [`events`](Self::events).
    pub const fn per(self) -> Duration {
        self.per
    }
}

/// Not now: it may be tried again after this time, and succeeds then if the key did nothing else.
///
/// [`Duration::MAX`] for what costs more than the quota allows at once, which never succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole seconds, rounded up and at least one: the value of a `Retry-After` field (RFC 9110 section 10.2.3).
    pub const fn seconds(self) -> u64 {
        let seconds = self.0.as_secs();
        if seconds == 0 || self.0.subsec_nanos() > 0 { seconds.saturating_add(1) } else { seconds }
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "over its quota for {:?}", self.0)
    }
}

impl std::error::Error for RetryAfter {}

/// A token bucket for each key, which all have the same [`Quota`]. What is refused costs nothing.
///
/// It is kept as one number a key, the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371): the
/// moment from which on the key's bucket is full. Those numbers are in a table of fixed size, and a key whose moment
/// has passed needs no place in it. So the table has to hold the keys of about one *refill time*, in which an empty
/// bucket gets full: `burst * per / events`. The moments are kept to a sixteenth of the time between two events or
/// finer, mostly very much finer. No rounding adds up.
///
/// # A full table lets through
///
/// A key may be in eight places. When all are held by other keys, the one whose moment comes first is **forgotten**:
/// its bucket is full when it comes again. The new key is admitted, for the other choice would let whoever fills the
/// table shut out everybody else. That is what a client can achieve who makes up very many keys at a time:
///
/// - its keys are admitted, as they would be with endless memory: no limit of a key helps against new keys;
/// - keys that have spent little are forgotten, and may then spend that little again;
/// - a key that has spent its burst is forgotten last. To get it out, eight keys that have spent as much have to meet
///   in its places, and since nobody knows the [`Seed`], that takes about as many events as a whole table of keys may
///   do at once.
///
/// Nobody is refused because of others, save for an accident: a key is told from the others in its places by 24 bits
/// of its hash, so it shares a bucket with one of them with a probability of one in two million.
///
/// A default one is for 65,536 keys at a time and takes 512 KiB. With half as many active keys hardly any is
/// forgotten.
///
/// # Time, and threads
///
/// Shards whose clocks were read up to a second apart agree. A number that nobody looked at for very long (some 2^16
/// times a refill time and a second) may be taken for a new one, with a probability of one in 2^16; more only if the
/// burst, or what passes in a second, is above a million. That key's bucket is then less full than it should be, for
/// no longer than the refill time and a second. Of the events that different threads admit at the very moment when a
/// key gets its place, one may not be counted.
///
/// ```
/// use ringway_engine::meter::{Quota, RateLimiter};
/// use ringway_engine::time::Instant;
/// use std::time::Duration;
///
/// let limiter = RateLimiter::new(Quota::new(2, Duration::from_secs(1)));
/// let now = Instant::from_millis(5_000); // in a hook: `rt::now()`
/// assert_eq!(limiter.check(now, "192.0.2.1"), Ok(()));
/// assert_eq!(limiter.check(now, "192.0.2.1"), Ok(()));
/// let refused = limiter.check(now, "192.0.2.1").unwrap_err();
/// assert_eq!(refused.0.as_millis(), 500);
/// assert_eq!(refused.seconds(), 1); // answer 429 with `retry-after: 1`
/// assert_eq!(limiter.check(now, "192.0.2.2"), Ok(()));
/// assert_eq!(limiter.check(now + refused.0, "192.0.2.1"), Ok(()));
/// ```
pub struct RateLimiterOf<F: Flavour>(F::Handle<Table<F::Word>>);

#[derive(Debug)]
struct Table<W> {
    sets: Box<[Set<W>]>,
    seed: Seed,
    quota: Quota,
    pace: Pace,
}

/// The places that a key may be in: one cache line.
///
/// Each is empty, zero, or has the mark of its key above the moment when that key's bucket is full.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set<W>([W; WAYS]);

/// The time of a quota: in ticks, of which each event takes the same whole number, so that nothing is ever rounded
/// but the time of day.
#[derive(Debug)]
struct Pace {
    ticks_per_event: u64,
    /// So many ticks pass in `per_ns`.
    ticks_per: u64,
    per_ns: u64,
    burst_ticks: u64,
    /// No moment lies further ahead, not even for a thread whose clock is behind: what does is long past.
    reach_ticks: u64,
}

impl<F: Flavour> RateLimiterOf<F> {
    /// A limiter for 65,536 active keys, with a random [`Seed`].
    pub fn new(quota: Quota) -> Self {
        Self::with(quota, KEYS, Seed::random())
    }

    /// A limiter for so many active keys, rounded up to a power of two, at least eight: eight bytes each.
    ///
    /// # Panics
    /// For no keys.
    pub fn with(quota: Quota, keys: usize, seed: Seed) -> Self {
        assert!(keys > 0, "a limiter has room for a key");
        let sets = (0..keys.div_ceil(WAYS).next_power_of_two()).map(|_| Set::default()).collect();
        Self(Table { sets, seed, quota, pace: Pace::new(quota) }.into())
    }

    /// Takes one event from the bucket of `key`, or says when there is one.
    ///
    /// # Errors
    /// When the bucket is empty.
    #[inline]
    pub fn check<K: Hash + ?Sized>(&self, now: Instant, key: &K) -> Result<(), RetryAfter> {
        self.check_cost(now, key, 1)
    }

    /// Takes `cost` events from the bucket of `key` at once, or none and says when there are so many.
    ///
    /// # Errors
    /// When there are fewer in the bucket; with [`Duration::MAX`] when it never holds so many.
    #[inline]
    pub fn check_cost<K: Hash + ?Sized>(&self, now: Instant, key: &K, cost: u32) -> Result<(), RetryAfter> {
        let Table { seed, quota, pace, .. } = &*self.0;
        if cost > quota.burst {
            return Err(RetryAfter(Duration::MAX));
        }
        let (hash, now) = (seed.hash(key), pace.ticks(now));
        let cost_ticks = pace.ticks_per_event * u64::from(cost);
        loop {
            let (place, seen, ahead) = self.0.find(hash, now);
            let ahead = ahead + cost_ticks;
            if let Some(excess) = ahead.checked_sub(pace.burst_ticks).filter(|excess| *excess > 0) {
                return Err(RetryAfter(pace.time(excess)));
            }
            // What takes nothing needs no place.
            let entry = mark(hash) | (now.wrapping_add(ahead) & MOMENT_MAX);
            if cost == 0 || place.replace(seen, entry).is_ok() {
                return Ok(());
            }
        }
    }

    /// How many events are in the bucket of `key`: what may be done at once now.
    #[inline]
    pub fn remaining<K: Hash + ?Sized>(&self, now: Instant, key: &K) -> u32 {
        let Table { seed, pace, .. } = &*self.0;
        let (hash, now) = (seed.hash(key), pace.ticks(now));
        let (_, seen, ahead) = self.0.find(hash, now);
        let ahead = if is_of(seen, hash) { ahead } else { 0 };
        let events = pace.burst_ticks.saturating_sub(ahead) / pace.ticks_per_event;
        u32::try_from(events).expect("no more than the burst")
    }

    /// What each key may do.
    pub fn quota(&self) -> Quota {
        self.0.quota
    }
}

impl<W: Word> Table<W> {
    /// The place of the key with this hash or, if it has none, the one to take; what is there, and how far ahead of
    /// `now` the key's moment is: not at all if it has no place.
    #[inline]
    fn find(&self, hash: u64, now: u64) -> (&W, u64, u64) {
        // Cut off or not, the low bits are as good as the others; the mark is made of the high ones.
        let Set(places) = &self.sets[hash as usize & (self.sets.len() - 1)];
        let (mut oldest, mut oldest_seen, mut oldest_ahead) = (&places[0], 0, u64::MAX);
        for place in places {
            let seen = place.load();
            let ahead = self.pace.ahead(seen, now);
            if is_of(seen, hash) {
                return (place, seen, ahead);
            }
            if ahead < oldest_ahead {
                (oldest, oldest_seen, oldest_ahead) = (place, seen, ahead);
            }
        }
        (oldest, oldest_seen, 0)
    }
}

impl Pace {
    fn new(quota: Quota) -> Self {
        let per_ns = u64::try_from(quota.per.as_nanos()).unwrap_or(u64::MAX);
        let (events, burst) = (u64::from(quota.events), u64::from(quota.burst));
        let second_events = u128::from(events) * NANOS_PER_SECOND / u128::from(per_ns) + 1;
        let reach_events = burst + u64::try_from(second_events).expect("at most one a nanosecond");
        let ticks_per_event = 1 << (REACH_TICKS / reach_events).max(TICKS_PER_EVENT_MIN).ilog2();
        Self {
            ticks_per_event,
            ticks_per: events * ticks_per_event,
            per_ns,
            burst_ticks: burst * ticks_per_event,
            reach_ticks: reach_events * ticks_per_event,
        }
    }

    /// The tick that runs at `now`; above [`MOMENT_MAX`] it means nothing.
    #[inline]
    fn ticks(&self, now: Instant) -> u64 {
        (u128::from(now.as_nanos()) * u128::from(self.ticks_per) / u128::from(self.per_ns)) as u64
    }

    /// How long so many ticks take, rounded up.
    fn time(&self, ticks: u64) -> Duration {
        let nanos = (u128::from(ticks) * u128::from(self.per_ns)).div_ceil(u128::from(self.ticks_per));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How far the moment of an entry is ahead of `now`.
    #[inline]
    fn ahead(&self, seen: u64, now: u64) -> u64 {
        let ahead = seen.wrapping_sub(now) & MOMENT_MAX;
        if seen == 0 || ahead > self.reach_ticks { 0 } else { ahead }
    }
}

impl<F: Flavour> Clone for RateLimiterOf<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: Flavour> fmt::Debug for RateLimiterOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.sets.len() * WAYS;
        f.debug_struct("RateLimiter")
            .field("quota", &self.0.quota)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

/// What entries of a key carry above their moment; never zero, so that no entry looks empty.
#[inline]
fn mark(hash: u64) -> u64 {
    (hash >> MOMENT_BITS).max(1) << MOMENT_BITS
}

#[inline]
fn is_of(seen: u64, hash: u64) -> bool {
    seen & !MOMENT_MAX == mark(hash)
}

const KEYS: usize = 65_536;
const WAYS: usize = 8;
const MOMENT_BITS: u32 = 40;
const MOMENT_MAX: u64 = (1 << MOMENT_BITS) - 1;
const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// How many ticks a moment may lie ahead, unless the quota is so great that an event had too few.
const REACH_TICKS: u64 = 1 << 24;
const TICKS_PER_EVENT_MIN: u64 = 16;

const _: () = {
    // The greatest burst, and as much as there may be in a second.
    let reach_events = u32::MAX as u64 + NANOS_PER_SECOND as u64 + 1;
    // An old moment is rarely taken for one ahead.
    assert!(reach_events * TICKS_PER_EVENT_MIN < MOMENT_MAX / 8 && REACH_TICKS << 16 <= MOMENT_MAX + 1);
    assert!(size_of::<Set<u64>>() == 64);
};

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use std::collections::HashMap;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn limiter<F: Flavour>(quota: Quota, keys: usize) -> RateLimiterOf<F> {
        RateLimiterOf::with(quota, keys, Seed::fixed(9))
    }

    fn admitted<F: Flavour>(limiter: &RateLimiterOf<F>, now: Instant, key: &str, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(limiter.check(now, key).is_ok())).sum()
    }

    #[test]
    fn a_burst_passes_and_then_the_pace_holds() {
        let limiter: RateLimiter = limiter(Quota::new(10, SECOND).burst(5), 8);
        assert_eq!(admitted(&limiter, ms(0), "k", 100), 5);
        let refused = RetryAfter(Duration::from_millis(100));
        assert_eq!(limiter.check(ms(0), "k"), Err(refused));
        assert_eq!(limiter.check(Instant::from_nanos(99_999_000), "k").map_err(RetryAfter::seconds), Err(1));
        assert_eq!(admitted(&limiter, ms(100), "k", 100), 1);
        assert_eq!(admitted(&limiter, ms(350), "k", 100), 2);
        assert_eq!(admitted(&limiter, ms(60_000), "k", 100), 5);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let limiter: RateLimiter = limiter(Quota::new(1, SECOND), 8);
        assert_eq!(admitted(&limiter, ms(0), "k", 1_000), 1);
        assert_eq!(limiter.check(ms(1_000), "k"), Ok(()));
    }

    #[test]
    fn costs_are_taken_whole_or_not_at_all() {
        let limiter: RateLimiter = limiter(Quota::new(10, SECOND), 8);
        assert_eq!(limiter.remaining(ms(0), "k"), 10);
        assert_eq!(limiter.check_cost(ms(0), "k", 7), Ok(()));
        assert_eq!(limiter.remaining(ms(0), "k"), 3);
        assert_eq!(limiter.check_cost(ms(0), "k", 4), Err(RetryAfter(Duration::from_millis(100))));
        assert_eq!(limiter.check_cost(ms(0), "k", 3), Ok(()));
        assert_eq!((limiter.remaining(ms(0), "k"), limiter.remaining(ms(950), "k")), (0, 9));
        assert_eq!(limiter.check_cost(ms(0), "k", 0), Ok(()));
        let never = limiter.check_cost(ms(900_000), "k", 11).unwrap_err();
        assert_eq!((never, never.seconds()), (RetryAfter(Duration::MAX), u64::MAX));
    }

    #[test]
    fn a_retry_after_is_in_whole_seconds_that_are_enough() {
        let seconds = |millis| RetryAfter(Duration::from_millis(millis)).seconds();
        assert_eq!([0, 1, 1_000, 1_001, 59_999].map(seconds), [1, 1, 1, 2, 60]);
        assert_eq!(RetryAfter(SECOND).to_string(), "over its quota for 1s");
    }

    #[test]
    fn one_event_an_hour_is_kept_to_the_second() {
        let limiter: RateLimiter = limiter(Quota::new(1, SECOND * 3_600), 8);
        assert_eq!(limiter.check(ms(10_000), "k"), Ok(()));
        let RetryAfter(wait) = limiter.check(ms(10_500), "k").unwrap_err();
        assert!(wait.abs_diff(Duration::from_millis(3_599_500)) < Duration::from_millis(2), "{wait:?}");
        assert!(limiter.check(ms(3_609_990), "k").is_err());
        assert_eq!(limiter.check(ms(3_610_000), "k"), Ok(()));
    }

    #[test]
    fn the_greatest_and_the_least_quotas_work() {
        let nano = Duration::from_nanos(1);
        let fastest: RateLimiter = limiter(Quota::new(1, nano).burst(u32::MAX), 8);
        assert_eq!(fastest.check_cost(Instant::FAR_FUTURE, "k", u32::MAX), Ok(()));
        assert_eq!(fastest.check(Instant::FAR_FUTURE, "k"), Err(RetryAfter(nano)));
        let tight: RateLimiter = limiter(Quota::new(u32::MAX, SECOND * 5).burst(1), 8);
        assert_eq!(admitted(&tight, Instant::from_nanos(7), "k", 9), 1);
        assert_eq!(admitted(&tight, Instant::from_nanos(9), "k", 9), 1);
        let slowest: RateLimiter = limiter(Quota::new(1, Duration::MAX), 8);
        assert_eq!(admitted(&slowest, ms(0), "k", 9), 1);
        assert_eq!(
            slowest.check(ms(1), "k").map_err(|RetryAfter(wait)| wait > SECOND * 1_000_000_000),
            Err(true)
        );
    }

    #[test]
    fn nothing_is_not_a_quota() {
        let panics = |quota: fn() -> Quota| std::panic::catch_unwind(quota).is_err();
        assert!(panics(|| Quota::new(0, SECOND)));
        assert!(panics(|| Quota::new(1, Duration::ZERO)));
        assert!(panics(|| Quota::new(2, Duration::from_nanos(1))));
        assert!(panics(|| Quota::new(1, SECOND).burst(0)));
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing_and_one_that_lags_forgets_nothing() {
        let limiter: RateLimiter = limiter(Quota::new(100, SECOND), 8);
        assert_eq!(admitted(&limiter, ms(5_000), "k", 1_000), 100);
        assert_eq!(admitted(&limiter, ms(4_001), "k", 1_000), 0);
        assert_eq!(limiter.remaining(ms(4_001), "k"), 0);
        let RetryAfter(wait) = limiter.check(ms(4_001), "k").unwrap_err();
        assert!(wait.abs_diff(Duration::from_millis(1_009)) < Duration::from_micros(1), "{wait:?}");
    }

    #[test]
    fn a_jump_fills_every_bucket_wherever_it_ends() {
        let limiter: RateLimiter = limiter(Quota::new(10, SECOND), 8);
        for now in [ms(0), ms(86_400_000 * 3), ms(86_400_000 * 365 * 100), Instant::FAR_FUTURE] {
            assert_eq!(admitted(&limiter, now, "k", 100), 10);
        }
    }

    #[test]
    fn empty_places_are_empty_whatever_the_time() {
        let limiter: RateLimiter = limiter(Quota::new(10, SECOND), 8);
        let ticks = limiter.0.pace.time(MOMENT_MAX - limiter.0.pace.burst_ticks / 2);
        let now = Instant::ZERO + ticks;
        assert_eq!(limiter.0.pace.ahead(0, limiter.0.pace.ticks(now)), 0);
        // All eight keys find a place of their own.
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(admitted(&limiter, now, key, 100), 10);
        }
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(limiter.remaining(now, key), 0);
        }
    }

    #[test]
    fn a_full_table_admits_new_keys_and_forgets_who_spent_least() {
        fn check<F: Flavour>() {
            let limiter: RateLimiterOf<F> = limiter(Quota::new(10, SECOND), 64);
            assert_eq!(admitted(&limiter, ms(0), "greedy", 100), 10);
            for key in 0..10_000 {
                assert_eq!(limiter.check(ms(0), &key), Ok(()), "{key}");
            }
            assert_eq!(admitted(&limiter, ms(0), "greedy", 100), 0);
            assert!((0..10_000).filter(|key| limiter.remaining(ms(0), key) < 10).count() <= 63);
        }
        check::<Local>();
        check::<Shared>();
    }

    #[test]
    fn keys_who_spend_as_much_push_out_the_oldest_whose_bucket_is_full_again() {
        let limiter: RateLimiter = limiter(Quota::new(10, SECOND), 8);
        for (millis, key) in (0..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i"]) {
            assert_eq!(admitted(&limiter, ms(millis), key, 100), 10);
        }
        assert_eq!((limiter.remaining(ms(9), "a"), limiter.remaining(ms(9), "b")), (10, 0));
    }

    #[test]
    fn half_a_table_of_keys_is_hardly_forgotten() {
        let limiter: RateLimiter = limiter(Quota::new(1, SECOND), 4_096);
        (0..2_048).for_each(|key| assert_eq!(limiter.check(ms(0), &key), Ok(())));
        let forgotten = (0..2_048).filter(|key| limiter.remaining(ms(0), key) > 0).count();
        assert!(forgotten < 40, "{forgotten}");
    }

    /// Random keys, costs and times, next to the algorithm with endless memory and the same ticks.
    fn compare<F: Flavour>(quota: Quota, step_ns: u64, seed: u64) {
        let limiter: RateLimiterOf<F> = limiter(quota, 4_096);
        let random = Random::new(seed);
        let pace = &limiter.0.pace;
        let mut moments: HashMap<u64, u128> = HashMap::new();
        // The costs that each key was admitted with, and when.
        let mut passed: HashMap<u64, Vec<(u64, u32)>> = HashMap::new();
        let mut now_ns = random.below(1 << 60);
        let (mut oks, mut refusals) = (0, 0);
        for _ in 0..20_000 {
            now_ns += match random.below(1_000) {
                0 => random.below(step_ns * 100),
                1..500 => 0,
                _ => random.below(step_ns),
            };
            let (now, key) = (Instant::from_nanos(now_ns), random.below(20));
            let cost = 1 + random.below(u64::from(quota.burst).min(3)) as u32;
            let tick = u128::from(now_ns) * u128::from(pace.ticks_per) / u128::from(pace.per_ns);
            let moment = moments.entry(key).or_default();
            let next = tick.max(*moment) + u128::from(u64::from(cost) * pace.ticks_per_event);
            let limit = tick + u128::from(pace.burst_ticks);
            let seen = limiter.check_cost(now, &key, cost);
            assert_eq!(seen.is_ok(), next <= limit, "{key} at {now:?}");
            match seen {
                Ok(()) => {
                    *moment = next;
                    passed.entry(key).or_default().push((now_ns, cost));
                    oks += 1;
                }
                Err(RetryAfter(wait)) => {
                    assert_eq!(wait, pace.time(u64::try_from(next - limit).unwrap()));
                    // Enough, and by no more than what a nanosecond rounds.
                    let too_much = u128::from(pace.ticks(now + wait) - pace.ticks(now)) - (next - limit);
                    assert!(too_much <= 1 + u128::from(pace.ticks_per.div_ceil(pace.per_ns)), "{too_much}");
                    refusals += 1;
                }
            }
            let left = (limit.saturating_sub(tick.max(*moment))) / u128::from(pace.ticks_per_event);
            assert_eq!(u128::from(limiter.remaining(now, &key)), left);
        }
        assert!(oks > 1_000 && refusals > 1_000, "{oks}, {refusals}");

        // What a quota promises, said without ticks: in no stretch of time passes more than a burst and what the
        // stretch is long for; a tick of 1/16 event at most comes from when the time was read.
        let (events, per_ns) = (u128::from(quota.events), quota.per.as_nanos());
        for passed in passed.values() {
            for (first, &(from_ns, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for &(until_ns, cost) in passed[first..].iter().take(200) {
                    sum += u128::from(cost);
                    let allowed = u128::from(until_ns - from_ns) * events + u128::from(quota.burst) * per_ns;
                    assert!(sum * per_ns <= allowed + per_ns / 16);
                }
            }
        }
    }

    #[test]
    fn with_room_for_all_it_is_the_algorithm_with_endless_memory() {
        let millis = Duration::from_millis;
        for (quota, step_ns) in [
            (Quota::new(100, SECOND), 1_000_000),
            (Quota::new(3, SECOND).burst(1), 20_000_000),
            (Quota::new(7, millis(13)).burst(50), 200_000),
            (Quota::new(1, SECOND * 60), 5_000_000_000),
            (Quota::new(1_000_000_007, SECOND * 7).burst(20), 2),
        ] {
            compare::<Local>(quota, step_ns, 1);
            compare::<Shared>(quota, step_ns, 2);
        }
    }

    #[test]
    fn threads_together_get_one_burst() {
        let limiter: SharedRateLimiter = limiter(Quota::new(1_000, SECOND), 1_024);
        // The key has its place: from here on nothing is uncounted.
        assert_eq!(limiter.check(ms(0), "k"), Ok(()));
        let passed: u32 = std::thread::scope(|scope| {
            let run = |limiter: SharedRateLimiter| admitted(&limiter, ms(0), "k", 5_000);
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let limiter = limiter.clone();
                    scope.spawn(move || run(limiter))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 999);
    }

    #[test]
    fn threads_that_fill_the_table_do_not_free_who_spent_most() {
        let limiter: SharedRateLimiter = limiter(Quota::new(10, SECOND), 64);
        assert_eq!(admitted(&limiter, ms(0), "greedy", 100), 10);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let limiter = limiter.clone();
                scope.spawn(move || {
                    for key in 0..10_000_u64 {
                        assert_eq!(limiter.check(ms(0), &(thread, key)), Ok(()));
                        assert!(limiter.check(ms(0), "greedy").is_err());
                    }
                });
            }
        });
    }
}
