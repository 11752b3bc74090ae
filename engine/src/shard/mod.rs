//! One thread and all it owns: connections, exchanges, pools, timers. The only place where connections,
//! exchanges and sockets meet.
//!
//! The pump calls [`Shard::on_accepted`], [`Shard::on_readable`], [`Shard::on_writable`] and
//! [`Shard::on_timeout`]. Each is a turn: one thing is fed, everything it causes is drained, and then every
//! connection that was touched is settled (flushed, closed, watched, timed). That order is written once, in
//! [`turn`].
//!
//! Read [`slots`] (what is kept), [`turn`] (what happens in a turn), [`relay`] (parts between a connection and
//! its exchange), [`opening`] (what stands before them), [`dial`] (upstream connections), [`settle`] (how a turn ends), [`timers`], [`finish`].

mod announce;
mod dial;
mod finish;
mod local;
mod opening;
mod outlets;
mod relay;
mod settle;
mod slots;
mod start;
mod timers;
mod turn;

pub use crate::keys::{ConnKey, ExchangeKey};
pub use start::{Command, ListenerKind, ListenerSocket, Report, Start};

use crate::client::Desk;
use crate::exchange::{Action, Downstream, Env, Spare};
use crate::io::Io;
use crate::keys::{ConnTag, ExchangeTag, Slab};
use crate::observe::{Counters, LogSink, RequestIds};
use crate::rt;
use crate::service::Services;
use crate::snapshot::Snapshot;
use crate::time::calendar::HttpDate;
use crate::time::wheel::Wheel;
use crate::time::{Clock, Instant};
use crate::upstream::Upstreams;
use outlets::Ends;
use ringway_proto::chunk::Pool;
use ringway_proto::message::Line;
use slots::{Running, Slot, Timed};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// Runs a shard on this thread until it is told to stop.
pub fn run(start: Start) {
    crate::io::pump::run(start);
}

/// One shard.
#[derive(Debug)]
pub struct Shard<I: Io> {
    io: I,
    pool: Pool,
    clock: Rc<Clock>,
    /// The time of this turn.
    now: Instant,
    snapshot: Rc<Snapshot>,
    upstreams: Upstreams,
    conns: Slab<Slot, ConnTag>,
    exchanges: Slab<Running, ExchangeTag>,
    wheel: Wheel<Timed>,
    /// What exchanges that are over left for others.
    spares: Vec<Spare>,
    /// What the exchange that is fed wants done.
    actions: VecDeque<Action>,
    /// Connections to settle before the turn ends.
    touched: Vec<ConnKey>,
    /// Content queued since connections were last settled.
    unsettled_bytes: usize,
    /// The exchange whose code runs; looked at only after a panic.
    feeding: Option<ExchangeKey>,
    /// The connection that is settled; looked at only after a panic.
    settling: Option<ConnKey>,
    /// Hooks' and tasks' time, tasks and wakes.
    rt: Rc<rt::Local>,
    wakers: rt::Wakers,
    ids: RequestIds,
    date: Date,
    counters: Arc<Counters>,
    log: Option<LogSink>,
    life: Life,
    clients: usize,
    /// What user code asks of this shard.
    desk: Rc<Desk>,
    /// The client of exchanges that user code begins.
    within: Rc<Downstream>,
    /// What stands for an endpoint where user code answers.
    app_text: Rc<str>,
    leaving: finish::Leaving,
}

impl<I: Io> Drop for Shard<I> {
    /// What users left here is dropped as in a turn of its own.
    fn drop(&mut self) {
        self.rt.enter(self.now);
    }
}

/// Whether the shard takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Serving,
    /// It finishes what runs.
    Draining,
}

/// `Date`, made once a second.
#[derive(Debug)]
struct Date {
    line: Line,
    valid_until: Instant,
}

/// `Date` of a second.
fn date_line(unix_s: u64) -> Line {
    Line::new(b"date", HttpDate::new(unix_s).as_bytes()).expect("a date has no control characters")
}

/// What a shard is made of besides its [`Io`].
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub snapshot: Rc<Snapshot>,
    /// The clock that the pump reads too.
    pub clock: Rc<Clock>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Its access log.
    pub log: Option<LogSink>,
    /// Where request ids come from.
    pub ids: RequestIds,
    /// What runs the futures of users.
    pub rt: Rc<rt::Local>,
    /// Whose tasks it runs.
    pub services: Services,
}

impl<I: Io> Shard<I> {
    /// A shard without connections. Its tasks run in its first turn, for which it calls.
    pub fn new(io: I, parts: Parts) -> Self {
        let now = parts.clock.now();
        let desk = Rc::new(Desk::default());
        parts.rt.set_desk(Rc::clone(&desk) as Rc<dyn std::any::Any>);
        for task in parts.services.tasks() {
            // Nobody waits for it: a handle that is dropped leaves its task alone.
            drop(parts.rt.spawn(task));
            parts.rt.call();
        }
        Self {
            io,
            pool: Pool::new(),
            now,
            upstreams: Upstreams::new(&parts.snapshot.settings.clusters, parts.services.algorithms()),
            snapshot: parts.snapshot,
            conns: Slab::default(),
            exchanges: Slab::default(),
            wheel: Wheel::new(),
            spares: Vec::new(),
            actions: VecDeque::new(),
            touched: Vec::new(),
            unsettled_bytes: 0,
            feeding: None,
            settling: None,
            wakers: parts.rt.wakers(),
            rt: parts.rt,
            ids: parts.ids,
            date: Date { line: date_line(parts.clock.unix_ms() / 1000), valid_until: now },
            clock: parts.clock,
            counters: parts.counters,
            log: parts.log,
            life: Life::Serving,
            clients: 0,
            desk,
            within: local::within(),
            app_text: "app".into(),
            leaving: finish::Leaving::default(),
        }
    }

    /// The sockets.
    pub fn io(&mut self) -> &mut I {
        &mut self.io
    }

    /// Whether it takes new work.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether nothing is running and nobody is connected. The last bytes of a tunnel may still be on their way to
    /// its origin when the client is gone; what is idle is closed when the shard begins to drain.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty() && self.exchanges.is_empty()
    }

    /// Whether another client connection fits into this shard's share of the limit.
    pub fn has_room(&self) -> bool {
        self.clients < self.client_connections_max()
    }

    /// Connections of both sides.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Exchanges that are not over.
    pub fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// The buffers in use.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether access log lines wait to be handed over.
    #[inline]
    pub fn has_log_lines(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.is_empty())
    }

    /// Hands waiting access log lines over to the writer.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Accepting pauses for want of descriptors, memory or room.
    pub fn count_accept_backoff(&self) {
        self.counters.accept_backoffs.add(1);
    }

    /// When [`Shard::on_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.rt.is_timed() {
            return self.rt.poll_timeout().into_iter().chain(self.wheel.next_deadline()).min();
        }
        self.wheel.next_deadline()
    }

    /// Whether a connection has a deadline.
    pub fn is_timed(&self) -> bool {
        !self.wheel.is_empty()
    }

    /// What runs the futures of users.
    pub fn rt(&self) -> &Rc<rt::Local> {
        &self.rt
    }

    /// Runs a task on this shard, from outside of its turns: see [`rt::spawn`].
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> rt::JoinHandle<T> {
        let task = self.rt.spawn(future);
        self.rt.call();
        task
    }

    fn client_connections_max(&self) -> usize {
        let settings = &self.snapshot.settings;
        settings.limits.connections.div_ceil(settings.workers.unwrap_or(1).max(1)).max(1)
    }

    /// Lets the exchange `key` look at its surroundings and note what it wants done.
    // Else a part, which is large, would be moved into the closure and out of it.
    #[inline(always)]
    fn feed(&mut self, key: ExchangeKey, feed: impl FnOnce(&mut crate::exchange::Exchange, &mut Env<'_>)) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        self.feeding = Some(key);
        let mut ends = Ends {
            conns: &mut self.conns,
            touched: &mut self.touched,
            unsettled_bytes: &mut self.unsettled_bytes,
            now: self.now,
            is_draining: self.life == Life::Draining,
            downstream: running.downstream,
            upstream: running.upstream,
        };
        let mut env = Env {
            now: self.now,
            snapshot: &self.snapshot,
            pool: &self.pool,
            date: &self.date.line,
            outlets: &mut ends,
            actions: &mut self.actions,
            waker: self.wakers.of(key.index()),
            is_draining: self.life == Life::Draining,
        };
        feed(&mut running.exchange, &mut env);
        self.feeding = None;
        if running.exchange.is_parked() && running.hook_timer.is_none() {
            self.arm_hook(key);
        }
        if !self.actions.is_empty() {
            self.perform(key);
        }
    }

    fn update_date(&mut self) {
        if self.now >= self.date.valid_until {
            let unix_ms = self.clock.unix_ms();
            self.date.line = date_line(unix_ms / 1000);
            let left = std::time::Duration::from_millis(1000 - unix_ms % 1000);
            self.date.valid_until = self.now + left;
        }
    }

    #[inline]
    fn touch(&mut self, key: ConnKey) {
        if let Some(slot) = self.conns.get_mut(key) {
            slot.touch(key, &mut self.touched);
        }
    }
}
