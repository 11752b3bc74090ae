//! Sessions against sessions.

use super::*;
use crate::time::Instant;
use ringway_proto::chunk::{Pool, SendQueue};
use std::time::Duration;

/// A certificate of an authority that was made for tests, its key, and that of the authority: Ed25519, whose signatures
/// all have one length, valid for "a.example" and 127.0.0.1 until 2126.
const CHAIN: &[u8] = include_bytes!("../../testing/tls/a.example.pem");
const KEY: &[u8] = include_bytes!("../../testing/tls/a.example.key");
const AUTHORITY: &[u8] = include_bytes!("../../testing/tls/authority.pem");

fn server() -> Context {
    let mut builder = ContextBuilder::server().expect("the library works");
    builder.identity(&Identity::from_pem(CHAIN, KEY).expect("they belong together")).expect("it is good");
    builder.protocols(&[b"http/1.1"]).expect("it is a name");
    builder.build()
}

fn client() -> ContextBuilder {
    let mut builder = ContextBuilder::client().expect("the library works");
    builder.trust(AUTHORITY).expect("it is PEM");
    builder
}

type Meddler = Box<dyn FnMut(bool, &mut Vec<u8>)>;

/// A client and a server, and the bytes between them.
struct Pair {
    pool: Pool,
    now: Instant,
    client: Session,
    server: Session,
    /// Bytes that arrive at a time.
    piece: usize,
    /// Changes what the client (true) or the server (false) sends.
    meddle: Meddler,
}

impl Pair {
    fn new(server: &Context, client: &Context, name: &str) -> Self {
        let (pool, now) = (Pool::new(), Instant::ZERO);
        Self {
            client: Session::client(client, name, pool.clone(), now).expect("there is memory"),
            server: Session::server(server, pool.clone(), now).expect("there is memory"),
            pool,
            now,
            piece: usize::MAX,
            meddle: Box::new(|_, _| {}),
        }
    }

    /// Moves bytes until nobody has any left.
    fn shake(&mut self) {
        self.client.shake();
        while self.pass(true) | self.pass(false) {}
    }

    /// Moves what one side has sent. False when it has nothing.
    fn pass(&mut self, is_clients: bool) -> bool {
        let (from, to) = match is_clients {
            true => (&mut self.client, &mut self.server),
            false => (&mut self.server, &mut self.client),
        };
        let mut bytes = taken(from);
        (self.meddle)(is_clients, &mut bytes);
        for piece in bytes.chunks(self.piece) {
            to.on_received(self.pool.copy(piece));
            to.shake();
            to.retain();
        }
        !bytes.is_empty()
    }

    /// What the server reads of what the client writes, or the other way round.
    fn carry(&mut self, is_clients: bool, plain: &[u8]) -> Vec<u8> {
        let mut queue = SendQueue::new(self.pool.clone());
        queue.push(self.pool.copy(plain));
        let mut read = Vec::new();
        loop {
            let from = if is_clients { &mut self.client } else { &mut self.server };
            from.seal(self.now, &mut queue);
            let has_moved = self.pass(is_clients);
            let to = if is_clients { &mut self.server } else { &mut self.client };
            while let Some(chunk) = to.poll_plain() {
                read.extend_from_slice(&chunk);
            }
            if !has_moved {
                return read;
            }
        }
    }
}

fn taken(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.outgoing().visit(|slice| {
        bytes.extend_from_slice(slice);
        true
    });
    session.on_transmitted(bytes.len());
    bytes
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn two_sides_agree_and_carry_content_both_ways() {
    for piece in [1, 7, 1000, usize::MAX] {
        let mut pair = Pair::new(&server(), &client().build(), "a.example");
        pair.piece = piece;
        pair.shake();
        assert_eq!((pair.client.state(), pair.server.state()), (&State::Open, &State::Open));
        let facts = pair.server.facts().expect("they agree");
        assert_eq!((facts.version, &*facts.group), ("TLSv1.3", "X25519MLKEM768"));
        assert_eq!(
            (&*facts.server_name.unwrap_or_default(), &*facts.cipher),
            ("a.example", "TLS_AES_128_GCM_SHA256")
        );
        for len in [1, 100, 5000, 16_384, 300_000] {
            assert!(pair.carry(true, &text(len)) == text(len), "{len} in pieces of {piece}");
            assert!(pair.carry(false, &text(len)) == text(len), "{len} in pieces of {piece}");
        }
    }
}

#[test]
fn a_session_at_rest_holds_no_buffer() {
    let mut pair = Pair::new(&server(), &client().build(), "a.example");
    pair.shake();
    pair.carry(false, &text(100_000));
    assert_eq!(
        (pair.client.held_bytes(), pair.server.held_bytes(), pair.pool.outstanding_bytes()),
        (0, 0, 0)
    );
}

#[test]
fn a_certificate_has_to_be_one_for_the_name_and_from_who_is_trusted() {
    for (context, name, reason) in [
        (client().build(), "b.example", "hostname mismatch"),
        (client().build(), "127.0.0.2", "IP address mismatch"),
        (ContextBuilder::client().unwrap().build(), "a.example", "unable to get local issuer certificate"),
    ] {
        let mut pair = Pair::new(&server(), &context, name);
        pair.shake();
        assert_eq!(pair.client.state(), &State::Failed(Failure::Certificate(reason.into())));
        let State::Failed(Failure::Alert(_)) = pair.server.state() else {
            panic!("the server is told: {:?}", pair.server.state());
        };
    }
    let mut pair = Pair::new(&server(), &client().build(), "127.0.0.1");
    pair.shake();
    assert_eq!(pair.client.state(), &State::Open);
    assert!(Session::client(&client().build(), "", Pool::new(), Instant::ZERO).is_err());
}

#[test]
fn an_end_is_told_behind_what_was_sent() {
    let mut pair = Pair::new(&server(), &client().build(), "a.example");
    pair.shake();
    let mut queue = SendQueue::new(pair.pool.clone());
    queue.put(b"last words");
    pair.client.seal(pair.now, &mut queue);
    pair.client.finish();
    pair.client.finish();
    pair.pass(true);
    assert_eq!(pair.server.poll_plain().as_deref(), Some(&b"last words"[..]));
    assert_eq!(pair.server.poll_plain(), None);
    assert_eq!(pair.server.state(), &State::Finished);
    // The other direction goes on.
    assert_eq!(pair.carry(false, b"and mine"), b"and mine");
}

#[test]
fn one_changed_byte_anywhere_ends_it() {
    let mut pair = Pair::new(&server(), &client().build(), "a.example");
    pair.shake();
    let len = {
        let mut queue = SendQueue::new(pair.pool.clone());
        queue.put(b"hello");
        pair.client.seal(pair.now, &mut queue);
        taken(&mut pair.client).len()
    };
    for at in 0..len {
        let mut pair = Pair::new(&server(), &client().build(), "a.example");
        pair.shake();
        pair.meddle = Box::new(move |_, bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
        });
        // Where it is the length that grew, the rest is waited for.
        assert_eq!(pair.carry(true, b"hello"), b"", "byte {at}");
        let is_waiting = pair.server.undecrypted_bytes() > 0;
        assert!(is_waiting || matches!(pair.server.state(), State::Failed(_)), "byte {at}");
    }
}

#[test]
fn a_handshake_ends_in_order_whatever_byte_of_it_is_changed_or_missing() {
    let (server, client) = (server(), client().build());
    let flights = {
        let mut pair = Pair::new(&server, &client, "a.example");
        pair.client.shake();
        let hello = taken(&mut pair.client);
        pair.server.on_received(pair.pool.copy(&hello));
        pair.server.shake();
        [hello, taken(&mut pair.server)]
    };
    let minor_versions = flights.each_ref().map(|flight| {
        let mut at = 0;
        let step = |at: &mut usize| {
            let [_, _, _, high, low, ..] = flight[*at..] else { return None };
            let here = *at;
            *at += 5 + usize::from(u16::from_be_bytes([high, low]));
            Some(here + 2)
        };
        std::iter::from_fn(move || step(&mut at)).collect::<Vec<_>>()
    });
    for (is_clients, len) in [(true, flights[0].len()), (false, flights[1].len())] {
        for at in 0..len {
            for is_cut in [true, false] {
                let mut pair = Pair::new(&server, &client, "a.example");
                let mut is_first = true;
                pair.meddle = Box::new(move |sender, bytes| {
                    if sender == is_clients && std::mem::take(&mut is_first) {
                        match bytes.get_mut(at) {
                            Some(_) if is_cut => bytes.truncate(at),
                            Some(byte) => *byte ^= 0x40,
                            None => {}
                        }
                    }
                });
                pair.shake();
                // The lower half of a record's version says nothing (RFC 8446 section 5.1).
                let is_moot = !is_cut && minor_versions[usize::from(!is_clients)].contains(&at);
                let is_open = pair.client.state() == &State::Open && pair.server.state() == &State::Open;
                // All other bytes of a handshake are signed.
                assert!(
                    !is_open || is_moot,
                    "byte {at} of {len}, of the client: {is_clients}, cut: {is_cut}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_tls_fails() {
    for bytes in
        [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), &[0x16, 0x03, 0x01, 0xff, 0xff, 1], &[0; 40]]
    {
        let pool = Pool::new();
        let mut session = Session::server(&server(), pool.clone(), Instant::ZERO).expect("there is memory");
        session.on_received(pool.copy(bytes));
        session.shake();
        assert!(matches!(session.state(), State::Failed(Failure::Protocol(_))), "{:?}", session.state());
        assert_eq!(session.undecrypted_bytes(), 0);
    }
}

#[test]
fn records_are_short_first_and_after_a_pause() {
    let mut pair = Pair::new(&server(), &client().build(), "a.example");
    pair.shake();
    for pause in [0, 0, 2] {
        pair.now += Duration::from_secs(pause);
        let mut queue = SendQueue::new(pair.pool.clone());
        queue.push(pair.pool.copy(&text(40_000)));
        pair.server.seal(pair.now, &mut queue);
        let mut lens = Vec::new();
        let bytes = taken(&mut pair.server);
        let mut rest = bytes.as_slice();
        while let [_, _, _, high, low, ..] = rest {
            let len = 5 + usize::from(u16::from_be_bytes([*high, *low]));
            lens.push(len);
            rest = &rest[len..];
        }
        let is_paced = pair.now == Instant::ZERO && lens.len() > 3 || pause == 2;
        let first = if is_paced { 1369 + 5 + 17 } else { 16_384 + 5 + 17 };
        assert_eq!(lens[0], first, "{lens:?}");
    }
}

#[test]
fn a_key_belongs_to_its_certificate_and_is_not_encrypted() {
    let other = openssl_key();
    let refused = |chain: &[u8], key: &[u8]| Identity::from_pem(chain, key).expect_err("refused").to_string();
    assert_eq!(refused(CHAIN, &other), "the key is not that of the certificate");
    assert_eq!(refused(b"", KEY), "no certificate in the file");
    assert!(refused(b"-----BEGIN CERTIFICATE-----\nx\n", KEY).starts_with("certificate: "));
    assert!(refused(CHAIN, b"x").starts_with("key: "));
    let encrypted = include_bytes!("../../testing/tls/encrypted.key");
    assert_eq!(refused(CHAIN, encrypted), "the key is encrypted, and nobody could unlock it");
}

fn openssl_key() -> Vec<u8> {
    include_bytes!("../../testing/tls/other.key").to_vec()
}
