//! The monoio half of the seam: event loop, sockets, and the tasks that wait for them.
//!
//! Each connection has one task that waits until its socket is ready and then calls the shard ([`watch`]). The
//! shard reads and writes by non-blocking system calls ([`socket`]), so the kernel never owns a buffer of ours;
//! only readiness goes through the ring. Listeners ([`accept`]), the mailbox and the timer ([`alarm`]) are
//! tasks of the same kind. [`driver`] chooses between io_uring and epoll.

mod accept;
mod alarm;
mod driver;
mod rear;
mod socket;
mod sys;
#[cfg(test)]
mod tests;
mod watch;

pub use driver::Driver;
pub use socket::Accepted;

use super::{Close, Interest, Io};
use crate::keys::ConnKey;
use crate::observe::RequestIds;
use crate::rt;
use crate::settings::{Address, SocketOptions};
use crate::shard::{Command, Parts, Report, Shard, Start};
use crate::snapshot::Snapshot;
use crate::time::{Clock, Instant};
use ringway_proto::chunk::SendQueue;
use socket::Socket;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use watch::Readiness;

/// Runs a shard on this thread until it is told to stop, on the event loop that the environment says.
pub fn run(start: Start) {
    run_on(Driver::from_env(), start);
}

/// Runs a shard on this thread until it is told to stop.
pub fn run_on(driver: Driver, start: Start) {
    run_with(driver, start, |_| ());
}

/// Runs a shard that `begin` sees before anybody else.
fn run_with(driver: Driver, start: Start, begin: impl FnOnce(&mut Shard<Sockets>)) {
    let (index, reports) = (start.index, start.reports.clone());
    let report = match driver::run(driver, |driver| serve(start, driver, begin)) {
        Ok(()) => Report::Stopped { index },
        Err(error) => Report::Failed { index, error: error.to_string() },
    };
    // Nobody listens any more when the process ends.
    let _ = reports.send(report);
}

/// What the tasks of one shard share.
struct Core {
    shard: RefCell<Shard<Sockets>>,
    clock: Rc<Clock>,
    /// The time of the last turn.
    now: Cell<Instant>,
    alarm: alarm::Alarm,
    phase: Cell<Phase>,
    /// What is listened on; shut down when the shard stops accepting.
    listeners: RefCell<Vec<Rc<accept::Listener>>>,
    /// The main future, which waits for the end.
    main: RefCell<Option<Waker>>,
    /// Runs behind the tasks that are ready now.
    settler: Settler,
    rear: Rc<rear::Rear>,
}

/// The task that settles the shard once every connection that was ready in this pass of the event loop has been
/// taken in: what they caused is sent in one row, so that peers wake up once and answer together.
#[derive(Default)]
struct Settler {
    is_due: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Settler {
    /// Has the shard settled once the tasks that are ready now have run.
    fn call(&self) {
        self.is_due.set(true);
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }
}

/// How far the shard's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// The sockets of one shard, by the index of their connection's key.
pub struct Sockets {
    sockets: Vec<Option<Rc<Socket>>>,
    core: Weak<Core>,
    /// Sockets whose descriptor is still open, those included that are being closed.
    open: Rc<Cell<usize>>,
}

async fn serve(start: Start, driver: String, begin: impl FnOnce(&mut Shard<Sockets>)) -> io::Result<()> {
    let open = Rc::new(Cell::new(0));
    let clock = Rc::new(Clock::real());
    let alarm = alarm::Alarm::new()?;
    let wake = Readiness::new(start.wake.into())?;
    let has_log = start.log.is_some();
    let bell = sys::bell()?;
    let rung = Readiness::new(bell.try_clone()?)?;
    let rt = rt::Local::new(Arc::clone(&start.counters), move || sys::ring(&bell));
    // Services may begin tasks when they are made.
    rt.enter(clock.now());
    let parts = Parts {
        snapshot: Rc::new(Snapshot::with(start.settings, &start.services)),
        clock: Rc::clone(&clock),
        counters: start.counters,
        log: start.log,
        ids: RequestIds::from_entropy(),
        rt,
        services: start.services,
    };
    let core = Rc::new_cyclic(|core| Core {
        shard: RefCell::new(Shard::new(
            Sockets { sockets: Vec::new(), core: core.clone(), open: Rc::clone(&open) },
            parts,
        )),
        now: Cell::new(clock.now()),
        clock,
        alarm,
        phase: Cell::new(Phase::Serving),
        listeners: RefCell::default(),
        main: RefCell::new(None),
        settler: Settler::default(),
        rear: Rc::default(),
    });
    monoio::spawn(settle(Rc::clone(&core)));
    for listener in start.listeners {
        monoio::spawn(accept::accept(Rc::clone(&core), listener)?);
    }
    monoio::spawn(mailbox(Rc::clone(&core), wake, start.mailbox));
    monoio::spawn(rear::usher(Rc::clone(&core.rear)));
    monoio::spawn(answer(Rc::clone(&core), rung));
    monoio::spawn(alarm::ring(Rc::clone(&core)));
    if has_log {
        core.alarm.every(LOG_FLUSH);
    }
    core.turn(None, |shard, now| {
        begin(shard);
        shard.settle_all(now);
    });
    let _ = start.reports.send(Report::Ready { index: start.index, driver });
    poll_fn(|cx| {
        *core.main.borrow_mut() = Some(cx.waker().clone());
        if core.phase.get() == Phase::Stopped && open.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Ok(())
}

/// Settles the shard at the end of each pass in which something was left to settle.
async fn settle(core: Rc<Core>) {
    loop {
        poll_fn(|cx| {
            if core.settler.is_due.replace(false) {
                return Poll::Ready(());
            }
            *core.settler.task.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        core.turn(None, |shard, now| shard.settle_all(now));
    }
}

/// How long access log lines wait for company.
const LOG_FLUSH: std::time::Duration = std::time::Duration::from_millis(250);

/// Obeys the control thread.
async fn mailbox(core: Rc<Core>, wake: Readiness, commands: crossbeam_channel::Receiver<Command>) {
    loop {
        wake.readable().await;
        let is_open = sys::drain(wake.fd());
        while let Ok(command) = commands.try_recv() {
            core.obey(command);
        }
        if !is_open {
            // Nobody is left who could stop us later.
            core.stop();
        }
        if core.phase.get() == Phase::Stopped {
            return;
        }
    }
}

/// Runs what was woken outside of the shard's turns.
async fn answer(core: Rc<Core>, rung: Readiness) {
    while core.phase.get() != Phase::Stopped {
        rung.readable().await;
        // epoll tells at once when the shard has rung itself, and sockets have to be looked at first.
        core.rear.others_first().await;
        sys::drain(rung.fd());
        core.turn(None, |shard, now| shard.on_rung(now));
    }
}

impl Core {
    /// One turn of the shard, and what follows from it for its timer and its life.
    fn turn<T>(
        &self,
        key: Option<ConnKey>,
        turn: impl FnOnce(&mut Shard<Sockets>, Instant) -> T,
    ) -> Option<T> {
        self.now.set(self.clock.now());
        let value = self.guarded(key, turn);
        self.after_turn(self.now.get());
        value
    }

    /// Lets the shard run. A panic in it ends the exchange that ran and nothing else; one outside of any, or while that
    /// is cleaned up, is the shard's own failure and ends it.
    fn guarded<T>(
        &self,
        key: Option<ConnKey>,
        turn: impl FnOnce(&mut Shard<Sockets>, Instant) -> T,
    ) -> Option<T> {
        let now = self.now.get();
        match catch_unwind(AssertUnwindSafe(|| turn(&mut self.shard.borrow_mut(), now))) {
            Ok(value) => Some(value),
            Err(_) if self.shard.borrow_mut().on_panicked(now, key) => None,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A connection's bytes are there. Of all that are ready in one pass of the event loop the first reads the clock,
    /// and what else follows a turn follows when the pass is settled.
    fn on_readable(&self, key: ConnKey) {
        let is_first = !self.settler.is_due.get();
        if is_first {
            self.now.set(self.clock.now());
        }
        match self.guarded(Some(key), |shard, now| shard.on_readable_of_many(now, key)) {
            Some(true) if is_first => self.settler.call(),
            Some(true) => {}
            Some(false) | None => self.after_turn(self.now.get()),
        }
    }

    fn after_turn(&self, now: Instant) {
        let shard = self.shard.borrow();
        if shard.has_log_lines() {
            self.alarm.expect_tick(now);
        }
        self.alarm.set(now, shard.poll_timeout());
        if self.phase.get() == Phase::Draining && shard.is_empty() {
            drop(shard);
            self.stop();
        }
    }

    fn obey(&self, command: Command) {
        match command {
            Command::Drain { deadline } => {
                if self.phase.get() == Phase::Serving {
                    self.alarm.stop_at(self.clock.now() + deadline);
                    // Before the phase changes: one who comes and goes at once would else leave the shard empty, and
                    // stop it while others are still accepted, whom nobody would look after.
                    self.close_listeners();
                    self.phase.set(Phase::Draining);
                    self.turn(None, |shard, now| shard.drain(now));
                }
            }
            Command::Stop => self.stop(),
            Command::FlushLog => self.shard.borrow_mut().flush_log(),
        }
    }

    /// Cuts what still runs; the main future ends once every descriptor is closed.
    fn stop(&self) {
        if self.phase.replace(Phase::Stopped) == Phase::Stopped {
            return;
        }
        self.close_listeners();
        let now = self.clock.now();
        {
            let mut shard = self.shard.borrow_mut();
            shard.stop(now);
            shard.flush_log();
        }
        self.wake_main();
    }

    /// Ends accepting. What is in the accept queues already is served; a handshake that completes in this instant
    /// is reset by the kernel. The tasks wake up, since a shut-down listener is ready for ever.
    fn close_listeners(&self) {
        for listener in self.listeners.take() {
            accept::finish(self, &listener);
        }
    }

    /// A descriptor was closed; the last one ends a stopped shard.
    fn on_closed(&self) {
        if self.phase.get() == Phase::Stopped {
            self.wake_main();
        }
    }

    fn wake_main(&self) {
        if let Some(waker) = self.main.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets").field("open", &self.open.get()).finish_non_exhaustive()
    }
}

impl Sockets {
    fn socket(&self, conn: ConnKey) -> io::Result<&Rc<Socket>> {
        let socket = self.sockets.get(conn.index()).and_then(Option::as_ref);
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Gives a descriptor its place and its task.
    fn insert(&mut self, conn: ConnKey, fd: std::os::fd::OwnedFd) -> io::Result<()> {
        let socket = Rc::new(Socket::new(fd, Rc::clone(&self.open))?);
        if self.sockets.len() <= conn.index() {
            self.sockets.resize_with(conn.index() + 1, || None);
        }
        debug_assert!(self.sockets[conn.index()].is_none());
        self.sockets[conn.index()] = Some(Rc::clone(&socket));
        let core = self.core.upgrade().expect("the core outlives its shard");
        monoio::spawn(watch::watch(core, socket, conn));
        Ok(())
    }
}

impl Io for Sockets {
    type Accepted = Accepted;

    fn adopt(&mut self, conn: ConnKey, accepted: Accepted) {
        if let Err(error) = self.insert(conn, accepted.0) {
            // Without a place in the event loop it behaves as if the peer had vanished.
            log::warn!("a connection was dropped: {error}");
        }
    }

    fn dial(&mut self, conn: ConnKey, address: &Address, options: &SocketOptions) -> io::Result<()> {
        let fd = sys::connect(address, options)?;
        self.insert(conn, fd)
    }

    fn dialed(&mut self, conn: ConnKey) -> io::Result<()> {
        sys::take_error(self.socket(conn)?.fd())
    }

    #[inline]
    fn receive(&mut self, conn: ConnKey, into: &mut [u8]) -> io::Result<usize> {
        sys::receive(self.socket(conn)?.fd(), into)
    }

    #[inline]
    fn transmit(&mut self, conn: ConnKey, queue: &SendQueue) -> io::Result<usize> {
        sys::transmit(self.socket(conn)?.fd(), queue)
    }

    fn watch(&mut self, conn: ConnKey, interest: Interest) {
        if let Ok(socket) = self.socket(conn) {
            socket.set_interest(interest);
        }
    }

    fn finish(&mut self, conn: ConnKey) {
        if let Ok(socket) = self.socket(conn) {
            sys::finish(socket.fd());
        }
    }

    fn close(&mut self, conn: ConnKey, how: Close) {
        if let Some(socket) = self.sockets.get_mut(conn.index()).and_then(Option::take) {
            socket.close(how);
        }
    }
}
