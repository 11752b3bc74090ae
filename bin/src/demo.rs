//! The demo's origin: a small HTTP/1.1 server on a free loopback port, for people without one at hand.
//!
//! It is a thread a connection on blocking sockets, which is all that a demo needs. It is still reachable by every
//! user of the machine, so heads, bodies, waiting times and the number of connections are bounded. It is no part
//! of the proxy and shares no code with it: what the proxy gets wrong must not look right here.

use std::io::{self, BufWriter, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What can be asked for, and what it shows.
pub(crate) const PATHS: &[(&str, &str)] = &[
    ("/", "what there is"),
    ("/echo", "the request as the origin received it"),
    ("/time", "the origin's clock"),
    ("/slow", "an event each second, as they happen"),
    ("/size/1000000", "so many bytes"),
];

/// The running origin. It ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
}

impl Origin {
    /// Listens on a free port of the loopback interface and serves from threads of its own.
    ///
    /// # Errors
    /// No port, no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        std::thread::Builder::new().name("demo-origin".into()).spawn(move || accept(&listener))?;
        Ok(Self { address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn accept(listener: &TcpListener) {
    // Each connection holds a clone of it: the count is that of open connections, whatever ends them.
    let places = Arc::new(());
    loop {
        match listener.accept() {
            Ok((stream, _)) if Arc::strong_count(&places) <= CONNECTIONS_MAX => {
                let place = Arc::clone(&places);
                let thread =
                    std::thread::Builder::new().name("demo-connection".into()).stack_size(STACK_BYTES);
                // Without a thread to be had the stream is dropped, which closes it.
                let _ = thread.spawn(move || {
                    let _ = Connection::new(stream).and_then(Connection::serve);
                    drop(place);
                });
            }
            // One connection too many is closed at once.
            Ok(_) => {}
            // Out of descriptors, most likely: whoever holds them gets time to let go.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// A client connection.
struct Connection {
    stream: TcpStream,
    /// What was received and not used yet.
    received: Vec<u8>,
}

/// What there is to know of a request.
struct Request {
    method: String,
    path: String,
    head: String,
    version: Version,
    body: Body,
    is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// So many bytes.
    Sized(usize),
    /// Something this server does not read; the connection ends with the response.
    Unread,
}

/// A request that is answered with this status, after which the connection ends.
struct Refusal(&'static str);

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Answers one request after the other.
    fn serve(mut self) -> io::Result<()> {
        while let Some(head) = self.receive_head()? {
            let request = match Request::parse(&head) {
                Ok(request) => request,
                Err(Refusal(status)) => {
                    self.send(status, "text/plain", &format!("{status}\n"), None)?;
                    return self.finish();
                }
            };
            if let Body::Sized(length) = request.body {
                self.skip(length)?;
            }
            self.answer(&request)?;
            if request.is_last {
                return self.finish();
            }
        }
        Ok(())
    }

    /// The next head, or nothing at the end of the connection.
    fn receive_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        // A client may keep a connection for a while, but a head that has begun has to come.
        let mut deadline = Instant::now() + IDLE_TIMEOUT;
        let mut has_begun = false;
        loop {
            if let Some(length) = end_of_head(&self.received) {
                let rest = self.received.split_off(length);
                return Ok(Some(std::mem::replace(&mut self.received, rest)));
            }
            if self.received.len() > HEAD_BYTES_MAX {
                let status = "431 Request Header Fields Too Large";
                self.send(status, "text/plain", "", None)?;
                self.finish()?;
                return Ok(None);
            }
            if !has_begun && !self.received.is_empty() {
                has_begun = true;
                deadline = Instant::now() + HEAD_TIMEOUT;
            }
            if !self.receive(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Receives and drops a request body.
    fn skip(&mut self, length: usize) -> io::Result<()> {
        let deadline = Instant::now() + BODY_TIMEOUT;
        let mut left = length;
        loop {
            let taken = left.min(self.received.len());
            self.received.drain(..taken);
            left -= taken;
            if left == 0 {
                return Ok(());
            }
            if !self.receive(deadline)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Receives something until `deadline`; `false` at the end of the stream.
    fn receive(&mut self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(length > 0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn answer(&mut self, request: &Request) -> io::Result<()> {
        match request.path.as_str() {
            "/" => self.send("200 OK", "text/plain; charset=utf-8", &welcome(), Some(request)),
            "/echo" => self.send("200 OK", "text/plain; charset=utf-8", &request.head, Some(request)),
            "/time" => {
                let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                self.send("200 OK", "text/plain", &format!("{seconds} seconds since 1970\n"), Some(request))
            }
            "/slow" => self.send_events(request),
            path => match path.strip_prefix("/size/").and_then(|size| size.parse().ok()) {
                Some(size) if size <= SIZE_MAX => self.send_bytes(size, request),
                Some(_) => self.send("400 Bad Request", "text/plain", "at most 1 GiB\n", Some(request)),
                None => self.send("404 Not Found", "text/plain", "try /\n", Some(request)),
            },
        }
    }

    /// Sends a response with a whole body. Without a request the connection ends after it.
    fn send(&mut self, status: &str, kind: &str, body: &str, request: Option<&Request>) -> io::Result<()> {
        let connection = request.map_or("close", Request::connection);
        let length = body.len();
        let mut response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n"
        );
        if request.is_none_or(|request| request.method != "HEAD") {
            response.push_str(body);
        }
        self.stream.write_all(response.as_bytes())
    }

    fn send_bytes(&mut self, size: u64, request: &Request) -> io::Result<()> {
        let connection = request.connection();
        let mut out = BufWriter::with_capacity(64 << 10, &self.stream);
        write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\n\
             connection: {connection}\r\n\r\n"
        )?;
        let size = if request.method == "HEAD" { 0 } else { size };
        io::copy(&mut io::repeat(b'.').take(size), &mut out)?;
        out.flush()
    }

    /// Server-sent events, one a second, chunked where the client knows that.
    fn send_events(&mut self, request: &Request) -> io::Result<()> {
        let is_chunked = request.version == Version::Http11;
        let framing = if is_chunked { "transfer-encoding: chunked\r\n" } else { "" };
        let connection = if is_chunked { request.connection() } else { "close" };
        write!(
            self.stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n{framing}\
             connection: {connection}\r\n\r\n"
        )?;
        if request.method == "HEAD" {
            return Ok(());
        }
        for tick in 1..=EVENTS {
            let event = format!("data: tick {tick} of {EVENTS}\n\n");
            let part = if is_chunked { format!("{:x}\r\n{event}\r\n", event.len()) } else { event };
            self.stream.write_all(part.as_bytes())?;
            if tick < EVENTS {
                std::thread::sleep(EVENT_INTERVAL);
            }
        }
        if is_chunked { self.stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }

    /// Ends the connection so that the client sees the last response: closing with unread bytes would reset it.
    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER_TIMEOUT;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 && self.receive(deadline)? {
            left = left.saturating_sub(self.received.len());
            self.received.clear();
        }
        Ok(())
    }
}

impl Request {
    /// Reads a head, strictly: the proxy in front has no reason to send another.
    fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let bad = || Refusal("400 Bad Request");
        let text = str::from_utf8(head).map_err(|_| bad())?;
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = words[..] else { return Err(bad()) };
        let version = match version {
            "HTTP/1.1" => Version::Http11,
            "HTTP/1.0" => Version::Http10,
            _ => return Err(Refusal("505 HTTP Version Not Supported")),
        };
        let path = target.split('?').next().unwrap_or_default();
        if method.is_empty() || !path.starts_with('/') {
            return Err(bad());
        }
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            head: text.replace("\r\n", "\n"),
            version,
            body: Body::Sized(0),
            is_last: version == Version::Http10,
        };
        let mut length = None;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            request.on_field(&name.to_ascii_lowercase(), value.trim(), &mut length)?;
        }
        Ok(request)
    }

    fn on_field(&mut self, name: &str, value: &str, length: &mut Option<usize>) -> Result<(), Refusal> {
        match name {
            "content-length" if length.is_some() => return Err(Refusal("400 Bad Request")),
            "content-length" => {
                let parsed = value.parse().map_err(|_| Refusal("400 Bad Request"))?;
                *length = Some(parsed);
                if self.body != Body::Unread {
                    self.body = Body::Sized(parsed);
                }
            }
            "connection" if value.eq_ignore_ascii_case("close") => self.is_last = true,
            "transfer-encoding" | "expect" => self.body = Body::Unread,
            _ => {}
        }
        let is_too_long = matches!(self.body, Body::Sized(length) if length > BODY_BYTES_MAX);
        if is_too_long {
            self.body = Body::Unread;
        }
        self.is_last |= self.body == Body::Unread;
        Ok(())
    }

    fn connection(&self) -> &'static str {
        if self.is_last { "close" } else { "keep-alive" }
    }
}

/// Where the first head in `received` ends.
fn end_of_head(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|position| position + 4)
}

fn welcome() -> String {
    let mut text = String::from("This is the demo's origin, seen through ringway. There is:\n\n");
    for (path, what) in PATHS {
        text.push_str(&format!("  {path:15} {what}\n"));
    }
    text
}

const CONNECTIONS_MAX: usize = 256;
const STACK_BYTES: usize = 256 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
const SIZE_MAX: u64 = 1 << 30;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;
const EVENTS: u32 = 30;
#[cfg(not(test))]
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
#[cfg(test)]
const EVENT_INTERVAL: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(origin: &Origin) -> TcpStream {
        let stream = TcpStream::connect(origin.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// What comes back for `request` until the origin closes.
    fn exchange(origin: &Origin, request: &[u8]) -> String {
        let mut stream = connect(origin);
        stream.write_all(request).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8(response).unwrap()
    }

    fn get(origin: &Origin, path: &str) -> String {
        exchange(origin, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
    }

    #[test]
    fn every_path_of_the_banner_answers() {
        let origin = Origin::start().unwrap();
        for (path, _) in PATHS {
            assert!(get(&origin, path).starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
        }
        assert!(get(&origin, "/echo?x").ends_with("GET /echo?x HTTP/1.1\nhost: a\nconnection: close\n\n"));
        assert!(get(&origin, "/slow").ends_with("data: tick 30 of 30\n\n\r\n0\r\n\r\n"));
        assert!(get(&origin, "/size/70000").split_once("\r\n\r\n").unwrap().1.len() == 70_000);
        assert!(get(&origin, "/x").starts_with("HTTP/1.1 404 "));
        assert!(get(&origin, "/size/99999999999").starts_with("HTTP/1.1 400 "));
        assert!(get(&origin, "/size/-1").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn connections_are_kept_and_bodies_skipped() {
        let origin = Origin::start().unwrap();
        let request = "POST /echo HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcHEAD /size/9 HTTP/1.1\r\n\r\n\
                       GET /time HTTP/1.0\r\n\r\n";
        let responses = exchange(&origin, request.as_bytes());
        assert_eq!(responses.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{responses}");
        assert!(!responses.contains("abc") && !responses.contains("..."), "{responses}");
        assert!(responses.ends_with("since 1970\n"), "{responses}");
    }

    #[test]
    fn an_old_client_gets_events_without_chunks() {
        let origin = Origin::start().unwrap();
        let response = exchange(&origin, b"GET /slow HTTP/1.0\r\n\r\n");
        assert!(
            response.ends_with("\n\ndata: tick 30 of 30\n\n") && !response.contains("chunked"),
            "{response}"
        );
    }

    #[test]
    fn what_is_not_a_request_is_refused_and_ends_the_connection() {
        let origin = Origin::start().unwrap();
        for (request, status) in [
            ("\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\n\r\n", "505"),
            ("GET  / HTTP/1.1\r\n\r\n", "400"),
            ("GET http://a/ HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nx\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na", "400"),
            ("GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", "400"),
        ] {
            let response = exchange(&origin, request.as_bytes());
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {response}");
        }
        assert!(exchange(&origin, &[b'a'; HEAD_BYTES_MAX + 1000]).starts_with("HTTP/1.1 431 "));
        assert!(exchange(&origin, b"GET /\xff HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
        for field in ["content-length: 99999999999", "transfer-encoding: chunked"] {
            let response =
                exchange(&origin, format!("POST / HTTP/1.1\r\n{field}\r\n\r\n{}", "5\r\nhello").as_bytes());
            assert!(
                response.starts_with("HTTP/1.1 200 ") && response.contains("connection: close"),
                "{response}"
            );
        }
    }

    #[test]
    fn one_connection_too_many_is_closed() {
        let origin = Origin::start().unwrap();
        let held: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect(&origin)).collect();
        let mut surplus = connect(&origin);
        assert!(matches!(surplus.read(&mut [0; 1]), Ok(0) | Err(_)));
        drop(held);
        let answers = |_| exchange_if_open(&origin);
        assert!((0..100).any(answers), "places are free again");
    }

    fn exchange_if_open(origin: &Origin) -> bool {
        std::thread::sleep(Duration::from_millis(20));
        let mut stream = connect(origin);
        let mut response = Vec::new();
        let sent = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        sent.and_then(|()| stream.read_to_end(&mut response)).is_ok() && response.starts_with(b"HTTP/1.1 200")
    }
}
