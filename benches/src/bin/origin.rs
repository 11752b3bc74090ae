//! A light HTTP/1 origin: pre-built answers from one pinned thread.
//!
//! ```text
//! origin ADDR [--core N]
//!   GET /  /1  /1k  /16k  /64k  /1m    that many bytes        GET /size/N     N bytes
//!   POST anything                      the body's byte count  GET /dribble/N  N bytes, one per write
//! ```
//!
//! It has to cost far less than any proxy in front of it, so it checks only what framing needs: no methods,
//! no hosts, no limits beyond the head's size. Never expose it to a network.
//!
//! Read `Origin::run`, then `Conn::feed` (bytes in) and `Conn::flush` (bytes out).

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use ringway_benches::args::Args;
use ringway_benches::sys::{self, Epoll, Ready};

fn main() -> ExitCode {
    let Err(error) = run(Args::of_process());
    eprintln!("origin: {error}");
    ExitCode::from(2)
}

fn run(mut args: Args) -> Result<std::convert::Infallible, String> {
    let core: Option<usize> = args.value("--core")?;
    let addr: SocketAddr = args.positional("ADDR")?;
    args.finish()?;
    if let Some(core) = core {
        sys::pin(&[core]).map_err(|error| format!("core {core}: {error}"))?;
    }
    sys::raise_descriptor_limit(DESCRIPTORS_WANTED);
    let mut origin = Origin::bind(addr).map_err(|error| format!("{addr}: {error}"))?;
    eprintln!("listening on {}", origin.listener.local_addr().map_err(|error| error.to_string())?);
    origin.run().map_err(|error| error.to_string())
}

struct Origin {
    listener: TcpListener,
    epoll: Epoll,
    /// Indexed by descriptor, which is also the epoll key.
    conns: Vec<Option<Box<Conn>>>,
    /// Connections with a dribbled body and, as far as we know, room in the socket.
    dribbling: VecDeque<usize>,
    answers: Answers,
    recv_buf: Box<[u8]>,
}

impl Origin {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = sys::listen(addr, true)?;
        let epoll = Epoll::new(EVENTS_MAX)?;
        epoll.add(listener.as_raw_fd(), listener.as_raw_fd() as u64, libc::EPOLLIN | libc::EPOLLET)?;
        Ok(Self {
            listener,
            epoll,
            conns: Vec::new(),
            dribbling: VecDeque::new(),
            answers: Answers::new(),
            recv_buf: vec![0; RECV_BUF_BYTES].into_boxed_slice(),
        })
    }

    fn run(&mut self) -> io::Result<std::convert::Infallible> {
        let mut ready = Vec::new();
        loop {
            let timeout = (!self.dribbling.is_empty()).then_some(Duration::ZERO);
            self.epoll.wait(timeout, &mut ready)?;
            for event in ready.drain(..) {
                if event.key == self.listener.as_raw_fd() as u64 {
                    self.accept();
                } else {
                    self.on_ready(event);
                }
            }
            self.dribble();
        }
    }

    fn accept(&mut self) {
        loop {
            let (null, flags) = (std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            // SAFETY: null address and length: the kernel writes nothing.
            let fd = unsafe { libc::accept4(self.listener.as_raw_fd(), null, null.cast(), flags) };
            // Would block, or out of descriptors: the next connection raises the next edge.
            let Ok(fd) = sys::check(fd) else { return };
            // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let key = fd.as_raw_fd() as usize;
            let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
            if self.epoll.add(fd.as_raw_fd(), key as u64, interest).is_err() {
                continue;
            }
            if self.conns.len() <= key {
                self.conns.resize_with(key + 1, || None);
            }
            self.conns[key] = Some(Box::new(Conn::new(fd)));
        }
    }

    fn on_ready(&mut self, event: Ready) {
        let key = event.key as usize;
        let Some(conn) = self.conns[key].as_mut() else { return };
        let mut outcome = Flow::Go;
        if event.writable() {
            outcome = conn.flush();
        }
        if outcome == Flow::Go && event.readable() {
            outcome = conn.read(event.finished(), &mut self.answers, &mut self.recv_buf);
        }
        match outcome {
            // Dropping it closes the descriptor, which ends the watch.
            Flow::Close => self.conns[key] = None,
            Flow::Go if conn.wants_dribble() => {
                conn.in_dribble_queue = true;
                self.dribbling.push_back(key);
            }
            Flow::Go | Flow::Full => {}
        }
    }

    /// One turn of single-byte writes; a full socket leaves until it has room again.
    fn dribble(&mut self) {
        for _ in 0..self.dribbling.len() {
            let Some(key) = self.dribbling.pop_front() else { return };
            let Some(conn) = self.conns[key].as_mut().filter(|conn| conn.in_dribble_queue) else { continue };
            let outcome = conn.dribble();
            conn.in_dribble_queue = outcome == Flow::Go && conn.dribble_is_next();
            match outcome {
                Flow::Close => self.conns[key] = None,
                Flow::Go if conn.in_dribble_queue => self.dribbling.push_back(key),
                Flow::Go | Flow::Full => {}
            }
        }
    }
}

/// What a step found out about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    /// The socket takes no more; an `EPOLLOUT` edge will come.
    Full,
    Close,
}

struct Conn {
    fd: OwnedFd,
    input: Input,
    /// An incomplete head, or nothing.
    partial: Vec<u8>,
    out: VecDeque<Pending>,
    /// The last answer has been queued: close when it is out.
    last: bool,
    in_dribble_queue: bool,
}

/// Where in the stream of requests the next byte belongs.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Head,
    Body { framing: Framing, seen: u64, close: bool },
}

/// An answer that is not out yet.
struct Pending {
    head: Rc<[u8]>,
    head_sent: usize,
    body_left: u64,
    pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Bulk,
    /// One byte per write.
    Dribble,
}

impl Conn {
    fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            input: Input::Head,
            partial: Vec::new(),
            out: VecDeque::new(),
            last: false,
            in_dribble_queue: false,
        }
    }

    /// Reads until the socket is empty, answering on the way.
    fn read(&mut self, finished: bool, answers: &mut Answers, buf: &mut [u8]) -> Flow {
        loop {
            let (to, len) = (buf.as_mut_ptr().cast(), buf.len());
            // SAFETY: pointer and length describe `buf`, which lives over the call.
            let n = unsafe { libc::recv(self.fd.as_raw_fd(), to, len, 0) };
            let n = match n {
                0 => return Flow::Close,
                n if n < 0 => return would_block_or_close(Flow::Go),
                n => n as usize,
            };
            if self.feed(&buf[..n], answers) == Flow::Close || self.flush() == Flow::Close {
                return Flow::Close;
            }
            // A short read has emptied the socket and what comes later raises a new edge; but the end of the
            // stream may be in the edge we are handling.
            if n < buf.len() && !finished {
                return Flow::Go;
            }
        }
    }

    /// Takes received bytes; queues an answer for each request that ends in them.
    fn feed(&mut self, bytes: &[u8], answers: &mut Answers) -> Flow {
        if self.partial.is_empty() {
            let (flow, used) = self.take(bytes, answers);
            self.partial.extend_from_slice(&bytes[used..]);
            return flow;
        }
        self.partial.extend_from_slice(bytes);
        let joined = std::mem::take(&mut self.partial);
        let (flow, used) = self.take(&joined, answers);
        self.partial.extend_from_slice(&joined[used..]);
        flow
    }

    /// Returns how many of the bytes belong to complete heads and to bodies.
    fn take(&mut self, bytes: &[u8], answers: &mut Answers) -> (Flow, usize) {
        let mut used = 0;
        while used < bytes.len() && !self.last {
            match &mut self.input {
                Input::Head => match parse_head(&bytes[used..]) {
                    Parsed::Partial if bytes.len() - used > HEAD_BYTES_MAX => return (Flow::Close, used),
                    Parsed::Partial => return (Flow::Go, used),
                    Parsed::Malformed => return (Flow::Close, used),
                    Parsed::Head(head) => {
                        self.on_head(&head, answers);
                        used += head.bytes;
                    }
                },
                Input::Body { framing, seen, close } => {
                    let Ok((n, content)) = framing.take(&bytes[used..]) else { return (Flow::Close, used) };
                    (used, *seen) = (used + n, *seen + content);
                    if framing.is_done() {
                        let pending = Pending::whole(answers.text(&seen.to_string(), *close));
                        (self.last, self.input) = (*close, Input::Head);
                        self.out.push_back(pending);
                    }
                }
            }
        }
        (Flow::Go, if self.last { bytes.len() } else { used })
    }

    fn on_head(&mut self, head: &Head<'_>, answers: &mut Answers) {
        match head.framing {
            Framing::Fixed(0) => {
                let mut pending = answers.to_path(head.path, head.close);
                if head.is_head_method {
                    pending.cut_body();
                }
                self.out.push_back(pending);
                self.last = head.close;
            }
            framing => {
                if head.expects_continue {
                    self.out.push_back(Pending::whole(Rc::clone(&answers.proceed)));
                }
                self.input = Input::Body { framing, seen: 0, close: head.close };
            }
        }
    }

    /// Writes what is queued up to the first dribbled body.
    fn flush(&mut self) -> Flow {
        loop {
            let mut iovecs = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; IOVECS_MAX];
            let count = self.gather(&mut iovecs);
            if count == 0 {
                return if self.last && self.out.is_empty() { Flow::Close } else { Flow::Go };
            }
            // SAFETY: an all-zero msghdr is valid: no address, no control data.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            (message.msg_iov, message.msg_iovlen) = (iovecs.as_mut_ptr(), count);
            // SAFETY: the iovecs point into `self.out` and the static filler; both outlive the call, which
            // only reads them.
            let n = unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
            if n < 0 {
                return would_block_or_close(Flow::Full);
            }
            self.consume(n as usize);
        }
    }

    /// Points the iovecs at what can go out in one call; returns how many it used.
    fn gather(&self, iovecs: &mut [libc::iovec; IOVECS_MAX]) -> usize {
        let mut count = 0;
        for pending in &self.out {
            if count + 2 > IOVECS_MAX {
                break;
            }
            let dribbled = pending.pace == Pace::Dribble && pending.body_left > 0;
            let of_body = if dribbled { 0 } else { pending.body_left.min(FILLER.len() as u64) };
            for bytes in [&pending.head[pending.head_sent..], &FILLER[..of_body as usize]] {
                if !bytes.is_empty() {
                    let iov_base = bytes.as_ptr().cast_mut().cast();
                    iovecs[count] = libc::iovec { iov_base, iov_len: bytes.len() };
                    count += 1;
                }
            }
            // The rest of this body comes first, in the next call or byte by byte.
            if of_body < pending.body_left {
                break;
            }
        }
        count
    }

    fn consume(&mut self, mut n: usize) {
        while let Some(pending) = self.out.front_mut() {
            let of_head = n.min(pending.head.len() - pending.head_sent);
            pending.head_sent += of_head;
            n -= of_head;
            let of_body = (n as u64).min(pending.body_left);
            pending.body_left -= of_body;
            n -= of_body as usize;
            if !pending.is_done() {
                return;
            }
            self.out.pop_front();
        }
    }

    fn dribble_is_next(&self) -> bool {
        self.out.front().is_some_and(|p| p.pace == Pace::Dribble && p.head_sent == p.head.len())
    }

    fn wants_dribble(&self) -> bool {
        !self.in_dribble_queue && self.dribble_is_next()
    }

    fn dribble(&mut self) -> Flow {
        for _ in 0..DRIBBLES_PER_TURN {
            if !self.dribble_is_next() {
                break;
            }
            // SAFETY: one byte of a static.
            let n = unsafe { libc::send(self.fd.as_raw_fd(), FILLER.as_ptr().cast(), 1, libc::MSG_NOSIGNAL) };
            if n < 0 {
                return would_block_or_close(Flow::Full);
            }
            self.consume(1);
        }
        if self.dribble_is_next() { Flow::Go } else { self.flush() }
    }
}

impl Pending {
    fn whole(bytes: Rc<[u8]>) -> Self {
        Self { head: bytes, head_sent: 0, body_left: 0, pace: Pace::Bulk }
    }

    fn is_done(&self) -> bool {
        self.head_sent == self.head.len() && self.body_left == 0
    }

    /// Leaves the head alone, for HEAD requests.
    fn cut_body(&mut self) {
        let head = self.head.windows(4).position(|w| w == b"\r\n\r\n").map_or(self.head.len(), |at| at + 4);
        self.head = self.head[..head].into();
        self.body_left = 0;
    }
}

/// Answers built in advance; small bodies directly behind their head, so that one piece goes out.
struct Answers {
    named: Vec<(&'static str, u64, Rc<[u8]>)>,
    proceed: Rc<[u8]>,
}

impl Answers {
    fn new() -> Self {
        let build = |&(path, bytes): &(&'static str, u64)| (path, bytes, build_head(200, bytes, false));
        Self {
            named: NAMED_SIZES.iter().map(build).collect(),
            proceed: b"HTTP/1.1 100 Continue\r\n\r\n".as_slice().into(),
        }
    }

    fn to_path(&self, path: &str, close: bool) -> Pending {
        let pending = |head, bytes, pace| {
            let body_left = if bytes <= INLINE_BYTES_MAX && pace == Pace::Bulk { 0 } else { bytes };
            Pending { head, head_sent: 0, body_left, pace }
        };
        if let Some((_, bytes, head)) = self.named.iter().find(|(name, ..)| *name == path) {
            let head = if close { build_head(200, *bytes, true) } else { Rc::clone(head) };
            return pending(head, *bytes, Pace::Bulk);
        }
        if let Some(bytes) = path.strip_prefix("/size/").and_then(|n| n.parse().ok()) {
            return pending(build_head(200, bytes, close), bytes, Pace::Bulk);
        }
        if let Some(bytes) = path.strip_prefix("/dribble/").and_then(|n| n.parse().ok()) {
            return pending(bare_head(200, bytes, close).into_bytes().into(), bytes, Pace::Dribble);
        }
        Pending::whole(build_head(404, 1, close))
    }

    fn text(&self, body: &str, close: bool) -> Rc<[u8]> {
        (bare_head(200, body.len() as u64, close) + body).into_bytes().into()
    }
}

/// The head, with the body behind it when that is small.
fn build_head(status: u16, bytes: u64, close: bool) -> Rc<[u8]> {
    let mut out = bare_head(status, bytes, close).into_bytes();
    if bytes <= INLINE_BYTES_MAX {
        out.extend_from_slice(&FILLER[..bytes as usize]);
    }
    out.into()
}

fn bare_head(status: u16, bytes: u64, close: bool) -> String {
    let reason = if status == 200 { "OK" } else { "Not Found" };
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n{connection}\r\n"
    )
}

enum Parsed<'b> {
    Partial,
    Malformed,
    Head(Head<'b>),
}

struct Head<'b> {
    bytes: usize,
    path: &'b str,
    framing: Framing,
    close: bool,
    is_head_method: bool,
    expects_continue: bool,
}

fn parse_head(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [std::mem::MaybeUninit::uninit(); HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let head_bytes = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Malformed,
    };
    let mut head = Head {
        bytes: head_bytes,
        path: request.path.and_then(|path| path.split('?').next()).unwrap_or("/"),
        framing: Framing::Fixed(0),
        close: request.version == Some(0),
        is_head_method: request.method == Some("HEAD"),
        expects_continue: false,
    };
    for header in request.headers.iter() {
        let (name, value) = (header.name, header.value);
        if name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            let Some(length) = length else { return Parsed::Malformed };
            head.framing = Framing::Fixed(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked(Chunk::Size(0));
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = match value.to_ascii_lowercase().as_slice() {
                b"close" => true,
                b"keep-alive" => false,
                _ => head.close,
            };
        } else if name.eq_ignore_ascii_case("expect") {
            head.expects_continue = true;
        }
    }
    Parsed::Head(head)
}

/// How much of a request body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Fixed(u64),
    Chunked(Chunk),
}

/// Where in the chunked coding the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// Hexadecimal digits; the value so far.
    Size(u64),
    /// An extension or the rest of the size line.
    SizeRest(u64),
    Data(u64),
    DataEnd,
    /// Trailer lines; bytes of the current line.
    Trailer(u64),
    Done,
}

impl Framing {
    fn is_done(self) -> bool {
        matches!(self, Self::Fixed(0) | Self::Chunked(Chunk::Done))
    }

    /// Takes bytes of the body: how many, and how many of those were content.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, u64), ()> {
        let (mut used, mut content) = (0, 0);
        while used < bytes.len() && !self.is_done() {
            if let Self::Fixed(left) | Self::Chunked(Chunk::Data(left)) = self {
                let n = (*left).min((bytes.len() - used) as u64);
                (used, content, *left) = (used + n as usize, content + n, *left - n);
                if *self == Self::Chunked(Chunk::Data(0)) {
                    *self = Self::Chunked(Chunk::DataEnd);
                }
            } else if let Self::Chunked(chunk) = self {
                *chunk = chunk.step(bytes[used])?;
                used += 1;
            }
        }
        Ok((used, content))
    }
}

impl Chunk {
    /// The state after one byte that is not content.
    fn step(self, byte: u8) -> Result<Self, ()> {
        Ok(match (self, byte) {
            (Self::Size(n), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from((byte as char).to_digit(16).unwrap_or(0));
                Self::Size(n.checked_mul(16).ok_or(())? + digit)
            }
            (Self::Size(n) | Self::SizeRest(n), b'\n') => match n {
                0 => Self::Trailer(0),
                n => Self::Data(n),
            },
            (Self::Size(n) | Self::SizeRest(n), _) => Self::SizeRest(n),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::Trailer(0), b'\n') => Self::Done,
            (Self::Trailer(_), b'\n') => Self::Trailer(0),
            (Self::Trailer(n), b'\r') => Self::Trailer(n),
            (Self::Trailer(n), _) => Self::Trailer(n + 1),
            _ => return Err(()),
        })
    }
}

fn would_block_or_close(otherwise: Flow) -> Flow {
    match io::Error::last_os_error().kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => otherwise,
        _ => Flow::Close,
    }
}

const NAMED_SIZES: [(&str, u64); 6] =
    [("/", 1), ("/1", 1), ("/1k", 1 << 10), ("/16k", 16 << 10), ("/64k", 64 << 10), ("/1m", 1 << 20)];
/// The body of every answer, shared by all connections: it stays in the cache.
static FILLER: [u8; 1 << 20] = [b'x'; 1 << 20];
/// Bodies up to this size are stored behind their head.
const INLINE_BYTES_MAX: u64 = 16 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
const RECV_BUF_BYTES: usize = 64 << 10;
const EVENTS_MAX: usize = 512;
const IOVECS_MAX: usize = 64;
const DRIBBLES_PER_TURN: usize = 16;
const DESCRIPTORS_WANTED: u64 = 100_000;

const _: () = assert!(INLINE_BYTES_MAX <= FILLER.len() as u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(bytes: &[u8]) -> Head<'_> {
        match parse_head(bytes) {
            Parsed::Head(head) => head,
            Parsed::Partial | Parsed::Malformed => panic!("not a head"),
        }
    }

    #[test]
    fn a_chunked_body_counts_its_content_whatever_the_cuts() {
        let body = b"4;ext=1\r\nabcd\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\nGET";
        for cut in 0..body.len() - 3 {
            let mut framing = Framing::Chunked(Chunk::Size(0));
            let (first, content) = framing.take(&body[..cut]).unwrap();
            let (second, rest) = framing.take(&body[first..]).unwrap();
            assert!(framing.is_done());
            assert_eq!((first + second, content + rest), (body.len() - 3, 20));
        }
    }

    #[test]
    fn http_1_0_closes_unless_asked_to_stay() {
        assert!(head_of(b"GET /1 HTTP/1.0\r\n\r\n").close);
        assert!(!head_of(b"GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
        assert!(!head_of(b"GET /1 HTTP/1.1\r\n\r\n").close);
        assert!(head_of(b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n").close);
    }

    #[test]
    fn small_answers_are_one_piece_and_large_ones_use_the_filler() {
        let answers = Answers::new();
        let small = answers.to_path("/1k", false);
        assert!(small.body_left == 0 && small.head.ends_with(&[b'x'; 1024]));
        assert_eq!(answers.to_path("/1m", false).body_left, 1 << 20);
        assert_eq!(answers.to_path("/size/3000000", true).body_left, 3_000_000);
        assert_eq!(answers.to_path("/dribble/5", false).body_left, 5);
        assert!(answers.to_path("/nothing", false).head.starts_with(b"HTTP/1.1 404"));
    }

    #[test]
    fn a_head_answer_has_no_body() {
        let mut pending = Answers::new().to_path("/1k", false);
        pending.cut_body();
        assert!(pending.head.ends_with(b"\r\n\r\n") && pending.body_left == 0);
    }
}
