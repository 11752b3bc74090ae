//! A shard on real sockets.

use super::*;
use crate::observe::Counters;
use crate::service::Services;
use crate::settings::{Address, Settings, TcpListener};
use crate::shard::{ListenerKind, ListenerSocket};
use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn what_is_accepted_when_a_shard_begins_to_drain_is_drained() {
    // Who comes to the raw listener ends at once, since nobody is behind it. Nobody else may be cut off for that.
    let mut settings = Settings::reverse_proxy(anywhere(), vec![Address::Unix("/nowhere/at/all".into())]);
    settings.tcp = vec![TcpListener::new(anywhere(), Some("upstream".into()))];
    settings.limits.connections = 1;
    settings.workers = Some(1);
    let (raw, raw_address) = listen(ListenerKind::Tcp { index: 0 });
    let (http, http_address) = listen(ListenerKind::Http { index: 0 });
    let (commands, mailbox) = unbounded();
    let (sender, reports) = unbounded();
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

/// A running shard with a task that can send words.
struct WithTask {
    address: SockAddr,
    words: Receiver<String>,
    commands: Sender<Command>,
    bell: UnixStream,
    reports: Receiver<Report>,
    thread: std::thread::JoinHandle<()>,
}

impl WithTask {
    /// `None` when the machine has no such event loop.
    fn start<F: Future<Output = ()> + 'static>(
        driver: Driver,
        task: impl FnOnce(Sender<String>) -> F + Send + 'static,
    ) -> Option<Self> {
        let settings = Settings::reverse_proxy(anywhere(), vec![Address::Unix("/nowhere/at/all".into())]);
        let (http, address) = listen(ListenerKind::Http { index: 0 });
        let (commands, mailbox) = unbounded();
        let (sender, reports) = unbounded();
        let (bell, wake) = UnixStream::pair().unwrap();
        wake.set_nonblocking(true).unwrap();
        let start = Start {
            services: Services::default(),
            index: 0,
            settings: Arc::new(settings),
            listeners: vec![http],
            mailbox,
            wake,
            counters: Arc::new(Counters::new(Start::OUTCOME_LABELS)),
            log: None,
            reports: sender,
        };
        let (say, words) = unbounded();
        let begin = move |shard: &mut Shard<Sockets>| drop(shard.spawn(task(say)));
        let thread = std::thread::Builder::new().spawn(move || run_with(driver, start, begin)).unwrap();
        match reports.recv_timeout(PATIENCE).unwrap() {
            Report::Ready { .. } => Some(Self { address, words, commands, bell, reports, thread }),
            Report::Failed { .. } if driver == Driver::IoUring => None,
            other => panic!("{other:?}"),
        }
    }

    fn word(&self) -> String {
        self.words.recv_timeout(PATIENCE).unwrap()
    }

    fn stop(mut self) {
        self.commands.send(Command::Stop).unwrap();
        self.bell.write_all(&[1]).unwrap();
        assert_eq!(self.reports.recv_timeout(PATIENCE), Ok(Report::Stopped { index: 0 }));
        self.thread.join().unwrap();
    }
}

const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

#[test]
fn a_task_sleeps_and_is_joined() {
    for driver in DRIVERS {
        let task = |say: Sender<String>| async move {
            let begun = rt::now();
            let time = Duration::from_millis(20);
            let slept = rt::spawn(async move {
                rt::sleep(time).await;
                rt::now() - begun
            });
            say.send(format!("{}", slept.await.unwrap() >= time)).unwrap();
            let late = rt::timeout(time, std::future::pending::<()>()).await;
            say.send(format!("{late:?}")).unwrap();
        };
        let Some(shard) = WithTask::start(driver, task) else { continue };
        assert_eq!((shard.word(), shard.word()), ("true".into(), "Err(Elapsed)".into()));
        shard.stop();
    }
}

#[test]
fn a_task_is_woken_from_another_thread() {
    for driver in DRIVERS {
        let (give, wakers) = unbounded();
        let task = |say: Sender<String>| async move {
            for _ in 0..100 {
                let mut is_first = true;
                poll_fn(|cx| match std::mem::take(&mut is_first) {
                    true => {
                        give.send(cx.waker().clone()).unwrap();
                        Poll::Pending
                    }
                    false => Poll::Ready(()),
                })
                .await;
                say.send("woken".into()).unwrap();
            }
        };
        let Some(shard) = WithTask::start(driver, task) else { continue };
        for _ in 0..100 {
            let waker: Waker = wakers.recv_timeout(PATIENCE).unwrap();
            waker.wake();
            assert_eq!(shard.word(), "woken");
        }
        shard.stop();
    }
}

#[test]
fn work_that_blocks_is_done_elsewhere() {
    for driver in DRIVERS {
        let task = |say: Sender<String>| async move {
            let name = rt::offload(|| std::thread::current().name().unwrap().to_owned()).await;
            say.send(name.unwrap()).unwrap();
            let found = rt::resolve("localhost", 80).await;
            say.send(format!("{}", found.unwrap()[0].ip().is_loopback())).unwrap();
        };
        let Some(shard) = WithTask::start(driver, task) else { continue };
        let name = shard.word();
        assert!(name.starts_with("offload-"), "{name}");
        assert_eq!(shard.word(), "true");
        shard.stop();
    }
}

#[test]
fn a_task_that_wakes_itself_for_ever_starves_nobody() {
    for driver in DRIVERS {
        let task = |_| async move {
            loop {
                rt::yield_now().await;
            }
        };
        let Some(shard) = WithTask::start(driver, task) else { continue };
        let mut client = connect(&shard.address);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        shard.stop();
    }
}

#[test]
fn a_stop_drops_tasks_on_their_own_thread() {
    struct Last(Sender<String>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.send(format!("{}", rt::is_draining())).unwrap();
        }
    }
    for driver in DRIVERS {
        let task = |say: Sender<String>| async move {
            let last = Last(say);
            last.0.send("begun".into()).unwrap();
            std::future::pending::<()>().await;
        };
        let Some(shard) = WithTask::start(driver, task) else { continue };
        assert_eq!(shard.word(), "begun");
        let words = shard.words.clone();
        shard.stop();
        assert_eq!(words.recv_timeout(PATIENCE).as_deref(), Ok("true"));
    }
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
