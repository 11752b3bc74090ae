//! What a hook costs in each of the ways to run one.
//!
//! ```text
//! ringway-hook-study                            every way with every kind of hook: ns, allocations, memory
//! ringway-hook-study WAY KIND ROUNDS [FLIGHT]   one of them, for counting instructions from outside
//! ```
//!
//! FLIGHT exchanges are under way at a time: with 10,000 of them nothing of an exchange is in the cache when its
//! next hook is visited. The script `instructions` beside this folder counts instructions.
//!
//! Read [`model`], then the ways: [`plain`] is the floor, [`pinned`] and [`owned`] are the candidates,
//! [`coroutine`] is a third and, with a box for each hook, what `async_trait` does. `gate` is one filter of a user,
//! written for both candidates.

mod coroutine;
mod count;
#[cfg(test)]
mod gate;
mod model;
mod owned;
mod pinned;
mod plain;

use count::Count;
use model::{Answer, Hooks, Maker, Verdict, Visit};
use ringway_engine::phase::Phase;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Exchanges in one run of a measurement.
const ROUNDS: usize = 100_000;
/// Runs, of all ways in turn; the shortest counts: what the others have more, a neighbour took.
const RUNS: usize = 15;
/// Exchanges that are under way when memory and the cold cache are measured.
const FLIGHT: usize = 10_000;

type Make = fn(&str) -> Option<Maker>;

const WAYS: &[(&str, Make)] = &[
    ("plain", plain::make),
    ("pinned", pinned::make),
    ("pinned-own-room", pinned::make_with_own_rooms),
    ("coroutine", coroutine::make),
    ("boxed", coroutine::make_boxed),
    ("owned", owned::make),
];

const KINDS: &[&str] = &["nothing", "noop", "edit", "wait"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(),
        [way, kind, rounds] => one(way, kind, number(rounds), 1),
        [way, kind, rounds, flight] => one(way, kind, number(rounds), number(flight)),
        _ => panic!("usage: ringway-hook-study [WAY KIND ROUNDS [FLIGHT]]"),
    }
}

fn number(word: &str) -> usize {
    word.parse().expect("ROUNDS and FLIGHT are numbers")
}

fn one(way: &str, kind: &str, rounds: usize, flight: usize) {
    let (_, make) = WAYS.iter().find(|(name, _)| *name == way).expect("WAY is one of the table's");
    let make = make(kind).expect("KIND is one of the table's, and `wait` not for `plain`");
    World::new(make, flight).run(rounds / flight);
}

fn table() {
    let mut rows = Vec::new();
    for (way, make) in WAYS {
        for kind in KINDS {
            rows.extend(make(kind).map(|hooks| Row::new(way, kind, hooks, make(kind).expect("just made"))));
        }
    }
    for _ in 0..RUNS {
        rows.iter_mut().for_each(Row::run);
    }
    println!("                           ns per exchange         allocations  bytes of each of {FLIGHT}");
    println!("way              hooks       warm  {FLIGHT} under way  per exchange    idle  waiting");
    rows.iter_mut().for_each(Row::print);
}

/// One way with one kind of hooks.
struct Row {
    way: &'static str,
    kind: &'static str,
    warm: World,
    cold: World,
    warm_ns: Vec<f64>,
    cold_ns: Vec<f64>,
    allocations: usize,
    /// Bytes that each exchange holds between its hooks.
    idle_bytes: usize,
    /// Bytes that each exchange holds while its first hook waits.
    waiting_bytes: usize,
}

impl Row {
    fn new(way: &'static str, kind: &'static str, warm: Maker, cold: Maker) -> Self {
        let before = Count::now().live;
        let each = |before| (Count::now().live - before) / FLIGHT - size_of::<Visit>();
        let mut cold = World::new(cold, FLIGHT);
        cold.run(1);
        cold.renew_visits();
        let idle_bytes = each(before);
        cold.start();
        let waiting_bytes = each(before);
        cold.resume();
        let (warm_ns, cold_ns) = (Vec::new(), Vec::new());
        let warm = World::new(warm, 1);
        Self { way, kind, warm, cold, warm_ns, cold_ns, allocations: 0, idle_bytes, waiting_bytes }
    }

    fn run(&mut self) {
        self.warm.run(1);
        let before = Count::now().allocations;
        self.warm_ns.push(self.warm.timed(ROUNDS));
        self.allocations = Count::now().allocations - before;
        self.cold_ns.push(self.cold.timed(ROUNDS / FLIGHT));
    }

    fn print(&mut self) {
        let Self { way, kind, idle_bytes, waiting_bytes, .. } = self;
        let (warm_ns, cold_ns) = (least(&self.warm_ns), least(&self.cold_ns));
        let allocations = self.allocations as f64 / ROUNDS as f64;
        println!(
            "{way:<16} {kind:<8} {warm_ns:>7.1} {cold_ns:>16.1} {allocations:>13.2} {idle_bytes:>7} {waiting_bytes:>8}"
        );
    }
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Exchanges that are under way side by side, each with its hooks.
struct World {
    exchanges: Vec<Exchange>,
}

struct Exchange {
    hooks: Box<dyn Hooks>,
    /// `None` while a hook has it.
    visit: Option<Box<Visit>>,
}

impl World {
    fn new(mut make: Maker, flight: usize) -> Self {
        let exchange = |_| Exchange { hooks: make(), visit: Some(Box::default()) };
        Self { exchanges: (0..flight).map(exchange).collect() }
    }

    /// Takes every exchange through its phases, `rounds` times: all through one phase, then all through the next.
    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.exchanges.iter_mut().for_each(Exchange::renew);
            for phase in [Phase::Request, Phase::UpstreamResponse] {
                for exchange in &mut self.exchanges {
                    if !exchange.visit(phase) {
                        while !exchange.resume() {}
                    }
                }
            }
        }
    }

    /// As [`World::run`]; nanoseconds of one exchange.
    fn timed(&mut self, rounds: usize) -> f64 {
        let start = Instant::now();
        self.run(rounds);
        start.elapsed().as_nanos() as f64 / (rounds * self.exchanges.len()) as f64
    }

    fn renew_visits(&mut self) {
        self.exchanges.iter_mut().for_each(Exchange::renew);
    }

    /// Starts the first hook of every exchange.
    fn start(&mut self) {
        for exchange in &mut self.exchanges {
            exchange.visit(Phase::Request);
        }
    }

    /// Goes on with the hooks that wait.
    fn resume(&mut self) {
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.visit.is_none()) {
            while !exchange.resume() {}
        }
    }
}

impl Exchange {
    fn renew(&mut self) {
        self.visit.as_mut().expect("no hook has it").renew();
        self.hooks.renew();
    }

    /// Whether the hook of `phase` is done, if there is one.
    fn visit(&mut self, phase: Phase) -> bool {
        if !self.hooks.asked().has(phase) {
            return true;
        }
        let visit = self.visit.take().expect("no hook has it");
        let polled = self.hooks.visit(phase, visit, &mut Context::from_waker(Waker::noop()));
        self.back(polled)
    }

    fn resume(&mut self) -> bool {
        let polled = self.hooks.resume(&mut Context::from_waker(Waker::noop()));
        self.back(polled)
    }

    fn back(&mut self, polled: Poll<Answer>) -> bool {
        match polled {
            Poll::Ready((visit, Verdict::Continue)) => self.visit = Some(visit),
            Poll::Ready((_, verdict)) => unreachable!("no hook here answers {verdict:?}"),
            Poll::Pending => return false,
        }
        true
    }
}
