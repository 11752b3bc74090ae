//! A shard on real sockets.

use super::*;
use crate::observe::Counters;
use crate::service::Services;
use crate::settings::{Address, Settings, TcpListener};
use crate::shard::ListenerSocket;
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn what_is_accepted_when_a_shard_begins_to_drain_is_drained() {
    // Who comes to the raw listener ends at once, since nobody is behind it. Nobody else may be cut off for that.
    let mut settings = Settings::reverse_proxy(anywhere(), vec![Address::Unix("/nowhere/at/all".into())]);
    settings.tcp = vec![TcpListener { address: anywhere(), mode: None, cluster: Some("upstream".into()) }];
    settings.limits.connections = 1;
    settings.workers = Some(1);
    let (raw, raw_address) = listen(ListenerKind::Tcp { index: 0 });
    let (http, http_address) = listen(ListenerKind::Http { index: 0 });
    let (commands, mailbox) = crossbeam_channel::unbounded();
    let (sender, reports) = crossbeam_channel::unbounded();
    let (mut bell, wake) = UnixStream::pair().unwrap();
    wake.set_nonblocking(true).unwrap();
    let counters = Arc::new(Counters::new(Start::OUTCOME_LABELS));
    let start = Start {
        services: Services::default(),
        index: 0,
        settings: Arc::new(settings),
        listeners: vec![raw, http],
        mailbox,
        wake,
        counters: Arc::clone(&counters),
        log: None,
        reports: sender,
    };
    let shard = std::thread::Builder::new().spawn(move || run(start)).unwrap();
    assert!(matches!(reports.recv_timeout(PATIENCE), Ok(Report::Ready { .. })));

    // One client has the only place, two wait in the accept queues until it leaves: no listener looks for a while.
    let first = connect(&http_address);
    until(|| counters.downstream_active.get() == 1);
    let (_raw, mut waiting) = (connect(&raw_address), connect(&http_address));
    until(|| counters.accept_backoffs.get() >= 2);
    drop(first);
    until(|| counters.downstream_active.get() == 0);
    commands.send(Command::Drain { deadline: Duration::from_secs(60) }).unwrap();
    bell.write_all(&[1]).unwrap();

    assert_eq!(waiting.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Stopped { index: 0 }));
    shard.join().unwrap();
}

fn anywhere() -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn listen(kind: ListenerKind) -> (ListenerSocket, SockAddr) {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(16).unwrap();
    let address = socket.local_addr().unwrap();
    (ListenerSocket { socket, kind }, address)
}

fn connect(address: &SockAddr) -> RawSocket {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM.cloexec(), None).unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn until(is_met: impl Fn() -> bool) {
    let clock = Clock::real();
    let end = clock.now() + PATIENCE;
    while !is_met() {
        assert!(clock.now() < end, "it does not happen");
        std::thread::yield_now();
    }
}

const PATIENCE: Duration = Duration::from_secs(8);
