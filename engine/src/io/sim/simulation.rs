//! Shards and a network: who is called next, and what time it is then.

use super::network::Happening;
use super::{Accepted, Conditions, ListenerId, Network, Notice, SimIo, SocketId};
use crate::io::{Interest, PeerAddress};
use crate::keys::ConnKey;
use crate::limits::ACCEPT_BACKOFF_MS;
use crate::observe::{Counters, LogSink, RequestIds};
use crate::rt;
use crate::service::Services;
use crate::settings::Settings;
use crate::shard::{ListenerKind, Parts, Shard, Start};
use crate::snapshot::Snapshot;
use crate::time::{Clock, Instant};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Shards on a simulated network.
#[derive(Debug)]
pub struct Simulation {
    network: Network,
    clock: Rc<Clock>,
    shards: Vec<Driven>,
    listeners: Vec<(ListenerId, usize, ListenerKind)>,
    clients: u32,
    catches_panics: bool,
}

/// A shard with what its pump would know.
#[derive(Debug)]
struct Driven {
    shard: Shard<SimIo>,
    counters: Arc<Counters>,
    /// The deadline that the timer was set to, and when it goes off.
    timer: Option<(Instant, Instant)>,
    /// When a draining shard is stopped.
    stop_at: Option<Instant>,
    /// Whether what some connections caused is still to be settled.
    is_unsettled: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A shard had its turn, or something travelled.
    Turn,
    /// Something for the scripts.
    Notice(Notice),
    /// Nothing will ever happen again unless a script does something.
    Quiet,
}

impl Simulation {
    /// One shard for each of `settings.workers` (one when that is not said), listening where the settings say.
    pub fn new(settings: Settings, conditions: Conditions, seed: u64) -> Self {
        let mut simulation = Self::without_shards(conditions, seed);
        let settings = Arc::new(settings);
        for index in 0..settings.workers.unwrap_or(1) {
            simulation.add_shard(&settings, &Services::default(), seed.wrapping_add(index as u64), None);
        }
        simulation
    }

    /// A network that shards can be added to.
    pub fn without_shards(conditions: Conditions, seed: u64) -> Self {
        let clock = Rc::new(Clock::manual(UNIX_MS_AT_ZERO));
        let network = Network::new(Rc::clone(&clock), conditions, seed);
        Self { network, clock, shards: Vec::new(), listeners: Vec::new(), clients: 0, catches_panics: false }
    }

    /// Adds a shard that makes its request ids from `seed`, and returns its number.
    pub fn add_shard(
        &mut self,
        settings: &Arc<Settings>,
        services: &Services,
        seed: u64,
        log: Option<LogSink>,
    ) -> usize {
        let index = self.shards.len();
        let counters = Arc::new(Counters::new(Start::OUTCOME_LABELS));
        let rt = rt::Local::simulated(Arc::clone(&counters));
        // Services may begin tasks when they are made.
        rt.enter(self.clock.now());
        let parts = Parts {
            snapshot: Rc::new(Snapshot::with(Arc::clone(settings), services)),
            clock: Rc::clone(&self.clock),
            counters: Arc::clone(&counters),
            log,
            ids: RequestIds::seeded(seed),
            rt,
            services: services.clone(),
        };
        let shard = Shard::new(SimIo::new(self.network.clone(), index), parts);
        self.shards.push(Driven { shard, counters, timer: None, stop_at: None, is_unsettled: false });
        let http = settings.listeners.iter().map(|listener| &listener.address);
        let tcp = settings.tcp.iter().map(|listener| &listener.address);
        let http = http.enumerate().map(|(index, address)| (address, ListenerKind::Http { index }));
        let tcp = tcp.enumerate().map(|(index, address)| (address, ListenerKind::Tcp { index }));
        for (address, kind) in http.chain(tcp) {
            let listener = self.network.state.borrow_mut().listen(address, true);
            self.listeners.push((listener, index, kind));
        }
        index
    }

    /// Handles panics of a shard's turn as the pump does; else they end the test.
    pub fn catch_panics(&mut self) {
        self.catches_panics = true;
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.network.clone()
    }

    /// The clock that the shards read.
    pub fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    /// An address that no client had before.
    pub fn peer(&mut self) -> PeerAddress {
        self.clients += 1;
        let ip = Ipv4Addr::from(u32::from(CLIENTS) + self.clients % 60_000);
        PeerAddress::Ip(SocketAddr::new(IpAddr::V4(ip), 40_000))
    }

    /// A shard.
    pub fn shard(&mut self, index: usize) -> &mut Shard<SimIo> {
        &mut self.shards[index].shard
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The counters of a shard.
    pub fn counters(&self, index: usize) -> &Arc<Counters> {
        &self.shards[index].counters
    }

    /// Lets the next thing happen, whenever that is.
    pub fn step(&mut self) -> Step {
        self.step_until(Instant::FAR_FUTURE)
    }

    /// Lets the next thing happen if it does so until `end`; else it is `end` then, and quiet.
    pub fn step_until(&mut self, end: Instant) -> Step {
        let event = self.network.state.borrow().next_at();
        let timer = self.next_timer();
        let called = self.next_called();
        let next = [event, timer.map(|(at, _)| at), called.map(|(at, _)| at)].into_iter().flatten().min();
        if self.settle_some(next) {
            return Step::Turn;
        }
        let Some(next) = next.filter(|next| *next <= end) else {
            if end != Instant::FAR_FUTURE {
                self.advance_to(end);
            }
            return Step::Quiet;
        };
        self.advance_to(next);
        match timer {
            Some((at, shard)) if at == next && self.is_timer_first(event == Some(next)) => {
                self.on_timer(shard)
            }
            _ if event == Some(next) => return self.on_event(),
            _ => called
                .into_iter()
                .for_each(|(_, shard)| self.turn(shard, None, |shard, now| shard.on_rung(now))),
        }
        Step::Turn
    }

    /// As the pump does, settles what is left before time passes, and at times earlier.
    fn settle_some(&mut self, next: Option<Instant>) -> bool {
        let Some(index) = self.shards.iter().position(|driven| driven.is_unsettled) else { return false };
        let is_last = next.is_none_or(|next| next > self.clock.now());
        if !is_last && !self.network.state.borrow_mut().rng.chance(300) {
            return false;
        }
        self.shards[index].is_unsettled = false;
        self.turn(index, None, |shard, now| shard.settle_all(now));
        true
    }

    fn advance_to(&self, at: Instant) {
        self.clock.advance(at - self.clock.now());
    }

    fn is_timer_first(&self, is_event_due: bool) -> bool {
        let mut state = self.network.state.borrow_mut();
        !is_event_due || (state.conditions.shuffled && state.rng.chance(500))
    }

    fn on_event(&mut self) -> Step {
        let happening = self.network.state.borrow_mut().happen();
        match happening {
            Happening::Nothing => {}
            Happening::Notice(notice) => return Step::Notice(notice),
            Happening::Knock(listener) => self.on_knock(listener),
            Happening::Ready { shard, conn, socket, ready } => self.on_ready(shard, conn, socket, ready),
        }
        Step::Turn
    }

    fn on_knock(&mut self, listener: ListenerId) {
        let found = self.listeners.iter().find(|(id, ..)| *id == listener);
        let (_, shard, kind) = *found.expect("shards' listeners are known");
        let is_exhausted = {
            let mut state = self.network.state.borrow_mut();
            let chance = state.conditions.accept_exhausted;
            state.rng.chance(chance)
        };
        if is_exhausted || !self.shards[shard].shard.has_room() {
            self.shards[shard].shard.count_accept_backoff();
            let pause = Duration::from_millis(ACCEPT_BACKOFF_MS);
            return self.network.state.borrow_mut().accept_later(listener, pause);
        }
        self.accept(listener, shard, kind);
    }

    /// Gives a shard the next connection of its queue, if there is one.
    fn accept(&mut self, listener: ListenerId, shard: usize, kind: ListenerKind) -> bool {
        let accepted = self.network.state.borrow_mut().accept(listener);
        let Some((socket, peer, local)) = accepted else { return false };
        self.turn(shard, None, |shard, now| {
            shard.on_accepted(now, kind, Accepted(socket), peer, Rc::new(local));
        });
        true
    }

    /// As the pump does: what may be sent before what may be received.
    fn on_ready(&mut self, shard: usize, conn: ConnKey, socket: SocketId, ready: Interest) {
        let is_reversed = {
            let mut state = self.network.state.borrow_mut();
            state.conditions.shuffled && state.rng.chance(500)
        };
        if ready.writable && !(ready.readable && is_reversed) {
            self.turn(shard, Some(conn), |shard, now| shard.on_writable(now, conn));
        } else {
            let is_one_of_many = {
                let mut state = self.network.state.borrow_mut();
                state.conditions.shuffled && state.rng.chance(500)
            };
            let mut is_unsettled = false;
            self.turn(shard, Some(conn), |shard, now| match is_one_of_many {
                true => is_unsettled = shard.on_readable_of_many(now, conn),
                false => shard.on_readable(now, conn),
            });
            self.shards[shard].is_unsettled |= is_unsettled;
        }
        self.network.state.borrow_mut().after_turn(socket);
    }

    fn turn(&mut self, index: usize, conn: Option<ConnKey>, turn: impl FnOnce(&mut Shard<SimIo>, Instant)) {
        let now = self.clock.now();
        let shard = &mut self.shards[index].shard;
        if !self.catches_panics {
            turn(shard, now);
        } else if let Err(panic) = catch_unwind(AssertUnwindSafe(|| turn(shard, now)))
            && !shard.on_panicked(now, conn)
        {
            resume_unwind(panic);
        }
        self.after_turn(index);
    }

    /// Sets the timer as the pump does, and ends a draining shard that has nothing left.
    fn after_turn(&mut self, index: usize) {
        let driven = &mut self.shards[index];
        let deadline = driven.shard.poll_timeout();
        if deadline != driven.timer.map(|(deadline, _)| deadline) {
            let late = self.network.state.borrow().conditions.timer_late.as_nanos() as usize;
            let late = self.network.state.borrow_mut().rng.between(0, late);
            driven.timer = deadline.map(|at| (at, at + Duration::from_nanos(late as u64)));
        }
        if driven.stop_at.is_some() && driven.shard.is_empty() {
            self.stop(index);
        }
    }

    fn next_timer(&self) -> Option<(Instant, usize)> {
        let timers = self.shards.iter().enumerate().flat_map(|(index, driven)| {
            let timer = driven.timer.map(|(_, at)| at);
            [timer, driven.stop_at].into_iter().flatten().map(move |at| (at, index))
        });
        timers.min().map(|(at, index)| (at.max(self.clock.now()), index))
    }

    /// A shard that was called outside of its turns answers after what is due at the same time. That it does so a
    /// little later lets time pass for one that calls itself for ever.
    fn next_called(&self) -> Option<(Instant, usize)> {
        let called = self.shards.iter().position(|driven| driven.shard.rt().is_called());
        called.map(|index| (self.clock.now() + ANSWERED_AFTER, index))
    }

    fn on_timer(&mut self, index: usize) {
        if self.shards[index].stop_at.is_some_and(|stop| stop <= self.clock.now()) {
            return self.stop(index);
        }
        self.shards[index].timer = None;
        self.turn(index, None, |shard, now| shard.on_timeout(now));
    }

    /// What `Command::Drain` does: no new connections, and a stop after `deadline` at the latest.
    pub fn drain(&mut self, index: usize, deadline: Duration) {
        self.network.note(|| format!("shard {index} drains"));
        for (listener, shard, kind) in self.listeners.clone() {
            if shard == index {
                // What the kernel has accepted is served.
                while self.accept(listener, index, kind) {}
                self.network.set_welcome(listener, super::Welcome::Refuse);
            }
        }
        self.shards[index].stop_at = Some(self.clock.now() + deadline);
        self.turn(index, None, |shard, now| shard.drain(now));
    }

    /// What `Command::Stop` does: everything is cut.
    pub fn stop(&mut self, index: usize) {
        self.network.note(|| format!("shard {index} stops"));
        for (listener, shard, _) in &self.listeners {
            if *shard == index {
                self.network.set_welcome(*listener, super::Welcome::Refuse);
            }
        }
        let driven = &mut self.shards[index];
        driven.stop_at = None;
        driven.shard.stop(self.clock.now());
        driven.timer = driven.shard.poll_timeout().map(|at| (at, at));
    }

    /// What is left in the shards that should not be, once every client has left and every time-out has
    /// passed. Call it after the simulation was quiet.
    pub fn leaks(&mut self) -> Vec<String> {
        let mut leaks = self.network.violations();
        for (index, driven) in self.shards.iter_mut().enumerate() {
            let shard = &driven.shard;
            let counts = [
                ("connections", shard.connections()),
                ("exchanges", shard.exchanges()),
                ("bytes in buffers", shard.pool().outstanding_bytes()),
                ("timers", usize::from(shard.is_timed())),
                ("connections counted as active", driven.counters.downstream_active.get() as usize),
                ("upstream connections counted as idle", driven.counters.upstream_idle.get() as usize),
                ("exchanges counted as active", driven.counters.exchanges_active.get() as usize),
            ];
            let left = counts.iter().filter(|(_, count)| *count > 0);
            leaks.extend(left.map(|(what, count)| format!("shard {index}: {count} {what}")));
        }
        let sockets = self.network.shard_sockets();
        leaks.extend(sockets.iter().map(|socket| format!("socket {socket} was never closed")));
        leaks
    }
}

/// 2026-11-23 12:00:00 UTC.
const UNIX_MS_AT_ZERO: u64 = 1_795_435_200_000;
/// How soon a shard answers that was called outside of its turns.
const ANSWERED_AFTER: Duration = Duration::from_micros(1);
/// Where clients' addresses begin.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 51, 0, 0);
