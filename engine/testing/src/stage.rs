//! What a world stands on: the simulator, or a shard on real sockets.
//!
//! Scripts know nothing of it. It is a network with a proxy in it: clients connect, origins listen, both send and
//! receive what there is without waiting, and [`Stage::step`] says what has changed.

use super::simulated::Simulated;
use ringway_engine::io::Close;
use ringway_engine::io::sim::Welcome;
use ringway_engine::observe::Snapshot;
use ringway_engine::service::Services;
use ringway_engine::settings::{Address, Settings};
use ringway_engine::time::Instant;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A script's side of a connection. No two of a world are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SocketId(pub(crate) usize);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something for the scripts.
    Notice(Notice),
    /// Something else, or some time.
    Turn,
    /// Nothing more.
    Quiet,
}

/// What scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The proxy has connected to an origin.
    Accepted { origin: usize, socket: SocketId },
    /// There is something to receive, room to send after there was too little, or an end.
    Ready(SocketId),
    /// The time of an alarm has come.
    Alarm(usize),
}

pub(crate) trait Stage {
    /// Makes a place for the origin with this index, the next one.
    fn listen(&mut self, origin: usize);

    /// Where an origin listens.
    fn address(&self, origin: usize) -> SocketAddr;

    /// How an origin treats connections from now on.
    fn set_welcome(&mut self, origin: usize, welcome: Welcome);

    /// Starts the proxy. Settings name its listeners and the origins as scripts do: by what
    /// [`proxy_address`](super::proxy_address) and [`origin_address`](super::origin_address) say.
    fn start(&mut self, settings: Settings, services: Services);

    /// Tells the proxy to stop gracefully.
    fn drain(&mut self, deadline: Duration);

    /// Tells the proxy to stop at once.
    fn stop(&mut self);

    /// Connects the client with this number to a listener of the proxy.
    fn connect(&mut self, client: usize, to: &Address) -> SocketId;

    /// As `send(2)` on a non-blocking socket.
    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize>;

    /// As `recv(2)` on a non-blocking socket.
    fn receive(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize>;

    /// Half-close.
    fn finish(&mut self, socket: SocketId);

    /// Closes a socket; it is not used again.
    fn close(&mut self, socket: SocketId, how: Close);

    /// The time.
    fn now(&self) -> Instant;

    /// When a time that scripts let pass from now on is over.
    fn spend(&mut self, time: Duration) -> Instant;

    /// How long an expectation waits.
    fn patience(&self) -> Duration;

    /// Asks for a [`Notice::Alarm`] after `delay`.
    fn set_alarm(&mut self, delay: Duration, token: usize);

    /// Lets the next thing happen. Quiet when it is `end` and nothing has.
    fn step(&mut self, end: Instant) -> Step;

    /// As [`Stage::step`], but quiet as soon as it is certain that nothing more happens until `end`. Short time-outs
    /// of the proxy that run meanwhile count only where waiting costs nothing.
    fn rest(&mut self, end: Instant) -> Step;

    /// Panics of the proxy are caught as always, and are no failure from now on.
    fn bear_panics(&mut self);

    /// What the proxy has counted.
    fn counters(&self) -> Snapshot;

    /// Lines of the access log since the last call.
    fn read_log(&mut self) -> Vec<String>;

    /// Connections of the proxy on both sides, idle ones included.
    fn connections(&mut self) -> usize;

    /// What is left in the proxy when every script is over.
    fn leaks(&mut self) -> Vec<String>;

    /// The simulator, for what only it can do; `None` where time is real.
    fn simulated(&mut self) -> Option<&mut Simulated>;

    /// For whoever reads that a scenario failed here.
    fn describe(&self) -> String;
}
