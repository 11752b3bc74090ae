//! The shard's timer: one timerfd in the event loop, set to the earliest deadline of all.
//!
//! It is set only when that deadline moves earlier. A deadline that moves later leaves it: it goes off, finds
//! nothing due, and is set again.

use super::watch::Readiness;
use super::{Core, Phase, sys};
use crate::time::Instant;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// When the shard is to be woken.
pub(super) struct Alarm {
    timer: Readiness,
    /// What the timer is set to.
    set: Cell<Option<Instant>>,
    /// When a draining shard stops.
    stop: Cell<Option<Instant>>,
    /// How often the log is flushed.
    interval: Cell<Option<Duration>>,
    next_tick: Cell<Option<Instant>>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            timer: Readiness::new(sys::timer()?)?,
            set: Cell::new(None),
            stop: Cell::new(None),
            interval: Cell::new(None),
            next_tick: Cell::new(None),
        })
    }

    /// Wakes the shard at `deadline`, or earlier. The time is measured from now on the shard's own axis, so the
    /// caller's turn has just read the clock.
    #[inline]
    pub(super) fn set(&self, now: Instant, deadline: Option<Instant>) {
        let earliest = [deadline, self.stop.get(), self.next_tick.get()].into_iter().flatten().min();
        let Some(earliest) = earliest else { return };
        if self.set.get().is_none_or(|set| earliest < set) {
            self.set.set(Some(earliest));
            sys::set_timer(self.timer.fd(), earliest.since(now));
        }
    }

    pub(super) fn stop_at(&self, at: Instant) {
        self.stop.set(Some(at));
    }

    pub(super) fn every(&self, interval: Duration) {
        self.interval.set(Some(interval));
    }

    /// Starts the wait for the next tick, if there is something to do then.
    pub(super) fn expect_tick(&self, now: Instant) {
        if self.next_tick.get().is_none() {
            self.next_tick.set(self.interval.get().map(|interval| now + interval));
        }
    }
}

/// Wakes the shard when its timer goes off.
pub(super) async fn ring(core: Rc<Core>) {
    while core.phase.get() != Phase::Stopped {
        core.alarm.timer.readable().await;
        sys::drain(core.alarm.timer.fd());
        core.alarm.set.set(None);
        let now = core.clock.now();
        if core.alarm.stop.get().is_some_and(|stop| stop <= now) {
            core.alarm.stop.set(None);
            core.stop();
        }
        if core.alarm.next_tick.get().is_some_and(|tick| tick <= now) {
            core.alarm.next_tick.set(None);
            core.shard.borrow_mut().flush_log();
        }
        core.turn(None, |shard, now| shard.on_timeout(now));
    }
}
