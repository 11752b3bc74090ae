//! The stage in memory, in virtual time, from a seed.

use super::stage::{self, SocketId, Stage};
use super::{client_ip, origin_address};
use ringway_engine::io::sim::{self, Call, Conditions, ListenerId, Network, Simulation, Welcome};
use ringway_engine::io::{Close, PeerAddress};
use ringway_engine::observe::{Counters, LogLines, LogSink, Snapshot};
use ringway_engine::service::Services;
use ringway_engine::settings::{Address, LogFormat, Settings};
use ringway_engine::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One shard on a simulated network.
pub(crate) struct Simulated {
    simulation: Simulation,
    network: Network,
    seed: u64,
    origins: Vec<ListenerId>,
    /// By their numbers for scripts.
    sockets: Vec<sim::SocketId>,
    numbers: BTreeMap<sim::SocketId, SocketId>,
    log: Option<LogLines>,
}

impl Simulated {
    pub(crate) fn new(seed: u64, conditions: Conditions, is_traced: bool) -> Self {
        let simulation = Simulation::without_shards(conditions, seed);
        let network = simulation.network();
        if is_traced {
            network.start_trace();
        }
        let (origins, sockets, numbers) = Default::default();
        Self { simulation, network, seed, origins, sockets, numbers, log: None }
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Lets the proxy panic in its next call of this kind, and catches that.
    pub(crate) fn panic_at(&mut self, call: Call) {
        self.simulation.catch_panics();
        self.network.panic_at(call);
    }

    /// Bounds what may be on its way from this socket.
    pub(crate) fn set_buffer(&self, socket: SocketId, bytes: usize) {
        self.network.set_buffer(self.sockets[socket.0], bytes);
    }

    /// Bytes of memory that the proxy holds in buffers.
    pub(crate) fn held_bytes(&mut self) -> usize {
        self.simulation.shard(0).pool().outstanding_bytes()
    }

    fn number(&mut self, socket: sim::SocketId) -> SocketId {
        let number = SocketId(self.sockets.len());
        self.sockets.push(socket);
        self.numbers.insert(socket, number);
        number
    }
}

impl Stage for Simulated {
    fn listen(&mut self, origin: usize) {
        self.origins.push(self.network.listen(&Address::Tcp(origin_address(origin))));
    }

    fn address(&self, origin: usize) -> SocketAddr {
        origin_address(origin)
    }

    fn set_welcome(&mut self, origin: usize, welcome: Welcome) {
        self.network.set_welcome(self.origins[origin], welcome);
    }

    fn start(&mut self, settings: Settings, services: Services) {
        let (sink, lines) = LogSink::in_memory(LogFormat::Json, Arc::new(Counters::new(&[])));
        self.simulation.add_shard(&Arc::new(settings), &services, 1, Some(sink));
        self.log = Some(lines);
    }

    fn drain(&mut self, deadline: Duration) {
        self.simulation.drain(0, deadline);
    }

    fn stop(&mut self) {
        self.simulation.stop(0);
    }

    fn connect(&mut self, client: usize, to: &Address) -> SocketId {
        let peer = PeerAddress::Ip((client_ip(client), 40_000).into());
        let socket = self.network.connect(peer, to);
        self.number(socket)
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        self.network.send(self.sockets[socket.0], bytes)
    }

    fn receive(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        self.network.receive(self.sockets[socket.0], into)
    }

    fn finish(&mut self, socket: SocketId) {
        self.network.finish(self.sockets[socket.0]);
    }

    fn close(&mut self, socket: SocketId, how: Close) {
        self.network.close(self.sockets[socket.0], how);
    }

    fn now(&self) -> Instant {
        self.network.now()
    }

    fn spend(&mut self, time: Duration) -> Instant {
        self.now() + time
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn set_alarm(&mut self, delay: Duration, token: usize) {
        self.network.set_alarm(delay, token as u64);
    }

    fn step(&mut self, end: Instant) -> stage::Step {
        let notice = match self.simulation.step_until(end) {
            sim::Step::Quiet => return stage::Step::Quiet,
            sim::Step::Turn => return stage::Step::Turn,
            sim::Step::Notice(notice) => notice,
        };
        stage::Step::Notice(match notice {
            sim::Notice::Ready(socket) => match self.numbers.get(&socket) {
                Some(number) => stage::Notice::Ready(*number),
                // It waits to be accepted.
                None => return stage::Step::Turn,
            },
            sim::Notice::Alarm(token) => stage::Notice::Alarm(token as usize),
            sim::Notice::Accepted { listener, socket } => {
                let origin = self.origins.iter().position(|origin| *origin == listener);
                let origin = origin.expect("nobody else listens for scripts");
                stage::Notice::Accepted { origin, socket: self.number(socket) }
            }
        })
    }

    fn rest(&mut self, end: Instant) -> stage::Step {
        self.step(end)
    }

    fn bear_panics(&mut self) {
        self.simulation.catch_panics();
    }

    fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        sum.add(self.simulation.counters(0));
        sum
    }

    fn read_log(&mut self) -> Vec<String> {
        self.simulation.shard(0).flush_log();
        self.log.as_ref().map(LogLines::take).unwrap_or_default()
    }

    fn connections(&mut self) -> usize {
        self.simulation.shard(0).connections()
    }

    fn leaks(&mut self) -> Vec<String> {
        self.simulation.leaks()
    }

    fn simulated(&mut self) -> Option<&mut Simulated> {
        Some(self)
    }

    /// The end of the trace, when there is one.
    fn describe(&self) -> String {
        let trace = self.network.trace();
        let from = trace.len().saturating_sub(TRACE_LINES);
        let lines = trace[from..].join("\n");
        let conditions = self.network.conditions();
        let Self { seed, .. } = self;
        format!(
            "--- the last {} of {} events:\n{lines}\n\
             --- in {conditions:?}; RINGWAY_SIM_SEED={seed} runs only this seed",
            trace.len() - from,
            trace.len(),
        )
    }
}

/// Longer than every time-out.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// Lines of a trace that are shown.
const TRACE_LINES: usize = 120;
