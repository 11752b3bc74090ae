//! An open-loop load: requests at a fixed rate, whatever the answers take.
//!
//! For contenders that the closed-loop generator cannot saturate, and for latency that does not hide waiting:
//! a request's clock starts when it is due, not when a connection is free. Bodies are dropped in the kernel
//! (`MSG_TRUNC`), so this generator costs far less than `wrk` on large ones.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::client::{self, TIMEOUT};
use crate::sys::{self, ConnectOptions, Epoll};

/// What to offer.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The path to request.
    pub path: String,
    /// Connections to spread the requests over.
    pub connections: usize,
    /// Requests per second.
    pub per_second: f64,
    /// For how long.
    pub duration: Duration,
    /// A new connection for every request.
    pub close: bool,
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// Requests answered with status 200 and the announced body.
    pub answered: u64,
    /// Requests that failed, or were not answered at the end.
    pub errors: u64,
    /// Body bytes of all answers.
    pub body_bytes: u64,
    /// The median time from due to done.
    pub p50_us: f64,
    /// The same, 99th percentile.
    pub p99_us: f64,
}

/// Sends the requests and waits for their answers.
///
/// # Errors
/// When no connection can be made at all.
pub fn offer(target: SocketAddr, offer: &Offer) -> io::Result<Offered> {
    let mut run = Run::open(target, offer)?;
    let start = Instant::now();
    let mut ready = Vec::new();
    loop {
        let elapsed = start.elapsed();
        if elapsed < offer.duration {
            run.send_due(start, elapsed);
        } else if run.idle.len() == run.conns.len() || elapsed > offer.duration + DRAIN {
            break;
        }
        run.epoll.wait(Some(run.until_next(start)), &mut ready)?;
        for event in ready.drain(..) {
            run.on_readable(event.key as usize);
        }
    }
    Ok(run.report())
}

struct Run<'o> {
    target: SocketAddr,
    offer: &'o Offer,
    request: Vec<u8>,
    epoll: Epoll,
    conns: Vec<Conn>,
    idle: Vec<usize>,
    issued: u64,
    latencies_us: Vec<f64>,
    outcome: Offered,
    recv_buf: Vec<u8>,
}

struct Conn {
    stream: TcpStream,
    state: State,
}

enum State {
    Idle,
    Head { due: Instant, bytes: Vec<u8> },
    Body { due: Instant, left: u64, ok: bool },
}

impl<'o> Run<'o> {
    fn open(target: SocketAddr, offer: &'o Offer) -> io::Result<Self> {
        let mut run = Self {
            target,
            offer,
            request: client::request(target, &offer.path, offer.close),
            epoll: Epoll::new(256)?,
            conns: Vec::new(),
            idle: (0..offer.connections).collect(),
            issued: 0,
            latencies_us: Vec::new(),
            outcome: Offered::default(),
            recv_buf: vec![0; 16 * 1024],
        };
        for key in 0..offer.connections {
            let stream = run.connect(key)?;
            run.conns.push(Conn { stream, state: State::Idle });
        }
        Ok(run)
    }

    fn connect(&self, key: usize) -> io::Result<TcpStream> {
        let stream = sys::connect(self.target, ConnectOptions::default(), TIMEOUT)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(stream.as_raw_fd(), key as u64, libc::EPOLLIN)?;
        Ok(stream)
    }

    /// When the next request is due.
    fn due(&self, start: Instant) -> Instant {
        start + Duration::from_secs_f64(self.issued as f64 / self.offer.per_second)
    }

    fn until_next(&self, start: Instant) -> Duration {
        let wait = self.due(start).saturating_duration_since(Instant::now());
        // Without a free connection there is nothing to send: an answer comes first.
        if self.idle.is_empty() { POLL_MAX } else { wait.min(POLL_MAX) }
    }

    fn send_due(&mut self, start: Instant, elapsed: Duration) {
        let due = start + elapsed;
        while self.due(start) <= due {
            let Some(key) = self.idle.pop() else { return };
            let due = self.due(start);
            self.issued += 1;
            // A request fits in an empty socket: a short or refused write is a dead connection.
            match self.conns[key].stream.write_all(&self.request) {
                Ok(()) => self.conns[key].state = State::Head { due, bytes: Vec::new() },
                Err(_) => self.fail(key),
            }
        }
    }

    fn on_readable(&mut self, key: usize) {
        let conn = &mut self.conns[key];
        let fd = conn.stream.as_raw_fd();
        let (to, len, flags) = match conn.state {
            // The kernel drops the bytes and counts them.
            State::Body { .. } => (std::ptr::null_mut(), DISCARD_BYTES, libc::MSG_TRUNC),
            _ => (self.recv_buf.as_mut_ptr(), self.recv_buf.len(), 0),
        };
        // SAFETY: pointer and length describe `recv_buf`; with MSG_TRUNC on TCP the kernel writes nothing.
        let n = unsafe { libc::recv(fd, to.cast(), len, flags) };
        match n {
            n if n > 0 => self.on_bytes(key, n as usize),
            n if n < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => {}
            _ => self.fail(key),
        }
    }

    fn on_bytes(&mut self, key: usize, n: usize) {
        let conn = &mut self.conns[key];
        match &mut conn.state {
            State::Idle => return self.fail(key),
            State::Head { due, bytes } => {
                bytes.extend_from_slice(&self.recv_buf[..n]);
                let head = match client::parse_head(bytes) {
                    Ok(Some(head)) => head,
                    Ok(None) => return,
                    Err(_) => return self.fail(key),
                };
                let body = (bytes.len() - head.head_bytes) as u64;
                self.outcome.body_bytes += body;
                let (due, ok) = (*due, head.status == 200 && body <= head.content_bytes);
                conn.state = State::Body { due, left: head.content_bytes.saturating_sub(body), ok };
            }
            State::Body { left, ok, .. } => {
                self.outcome.body_bytes += n as u64;
                *ok &= n as u64 <= *left;
                *left = left.saturating_sub(n as u64);
            }
        }
        if let State::Body { due, left: 0, ok } = conn.state {
            self.latencies_us.push(due.elapsed().as_secs_f64() * 1e6);
            self.finish(key, ok);
        }
    }

    fn finish(&mut self, key: usize, ok: bool) {
        if !ok {
            return self.fail(key);
        }
        self.outcome.answered += 1;
        self.conns[key].state = State::Idle;
        if self.offer.close { self.replace(key) } else { self.idle.push(key) }
    }

    fn fail(&mut self, key: usize) {
        self.outcome.errors += 1;
        self.replace(key);
    }

    /// A fresh connection in the same place; without one the place stays out of use.
    fn replace(&mut self, key: usize) {
        match self.connect(key) {
            Ok(stream) => {
                self.conns[key] = Conn { stream, state: State::Idle };
                self.idle.push(key);
            }
            Err(_) => self.outcome.errors += 1,
        }
    }

    fn report(mut self) -> Offered {
        self.outcome.errors += self.conns.iter().filter(|c| !matches!(c.state, State::Idle)).count() as u64;
        self.latencies_us.sort_by(f64::total_cmp);
        let percentile = |share: f64| {
            let index = (self.latencies_us.len() as f64 * share) as usize;
            self.latencies_us.get(index).copied().unwrap_or(0.0)
        };
        Offered { p50_us: percentile(0.50), p99_us: percentile(0.99), ..self.outcome }
    }
}

/// How long the last answers may take after the last request.
const DRAIN: Duration = Duration::from_secs(2);
const POLL_MAX: Duration = Duration::from_millis(10);
const DISCARD_BYTES: usize = 1 << 20;
