//! What code of users may do on a shard besides computing: tell the time, wait, run tasks.
//!
//! A shard runs hooks and tasks on its own small executor, [`Local`]. It knows neither a socket nor an event loop, so
//! the same code runs on the pump and on the simulator, where sleeping an hour takes no time. Futures stay on the shard
//! that they were made on and need not be `Send`; their wakers may be woken from any thread.
//!
//! # When things run
//!
//! Whatever wakes a future during a turn, it is polled before the turn ends, after what the turn caused was sent. When
//! very much is woken, the rest waits until sockets were looked after
//! ([`WOKEN_PER_TURN`](crate::limits::WOKEN_PER_TURN)), so a task that wakes itself for ever keeps nobody waiting for
//! long. A poll that does not return stops its shard: what computes for more than some tens of microseconds should call
//! [`yield_now`] now and then.
//!
//! The time is that of the turn: however often [`now`] is called in one poll, it is the same. Timers have a resolution
//! of a millisecond and are never early.
//!
//! # Where it may be called
//!
//! Functions of this module panic outside of a shard's thread. All of their futures may be dropped at any time, which
//! cancels what they wait for. What is dropped with a future of a user is dropped in a turn of its shard: a `Drop` may
//! ask for the time, and spawn.
//!
//! # What it deliberately does not do
//!
//! It offers no sockets: those belong to the shard. It has no priorities and moves no task to another thread.
//!
//! Read [`local`], [`waker`] (how a future is found again), [`task`], [`timer`], [`sync`], then [`mod@offload`] and
//! [`mod@resolve`], which leave the shard.

mod local;
mod offload;
mod resolve;
mod sync;
mod task;
mod timer;
mod waker;

pub use local::{Local, simulate};
pub use offload::{Offload, OffloadError, offload};
pub use resolve::{Resolve, ResolveError, resolve};
pub use sync::{Notified, Notify, Shutdown, is_draining, shutdown};
pub use task::{JoinError, JoinHandle};
pub use timer::{
    Elapsed, Interval, Sleep, Timeout, YieldNow, interval, sleep, sleep_until, timeout, yield_now,
};
pub use waker::{Wakee, Wakers};

use crate::time::Instant;
use std::future::Future;

/// The time of this turn.
///
/// # Panics
/// Outside of a shard.
#[inline]
pub fn now() -> Instant {
    local::now()
}

/// What user code of this shard leaves for the shard to do. `None` outside of one.
pub(crate) fn desk<T: 'static>() -> Option<std::rc::Rc<T>> {
    local::find()?.desk()
}

/// Runs `future` on this shard, beside what called. It is polled for the first time when the caller has returned.
///
/// The task runs until it ends, until [`JoinHandle::abort`] or until its shard stops; a handle that is dropped leaves it
/// alone. A shard that drains waits for its connections, not for tasks: when the last connection is gone, or the time
/// for draining is over, tasks are dropped where they wait. A panic ends the task and nothing else.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
/// use std::time::Duration;
///
/// let sum = rt::spawn(async {
///     rt::sleep(Duration::from_secs(1)).await;
///     1 + 1
/// });
/// assert_eq!(sum.await, Ok(2));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    local::current().spawn(future)
}

#[cfg(test)]
mod tests;
