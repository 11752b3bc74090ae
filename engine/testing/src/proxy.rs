//! A shard on a thread of its own, started, commanded and watched as the control thread does it.

use super::sockets::PATIENCE;
use crossbeam_channel::{Receiver, Sender, unbounded};
use ringway_engine::io::pump::{self, Driver};
use ringway_engine::observe::{Counters, LogLines, LogSink, Snapshot};
use ringway_engine::service::Services;
use ringway_engine::settings::{Address, LogFormat, Settings};
use ringway_engine::shard::{Command, ListenerKind, ListenerSocket, Report, Start};
use ringway_engine::time::Clock;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running shard, seen from outside. It stops when this is dropped, since nobody can command it any more.
pub(super) struct Proxy {
    thread: JoinHandle<()>,
    /// What the kernel says of the thread.
    stat: PathBuf,
    driver: String,
    /// What the settings say and what it is.
    listeners: Vec<(Address, SocketAddr)>,
    mailbox: Sender<Command>,
    wake: UnixStream,
    reports: Receiver<Report>,
    counters: Arc<Counters>,
    log: LogLines,
}

impl Proxy {
    /// Starts a shard on one loopback port for each listener, and waits until it accepts.
    pub(super) fn start(settings: Settings, services: Services, driver: Driver) -> Self {
        let (sockets, listeners) = listen(&settings);
        let ((mailbox, commands), (to_reports, reports)) = (unbounded(), unbounded());
        let (wake, woken) = UnixStream::pair().expect("a pair of sockets");
        wake.set_nonblocking(true).expect("it is open");
        let counters = Arc::new(Counters::new(Start::OUTCOME_LABELS));
        let (sink, log) = LogSink::in_memory(LogFormat::Json, Arc::clone(&counters));
        let start = Start {
            index: 0,
            settings: Arc::new(settings),
            services,
            listeners: sockets,
            mailbox: commands,
            wake: woken,
            counters: Arc::clone(&counters),
            log: Some(sink),
            reports: to_reports,
        };
        let (to_stat, stat) = unbounded();
        let thread = thread::Builder::new().name("shard".into()).spawn(move || {
            let this = std::fs::read_link("/proc/thread-self").expect("proc is there");
            to_stat.send(PathBuf::from("/proc").join(this).join("stat")).expect("somebody waits for it");
            pump::run_on(driver, start);
        });
        let thread = thread.expect("a thread");
        let stat = stat.recv().expect("the thread says so first");
        let driver = match reports.recv_timeout(PATIENCE) {
            Ok(Report::Ready { driver, .. }) => driver,
            other => panic!("the shard does not start: {other:?}"),
        };
        Self { thread, stat, driver, listeners, mailbox, wake, reports, counters, log }
    }

    /// Where a listener of the settings really is.
    pub(super) fn address(&self, listener: &Address) -> SocketAddr {
        let found = self.listeners.iter().find(|(address, _)| address == listener);
        found.expect("the settings have such a listener").1
    }

    pub(super) fn driver(&self) -> &str {
        &self.driver
    }

    pub(super) fn drain(&self, deadline: Duration) {
        self.tell(Command::Drain { deadline });
    }

    pub(super) fn stop(&self) {
        self.tell(Command::Stop);
    }

    /// Sends a command and waits until it was obeyed: what a script does next comes behind it.
    fn tell(&self, command: Command) {
        // Both fail only when the shard has stopped.
        _ = self.mailbox.send(command);
        _ = (&self.wake).write(&[1]);
        let clock = Clock::real();
        let end = clock.now() + PATIENCE;
        let has_obeyed = || self.mailbox.is_empty() && self.is_asleep();
        while !has_obeyed() && !self.thread.is_finished() {
            assert!(clock.now() < end, "the shard does not hear");
            thread::yield_now();
        }
    }

    pub(super) fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        sum.add(&self.counters);
        sum
    }

    /// The access log's lines since the last call.
    pub(super) fn read_log(&self) -> Vec<String> {
        self.tell(Command::FlushLog);
        self.log.take()
    }

    /// Whether the thread waits for something to happen, or is over.
    pub(super) fn is_asleep(&self) -> bool {
        let Ok(stat) = std::fs::read_to_string(&self.stat) else { return true };
        // `123 (name) S ...`: the name may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        self.thread.is_finished() || state == Some('S')
    }

    /// Drains the shard, which has nothing to do any more, and says what does not end or is left.
    pub(super) fn end(&mut self, bears_panics: bool) -> Vec<String> {
        self.drain(PATIENCE);
        let mut leaks = Vec::new();
        match self.reports.recv_timeout(PATIENCE / 2) {
            Ok(Report::Stopped { .. }) => {}
            other => leaks.push(format!("the shard does not stop: {other:?}")),
        }
        match self.counters().panics {
            0 => {}
            _ if bears_panics => {}
            count => leaks.push(format!("{count} panics were caught")),
        }
        leaks
    }
}

/// A listening socket for each listener of the settings, and where it is.
fn listen(settings: &Settings) -> (Vec<ListenerSocket>, Vec<(Address, SocketAddr)>) {
    let http = settings.listeners.iter().map(|listener| &listener.address);
    let http = http.enumerate().map(|(index, address)| (address, ListenerKind::Http { index }));
    let tcp = settings.tcp.iter().map(|listener| &listener.address);
    let tcp = tcp.enumerate().map(|(index, address)| (address, ListenerKind::Tcp { index }));
    let listeners = http.chain(tcp).map(|(address, kind)| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None);
        let socket = socket.expect("a socket");
        socket.set_tcp_nodelay(true).expect("it is TCP");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port is free");
        socket.listen(1024).expect("it is bound");
        let real = socket.local_addr().ok().and_then(|real| real.as_socket()).expect("an IP address");
        (ListenerSocket { socket, kind }, (address.clone(), real))
    });
    listeners.unzip()
}
