//! The one place that reads a clock.

use super::Instant;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the monotonic time and the wall-clock time, really or as a simulation sets them.
#[derive(Debug)]
pub struct Clock(Source);

#[derive(Debug)]
enum Source {
    Real { origin: std::time::Instant },
    Manual { now: Cell<Instant>, unix_ms_at_zero: u64 },
}

impl Clock {
    /// The machine's clock. All real clocks of a process share one axis, which starts when the first is made: what
    /// one shard notes can be compared with what another reads.
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    pub fn real() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        Self(Source::Real { origin: *ORIGIN.get_or_init(std::time::Instant::now) })
    }

    /// A clock that stands still until [`advance`](Self::advance) is called. At its origin the wall clock shows
    /// `unix_ms_at_zero`.
    pub fn manual(unix_ms_at_zero: u64) -> Self {
        Self(Source::Manual { now: Cell::new(Instant::ZERO), unix_ms_at_zero })
    }

    /// Now, on the monotonic axis.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Real { origin } => Instant::ZERO + origin.elapsed(),
            Source::Manual { now, .. } => now.get(),
        }
    }

    /// Milliseconds since 1970 UTC. May jump when somebody sets the machine's clock: for display only.
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    pub fn unix_ms(&self) -> u64 {
        match &self.0 {
            Source::Real { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
            Source::Manual { now, unix_ms_at_zero } => unix_ms_at_zero + now.get().as_millis(),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On a real clock.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::Real { .. } => panic!("nobody can move the real clock"),
            Source::Manual { now, .. } => now.set(now.get() + by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000);
        assert_eq!((clock.now(), clock.unix_ms()), (Instant::ZERO, 1_000));
        clock.advance(Duration::from_millis(7));
        assert_eq!((clock.now(), clock.unix_ms()), (Instant::from_millis(7), 1_007));
    }

    #[test]
    fn the_real_clock_never_goes_back() {
        let clock = Clock::real();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.unix_ms() > 1_600_000_000_000);
    }

    #[test]
    fn real_clocks_share_their_axis_whatever_thread_made_them() {
        let clock = Clock::real();
        let before = clock.now();
        let between = std::thread::spawn(|| Clock::real().now()).join().unwrap();
        assert!(before <= between && between <= clock.now());
    }
}
