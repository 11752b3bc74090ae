//! Loads made of connections that are held open: what each costs the proxy, and whether they all work.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{self, Reply, TIMEOUT};
use crate::procfs;
use crate::sys::{self, ConnectOptions};

/// How much a process grew by connections that were added to it.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Connections added.
    pub connections: usize,
    /// Resident bytes before they came.
    pub rss_before_bytes: u64,
    /// Resident bytes with them.
    pub rss_after_bytes: u64,
}

impl Growth {
    /// Resident bytes per added connection; negative when the process shrank.
    pub fn bytes_each(&self) -> f64 {
        (self.rss_after_bytes as f64 - self.rss_before_bytes as f64) / self.connections as f64
    }
}

/// Holds `connections` idle keep-alive connections that have carried one request each, and says how much
/// process `pid` grew by them. `warm` connections come before: pools and arenas of the start do not count.
///
/// # Errors
/// When any connection or request fails, or the process cannot be read.
pub fn idle(target: SocketAddr, pid: u32, warm: usize, connections: usize) -> io::Result<Growth> {
    let mut scratch = Vec::new();
    let mut held = Vec::with_capacity(warm + connections);
    for number in 0..warm {
        held.push(open(target, number, &mut scratch)?);
    }
    std::thread::sleep(SETTLE);
    let rss_before_bytes = procfs::process_rss(pid)?;
    for number in warm..warm + connections {
        held.push(open(target, number, &mut scratch)?);
    }
    std::thread::sleep(SETTLE);
    let rss_after_bytes = procfs::process_rss(pid)?;
    // They must still be alive, or what was measured was closing them.
    for stream in &mut held {
        exchange(stream, target, &mut scratch)?;
    }
    Ok(Growth { connections, rss_before_bytes, rss_after_bytes })
}

/// How requests over many connections went.
#[derive(Debug, Clone, Default)]
pub struct Many {
    /// Connections open at the same time.
    pub connections: usize,
    /// Requests answered correctly.
    pub answered: usize,
    /// Connections and requests that failed.
    pub errors: usize,
    /// What the first failure was.
    pub first_error: Option<String>,
}

impl Many {
    fn note(&mut self, error: &impl Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// Opens `connections` keep-alive connections and sends a request over each of them `rounds` times, with up to
/// `in_flight` requests at once. Failures are counted, not returned.
pub fn many(target: SocketAddr, connections: usize, in_flight: usize, rounds: usize) -> Many {
    let mut report = Many::default();
    let mut scratch = Vec::new();
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        match connect(target, number) {
            Ok(stream) => held.push(stream),
            Err(error) => report.note(&error),
        }
    }
    report.connections = held.len();
    for _ in 0..rounds {
        for batch in held.chunks_mut(in_flight.max(1)) {
            exchange_batch(batch, target, &mut scratch, &mut report);
        }
    }
    report
}

/// How a proxy held bodies that arrive byte by byte and are not read.
#[derive(Debug, Clone, Copy)]
pub struct Dribbled {
    /// The growth at its highest.
    pub peak: Growth,
    /// The proxy came to rest before the deadline: every byte that it will take without its clients reading
    /// has been taken.
    pub at_rest: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Requests a dribbled body on each of `connections` connections and reads none of it, until process `pid`
/// comes to rest or the deadline passes.
///
/// # Errors
/// When a connection fails, or the process cannot be read.
pub fn dribble(target: SocketAddr, pid: u32, connections: usize, deadline: Duration) -> io::Result<Dribbled> {
    // Starts the proxy's pools: these requests end before the measured ones begin.
    idle(target, pid, 0, connections.min(WARM_CONNECTIONS))?;
    let rss_before_bytes = procfs::process_rss(pid)?;
    let start = Instant::now();
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        // A small window: the body has to pile up in the proxy, not here.
        let options = ConnectOptions { source: source(target, number), recv_buf_bytes: Some(0) };
        let mut stream = sys::connect(target, options, TIMEOUT)?;
        stream.write_all(&client::request(target, DRIBBLE_PATH, false))?;
        held.push(stream);
    }
    let (mut peak_bytes, mut quiet) = (0, 0);
    while quiet < QUIET_SAMPLES && start.elapsed() < deadline {
        let cpu = procfs::process_cpu(pid)?;
        std::thread::sleep(SAMPLE_EVERY);
        peak_bytes = procfs::process_rss(pid)?.max(peak_bytes);
        let working = procfs::process_cpu(pid)? - cpu > SAMPLE_EVERY / 25;
        quiet = if working { 0 } else { quiet + 1 };
    }
    let peak = Growth { connections, rss_before_bytes, rss_after_bytes: peak_bytes };
    Ok(Dribbled { peak, at_rest: quiet >= QUIET_SAMPLES, elapsed: start.elapsed() })
}

fn connect(target: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let options = ConnectOptions { source: source(target, number), recv_buf_bytes: None };
    sys::connect(target, options, TIMEOUT)
}

/// Spreads loopback clients over 127.0.0.2, .3, …: one address has too few ports for all of them.
fn source(target: SocketAddr, number: usize) -> Option<Ipv4Addr> {
    let last = u8::try_from(2 + number / CONNECTIONS_PER_SOURCE).expect("fewer than two million connections");
    target
        .ip()
        .is_loopback()
        .then_some(())
        .filter(|()| target.is_ipv4())
        .map(|()| Ipv4Addr::new(127, 0, 0, last))
}

fn open(target: SocketAddr, number: usize, scratch: &mut Vec<u8>) -> io::Result<TcpStream> {
    let mut stream = connect(target, number)?;
    exchange(&mut stream, target, scratch)?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, target: SocketAddr, scratch: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(&client::request(target, "/1", false))?;
    expect_one_byte(client::read_reply(stream, scratch)?)
}

fn exchange_batch(batch: &mut [TcpStream], target: SocketAddr, scratch: &mut Vec<u8>, report: &mut Many) {
    let request = client::request(target, "/1", false);
    let sent: Vec<io::Result<()>> = batch.iter_mut().map(|stream| stream.write_all(&request)).collect();
    for (stream, sent) in batch.iter_mut().zip(sent) {
        let result = sent.and_then(|()| client::read_reply(stream, scratch)).and_then(expect_one_byte);
        match result {
            Ok(()) => report.answered += 1,
            Err(error) => report.note(&error),
        }
    }
}

fn expect_one_byte(reply: Reply) -> io::Result<()> {
    if reply == (Reply { status: 200, body_bytes: 1, close: false }) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("unexpected {reply:?}")))
}

const CONNECTIONS_PER_SOURCE: usize = 10_000;
/// Large enough that nobody could hold it: 1,000 of these are 64 GB.
const DRIBBLE_PATH: &str = "/dribble/67108864";
const WARM_CONNECTIONS: usize = 200;
/// Lets deferred work (freeing, pool refills) happen before memory is read.
const SETTLE: Duration = Duration::from_millis(300);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
const QUIET_SAMPLES: u32 = 3;
