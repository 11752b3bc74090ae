//! The executor of one shard, and how code that runs on the shard finds it.

use super::task::{JoinHandle, Joined, Packet};
use super::waker::{Bell, Target, WaiterKey, WaiterTag, Wakee, Wakeful, Wakers};
use crate::keys::{Slab, TaskKey, TaskTag};
use crate::observe::Counters;
use crate::time::{Instant, TimerId, Wheel};
use crossbeam_channel::{Receiver, unbounded};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What runs and waits on one shard besides its connections.
///
/// The shard tells it the time at the beginning of a turn and polls what was woken at the end. Nothing of a user is
/// called, woken or dropped while something in here is borrowed.
pub struct Local {
    bell: Arc<Bell>,
    /// Who was woken from other threads.
    called: Receiver<Arc<Wakeful>>,
    /// Who was woken on this thread, and whom to poll next.
    woken: RefCell<VecDeque<Arc<Wakeful>>>,
    has_woken: Cell<bool>,
    /// A task that is being polled has left its place empty.
    tasks: RefCell<Slab<Option<Task>, TaskTag>>,
    /// Those who wait for something that is not a task's doing.
    waiters: RefCell<Slab<Waker, WaiterTag>>,
    timers: RefCell<Wheel<WaiterKey>>,
    is_timed: Cell<bool>,
    /// Those who wait for the shard to drain.
    drain_waiters: RefCell<Slab<Waker, WaiterTag>>,
    is_draining: Cell<bool>,
    is_stopped: Cell<bool>,
    /// Names to addresses, in a simulation.
    names: Option<RefCell<BTreeMap<String, Vec<IpAddr>>>>,
    counters: Arc<Counters>,
    /// Where others leave what the shard is to do, whatever that is, and how it is told.
    desk: RefCell<Option<(Rc<dyn Any>, Waker)>>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
    joined: Rc<dyn Joined>,
}

/// Whose turn it is on this thread, and when. Every turn of every shard sets it, so it takes two stores.
struct Turn {
    /// Where its [`Local`] is; 0 before the first turn.
    address: Cell<usize>,
    now: Cell<Instant>,
}

thread_local! {
    static TURN: Turn = const { Turn { address: Cell::new(0), now: Cell::new(Instant::ZERO) } };
    /// The shards of this thread: one, and several in a simulation.
    static LOCALS: RefCell<Vec<Weak<Local>>> = const { RefCell::new(Vec::new()) };
}

const OUTSIDE: &str = "functions of `ringway_engine::rt` work on the thread of a shard only";

/// The time of this turn.
#[inline]
pub(super) fn now() -> Instant {
    TURN.with(|turn| {
        assert!(turn.address.get() != 0, "{OUTSIDE}");
        turn.now.get()
    })
}

/// The executor of the shard that runs on this thread.
pub(crate) fn current() -> Rc<Local> {
    find().expect(OUTSIDE)
}

/// `None` outside of a shard, and when that is being dropped.
pub(super) fn find() -> Option<Rc<Local>> {
    let address = TURN.with(|turn| turn.address.get());
    let is_it = |local: &&Weak<Local>| local.as_ptr().addr() == address;
    LOCALS.try_with(|locals| locals.borrow().iter().find(is_it).and_then(Weak::upgrade)).ok().flatten()
}

/// Queues what was woken if the shard with this bell is the one that runs on this thread, else gives it back.
pub(super) fn enqueue_here(bell: &Arc<Bell>, wakeful: Arc<Wakeful>) -> Result<(), Arc<Wakeful>> {
    match find().filter(|local| Arc::ptr_eq(&local.bell, bell)) {
        Some(local) => {
            local.push(wakeful);
            Ok(())
        }
        None => Err(wakeful),
    }
}

/// Runs a future to its end on a shard of its own, in virtual time: for examples, and for tests of what hooks call.
///
/// # Panics
/// When it panics, or waits for something that never happens.
pub fn simulate<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let local = Local::simulated(Arc::new(Counters::new(&[])));
    let mut now = Instant::ZERO;
    local.enter(now);
    let packet = Rc::clone(local.spawn(future).packet());
    loop {
        while let Some(wakee) = local.poll_woken() {
            if let Wakee::Task(key) = wakee {
                local.run(key);
            }
        }
        if let Some(result) = packet.take() {
            local.stop();
            return result.expect("what is simulated does not panic");
        }
        now = local.poll_timeout().expect("what is simulated waits for something that happens");
        local.enter(now);
        local.on_timeout(now);
    }
}

impl Local {
    /// The executor of a shard that may sleep: `ringer` has to make its pump call
    /// [`Shard::on_rung`](crate::shard::Shard::on_rung), and is called from any thread.
    pub fn new(counters: Arc<Counters>, ringer: impl Fn() + Send + Sync + 'static) -> Rc<Self> {
        Self::with(counters, Box::new(ringer), None)
    }

    /// The executor of a shard in a simulation, whose pump asks whether it is called. It knows the name `localhost`.
    pub fn simulated(counters: Arc<Counters>) -> Rc<Self> {
        let localhost = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let names = BTreeMap::from([("localhost".to_owned(), localhost)]);
        Self::with(counters, Box::new(|| ()), Some(RefCell::new(names)))
    }

    fn with(
        counters: Arc<Counters>,
        ringer: Box<dyn Fn() + Send + Sync>,
        names: Option<RefCell<BTreeMap<String, Vec<IpAddr>>>>,
    ) -> Rc<Self> {
        let (sender, called) = unbounded();
        let local = Rc::new(Self {
            bell: Arc::new(Bell::new(sender, ringer)),
            called,
            woken: RefCell::default(),
            has_woken: Cell::new(false),
            tasks: RefCell::default(),
            waiters: RefCell::default(),
            timers: RefCell::default(),
            is_timed: Cell::new(false),
            drain_waiters: RefCell::default(),
            is_draining: Cell::new(false),
            is_stopped: Cell::new(false),
            names,
            counters,
            desk: RefCell::new(None),
        });
        LOCALS.with_borrow_mut(|locals| locals.push(Rc::downgrade(&local)));
        local
    }

    /// A turn of this shard begins.
    #[inline]
    pub fn enter(self: &Rc<Self>, now: Instant) {
        TURN.with(|turn| {
            turn.address.set(Rc::as_ptr(self).addr());
            turn.now.set(now);
        });
    }

    /// Wakers for the shard's exchanges.
    pub fn wakers(&self) -> Wakers {
        Wakers::new(Arc::clone(&self.bell))
    }

    /// Gives those who run on the shard a place to leave what it is to do.
    pub fn set_desk(&self, desk: Rc<dyn Any>) {
        let waker = Wakeful::waker(Target::Wakee(Wakee::Desk), &self.bell);
        self.desk.replace(Some((desk, waker)));
    }

    /// The shard's desk. The shard looks at it before the turn ends. `None` where there is no shard around.
    pub fn desk<T: 'static>(&self) -> Option<Rc<T>> {
        let desk = self.desk.borrow();
        let (desk, waker) = desk.as_ref()?;
        waker.wake_by_ref();
        Rc::clone(desk).downcast().ok()
    }

    /// Whether somebody is to be polled before the turn ends.
    #[inline]
    pub fn has_woken(&self) -> bool {
        self.has_woken.get()
    }

    /// Whether the shard is called from outside of its turns.
    pub fn is_called(&self) -> bool {
        self.has_woken() || self.bell.is_rung()
    }

    /// Has the shard called again when others had their turn.
    pub fn call(&self) {
        self.bell.ring();
    }

    /// Takes in who was woken from other threads.
    pub fn answer(&self) {
        self.bell.answer();
        while let Ok(wakeful) = self.called.try_recv() {
            self.push(wakeful);
        }
    }

    /// Who is to be polled next.
    pub fn poll_woken(&self) -> Option<Wakee> {
        loop {
            let mut woken = self.woken.borrow_mut();
            let wakeful = woken.pop_front();
            self.has_woken.set(!woken.is_empty());
            drop(woken);
            let wakeful = wakeful?;
            wakeful.unqueue();
            match wakeful.target {
                Target::Wakee(wakee) => return Some(wakee),
                Target::Waiter(waiter) => self.wake(waiter),
            }
        }
    }

    /// When [`Local::on_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.borrow().next_deadline()
    }

    /// Whether anybody waits for a time.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.is_timed.get()
    }

    /// Time passed: wakes whose time has come.
    pub fn on_timeout(&self, now: Instant) {
        loop {
            let mut timers = self.timers.borrow_mut();
            let expired = timers.poll_expired(now);
            self.is_timed.set(!timers.is_empty());
            drop(timers);
            let Some(waiter) = expired else { return };
            self.wake(waiter);
        }
    }

    /// How many tasks have not ended.
    pub fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Runs `future` as a task.
    pub fn spawn<T: 'static>(self: &Rc<Self>, future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        let packet = Rc::new(Packet::default());
        if self.is_stopped.get() {
            packet.cancel();
            return JoinHandle::new(packet, None);
        }
        let output = Rc::clone(&packet);
        let future = Box::pin(async move { output.finish(future.await) });
        let key = self.tasks.borrow_mut().insert(None);
        let waker = Wakeful::waker(Target::Wakee(Wakee::Task(key)), &self.bell);
        waker.wake_by_ref();
        let joined = Rc::clone(&packet) as Rc<dyn Joined>;
        if let Some(place) = self.tasks.borrow_mut().get_mut(key) {
            *place = Some(Task { future, waker, joined });
        }
        JoinHandle::new(packet, Some((Rc::downgrade(self), key)))
    }

    /// Ends a task where it waits.
    pub(super) fn abort(&self, key: TaskKey) {
        let task = self.tasks.borrow_mut().remove(key);
        // One that aborts itself is dropped when it returns.
        if let Some(task) = task.flatten() {
            self.discard(task);
        }
    }

    /// Drops every task, and what they spawn now.
    pub fn stop(&self) {
        self.is_draining.set(true);
        self.is_stopped.set(true);
        let keys = self.tasks.borrow().keys();
        keys.into_iter().for_each(|key| self.abort(key));
        self.woken.borrow_mut().clear();
        self.has_woken.set(false);
    }

    /// Registers a waker to be woken at `deadline`.
    pub(super) fn insert_timer(&self, deadline: Instant, waker: Waker) -> (WaiterKey, TimerId) {
        let waiter = self.waiters.borrow_mut().insert(waker);
        self.is_timed.set(true);
        (waiter, self.timers.borrow_mut().insert(deadline, waiter))
    }

    /// Takes back what [`Local::insert_timer`] registered.
    pub(super) fn cancel_timer(&self, waiter: WaiterKey, timer: TimerId) {
        let mut timers = self.timers.borrow_mut();
        timers.cancel(timer);
        self.is_timed.set(!timers.is_empty());
        drop(timers);
        self.remove_waiter(waiter);
    }

    /// Makes a place for one who waits for another thread, and the waker for that thread.
    pub(super) fn insert_waiter(&self) -> (WaiterKey, Waker) {
        let waiter = self.waiters.borrow_mut().insert(Waker::noop().clone());
        (waiter, Wakeful::waker(Target::Waiter(waiter), &self.bell))
    }

    /// Takes back what [`Local::insert_waiter`] made.
    pub(super) fn remove_waiter(&self, waiter: WaiterKey) {
        let waker = self.waiters.borrow_mut().remove(waiter);
        drop(waker);
    }

    /// Has `waker` woken instead of the one that waited. False when that was woken already.
    pub(super) fn rewait(&self, waiter: WaiterKey, waker: &Waker) -> bool {
        replace(&self.waiters, waiter, waker)
    }

    /// The shard begins to drain, or has stopped.
    pub fn drain(&self) {
        self.is_draining.set(true);
        let keys = self.drain_waiters.borrow().keys();
        for key in keys {
            let waker = self.drain_waiters.borrow_mut().remove(key);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Has `waker` woken when the shard begins to drain, in the place of `waiter`.
    pub(super) fn wait_for_drain(&self, waiter: &mut Option<WaiterKey>, waker: &Waker) {
        if !waiter.is_some_and(|waiter| replace(&self.drain_waiters, waiter, waker)) {
            *waiter = Some(self.drain_waiters.borrow_mut().insert(waker.clone()));
        }
    }

    /// Takes back what [`Local::wait_for_drain`] did.
    pub(super) fn forget_drain(&self, waiter: WaiterKey) {
        let waker = self.drain_waiters.borrow_mut().remove(waiter);
        drop(waker);
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.names.is_some()
    }

    /// The addresses that a name has in a simulation; `None` where there is a resolver.
    pub(super) fn name(&self, host: &str) -> Option<Vec<IpAddr>> {
        let names = self.names.as_ref()?.borrow();
        Some(names.get(&host.to_ascii_lowercase()).cloned().unwrap_or_default())
    }

    /// Gives a name its addresses in a simulation.
    ///
    /// # Panics
    /// Where there is a resolver.
    pub fn set_name(&self, host: &str, addresses: &[IpAddr]) {
        let names = self.names.as_ref().expect("names are set in simulations only");
        names.borrow_mut().insert(host.to_ascii_lowercase(), addresses.to_vec());
    }

    fn wake(&self, waiter: WaiterKey) {
        let waker = self.waiters.borrow_mut().remove(waiter);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn push(&self, wakeful: Arc<Wakeful>) {
        self.woken.borrow_mut().push_back(wakeful);
        self.has_woken.set(true);
    }

    /// Polls a task that was woken.
    pub fn run(&self, key: TaskKey) {
        // Ended before its wake was looked at.
        let Some(mut task) = self.tasks.borrow_mut().get_mut(key).and_then(Option::take) else { return };
        let Task { future, waker, .. } = &mut task;
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(waker))));
        if matches!(polled, Ok(Poll::Pending)) {
            let mut tasks = self.tasks.borrow_mut();
            if let Some(place) = tasks.get_mut(key) {
                *place = Some(task);
                return;
            }
        }
        self.tasks.borrow_mut().remove(key);
        if polled.is_err() {
            self.count_panic();
            task.joined.panic();
        }
        self.discard(task);
    }

    /// Drops what is a user's.
    fn discard(&self, task: Task) {
        task.joined.cancel();
        if catch_unwind(AssertUnwindSafe(|| drop(task))).is_err() {
            self.count_panic();
        }
    }

    fn count_panic(&self) {
        self.counters.panics.add(1);
        log::error!("a task panicked; everything else goes on");
    }
}

/// Puts `waker` in the place of the one that waits there; false when nobody does.
fn replace(waiters: &RefCell<Slab<Waker, WaiterTag>>, waiter: WaiterKey, waker: &Waker) -> bool {
    let mut waiters = waiters.borrow_mut();
    let Some(waiting) = waiters.get_mut(waiter) else { return false };
    if !waiting.will_wake(waker) {
        let old = std::mem::replace(waiting, waker.clone());
        drop(waiters);
        drop(old);
    }
    true
}

impl Drop for Local {
    fn drop(&mut self) {
        let address = std::ptr::from_ref(self).addr();
        // What is dropped now may ask for the time.
        TURN.with(|turn| turn.address.set(address));
        self.stop();
        // Another may come to lie where this was.
        TURN.with(|turn| {
            if turn.address.get() == address {
                turn.address.set(0);
            }
        });
        _ = LOCALS.try_with(|locals| locals.borrow_mut().retain(|local| local.as_ptr().addr() != address));
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("tasks", &self.tasks()).finish_non_exhaustive()
    }
}
