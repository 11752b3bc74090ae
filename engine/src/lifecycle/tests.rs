//! Servers over shards that are as simple as can be.

mod background;

use super::resources::allowed_cores;
use super::shards::Program;
use super::*;
use crate::observe::Record;
use crate::observe::testing::TempDir;
use crate::service::Services;
use crate::settings::{AccessLog, Address, LogFormat, LogTarget, Settings, TcpListener};
use crate::shard::{Command, Report, Start};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A shard that does what the first byte of a connection says: `?` answers with the shard's index, `h` holds
/// the connection until the client leaves, `p` panics, `r` returns, `d` never listens to a command again.
fn obey(mut start: Start) {
    let driver = format!("fake {:?}", allowed_cores());
    start.reports.send(Report::Ready { index: start.index, driver }).unwrap();
    let mut held: Vec<TcpStream> = Vec::new();
    let mut is_draining = false;
    start.wake.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    loop {
        // Commands are looked for only after a wake, as on a real shard.
        match start.wake.read(&mut [0; 8]) {
            Ok(_) => {
                for command in start.mailbox.try_iter() {
                    match command {
                        Command::Stop => return,
                        Command::Drain { .. } => is_draining = true,
                        Command::FlushLog => {}
                    }
                }
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if is_draining {
            start.listeners.clear();
        }
        for listener in &start.listeners {
            let Ok((socket, _)) = listener.socket.accept() else { continue };
            let mut client = TcpStream::from(socket);
            start.counters.downstream_accepted.add(1);
            let mut byte = [0];
            if client.read(&mut byte).unwrap_or(0) == 0 {
                continue;
            }
            match byte[0] {
                b'?' => client.write_all(&[b'0' + start.index as u8]).unwrap(),
                b'h' => {
                    start.counters.downstream_active.add(1);
                    client.write_all(b"h").unwrap();
                    client.set_nonblocking(true).unwrap();
                    held.push(client);
                }
                b'p' => panic!("as the client wished"),
                b'r' => return,
                b'd' => loop {
                    thread::sleep(Duration::from_secs(60));
                },
                other => panic!("{other}"),
            }
            if let Some(log) = &mut start.log {
                log.write(&Record::default());
            }
        }
        let before = held.len();
        held.retain_mut(|client| !matches!(client.read(&mut [0]), Ok(0)));
        start.counters.downstream_active.sub((before - held.len()) as u64);
        if is_draining && held.is_empty() {
            start.reports.send(Report::Stopped { index: start.index }).unwrap();
            return;
        }
    }
}

fn program(main: impl Fn(Start) + Send + Sync + 'static) -> Program {
    Program { main: Arc::new(main), outcome_labels: &["complete"] }
}

fn settings(workers: usize) -> Settings {
    let listen = Address::Tcp("127.0.0.1:0".parse().unwrap());
    let settings = Settings::reverse_proxy(listen.clone(), vec![listen]);
    Settings { workers: Some(workers), drain_timeout: Duration::from_secs(20), ..settings }
}

fn server(settings: Settings) -> Server {
    Server::start_program(settings, Services::default(), program(obey)).unwrap()
}

fn address(server: &Server) -> SocketAddr {
    let Address::Tcp(address) = server.bound()[0].address else { panic!("{:?}", server.bound()) };
    address
}

/// Sends a byte and returns what comes back, nothing when the connection is cut.
fn ask(server: &Server, byte: u8) -> Vec<u8> {
    let mut client = TcpStream::connect(address(server)).unwrap();
    client.write_all(&[byte]).unwrap();
    let mut answer = Vec::new();
    _ = client.read_to_end(&mut answer);
    answer
}

fn hold(server: &Server) -> TcpStream {
    let mut client = TcpStream::connect(address(server)).unwrap();
    client.write_all(b"h").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_started_server_accepts_on_the_addresses_it_names() {
    let server = server(settings(3));
    assert_eq!((server.bound().len(), server.bound()[0].scheme), (1, "http"));
    for _ in 0..20 {
        assert!((b'0'..b'3').contains(&ask(&server, b'?')[0]));
    }
    let status = server.status();
    assert_eq!((status.state, status.shards.len()), ("running", 3));
    assert_eq!(status.counters.downstream_accepted, 20);
    assert_eq!(server.stop(Stop::Fast), Stopped::Cut);
    TcpStream::connect(address(&server)).unwrap_err();
    let status = server.status();
    assert_eq!((status.state, status.counters.downstream_accepted), ("stopped", 20));
}

#[test]
fn a_shard_knows_how_many_share_the_limits_with_it() {
    let (told, known) = crossbeam_channel::unbounded();
    let main = move |start: Start| {
        told.send(start.settings.workers).unwrap();
        obey(start);
    };
    let _server =
        Server::start_program(Settings { workers: None, ..settings(1) }, Services::default(), program(main))
            .unwrap();
    assert_eq!(known.recv().unwrap(), Some(super::default_workers()));
}

#[test]
fn each_shard_is_pinned_to_one_core() {
    let server = server(settings(2));
    for shard in server.status().shards {
        assert_eq!(shard.driver, format!("fake [{}]", shard.core));
    }
}

#[test]
fn a_graceful_stop_waits_for_what_runs_and_accepts_no_more() {
    let server = server(settings(2));
    let client = hold(&server);
    server.begin_stop(Stop::Graceful);
    eventually("the listening sockets are closed", || TcpStream::connect(address(&server)).is_err());
    let status = server.status();
    assert_eq!((status.state, status.counters.downstream_active), ("draining", 1));
    drop(client);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_graceful_stop_ends_at_its_time_out() {
    let server = server(Settings { drain_timeout: Duration::from_millis(50), ..settings(2) });
    let _client = hold(&server);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Cut);
}

#[test]
fn a_fast_stop_overtakes_a_graceful_one() {
    let server = server(settings(2));
    let _client = hold(&server);
    server.begin_stop(Stop::Graceful);
    assert_eq!(server.stop(Stop::Fast), Stopped::Cut);
}

#[test]
fn a_shard_that_does_not_stop_is_left_behind() {
    let server = server(settings(1));
    let mut client = TcpStream::connect(address(&server)).unwrap();
    client.write_all(b"d").unwrap();
    eventually("the shard is deaf", || server.status().counters.downstream_accepted == 1);
    assert_eq!(server.stop(Stop::Fast), Stopped::Abandoned);
}

#[test]
fn a_shard_that_panics_starts_again_on_its_sockets() {
    let server = server(settings(1));
    let _held = hold(&server);
    assert_eq!(server.status().counters.downstream_active, 1);
    for _ in 0..2 {
        assert_eq!(ask(&server, b'p'), b"");
        // Waits in the queue of the listening socket while the shard is down.
        assert_eq!(ask(&server, b'?'), b"0");
    }
    let status = server.status();
    assert_eq!((status.shards[0].restarts, status.shards[0].state), (2, "running"));
    let counters = status.counters;
    assert_eq!((counters.panics, counters.downstream_accepted, counters.downstream_active), (2, 5, 0));
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_shard_that_returns_unasked_starts_again() {
    let server = server(settings(1));
    ask(&server, b'r');
    assert_eq!(ask(&server, b'?'), b"0");
    let status = server.status();
    assert_eq!((status.shards[0].restarts, status.counters.panics), (1, 0));
}

#[test]
fn the_other_shards_go_on_when_one_panics() {
    let server = server(settings(2));
    assert_eq!(ask(&server, b'p'), b"");
    eventually("an answer came", || !ask(&server, b'?').is_empty());
    assert_eq!(server.status().counters.panics, 1);
}

#[test]
fn a_shard_that_is_down_does_not_hold_up_a_stop() {
    let server = server(settings(1));
    for _ in 0..4 {
        ask(&server, b'p');
    }
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_shard_that_cannot_start_is_the_reason_given() {
    let failing = program(|start: Start| {
        if start.index == 1 {
            start.reports.send(Report::Failed { index: 1, error: "no ring".into() }).unwrap();
        } else {
            obey(start);
        }
    });
    let error = Server::start_program(settings(3), Services::default(), failing).unwrap_err();
    assert_eq!(error.to_string(), "shard 1 cannot start: no ring");
}

#[test]
fn a_shard_that_panics_at_the_start_is_not_tried_again() {
    let failing = program(|start: Start| assert_eq!(start.index, 0, "only the first"));
    let error = Server::start_program(settings(1), Services::default(), failing.clone()).unwrap_err();
    assert_eq!(error.to_string(), "shard 0 cannot start: its thread ended");
    let failing = program(|_| panic!("no luck"));
    let error = Server::start_program(settings(1), Services::default(), failing).unwrap_err();
    assert_eq!(error.to_string(), "shard 0 cannot start: no luck");
}

#[test]
fn contradictory_settings_do_not_start() {
    let error = Server::start_program(Settings::default(), Services::default(), program(obey)).unwrap_err();
    assert_eq!(error.to_string(), "there is nothing to listen on");
    let forgotten = Settings { tcp: vec![nowhere()], ..settings(1) };
    let error = Server::start_program(forgotten, Services::default(), program(obey)).unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1:7 leads nowhere: it has neither a cluster nor an app");
}

/// A listener whose app was forgotten.
fn nowhere() -> TcpListener {
    TcpListener::new(Address::Tcp(([127, 0, 0, 1], 7).into()), None)
}

#[test]
fn the_log_has_every_line_when_the_server_has_stopped() {
    let dir = TempDir::new();
    let access_log =
        AccessLog { target: LogTarget::File(dir.path("access.log")), format: LogFormat::Combined };
    let server = server(Settings { access_log, ..settings(2) });
    for _ in 0..30 {
        ask(&server, b'?');
    }
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert_eq!(fs::read_to_string(dir.path("access.log")).unwrap().lines().count(), 30);
}

#[test]
fn a_unix_socket_goes_when_the_server_drains() {
    let dir = TempDir::new();
    let mut settings = settings(2);
    settings.listeners[0].address = Address::Unix(dir.path("s"));
    let server = server(settings);
    let mut client = UnixStream::connect(dir.path("s")).unwrap();
    client.write_all(b"?").unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    assert!((b'0'..b'2').contains(&answer[0]));
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert!(!dir.path("s").exists());
}

#[test]
fn the_control_socket_tells_and_stops() {
    let dir = TempDir::new();
    let server = server(Settings { control: Some(dir.path("c")), ..settings(2) });
    let say = |line: &str| {
        let mut stream = UnixStream::connect(dir.path("c")).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    ask(&server, b'?');
    assert!(say("status text\n").contains("\ndownstream_accepted 1\n"));
    assert!(say("status json\n").contains("\"downstream_accepted\":1,"));

    let second = Settings { control: Some(dir.path("c")), ..settings(1) };
    let error = Server::start_program(second, Services::default(), program(obey)).unwrap_err().to_string();
    assert!(error.contains("another process listens"), "{error}");

    assert_eq!(say("stop\n"), "stopping\n");
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert!(!dir.path("c").exists());
}

#[test]
fn a_dropped_server_is_stopped() {
    let server = server(settings(1));
    let address = address(&server);
    drop(server);
    TcpStream::connect(address).unwrap_err();
}

/// The only test with signals: they are the process's, and so every other test's.
#[test]
fn signals_reopen_the_log_and_stop() {
    use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};
    use signal_hook::low_level::raise;
    let dir = TempDir::new();
    let path = dir.path("access.log");
    let access_log = AccessLog { target: LogTarget::File(path.clone()), format: LogFormat::Json };
    let server = server(Settings { access_log, ..settings(1) });
    server.handle_signals();
    fs::remove_file(&path).unwrap();
    raise(SIGUSR1).unwrap();
    eventually("the log was opened anew", || path.exists());
    raise(SIGHUP).unwrap();
    raise(SIGUSR2).unwrap();
    assert_eq!(ask(&server, b'?'), b"0");
    raise(SIGTERM).unwrap();
    assert_eq!(server.wait(), Stopped::Drained);
}
