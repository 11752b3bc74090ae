//! What stands before the protocol of a client's connection: who the client is, as the proxy in front of us says, and
//! which server it wants, as its TLS ClientHello says. The first is taken off the stream, the second stays on it.

use crate::limits::PROXY_HEADER_BYTES_MAX;
use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::message::Part;
use ringway_proto::proxy_protocol::{self, Endpoints, HeaderLimits};
use ringway_proto::raw;
use ringway_proto::tls_hello::{self, HelloLimits, HelloParser, Progress};
use std::net::SocketAddr;

/// What a connection has to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// A header of the PROXY protocol.
    pub header: bool,
    /// A ClientHello, or something that shows that none comes.
    pub hello: bool,
}

/// What the beginning of a connection says.
#[derive(Debug, PartialEq)]
pub enum Opened {
    /// For whom the connection was made.
    Proxied(Proxied),
    /// The beginning is over: what is received now is of the connection's protocol.
    Begun {
        /// The host that a ClientHello asks for, where one was awaited and names one.
        host: Option<Box<str>>,
    },
    /// It is none. Nothing comes behind that.
    Refused(Flaw),
}

/// For whom a proxy made its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// For itself, or for somebody it cannot name: the peer counts as the client.
    Peer,
    /// A client on a Unix-domain socket.
    Unix,
    /// A client with an address.
    Ip {
        /// Its own.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
}

/// What is wrong with the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no PROXY header, or a malformed one.
    Header(proxy_protocol::Rule),
    /// A malformed ClientHello.
    Hello(tls_hello::Rule),
}

/// Reads the beginning of a connection.
#[derive(Debug)]
pub(super) struct Opening {
    stage: Stage,
    awaits_hello: bool,
    /// What was read and not told yet.
    proxied: Option<Proxied>,
    verdict: Option<Opened>,
    /// What is left of the stream.
    bytes: raw::Codec,
}

#[derive(Debug)]
enum Stage {
    /// The header so far.
    Header(Vec<u8>),
    Hello(Box<HelloParser>),
    Over,
}

impl Flaw {
    /// The word that logs use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Header(rule) => rule.word(),
            Self::Hello(rule) => rule.word(),
        }
    }
}

impl Opening {
    pub(super) fn new(awaited: Awaited, pool: Pool) -> Self {
        let mut opening = Self {
            stage: Stage::Header(Vec::new()),
            awaits_hello: awaited.hello,
            proxied: None,
            verdict: None,
            bytes: raw::Codec::new(pool),
        };
        if !awaited.header {
            opening.end_header();
        }
        opening
    }

    pub(super) fn on_received(&mut self, chunk: Chunk) {
        match &mut self.stage {
            Stage::Header(head) => {
                let before = head.len();
                head.extend_from_slice(&chunk[..chunk.len().min(PROXY_HEADER_BYTES_MAX - before)]);
                match proxy_protocol::parse(head, &HEADER_LIMITS) {
                    Ok(None) => {}
                    Ok(Some((header, len))) => {
                        self.proxied = Some(Proxied::of(&header.endpoints));
                        self.end_header();
                        // What came before was too short, so its end is in this chunk.
                        self.on_received(chunk.slice(len - before..chunk.len()));
                    }
                    Err(rule) => self.refuse(Flaw::Header(rule)),
                }
            }
            Stage::Hello(parser) => {
                let verdict = match parser.on_bytes(&chunk) {
                    Progress::NeedMore => None,
                    Progress::Hello(hello) => {
                        Some(Opened::Begun { host: hello.server_name.host().map(Into::into) })
                    }
                    Progress::NotTls(_) => Some(Opened::Begun { host: None }),
                    Progress::Malformed(rule) => Some(Opened::Refused(Flaw::Hello(rule))),
                };
                self.bytes.on_received(chunk);
                if verdict.is_some() {
                    (self.stage, self.verdict) = (Stage::Over, verdict);
                }
            }
            Stage::Over => self.bytes.on_received(chunk),
        }
    }

    pub(super) fn on_finished(&mut self) {
        self.bytes.on_finished();
    }

    fn end_header(&mut self) {
        if self.awaits_hello {
            self.stage = Stage::Hello(Box::new(HelloParser::new(HelloLimits::default())));
        } else {
            (self.stage, self.verdict) = (Stage::Over, Some(Opened::Begun { host: None }));
        }
    }

    fn refuse(&mut self, flaw: Flaw) {
        (self.stage, self.verdict) = (Stage::Over, Some(Opened::Refused(flaw)));
    }

    /// What the beginning says, each thing once and in order.
    pub(super) fn poll(&mut self) -> Option<Opened> {
        self.proxied.take().map(Opened::Proxied).or_else(|| self.verdict.take())
    }

    /// Whether anything came.
    pub(super) fn is_begun(&self) -> bool {
        match &self.stage {
            Stage::Header(head) => !head.is_empty(),
            Stage::Hello(_) | Stage::Over => self.bytes.buffered_bytes() > 0,
        }
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.bytes.buffered_bytes()
    }

    pub(super) fn retain(&mut self) {
        self.bytes.retain();
    }

    /// The stream behind the header, with what came of it.
    pub(super) fn into_bytes(self) -> raw::Codec {
        self.bytes
    }
}

impl Proxied {
    fn of(endpoints: &Endpoints<'_>) -> Self {
        match *endpoints {
            Endpoints::Local | Endpoints::Unknown => Self::Peer,
            Endpoints::Unix { .. } => Self::Unix,
            Endpoints::Ip { source, destination } => Self::Ip { source, destination },
        }
    }
}

/// Feeds what is left of a stream to `each`.
pub(super) fn drain(mut bytes: raw::Codec, mut each: impl FnMut(Chunk)) {
    while let Some(Part::Data(chunk)) = bytes.poll_part() {
        each(chunk);
    }
}

const HEADER_LIMITS: HeaderLimits = HeaderLimits { v2_bytes: PROXY_HEADER_BYTES_MAX };

const _: () = {
    // The longest line of version 1 fits, too.
    assert!(PROXY_HEADER_BYTES_MAX >= 536);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(awaited: Awaited, pieces: &[&[u8]]) -> (Vec<Opened>, Vec<u8>) {
        let mut opening = Opening::new(awaited, Pool::new());
        let mut said = Vec::new();
        for piece in pieces {
            opening.on_received(Chunk::from(piece.to_vec()));
            said.extend(std::iter::from_fn(|| opening.poll()));
        }
        let mut rest = Vec::new();
        drain(opening.into_bytes(), |chunk| rest.extend_from_slice(&chunk));
        (said, rest)
    }

    #[test]
    fn a_header_is_taken_off_wherever_it_is_cut() {
        let bytes = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n";
        let awaited = Awaited { header: true, hello: false };
        let whole = opened(awaited, &[bytes]);
        assert_eq!(whole.1, b"GET / HTTP/1.1\r\n");
        let source = "192.0.2.1:1".parse().unwrap();
        let destination = "192.0.2.2:2".parse().unwrap();
        let said = vec![Opened::Proxied(Proxied::Ip { source, destination }), Opened::Begun { host: None }];
        assert_eq!(whole.0, said);
        for at in 1..bytes.len() {
            assert_eq!(opened(awaited, &[&bytes[..at], &bytes[at..]]), whole, "{at}");
        }
    }

    #[test]
    fn a_header_that_does_not_end_is_refused_at_its_bound() {
        let header = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 70_000]].concat();
        let awaited = Awaited { header: true, hello: true };
        let flaw = Opened::Refused(Flaw::Header(proxy_protocol::Rule::TooLarge));
        assert_eq!(opened(awaited, &[&header]).0, [flaw]);
    }

    #[test]
    fn what_is_not_tls_is_left_as_it_is() {
        let awaited = Awaited { header: false, hello: true };
        let (said, rest) = opened(awaited, &[b"\x16\x03", b"\x01\0", b"\0rest"]);
        assert_eq!(said, [Opened::Refused(Flaw::Hello(tls_hello::Rule::EmptyRecord))]);
        assert_eq!(rest, b"\x16\x03\x01\0\0rest");
        let (said, rest) = opened(awaited, &[b"SSH-", b"2.0"]);
        assert_eq!((said, rest), (vec![Opened::Begun { host: None }], b"SSH-2.0".to_vec()));
    }
}
