//! Whole exchanges: one client, one pooled connection to the origin, both kept alive.
//!
//! On [`Wire`] this is the shard's own work: two turns (the client's, the origin's) with the pump's question for the
//! next deadline after each. On the simulator it is the same with a network, which costs several times as much.

use super::vectors::{REQUESTS, RESPONSES};
use super::wire::Wire;
use super::{Case, Work};
use ringway_engine::io::PeerAddress;
use ringway_engine::io::sim::{Conditions, Network, Notice, Simulation, SocketId, Step};
use ringway_engine::keys::ConnKey;
use ringway_engine::observe::{Counters, LogLines, LogSink, RequestIds};
use ringway_engine::rt::Local;
use ringway_engine::service::Services;
use ringway_engine::settings::{Address, LogFormat, Settings};
use ringway_engine::shard::{ListenerKind, Parts, Shard, Start};
use ringway_engine::snapshot::Snapshot;
use ringway_engine::time::{Clock, Instant};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    let (wrk, chrome) = (request(), text(REQUESTS, "chrome"));
    let page = text(RESPONSES, "nginx-static").replace("Content-Length: 48213", "Content-Length: 1024");
    let page = page + &"x".repeat(1024);
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let post = format!("{POST_HEAD}{chunk}{chunk}0\r\n\r\n");
    let simulated = Simulated::new(wrk, &answer(1), &Services::default());
    vec![
        case("exchange/get-1b", wrk, &answer(1), None),
        case("exchange/get-1k", wrk, &answer(1024), None),
        case("exchange/get-1k-json-log", wrk, &answer(1024), Some(LogFormat::Json)),
        case("exchange/get-1k-combined-log", wrk, &answer(1024), Some(LogFormat::Combined)),
        case("exchange/get-browser-1k", chrome, &page, None),
        case("exchange/post-chunked-1k", &post, &answer(1), None),
        Case { name: "exchange/get-1b-simulated".to_owned(), work: Box::new(simulated) },
    ]
}

fn case(name: &str, request: &str, answer: &str, log: Option<LogFormat>) -> Case {
    Case { name: name.to_owned(), work: Box::new(OnWire::new(request, answer, log, &Services::default())) }
}

fn text(heads: &[(&str, &'static str)], name: &str) -> &'static str {
    heads.iter().find(|(other, _)| *other == name).expect("one of the recorded heads").1
}

/// What the load tools ask.
pub(super) fn request() -> &'static str {
    text(REQUESTS, "wrk")
}

/// What the load tools' origin answers.
pub(super) fn answer(bytes: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
}

fn settings() -> Settings {
    let mut settings = Settings::reverse_proxy(proxy(), vec![origin()]);
    // The connections last as long as the measurement.
    settings.limits.keepalive_requests = u64::MAX;
    settings
}

fn proxy() -> Address {
    Address::Tcp(([192, 0, 2, 1], 80).into())
}

fn origin() -> Address {
    Address::Tcp(([192, 0, 2, 2], 80).into())
}

/// A shard on sockets that cost nothing.
#[derive(Debug)]
pub(super) struct OnWire {
    shard: Shard<Wire>,
    now: Instant,
    client: ConnKey,
    origin: ConnKey,
    request: &'static [u8],
    answer: &'static [u8],
    /// Bytes of the answer that the client gets.
    answered: usize,
    log_lines: Option<LogLines>,
}

impl OnWire {
    /// Connects, and dials for the first exchange.
    pub(super) fn new(request: &str, answer: &str, log: Option<LogFormat>, services: &Services) -> Self {
        let counters = Arc::new(Counters::new(Start::OUTCOME_LABELS));
        let (log, log_lines) = log.map(|format| LogSink::in_memory(format, Arc::clone(&counters))).unzip();
        let parts = Parts {
            snapshot: Rc::new(Snapshot::with(Arc::new(settings()), services)),
            clock: Rc::new(Clock::manual(UNIX_MS)),
            rt: Local::simulated(Arc::clone(&counters)),
            counters,
            log,
            ids: RequestIds::seeded(1),
            services: services.clone(),
        };
        let mut shard = Shard::new(Wire::default(), parts);
        let (request, answer) = (request.to_owned().leak().as_bytes(), answer.to_owned().leak().as_bytes());
        let peer = PeerAddress::Ip(([198, 51, 100, 7], 40_000).into());
        let now = Instant::ZERO;
        let local = Rc::new(Address::Tcp(([192, 0, 2, 1], 80).into()));
        let client = shard.on_accepted(now, ListenerKind::Http { index: 0 }, (), peer, local);
        let mut on_wire =
            Self { shard, now, client, origin: client, request, answer, answered: 0, log_lines };
        on_wire.turn(client, request);
        on_wire.wait_until(|wire| wire.dialed_conn().is_some());
        on_wire.origin = on_wire.shard.io().dialed_conn().expect("a request needs an origin");
        on_wire.shard.on_writable(on_wire.now, on_wire.origin);
        on_wire.turn(on_wire.origin, answer);
        on_wire.check();
        on_wire
    }

    fn check(&mut self) {
        let asked = String::from_utf8_lossy(self.shard.io().sent(self.origin)).to_lowercase();
        assert!(asked.contains("\r\nx-forwarded-for: 198.51.100.7\r\n"), "{asked}");
        let answered = self.shard.io().sent(self.client);
        assert!(answered.starts_with(b"HTTP/1.1 200 OK\r\n"));
        // What hooks may change is chunked where not all of it was there at once.
        let length = b"\r\nContent-Length: ";
        let has_length = answered.windows(length.len()).any(|window| window == length);
        assert!(has_length || answered.ends_with(b"\r\n0\r\n\r\n"));
        self.answered = answered.len();
    }

    #[inline]
    fn exchange(&mut self) {
        self.shard.io().sent(self.client).clear();
        self.shard.io().sent(self.origin).clear();
        self.turn(self.client, self.request);
        let origin = self.origin;
        self.wait_until(|wire| !wire.sent(origin).is_empty());
        self.turn(self.origin, self.answer);
        assert_eq!(self.shard.io().sent(self.client).len(), self.answered);
    }

    /// Lets time pass until a hook has answered, where one waits.
    #[inline]
    fn wait_until(&mut self, is_over: impl Fn(&mut Wire) -> bool) {
        while !is_over(self.shard.io()) {
            self.now = self.shard.poll_timeout().expect("a hook waits, or the connection is reused");
            self.shard.on_timeout(self.now);
        }
    }

    /// What a pump does with a readable connection.
    #[inline]
    fn turn(&mut self, conn: ConnKey, bytes: &'static [u8]) {
        self.now += STEP;
        self.shard.io().put(conn, bytes);
        self.shard.on_readable(self.now, conn);
        while self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.on_timeout(self.now);
        }
    }
}

impl Work for OnWire {
    fn stage(&mut self, _times: usize) {
        // Batches of lines that were handed over would fill the memory.
        self.log_lines.as_ref().map(LogLines::take);
    }

    fn run(&mut self, times: usize) {
        for _ in 0..times {
            self.exchange();
        }
    }

    fn times_max(&self) -> usize {
        LOGGED_MAX
    }
}

/// A shard on a simulated network.
#[derive(Debug)]
pub(super) struct Simulated {
    simulation: Simulation,
    network: Network,
    client: SocketId,
    request: &'static [u8],
    answer: &'static [u8],
}

impl Simulated {
    pub(super) fn new(request: &str, answer: &str, services: &Services) -> Self {
        let mut simulation = Simulation::without_shards(Conditions::calm(), 1);
        simulation.add_shard(&Arc::new(settings()), services, 1, None);
        let network = simulation.network();
        network.listen(&origin());
        let client = network.connect(simulation.peer(), &proxy());
        while simulation.step() != Step::Notice(Notice::Ready(client)) {}
        let (request, answer) = (request.to_owned().leak().as_bytes(), answer.to_owned().leak().as_bytes());
        Self { simulation, network, client, request, answer }
    }

    fn exchange(&mut self) {
        let mut received = [0; 4096];
        self.network.send(self.client, self.request).expect("there is room");
        loop {
            match self.simulation.step() {
                Step::Notice(Notice::Ready(socket)) => {
                    let len = self.network.receive(socket, &mut received).unwrap_or(0);
                    if socket == self.client && len > 0 {
                        assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
                        return;
                    }
                    if len > 0 {
                        self.network.send(socket, self.answer).expect("there is room");
                    }
                }
                Step::Notice(_) | Step::Turn => {}
                Step::Quiet => panic!("nothing more happens"),
            }
        }
    }
}

impl Work for Simulated {
    fn stage(&mut self, _times: usize) {}

    fn run(&mut self, times: usize) {
        for _ in 0..times {
            self.exchange();
        }
    }

    fn times_max(&self) -> usize {
        LOGGED_MAX
    }
}

const POST_HEAD: &str = "POST /upload HTTP/1.1\r\nHost: www.example.com\r\n\
    Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Time between two turns.
const STEP: Duration = Duration::from_micros(10);
/// 2026-11-23 12:00:00 UTC.
const UNIX_MS: u64 = 1_795_435_200_000;
/// Exchanges in a batch: their log lines wait in memory.
const LOGGED_MAX: usize = 1024;
