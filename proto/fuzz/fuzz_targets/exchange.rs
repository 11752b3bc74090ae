//! Whole exchanges: one shard on the simulated network, up to three clients and three origins, everything that they
//! say and do in the input. Nothing panics, nothing is left behind, every request is logged once, and what comes
//! out of the proxy on either side is HTTP or the beginning of it.
//!
//! The input is a text, so that seeds can be read: settings ([`settings`] says which byte decides what), then
//! bytes to send with `~` and a letter in between, which [`World::read`] explains. `RINGWAY_FUZZ_TRACE=1` shows what
//! happens.

#![no_main]

#[path = "exchange/check.rs"]
mod check;

use libfuzzer_sys::fuzz_target;
use ringway_engine::io::Close;
use ringway_engine::io::sim::{Conditions, ListenerId, Network, Notice, Simulation, SocketId, Step, Welcome};
use ringway_engine::observe::{Counters, LogLines, LogSink, Snapshot};
use ringway_engine::service::Services;
use ringway_engine::settings::{
    Address, Cluster, Endpoint, LogFormat, PathPattern, Route, RouteAction, Settings, TcpListener,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let Some((choices, script)) = input.split_first_chunk() else { return };
    let mut world = World::new(choices);
    world.read(script);
    world.run();
});

/// The bytes in front: digits in seeds, anything otherwise.
type Choices = [u8; 8];

/// A shard, and everybody around it.
struct World {
    simulation: Simulation,
    network: Network,
    log: LogLines,
    /// The origins'.
    listeners: Vec<ListenerId>,
    ends: Vec<End>,
    sockets: BTreeMap<SocketId, usize>,
    /// What each origin answers, in turn.
    answers: [Vec<Vec<Act>>; ORIGINS],
    /// How many answers of each origin were begun.
    begun: [usize; ORIGINS],
    repeated_bytes_max: usize,
    /// Lines of the trace that were shown.
    shown: Option<usize>,
}

/// A client's or an origin's end of a connection.
struct End {
    socket: SocketId,
    role: Role,
    acts: VecDeque<Act>,
    received: Vec<u8>,
    /// How much had been received when an answer to it began.
    heard: usize,
    is_reading: bool,
    is_pausing: bool,
    stage: Stage,
}

enum Role {
    /// With the address that the log knows it by.
    Client {
        peer: String,
    },
    /// A client of the raw listener.
    RawClient,
    Origin(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The proxy finished in order.
    Ended,
    /// It broke, or we closed it.
    Gone,
}

#[derive(Clone)]
enum Act {
    Send(Vec<u8>),
    Pause(Duration),
    /// Goes on when something new has come.
    Await,
    Finish,
    Close(Close),
    /// Receives no more, or again.
    Read(bool),
    /// Never does anything again.
    Hang,
    DrainShard,
}

impl World {
    fn new(choices: &Choices) -> Self {
        let choice = |at: usize, among: u8| choices[at].wrapping_sub(b'0') % among;
        let mut conditions = match choice(0, 4) {
            0 => Conditions::calm(),
            1 => Conditions::rough(),
            2 => Conditions::hostile(),
            _ => Conditions::dribbling(),
        };
        if choice(1, 3) == 1 {
            conditions.buffer_bytes = 700;
        }
        // Every byte of a dribbling network is an event.
        let repeated_bytes_max = if choice(0, 4) == 3 { 3_000 } else { 200_000 };
        let seed = u64::from(choices[7]);
        let mut simulation = Simulation::without_shards(conditions, seed);
        let network = simulation.network();
        let shown = std::env::var_os("RINGWAY_FUZZ_TRACE").map(|_| network.start_trace()).map(|()| 0);
        let (sink, log) = LogSink::in_memory(LogFormat::Json, Arc::new(Counters::new(&[])));
        simulation.add_shard(&Arc::new(settings(&choice)), &Services::default(), seed, Some(sink));
        let listeners: Vec<_> = (0..ORIGINS).map(|origin| network.listen(&origin_address(origin))).collect();
        let welcomes = [Welcome::Accept, Welcome::Refuse, Welcome::Silence, Welcome::Ignore];
        network.set_welcome(listeners[1], welcomes[usize::from(choice(2, 4))]);
        Self {
            simulation,
            network,
            log,
            listeners,
            ends: Vec::new(),
            sockets: BTreeMap::new(),
            answers: Default::default(),
            begun: [0; ORIGINS],
            repeated_bytes_max,
            shown,
        }
    }

    /// `~c` begins a client, `~t` one of the raw listener, `~a`, `~b` and `~o` an answer of an origin (`o` is the
    /// raw one's); what follows is sent by it, cut at each `~|`. Its other acts are in [`act`], `~*` repeats
    /// what was sent last, and `~~` is a `~`.
    fn read(&mut self, script: &[u8]) {
        let mut pieces = script.split(|&byte| byte == b'~');
        pieces.next();
        let mut section = None;
        let mut acts = Vec::new();
        let (mut is_escape, mut clients) = (false, 0);
        for piece in pieces.take(ACTS_MAX) {
            let Some((&letter, text)) = piece.split_first() else {
                is_escape = true;
                continue;
            };
            if std::mem::take(&mut is_escape) {
                acts.push(Act::Send([b"~", piece].concat()));
                continue;
            }
            match letter {
                b'c' | b't' | b'a' | b'b' | b'o' => {
                    self.end_section(section.replace(letter), std::mem::take(&mut acts), &mut clients);
                }
                b'*' => {
                    if let Some(Act::Send(bytes)) = acts.last_mut() {
                        let times = self.repeated_bytes_max / bytes.len().max(1);
                        self.repeated_bytes_max -= times * bytes.len();
                        *bytes = bytes.repeat(times.max(1));
                    }
                }
                b'|' => {}
                letter => match act(letter) {
                    Some(act) => acts.push(act),
                    None => acts.push(Act::Send(vec![b'~', letter])),
                },
            }
            if !text.is_empty() {
                acts.push(Act::Send(text.to_vec()));
            }
        }
        self.end_section(section, acts, &mut clients);
    }

    fn end_section(&mut self, section: Option<u8>, acts: Vec<Act>, clients: &mut usize) {
        let origin = match section {
            None => return,
            Some(b'a') => 0,
            Some(b'b') => 1,
            Some(b'o') => RAW_ORIGIN,
            Some(letter) => {
                *clients += 1;
                if *clients <= CLIENTS_MAX {
                    self.add_client(letter == b't', acts);
                }
                return;
            }
        };
        self.answers[origin].push(acts);
    }

    fn add_client(&mut self, is_raw: bool, acts: Vec<Act>) {
        let peer = self.simulation.peer();
        let role = match &peer {
            _ if is_raw => Role::RawClient,
            ringway_engine::io::PeerAddress::Ip(address) => Role::Client { peer: address.ip().to_string() },
            _ => unreachable!("simulated clients have addresses"),
        };
        let socket = self.network.connect(peer, &if is_raw { raw_address() } else { proxy_address() });
        self.add_end(socket, role, acts);
    }

    fn add_end(&mut self, socket: SocketId, role: Role, acts: Vec<Act>) {
        self.sockets.insert(socket, self.ends.len());
        self.ends.push(End {
            socket,
            role,
            acts: acts.into(),
            received: Vec::new(),
            heard: 0,
            is_reading: true,
            is_pausing: false,
            stage: Stage::Open,
        });
    }

    fn run(&mut self) {
        self.step_until(Some(LONG_BUT_FOR_IDLE));
        // Nobody waits for anything any more but for kept connections, which hold nothing.
        let idle = self.simulation.counters(0).upstream_idle.get() as usize;
        let shard = self.simulation.shard(0);
        assert_eq!(shard.exchanges(), 0);
        assert_eq!(shard.connections(), idle, "only idle connections are left");
        assert_eq!(shard.pool().outstanding_bytes(), 0);
        self.step_until(None);
        let leaks = self.simulation.leaks();
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
        self.check();
    }

    fn step_until(&mut self, time: Option<Duration>) {
        let end = time.map(|time| self.network.now() + time);
        for _ in 0..STEPS_MAX {
            let step = match end {
                Some(end) => self.simulation.step_until(end),
                None => self.simulation.step(),
            };
            self.show_trace();
            match step {
                Step::Quiet => return,
                Step::Turn => {}
                Step::Notice(Notice::Ready(socket)) => {
                    if let Some(&index) = self.sockets.get(&socket) {
                        self.on_ready(index);
                    }
                }
                Step::Notice(Notice::Accepted { listener, socket }) => {
                    let origin = self.listeners.iter().position(|&known| known == listener);
                    let origin = origin.expect("only origins' connections are not accepted by the shard");
                    self.add_end(socket, Role::Origin(origin), Vec::new());
                    self.on_ready(self.ends.len() - 1);
                }
                Step::Notice(Notice::Alarm(index)) => {
                    self.ends[index as usize].is_pausing = false;
                    self.on_ready(index as usize);
                }
            }
        }
        panic!("the world does not come to rest");
    }

    /// At once: a panic ends the process.
    fn show_trace(&mut self) {
        if let Some(shown) = &mut self.shown {
            let trace = self.network.trace();
            trace[*shown..].iter().for_each(|line| eprintln!("{line}"));
            *shown = trace.len();
        }
    }

    fn on_ready(&mut self, index: usize) {
        self.receive(index);
        self.act(index);
    }

    fn receive(&mut self, index: usize) {
        let end = &mut self.ends[index];
        let mut buffer = [0; 4096];
        while end.stage == Stage::Open && end.is_reading {
            match self.network.receive(end.socket, &mut buffer) {
                Ok(0) => end.stage = Stage::Ended,
                Ok(len) => end.received.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => end.stage = Stage::Gone,
            }
        }
    }

    /// Does what can be done now.
    fn act(&mut self, index: usize) {
        loop {
            let end = &mut self.ends[index];
            if end.is_pausing || end.stage == Stage::Gone {
                return;
            }
            let Some(act) = end.acts.pop_front() else {
                if !self.begin_answer(index) {
                    return;
                }
                continue;
            };
            let put_back = match act {
                Act::Send(mut bytes) => match self.network.send(end.socket, &bytes) {
                    Ok(len) if len == bytes.len() => None,
                    Ok(len) => {
                        bytes.drain(..len);
                        Some(Act::Send(bytes))
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Act::Send(bytes)),
                    Err(_) => {
                        // What is there is read all the same, but its end says nothing.
                        self.receive(index);
                        self.ends[index].stage = Stage::Gone;
                        return;
                    }
                },
                Act::Pause(time) => {
                    end.is_pausing = true;
                    self.network.set_alarm(time, index as u64);
                    None
                }
                Act::Await if end.received.len() > end.heard => {
                    end.heard = end.received.len();
                    None
                }
                Act::Await => Some(Act::Await),
                Act::Finish => {
                    self.network.finish(end.socket);
                    None
                }
                Act::Close(how) => {
                    end.stage = Stage::Gone;
                    self.network.close(end.socket, how);
                    None
                }
                Act::Read(is_reading) => {
                    end.is_reading = is_reading;
                    self.receive(index);
                    None
                }
                Act::Hang => Some(Act::Hang),
                Act::DrainShard => {
                    self.simulation.drain(0, Duration::from_secs(20));
                    None
                }
            };
            if let Some(act) = put_back {
                return self.ends[index].acts.push_front(act);
            }
        }
    }

    /// An origin's next answer, when something came; at the end of everything an end is closed.
    fn begin_answer(&mut self, index: usize) -> bool {
        let end = &mut self.ends[index];
        if let Role::Origin(origin) = end.role
            && end.received.len() > end.heard
        {
            end.heard = end.received.len();
            let answers = &self.answers[origin];
            let acts = answers.get(self.begun[origin] % answers.len().max(1)).cloned();
            self.begun[origin] += 1;
            end.acts = acts.unwrap_or_else(|| vec![Act::Send(ANSWER.to_vec())]).into();
            return !end.acts.is_empty();
        }
        if end.stage == Stage::Ended {
            self.network.close(end.socket, Close::Gentle);
        }
        false
    }

    fn check(&mut self) {
        self.simulation.shard(0).flush_log();
        let lines = self.log.take();
        if self.shown.is_some() {
            lines.iter().for_each(|line| eprintln!("{line}"));
        }
        let mut sum = Snapshot::default();
        sum.add(self.simulation.counters(0));
        assert_eq!(lines.len() as u64, sum.requests, "one line for each request");
        assert_eq!(sum.outcomes.iter().map(|(_, count)| count).sum::<u64>(), sum.requests, "and one outcome");
        for end in &self.ends {
            let is_ended = end.stage == Stage::Ended;
            match &end.role {
                Role::Client { peer } => check::client(&end.received, is_ended, peer, &lines),
                Role::Origin(RAW_ORIGIN) | Role::RawClient => {}
                Role::Origin(_) => check::origin(&end.received),
            }
        }
    }
}

fn act(letter: u8) -> Option<Act> {
    Some(match letter {
        b'.' => Act::Pause(Duration::from_micros(150)),
        b',' => Act::Pause(Duration::from_millis(40)),
        b';' => Act::Pause(Duration::from_secs(2)),
        b':' => Act::Pause(Duration::from_secs(100)),
        b'w' => Act::Await,
        b'f' => Act::Finish,
        b'x' => Act::Close(Close::Gentle),
        b'X' => Act::Close(Close::Reset),
        b's' => Act::Read(false),
        b'g' => Act::Read(true),
        b'h' => Act::Hang,
        b'd' => Act::DrainShard,
        _ => return None,
    })
}

/// `choice` takes the byte at a place, and one of so many.
fn settings(choice: &dyn Fn(usize, u8) -> u8) -> Settings {
    let endpoint = |origin| Endpoint { address: origin_address(origin), weight: 1 };
    let mut app = Cluster::new("app", (0..=usize::from(choice(3, 2))).map(endpoint).collect());
    app.keepalive.idle_max = [128, 0, 1][usize::from(choice(4, 3))];
    app.keepalive.idle_timeout = [LONG_BUT_FOR_IDLE * 2, Duration::from_secs(60)][usize::from(choice(1, 2))];
    app.retries_max = u32::from(choice(5, 3));
    let raw = Cluster::new("raw", vec![endpoint(RAW_ORIGIN)]);
    let mut settings = Settings::reverse_proxy(proxy_address(), Vec::new());
    settings.tcp = vec![TcpListener::new(raw_address(), Some("raw".into()))];
    settings.clusters = vec![app, raw];
    let respond = RouteAction::Respond { status: 200, body: "fixed".into(), content_type: None };
    let redirect = RouteAction::Redirect { status: 308, location: "/elsewhere".into() };
    let mut proxy = Route::new(PathPattern::Any, RouteAction::Proxy { cluster: "app".into() });
    proxy.upgrades = vec!["other".into()];
    settings.sites[0].routes = vec![
        proxy,
        Route::new(PathPattern::Exact("/fixed".into()), respond),
        Route::new(PathPattern::Prefix("/moved/".into()), redirect),
    ];
    let limits = &mut settings.limits;
    limits.tunnel_idle = Duration::from_secs(600);
    // Requests of one connection wait one behind the other, each for its time-outs.
    limits.keepalive_requests = 60;
    if choice(6, 2) == 1 {
        limits.request_head_bytes = 300;
        limits.response_head_bytes = 300;
        limits.fields_max = 6;
        limits.target_bytes = 40;
        limits.request_body_bytes = Some(60_000);
        limits.replay_bytes = 100;
    }
    if choice(6, 3) == 1 {
        limits.keepalive_requests = 2;
        limits.request_timeout = Some(Duration::from_secs(20));
    }
    if choice(6, 5) == 1 {
        limits.connections = 1;
        settings.forwarding.forwarded = true;
    }
    settings
}

fn proxy_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 80).into())
}

fn raw_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 81).into())
}

fn origin_address(index: usize) -> Address {
    Address::Tcp(([203, 0, 113, 1 + index as u8], 8080).into())
}

/// What an origin says that was told nothing.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CLIENTS_MAX: usize = 3;
const ORIGINS: usize = 3;
/// The one that raw connections go to.
const RAW_ORIGIN: usize = 2;
const ACTS_MAX: usize = 60;
/// Every time-out has passed by then, one behind the other, but not that of idle connections.
const LONG_BUT_FOR_IDLE: Duration = Duration::from_secs(5 * 3600);
/// Steps after which a world that should come to rest is said not to.
const STEPS_MAX: u64 = 3_000_000;
