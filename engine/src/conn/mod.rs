//! One transport connection, either side: codec and send queue. It knows no proxying and no socket.
//!
//! Bytes come in with [`Connection::on_received`] and leave as parts through [`Connection::poll_part`]; parts
//! come in with [`Connection::send`] and leave as bytes through the queue, which the shard transmits.

mod opening;

pub use opening::{Awaited, Flaw, Opened, Proxied};

use crate::limits::UNDECODED_HIGH_BYTES;
use crate::port::{Port, Speech};
use crate::time::Instant;
use opening::Opening;
use ringway_proto::chunk::{Chunk, Pool, SendQueue};
use ringway_proto::message::{Part, RefusedRequest, RequestHead, Status};
use ringway_proto::{h1, raw};
use std::io::ErrorKind;
use std::rc::Rc;

/// A connection: what was received and is not decoded, what is encoded and not sent.
#[derive(Debug)]
pub struct Connection {
    codec: Codec,
    queue: SendQueue,
    input: Input,
    output: Output,
    /// When bytes last came, or the connection began.
    received_at: Instant,
    /// When bytes last left, or the queue last began to fill.
    sent_at: Instant,
    backlog: Backlog,
    /// When the head that is being received began.
    head_since: Option<Instant>,
}

/// How a peer takes what is sent to it, from the head of one response on.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// When the queue began to fill, later by the time in which it was empty since then: as if it had never been.
    pub since: Instant,
    /// Bytes that left.
    pub bytes: u64,
}

/// What speaks on the connection. The only place that knows versions.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is the large one, and a box would be a cache miss for every part"
)]
#[derive(Debug)]
enum Codec {
    H1(h1::Codec),
    Raw(raw::Codec),
    /// What stands before the connection's protocol.
    Opening(Box<Opening>),
    /// Nothing: parts pass as they are, to and from user code.
    Port(Inner),
}

/// The shard's end of a connection in memory.
#[derive(Debug)]
struct Inner {
    port: Port,
    has_response_begun: bool,
}

/// What may still come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// It said that nothing more comes.
    Finished,
    /// The connection broke.
    Failed,
}

/// What may still go to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// Half-close once the queue is empty.
    Finishing,
    /// Half-closed.
    Finished,
    /// A send was told that the connection broke. The kernel tells that once: what comes behind what was received
    /// before looks like an end, and is none.
    Broken,
}

impl Inner {
    fn poll_part(&mut self) -> Option<Part> {
        let part = self.port.poll_part();
        if let Some(Part::Response(head)) = &part {
            self.has_response_begun |= !head.status.is_informational();
            if head.status == Status::SWITCHING_PROTOCOLS {
                self.port.switch();
            }
        }
        part
    }

    fn send(&self, part: Part) {
        let is_switch = matches!(&part, Part::Response(head) if head.status == Status::SWITCHING_PROTOCOLS);
        if is_switch {
            // Before the user sees it: what it sends behind it is opaque.
            self.port.switch();
        }
        self.port.send(part);
    }
}

impl Connection {
    /// A connection on which a client speaks HTTP/1.
    pub fn server(limits: Rc<h1::CodecLimits>, pool: Pool, now: Instant) -> Self {
        Self::new(Codec::H1(h1::Codec::server(limits, pool.clone())), pool, now)
    }

    /// A connection on which we speak HTTP/1 to an origin.
    pub fn client(limits: Rc<h1::CodecLimits>, pool: Pool, now: Instant) -> Self {
        Self::new(Codec::H1(h1::Codec::client(limits, pool.clone())), pool, now)
    }

    /// A connection of opaque bytes.
    pub fn raw(pool: Pool, now: Instant) -> Self {
        Self::new(Codec::Raw(raw::Codec::new(pool.clone())), pool, now)
    }

    /// A client's connection that begins with what is awaited; [`Connection::begin_server`] or [`Connection::begin_raw`]
    /// follow.
    pub fn opening(awaited: Awaited, pool: Pool, now: Instant) -> Self {
        Self::new(Codec::Opening(Box::new(Opening::new(awaited, pool.clone()))), pool, now)
    }

    /// A connection in memory.
    pub fn port(port: Port, pool: Pool, now: Instant) -> Self {
        Self::new(Codec::Port(Inner { port, has_response_begun: false }), pool, now)
    }

    fn new(codec: Codec, pool: Pool, now: Instant) -> Self {
        Self {
            codec,
            queue: SendQueue::new(pool),
            input: Input::Open,
            output: Output::Open,
            received_at: now,
            sent_at: now,
            backlog: Backlog { since: now, bytes: 0 },
            head_since: None,
        }
    }

    /// Bytes came.
    #[inline]
    pub fn on_received(&mut self, now: Instant, chunk: Chunk) {
        self.received_at = now;
        match &mut self.codec {
            Codec::H1(codec) => codec.on_received(chunk),
            Codec::Raw(codec) => codec.on_received(chunk),
            Codec::Opening(opening) => opening.on_received(chunk),
            Codec::Port(_) => debug_assert!(false, "no bytes come from memory"),
        }
    }

    /// The peer finished sending.
    pub fn on_finished(&mut self, now: Instant) {
        self.received_at = now;
        if self.output == Output::Broken {
            return self.on_failed();
        }
        if self.input == Input::Open {
            self.input = Input::Finished;
            match &mut self.codec {
                Codec::H1(codec) => codec.on_finished(),
                Codec::Raw(codec) => codec.on_finished(),
                Codec::Opening(opening) => opening.on_finished(),
                Codec::Port(_) => {}
            }
        }
    }

    /// The connection broke: nothing more comes, nothing more can go. What was received before is still told;
    /// that the end is missing has to be seen with [`Connection::is_failed`], since a break must never look
    /// like the clean end of a close-delimited body.
    pub fn on_failed(&mut self) {
        self.input = Input::Failed;
        self.output = Output::Finished;
        self.queue.clear();
    }

    /// Bytes from the front of the queue left.
    #[inline]
    pub fn on_transmitted(&mut self, now: Instant, len: usize) {
        self.queue.advance(len);
        self.sent_at = now;
        self.backlog.bytes += len as u64;
    }

    /// Nothing more can be sent; what the peer sent before may still come. When it had finished before, its end is
    /// an end all the same (`EPIPE`); any other error is a break.
    pub fn on_output_failed(&mut self, error: ErrorKind) {
        self.output = if error == ErrorKind::BrokenPipe { Output::Finished } else { Output::Broken };
        self.queue.clear();
    }

    /// The connection is taken into use: what it waits for counts from now.
    pub fn on_used(&mut self, now: Instant) {
        self.received_at = now;
        self.sent_at = now;
    }

    /// Drops what was received and not decoded: nobody wants it any more.
    pub fn drop_received(&mut self) {
        self.codec = Codec::Raw(raw::Codec::new(self.queue.pool().clone()));
    }

    /// The half-close was done.
    pub fn on_output_finished(&mut self) {
        self.output = Output::Finished;
    }

    /// What the beginning of the connection says.
    pub fn poll_opening(&mut self) -> Option<Opened> {
        match &mut self.codec {
            Codec::Opening(opening) => opening.poll(),
            Codec::H1(_) | Codec::Raw(_) | Codec::Port(_) => None,
        }
    }

    /// Whether anything came of the beginning.
    pub fn is_opening_begun(&self) -> bool {
        matches!(&self.codec, Codec::Opening(opening) if opening.is_begun())
    }

    /// The beginning is over, and a client speaks HTTP/1 behind it.
    pub fn begin_server(&mut self, limits: Rc<h1::CodecLimits>) {
        let mut codec = h1::Codec::server(limits, self.queue.pool().clone());
        opening::drain(self.take_stream(), |chunk| codec.on_received(chunk));
        if self.input == Input::Finished {
            codec.on_finished();
        }
        self.codec = Codec::H1(codec);
    }

    /// The beginning is over, and what is behind it is opaque.
    pub fn begin_raw(&mut self) {
        self.codec = Codec::Raw(self.take_stream());
    }

    fn take_stream(&mut self) -> raw::Codec {
        let nothing = Codec::Raw(raw::Codec::new(self.queue.pool().clone()));
        match std::mem::replace(&mut self.codec, nothing) {
            Codec::Opening(opening) => opening.into_bytes(),
            Codec::Raw(codec) => codec,
            Codec::H1(_) | Codec::Port(_) => unreachable!("its protocol has begun"),
        }
    }

    /// Puts bytes in front of everything that is sent on a connection that was just established.
    pub fn send_opening(&mut self, now: Instant, bytes: &[u8]) {
        debug_assert!(self.queue.is_empty(), "something was sent before");
        self.sent_at = now;
        self.queue.put(bytes);
    }

    /// The next received part.
    #[inline]
    pub fn poll_part(&mut self) -> Option<Part> {
        match &mut self.codec {
            Codec::H1(codec) => {
                let part = codec.poll_part();
                self.head_since = codec.is_head_begun().then(|| self.head_since.unwrap_or(self.received_at));
                part
            }
            Codec::Raw(codec) => codec.poll_part(),
            Codec::Opening(_) => None,
            Codec::Port(inner) => inner.poll_part(),
        }
    }

    /// Takes the end of a message where nothing else is left of it.
    #[inline]
    pub fn poll_end(&mut self) -> bool {
        match &mut self.codec {
            Codec::H1(codec) => codec.poll_end(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Takes what was read of the request for which the last [`ringway_proto::message::Reset::Malformed`] stands.
    pub fn take_refused(&mut self) -> Option<Box<RefusedRequest>> {
        match &mut self.codec {
            Codec::H1(codec) => codec.take_refused(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => None,
        }
    }

    /// Encodes a part into the queue. In a tunnel, `End` half-closes once the queue is empty.
    #[inline]
    pub fn send(&mut self, now: Instant, part: Part) {
        if self.output != Output::Open {
            return;
        }
        if self.queue.is_empty() {
            if matches!(part, Part::Response(_)) {
                self.backlog = Backlog { since: now, bytes: 0 };
            } else {
                self.backlog.since += now.since(self.sent_at);
            }
            self.sent_at = now;
        }
        if self.is_tunnel() && matches!(part, Part::End) {
            self.output = Output::Finishing;
        }
        match &mut self.codec {
            Codec::H1(codec) => codec.send(part, &mut self.queue),
            Codec::Raw(codec) => codec.send(part, &mut self.queue),
            Codec::Opening(_) => debug_assert!(false, "nothing is said before the beginning is over"),
            Codec::Port(inner) => inner.send(part),
        }
    }

    /// Encodes a request head that its exchange keeps.
    pub fn send_request(&mut self, now: Instant, head: &RequestHead) {
        self.sent_at = now;
        match &mut self.codec {
            Codec::H1(codec) => codec.send_request(head, &mut self.queue),
            Codec::Raw(_) | Codec::Opening(_) => debug_assert!(false, "a tunnel has no heads"),
            Codec::Port(inner) => inner.port.send(Part::Request(head.clone())),
        }
    }

    /// Half-closes once the queue is empty.
    pub fn finish(&mut self) {
        if self.output == Output::Open {
            self.output = Output::Finishing;
        }
    }

    /// The exchange that is running is the connection's last.
    pub fn set_last(&mut self) {
        if let Codec::H1(codec) = &mut self.codec {
            codec.set_last();
        }
    }

    /// Gives up buffers that would be held for little.
    #[inline]
    pub fn retain(&mut self) {
        match &mut self.codec {
            Codec::H1(codec) => codec.retain(),
            Codec::Raw(codec) => codec.retain(),
            Codec::Opening(opening) => opening.retain(),
            Codec::Port(_) => {}
        }
    }

    /// Bytes of memory held for what the peer has not taken.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        match &self.codec {
            Codec::Port(inner) => inner.port.held_bytes(),
            _ => self.queue.held_bytes(),
        }
    }

    /// The shard's end, where it is a connection in memory.
    #[inline]
    pub fn as_port(&self) -> Option<&Port> {
        match &self.codec {
            Codec::Port(inner) => Some(&inner.port),
            _ => None,
        }
    }

    /// What is to be transmitted.
    #[inline]
    pub fn queue(&self) -> &SendQueue {
        &self.queue
    }

    /// Whether the half-close is due: asked for, and nothing is left to send.
    #[inline]
    pub fn is_finish_due(&self) -> bool {
        self.output == Output::Finishing && self.queue.is_empty()
    }

    /// Whether receiving makes sense: the peer may still send, and what it sent is decoded soon enough.
    #[inline]
    pub fn is_receiving(&self) -> bool {
        self.input == Input::Open && self.undecoded_bytes() < UNDECODED_HIGH_BYTES
    }

    /// Whether the peer said that nothing more comes.
    #[inline]
    pub fn is_finished(&self) -> bool {
        match &self.codec {
            Codec::Port(inner) => inner.port.is_left(),
            _ => self.input == Input::Finished,
        }
    }

    /// Whether the connection broke.
    #[inline]
    pub fn is_failed(&self) -> bool {
        self.input == Input::Failed
    }

    /// Received bytes that no part was made of yet.
    #[inline]
    pub fn undecoded_bytes(&self) -> usize {
        match &self.codec {
            Codec::H1(codec) => codec.buffered_bytes(),
            Codec::Raw(codec) => codec.buffered_bytes(),
            Codec::Opening(opening) => opening.buffered_bytes(),
            Codec::Port(inner) => inner.port.waiting_bytes(),
        }
    }

    /// Whether the bytes are opaque in both directions.
    #[inline]
    pub fn is_tunnel(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_tunnel(),
            Codec::Raw(_) => true,
            Codec::Opening(_) => false,
            Codec::Port(inner) => inner.port.speech() == Speech::Raw,
        }
    }

    /// Between messages, with nothing left over.
    #[inline]
    pub fn is_idle(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_idle(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Whether another exchange may use the connection once the current one is complete.
    #[inline]
    pub fn is_reusable(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => self.input == Input::Open && codec.is_reusable(),
            Codec::Raw(codec) => {
                self.input == Input::Open && self.output == Output::Open && codec.buffered_bytes() == 0
            }
            Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Whether a request can be sent: the peer is there, and has said nothing that could be taken for the answer.
    #[inline]
    pub fn takes_request(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => self.input == Input::Open && codec.is_idle(),
            Codec::Port(_) => true,
            Codec::Raw(_) | Codec::Opening(_) => false,
        }
    }

    /// Whether no further exchange may use the connection.
    #[inline]
    pub fn must_close(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.must_close(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => true,
        }
    }

    /// Whether the client sees that its response is incomplete when the connection ends in order now.
    pub fn is_cut_visible(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_cut_visible(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Whether the client said of its last request that no other follows it.
    #[inline]
    pub fn is_reuse_declined(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_reuse_declined(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Whether the beginning of a head is there.
    #[inline]
    pub fn is_head_begun(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_head_begun(),
            Codec::Raw(_) | Codec::Opening(_) | Codec::Port(_) => false,
        }
    }

    /// Since when the beginning of a head is there. Pieces that come later do not move it, or a client could keep
    /// a head open for ever a byte at a time.
    #[inline]
    pub fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// Whether anything of a response came since the request was sent.
    #[inline]
    pub fn has_response_begun(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.has_response_begun(),
            Codec::Raw(_) | Codec::Opening(_) => false,
            Codec::Port(inner) => inner.has_response_begun,
        }
    }

    /// Whether the current request came to its end.
    #[inline]
    pub fn is_receive_done(&self) -> bool {
        match &self.codec {
            Codec::H1(codec) => codec.is_receive_done(),
            Codec::Raw(_) | Codec::Opening(_) => self.input != Input::Open,
            Codec::Port(inner) => inner.port.is_ended(),
        }
    }

    /// When bytes last came.
    #[inline]
    pub fn received_at(&self) -> Instant {
        self.received_at
    }

    /// When sending last made progress.
    #[inline]
    pub fn sent_at(&self) -> Instant {
        self.sent_at
    }

    /// How the peer takes what is sent to it.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }
}
