//! Work that blocks, on threads of its own.

use super::Local;
use super::local;
use super::waker::WaiterKey;
use crate::limits::{LOOKUP_QUEUE, LOOKUP_THREADS, OFFLOAD_QUEUE, OFFLOAD_THREADS};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use nix::sched::{sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, getpid};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread;

/// Runs `work` where it may block, and waits for what it returns.
///
/// A shard must not block: files, name servers, and what computes for longer than some hundred microseconds belong here.
/// All shards share [`OFFLOAD_THREADS`] threads, which do nothing else (names have others); at most [`OFFLOAD_QUEUE`] pieces of work wait for them, and what is
/// more is refused with [`OffloadError::Busy`], so whoever is slow there does not fill the memory. In a simulation the
/// work is done at once, on the spot.
///
/// The work is queued when this is called, not when it is awaited. If what this returns is dropped, work that has not
/// begun is not done; work that has begun goes on and its result is dropped.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
///
/// let sum = rt::offload(|| (1..=1000_u64).sum::<u64>()).await;
/// assert_eq!(sum, Ok(500_500));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Offload<T> {
    static POOL: OnceLock<Pool> = OnceLock::new();
    offload_to(|| POOL.get_or_init(|| Pool::new("offload", OFFLOAD_THREADS, OFFLOAD_QUEUE)), work)
}

/// As [`offload`], to threads of their own: names that nobody answers for must not hold up everything else.
pub(super) fn look_up<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Offload<T> {
    static POOL: OnceLock<Pool> = OnceLock::new();
    offload_to(|| POOL.get_or_init(|| Pool::new("lookup", LOOKUP_THREADS, LOOKUP_QUEUE)), work)
}

pub(super) fn offload_to<'a, T: Send + 'static>(
    pool: impl FnOnce() -> &'a Pool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Offload<T> {
    let local = local::current();
    let (waiter, waker) = local.insert_waiter();
    let (sender, result) = bounded(1);
    let is_wanted = Arc::new(());
    let wanted = Arc::downgrade(&is_wanted);
    let job = move || {
        if wanted.strong_count() == 0 {
            return;
        }
        // Nobody takes the result when it is not wanted any more.
        _ = sender.send(catch_unwind(AssertUnwindSafe(work)).map_err(|_| OffloadError::Panicked));
        waker.wake();
    };
    let is_refused = if local.is_simulated() {
        job();
        false
    } else {
        !pool().submit(Box::new(job))
    };
    let waiting = Waiting { local: Rc::downgrade(&local), waiter };
    Offload { waiting: (!is_refused).then_some(waiting), result, _is_wanted: is_wanted }
}

/// What [`offload`] returns.
#[must_use = "work that nobody waits for may not be done"]
pub struct Offload<T> {
    /// `None` when it was refused.
    waiting: Option<Waiting>,
    result: Receiver<Result<T, OffloadError>>,
    /// Seen by the work before it begins.
    _is_wanted: Arc<()>,
}

struct Waiting {
    local: Weak<Local>,
    waiter: WaiterKey,
}

/// Why offloaded work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadError {
    /// Too much was waiting already, or no thread could be had.
    Busy,
    /// It panicked.
    Panicked,
}

impl<T> Future for Offload<T> {
    type Output = Result<T, OffloadError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(Waiting { local, waiter }) = &self.waiting else {
            return Poll::Ready(Err(OffloadError::Busy));
        };
        // The waiter leaves when the result is there.
        if local.upgrade().is_some_and(|local| local.rewait(*waiter, cx.waker())) {
            return Poll::Pending;
        }
        Poll::Ready(self.result.try_recv().expect("sent before the waiter was woken, and taken once"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            local.remove_waiter(self.waiter);
        }
    }
}

impl<T> fmt::Debug for Offload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").finish_non_exhaustive()
    }
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too much work was waiting",
            Self::Panicked => "the work panicked",
        })
    }
}

impl std::error::Error for OffloadError {}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that work off one queue; each is started when work waits and lives as long as the process.
pub(super) struct Pool {
    /// What its threads are called.
    name: &'static str,
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    threads: AtomicUsize,
    threads_max: usize,
}

impl Pool {
    pub(super) fn new(name: &'static str, threads_max: usize, queue: usize) -> Self {
        let (jobs, queue) = bounded(queue);
        Self { name, jobs, queue, threads: AtomicUsize::new(0), threads_max }
    }

    /// Queues a job. False when there is no place, or nobody who would do it.
    fn submit(&self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) if self.queue.is_empty() => true,
            Ok(()) => self.start() > 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Starts another thread if there may be one, and says how many there are.
    fn start(&self) -> usize {
        let number = self.threads.fetch_add(1, Ordering::Relaxed);
        if number < self.threads_max {
            let queue = self.queue.clone();
            let name = format!("{}-{number}", self.name);
            match thread::Builder::new().name(name).spawn(move || work_off(&queue)) {
                Ok(_) => return number + 1,
                Err(error) => log::warn!("a thread for work that blocks cannot be started: {error}"),
            }
        }
        self.threads.fetch_sub(1, Ordering::Relaxed) - 1
    }
}

fn work_off(queue: &Receiver<Job>) {
    // Started by a shard, it would stay on the shard's core. The first thread of the process is not pinned.
    if let Err(error) = sched_getaffinity(getpid()).and_then(|all| sched_setaffinity(Pid::from_raw(0), &all))
    {
        log::warn!("work that blocks stays on the core of a shard: {error}");
    }
    for job in queue {
        // What the work itself does was caught; this is for what it captured.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            log::error!("offloaded work panicked when it was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::CpuSet;

    /// A pool whose only thread waits until the sender is dropped.
    fn busy_pool(queue: usize) -> (Pool, Sender<()>) {
        let pool = Pool::new("test", 1, queue);
        let (release, released) = bounded::<()>(0);
        let (begin, begun) = bounded(1);
        assert!(pool.submit(Box::new(move || {
            begin.send(()).unwrap();
            _ = released.recv();
        })));
        begun.recv().unwrap();
        (pool, release)
    }

    #[test]
    fn what_finds_no_place_is_refused() {
        let (pool, release) = busy_pool(2);
        let (done, results) = bounded(2);
        for n in 0..2 {
            let done = done.clone();
            assert!(pool.submit(Box::new(move || done.send(n).unwrap())));
        }
        assert!(!pool.submit(Box::new(|| unreachable!("it was refused"))));
        drop(release);
        assert_eq!((results.recv(), results.recv()), (Ok(0), Ok(1)));
        assert_eq!(pool.threads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_panic_costs_no_thread() {
        let (pool, release) = busy_pool(2);
        assert!(pool.submit(Box::new(|| panic!("as the test wants it"))));
        let (done, results) = bounded(1);
        assert!(pool.submit(Box::new(move || done.send(()).unwrap())));
        drop(release);
        assert_eq!(results.recv(), Ok(()));
    }

    #[test]
    fn work_does_not_stay_on_the_core_of_the_shard_that_began_it() {
        let all = sched_getaffinity(getpid()).unwrap();
        let seen = thread::spawn(move || {
            let mut one = CpuSet::new();
            let first = (0..CpuSet::count()).find(|&core| all.is_set(core).unwrap()).unwrap();
            one.set(first).unwrap();
            sched_setaffinity(Pid::from_raw(0), &one).unwrap();
            let (done, results) = bounded(1);
            let ask = move || done.send(sched_getaffinity(Pid::from_raw(0)).unwrap()).unwrap();
            assert!(Pool::new("test", 1, 1).submit(Box::new(ask)));
            results.recv().unwrap()
        });
        assert_eq!(seen.join().unwrap(), all);
    }
}
