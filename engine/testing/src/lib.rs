//! Scripts for a proxy, its clients and its origins: what they do, and what is expected to come of it.
//!
//! A scenario is a function of a [`World`]: a proxy, clients and origins that do as they are told, and time that obeys.
//! [`scenario`] runs it on several simulated networks (a calm one, one where every byte travels alone, and rough ones
//! from seeds) and on real sockets, with each of the event loops. On a simulated network it fails with the seed and the
//! trace of what happened. Every expectation waits until it is met or cannot be any more. At the end all clients leave,
//! and nothing may be left: in virtual time hours pass before that, in real time the origins leave too.
//!
//! ```
//! ringway_testing::scenario(|w| {
//!     w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").close();
//!     w.client().get("/").expect_status(200).expect_body_so_far("abc").expect_aborted();
//! });
//! ```
//!
//! What needs hours, or numbers that only virtual time makes exact, or a network that does as it is told, says
//! [`simulated()`]; where it does not, the world refuses on real sockets.
//!
//! Read this file, then `client.rs`, `origin.rs`, `record.rs` (the access log), `http.rs` (how both ends read). What
//! all that stands on is a `Stage`: `simulated.rs`, or `sockets.rs` with the shard in `proxy.rs`.

mod client;
pub mod http;
mod origin;
mod proxy;
mod record;
mod simulated;
mod sockets;
mod stage;

pub use client::Client;
pub use origin::{Origin, Request, Script};
pub use record::Record;

use client::ClientState;
use origin::OriginState;
use ringway_engine::io::pump::Driver;
use ringway_engine::io::sim::{Call, Conditions};
use ringway_engine::phase::Proxy;
use ringway_engine::service::{Service, Services, ShardTask, StreamService};
use ringway_engine::settings::{Address, Cluster, Endpoint, Settings};
use ringway_engine::time::Instant;
use ringway_engine::upstream::{self, Algorithm, Balance};
use simulated::Simulated;
use sockets::Sockets;
use stage::{Notice, SocketId, Stage, Step};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Runs a scenario on every simulated network, and on real sockets.
pub fn scenario(run: impl Fn(&World)) {
    simulated(&run);
    on_sockets(&run);
}

/// Runs a scenario whose numbers do not hold on a bad network: on a calm one, and on real sockets.
pub fn calm(run: impl Fn(&World)) {
    simulated_calm(&run);
    on_sockets(&run);
}

/// Runs a scenario that takes more time than real time has, or that only a simulated network can play: on a calm one,
/// one where every byte travels alone, and several rough ones.
pub fn simulated(run: impl Fn(&World)) {
    let rough = seeds().into_iter().map(|seed| (seed, Conditions::rough()));
    let mut networks = vec![(0, Conditions::calm()), (0, Conditions::dribbling())];
    networks.extend(rough);
    networks.iter().for_each(|(seed, conditions)| simulate(*seed, conditions, &run));
}

/// As [`simulated()`], where the numbers hold on a calm network only.
pub fn simulated_calm(run: impl Fn(&World)) {
    simulate(0, &Conditions::calm(), &run);
}

/// The seeds of rough networks: one that is asked for, or the usual ones.
fn seeds() -> Vec<u64> {
    match std::env::var("RINGWAY_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGWAY_SIM_SEED is a number")],
        Err(_) => (1..=4).collect(),
    }
}

/// One run, and a second one with a trace when it fails: the same seed is the same run.
fn simulate(seed: u64, conditions: &Conditions, run: &impl Fn(&World)) {
    let stage = |is_traced| Simulated::new(seed, conditions.clone(), is_traced);
    let Err((panic, _)) = play(stage(false), run) else { return };
    let told = play(stage(true), run).err().map(|(_, told)| told);
    eprintln!("{}", told.unwrap_or_default());
    resume_unwind(panic);
}

/// One run on each event loop.
fn on_sockets(run: &impl Fn(&World)) {
    for driver in [Driver::Any, Driver::Epoll] {
        if let Err((panic, told)) = play(Sockets::new(driver), run) {
            eprintln!("{told}");
            resume_unwind(panic);
        }
    }
}

/// What ended a scenario, and where that was.
type Failure = (Box<dyn std::any::Any + Send>, String);

fn play(stage: impl Stage + 'static, run: &impl Fn(&World)) -> Result<(), Failure> {
    let world = World::new(Box::new(stage));
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(&world);
        world.end();
    }));
    result.map_err(|panic| (panic, world.state.borrow().stage.describe()))
}

/// Everything a scenario talks to.
pub struct World {
    state: Rc<RefCell<State>>,
}

/// What the handles share. The proxy starts when the first client comes, so that settings can be changed until
/// then.
pub(crate) struct State {
    pub(crate) stage: Box<dyn Stage>,
    settings: Settings,
    service: Option<Service>,
    streams: Vec<Option<StreamService>>,
    tasks: Vec<ShardTask>,
    algorithms: Vec<Algorithm>,
    is_running: bool,
    pub(crate) clients: Vec<ClientState>,
    pub(crate) origins: Vec<OriginState>,
    pub(crate) sockets: BTreeMap<SocketId, Who>,
    /// Whose alarm it is, by its token.
    pub(crate) alarms: Vec<Who>,
    records: Vec<Record>,
    /// The script is over, and who still connects finds nobody.
    pub(crate) is_ended: bool,
}

/// Whose socket or alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client(usize),
    Origin(usize, usize),
    Nobody,
}

impl World {
    fn new(stage: Box<dyn Stage>) -> Self {
        let mut settings = Settings::reverse_proxy(proxy_address(), vec![Address::Tcp(origin_address(0))]);
        settings.clusters[0] = Cluster::new("app", vec![endpoint(0)]);
        settings.sites[0].routes[0].action =
            ringway_engine::settings::RouteAction::Proxy { cluster: "app".into() };
        let state = State {
            stage,
            settings,
            service: None,
            streams: Vec::new(),
            tasks: Vec::new(),
            algorithms: Vec::new(),
            is_running: false,
            clients: Vec::new(),
            origins: Vec::new(),
            sockets: BTreeMap::new(),
            alarms: Vec::new(),
            records: Vec::new(),
            is_ended: false,
        };
        let world = Self { state: Rc::new(RefCell::new(state)) };
        world.origins(1);
        world
    }

    /// Makes so many origins, all endpoints of the one cluster. There is one without that.
    pub fn origins(&self, count: usize) {
        let mut state = self.state.borrow_mut();
        for index in state.origins.len()..count {
            state.stage.listen(index);
            state.origins.push(OriginState::new());
        }
        let endpoints = (0..count).map(endpoint).collect();
        state.settings.clusters[0].endpoints = endpoints;
    }

    /// Changes the settings; before the first client.
    pub fn settings(&self, edit: impl FnOnce(&mut Settings)) {
        let mut state = self.state.borrow_mut();
        assert!(!state.is_running, "the proxy is running already");
        edit(&mut state.settings);
    }

    /// Lets this proxy serve the first listener instead of the settings' sites; before the first client. `make` is called
    /// once on the shard.
    pub fn proxy<P: Proxy>(&self, make: impl Fn() -> P + Send + Sync + 'static) {
        self.service(Service::proxy(make));
    }

    /// As [`World::proxy`], with filters.
    pub fn service(&self, service: Service) {
        let mut state = self.state.borrow_mut();
        assert!(!state.is_running, "the proxy is running already");
        state.service = Some(service);
    }

    /// Lets these apps serve the settings' TCP listeners; before the first client.
    pub fn streams(&self, streams: Vec<Option<StreamService>>) {
        let mut state = self.state.borrow_mut();
        assert!(!state.is_running, "the proxy is running already");
        state.streams = streams;
    }

    /// Lets the proxy's shard run a task from its start; before the first client. `make` is called once on the shard.
    pub fn on_each_shard<F: Future<Output = ()> + 'static>(
        &self,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let mut state = self.state.borrow_mut();
        assert!(!state.is_running, "the proxy is running already");
        state.tasks.push(ShardTask::new(make));
    }

    /// Lets clusters be balanced by an algorithm of this name; before the first client. `make` is called once on the shard
    /// for each cluster that asks for it.
    pub fn balance<B: Balance + 'static>(
        &self,
        name: &'static str,
        make: impl Fn(&[upstream::Endpoint]) -> B + Send + Sync + 'static,
    ) {
        let mut state = self.state.borrow_mut();
        assert!(!state.is_running, "the proxy is running already");
        state.algorithms.push(Algorithm::new(name, make));
    }

    /// The origin, or the first of several.
    pub fn origin(&self) -> Origin {
        self.origin_at(0)
    }

    /// The origin with this index.
    pub fn origin_at(&self, index: usize) -> Origin {
        Origin::new(Rc::clone(&self.state), index)
    }

    /// A new client, connected to the proxy.
    pub fn client(&self) -> Client {
        self.client_of(&proxy_address())
    }

    /// A new client of another listener.
    pub fn client_of(&self, address: &Address) -> Client {
        let mut state = self.state.borrow_mut();
        state.start();
        let index = state.clients.len();
        let socket = state.stage.connect(index, address);
        state.clients.push(ClientState::new(socket));
        state.sockets.insert(socket, Who::Client(index));
        drop(state);
        Client::new(Rc::clone(&self.state), index)
    }

    /// Lets this much time pass: `2s`, `100ms`, `1h`.
    pub fn after(&self, time: &str) -> &Self {
        self.state.borrow_mut().pass(duration(time));
        self
    }

    /// Lets everything happen that is under way.
    pub fn settle(&self) -> &Self {
        self.state.borrow_mut().rest(SETTLED);
        self
    }

    /// The virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.state.borrow_mut().simulated().now() - Instant::ZERO
    }

    /// Tells the proxy to stop gracefully, within a time.
    pub fn drain(&self, deadline: &str) -> &Self {
        let mut state = self.state.borrow_mut();
        state.start();
        state.stage.drain(duration(deadline));
        drop(state);
        self
    }

    /// Tells the proxy to stop at once.
    pub fn stop(&self) -> &Self {
        self.state.borrow_mut().stage.stop();
        self
    }

    /// Lets the proxy panic in its next call of this kind. It is caught as on real sockets.
    pub fn panics_at(&self, call: Call) -> &Self {
        self.state.borrow_mut().simulated().panic_at(call);
        self
    }

    /// Hooks of this world panic on purpose.
    pub fn bear_panics(&self) -> &Self {
        self.state.borrow_mut().stage.bear_panics();
        self
    }

    /// Clients that have seen the end of their connection close it, too.
    pub fn close_ended_clients(&self) -> &Self {
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
    pub fn conditions(&self, edit: impl FnOnce(&mut Conditions)) {
        let mut state = self.state.borrow_mut();
        let network = state.simulated().network();
        let mut conditions = network.conditions();
        edit(&mut conditions);
        network.set_conditions(conditions);
    }

    /// Bytes of memory that the proxy holds in buffers.
    pub fn held_bytes(&self) -> usize {
        self.state.borrow_mut().simulated().held_bytes()
    }

    /// Connections of the proxy, both sides, idle ones included.
    pub fn connections(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.rest(Duration::ZERO);
        state.stage.connections()
    }

    /// The proxy has no connection and, where that can be seen, holds no memory.
    #[track_caller]
    pub fn expect_empty(&self) {
        let mut state = self.state.borrow_mut();
        state.rest_until(Duration::ZERO, |state| state.stage.connections() == 0);
        assert_eq!(state.stage.connections(), 0, "{}", state.stage.counters().to_text());
        assert_eq!(state.stage.simulated().map_or(0, Simulated::held_bytes), 0);
    }

    /// A counter by its name in the status text; 0 when it is not shown there.
    #[track_caller]
    pub fn expect_counter(&self, name: &str, expected: u64) -> &Self {
        let mut state = self.state.borrow_mut();
        state.rest_until(Duration::ZERO, |state| state.counter(name) == expected);
        assert_eq!(state.counter(name), expected, "{name} in {}", state.stage.counters().to_text());
        drop(state);
        self
    }

    /// A counter by its name in the status text, once everything that is under way has happened.
    pub fn counter(&self, name: &str) -> u64 {
        self.settle();
        self.state.borrow().counter(name)
    }

    /// How the exchanges ended, in that order, all of them until now.
    #[track_caller]
    pub fn expect_outcomes(&self, expected: &[&str]) -> &Self {
        let is_logged = |state: &mut State| state.records().len() >= expected.len();
        self.state.borrow_mut().rest_until(SETTLED, is_logged);
        let records = self.state.borrow_mut().records().to_vec();
        let outcomes: Vec<&str> = records.iter().map(|record| record.text("outcome")).collect();
        assert_eq!(outcomes, expected, "{records:#?}");
        self
    }

    /// The access log, once everything that is under way has happened.
    pub fn records(&self) -> Vec<Record> {
        let mut state = self.state.borrow_mut();
        state.rest(SETTLED);
        state.records().to_vec()
    }

    /// The last line of the access log.
    #[track_caller]
    pub fn last_record(&self) -> Record {
        self.records().pop().expect("something was logged")
    }

    /// Every client leaves, and nothing is left.
    fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.start();
        for index in 0..state.clients.len() {
            state.clients[index].check_end();
            state.leave(index);
        }
        match state.stage.simulated() {
            Some(_) => state.let_hours_pass(),
            None => state.end_origins(),
        }
        let leaks = state.stage.leaks();
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
        state.check_log();
        state.check_gauges();
    }
}

impl State {
    /// Starts the proxy, once.
    pub(crate) fn start(&mut self) {
        if !std::mem::replace(&mut self.is_running, true) {
            self.settings.check().expect("the settings make sense");
            let services = Services::new(vec![self.service.clone()])
                .with_streams(self.streams.clone())
                .with_tasks(std::mem::take(&mut self.tasks))
                .with_algorithms(std::mem::take(&mut self.algorithms));
            self.stage.start(self.settings.clone(), services);
        }
    }

    /// The simulator, for what only it can do.
    #[track_caller]
    pub(crate) fn simulated(&mut self) -> &mut Simulated {
        self.stage.simulated().expect("say `simulated` or `simulated_calm`: real sockets cannot do that")
    }

    /// Hands on what a step has brought. False when there is nothing more.
    fn hand_on(&mut self, step: Step) -> bool {
        match step {
            Step::Quiet => return false,
            Step::Turn => {}
            Step::Notice(Notice::Ready(socket)) => match self.sockets.get(&socket).copied() {
                Some(Who::Client(index)) => self.on_client_ready(index),
                Some(Who::Origin(origin, conn)) => self.on_origin_ready(origin, conn),
                Some(Who::Nobody) | None => {}
            },
            Step::Notice(Notice::Accepted { origin, socket }) => self.on_origin_accepted(origin, socket),
            Step::Notice(Notice::Alarm(token)) => match self.alarms[token] {
                Who::Client(index) => self.on_client_alarm(index),
                Who::Origin(origin, conn) => self.on_origin_alarm(origin, conn),
                Who::Nobody => {}
            },
        }
        true
    }

    /// Lets the next thing happen, not after `end`. False when there is none.
    fn step(&mut self, end: Instant) -> bool {
        let step = self.stage.step(end);
        self.hand_on(step)
    }

    /// Lets things happen until `is_met`, as long as there is hope. Says whether it was met.
    pub(crate) fn wait(&mut self, mut is_met: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.stage.now() + self.stage.patience();
        while !is_met(self) {
            if !self.step(end) {
                return is_met(self);
            }
        }
        true
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.start();
        let end = self.stage.spend(time);
        while self.step(end) {}
        self.rest(Duration::ZERO);
    }

    /// Lets everything happen that is under way and takes no longer than this.
    pub(crate) fn rest(&mut self, time: Duration) {
        self.start();
        let end = self.stage.now() + time;
        loop {
            let step = self.stage.rest(end);
            if !self.hand_on(step) {
                return;
            }
        }
    }

    /// As [`State::rest`]. `is_met` says what is then expected: in virtual time nothing can be missed, in real time it
    /// is given some more.
    pub(crate) fn rest_until(&mut self, time: Duration, is_met: impl FnMut(&mut Self) -> bool) {
        self.rest(time);
        if self.stage.simulated().is_none() {
            self.wait(is_met);
        }
    }

    /// Asks for an alarm of `who`.
    pub(crate) fn set_alarm(&mut self, delay: Duration, who: Who) {
        self.stage.set_alarm(delay, self.alarms.len());
        self.alarms.push(who);
    }

    fn counter(&self, name: &str) -> u64 {
        let text = self.stage.counters().to_text();
        let mut words = text.lines().filter_map(|line| line.split_once(' '));
        words.find(|(other, _)| *other == name).map_or(0, |(_, value)| value.parse().expect("a number"))
    }

    /// The access log.
    fn records(&mut self) -> &[Record] {
        self.start();
        let lines = self.stage.read_log();
        self.records.extend(lines.iter().map(|line| Record::parse(line)));
        &self.records
    }

    /// Every time-out comes.
    fn let_hours_pass(&mut self) {
        let mut steps = 0;
        while self.step(Instant::FAR_FUTURE) {
            steps += 1;
            assert!(steps < STEPS_MAX, "the world does not come to rest");
        }
    }

    /// What only a time-out would end now is ended by the origins.
    fn end_origins(&mut self) {
        self.is_ended = true;
        self.close_origins();
        let is_over = |state: &mut Self| {
            let counters = state.stage.counters();
            counters.downstream_active + counters.upstream_active + counters.exchanges_active == 0
        };
        assert!(self.wait(is_over), "not all ends: {}", self.stage.counters().to_text());
    }

    /// Every exchange has one line, and one outcome is counted for it.
    fn check_log(&mut self) {
        let records = self.records().to_vec();
        let sum = self.stage.counters();
        let outcomes: u64 = sum.outcomes.iter().map(|(_, count)| count).sum();
        assert_eq!(sum.requests, records.len() as u64, "one line each: {records:#?}");
        assert_eq!(outcomes, sum.requests, "one outcome each");
        for (label, count) in &sum.outcomes {
            let logged = records.iter().filter(|record| record.text("outcome") == *label).count();
            assert_eq!(logged as u64, *count, "{label}");
        }
    }

    /// What counts the present counts nothing when nothing is left.
    fn check_gauges(&mut self) {
        let sum = self.stage.counters();
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
pub fn proxy_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 80).into())
}

/// Where settings say that an origin listens.
pub fn origin_address(index: usize) -> SocketAddr {
    ([203, 0, 113, 1 + index as u8], 8080).into()
}

fn endpoint(index: usize) -> Endpoint {
    Endpoint { address: Address::Tcp(origin_address(index)), weight: 1 }
}

/// Where a client comes from: one of the many addresses that every machine has for itself.
fn client_ip(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + index as u32)
}

/// `2s`, `100ms`, `10us`, `1h`.
pub fn duration(text: &str) -> Duration {
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
const SETTLED: Duration = Duration::from_millis(200);
/// Steps after which a world that should come to rest is said not to.
const STEPS_MAX: usize = 20_000_000;
