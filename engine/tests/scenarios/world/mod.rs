//! The world of a scenario: a proxy, clients and origins that do as they are told, and time that obeys.
//!
//! A scenario is a function of a [`World`]. [`scenario`] runs it on several networks: a calm one, one where every
//! byte travels alone, and rough ones from seeds. It fails with the seed and the trace of what happened. Every
//! expectation waits, in virtual time, until it is met or cannot be any more. At the end all clients leave, the
//! clock is moved by hours, and nothing may be left.
//!
//! Read this file, then `client.rs`, `origin.rs`, `record.rs` (the access log), `http.rs` (how both ends read).

mod client;
pub(crate) mod http;
mod origin;
mod record;

pub(crate) use client::Client;
pub(crate) use origin::Origin;
pub(crate) use record::Record;

use client::ClientState;
use origin::OriginState;
use ringway_engine::io::sim::{Conditions, ListenerId, Network, Notice, Simulation, SocketId, Step};
use ringway_engine::observe::{LogLines, LogSink, Snapshot};
use ringway_engine::settings::{Address, Cluster, Endpoint, LogFormat, Settings};
use ringway_engine::time::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Runs a scenario on a calm network, one where every byte travels alone, and several rough ones.
pub(crate) fn scenario(run: impl Fn(&World)) {
    let rough = seeds().into_iter().map(|seed| (seed, Conditions::rough()));
    let mut networks = vec![(0, Conditions::calm()), (0, Conditions::dribbling())];
    networks.extend(rough);
    networks.iter().for_each(|(seed, conditions)| run_in(*seed, conditions, &run));
}

/// Runs a scenario whose numbers only hold on a calm network.
pub(crate) fn calm(run: impl Fn(&World)) {
    run_in(0, &Conditions::calm(), &run);
}

/// The seeds of rough networks: one that is asked for, or the usual ones.
fn seeds() -> Vec<u64> {
    match std::env::var("RINGWAY_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGWAY_SIM_SEED is a number")],
        Err(_) => (1..=4).collect(),
    }
}

/// One run, and a second one with a trace when it fails: the same seed is the same run.
fn run_in(seed: u64, conditions: &Conditions, run: &impl Fn(&World)) {
    let go = |is_traced| {
        let world = World::new(seed, conditions.clone(), is_traced);
        let result = catch_unwind(AssertUnwindSafe(|| {
            run(&world);
            world.end();
        }));
        result.map_err(|panic| (panic, world.trace()))
    };
    let Err((panic, _)) = go(false) else { return };
    let trace = go(true).err().map(|(_, trace)| trace).unwrap_or_default();
    let from = trace.len().saturating_sub(TRACE_LINES);
    eprintln!("--- the last {} of {} events:", trace.len() - from, trace.len());
    trace[from..].iter().for_each(|line| eprintln!("{line}"));
    eprintln!("--- in {conditions:?}; RINGWAY_SIM_SEED={seed} runs only this seed");
    resume_unwind(panic);
}

/// Everything a scenario talks to.
pub(crate) struct World {
    state: Rc<RefCell<State>>,
}

/// What the handles share. The proxy starts when the first client comes, so that settings can be changed until
/// then.
pub(crate) struct State {
    pub(crate) simulation: Simulation,
    pub(crate) network: Network,
    settings: Settings,
    proxy: Option<LogLines>,
    pub(crate) clients: Vec<ClientState>,
    pub(crate) origins: Vec<OriginState>,
    pub(crate) sockets: BTreeMap<SocketId, Who>,
    listeners: BTreeMap<ListenerId, usize>,
    /// Whose alarm it is, by its token.
    pub(crate) alarms: Vec<Who>,
    records: Vec<Record>,
    /// Who else listens: raw TCP.
    is_ended: bool,
}

/// Whose socket or alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client(usize),
    Origin(usize, usize),
    Nobody,
}

impl World {
    fn new(seed: u64, conditions: Conditions, is_traced: bool) -> Self {
        let simulation = Simulation::without_shards(conditions, seed);
        let network = simulation.network();
        if is_traced {
            network.start_trace();
        }
        let mut settings = Settings::reverse_proxy(proxy_address(), vec![origin_address(0)]);
        settings.clusters[0] = Cluster::new("app", vec![endpoint(0)]);
        settings.sites[0].routes[0].action =
            ringway_engine::settings::RouteAction::Proxy { cluster: "app".into() };
        let state = State {
            simulation,
            network,
            settings,
            proxy: None,
            clients: Vec::new(),
            origins: Vec::new(),
            sockets: BTreeMap::new(),
            listeners: BTreeMap::new(),
            alarms: Vec::new(),
            records: Vec::new(),
            is_ended: false,
        };
        let world = Self { state: Rc::new(RefCell::new(state)) };
        world.origins(1);
        world
    }

    /// Makes so many origins, all endpoints of the one cluster. There is one without that.
    pub(crate) fn origins(&self, count: usize) {
        let mut state = self.state.borrow_mut();
        for index in state.origins.len()..count {
            let listener = state.network.listen(&origin_address(index));
            state.listeners.insert(listener, index);
            state.origins.push(OriginState::new(listener));
        }
        let endpoints = (0..count).map(endpoint).collect();
        state.settings.clusters[0].endpoints = endpoints;
    }

    /// Changes the settings; before the first client.
    pub(crate) fn settings(&self, edit: impl FnOnce(&mut Settings)) {
        let mut state = self.state.borrow_mut();
        assert!(state.proxy.is_none(), "the proxy is running already");
        edit(&mut state.settings);
    }

    /// The origin, or the first of several.
    pub(crate) fn origin(&self) -> Origin {
        self.origin_at(0)
    }

    /// The origin with this index.
    pub(crate) fn origin_at(&self, index: usize) -> Origin {
        Origin::new(Rc::clone(&self.state), index)
    }

    /// A new client, connected to the proxy.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&proxy_address())
    }

    /// A new client of another listener.
    pub(crate) fn client_of(&self, address: &Address) -> Client {
        let mut state = self.state.borrow_mut();
        state.start();
        let peer = state.simulation.peer();
        let socket = state.network.connect(peer, address);
        let index = state.clients.len();
        state.clients.push(ClientState::new(socket));
        state.sockets.insert(socket, Who::Client(index));
        drop(state);
        Client::new(Rc::clone(&self.state), index)
    }

    /// Lets this much time pass: `2s`, `100ms`, `1h`.
    pub(crate) fn after(&self, time: &str) -> &Self {
        self.state.borrow_mut().pass(duration(time));
        self
    }

    /// Lets everything happen that is under way.
    pub(crate) fn settle(&self) -> &Self {
        self.after(SETTLED)
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.state.borrow().network.now() - Instant::ZERO
    }

    /// Tells the proxy to stop gracefully, within a time.
    pub(crate) fn drain(&self, deadline: &str) -> &Self {
        let mut state = self.state.borrow_mut();
        state.start();
        state.simulation.drain(0, duration(deadline));
        drop(state);
        self
    }

    /// Tells the proxy to stop at once.
    pub(crate) fn stop(&self) -> &Self {
        self.state.borrow_mut().simulation.stop(0);
        self
    }

    /// Clients that have seen the end of their connection close it, too.
    pub(crate) fn close_ended_clients(&self) -> &Self {
        let mut state = self.state.borrow_mut();
        for index in 0..state.clients.len() {
            if state.clients[index].is_over() {
                state.leave(index);
            }
        }
        drop(state);
        self.settle()
    }

    /// Changes what the network is like from now on.
    pub(crate) fn conditions(&self, edit: impl FnOnce(&mut Conditions)) {
        let state = self.state.borrow();
        let mut conditions = state.network.conditions();
        edit(&mut conditions);
        state.network.set_conditions(conditions);
    }

    /// Bytes of memory that the proxy holds in buffers.
    pub(crate) fn held_bytes(&self) -> usize {
        self.state.borrow_mut().simulation.shard(0).pool().outstanding_bytes()
    }

    /// Connections of the proxy, both sides, idle ones included.
    pub(crate) fn connections(&self) -> usize {
        self.state.borrow_mut().simulation.shard(0).connections()
    }

    /// A counter by its name in the status text; 0 when it is not shown there.
    #[track_caller]
    pub(crate) fn expect_counter(&self, name: &str, expected: u64) -> &Self {
        let mut sum = Snapshot::default();
        sum.add(self.state.borrow().simulation.counters(0));
        let text = sum.to_text();
        let mut words = text.lines().filter_map(|line| line.split_once(' '));
        let value = words.find(|(other, _)| *other == name).map_or(0, |(_, value)| value.parse().unwrap());
        assert_eq!(value, expected, "{name} in {text}");
        self
    }

    /// How the exchanges ended, in that order, all of them until now.
    #[track_caller]
    pub(crate) fn expect_outcomes(&self, expected: &[&str]) -> &Self {
        let records = self.records();
        let outcomes: Vec<&str> = records.iter().map(|record| record.text("outcome")).collect();
        assert_eq!(outcomes, expected, "{records:#?}");
        self
    }

    /// The access log, once everything that is under way has happened.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.settle();
        let mut state = self.state.borrow_mut();
        state.read_log();
        state.records.clone()
    }

    /// The last line of the access log.
    #[track_caller]
    pub(crate) fn last_record(&self) -> Record {
        self.records().pop().expect("something was logged")
    }

    /// Every client leaves, hours pass, and nothing is left.
    fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.start();
        state.is_ended = true;
        for index in 0..state.clients.len() {
            state.clients[index].check_end();
            state.leave(index);
        }
        let mut steps = 0;
        while state.step(Instant::FAR_FUTURE) {
            steps += 1;
            assert!(steps < STEPS_MAX, "the world does not come to rest");
        }
        let leaks = state.simulation.leaks();
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
        state.check_log();
        state.check_gauges();
    }

    fn trace(&self) -> Vec<String> {
        self.state.borrow().network.trace()
    }
}

impl State {
    /// Starts the proxy, once.
    pub(crate) fn start(&mut self) {
        if self.proxy.is_some() {
            return;
        }
        self.settings.check().expect("the settings make sense");
        let counters = Arc::new(ringway_engine::observe::Counters::new(&[]));
        let (sink, lines) = LogSink::in_memory(LogFormat::Json, counters);
        self.simulation.add_shard(&Arc::new(self.settings.clone()), 1, Some(sink));
        self.proxy = Some(lines);
    }

    /// Lets the next thing happen, not after `end`. False when there is none.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        match self.simulation.step_until(end) {
            Step::Quiet => return false,
            Step::Turn => {}
            Step::Notice(Notice::Ready(socket)) => match self.sockets.get(&socket).copied() {
                Some(Who::Client(index)) => self.on_client_ready(index),
                Some(Who::Origin(origin, conn)) => self.on_origin_ready(origin, conn),
                Some(Who::Nobody) | None => {}
            },
            Step::Notice(Notice::Accepted { listener, socket }) => {
                self.on_origin_accepted(self.listeners[&listener], socket);
            }
            Step::Notice(Notice::Alarm(token)) => match self.alarms[token as usize] {
                Who::Client(index) => self.on_client_alarm(index),
                Who::Origin(origin, conn) => self.on_origin_alarm(origin, conn),
                Who::Nobody => {}
            },
        }
        true
    }

    /// Lets things happen until `is_met`, at most for some hours. Says whether it was met.
    pub(crate) fn wait(&mut self, mut is_met: impl FnMut(&Self) -> bool) -> bool {
        let end = self.network.now() + PATIENCE;
        while !is_met(self) {
            if !self.step(end) {
                return is_met(self);
            }
        }
        true
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.start();
        let end = self.network.now() + time;
        while self.step(end) {}
    }

    /// Asks for an alarm of `who`.
    pub(crate) fn set_alarm(&mut self, delay: Duration, who: Who) {
        self.network.set_alarm(delay, self.alarms.len() as u64);
        self.alarms.push(who);
    }

    fn read_log(&mut self) {
        self.start();
        self.simulation.shard(0).flush_log();
        let lines = self.proxy.as_ref().map(LogLines::take).unwrap_or_default();
        self.records.extend(lines.iter().map(|line| Record::parse(line)));
    }

    /// Every exchange has one line, and one outcome is counted for it.
    fn check_log(&mut self) {
        self.read_log();
        let mut sum = Snapshot::default();
        sum.add(self.simulation.counters(0));
        let outcomes: u64 = sum.outcomes.iter().map(|(_, count)| count).sum();
        assert_eq!(sum.requests, self.records.len() as u64, "one line each: {:#?}", self.records);
        assert_eq!(outcomes, sum.requests, "one outcome each");
        for (label, count) in &sum.outcomes {
            let logged = self.records.iter().filter(|record| record.text("outcome") == *label).count();
            assert_eq!(logged as u64, *count, "{label}");
        }
    }

    /// What counts the present counts nothing when nothing is left.
    fn check_gauges(&mut self) {
        let mut sum = Snapshot::default();
        sum.add(self.simulation.counters(0));
        let gauges = [
            sum.downstream_active,
            sum.upstream_idle,
            sum.upstream_active,
            sum.exchanges_active,
            sum.tunnels_active,
        ];
        assert_eq!(gauges, [0; 5], "{}", sum.to_text());
    }
}

/// Where the proxy listens.
pub(crate) fn proxy_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 80).into())
}

/// Where an origin listens.
pub(crate) fn origin_address(index: usize) -> Address {
    Address::Tcp(([203, 0, 113, 1 + index as u8], 8080).into())
}

fn endpoint(index: usize) -> Endpoint {
    Endpoint { address: origin_address(index), weight: 1 }
}

/// `2s`, `100ms`, `10us`, `1h`.
pub(crate) fn duration(text: &str) -> Duration {
    let at = text.find(|byte: char| !byte.is_ascii_digit()).expect("a unit");
    let number: u64 = text[..at].parse().expect("a number");
    match &text[at..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        other => panic!("not a unit of time: {other}"),
    }
}

/// A time in which everything that nobody holds back is over.
const SETTLED: &str = "200ms";
/// How long an expectation waits.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// Steps after which a world that should come to rest is said not to.
const STEPS_MAX: usize = 20_000_000;
/// Lines of a trace that are shown.
const TRACE_LINES: usize = 120;
