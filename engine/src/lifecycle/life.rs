//! How far a server's life has come, to be watched from any thread.
//!
//! Each stage has a channel that carries nothing and disconnects when the stage is reached: nobody who waits can miss
//! it, and a supervisor that panics ends all waiting.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How far a server's life has come. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Life {
    /// Listeners do not accept yet: background services become ready, shards start.
    Starting,
    /// Every listener of every shard accepts.
    Serving,
    /// A stop was asked for. Nothing new is accepted; exchanges may end where the stop is graceful.
    Draining,
    /// Everything has ended, or the server did not start.
    Stopped,
}

impl Life {
    const ALL: [Self; 4] = [Self::Starting, Self::Serving, Self::Draining, Self::Stopped];
}

/// Opens when its other half is dropped.
pub(super) type Gate = Receiver<Infallible>;
/// Keeps a [`Gate`] closed.
pub(super) type Latch = Sender<Infallible>;

/// A gate, and what keeps it closed.
pub(super) fn gate() -> (Latch, Gate) {
    bounded(0)
}

/// Waits for a gate; false when the time is over first.
pub(super) fn wait(gate: &Gate, timeout: Option<Duration>) -> bool {
    match timeout {
        None => gate.recv().is_err(),
        Some(timeout) => gate.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected),
    }
}

/// Whether a gate is open.
pub(super) fn is_open(gate: &Gate) -> bool {
    gate.try_recv() == Err(TryRecvError::Disconnected)
}

/// Watches the life of a server.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    serving: Gate,
    draining: Gate,
    stopped: Gate,
    has_served: Arc<AtomicBool>,
}

/// The other half of a [`Watch`]: a stage is reached when its latch is dropped.
#[derive(Debug)]
pub(super) struct Latches {
    pub(super) serving: ServingLatch,
    pub(super) draining: Latch,
    pub(super) stopped: Latch,
}

/// The latch of [`Life::Serving`]. When it is dropped the waiting ends, but the stage was passed over.
#[derive(Debug)]
pub(super) struct ServingLatch {
    _latch: Latch,
    has_served: Arc<AtomicBool>,
}

impl ServingLatch {
    /// The server serves.
    pub(super) fn open(self) {
        self.has_served.store(true, Ordering::Release);
    }
}

impl Watch {
    pub(super) fn new() -> (Latches, Self) {
        let ((serving, is_serving), (draining, is_draining), (stopped, is_stopped)) =
            (gate(), gate(), gate());
        let has_served = Arc::new(AtomicBool::new(false));
        let serving = ServingLatch { _latch: serving, has_served: Arc::clone(&has_served) };
        let watch = Self { serving: is_serving, draining: is_draining, stopped: is_stopped, has_served };
        (Latches { serving, draining, stopped }, watch)
    }

    /// How far it has come.
    pub(super) fn life(&self) -> Life {
        let has_come = |life: &Life| self.gate(*life).is_none_or(is_open) && !self.is_skipped(*life);
        Life::ALL.into_iter().rev().find(has_come).unwrap_or(Life::Starting)
    }

    /// Waits until it has come so far or farther; false when the time is over first.
    pub(super) fn wait(&self, life: Life, timeout: Option<Duration>) -> bool {
        self.gate(life).is_none_or(|gate| wait(gate, timeout))
    }

    /// Opens when it has come so far. It begins by starting.
    fn gate(&self, life: Life) -> Option<&Gate> {
        match life {
            Life::Starting => None,
            Life::Serving => Some(&self.serving),
            Life::Draining => Some(&self.draining),
            Life::Stopped => Some(&self.stopped),
        }
    }

    /// A server that fails to start opens every gate, but it never served.
    fn is_skipped(&self, life: Life) -> bool {
        matches!(life, Life::Serving | Life::Draining) && !self.has_served.load(Ordering::Acquire)
    }
}

/// The stages of a server's life as they come, each once: what
/// [`ServerHandle::watch`](super::ServerHandle::watch) returns. `next` blocks.
#[derive(Clone, Debug)]
pub struct LifeWatch {
    watch: Watch,
    next: usize,
}

impl LifeWatch {
    pub(super) fn new(watch: Watch) -> Self {
        Self { watch, next: 0 }
    }
}

impl Iterator for LifeWatch {
    type Item = Life;

    fn next(&mut self) -> Option<Life> {
        loop {
            let life = *Life::ALL.get(self.next)?;
            self.next += 1;
            self.watch.wait(life, None);
            if !self.watch.is_skipped(life) {
                return Some(life);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_on_latch_by_latch() {
        let (latches, watch) = Watch::new();
        let mut seen = LifeWatch::new(watch.clone());
        assert_eq!((watch.life(), seen.next()), (Life::Starting, Some(Life::Starting)));
        assert!(!watch.wait(Life::Serving, Some(Duration::ZERO)) && watch.wait(Life::Starting, None));
        latches.serving.open();
        assert_eq!((watch.life(), seen.next()), (Life::Serving, Some(Life::Serving)));
        drop(latches.draining);
        assert_eq!((watch.life(), seen.next()), (Life::Draining, Some(Life::Draining)));
        drop(latches.stopped);
        assert_eq!((watch.life(), seen.next(), seen.next()), (Life::Stopped, Some(Life::Stopped), None));
        assert!(watch.wait(Life::Serving, Some(Duration::ZERO)));
    }

    #[test]
    fn a_start_that_fails_ends_all_waiting_and_never_served() {
        let (latches, watch) = Watch::new();
        drop(latches);
        assert!(watch.wait(Life::Serving, None) && watch.wait(Life::Stopped, None));
        assert_eq!(watch.life(), Life::Stopped);
        assert_eq!(LifeWatch::new(watch).collect::<Vec<_>>(), [Life::Starting, Life::Stopped]);
    }
}
