//! Random numbers that are the same for the same seed.

/// Splitmix64 (Steele, Lea and Flood): one word of state, good enough to find bugs with.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // Biased by less than 2^-32 for the sizes that occur here.
        ((u128::from(self.word()) * end as u128) >> 64) as usize % end
    }

    /// A number from `first` to `last`, both included.
    ///
    /// # Panics
    /// When `first` is greater.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < per_mille as usize
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Bytes that are recognised when they turn up in the wrong place: letters and digits.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = Vec::with_capacity(len + 10);
        while text.len() < len {
            let word = self.word();
            text.extend((0..10).map(|n| LETTERS[(word >> (6 * n)) as usize & 63]));
        }
        text.truncate(len);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_within_bounds() {
        let many = |seed| {
            let mut rng = Rng::new(seed);
            (0..1000).map(move |_| rng.between(3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(many(1), many(1));
        assert_ne!(many(1), many(2));
        assert!((3..=9).all(|n| many(1).contains(&n)));
        assert!(many(1).iter().all(|n| (3..=9).contains(n)));
    }

    #[test]
    fn a_chance_of_nothing_never_comes_and_of_everything_always() {
        let mut rng = Rng::new(7);
        assert!((0..100).all(|_| !rng.chance(0) && rng.chance(1000)));
        assert_eq!(rng.text(25).len(), 25);
    }
}
