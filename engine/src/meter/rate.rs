//! How often a key was seen.

use super::flavour::{Flavour, Local, Shared, Word};
use super::sketch::{Seed, Size, Sketch};
use crate::time::Instant;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// How often keys are seen by one shard. See [`RateOf`].
pub type Rate = RateOf<Local>;

/// How often keys are seen by all threads that have a clone. See [`RateOf`].
pub type SharedRate = RateOf<Shared>;

/// Counts events of keys in windows of time: the axis of [`Instant`] is cut into pieces of equal length, the window
/// that runs now and the one before it are remembered.
///
/// Events are anything that has a number: requests, errors, bytes. The numbers are estimates, for all keys share the
/// cells of a [`Size`]: they may be too great, by a bound that is written there, and are never too small. (Two
/// exceptions that should not be met: a cell ends at 1.1 * 10^12 events in one window and stays there, and a cell
/// that nobody touched since exactly 2^25 windows ago, more than a year with windows of a second, shows what it held
/// then.)
///
/// Time does not go back: a `now` from an earlier window than the latest that was seen counts for that. So shards
/// whose clocks were read at slightly different times agree.
///
/// A default one takes 64 KiB: two windows of 4 * 1024 cells. The turn of a window costs nothing.
///
/// ```
/// use ringway_engine::meter::Rate;
/// use ringway_engine::time::Instant;
/// use std::time::Duration;
///
/// let logins = Rate::new(Duration::from_secs(10));
/// let now = Instant::from_millis(12_000); // in a hook: `rt::now()`
/// assert_eq!(logins.observe(now, "192.0.2.1", 1), 1);
/// assert_eq!(logins.observe(now, "192.0.2.1", 4), 5);
///
/// // The window from 10 s to 20 s had five events in ten seconds.
/// let later = Instant::from_millis(25_000);
/// assert_eq!(logins.rate(later, "192.0.2.1"), 0.5);
/// assert_eq!(logins.rate(later, "192.0.2.2"), 0.0);
/// // Half of the next has passed, so half of those five are within the last ten seconds.
/// assert_eq!(logins.sliding(later, "192.0.2.1"), 0.25);
/// ```
pub struct RateOf<F: Flavour>(F::Handle<Windows<F::Word>>);

#[derive(Debug)]
struct Windows<W> {
    window_ns: u64,
    seed: Seed,
    /// The number of the latest window in which something was observed.
    latest: W,
    sketch: Sketch<Pair<W>>,
}

/// What a key's cell counts in the windows with an even and with an odd number. It says in which window it did, so
/// nobody has to clear it: the count of another window is none.
type Pair<W> = [W; 2];

impl<F: Flavour> RateOf<F> {
    /// A meter with windows of this length, the default [`Size`] and a random [`Seed`].
    ///
    /// # Panics
    /// When the window has no length.
    pub fn new(window: Duration) -> Self {
        Self::with(window, Size::default(), Seed::random())
    }

    /// A meter with windows of this length. A [`Size`] takes `16 * rows * columns` bytes.
    ///
    /// # Panics
    /// When the window or the size is nothing.
    pub fn with(window: Duration, size: Size, seed: Seed) -> Self {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        assert!(window_ns > 0, "a window has a length");
        Self(Windows { window_ns, seed, latest: F::Word::default(), sketch: Sketch::new(size) }.into())
    }

    /// Counts `count` events of `key`, and says how many it has in the window of `now` with these.
    #[inline]
    pub fn observe<K: Hash + ?Sized>(&self, now: Instant, key: &K, count: u64) -> u64 {
        let (hash, window) = (self.0.seed.hash(key), self.0.window(now));
        self.0.latest.raise(window);
        self.0.sketch.cells(hash).for_each(|pair| self.0.add(pair, window, count));
        // Looked up only when all cells have it: of two threads that count one key at a time, one sees both.
        self.0.count(hash, window)
    }

    /// How many events `key` has in the window of `now` so far.
    #[inline]
    pub fn count<K: Hash + ?Sized>(&self, now: Instant, key: &K) -> u64 {
        self.0.count(self.0.seed.hash(key), self.0.window(now))
    }

    /// Events of `key` per second in the whole window before that of `now`: steady, and up to two windows old.
    #[inline]
    pub fn rate<K: Hash + ?Sized>(&self, now: Instant, key: &K) -> f64 {
        self.0.before(self.0.seed.hash(key), self.0.window(now)) as f64 / self.window().as_secs_f64()
    }

    /// Events of `key` per second in the time before `now` that is as long as a window: those of the running window,
    /// and of the one before as large a share as lies in that time. Exact when events come evenly.
    #[inline]
    pub fn sliding<K: Hash + ?Sized>(&self, now: Instant, key: &K) -> f64 {
        let (hash, window) = (self.0.seed.hash(key), self.0.window(now));
        // No overflow: the window begins at or before a moment that was given.
        let passed_ns = now.as_nanos().saturating_sub(window * self.0.window_ns);
        let share = 1.0 - passed_ns as f64 / self.0.window_ns as f64;
        let events = self.0.before(hash, window) as f64 * share + self.0.count(hash, window) as f64;
        events / self.window().as_secs_f64()
    }

    /// The length of a window.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.0.window_ns)
    }
}

impl<W: Word> Windows<W> {
    /// The number of the window that `now` belongs to.
    #[inline]
    fn window(&self, now: Instant) -> u64 {
        (now.as_nanos() / self.window_ns).max(self.latest.load())
    }

    /// Adds to a cell, and makes it one of `window` if it is older.
    #[inline]
    fn add(&self, pair: &Pair<W>, window: u64, count: u64) {
        let cell = parity(pair, window);
        let mut seen = cell.load();
        loop {
            // The cell is newer only if `latest` was before it was written: then this thread slept for two windows,
            // and nobody asks for this one any more.
            if counted(seen, window).is_none() && self.latest.load().saturating_sub(window) >= 2 {
                return;
            }
            let sum = counted(seen, window).unwrap_or(0).saturating_add(count).min(COUNT_MAX);
            match cell.replace(seen, mark(window) | sum) {
                Ok(()) => return,
                Err(other) => seen = other,
            }
        }
    }

    #[inline]
    fn count(&self, hash: u64, window: u64) -> u64 {
        let cells = self.sketch.cells(hash).map(|pair| parity(pair, window).load());
        cells.map(|seen| counted(seen, window).unwrap_or(0)).min().expect("a sketch has a row")
    }

    #[inline]
    fn before(&self, hash: u64, window: u64) -> u64 {
        window.checked_sub(1).map_or(0, |before| self.count(hash, before))
    }
}

impl<F: Flavour> Clone for RateOf<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: Flavour> fmt::Debug for RateOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.sketch.bytes();
        f.debug_struct("Rate").field("window", &self.window()).field("bytes", &bytes).finish_non_exhaustive()
    }
}

#[inline]
fn parity<W>(pair: &Pair<W>, window: u64) -> &W {
    &pair[usize::from(window % 2 == 1)]
}

/// What a cell has counted, if it did so in `window`.
#[inline]
fn counted(seen: u64, window: u64) -> Option<u64> {
    (seen & !COUNT_MAX == mark(window)).then_some(seen & COUNT_MAX)
}

/// What the cells of a window carry above their count. Every other window has the same cells.
#[inline]
fn mark(window: u64) -> u64 {
    (window / 2) << COUNT_BITS
}

const COUNT_BITS: u32 = 40;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use std::collections::HashMap;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn of_a_second<F: Flavour>(size: Size) -> RateOf<F> {
        RateOf::with(SECOND, size, Seed::fixed(3))
    }

    #[test]
    fn a_window_ends_where_the_next_begins() {
        let rate: Rate = of_a_second(Size::default());
        assert_eq!(rate.observe(ms(0), "k", 1), 1);
        assert_eq!(rate.observe(Instant::from_nanos(999_999_999), "k", 2), 3);
        assert_eq!(rate.rate(Instant::from_nanos(999_999_999), "k"), 0.0);
        assert_eq!(rate.count(ms(1_000), "k"), 0);
        assert_eq!(rate.rate(ms(1_000), "k"), 3.0);
        assert_eq!(rate.observe(ms(1_000), "k", 7), 7);
        assert_eq!((rate.rate(ms(2_000), "k"), rate.rate(ms(2_999), "k")), (7.0, 7.0));
        assert_eq!((rate.rate(ms(3_000), "k"), rate.count(ms(3_000), "k")), (0.0, 0));
    }

    #[test]
    fn looking_changes_nothing() {
        let rate: Rate = of_a_second(Size::default());
        rate.observe(ms(500), "k", 4);
        assert_eq!((rate.count(ms(9_000), "k"), rate.sliding(ms(9_000), "k")), (0, 0.0));
        assert_eq!(rate.observe(ms(600), "k", 1), 5);
        assert_eq!(rate.observe(ms(600), "k", 0), 5);
        assert_eq!(rate.observe(ms(600), "other", 0), 0);
    }

    #[test]
    fn a_clock_that_stands_still_or_lags_counts_on() {
        let rate: Rate = of_a_second(Size::default());
        (1..=1_000).for_each(|n| assert_eq!(rate.observe(ms(5_000), "k", 1), n));
        assert_eq!(rate.observe(ms(4_999), "k", 1), 1_001);
        assert_eq!((rate.count(ms(0), "k"), rate.rate(ms(0), "k")), (1_001, 0.0));
        assert_eq!(rate.sliding(ms(0), "k"), 1_001.0);
    }

    #[test]
    fn the_sliding_rate_forgets_the_window_before_bit_by_bit() {
        let rate: Rate = RateOf::with(SECOND * 2, Size::default(), Seed::fixed(3));
        rate.observe(ms(1_000), "k", 100);
        let at = |millis| rate.sliding(ms(millis), "k");
        assert_eq!((at(1_999), at(2_000), at(2_500), at(3_000)), (50.0, 50.0, 37.5, 25.0));
        assert!(at(3_999) > 0.0);
        assert_eq!(at(4_000), 0.0);
        rate.observe(ms(3_000), "k", 100);
        assert_eq!(at(3_000), 75.0);
    }

    #[test]
    fn a_jump_forgets_everything_even_to_the_end_of_the_axis() {
        let rate: Rate = of_a_second(Size::default());
        rate.observe(ms(0), "k", 9);
        for now in [ms(86_400_000 * 365), Instant::FAR_FUTURE] {
            assert_eq!((rate.count(now, "k"), rate.rate(now, "k")), (0, 0.0));
            assert_eq!(rate.observe(now, "k", 2), 2);
        }
        let never: Rate = RateOf::with(Duration::MAX, Size::default(), Seed::fixed(3));
        never.observe(ms(0), "k", 9);
        assert_eq!(never.observe(Instant::from_nanos(u64::MAX - 1), "k", 1), 10);
        assert!(never.sliding(Instant::FAR_FUTURE, "k") > 0.0);
        let shortest: Rate = RateOf::with(Duration::from_nanos(1), Size::default(), Seed::fixed(3));
        assert_eq!(shortest.observe(Instant::FAR_FUTURE, "k", 1), 1);
        assert_eq!(shortest.sliding(Instant::FAR_FUTURE, "k").round(), 1e9);
    }

    #[test]
    fn counts_end_at_the_most_that_a_cell_holds_and_leave_its_window_alone() {
        fn check<F: Flavour>() {
            let rate: RateOf<F> = of_a_second(Size::default());
            assert_eq!(rate.observe(ms(2_500), "k", COUNT_MAX - 1), COUNT_MAX - 1);
            assert_eq!(rate.observe(ms(2_500), "k", 2), COUNT_MAX);
            assert_eq!(rate.observe(ms(2_500), "k", u64::MAX), COUNT_MAX);
            assert_eq!(rate.rate(ms(3_500), "k"), COUNT_MAX as f64);
            assert_eq!((rate.count(ms(3_500), "k"), rate.count(ms(6_500), "k")), (0, 0));
        }
        check::<Local>();
        check::<Shared>();
    }

    #[test]
    #[should_panic(expected = "a window has a length")]
    fn a_window_of_nothing_is_refused() {
        Rate::new(Duration::ZERO);
    }

    /// Runs random events past a meter and exact counts, and says by how much the meter was too great on average.
    fn compare<F: Flavour>(size: Size, keys: u64, seed: u64) -> f64 {
        let rate: RateOf<F> = of_a_second(size);
        let random = Random::new(seed);
        let mut exact: HashMap<(u64, u64), u64> = HashMap::new();
        let (mut millis, mut excess, mut asked) = (0, 0, 0);
        for _ in 0..20_000 {
            // Mostly within a window, now and then past one or several.
            millis += match random.below(1_000) {
                0 => random.below(10_000),
                _ => random.below(3),
            };
            let (key, count, window) = (random.below(keys), random.below(4), millis / 1_000);
            let expected = exact.entry((key, window)).or_default();
            *expected += count;
            let seen = rate.observe(ms(millis), &key, count);
            assert!(seen >= *expected, "{key} in {window}: {seen} of {expected}");
            excess += seen - *expected;

            let other = random.below(keys);
            let of = |window: Option<u64>| {
                let known = window.and_then(|window| exact.get(&(other, window)));
                known.copied().unwrap_or(0)
            };
            let (current, before) = (of(Some(window)), of(window.checked_sub(1)));
            let seen = (rate.count(ms(millis), &other), rate.rate(ms(millis), &other) as u64);
            assert!(seen.0 >= current && seen.1 >= before, "{other} in {window}");
            excess += seen.0 - current + seen.1 - before;
            asked += 3;
        }
        excess as f64 / f64::from(asked)
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        for seed in 0..4 {
            assert_eq!(compare::<Local>(Size::default(), 30, seed), 0.0);
            assert_eq!(compare::<Shared>(Size::default(), 30, seed), 0.0);
        }
    }

    #[test]
    fn more_keys_than_cells_are_never_counted_too_low_and_rarely_much_too_high() {
        // Some 1,500 events a window: the bound allows 2.72 * 1,500 / 64, hence 64, for almost all.
        let excess = compare::<Local>(Size { rows: 4, columns: 64 }, 100_000, 1);
        assert!(excess > 0.0 && excess < 64.0, "{excess}");
        let excess = compare::<Shared>(Size { rows: 4, columns: 64 }, 100_000, 2);
        assert!(excess > 0.0 && excess < 64.0, "{excess}");
        assert!(compare::<Local>(Size { rows: 1, columns: 1 }, 100_000, 3) > 100.0);
    }

    #[test]
    fn threads_lose_no_event() {
        const EACH: u64 = 20_000;
        let rate: SharedRate = of_a_second(Size { rows: 4, columns: 16 });
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let rate = rate.clone();
                // Clocks that are read at different times around the end of a window.
                scope.spawn(move || {
                    (0..EACH).for_each(|n| _ = rate.observe(ms(995 + n % 10 + thread), "k", 1))
                });
            }
        });
        // Whoever came with the first window after somebody had come with the second was counted in that.
        let counted = rate.rate(ms(1_500), "k") as u64 + rate.count(ms(1_500), "k");
        assert_eq!(counted, 4 * EACH);
    }

    #[test]
    fn of_threads_that_count_to_a_limit_no_more_than_that_see_less() {
        let rate: SharedRate = of_a_second(Size::default());
        let below: u64 = std::thread::scope(|scope| {
            let count = |rate: SharedRate| {
                (0..5_000).map(|_| u64::from(rate.observe(ms(0), "k", 1) <= 100)).sum::<u64>()
            };
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn({
                        let rate = rate.clone();
                        move || count(rate)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(below <= 100, "{below}");
    }

    #[test]
    fn windows_that_turn_under_threads_lose_nothing_that_is_still_asked_for() {
        let (window, size) = (Duration::from_millis(1), Size { rows: 2, columns: 1 });
        let rate: SharedRate = RateOf::with(window, size, Seed::fixed(1));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let rate = rate.clone();
                scope.spawn(move || {
                    for millis in 0..2_000 {
                        for own in 1..50 {
                            let seen = rate.observe(ms(millis), "k", 1);
                            // Nobody has come with a later window: all of this thread's were counted in this one.
                            assert!(Word::load(&rate.0.latest) > millis || seen >= own, "{seen} of {own}");
                        }
                    }
                });
            }
        });
        assert_eq!(rate.observe(ms(2_000), "k", 1), 1);
    }
}
