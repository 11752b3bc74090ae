//! Request ids: made here, or taken over from a client that already has one.

use super::text;
use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 random bits as 32 hexadecimal digits.
pub type RequestId = [u8; 32];

/// Makes the ids of one shard. They are unlikely to repeat and not secret: no one should treat them as a token.
#[derive(Debug)]
pub struct RequestIds {
    /// State of xoshiro256++ (Blackman and Vigna), never all zero.
    state: [u64; 4],
}

impl RequestIds {
    /// Ids that differ from every other shard's and process's.
    pub fn from_entropy() -> Self {
        // The standard library keys its hashers with random bytes of the operating system.
        let mut state = std::array::from_fn(|_| RandomState::new().build_hasher().finish());
        state[0] |= 1;
        Self { state }
    }

    /// The same ids for the same seed, for the simulator.
    pub fn seeded(seed: u64) -> Self {
        // Splitmix64, as the authors of xoshiro advise for filling its state from one word.
        let mut word = seed;
        let state = std::array::from_fn(|_| {
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// A new id.
    pub fn make(&mut self) -> RequestId {
        let bits = (u128::from(self.word()) << 64) | u128::from(self.word());
        let mut id = [0; 32];
        for (digits, byte) in id.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            digits.copy_from_slice(&text::hex(byte));
        }
        id
    }

    fn word(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let word = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        word
    }
}

/// Whether an id that a client sent may be used as ours: short, and harmless wherever ids are shown.
pub fn is_acceptable(id: &[u8]) -> bool {
    matches!(id.len(), 1..=ACCEPTED_BYTES_MAX)
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
}

const ACCEPTED_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for the state 1, 2, 3, 4, from the reference implementation's test vector.
        let mut ids = RequestIds { state: [1, 2, 3, 4] };
        let words: Vec<_> = (0..4).map(|_| ids.word()).collect();
        assert_eq!(words, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn equal_seeds_make_equal_ids_and_others_do_not() {
        let many = |seed| {
            let mut ids = RequestIds::seeded(seed);
            (0..1_000).map(move |_| ids.make()).collect::<Vec<_>>()
        };
        assert_eq!(many(1), many(1));
        let all: HashSet<_> = many(1).into_iter().chain(many(2)).chain(many(0)).collect();
        assert_eq!(all.len(), 3_000);
        assert!(all.iter().all(|id| is_acceptable(id)));
    }

    #[test]
    fn entropy_differs_each_time() {
        assert_ne!(RequestIds::from_entropy().make(), RequestIds::from_entropy().make());
    }

    #[test]
    fn only_short_and_harmless_ids_are_taken_over() {
        assert!(is_acceptable(b"a"));
        assert!(is_acceptable(
            b"Root=1-67891233-abcdef012345678912345678".split(|b| *b == b'=').nth(1).unwrap()
        ));
        assert!(is_acceptable(&[b'x'; 128]));
        for bad in [&b""[..], &[b'x'; 129], b"a b", b"a\r\nb", b"a\"", b"\xff", b"a=b", b"<a>"] {
            assert!(!is_acceptable(bad), "{bad:?}");
        }
    }
}
