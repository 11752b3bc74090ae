//! One TLS connection.

use super::backend::{self, Context, Read, Stream};
use super::failure::Failure;
use super::records::Records;
use super::wire::Wire;
use crate::time::Instant;
use ringway_proto::chunk::{Chunk, Pool, SMALL_BYTES, SendQueue};
use std::time::Duration;

/// One TLS connection, either side.
///
/// What was received goes in with [`Session::on_received`]; [`Session::shake`] takes the handshake on, then
/// [`Session::poll_plain`] gives out what it carried. What is to be sent goes in with [`Session::seal`], and is sent from
/// [`Session::outgoing`].
#[derive(Debug)]
pub struct Session {
    stream: Stream,
    pool: Pool,
    records: Records,
    state: State,
    pace: Pace,
    /// Whether our own end was said.
    is_finished: bool,
    /// Runs of records in a row that carried nothing for us.
    barren: u32,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The handshake is under way.
    Shaking,
    /// Content may come and go.
    Open,
    /// The peer said that nothing more comes from it.
    Finished,
    /// It is over.
    Failed(Failure),
}

/// What was agreed upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The name of the cipher suite.
    pub cipher: Box<str>,
    /// The name of the group in which keys were agreed upon, `X25519MLKEM768` say; empty where none was.
    pub group: Box<str>,
    /// The protocol that was chosen (RFC 7301).
    pub alpn: Option<Box<[u8]>>,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// Whether keys of an earlier session were used.
    pub is_resumed: bool,
}

/// How long records are. A client can use the first byte of a record when it has the last one, so the first are as long as
/// a segment; later ones are as long as may be, since each costs.
#[derive(Debug)]
struct Pace {
    sealed_at: Instant,
    /// Bytes since the connection last was silent.
    bytes: usize,
}

impl Session {
    /// The side of the server, which begins with what the client sends.
    ///
    /// # Errors
    /// When the library has no memory left.
    pub fn server(context: &Context, pool: Pool, now: Instant) -> Result<Self, Failure> {
        Ok(Self::new(backend::accept(context, Wire::new(pool.clone()))?, pool, now))
    }

    /// The side of the client. The certificate has to be one for `name`, a domain name or an IP address; domain names are
    /// sent (RFC 6066 section 3). [`Session::shake`] begins.
    ///
    /// # Errors
    /// When there can be no server of that name.
    pub fn client(context: &Context, name: &str, pool: Pool, now: Instant) -> Result<Self, Failure> {
        Ok(Self::new(backend::connect(context, name, Wire::new(pool.clone()))?, pool, now))
    }

    fn new(stream: Stream, pool: Pool, now: Instant) -> Self {
        Self {
            stream,
            pool,
            records: Records::default(),
            state: State::Shaking,
            pace: Pace { sealed_at: now, bytes: 0 },
            is_finished: false,
            barren: 0,
        }
    }

    /// Bytes came.
    #[inline]
    pub fn on_received(&mut self, chunk: Chunk) {
        // Behind the peer's end, and behind a failure, nothing counts.
        if matches!(self.state, State::Shaking | State::Open) {
            self.records.push(chunk, &self.pool);
        }
    }

    /// Takes the handshake as far on as what has come allows.
    pub fn shake(&mut self) {
        while self.state == State::Shaking {
            match backend::shake(&mut self.stream) {
                Ok(true) => self.state = State::Open,
                Ok(false) if self.offer() => {}
                Ok(false) => break,
                Err(failure) => self.fail(failure),
            }
        }
        self.wire_mut().settle();
    }

    /// What was agreed upon; `None` before that.
    pub fn facts(&self) -> Option<Facts> {
        (self.state != State::Shaking).then(|| backend::facts(&self.stream))
    }

    /// The next content.
    pub fn poll_plain(&mut self) -> Option<Chunk> {
        while self.state == State::Open {
            if backend::pending(&self.stream) == 0 && backend::wire(&self.stream).is_dry() && !self.offer() {
                return None;
            }
            let plain = self.open();
            self.wire_mut().settle();
            if !plain.is_empty() {
                self.barren = 0;
                return Some(plain);
            }
            self.barren += 1;
            if self.barren > BARREN_MAX {
                self.fail(Failure::Protocol("too many records without content".into()));
            }
        }
        None
    }

    /// Opens records of the run that the library has, as far as one buffer takes them.
    fn open(&mut self) -> Chunk {
        let bytes = backend::wire(&self.stream).offered_bytes().max(backend::pending(&self.stream));
        let mut plain = if bytes <= SMALL_BYTES { self.pool.small() } else { self.pool.large() };
        while plain.room() > 0 {
            match backend::read(&mut self.stream, plain.spare()) {
                Ok(Read::End) => {
                    self.state = State::Finished;
                    self.records.clear();
                    break;
                }
                Ok(Read::Content(len)) => plain.fill(len),
                Ok(Read::WantsMore) => break,
                Err(failure) => {
                    self.fail(failure);
                    break;
                }
            }
            // To ask in vain costs as much as a small record.
            if backend::wire(&self.stream).is_dry() && backend::pending(&self.stream) == 0 {
                break;
            }
        }
        plain.freeze()
    }

    /// Hands the next whole records to the library. False when there are none.
    fn offer(&mut self) -> bool {
        let Some(run) = self.records.take() else { return false };
        self.wire_mut().offer(run);
        true
    }

    /// Encrypts what is to be sent, as far as that makes sense before the socket takes it.
    pub fn seal(&mut self, now: Instant, plain: &mut SendQueue) {
        if self.is_finished || !matches!(self.state, State::Open | State::Finished) {
            return;
        }
        while !plain.is_empty() && backend::wire(&self.stream).output_bytes() < SEALED_AHEAD_BYTES {
            let mut moved = Ok(0);
            let most = self.pace.most(now);
            plain.visit(|slice| {
                moved = backend::write(&mut self.stream, &slice[..slice.len().min(most)]);
                false
            });
            match moved {
                Ok(len) => {
                    plain.advance(len);
                    self.pace.note(now, len);
                }
                Err(failure) => return self.fail(failure),
            }
        }
        self.wire_mut().settle();
    }

    /// Says that nothing more comes from us: behind everything that was sealed, once.
    pub fn finish(&mut self) {
        if !self.is_finished && matches!(self.state, State::Open | State::Finished) {
            self.is_finished = true;
            backend::finish(&mut self.stream);
            self.wire_mut().settle();
        }
    }

    /// What is to be sent.
    #[inline]
    pub fn outgoing(&self) -> &SendQueue {
        backend::wire(&self.stream).output()
    }

    /// Bytes from the front of [`Session::outgoing`] left.
    #[inline]
    pub fn on_transmitted(&mut self, len: usize) {
        self.wire_mut().advance(len);
    }

    /// Nothing can be sent any more.
    pub fn drop_outgoing(&mut self) {
        self.wire_mut().clear();
    }

    /// Where it stands.
    #[inline]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Bytes that came and are not given out.
    #[inline]
    pub fn undecrypted_bytes(&self) -> usize {
        let wire = backend::wire(&self.stream);
        self.records.len() + wire.offered_bytes() + backend::pending(&self.stream)
    }

    /// Bytes of memory that are held for what came and what goes.
    pub fn held_bytes(&self) -> usize {
        self.records.held_bytes() + backend::wire(&self.stream).held_bytes()
    }

    /// Gives up buffers that would be held for little.
    pub fn retain(&mut self) {
        self.records.retain(&self.pool);
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Failed(failure);
        self.records.clear();
        self.wire_mut().drop_input();
    }

    #[inline]
    fn wire_mut(&mut self) -> &mut Wire {
        backend::wire_mut(&mut self.stream)
    }
}

impl Pace {
    /// Bytes that the next records may take.
    #[inline]
    fn most(&mut self, now: Instant) -> usize {
        if now.since(self.sealed_at) >= SILENCE {
            self.bytes = 0;
        }
        if self.bytes < PACED_BYTES { SEGMENT_BYTES } else { SEALED_AT_ONCE_BYTES }
    }

    #[inline]
    fn note(&mut self, now: Instant, len: usize) {
        self.sealed_at = now;
        self.bytes = self.bytes.saturating_add(len);
    }
}

/// Content of a record that fits one segment of a usual path, with all headers and options.
const SEGMENT_BYTES: usize = 1369;
/// So much is sent in short records first: what TCP sends before the first acknowledgement comes. Behind that a client
/// waits for the network, not for the end of a record.
const PACED_BYTES: usize = 16 * 1024;
/// After so long without content records are short again.
const SILENCE: Duration = Duration::from_secs(1);
/// Content that the library is given at once: four full records.
const SEALED_AT_ONCE_BYTES: usize = 64 * 1024;
/// Encrypted bytes that wait for the socket; what is behind them stays as it is.
const SEALED_AHEAD_BYTES: usize = 64 * 1024;
/// Times in a row that what came carried nothing: tickets and new keys are few.
const BARREN_MAX: u32 = 32;
