//! Many counters in little memory: a count-min sketch (Cormode and Muthukrishnan, 2005), and how keys find their
//! cells.

use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

/// How much memory a sketch takes, and so how far it is off.
///
/// Each key has one cell in every row, and its number is the least of them: other keys in the same cell make it too
/// great, never too small. When all keys together have counted `n`, the number of one is more than
/// `2.72 * n / columns` too great with a probability of at most `0.37` to the power of `rows`. By default: more than
/// 0.27 % of everything with a probability below 2 %, and much less when few keys have most of the events.
///
/// ```
/// use ringway_engine::meter::Size;
///
/// assert_eq!(Size::default(), Size { rows: 4, columns: 1024 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many cells a key has: more make a wrong number less likely, and every operation slower. At least 1.
    pub rows: usize,
    /// Cells in a row: more make wrong numbers less wrong. At least 1, and rounded up to a power of two.
    pub columns: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { rows: 4, columns: 1024 }
    }
}

/// What makes cells of keys: whoever does not know it cannot choose keys that meet in a cell.
///
/// Keys are hashed with SipHash, the keyed hash function of the standard library. What is hashed is what their
/// [`Hash`] feeds it: keys that are equal have to feed the same, as everywhere.
#[derive(Clone)]
pub struct Seed(Kind);

#[derive(Clone)]
enum Kind {
    Random(RandomState),
    Fixed(u64),
}

impl Seed {
    /// One that nobody can know. Every meter has such a one unless it is told otherwise.
    pub fn random() -> Self {
        Self(Kind::Random(RandomState::new()))
    }

    /// The same cells for the same number, so that a simulation can be repeated. Never for traffic: who knows the
    /// number can choose keys that meet.
    pub const fn fixed(seed: u64) -> Self {
        Self(Kind::Fixed(seed))
    }

    #[inline]
    pub(super) fn hash<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        let mut hasher = match &self.0 {
            Kind::Random(state) => state.build_hasher(),
            Kind::Fixed(seed) => {
                let mut hasher = DefaultHasher::new();
                hasher.write_u64(*seed);
                hasher
            }
        };
        key.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Random(_) => f.write_str("Seed::random()"),
            Kind::Fixed(seed) => write!(f, "Seed::fixed({seed})"),
        }
    }
}

/// Rows of cells.
#[derive(Debug)]
pub(super) struct Sketch<C> {
    cells: Box<[C]>,
    columns: usize,
}

impl<C: Default> Sketch<C> {
    /// Cells at their default.
    ///
    /// # Panics
    /// Without rows or columns.
    pub(super) fn new(size: Size) -> Self {
        assert!(size.rows > 0 && size.columns > 0, "a sketch has at least one cell");
        let columns = size.columns.checked_next_power_of_two().expect("the cells fit in memory");
        let count = columns.checked_mul(size.rows).expect("the cells fit in memory");
        Self { cells: (0..count).map(|_| C::default()).collect(), columns }
    }

    /// The cells of the key with this hash, one of each row.
    #[inline]
    pub(super) fn cells(&self, hash: u64) -> impl Iterator<Item = &C> {
        let mut word = hash;
        self.cells.chunks_exact(self.columns).map(move |row| {
            // The next word of splitmix64: keys that meet in one row meet in another only by chance.
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            // Cut off or not, the low bits are as good as the others.
            &row[(mixed ^ (mixed >> 31)) as usize & (row.len() - 1)]
        })
    }

    /// Memory of the cells.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_key_has_one_cell_in_every_row_and_always_the_same() {
        let sketch: Sketch<Cell<u64>> = Sketch::new(Size { rows: 5, columns: 100 });
        assert_eq!((sketch.columns, sketch.bytes()), (128, 5 * 128 * 8));
        sketch.cells(7).for_each(|cell| cell.set(1));
        assert!(sketch.cells.chunks(128).all(|row| row.iter().map(Cell::get).sum::<u64>() == 1));
        assert!(sketch.cells(7).all(|cell| cell.get() == 1));
    }

    #[test]
    fn keys_are_spread_over_every_row() {
        let sketch: Sketch<Cell<u64>> = Sketch::new(Size { rows: 4, columns: 64 });
        let seed = Seed::fixed(1);
        for key in 0..6_400 {
            sketch.cells(seed.hash(&key)).for_each(|cell| cell.set(cell.get() + 1));
        }
        // A hundred on average, ten is one standard deviation.
        assert!(sketch.cells.iter().all(|cell| (50..150).contains(&cell.get())));
    }

    #[test]
    fn one_cell_is_a_sketch_too() {
        let sketch: Sketch<Cell<u64>> = Sketch::new(Size { rows: 1, columns: 1 });
        assert_eq!(sketch.cells(u64::MAX).count(), 1);
    }

    #[test]
    #[should_panic(expected = "at least one cell")]
    fn none_is_not() {
        Sketch::<Cell<u64>>::new(Size { rows: 0, columns: 1 });
    }

    #[test]
    fn seeds_differ_where_they_should() {
        assert_eq!(Seed::fixed(1).hash("a"), Seed::fixed(1).hash("a"));
        assert_ne!(Seed::fixed(1).hash("a"), Seed::fixed(2).hash("a"));
        assert_ne!(Seed::random().hash("a"), Seed::random().hash("a"));
        let seed = Seed::random();
        assert_eq!(seed.hash("a"), seed.clone().hash(&String::from("a")));
    }
}
