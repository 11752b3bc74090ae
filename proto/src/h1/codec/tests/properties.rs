//! What holds for every stream and every way to cut it.

use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Streams that a client may send, and a few that it may not.
const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /3 HTTP/1.1\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789HEAD /2 HTTP/1.1\r\nHost: b\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n9;x=\"y;\\\"\"\r\n\r\n0\r\n\r\nGE\r\n0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n00;last\r\nX-Sum: 1\r\nHost: b\r\n\r\nDELETE /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02raw\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n",
    "GET http://a/x HTTP/1.0\r\nHost: A:80\r\nConnection: keep-alive\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
];

/// A request and what an origin may answer to it, or not.
const RESPONSES: &[(&str, &str)] = &[
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    (
        GET,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n\r\n0\r\n0\r\nX-Sum: 1\r\nX-More:  2 \r\n\r\n",
    ),
    (GET, "HTTP/1.1 200 OK\r\n\r\nuntil\r\n\r\nclose"),
    (GET, "HTTP/1.0 200\r\nSet-Cookie: a\r\nConnection: keep-alive\r\nSet-Cookie: b\r\n\r\nx"),
    (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    (GET, "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nContent-Length: 5\r\n\r\n"),
    (GET, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    (
        UPGRADE,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw\r\n\r\n",
    ),
    ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nraw\r\n\r\n"),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What a codec says to bytes in pieces, followed by the end of the connection. Keeps the promises of
/// [`Codec::poll_part`] on the way: parts come in the order of a message, and none behind a reset.
struct Listener {
    end: End,
    words: Words,
    is_asking_upgrade: bool,
    is_reset: bool,
    data_bytes: usize,
}

impl Listener {
    fn server() -> Self {
        Self::new(End::server())
    }

    fn client(request: &str) -> Self {
        let mut end = End::client();
        for mut part in request_parts(request) {
            if let Part::Request(head) = &mut part {
                head.upgrade = head.fields.get(Name::Upgrade).map(Into::into);
            }
            end.send(part);
        }
        end.sent();
        Self::new(end)
    }

    fn new(end: End) -> Self {
        Self { end, words: Words::default(), is_asking_upgrade: false, is_reset: false, data_bytes: 0 }
    }

    fn hear(mut self, bytes: &[u8], pieces: impl Iterator<Item = usize>) -> String {
        let mut rest = bytes;
        for piece in pieces.chain(core::iter::once(usize::MAX)) {
            let (front, behind) = rest.split_at(piece.min(rest.len()));
            rest = behind;
            self.end.codec.on_received(Chunk::from(front.to_vec()));
            self.drain();
        }
        self.end.codec.on_finished();
        self.drain();
        assert!(self.data_bytes <= bytes.len());
        if self.is_reset {
            assert!(self.end.codec.must_close());
        }
        self.words.end()
    }

    fn drain(&mut self) {
        while let Some(part) = self.end.codec.poll_part() {
            assert!(!self.is_reset, "{part:?} behind a reset");
            self.words.add(&part);
            match &part {
                Part::Request(head) => self.is_asking_upgrade = head.fields.has(Name::Upgrade),
                Part::Data(data) => self.data_bytes += data.len(),
                Part::Reset(_) => self.is_reset = true,
                Part::Response(_) | Part::Trailers(_) | Part::End => {}
            }
            if matches!(part, Part::End) {
                self.answer();
            }
            self.end.codec.retain();
        }
    }

    fn answer(&mut self) {
        let codec = &self.end.codec;
        if codec.role == Role::Client || codec.is_tunnel() {
            return;
        }
        let mut head = ResponseHead::local(Status::OK, Body::Empty);
        if matches!(codec.exchange.switch, Switch::Upgrade(_)) && self.is_asking_upgrade {
            head = ResponseHead::local(Status::SWITCHING_PROTOCOLS, Body::Empty);
            head.upgrade = Some(b"websocket".as_slice().into());
        }
        self.end.send(Part::Response(head));
        if !self.end.codec.is_tunnel() {
            self.end.send(Part::End);
        }
        self.end.out.clear();
    }
}

fn heard(stream: usize, bytes: &[u8], pieces: impl Iterator<Item = usize>) -> String {
    match stream.checked_sub(REQUESTS.len()) {
        None => Listener::server().hear(bytes, pieces),
        Some(response) => Listener::client(RESPONSES[response].0).hear(bytes, pieces),
    }
}

fn stream(index: usize) -> &'static [u8] {
    match index.checked_sub(REQUESTS.len()) {
        None => REQUESTS[index].as_bytes(),
        Some(response) => RESPONSES[response].1.as_bytes(),
    }
}

const STREAMS: usize = REQUESTS.len() + RESPONSES.len();

#[test]
fn every_cut_of_every_stream_gives_the_same_parts() {
    for index in 0..STREAMS {
        let bytes = stream(index);
        let whole = heard(index, bytes, core::iter::empty());
        assert!(whole.len() > 10, "{whole}");
        assert_eq!(heard(index, bytes, core::iter::repeat_n(1, bytes.len())), whole, "byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(heard(index, bytes, core::iter::once(cut)), whole, "cut at {cut}");
        }
    }
}

#[test]
fn the_corpus_says_what_it_should() {
    let requests: Vec<String> =
        (0..REQUESTS.len()).map(|index| heard(index, stream(index), core::iter::empty())).collect();
    assert_eq!(requests[1], "GET /1 Empty Host=a . GET /2 Empty Host=a Connection=close .");
    assert_eq!(
        requests[3],
        "PUT / Streamed Host=a Transfer-Encoding=chunked [hello\\r\\n0\\r\\n\\r\\nGE] . GET /2 Empty ."
    );
    assert_eq!(
        requests[5],
        "GET /ws Empty Host=a Connection=upgrade Upgrade=websocket . [\\x01\\x02raw\\r\\n\\r\\n] ."
    );
    assert_eq!(requests[9], "!Malformed(LengthAndEncoding)");
}

fn mutate(bytes: &mut Vec<u8>, edits: Vec<(Index, u8, u8)>) {
    for (at, byte, kind) in edits {
        let at = at.index(bytes.len().max(1));
        match kind {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy);
            }
            _ => bytes.insert(at, byte),
        }
    }
}

fn bytes_that_matter() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => select(b"\r\n\t :;,=\"\\/?#%+-_.[]@0159aAfFxz\0\x7f\x80\xff".to_vec()),
        1 => any::<u8>(),
    ]
}

fn edits() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    proptest::collection::vec((any::<Index>(), bytes_that_matter(), 0..8_u8), 0..6)
}

/// A message of a request or response in text, all of it end-to-end.
fn content() -> impl Strategy<Value = (String, Vec<u8>)> {
    let data = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        Just((String::new(), Vec::new())),
        data.clone().prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        (proptest::collection::vec(data, 0..4), any::<bool>()).prop_map(|(chunks, has_trailers)| {
            let mut body = Vec::new();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(if has_trailers { b"0\r\nX-Sum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
            ("Transfer-Encoding: chunked\r\n".to_owned(), body)
        }),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    let line = ("X-[A-Za-z0-9]{1,8}", "[ \t]{0,2}", "([!-~]([ -~]{0,10}[!-~])?)?", "[ \t]{0,2}");
    let line = line.prop_map(|(name, before, value, after)| format!("{name}:{before}{value}{after}\r\n"));
    proptest::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
}

fn message(start: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    (start, fields(), content(), fields()).prop_map(|(start, before, (framing, body), after)| {
        [format!("{start}\r\n{before}{framing}{after}\r\n").into_bytes(), body].concat()
    })
}

/// The parts, without the fields that frame: those may move, be spelled anew, and be added to an empty PUT.
fn end_to_end(mut parts: Vec<Part>) -> String {
    let mut words = Words::default();
    for part in &mut parts {
        if let Part::Request(RequestHead { fields, .. }) | Part::Response(ResponseHead { fields, .. }) = part
        {
            fields.remove(Name::ContentLength);
            fields.remove(Name::TransferEncoding);
        }
        words.add(part);
    }
    words.end().replace("Length(0)", "Empty")
}

fn decoded(mut codec: Codec, bytes: &[u8]) -> Vec<Part> {
    codec.on_received(Chunk::from(bytes.to_vec()));
    codec.on_finished();
    let parts: Vec<Part> = core::iter::from_fn(|| codec.poll_part()).collect();
    assert!(!parts.iter().any(|part| matches!(part, Part::Reset(_))), "{parts:?}");
    parts
}

fn encoded(mut end: End, parts: Vec<Part>) -> Vec<u8> {
    for part in parts {
        end.send(part);
    }
    let mut sent = Vec::new();
    end.out.visit(|slice| {
        sent.extend_from_slice(slice);
        true
    });
    assert!(end.codec.is_reusable() || !matches!(end.codec.send, Send::Over));
    sent
}

proptest! {
    // `PROPTEST_CASES` sets how many.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, ..ProptestConfig::default() })]

    #[test]
    fn every_stream_in_any_pieces_gives_the_same_parts_however_broken(
        index in 0..STREAMS,
        edits in edits(),
        pieces in proptest::collection::vec(0_usize..20, 0..30),
    ) {
        let mut bytes = stream(index).to_vec();
        mutate(&mut bytes, edits);
        let mut whole = heard(index, &bytes, core::iter::empty());
        let mut cut = heard(index, &bytes, pieces.into_iter());
        // A line that never ends may be refused before or because the connection ends in it.
        if cut.ends_with("!Truncated") {
            cut.truncate(cut.rfind('!').unwrap());
            whole.truncate(whole.rfind('!').unwrap_or_default());
        }
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn random_bytes_do_no_harm(
        index in 0..STREAMS,
        bytes in proptest::collection::vec(bytes_that_matter(), 0..200),
        pieces in proptest::collection::vec(0_usize..20, 0..30),
    ) {
        heard(index, &bytes, pieces.into_iter());
    }

    #[test]
    fn a_request_that_is_sent_is_received_as_it_was(
        bytes in message("(GET|PUT|DELETE|HEAD|BREW) /[!-\"$-~]{0,20} HTTP/1\\.1\r\nHost: [a-z]{1,9}"),
    ) {
        let server = || End::server().codec;
        let sent = encoded(End::client(), decoded(server(), &bytes));
        prop_assert_eq!(end_to_end(decoded(server(), &sent)), end_to_end(decoded(server(), &bytes)));
        prop_assert_eq!(encoded(End::client(), decoded(server(), &sent)), sent);
    }

    #[test]
    fn a_response_that_is_sent_is_received_as_it_was(
        mut bytes in message("HTTP/1\\.[01] (200|206|299|404|503) [ -~]{0,10}"),
        request in select(vec![GET, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"]),
    ) {
        if bytes.windows(9).any(|name| name == b"Transfer-") {
            // Refused in HTTP/1.0.
            bytes[7] = b'1';
        }
        let client = || End::asking(GET).codec;
        let server = || { let mut server = End::server(); server.receive(request); server };
        let sent = encoded(server(), decoded(client(), &bytes));
        let strip = |parts: Vec<Part>| {
            let data_only = parts.into_iter().filter(|part| matches!(part, Part::Data(_) | Part::End)).collect();
            end_to_end(data_only)
        };
        prop_assert_eq!(strip(decoded(client(), &sent)), strip(decoded(client(), &bytes)));
        if request == GET && bytes.starts_with(b"HTTP/1.1") {
            prop_assert_eq!(encoded(server(), decoded(client(), &sent)), sent);
        }
    }
}
