//! Where lines end, found for a stretch of bytes at once.

use crate::scan::{BLOCK_BYTES, LANE_BYTES, Simd, block_stops, last_stops, simd};

/// The line ends of a stretch: the first byte of each run of bytes that no field value has. CRLF is such a run,
/// and so is everything that breaks a line; which of them it is, is not looked at here.
pub(super) struct Stretch {
    /// Where the bytes begin that were not looked at.
    next: usize,
    /// 1 when the last byte that was looked at is in a run, which then goes on.
    is_in_run: u64,
    found: usize,
    ends: [u32; ENDS_MAX],
}

impl Stretch {
    /// A stretch that begins at `at`, where no run goes on.
    #[inline(always)]
    pub(super) fn at(at: usize) -> Self {
        Self { next: at, is_in_run: 0, found: 0, ends: [0; ENDS_MAX] }
    }

    /// The offsets of the ends that were found last, in order.
    #[inline(always)]
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends[..self.found]
    }

    /// Finds the next ends: none when no byte is left. Fewer bytes than a lane are not worth it.
    #[inline(always)]
    pub(super) fn find<S: Simd>(&mut self, simd: S, bytes: &[u8]) {
        self.found = 0;
        while self.found == 0 && self.next < bytes.len() && bytes.len() >= LANE_BYTES {
            let rest = &bytes[self.next..];
            let (blocks, last) = rest[..rest.len().min(STRETCH_BYTES)].as_chunks();
            let mut is_enough = false;
            for block in blocks {
                is_enough = self.note(block_stops::<S, simd::Value>(simd, block));
                if is_enough {
                    break;
                }
            }
            if !is_enough && !last.is_empty() {
                self.note(last_stops::<S, simd::Value>(simd, bytes, self.next));
            }
        }
    }

    /// Notes where the runs of `stops` begin in the next block. Returns whether that is enough for now.
    #[inline(always)]
    fn note(&mut self, stops: u64) -> bool {
        let mut starts = stops & !((stops << 1) | self.is_in_run);
        let count = starts.count_ones() as usize;
        let at = self.next as u32;
        let ends = &mut self.ends[self.found..];
        // Three without a branch: how many there are cannot be predicted, but hardly ever more.
        for end in &mut ends[..3] {
            *end = at + starts.trailing_zeros();
            starts &= starts.wrapping_sub(1);
        }
        if count > 3 {
            for end in &mut ends[3..] {
                if starts == 0 {
                    break;
                }
                *end = at + starts.trailing_zeros();
                starts &= starts.wrapping_sub(1);
            }
        }
        self.is_in_run = stops >> (BLOCK_BYTES - 1);
        self.next += BLOCK_BYTES;
        self.found += count;
        // Lines end in runs of two. A longer one is the end of the section, behind which a body may come.
        // (Where a block ends in the middle of it, some of the body is looked at for nothing.)
        stops & (stops >> 1) & (stops >> 2) != 0 || self.found > ENDS_MAX - BLOCK_BYTES / 2 - 3
    }
}

/// Line ends that are found before lines are taken.
const ENDS_MAX: usize = 64;
/// Bytes in which they are looked for.
const STRETCH_BYTES: usize = 2048;

const _: () = {
    // A block may add a run for every second byte, and three are always written.
    assert!(ENDS_MAX >= BLOCK_BYTES / 2 + 3);
    assert!(STRETCH_BYTES.is_multiple_of(BLOCK_BYTES));
};
