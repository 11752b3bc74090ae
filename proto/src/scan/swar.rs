//! Eight bytes at a time in a general register: what every machine has.

use super::simd::{Lane, LaneMask, Simd};

/// No special instructions.
#[derive(Clone, Copy)]
pub(super) struct Swar;

impl Simd for Swar {
    #[inline(always)]
    fn value_stops(self, lane: &Lane) -> LaneMask {
        lane_mask(words(lane).map(value_stops))
    }

    #[inline(always)]
    fn target_stops(self, lane: &Lane) -> LaneMask {
        lane_mask(words(lane).map(target_stops))
    }

    #[inline(always)]
    fn token_stops(self, lane: &Lane) -> LaneMask {
        lane.iter().rev().fold(0, |mask, &byte| (mask << 1) | LaneMask::from(!super::IS_TOKEN[byte as usize]))
    }

    #[inline(always)]
    fn colons(self, lane: &Lane) -> LaneMask {
        lane_mask(words(lane).map(|word| equal(word, b':')))
    }

    #[inline(always)]
    fn unlike(self, lane: &Lane, lower: &Lane) -> LaneMask {
        let (words, lowers) = (words(lane), words(lower));
        lane_mask([0, 1, 2, 3].map(|at| {
            let lowered = words[at] | ((words[at] & repeat(0x40)) >> 1);
            !equal(lowered ^ lowers[at], 0) & repeat(0x80)
        }))
    }
}

/// The high bit of each byte that may not stand in a field value.
#[inline(always)]
fn value_stops(word: u64) -> u64 {
    (below(word, 0x20) & !equal(word, b'\t')) | equal(word, 0x7f)
}

/// The high bit of each byte that may not stand in a request target.
#[inline(always)]
fn target_stops(word: u64) -> u64 {
    below(word, 0x21) | equal(word, b'#') | equal(word, 0x7f)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each byte that equals `byte`, exactly: no carry passes from byte to byte.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ repeat(byte);
    !(((difference & repeat(0x7f)) + repeat(0x7f)) | difference) & repeat(0x80)
}

/// The high bit of each byte that is below `bound`, which is at most 0x80.
#[inline(always)]
fn below(word: u64, bound: u8) -> u64 {
    !(((word & repeat(0x7f)) + repeat(0x80 - bound)) | word) & repeat(0x80)
}

/// The high bits of the bytes as the low bits of a number, the first byte lowest.
#[inline(always)]
fn pack(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[inline(always)]
fn words(lane: &Lane) -> [u64; 4] {
    let (words, _) = lane.as_chunks();
    [0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]))
}

#[inline(always)]
fn lane_mask(high_bits: [u64; 4]) -> LaneMask {
    let [a, b, c, d] = high_bits.map(pack);
    (a | (b << 8) | (c << 16) | (d << 24)) as LaneMask
}
