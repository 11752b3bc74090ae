//! Servers put together in code, over real sockets, as a user of the framework has them.

#![expect(clippy::disallowed_methods, reason = "clients and origins of a test block their own threads")]

use ringway_engine::ServerBuilder;
use ringway_engine::lifecycle::{Life, Stopped};
use ringway_engine::prelude::*;
use ringway_engine::settings::Address;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Answers each request with the same words.
struct Says(&'static str);

impl Proxy for Says {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, _: &mut ()) -> Result<Flow> {
        Ok(Response::new(200).body(self.0).into())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("nobody asks"))
    }
}

fn says(words: &'static str) -> Service {
    Service::proxy(move || Says(words))
}

/// Goes to the first of the endpoints that are published.
struct First {
    endpoints: Reader<Vec<SocketAddr>>,
}

impl Proxy for First {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
        let endpoints = self.endpoints.get();
        endpoints.first().map(|endpoint| Peer::address(*endpoint)).ok_or_else(|| Error::refused(503))
    }
}

/// Stops its server when it is asked to.
struct Stopper {
    server: ServerHandle,
}

impl Proxy for Stopper {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, _: &mut ()) -> Result<Flow> {
        self.server.stop(Stop::Graceful);
        Ok(Response::new(200).body("stopping").into())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("nobody asks"))
    }
}

/// Answers with the address that was connected to.
struct Addressed;

impl Proxy for Addressed {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> Result<Flow> {
        let address = session.server_address().map(ToString::to_string);
        Ok(Response::new(200).body(address.unwrap_or_default()).into())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("nobody asks"))
    }
}

fn builder() -> ServerBuilder {
    Server::builder().workers(2).drain_timeout(PATIENCE)
}

fn tcp(server: &Server, index: usize) -> SocketAddr {
    match server.bound()[index].address {
        Address::Tcp(address) => address,
        Address::Unix(_) => panic!("{:?}", server.bound()),
    }
}

/// Sends a request and returns the content of the answer.
fn get(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    content.to_owned()
}

fn get_tcp(address: SocketAddr) -> String {
    get(TcpStream::connect(address).unwrap())
}

/// An origin that answers one request after the other with the same words, until the test ends.
fn origin(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 1024];
            while !received.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(1..) => {}
                    _ => break,
                }
                received.extend_from_slice(&buffer);
                while received.last() == Some(&0) {
                    received.pop();
                }
                buffer.fill(0);
            }
            let len = words.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{words}");
            _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ringway-{name}-{}", std::process::id()))
}

#[test]
fn each_listener_has_a_service_of_its_own() {
    let path = socket_path("server");
    let server = builder()
        .listen("127.0.0.1:0", says("one"))
        .listen("127.0.0.1:0", says("other"))
        .listen(Listen::unix(&path).mode(0o600), says("local"))
        .start()
        .unwrap();
    for _ in 0..4 {
        assert_eq!((get_tcp(tcp(&server, 0)), get_tcp(tcp(&server, 1))), ("one".into(), "other".into()));
    }
    assert_eq!(get(UnixStream::connect(&path).unwrap()), "local");
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert!(!path.exists());
    TcpStream::connect(tcp(&server, 0)).unwrap_err();
}

#[test]
fn a_hook_knows_the_address_that_was_connected_to() {
    let path = socket_path("addressed");
    let addressed = || Service::proxy(|| Addressed);
    let server = builder()
        .listen("127.0.0.2:0", addressed())
        .listen("0.0.0.0:0", addressed())
        .listen(Listen::unix(&path), addressed())
        .start()
        .unwrap();
    let fixed = tcp(&server, 0);
    assert_eq!(get_tcp(fixed), fixed.to_string());
    for ip in [[127, 0, 0, 1], [127, 0, 0, 3]] {
        let address = SocketAddr::from((ip, tcp(&server, 1).port()));
        assert_eq!(get_tcp(address), address.to_string());
    }
    assert_eq!(get(UnixStream::connect(&path).unwrap()), format!("unix:{}", path.display()));
}

#[test]
fn a_raw_listener_relays_to_its_cluster() {
    let server =
        builder().cluster("app", [origin("relayed").to_string()]).tcp("127.0.0.1:0", "app").start().unwrap();
    assert_eq!(server.bound()[0].scheme, "tcp");
    assert_eq!(get_tcp(tcp(&server, 0)), "relayed");
}

/// Sends back what it receives.
struct Echo;

impl StreamApp for Echo {
    async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
        while let Some(chunk) = stream.read().await? {
            stream.write_chunk(chunk).await?;
        }
        Ok(())
    }
}

#[test]
fn a_raw_listener_has_an_app_of_its_own() {
    let server = builder()
        .cluster("app", [origin("relayed").to_string()])
        .tcp("127.0.0.1:0", "app")
        .stream("127.0.0.1:0", StreamService::app(|| Echo))
        .start()
        .unwrap();
    let mut stream = TcpStream::connect(tcp(&server, 1)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).unwrap();
    assert_eq!((echoed.as_str(), get_tcp(tcp(&server, 0)).as_str()), ("hello", "relayed"));
}

#[test]
fn names_of_endpoints_are_resolved_at_the_start() {
    let port = origin("by name").port();
    let server = builder()
        .cluster("app", [format!("localhost:{port}")])
        .settings(|settings| settings.limits.connections = 10)
        .tcp("127.0.0.1:0", "app")
        .start()
        .unwrap();
    assert_eq!(get_tcp(tcp(&server, 0)), "by name");
}

#[test]
fn a_background_service_refreshes_endpoints() {
    let (one, other) = (origin("one"), origin("other"));
    let endpoints = Published::new(Vec::new());
    let published = endpoints.clone();
    let (to_service, updates) = mpsc::channel::<Vec<SocketAddr>>();
    let (applied, is_applied) = mpsc::channel();
    to_service.send(vec![one]).unwrap();
    let discovery = Background::from_fn("discovery", move |ready, _| {
        while let Ok(update) = updates.recv() {
            endpoints.publish(update);
            ready.notify();
            applied.send(())?;
        }
        Ok(())
    });
    let server = builder()
        .listen("127.0.0.1:0", Service::proxy(move || First { endpoints: published.reader() }))
        .background(discovery.before_listening())
        .start()
        .unwrap();
    is_applied.recv().unwrap();
    assert_eq!(get_tcp(tcp(&server, 0)), "one");
    to_service.send(vec![other]).unwrap();
    is_applied.recv().unwrap();
    for _ in 0..4 {
        assert_eq!(get_tcp(tcp(&server, 0)), "other");
    }
    drop(to_service);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn every_shard_runs_its_tasks() {
    let flag = Published::new(0);
    let published = flag.clone();
    let (to_test, noted) = mpsc::channel();
    let server = builder()
        .listen("127.0.0.1:0", says("hello"))
        .on_each_shard(|| async { panic!("a task's panic is its own") })
        .on_each_shard(move || {
            let (reader, to_test) = (published.reader(), to_test.clone());
            async move {
                rt::sleep(Duration::from_millis(1)).await;
                let name = thread::current().name().unwrap_or_default().to_owned();
                to_test.send((name.clone(), *reader.get())).unwrap();
                to_test.send((name, *reader.changed().await)).unwrap();
            }
        })
        .start()
        .unwrap();
    let next = || {
        let mut notes: Vec<(String, i32)> = noted.iter().take(2).collect();
        notes.sort();
        notes
    };
    assert_eq!(next(), [("shard-0".into(), 0), ("shard-1".into(), 0)]);
    flag.publish(7);
    assert_eq!(next(), [("shard-0".into(), 7), ("shard-1".into(), 7)]);
    assert_eq!(get_tcp(tcp(&server, 0)), "hello");
    assert_eq!(server.status().counters.panics, 2);
}

#[test]
fn a_hook_stops_its_server() {
    let start = builder();
    let handle = start.handle();
    let server = start
        .listen("127.0.0.1:0", Service::proxy(move || Stopper { server: handle.clone() }))
        .start()
        .unwrap();
    assert_eq!(get_tcp(tcp(&server, 0)), "stopping");
    assert_eq!(server.handle().wait_for_timeout(Life::Stopped, PATIENCE), Some(Life::Stopped));
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
