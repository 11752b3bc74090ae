//! How a future that waits is found again: a waker says which it is, and its shard keeps a list of those to poll.

use super::local;
use crate::keys::{Key, TaskKey};
use crossbeam_channel::Sender;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Makes a key one of something else that waits.
#[derive(Debug)]
pub(super) enum WaiterTag {}
/// The key of something that waits for what no task does: a time, another thread.
pub(super) type WaiterKey = Key<WaiterTag>;

/// Who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakee {
    /// A spawned task.
    Task(TaskKey),
    /// Whichever exchange has this place now: a wake may come late, and is spurious then.
    Exchange(usize),
    /// The shard itself: somebody has put something on its desk.
    Desk,
}

/// What a waker means.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Wakee(Wakee),
    /// Woken from another thread, it has its own waker woken in turn.
    Waiter(WaiterKey),
}

/// What is behind a waker.
pub(super) struct Wakeful {
    pub(super) target: Target,
    /// Whether it is in one of the queues, so that waking it again is for nothing.
    is_queued: AtomicBool,
    bell: Arc<Bell>,
}

impl Wakeful {
    pub(super) fn waker(target: Target, bell: &Arc<Bell>) -> Waker {
        Waker::from(Arc::new(Self { target, is_queued: AtomicBool::new(false), bell: Arc::clone(bell) }))
    }

    /// It has left the queue; from here on a wake puts it there again. What was done before any wake that found it
    /// queued happened before this.
    pub(super) fn unqueue(&self) {
        self.is_queued.swap(false, Ordering::AcqRel);
    }

    fn enqueue(this: Arc<Self>) {
        // On its own thread a shard is in a turn, at whose end it looks. From elsewhere it may have to be woken first.
        let bell = Arc::clone(&this.bell);
        if let Err(this) = local::enqueue_here(&bell, this) {
            // Nobody receives any more when the shard is gone.
            if bell.woken.send(this).is_ok() {
                bell.ring();
            }
        }
    }
}

impl Wake for Wakeful {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            Self::enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            Self::enqueue(Arc::clone(self));
        }
    }
}

/// How other threads reach a shard that may be asleep.
pub(super) struct Bell {
    pub(super) woken: Sender<Arc<Wakeful>>,
    is_rung: AtomicBool,
    ringer: Box<dyn Fn() + Send + Sync>,
}

impl Bell {
    pub(super) fn new(woken: Sender<Arc<Wakeful>>, ringer: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { woken, is_rung: AtomicBool::new(false), ringer }
    }

    /// Has the shard look at what was woken, soon.
    pub(super) fn ring(&self) {
        // Once rung, whoever answers sees what was sent before this: both swaps are of one order.
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            (self.ringer)();
        }
    }

    /// The shard is about to look.
    pub(super) fn answer(&self) {
        self.is_rung.swap(false, Ordering::AcqRel);
    }

    pub(super) fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }
}

/// The wakers of a shard's exchanges: one for each place, made when it is first used, and kept.
pub struct Wakers {
    bell: Arc<Bell>,
    wakers: Vec<Waker>,
}

impl Wakers {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, wakers: Vec::new() }
    }

    /// The waker of the exchange whose key has this index.
    #[inline]
    pub fn of(&mut self, index: usize) -> &Waker {
        if index < self.wakers.len() { &self.wakers[index] } else { self.make(index) }
    }

    #[cold]
    fn make(&mut self, last: usize) -> &Waker {
        let made = self.wakers.len()..=last;
        self.wakers
            .extend(made.map(|index| Wakeful::waker(Target::Wakee(Wakee::Exchange(index)), &self.bell)));
        &self.wakers[last]
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakers").field("made", &self.wakers.len()).finish_non_exhaustive()
    }
}
