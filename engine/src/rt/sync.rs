//! How tasks and hooks of one shard wait for each other. Nothing here is shared between threads, so nothing is locked.

use super::Local;
use super::local;
use super::waker::WaiterKey;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// Waits until this shard begins to drain: it accepts nothing new, and what runs may end.
///
/// For what should stop beginning things then. It is over at once on a shard that drains. A shard that stops without a
/// drain drops its tasks instead.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
///
/// let farewell = rt::spawn(async {
///     rt::shutdown().await;
///     // Tell a registry that this server is leaving.
/// });
/// # farewell.abort();
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn shutdown() -> Shutdown {
    Shutdown { local: Rc::downgrade(&local::current()), waiter: None }
}

/// Whether this shard drains or has stopped.
///
/// # Panics
/// Outside of a shard.
pub fn is_draining() -> bool {
    local::current().is_draining()
}

/// What [`shutdown`] returns.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Shutdown {
    local: Weak<Local>,
    waiter: Option<WaiterKey>,
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(local) = self.local.upgrade().filter(|local| !local.is_draining()) else {
            return Poll::Ready(());
        };
        local.wait_for_drain(&mut self.waiter, cx.waker());
        Poll::Pending
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        if let (Some(waiter), Some(local)) = (self.waiter, self.local.upgrade()) {
            local.forget_drain(waiter);
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}

/// Tells tasks and hooks of the same shard that something has happened, not what.
///
/// Between a look at what is waited for and the first poll of [`Notify::notified`] nobody else runs, so nothing is
/// missed:
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// let jobs = Rc::new((Cell::new(0), rt::Notify::new()));
/// let worker = rt::spawn({
///     let jobs = Rc::clone(&jobs);
///     async move {
///         while jobs.0.get() == 0 {
///             jobs.1.notified().await;
///         }
///         jobs.0.take()
///     }
/// });
/// rt::yield_now().await;
/// jobs.0.set(7);
/// jobs.1.notify_one();
/// assert_eq!(worker.await, Ok(7));
/// # });
/// ```
#[derive(Default)]
pub struct Notify {
    /// In the order in which they came.
    waiting: RefCell<BTreeMap<u64, Waking>>,
    next: Cell<u64>,
    /// Whether the next one need not wait.
    has_permit: Cell<bool>,
}

/// How far one is who waits.
enum Waking {
    Waiting(Waker),
    /// Told, and not polled since; if it is dropped, another has to be told.
    ToldAlone,
    Told,
}

impl Notify {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells who has waited longest; if nobody waits, the next who would.
    pub fn notify_one(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.values_mut().find(|waking| matches!(waking, Waking::Waiting(_)));
        let Some(first) = first else { return self.has_permit.set(true) };
        let told = std::mem::replace(first, Waking::ToldAlone);
        drop(waiting);
        told.wake();
    }

    /// Tells all who wait now.
    pub fn notify_all(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let is_waiting = |waking: &&mut Waking| matches!(waking, Waking::Waiting(_));
        let told =
            waiting.values_mut().filter(is_waiting).map(|waking| std::mem::replace(waking, Waking::Told));
        let told: Vec<_> = told.collect();
        drop(waiting);
        told.into_iter().for_each(Waking::wake);
    }

    /// Waits until it is told. It waits from its first poll on; dropped after it was told alone, it passes that on.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, ticket: None }
    }
}

impl Waking {
    fn wake(self) {
        if let Self::Waiting(waker) = self {
            waker.wake();
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("waiting", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}

/// What [`Notify::notified`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    ticket: Option<u64>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let ticket = match self.ticket {
            None if notify.has_permit.take() => return Poll::Ready(()),
            None => {
                let ticket = notify.next.get();
                notify.next.set(ticket + 1);
                self.ticket = Some(ticket);
                ticket
            }
            Some(ticket) => ticket,
        };
        let mut waiting = notify.waiting.borrow_mut();
        if matches!(waiting.get(&ticket), Some(Waking::ToldAlone | Waking::Told)) {
            waiting.remove(&ticket);
            self.ticket = None;
            return Poll::Ready(());
        }
        let old = waiting.insert(ticket, Waking::Waiting(cx.waker().clone()));
        drop(waiting);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = self.notify.waiting.borrow_mut().remove(&ticket);
        if matches!(left, Some(Waking::ToldAlone)) {
            self.notify.notify_one();
        }
    }
}
