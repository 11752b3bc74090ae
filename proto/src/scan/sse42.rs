//! Sixteen bytes at a time: x86-64 processors since 2008.

use super::is_token_byte;
use super::simd::{Lane, LaneMask, Simd, Work};
use core::arch::x86_64::*;

/// The proof that the processor has SSE4.2 and what came before it: only [`run`] makes it.
#[derive(Clone, Copy)]
pub(super) struct Sse42(());

/// Whether [`run`] may be called.
pub(super) fn is_available() -> bool {
    std::is_x86_feature_detected!("sse4.2")
}

/// Does `work`, compiled for these instructions.
#[target_feature(enable = "sse4.2")]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    work.run(Sse42(()))
}

/// The bytes of tokens by rows of 16. A byte is one of them when the bit of its row, [`HIGH_NIBBLES`], is
/// among those of its column, [`LOW_NIBBLES`].
pub(super) static LOW_NIBBLES: [u8; 16] = {
    let mut rows = [0; 16];
    let mut byte = 0_u8;
    while byte < 0x80 {
        if is_token_byte(byte) {
            rows[byte as usize & 15] |= HIGH_NIBBLES[byte as usize >> 4];
        }
        byte += 1;
    }
    rows
};

/// A bit for each row that has bytes of tokens: 0x20 to 0x70. The shuffle leaves rows from 0x80 out.
pub(super) static HIGH_NIBBLES: [u8; 16] = [0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0];

impl Sse42 {
    #[inline(always)]
    fn load(self, bytes: &[u8; 16]) -> __m128i {
        // SAFETY: the reference covers the 16 bytes that are read, at any alignment; SSE2 is in x86-64.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn value_stops_of_half(self, half: &[u8; 16]) -> LaneMask {
        let bytes = self.load(half);
        // SAFETY: SSE2 is in x86-64.
        unsafe {
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            let tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x09));
            let del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
            _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del)) as LaneMask
        }
    }

    #[inline(always)]
    fn target_stops_of_half(self, half: &[u8; 16]) -> LaneMask {
        let bytes = self.load(half);
        // SAFETY: SSE2 is in x86-64.
        unsafe {
            let low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
            let hash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'#' as i8));
            let del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(hash, del), low)) as LaneMask
        }
    }

    #[inline(always)]
    fn colons_of_half(self, half: &[u8; 16]) -> LaneMask {
        let bytes = self.load(half);
        // SAFETY: SSE2 is in x86-64.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b':' as i8))) as LaneMask }
    }

    #[inline(always)]
    fn token_stops_of_half(self, half: &[u8; 16]) -> LaneMask {
        let bytes = self.load(half);
        let (low_nibbles, high_nibbles) = (self.load(&LOW_NIBBLES), self.load(&HIGH_NIBBLES));
        // SAFETY: `self` proves SSSE3, which has the shuffle.
        unsafe {
            let high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
            let rows = _mm_shuffle_epi8(low_nibbles, bytes);
            let row = _mm_shuffle_epi8(high_nibbles, high);
            _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(rows, row), _mm_setzero_si128())) as LaneMask
        }
    }

    #[inline(always)]
    fn unlike_of_half(self, half: &[u8; 16], lower: &[u8; 16]) -> LaneMask {
        let (bytes, lower) = (self.load(half), self.load(lower));
        // SAFETY: SSE2 is in x86-64.
        unsafe {
            let bit_6 = _mm_and_si128(bytes, _mm_set1_epi8(0x40));
            let lowered = _mm_or_si128(bytes, _mm_srli_epi16(bit_6, 1));
            !_mm_movemask_epi8(_mm_cmpeq_epi8(lowered, lower)) as LaneMask & 0xffff
        }
    }
}

#[inline(always)]
fn halves(lane: &Lane) -> (&[u8; 16], &[u8; 16]) {
    let (halves, _) = lane.as_chunks();
    (&halves[0], &halves[1])
}

impl Simd for Sse42 {
    #[inline(always)]
    fn value_stops(self, lane: &Lane) -> LaneMask {
        let (low, high) = halves(lane);
        self.value_stops_of_half(low) | (self.value_stops_of_half(high) << 16)
    }

    #[inline(always)]
    fn target_stops(self, lane: &Lane) -> LaneMask {
        let (low, high) = halves(lane);
        self.target_stops_of_half(low) | (self.target_stops_of_half(high) << 16)
    }

    #[inline(always)]
    fn token_stops(self, lane: &Lane) -> LaneMask {
        let (low, high) = halves(lane);
        self.token_stops_of_half(low) | (self.token_stops_of_half(high) << 16)
    }

    #[inline(always)]
    fn colons(self, lane: &Lane) -> LaneMask {
        let (low, high) = halves(lane);
        self.colons_of_half(low) | (self.colons_of_half(high) << 16)
    }

    #[inline(always)]
    fn unlike(self, lane: &Lane, lower: &Lane) -> LaneMask {
        let (low, high) = halves(lane);
        let (lower_low, lower_high) = halves(lower);
        self.unlike_of_half(low, lower_low) | (self.unlike_of_half(high, lower_high) << 16)
    }
}
