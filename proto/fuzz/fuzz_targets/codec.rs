//! The HTTP/1 codec in either role: no bytes panic, any cut gives the same parts, and what was understood and is
//! sent on is understood the same way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_proto::chunk::{Chunk, Pool, SendQueue};
use ringway_proto::h1::{Codec, CodecLimits};
use ringway_proto::message::{
    Body, Field, Fields, Method, Name, Part, RequestHead, Reset, ResponseHead, Status, Version,
};
use std::rc::Rc;

/// The request that a response answers.
#[derive(Clone, Copy)]
enum Request {
    Get,
    Head,
    Connect,
    Upgrade,
}

impl Request {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Get => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Self::Head => b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            Self::Connect => b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            Self::Upgrade => {
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            }
        }
    }
}

// The first byte chooses the role, the second how the rest is cut.
fuzz_target!(|input: &[u8]| {
    let [role, cut, bytes @ ..] = input else { return };
    let request = match role % 8 {
        0..4 => None,
        4 => Some(Request::Get),
        5 => Some(Request::Head),
        6 => Some(Request::Connect),
        _ => Some(Request::Upgrade),
    };
    let whole = Side::new(request).hear(bytes, std::iter::empty());
    let cut = Side::new(request).hear(bytes, pieces(*cut));
    assert_eq!(cut.trim_end_matches("!Truncated"), common(&whole, &cut));
});

/// Lengths that look random, short ones more often.
fn pieces(seed: u8) -> impl Iterator<Item = usize> {
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((state >> 24) as usize >> (state >> 20 & 7))
    })
}

/// What `whole` says, without its end when the cut stream was truncated: a line that never ends may be refused
/// before or because the connection ends in it.
fn common<'a>(whole: &'a str, cut: &str) -> &'a str {
    match whole.rfind('!') {
        Some(at) if cut.ends_with("!Truncated") => &whole[..at],
        _ => whole,
    }
}

/// A codec and what it told.
struct Side {
    request: Option<Request>,
    codec: Codec,
    out: SendQueue,
    told: String,
    is_reset: bool,
    is_data: bool,
    /// Whether the request asked for another protocol. It always gets it: whether bytes behind a refused upgrade
    /// are a request depends, on purpose, on when they come.
    is_upgrade: bool,
}

impl Side {
    fn new(request: Option<Request>) -> Self {
        let (limits, pool) = (Rc::new(limits()), Pool::new());
        let mut out = SendQueue::new(pool.clone());
        let codec = match request {
            None => Codec::server(limits, pool),
            Some(request) => {
                let mut codec = Codec::client(limits, pool);
                ask(&mut codec, request, &mut out);
                codec
            }
        };
        out.clear();
        Self { request, codec, out, told: String::new(), is_reset: false, is_data: false, is_upgrade: false }
    }

    fn hear(mut self, bytes: &[u8], pieces: impl Iterator<Item = usize>) -> String {
        let mut pieces = pieces.chain(std::iter::repeat(usize::MAX));
        let mut rest = bytes;
        while !rest.is_empty() {
            let (front, behind) = rest.split_at(pieces.next().unwrap_or(1).min(rest.len()));
            rest = behind;
            self.codec.on_received(Chunk::from(front.to_vec()));
            self.drain();
            self.codec.retain();
        }
        self.codec.on_finished();
        self.drain();
        assert!(!self.is_reset || self.codec.must_close());
        assert!(!(self.codec.must_close() && self.codec.is_reusable()));
        self.told
    }

    fn drain(&mut self) {
        while let Some(part) = self.codec.poll_part() {
            assert!(!self.is_reset);
            self.is_reset = matches!(part, Part::Reset(_));
            self.tell(&part);
            if self.request.is_none() && matches!(part, Part::End) && !self.codec.is_tunnel() {
                self.answer();
            }
            match part {
                Part::Request(head) => {
                    let is_possible = head.version == Version::Http11 && head.method() != Method::Connect;
                    self.is_upgrade = is_possible && head.fields.has(Name::Upgrade);
                    pass_on_request(&head);
                }
                Part::Response(head) => {
                    self.request.iter().for_each(|&request| pass_on_response(&head, request))
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, part: &Part) {
        let is_data = matches!(part, Part::Data(_));
        if !(is_data && self.is_data) {
            self.told.push('\n');
        }
        self.is_data = is_data;
        match part {
            Part::Request(head) => {
                let line = (head.method_bytes().escape_ascii(), head.target_bytes().escape_ascii());
                self.told += &format!("{} {} {:?}", line.0, line.1, head.body());
                self.tell_fields(&head.fields);
            }
            Part::Response(head) => {
                self.told += &format!("{:?} {:?}", head.status, head.body());
                self.tell_fields(&head.fields);
            }
            Part::Data(data) => {
                assert!(!data.is_empty());
                self.told += &data.escape_ascii().to_string();
            }
            Part::Trailers(fields) => self.tell_fields(fields),
            Part::End => self.told.push('.'),
            Part::Reset(reset) => self.told += &format!("!{reset:?}"),
        }
    }

    fn tell_fields(&mut self, fields: &Fields) {
        for field in fields.iter() {
            self.told += &format!(" {}={}", field.name.escape_ascii(), field.value.escape_ascii());
        }
    }

    fn answer(&mut self) {
        let status = if self.is_upgrade { Status::SWITCHING_PROTOCOLS } else { Status::OK };
        let mut head = ResponseHead::local(status, Body::Empty);
        head.upgrade = self.is_upgrade.then(|| b"x".as_slice().into());
        self.codec.send(Part::Response(head), &mut self.out);
        if !self.codec.is_tunnel() {
            self.codec.send(Part::End, &mut self.out);
        }
        self.out.clear();
    }
}

/// Sends a request head on, and checks that whoever receives it reads the same.
fn pass_on_request(head: &RequestHead) {
    let (limits, pool) = (Rc::new(limits()), Pool::new());
    let mut out = SendQueue::new(pool.clone());
    Codec::client(limits.clone(), pool.clone()).send_request(head, &mut out);
    let mut server = Codec::server(limits, pool);
    server.on_received(Chunk::from(sent(&out)));
    match server.poll_part() {
        Some(Part::Request(again)) => {
            let is_host_new = !head.fields.has(Name::Host);
            assert_eq!(end_to_end(&again.fields)[usize::from(is_host_new)..], end_to_end(&head.fields));
            assert_eq!(again.method_bytes(), head.method_bytes());
            let is_length_new = head.body() == Body::Empty && again.body() == Body::Length(0);
            assert!(again.body() == head.body() || is_length_new);
        }
        // HTTP/1.0 without Host goes out with an empty one, which not everybody takes.
        Some(Part::Reset(Reset::Malformed(rule))) => assert!(!head.fields.has(Name::Host), "{rule:?}"),
        other => panic!("{other:?}"),
    }
}

/// Sends a response head on, and checks that whoever receives it reads the same.
fn pass_on_response(head: &ResponseHead, request: Request) {
    if head.status.is_informational() {
        return;
    }
    let (limits, pool) = (Rc::new(limits()), Pool::new());
    let mut out = SendQueue::new(pool.clone());
    let mut server = Codec::server(limits.clone(), pool.clone());
    server.on_received(Chunk::from(request.bytes().to_vec()));
    while server.poll_part().is_some() {}
    server.send(Part::Response(head.clone()), &mut out);
    let bytes = sent(&out);
    let mut client = Codec::client(limits, pool);
    ask(&mut client, request, &mut out);
    client.on_received(Chunk::from(bytes));
    match client.poll_part() {
        Some(Part::Response(again)) => {
            assert_eq!(again.status, head.status);
            assert_eq!(end_to_end(&again.fields), end_to_end(&head.fields));
        }
        other => panic!("{other:?}"),
    }
}

fn ask(client: &mut Codec, request: Request, out: &mut SendQueue) {
    let mut server = Codec::server(Rc::new(limits()), Pool::new());
    server.on_received(Chunk::from(request.bytes().to_vec()));
    while let Some(mut part) = server.poll_part() {
        if let Part::Request(head) = &mut part {
            head.upgrade = head.fields.get(Name::Upgrade).map(Into::into);
        }
        client.send(part, out);
    }
}

fn limits() -> CodecLimits {
    CodecLimits { body_bytes: Some(1 << 20), interim_max: 3, ..CodecLimits::default() }
}

fn sent(out: &SendQueue) -> Vec<u8> {
    let mut bytes = Vec::new();
    out.visit(|slice| {
        bytes.extend_from_slice(slice);
        true
    });
    bytes
}

/// The fields that are forwarded as they are.
fn end_to_end(fields: &Fields) -> Vec<String> {
    let is_own = |name: Name| {
        matches!(
            name,
            Name::ContentLength
                | Name::TransferEncoding
                | Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Upgrade
                | Name::Http2Settings
        )
    };
    let line = |field: Field<'_>| format!("{}={}", field.name.escape_ascii(), field.value.escape_ascii());
    fields.iter().filter(|field| !is_own(field.id)).map(line).collect()
}
