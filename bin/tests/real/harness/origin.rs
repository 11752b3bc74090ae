//! An origin in this process: a thread a connection, each running the case's own code.

use super::{Hash, PATIENCE, noise};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

/// A listening origin. It ends with the process.
pub(crate) struct Origin {
    /// What ringway's configuration calls it.
    pub(crate) address: String,
}

/// A connection of ringway's.
pub(crate) struct Peer {
    pub(crate) reader: BufReader<Stream>,
}

/// Of either family.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A request head.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) method: String,
    pub(crate) target: String,
}

/// How the content of a request was framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    None,
}

impl Origin {
    /// An origin that hands every connection to `serve`.
    pub(crate) fn start(serve: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                _ = stream.set_nodelay(true);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(&mut Peer::new(Stream::Tcp(stream))));
            }
        });
        Self { address }
    }

    /// The same on a Unix-domain socket.
    pub(crate) fn start_unix(
        path: &Path,
        serve: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let address = format!("unix:{}", path.display());
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(&mut Peer::new(Stream::Unix(stream))));
            }
        });
        Self { address }
    }

    /// The origin of most cases: see [`serve_usual`].
    pub(crate) fn usual() -> Self {
        Self::start(serve_usual)
    }
}

/// Answers requests until ringway closes:
///
/// - `/head` with the request's head as it came
/// - `/hash` with framing and hash of the request's content, and its trailers
/// - `/echo` with the request's content, chunk by chunk as it comes
/// - `/size/N`, `/chunked/N`, `/close/N` with N bytes in the three framings
/// - `/trailers` with a trailer field
/// - `/status/N` with that status
pub(crate) fn serve_usual(peer: &mut Peer) -> io::Result<()> {
    while let Some(request) = peer.request()? {
        let mut parts = request.target.trim_start_matches('/').split('/');
        let (what, number) =
            (parts.next().unwrap_or_default(), parts.next().and_then(|n| n.parse::<usize>().ok()));
        if what == "echo" {
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            peer.copy_content(&request)?;
            continue;
        }
        let mut hash = Hash::new();
        let trailers = peer.content(&request, |bytes| {
            hash.add(bytes);
            Ok(())
        })?;
        match (what, number) {
            ("hash", _) => peer.reply(200, &format!("{:?} {hash} {trailers:?}", request.framing()))?,
            ("size", Some(length)) => {
                peer.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"))?;
                if request.method != "HEAD" {
                    peer.send_bytes(&noise(length))?;
                }
            }
            ("chunked", Some(length)) => {
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                for piece in noise(length).chunks(10_000) {
                    peer.send_chunk(piece)?;
                }
                peer.send("0\r\n\r\n")?;
            }
            ("close", Some(length)) => {
                peer.send("HTTP/1.0 200 OK\r\n\r\n")?;
                return peer.send_bytes(&noise(length));
            }
            ("trailers", _) => {
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-check\r\n\r\n")?;
                peer.send("4\r\nbody\r\n0\r\nx-check: sum\r\n\r\n")?;
            }
            ("status", Some(status)) => peer.reply(status, "")?,
            _ => peer.reply(200, &request.head)?,
        }
    }
    Ok(())
}

impl Peer {
    fn new(stream: Stream) -> Self {
        match &stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(PATIENCE)).expect("set"),
            Stream::Unix(stream) => stream.set_read_timeout(Some(PATIENCE)).expect("set"),
        }
        Self { reader: BufReader::with_capacity(64 * 1024, stream) }
    }

    /// The next request, or none when ringway closed.
    pub(crate) fn request(&mut self) -> io::Result<Option<Request>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Ok(None);
            }
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Some(Request { method: method.into(), target: target.into(), head: head.clone() }))
    }

    /// Reads a request's content in pieces; returns its trailer section.
    pub(crate) fn content(
        &mut self,
        request: &Request,
        mut on_bytes: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<String> {
        let mut trailers = String::new();
        match request.framing() {
            Framing::None => {}
            Framing::Length(length) => self.take(length, &mut on_bytes)?,
            Framing::Chunked => loop {
                let mut line = String::new();
                self.reader.read_line(&mut line)?;
                let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                if size == 0 {
                    while trailers != "\r\n" && !trailers.ends_with("\r\n\r\n") {
                        self.reader.read_line(&mut trailers)?;
                    }
                    break;
                }
                self.take(size, &mut on_bytes)?;
                self.reader.read_line(&mut String::new())?;
            },
        }
        Ok(trailers.trim_end().into())
    }

    fn take(&mut self, mut left: u64, on_bytes: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while left > 0 {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            on_bytes(&bytes[..length])?;
            self.reader.consume(length);
            left -= length as u64;
        }
        Ok(())
    }

    /// Sends a request's content back as it comes, from a second handle: reading must not wait for writing.
    fn copy_content(&mut self, request: &Request) -> io::Result<()> {
        let mut out = self.reader.get_ref().try_clone()?;
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.content(request, |bytes| out.write_all(&chunk(bytes)))?;
        out.write_all(b"0\r\n\r\n")
    }

    /// A whole response with a length.
    pub(crate) fn reply(&mut self, status: usize, body: &str) -> io::Result<()> {
        let length = if matches!(status, 204 | 304) {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        self.send(&format!("HTTP/1.1 {status} Fine\r\n{length}\r\n{body}"))
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_bytes(text.as_bytes())
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub(crate) fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_bytes(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }
}

impl Request {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn framing(&self) -> Framing {
        match (self.field("transfer-encoding"), self.field("content-length")) {
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a number")),
            (None, None) => Framing::None,
        }
    }
}

impl Stream {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// No more will be sent.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
