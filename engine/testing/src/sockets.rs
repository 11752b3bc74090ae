//! The stage of real sockets: a shard on its own thread and event loop, met over the loopback interface.
//!
//! Time is real here and must not be waited for. What a scenario waits for has either happened, or it can be said
//! that it will not: everything on the loopback interface is delivered before the call that sends it returns, so
//! when no socket of ours is ready and the shard's thread sleeps, nothing is under way.

use super::proxy::Proxy;
use super::simulated::Simulated;
use super::stage::{Notice, SocketId, Stage, Step};
use super::{client_ip, origin_address};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringway_engine::io::Close;
use ringway_engine::io::pump::Driver;
use ringway_engine::io::sim::Welcome;
use ringway_engine::observe::Snapshot;
use ringway_engine::service::Services;
use ringway_engine::settings::{Address, Settings};
use ringway_engine::time::{Clock, Instant};
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

/// Real sockets, and a shard that has others.
pub(crate) struct Sockets {
    driver: Driver,
    clock: Clock,
    proxy: Option<Proxy>,
    origins: Vec<Listener>,
    sockets: Vec<Line>,
    alarms: BTreeSet<(Instant, usize)>,
    notices: VecDeque<Notice>,
    /// How long scripts let time pass, all in all.
    slept: Duration,
    bears_panics: bool,
}

/// Where an origin listens.
struct Listener {
    socket: Socket,
    address: SocketAddr,
    welcome: Welcome,
}

/// A script's side of a connection.
struct Line {
    /// Gone when it was closed.
    socket: Option<Socket>,
    /// Why it was never connected.
    error: Option<io::Error>,
    /// The last receive found nothing.
    wants_bytes: bool,
    /// The last send found no room.
    wants_room: bool,
}

impl Sockets {
    pub(crate) fn new(driver: Driver) -> Self {
        let (origins, sockets, alarms, notices) = Default::default();
        let (clock, slept) = (Clock::real(), Duration::ZERO);
        Self { driver, clock, proxy: None, origins, sockets, alarms, notices, slept, bears_panics: false }
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("it was started")
    }

    fn line(&mut self, socket: Option<Socket>, error: Option<io::Error>) -> SocketId {
        if let Some(socket) = &socket {
            socket.set_nonblocking(true).expect("it is open");
            socket.set_tcp_nodelay(true).expect("it is TCP");
        }
        let id = SocketId(self.sockets.len());
        self.sockets.push(Line { socket, error, wants_bytes: false, wants_room: false });
        id
    }

    /// Where an address of the settings really is.
    fn real(&self, address: &Address) -> Address {
        let place = |n: &usize| *address == Address::Tcp(origin_address(*n));
        let origin = (0..self.origins.len()).find(place);
        Address::Tcp(self.origins[origin.expect("endpoints are origins of this world")].address)
    }

    /// Looks what is ready, at most for `time`.
    fn look(&mut self, time: Duration) {
        // Whole milliseconds, and never a little too early.
        let time = PollTimeout::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
        let (mut whose, mut watched) = (Vec::new(), Vec::new());
        for (origin, listener) in self.origins.iter().enumerate() {
            if listener.welcome == Welcome::Accept {
                whose.push(Err(origin));
                watched.push(PollFd::new(listener.socket.as_fd(), PollFlags::POLLIN));
            }
        }
        for (number, line) in self.sockets.iter().enumerate() {
            let flags = line.interest();
            if let Some(socket) = line.socket.as_ref().filter(|_| !flags.is_empty()) {
                whose.push(Ok(number));
                watched.push(PollFd::new(socket.as_fd(), flags));
            }
        }
        match poll(&mut watched, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        let ready: Vec<_> = watched.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (whose, _) in whose.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            match whose {
                Ok(socket) => self.on_ready(socket),
                Err(origin) => self.accept(origin),
            }
        }
    }

    fn on_ready(&mut self, number: usize) {
        let line = &mut self.sockets[number];
        (line.wants_bytes, line.wants_room) = (false, false);
        self.notices.push_back(Notice::Ready(SocketId(number)));
    }

    fn accept(&mut self, origin: usize) {
        while let Ok((socket, _)) = self.origins[origin].socket.accept() {
            let socket = self.line(Some(socket), None);
            self.notices.push_back(Notice::Accepted { origin, socket });
        }
    }

    /// The next thing for the scripts, if it comes until `end`.
    fn next(&mut self, end: Instant) -> Option<Notice> {
        if self.notices.is_empty() {
            let alarm = self.alarms.first().map(|(at, _)| *at);
            self.look(alarm.map_or(end, |at| at.min(end)).since(self.clock.now()));
        }
        self.notices.pop_front().or_else(|| {
            let alarm = self.alarms.first().filter(|(at, _)| *at <= self.clock.now()).copied()?;
            self.alarms.remove(&alarm);
            Some(Notice::Alarm(alarm.1))
        })
    }

    fn has_alarm_until(&self, end: Instant) -> bool {
        self.alarms.first().is_some_and(|(at, _)| *at <= end)
    }
}

impl Stage for Sockets {
    fn listen(&mut self, _: usize) {
        let socket = bind();
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("an IP address");
        socket.listen(BACKLOG).expect("it is bound");
        self.origins.push(Listener { socket, address, welcome: Welcome::Accept });
    }

    fn address(&self, origin: usize) -> SocketAddr {
        self.origins[origin].address
    }

    fn set_welcome(&mut self, origin: usize, welcome: Welcome) {
        let listener = &mut self.origins[origin];
        let before = std::mem::replace(&mut listener.welcome, welcome);
        match welcome {
            Welcome::Accept | Welcome::Ignore if before == Welcome::Refuse => {
                listener.socket.listen(BACKLOG).expect("the port is still ours");
            }
            Welcome::Accept | Welcome::Ignore => {}
            Welcome::Refuse => _ = listener.socket.shutdown(std::net::Shutdown::Both),
            Welcome::Silence => panic!("every packet arrives here: {SAY}"),
        }
    }

    fn start(&mut self, mut settings: Settings, services: Services) {
        for endpoint in settings.clusters.iter_mut().flat_map(|cluster| &mut cluster.endpoints) {
            endpoint.address = self.real(&endpoint.address);
        }
        self.proxy = Some(Proxy::start(settings, services, self.driver));
    }

    fn drain(&mut self, deadline: Duration) {
        self.proxy().drain(deadline);
    }

    fn stop(&mut self) {
        self.proxy().stop();
    }

    fn connect(&mut self, client: usize, to: &Address) -> SocketId {
        let to = self.proxy().address(to);
        let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None).expect("a socket");
        socket.bind(&SocketAddr::from((client_ip(client), 0)).into()).expect("loopback has many addresses");
        let (socket, error) = match socket.connect(&to.into()) {
            Ok(()) => (Some(socket), None),
            Err(error) => (None, Some(error)),
        };
        let id = self.line(socket, error);
        self.on_ready(id.0);
        id
    }

    fn send(&mut self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        let line = &mut self.sockets[socket.0];
        let sent = line.socket()?.send(bytes);
        line.wants_room = is_blocked(&sent) || sent.as_ref().is_ok_and(|sent| *sent < bytes.len());
        sent
    }

    fn receive(&mut self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        let line = &mut self.sockets[socket.0];
        let received = line.socket()?.read(into);
        line.wants_bytes = is_blocked(&received);
        received
    }

    fn finish(&mut self, socket: SocketId) {
        if let Some(socket) = &self.sockets[socket.0].socket {
            // A connection that is gone has nothing left to finish.
            _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }

    fn close(&mut self, socket: SocketId, how: Close) {
        if let Some(socket) = self.sockets[socket.0].socket.take()
            && how == Close::Reset
        {
            socket.set_linger(Some(Duration::ZERO)).expect("it is open");
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn spend(&mut self, time: Duration) -> Instant {
        self.slept += time;
        assert!(self.slept <= SLEEP_MAX, "this really takes {:?} here: {SAY}", self.slept);
        self.clock.now() + time
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn set_alarm(&mut self, delay: Duration, token: usize) {
        let at = self.spend(delay);
        self.alarms.insert((at, token));
    }

    fn step(&mut self, end: Instant) -> Step {
        let now = self.clock.now();
        match self.next(end.min(now + GLANCE)) {
            Some(notice) => Step::Notice(notice),
            None if self.clock.now() >= end => Step::Quiet,
            None => Step::Turn,
        }
    }

    fn rest(&mut self, end: Instant) -> Step {
        let deadline = end.max(self.clock.now()) + PATIENCE;
        let mut glances = 0;
        while glances < GLANCES {
            let now = self.clock.now();
            assert!(now < deadline, "the proxy does not come to rest");
            let is_under_way = self.has_alarm_until(end) || !self.proxy().is_asleep();
            if let Some(notice) = self.next(now + GLANCE) {
                return Step::Notice(notice);
            }
            glances = if is_under_way { 0 } else { glances + 1 };
        }
        Step::Quiet
    }

    fn bear_panics(&mut self) {
        self.bears_panics = true;
    }

    fn counters(&self) -> Snapshot {
        self.proxy().counters()
    }

    fn read_log(&mut self) -> Vec<String> {
        self.proxy().read_log()
    }

    fn connections(&mut self) -> usize {
        let counters = self.counters();
        (counters.downstream_active + counters.upstream_active) as usize
    }

    fn leaks(&mut self) -> Vec<String> {
        let bears_panics = self.bears_panics;
        self.proxy.as_mut().expect("it was started").end(bears_panics)
    }

    fn simulated(&mut self) -> Option<&mut Simulated> {
        None
    }

    fn describe(&self) -> String {
        format!("--- on real sockets, {:?}: {:?}", self.driver, self.proxy.as_ref().map(Proxy::driver))
    }
}

impl Line {
    fn socket(&mut self) -> io::Result<&mut Socket> {
        match (&mut self.socket, self.error.take()) {
            (_, Some(error)) => Err(error),
            (Some(socket), None) => Ok(socket),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.wants_bytes);
        flags.set(PollFlags::POLLOUT, self.wants_room);
        flags
    }
}

fn is_blocked(result: &io::Result<usize>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A socket whose port stays its own when it ends listening. The kernel would give back a port that it chose itself,
/// so the port is chosen with one socket and bound, by its number, with another.
fn bind() -> Socket {
    let bind = |port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        let address = socket.local_addr()?.as_socket();
        io::Result::Ok((socket, address.expect("an IP address").port()))
    };
    let (_held, port) = bind(0).expect("a port is free");
    bind(port).expect("both may be bound, since neither listens").0
}

const BACKLOG: i32 = 128;
/// How long is waited for something that ought to happen at once, on a machine that is very busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long scripts may let time pass.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// Between two looks at things that make no socket ready.
const GLANCE: Duration = Duration::from_millis(1);
/// So many looks in a row find that nothing is under way.
const GLANCES: usize = 3;
/// What a scenario has to do about it.
const SAY: &str = "say `simulated` or `simulated_calm`";
