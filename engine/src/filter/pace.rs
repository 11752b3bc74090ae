//! So much work at a time, and then the others.

use crate::rt;
use crate::time::Instant;

/// What one exchange has worked in the turn that runs.
#[derive(Debug)]
pub(super) struct Pace {
    turn: Instant,
    spent_bytes: usize,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { turn: Instant::ZERO, spent_bytes: 0 }
    }

    /// Before so many bytes are coded: lets others run if there were many in this turn.
    #[inline]
    pub(super) async fn spend(&mut self, bytes: usize) {
        let now = rt::now();
        if now != self.turn {
            *self = Self { turn: now, spent_bytes: 0 };
        } else if self.spent_bytes >= BYTES_AT_A_TIME {
            rt::yield_now().await;
            *self = Self { turn: rt::now(), spent_bytes: 0 };
        }
        self.spent_bytes += bytes.max(CALL_BYTES);
    }
}

/// Content that is coded before others have their turn: some tenths of a millisecond.
pub(super) const BYTES_AT_A_TIME: usize = 64 * 1024;
/// What a call counts for at least: a stream of empty streams is work, too.
const CALL_BYTES: usize = 512;
