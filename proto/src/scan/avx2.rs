//! Thirty-two bytes at a time: x86-64 processors since 2013.

use super::simd::{Lane, LaneMask, Simd, Work};
use super::sse42::{HIGH_NIBBLES, LOW_NIBBLES};
use core::arch::x86_64::*;

/// The proof that the processor has AVX2 and what came with it: only [`run`] makes it.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Whether [`run`] may be called.
pub(super) fn is_available() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
        && std::is_x86_feature_detected!("popcnt")
}

/// Does `work`, compiled for these instructions.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn run<W: Work>(work: W) -> W::Output {
    work.run(Avx2(()))
}

impl Avx2 {
    #[inline(always)]
    fn load(self, lane: &Lane) -> __m256i {
        // SAFETY: `self` proves AVX. The reference covers the 32 bytes that are read, at any alignment.
        unsafe { _mm256_loadu_si256(lane.as_ptr().cast()) }
    }
}

impl Simd for Avx2 {
    #[inline(always)]
    fn value_stops(self, lane: &Lane) -> LaneMask {
        let bytes = self.load(lane);
        // SAFETY: `self` proves AVX2.
        unsafe {
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            let tab = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x09));
            let del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
            _mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, control), del)) as LaneMask
        }
    }

    #[inline(always)]
    fn target_stops(self, lane: &Lane) -> LaneMask {
        let bytes = self.load(lane);
        // SAFETY: `self` proves AVX2.
        unsafe {
            let low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x20)), bytes);
            let hash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'#' as i8));
            let del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
            _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(hash, del), low)) as LaneMask
        }
    }

    #[inline(always)]
    fn token_stops(self, lane: &Lane) -> LaneMask {
        let bytes = self.load(lane);
        // SAFETY: `self` proves AVX2. The references cover the 16 bytes that are read, at any alignment.
        unsafe {
            let low_nibbles = _mm256_broadcastsi128_si256(_mm_loadu_si128(LOW_NIBBLES.as_ptr().cast()));
            let high_nibbles = _mm256_broadcastsi128_si256(_mm_loadu_si128(HIGH_NIBBLES.as_ptr().cast()));
            let high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
            let rows = _mm256_shuffle_epi8(low_nibbles, bytes);
            let row = _mm256_shuffle_epi8(high_nibbles, high);
            let outside = _mm256_cmpeq_epi8(_mm256_and_si256(rows, row), _mm256_setzero_si256());
            _mm256_movemask_epi8(outside) as LaneMask
        }
    }

    #[inline(always)]
    fn colons(self, lane: &Lane) -> LaneMask {
        // SAFETY: `self` proves AVX2.
        unsafe {
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(self.load(lane), _mm256_set1_epi8(b':' as i8))) as LaneMask
        }
    }

    #[inline(always)]
    fn unlike(self, lane: &Lane, lower: &Lane) -> LaneMask {
        let (bytes, lower) = (self.load(lane), self.load(lower));
        // SAFETY: `self` proves AVX2.
        unsafe {
            let bit_6 = _mm256_and_si256(bytes, _mm256_set1_epi8(0x40));
            let lowered = _mm256_or_si256(bytes, _mm256_srli_epi16(bit_6, 1));
            !_mm256_movemask_epi8(_mm256_cmpeq_epi8(lowered, lower)) as LaneMask
        }
    }
}
