//! How many of a key are under way.

use super::flavour::{Flavour, Local, Shared, Word};
use super::sketch::{Seed, Size, Sketch};
use std::fmt;
use std::hash::Hash;

/// How many of a key are under way on one shard. See [`InflightOf`].
pub type Inflight = InflightOf<Local>;

/// How many of a key are under way for all threads that have a clone. See [`InflightOf`].
pub type SharedInflight = InflightOf<Shared>;

/// What one shard has under way. See [`GuardOf`].
pub type Guard = GuardOf<Local>;

/// What any thread has under way, and may end on another. See [`GuardOf`].
pub type SharedGuard = GuardOf<Shared>;

/// Counts what is under way: from [`begin`](Self::begin) until the guard that it returns is dropped.
///
/// Counts are estimates, for all keys share the cells of a [`Size`]: they may be too great, by the bound that is
/// written there of what is under way in all, and are never too small. What has ended leaves no trace.
///
/// A default one takes 32 KiB: 4 * 1024 cells.
///
/// ```
/// use ringway_engine::meter::Inflight;
///
/// let uploads = Inflight::new();
/// let first = uploads.begin("alice"); // in a hook, this goes into the state of its exchange
/// let second = uploads.try_begin("alice", 2).expect("two are allowed");
/// assert!(uploads.try_begin("alice", 2).is_none());
/// assert_eq!((uploads.count("alice"), uploads.count("bob")), (2, 0));
/// drop(first);
/// assert_eq!(second.count(), 1);
/// ```
pub struct InflightOf<F: Flavour> {
    sketch: F::Handle<Sketch<F::Word>>,
    seed: Seed,
}

/// Something under way: it has ended when this is dropped, in whatever way. Forgetting one counts for ever.
#[must_use = "what is under way ends when its guard is dropped"]
pub struct GuardOf<F: Flavour> {
    sketch: F::Handle<Sketch<F::Word>>,
    hash: u64,
    weight: u32,
}

impl<F: Flavour> InflightOf<F> {
    /// A meter of the default [`Size`] and with a random [`Seed`].
    pub fn new() -> Self {
        Self::with(Size::default(), Seed::random())
    }

    /// A meter of `8 * rows * columns` bytes.
    ///
    /// # Panics
    /// When the size is nothing.
    pub fn with(size: Size, seed: Seed) -> Self {
        Self { sketch: Sketch::new(size).into(), seed }
    }

    /// Counts one of `key` until the guard is dropped.
    #[inline]
    pub fn begin<K: Hash + ?Sized>(&self, key: &K) -> GuardOf<F> {
        self.begin_weighing(key, 1)
    }

    /// Counts `weight` for `key` until the guard is dropped: bytes held, say, or what a request costs.
    #[inline]
    pub fn begin_weighing<K: Hash + ?Sized>(&self, key: &K, weight: u32) -> GuardOf<F> {
        let hash = self.seed.hash(key);
        self.sketch.cells(hash).for_each(|cell| cell.add(u64::from(weight)));
        GuardOf { sketch: self.sketch.clone(), hash, weight }
    }

    /// Counts one of `key` if that makes no more than `max`. There are never more than `max` guards from here at a
    /// time; threads that come at the same moment for the last place may all be refused.
    #[inline]
    pub fn try_begin<K: Hash + ?Sized>(&self, key: &K, max: u64) -> Option<GuardOf<F>> {
        // Counted first and looked up when all cells have it: of two that come at a time, one sees both.
        let guard = self.begin(key);
        (guard.count() <= max).then_some(guard)
    }

    /// How many of `key` are under way now, or what they weigh.
    #[inline]
    pub fn count<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        count(&self.sketch, self.seed.hash(key))
    }
}

impl<F: Flavour> GuardOf<F> {
    /// How many of this one's key are under way now, this one included, or what they weigh.
    #[inline]
    pub fn count(&self) -> u64 {
        count(&self.sketch, self.hash)
    }
}

#[inline]
fn count<W: Word>(sketch: &Sketch<W>, hash: u64) -> u64 {
    sketch.cells(hash).map(Word::load).min().expect("a sketch has a row")
}

impl<F: Flavour> Drop for GuardOf<F> {
    #[inline]
    fn drop(&mut self) {
        self.sketch.cells(self.hash).for_each(|cell| cell.sub(u64::from(self.weight)));
    }
}

impl<F: Flavour> Default for InflightOf<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Flavour> Clone for InflightOf<F> {
    fn clone(&self) -> Self {
        Self { sketch: self.sketch.clone(), seed: self.seed.clone() }
    }
}

impl<F: Flavour> fmt::Debug for InflightOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflight").field("bytes", &self.sketch.bytes()).finish_non_exhaustive()
    }
}

impl<F: Flavour> fmt::Debug for GuardOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("weight", &self.weight).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SMALL: Size = Size { rows: 3, columns: 16 };

    #[test]
    fn what_ends_in_whatever_way_is_not_under_way() {
        let inflight = Inflight::new();
        let guard = inflight.begin("k");
        let state: Box<dyn std::any::Any> = Box::new(guard);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = inflight.begin("k");
            assert_eq!(inflight.count("k"), 2);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(ended.is_err());
        assert_eq!(inflight.count("k"), 1);
        drop(state);
        assert_eq!(inflight.count("k"), 0);
    }

    #[test]
    fn a_guard_outlives_its_meter_and_counts_in_all_clones() {
        let inflight = Inflight::with(SMALL, Seed::fixed(1));
        let guard = inflight.clone().begin("k");
        assert_eq!(inflight.count("k"), 1);
        drop(inflight);
        assert_eq!(guard.count(), 1);
    }

    #[test]
    fn a_place_is_refused_when_all_are_taken_and_given_when_one_is_free() {
        let inflight = Inflight::new();
        assert!(inflight.try_begin("k", 0).is_none());
        let first = inflight.try_begin("k", 1).unwrap();
        assert!(inflight.try_begin("k", 1).is_none());
        assert_eq!(first.count(), 1);
        drop(first);
        assert!(inflight.try_begin("k", 1).is_some());
    }

    #[test]
    fn the_greatest_weights_add_up_and_go() {
        let inflight = Inflight::new();
        let guards = [u32::MAX, u32::MAX, 0].map(|weight| inflight.begin_weighing("k", weight));
        assert_eq!(inflight.count("k"), 2 * u64::from(u32::MAX));
        drop(guards);
        assert_eq!(inflight.count("k"), 0);
    }

    /// Begins and ends at random, next to exact counts, and says by how much the meter was too great on average.
    fn compare<F: Flavour>(size: Size, keys: u64, seed: u64) -> f64 {
        let inflight: InflightOf<F> = InflightOf::with(size, Seed::fixed(seed));
        let random = Random::new(seed);
        let mut exact: HashMap<u64, u64> = HashMap::new();
        let mut guards: Vec<(u64, GuardOf<F>)> = Vec::new();
        let (mut excess, steps) = (0, 10_000);
        for _ in 0..steps {
            let key = random.below(keys);
            if random.below(100) < 51 || guards.is_empty() {
                let weight = random.below(3) as u32;
                guards.push((key, inflight.begin_weighing(&key, weight)));
                *exact.entry(key).or_default() += u64::from(weight);
            } else {
                let (key, guard) = guards.swap_remove(random.below(guards.len() as u64) as usize);
                *exact.get_mut(&key).unwrap() -= u64::from(guard.weight);
                assert!(guard.count() >= exact[&key] + u64::from(guard.weight));
            }
            let expected = exact.get(&key).copied().unwrap_or(0);
            let seen = inflight.count(&key);
            assert!(seen >= expected, "{key}: {seen} of {expected}");
            excess += seen - expected;
        }
        drop(guards);
        (0..keys).for_each(|key| assert_eq!(inflight.count(&key), 0));
        excess as f64 / f64::from(steps)
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        assert_eq!(compare::<Local>(Size::default(), 30, 1), 0.0);
        assert_eq!(compare::<Shared>(Size::default(), 30, 2), 0.0);
    }

    #[test]
    fn more_keys_than_cells_are_never_counted_too_low_and_are_all_gone_in_the_end() {
        // At most some 200 are under way, of a weight of one: the bound allows 2.72 * 200 / 16 for most.
        let excess = compare::<Local>(SMALL, 1_000, 3);
        assert!(excess > 0.0 && excess < 34.0, "{excess}");
        assert!(compare::<Shared>(SMALL, 1_000, 4) > 0.0);
    }

    #[test]
    fn no_more_threads_than_allowed_have_a_place_at_a_time() {
        let inflight = SharedInflight::with(SMALL, Seed::fixed(1));
        let (inside, entered) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(_guard) = inflight.try_begin("k", 2) else { continue };
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(entered.load(Ordering::SeqCst) > 0);
        assert_eq!(inflight.count("k"), 0);
    }

    #[test]
    fn what_began_on_one_thread_may_end_on_another() {
        let inflight = SharedInflight::new();
        let guard = inflight.begin("k");
        std::thread::scope(|scope| _ = scope.spawn(move || drop(guard)));
        assert_eq!(inflight.count("k"), 0);
    }
}
