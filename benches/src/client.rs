//! The client of the load tools: one blocking request at a time on a connection that stays open.
//!
//! Understands responses framed by Content-Length and nothing else: that is all `origin` sends, and a proxy
//! that changes the framing of a plain response is something to notice.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::sys::{self, ConnectOptions};

/// How long a client waits for anything before it counts as an error.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What a response was, its body read and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Bytes of body that came; as many as Content-Length said, or reading failed.
    pub body_bytes: u64,
    /// The server announced that it closes the connection.
    pub close: bool,
}

/// A parsed response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHead {
    /// Bytes of the head, blank line included.
    pub head_bytes: usize,
    /// The status code.
    pub status: u16,
    /// The value of Content-Length.
    pub content_bytes: u64,
    /// The server announced that it closes the connection.
    pub close: bool,
}

/// The bytes of a GET request for `path`.
pub fn request(host: SocketAddr, path: &str, close: bool) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{connection}\r\n").into_bytes()
}

/// Parses a response head; `None` when more bytes are needed.
///
/// # Errors
/// When it is malformed or not framed by Content-Length.
pub fn parse_head(bytes: &[u8]) -> io::Result<Option<ReplyHead>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).map_err(invalid)?;
    let httparse::Status::Complete(head_bytes) = status else { return Ok(None) };
    let find =
        |name: &str| response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let length = find("content-length").ok_or_else(|| invalid("no content-length"))?;
    let content_bytes = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
    Ok(Some(ReplyHead {
        head_bytes,
        status: response.code.unwrap_or(0),
        content_bytes: content_bytes.ok_or_else(|| invalid("bad content-length"))?,
        close: find("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close")),
    }))
}

/// Reads one whole response; `scratch` only saves allocating.
///
/// # Errors
/// When the connection ends or times out first, the response is malformed, or more follows it.
pub fn read_reply(stream: &mut TcpStream, scratch: &mut Vec<u8>) -> io::Result<Reply> {
    scratch.resize(SCRATCH_BYTES, 0);
    let mut filled = 0;
    let head = loop {
        filled += read_some(stream, &mut scratch[filled..])?;
        if let Some(head) = parse_head(&scratch[..filled])? {
            break head;
        }
    };
    let mut body_bytes = (filled - head.head_bytes) as u64;
    while body_bytes < head.content_bytes {
        body_bytes += read_some(stream, scratch)? as u64;
    }
    if body_bytes > head.content_bytes {
        return Err(invalid("bytes after the response"));
    }
    Ok(Reply { status: head.status, body_bytes, close: head.close })
}

/// Requests `path` twice: on one connection, or with `close` on a new one each time, whose end must follow.
///
/// # Errors
/// When an answer is not 200 with `body_bytes` bytes, or the connection does not behave as asked.
pub fn verify(target: SocketAddr, path: &str, body_bytes: u64, close: bool) -> io::Result<()> {
    let mut scratch = Vec::new();
    let mut stream = sys::connect(target, ConnectOptions::default(), TIMEOUT)?;
    for _ in 0..2 {
        stream.write_all(&request(target, path, close))?;
        let reply = read_reply(&mut stream, &mut scratch)?;
        if reply != (Reply { status: 200, body_bytes, close }) {
            return Err(invalid(format!(
                "GET {path}: got {reply:?}, expected {body_bytes} bytes, close {close}"
            )));
        }
        if close {
            if stream.read(&mut [0])? != 0 {
                return Err(invalid("bytes after the last response"));
            }
            stream = sys::connect(target, ConnectOptions::default(), TIMEOUT)?;
        }
    }
    Ok(())
}

fn read_some(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    match stream.read(buf)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => Ok(n),
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Fits every head of the load tools; bodies pass through it.
const SCRATCH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_with_its_blank_line_only() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        assert_eq!(parse_head(&bytes[..bytes.len() - 1]).unwrap(), None);
        let head = parse_head(bytes).unwrap().unwrap();
        assert_eq!(head, ReplyHead { head_bytes: bytes.len(), status: 200, content_bytes: 12, close: true });
    }

    #[test]
    fn other_framings_are_errors() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
