//! Waiting for a time, with a bound in time, and for everybody else.

use super::local;
use super::waker::WaiterKey;
use super::{Local, now};
use crate::time::{Instant, TimerId};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for `duration` from now, at most a millisecond longer; zero is over at once.
///
/// Dropped, it costs nothing more. In a simulation no real time passes.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
/// use std::time::Duration;
///
/// let begun = rt::now();
/// rt::sleep(Duration::from_secs(3600)).await;
/// assert!(rt::now() - begun >= Duration::from_secs(3600));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until `deadline`, at most a millisecond longer; one that has passed is over at once.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None }
}

/// What [`sleep`] returns.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    /// Set when it was polled in vain.
    timer: Option<Timer>,
}

struct Timer {
    local: Weak<Local>,
    waiter: WaiterKey,
    id: TimerId,
}

impl Sleep {
    /// When it is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if now() >= self.deadline {
            self.timer = None;
            return Poll::Ready(());
        }
        let rewaits =
            |timer: &Timer| timer.local.upgrade().is_some_and(|local| local.rewait(timer.waiter, cx.waker()));
        if !self.timer.as_ref().is_some_and(rewaits) {
            let local = local::current();
            let (waiter, id) = local.insert_timer(self.deadline, cx.waker().clone());
            self.timer = Some(Timer { local: Rc::downgrade(&local), waiter, id });
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            local.cancel_timer(self.waiter, self.id);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Ticks every `period`, for the first time in one period from now.
///
/// Ticks keep to their times however long the work between them takes. Those that were missed meanwhile are left out.
/// The resolution is a millisecond.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
/// use std::time::Duration;
///
/// let begun = rt::now();
/// let mut ticks = rt::interval(Duration::from_secs(5));
/// ticks.tick().await;
/// assert_eq!(rt::now() - begun, Duration::from_secs(5));
/// rt::sleep(Duration::from_secs(12)).await;
/// assert_eq!(ticks.tick().await - begun, Duration::from_secs(10));
/// assert_eq!(ticks.tick().await - begun, Duration::from_secs(20));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard, and with a period of zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { period, next: sleep(period) }
}

/// What [`interval`] returns.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Sleep,
}

impl Interval {
    /// Waits for the next tick and says when it was due. Dropped before that, it has taken nothing: the tick is still to
    /// come.
    pub async fn tick(&mut self) -> Instant {
        (&mut self.next).await;
        let due = self.next.deadline();
        let missed = (now() - due).as_nanos() / self.period.as_nanos();
        // More than a lifetime of missed ticks is as good as never.
        let periods = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.next = sleep_until(due + self.period.saturating_mul(periods));
        due
    }
}

/// Waits for `future`, but no longer than `duration` from now.
///
/// When both are due, the future's output is what counts. A future that does not wait costs no timer, so this may stand
/// around each operation. When the time is over, or this is dropped, so is the future: where it waits.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// assert_eq!(rt::timeout(second, async { 1 }).await, Ok(1));
/// assert_eq!(rt::timeout(second, std::future::pending::<()>()).await, Err(rt::Elapsed));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(duration) }
}

pin_project! {
    /// What [`timeout`] returns.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed)),
        }
    }
}

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl std::error::Error for Elapsed {}

/// Lets whatever else is ready run first, and sockets when a turn has become long.
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// What [`yield_now`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
