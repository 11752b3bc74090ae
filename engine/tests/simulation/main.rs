//! Random worlds: users that pipeline, dawdle and vanish, origins that answer early, stop in the middle or talk
//! nonsense, networks that tear and reorder, and often hooks that wait, hold content back and fail. From the seed of a world everything follows, so each end can be asked
//! what was meant, and the checks are few and hard:
//!
//! - nothing panics, and nothing is left when everybody has gone;
//! - a response that looks complete is what the origin meant, byte for byte, and belongs to its request;
//! - a response that was cut never looks complete;
//! - a tunnel loses nothing, and one that broke never ends as if it had ended in order; a WebSocket is one, and
//!   nothing of it comes to an origin before its 101;
//! - a POST reaches an origin once at most, and what stands behind the end of a connection never;
//! - every exchange is logged once, with the status that the client saw;
//! - where nobody misbehaves everything is answered as it was meant.
//!
//! `RINGWAY_SIM_EXCHANGES` says how many exchanges are tried, `RINGWAY_SIM_SEED` plays one world again and shows
//! what happened in it.

mod origin;
mod plan;
mod tunnel;
mod user;
mod whims;

#[allow(dead_code, reason = "scenarios look at more than we do")]
use origin::Conn;
use plan::{Mishap, Plan};
use ringway_engine::io::sim::{ListenerId, Network, Notice, Rng, Simulation, SocketId, Step};
use ringway_engine::observe::{Counters, LogLines, LogSink, Snapshot};
use ringway_engine::settings::LogFormat;
use ringway_testing::http;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;
use tunnel::{Prelude, RawEnd, Sent};
use user::User;

/// One world.
pub(crate) struct World {
    plan: Plan,
    rng: Rng,
    simulation: Simulation,
    network: Network,
    logs: Vec<LogLines>,
    listeners: Vec<ListenerId>,
    raw_listener: ListenerId,
    raw_ends: Vec<RawEnd>,
    /// What each end of each raw connection has sent, when it has stopped: by number, and whether by the client.
    raw_sent: BTreeMap<(u64, bool), Sent>,
    users: Vec<User>,
    conns: Vec<Conn>,
    sockets: BTreeMap<SocketId, Who>,
    alarms: Vec<Who>,
    /// How often a request came to an origin.
    attempts: BTreeMap<u64, u64>,
    /// Requests that must never come to one.
    never: BTreeSet<u64>,
    /// Final responses that users saw: to which request, with which status, complete or not.
    answered: Vec<(u64, u16, bool)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// Which user, on which of his connections.
    User(usize, u64),
    Origin(usize),
    Raw(usize),
    Mishap(usize),
}

impl World {
    fn new(seed: u64, is_traced: bool) -> Self {
        let plan = Plan::new(seed);
        let mut simulation = Simulation::without_shards(plan.conditions.clone(), seed);
        let network = simulation.network();
        if is_traced {
            network.start_trace();
        }
        let settings = Arc::new(plan.settings());
        let services = whims::services(seed, plan.is_clean);
        let mut logs = Vec::new();
        for shard in 0..plan.shards as u64 {
            let (sink, log) = LogSink::in_memory(LogFormat::Json, Arc::new(Counters::new(&[])));
            simulation.add_shard(&settings, &services, seed.wrapping_add(shard), Some(sink));
            logs.push(log);
        }
        let listeners = (0..plan.origins).map(|index| network.listen(&plan::origin_address(index))).collect();
        let raw_listener = network.listen(&plan::raw_origin_address());
        let rng = Rng::new(seed ^ 0xfeed);
        let mut world = Self {
            plan,
            rng,
            simulation,
            network,
            logs,
            listeners,
            raw_listener,
            raw_ends: Vec::new(),
            raw_sent: BTreeMap::new(),
            users: Vec::new(),
            conns: Vec::new(),
            sockets: BTreeMap::new(),
            alarms: Vec::new(),
            attempts: BTreeMap::new(),
            never: BTreeSet::new(),
            answered: Vec::new(),
        };
        for user in 0..world.plan.users as u64 {
            let asks = (0..world.plan.asks as u64).map(|n| world.plan.ask(1 + user * 1000 + n)).collect();
            world.add_user(asks);
        }
        (0..world.plan.tunnels as u64).for_each(|id| world.add_tunnel(plan::TUNNEL_FIRST + id));
        for index in 0..world.plan.mishaps.len() {
            world.set_alarm(world.plan.mishaps[index].0, Who::Mishap(index));
        }
        world
    }

    pub(crate) fn set_alarm(&mut self, delay: Duration, who: Who) {
        self.network.set_alarm(delay, self.alarms.len() as u64);
        self.alarms.push(who);
    }

    /// Lets everything happen, and adds up what was counted.
    fn run(&mut self, sum: &mut Snapshot) {
        for steps in 0.. {
            assert!(steps < STEPS_MAX, "the world does not come to rest");
            match self.simulation.step() {
                Step::Quiet => break,
                Step::Turn => {}
                Step::Notice(notice) => self.on_notice(notice),
            }
        }
        self.check_users();
        self.check_tunnels();
        let leaks = self.simulation.leaks();
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
        self.check_log();
        (0..self.plan.shards).for_each(|shard| sum.add(self.simulation.counters(shard)));
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Ready(socket) => match self.sockets.get(&socket) {
                Some(Who::User(index, _)) => self.on_user_ready(*index),
                Some(Who::Origin(index)) => self.on_origin_ready(*index),
                Some(Who::Raw(index)) => self.on_raw_ready(*index),
                Some(Who::Mishap(_)) | None => {}
            },
            Notice::Accepted { listener, socket } if listener == self.raw_listener => {
                let index = self.add_raw_end(socket, None, false, Prelude::default());
                self.on_raw_ready(index);
            }
            Notice::Accepted { socket, .. } => {
                self.conns.push(Conn::new(socket));
                let index = self.conns.len() - 1;
                self.sockets.insert(socket, Who::Origin(index));
                self.on_origin_ready(index);
            }
            Notice::Alarm(token) => match self.alarms[token as usize] {
                Who::User(index, number) => self.on_user_alarm(index, number),
                Who::Origin(index) => self.on_origin_alarm(index),
                Who::Raw(index) => self.on_raw_alarm(index),
                Who::Mishap(index) => self.suffer(index),
            },
        }
    }

    fn suffer(&mut self, mishap: usize) {
        match self.plan.mishaps[mishap].1 {
            Mishap::Welcome(origin, welcome) => self.network.set_welcome(self.listeners[origin], welcome),
            Mishap::Drain(shard, within) => self.simulation.drain(shard, within),
            Mishap::Stop(shard) => self.simulation.stop(shard),
        }
    }

    /// One line for each exchange, which says what the user saw.
    fn check_log(&mut self) {
        let mut sum = Snapshot::default();
        for shard in 0..self.plan.shards {
            self.simulation.shard(shard).flush_log();
            sum.add(self.simulation.counters(shard));
        }
        let mut lines: BTreeMap<u64, VecDeque<String>> = BTreeMap::new();
        let mut count = 0;
        for line in self.logs.iter().flat_map(LogLines::take) {
            count += 1;
            let id = value(&line, "target").trim_start_matches('/').parse().unwrap_or(0);
            lines.entry(id).or_default().push_back(line);
        }
        assert_eq!(count, sum.requests, "one line for each request");
        assert_eq!(sum.outcomes.iter().map(|(_, count)| count).sum::<u64>(), count, "and one outcome");
        for (id, status, is_complete) in &self.answered {
            let line = lines
                .get_mut(id)
                .and_then(VecDeque::pop_front)
                .unwrap_or_else(|| panic!("{id} is not logged"));
            assert_eq!(value(&line, "status"), status.to_string(), "{line}");
            let outcome = value(&line, "outcome");
            let is_fine = outcome == if *status == 101 { "tunnel_closed" } else { "complete" };
            // Who has all of the content may leave while a hook is still shown its end.
            let is_early = outcome == "downstream_closed" && *is_complete && whims::are_in(self.plan.seed);
            let is_fine = is_fine || is_early;
            assert!(is_fine || !self.plan.is_clean, "{line}");
            assert!(*is_complete || !is_fine || !self.plan.is_clean, "{line}");
        }
    }
}

/// The value of a key in a line of JSON.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let key = format!("\"{key}\":");
    let Some(at) = line.find(&key) else { return "" };
    let rest = &line[at + key.len()..];
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next().unwrap_or_default(),
        None => rest.split([',', '}']).next().unwrap_or_default(),
    }
}

/// Runs a world, and once more with a trace when it fails.
fn run(seed: u64, sum: &mut Snapshot) {
    let mut go = |is_traced| {
        let mut world = World::new(seed, is_traced);
        catch_unwind(AssertUnwindSafe(|| world.run(sum))).map_err(|panic| (panic, world.network.trace()))
    };
    let Err((panic, _)) = go(false) else { return };
    let trace = go(true).err().map(|(_, trace)| trace).unwrap_or_default();
    let from = trace.len().saturating_sub(TRACE_LINES);
    eprintln!("--- the last {} of {} events:", trace.len() - from, trace.len());
    trace[from..].iter().for_each(|line| eprintln!("{line}"));
    eprintln!("--- RINGWAY_SIM_SEED={seed} plays it again: {:?}", Plan::new(seed));
    resume_unwind(panic);
}

/// Worlds from `first` on, until there were so many exchanges.
fn run_from(first: u64, exchanges: u64) {
    let mut sum = Snapshot::default();
    if let Ok(seed) = std::env::var("RINGWAY_SIM_SEED") {
        return run(seed.parse().expect("RINGWAY_SIM_SEED is a number"), &mut sum);
    }
    let mut seed = first;
    while sum.requests < exchanges {
        run(seed, &mut sum);
        seed += 1;
    }
    println!("{} worlds from {first}:\n{}", seed - first, sum.to_text());
}

/// How many exchanges all tests here try together.
fn exchanges() -> u64 {
    std::env::var("RINGWAY_SIM_EXCHANGES").map_or(100_000, |count| count.parse().expect("a number"))
}

#[test]
fn nobody_sees_what_was_not_meant_in_known_worlds() {
    run_from(1, exchanges() * 9 / 10);
}

#[test]
fn nobody_sees_what_was_not_meant_in_new_worlds() {
    let first = RandomState::new().build_hasher().finish() >> 16;
    println!("the first seed is {first}");
    run_from(first, exchanges() / 10);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed, true);
        let _ = catch_unwind(AssertUnwindSafe(|| world.run(&mut Snapshot::default())));
        world.network.trace()
    };
    for seed in 1..20 {
        assert_eq!(trace(seed), trace(seed), "{seed}");
    }
}

/// Steps after which a world that should come to rest is said not to.
const STEPS_MAX: u64 = 5_000_000;
/// Lines of a trace that are shown.
const TRACE_LINES: usize = 400;
