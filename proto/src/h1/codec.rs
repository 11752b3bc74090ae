//! The codec of one HTTP/1 connection, and when it may carry another exchange (RFC 9112 section 9).

use super::body::{BodyDecoder, BodyEncoder, Decoded, LengthBroken};
use super::chunked::ChunkedLimits;
use super::encode::{self, Options, Persistence, Plan};
use super::head::{FramingFields, HeadLimits, RawRequest, RawResponse};
use super::input::{HeadReader, Input, Section};
use crate::chunk::{Chunk, Pool, SendQueue};
use crate::message::{
    Body, Fields, Method, Name, Part, RefusedRequest, RequestHead, Reset, ResponseHead, Version, fields,
};
use crate::rules::framing::{self, FramingChecked};
use crate::rules::hop_by_hop::{self, Connection};
use crate::rules::{Rule, host, upgrade};
use std::rc::Rc;

/// Bounds of what a connection accepts. Shared by all connections of a listener or cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecLimits {
    /// Bounds of a head.
    pub head: HeadLimits,
    /// Bytes of a trailer section.
    pub trailer_bytes: usize,
    /// Bytes of one chunk-size line with its extensions. A message may carry 16 times as many bytes of
    /// extensions beyond what its data outweigh.
    pub chunk_line_bytes: usize,
    /// Interim (1xx) responses to one request; client role.
    pub interim_max: u32,
    /// Bytes of a request body; server role.
    pub body_bytes: Option<u64>,
}

impl Default for CodecLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            trailer_bytes: 16 * 1024,
            chunk_line_bytes: 1024,
            interim_max: 16,
            body_bytes: None,
        }
    }
}

impl CodecLimits {
    #[inline]
    pub(super) fn chunked(&self, body_bytes: u64) -> ChunkedLimits {
        let line_bytes = self.chunk_line_bytes;
        ChunkedLimits { line_bytes, extension_bytes: line_bytes.saturating_mul(EXTENSION_LINES), body_bytes }
    }
}

/// The codec of one HTTP/1 connection, in either role.
///
/// A server decodes requests and encodes responses, one after the other: the next request is not decoded
/// before the response to the current one is sent. A client encodes requests and decodes responses, only while
/// one is owed. After a 101, or a 2xx to CONNECT, both directions are opaque bytes: `Data`, then `End`.
#[derive(Debug)]
pub struct Codec {
    limits: Rc<CodecLimits>,
    pool: Pool,
    role: Role,
    input: Input,
    heads: HeadReader,
    /// The peer has finished: no more bytes come.
    is_finished: bool,
    /// The exchange that begins next, or is under way, is the last.
    is_last: bool,
    receive: Receive,
    send: Send,
    exchange: Exchange,
    /// What was read of the request that was refused, until somebody takes it. Not in [`Receive::Over`], which is where
    /// it belongs: what a request goes through would have to be dropped then wherever it changes.
    refused: Option<Box<RefusedRequest>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

/// What is received next.
#[derive(Debug)]
enum Receive {
    /// Nothing is expected. Server: the request is complete and its response is not. Client: no request is
    /// unanswered.
    Idle,
    /// A head.
    Head,
    Body(BodyDecoder),
    /// The content is complete; its `End` is to be told.
    End,
    Tunnel,
    /// Nothing: the tunnel ended, or nothing that comes can be trusted or answered any more.
    Over,
}

/// What is sent next.
#[derive(Debug, PartialEq)]
enum Send {
    /// Nothing is owed. Server: no request is there. Client: a request may be sent.
    Idle,
    /// A response; server role.
    Head,
    Body(BodyEncoder),
    Tunnel,
    /// Nothing: the tunnel ended, or what was announced cannot be kept.
    Over,
}

/// What both directions must know about the current exchange.
#[derive(Debug)]
struct Exchange {
    method: Method,
    /// The version of the request; a client's own is always 1.1.
    version: Version,
    reuse: Reuse,
    switch: Switch,
    /// Interim responses received; client role.
    interim: u32,
    /// Whether a byte came since the request was sent; client role.
    is_response_begun: bool,
    /// What the received head nominates, where trailers may follow it.
    nominated: Box<[Box<[u8]>]>,
}

/// Whether another exchange may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// As is the default of HTTP/1.1.
    Yes,
    /// An HTTP/1.0 client asked for it; it must be told (RFC 9112 section 9.3).
    WhenTold,
    /// The client said that this request is its last.
    Declined,
    /// We say so, or nothing that comes can be trusted any more.
    No,
}

impl Reuse {
    /// No more, whatever was before.
    #[inline]
    fn end(&mut self) {
        if *self != Self::Declined {
            *self = Self::No;
        }
    }

    #[inline]
    fn is_over(self) -> bool {
        matches!(self, Self::Declined | Self::No)
    }
}

/// Whether the connection turns into a tunnel.
#[derive(Debug, PartialEq)]
enum Switch {
    No,
    /// The request is CONNECT.
    Connect,
    /// The request asks for another protocol; a client keeps which.
    Upgrade(Option<Box<[u8]>>),
    /// The answer was yes. Each direction follows when its message is complete.
    On,
}

impl Exchange {
    fn new() -> Self {
        Self {
            method: Method::Get,
            version: Version::Http11,
            reuse: Reuse::Yes,
            switch: Switch::No,
            interim: 0,
            is_response_begun: false,
            nominated: Box::default(),
        }
    }
}

impl Codec {
    /// A codec that receives requests.
    pub fn server(limits: Rc<CodecLimits>, pool: Pool) -> Self {
        Self::new(Role::Server, Receive::Head, limits, pool)
    }

    /// A codec that sends requests.
    pub fn client(limits: Rc<CodecLimits>, pool: Pool) -> Self {
        Self::new(Role::Client, Receive::Idle, limits, pool)
    }

    fn new(role: Role, receive: Receive, limits: Rc<CodecLimits>, pool: Pool) -> Self {
        Self {
            limits,
            pool,
            role,
            input: Input::default(),
            heads: HeadReader::default(),
            is_finished: false,
            is_last: false,
            receive,
            send: Send::Idle,
            exchange: Exchange::new(),
            refused: None,
        }
    }

    /// Bytes came. They are decoded by [`Codec::poll_part`].
    #[inline]
    pub fn on_received(&mut self, chunk: Chunk) {
        // What comes when nothing can be believed or answered any more is not worth its memory.
        if chunk.is_empty() || matches!(self.receive, Receive::Over) {
            return;
        }
        self.exchange.is_response_begun |= !matches!(self.receive, Receive::Idle);
        self.input.push(chunk, &self.pool);
    }

    /// The peer will send nothing more. What that means for the message under way, [`Codec::poll_part`] tells.
    pub fn on_finished(&mut self) {
        self.is_finished = true;
        match (self.role, &self.receive) {
            // Whatever is answered yet, nothing can follow it.
            (Role::Client, Receive::Idle) => self.give_up(),
            (Role::Server, Receive::Head) if self.is_idle() => self.give_up(),
            _ => {}
        }
    }

    /// The next part of the message under way, or of the next message when it may begin.
    #[inline]
    pub fn poll_part(&mut self) -> Option<Part> {
        let is_between = matches!(self.receive, Receive::Head | Receive::Idle);
        if is_between && self.input.is_empty() && !self.is_finished {
            return None;
        }
        self.poll_received()
    }

    /// Takes the end of the message that is being received where nothing else is left of it: true when what came last is
    /// the last of its content. Whoever polls on instead gets a [`Part::End`].
    #[inline]
    pub fn poll_end(&mut self) -> bool {
        let is_end = matches!(self.receive, Receive::End);
        if is_end {
            self.on_received_end();
        }
        is_end
    }

    fn poll_received(&mut self) -> Option<Part> {
        match self.receive {
            Receive::Head => match self.role {
                Role::Server => self.poll_request(),
                Role::Client => self.poll_response(),
            },
            Receive::Body(_) => self.poll_body(),
            Receive::End => {
                self.on_received_end();
                Some(Part::End)
            }
            Receive::Tunnel => self.poll_tunnel(),
            Receive::Idle => self.poll_surplus(),
            Receive::Over => None,
        }
    }

    /// Sends a part: a server a response's, a client a request's, both a tunnel's. What does not fit the state
    /// of the exchange is a fault of ours and ignored. `End` of a tunnel is the connection's half-close.
    #[inline]
    pub fn send(&mut self, part: Part, out: &mut SendQueue) {
        match part {
            Part::Request(head) => self.send_request(&head, out),
            Part::Response(head) => self.send_response(&head, out),
            Part::Data(data) => self.send_data(data, out),
            Part::Trailers(fields) => match &mut self.send {
                Send::Body(body) => body.put_trailers(&fields, out),
                _ => self.misplaced("trailers"),
            },
            Part::End => self.send_end(out),
            Part::Reset(_) => debug_assert!(false, "a reset is the connection's to act on"),
        }
    }

    /// Sends a request head that its sender keeps; client role. As [`Codec::send`] of a `Part::Request`.
    #[inline]
    pub fn send_request(&mut self, head: &RequestHead, out: &mut SendQueue) {
        if self.role != Role::Client || !self.is_between() {
            return self.misplaced("a request");
        }
        let plan = Plan::for_request(head.method, head.framing());
        let persistence = if self.is_last { Persistence::Close } else { Persistence::Unsaid };
        let te = head.fields.has(Name::Te);
        encode::put_request(out, head, plan, Options { persistence, upgrade: protocol(&head.upgrade), te });
        self.exchange = Exchange {
            method: head.method,
            reuse: if self.is_last { Reuse::No } else { Reuse::Yes },
            switch: match &head.upgrade {
                _ if head.method == Method::Connect => Switch::Connect,
                Some(protocol) => Switch::Upgrade(Some(protocol.clone())),
                None => Switch::No,
            },
            ..Exchange::new()
        };
        self.send = Send::Body(plan.body);
        self.receive = Receive::Head;
    }

    /// This exchange, or the next when none is under way, is the last: the head that is still to be sent says
    /// `Connection: close`.
    pub fn set_last(&mut self) {
        self.is_last = true;
    }

    /// Whether both directions are between messages, with nothing received that is not decoded.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.is_between() && self.input.is_empty() && !self.heads.is_begun()
    }

    /// Whether the exchange is complete in both directions and another may follow.
    #[inline]
    pub fn is_reusable(&self) -> bool {
        match self.role {
            Role::Server => self.is_between(),
            Role::Client => self.is_between() && self.input.is_empty() && !self.is_last,
        }
    }

    /// Whether no further exchange may use the connection: it is closed when everything queued is sent.
    #[inline]
    pub fn must_close(&self) -> bool {
        match self.receive {
            Receive::Over => self.send != Send::Tunnel,
            Receive::Idle => self.is_between() && !self.input.is_empty(),
            _ => false,
        }
    }

    /// Whether the message that is sent has an end of its own, so that its receiver misses it when the connection ends
    /// in order now.
    pub fn is_cut_visible(&self) -> bool {
        matches!(self.send, Send::Body(body) if body != BodyEncoder::UntilClose)
    }

    /// Whether the client said of its last request that no other follows it; server role.
    #[inline]
    pub fn is_reuse_declined(&self) -> bool {
        self.exchange.reuse == Reuse::Declined
    }

    /// Whether some of a head was received and not all of it.
    #[inline]
    pub fn is_head_begun(&self) -> bool {
        matches!(self.receive, Receive::Head) && self.heads.is_begun()
    }

    /// Received bytes that are not decoded. A head that is not complete is counted by its own limit.
    #[inline]
    pub fn buffered_bytes(&self) -> usize {
        self.input.len()
    }

    /// Whether both directions are opaque bytes.
    #[inline]
    pub fn is_tunnel(&self) -> bool {
        let is_receiving = matches!(self.receive, Receive::Tunnel | Receive::Over);
        self.exchange.switch == Switch::On && is_receiving && matches!(self.send, Send::Tunnel | Send::Over)
    }

    /// Whether nothing more is expected of the message that is received: it is complete, or a tunnel is on.
    #[inline]
    pub fn is_receive_done(&self) -> bool {
        match self.receive {
            Receive::Head => self.role == Role::Server && self.send == Send::Idle,
            Receive::Body(_) | Receive::End => false,
            Receive::Idle | Receive::Tunnel | Receive::Over => true,
        }
    }

    /// Whether a byte was received since the request was sent; client role.
    #[inline]
    pub fn has_response_begun(&self) -> bool {
        self.role == Role::Client && self.exchange.is_response_begun
    }

    /// Takes what was read of the request for which the last [`Reset::Malformed`] stands; server role. `None` when not
    /// even a request line was.
    pub fn take_refused(&mut self) -> Option<Box<RefusedRequest>> {
        self.refused.take()
    }

    /// Copies what would pin a large buffer beyond this turn.
    #[inline]
    pub fn retain(&mut self) {
        self.input.retain(&self.pool);
    }

    fn is_between(&self) -> bool {
        let is_received = match self.role {
            Role::Server => matches!(self.receive, Receive::Head),
            Role::Client => matches!(self.receive, Receive::Idle),
        };
        is_received && self.send == Send::Idle
    }

    /// Receives nothing more.
    #[cold]
    fn give_up(&mut self) {
        self.receive = Receive::Over;
        self.exchange.reuse.end();
        self.input.clear();
        self.heads.clear();
    }

    /// Receives nothing more, and tells why.
    #[cold]
    fn fail(&mut self, reset: Reset) -> Option<Part> {
        self.give_up();
        Some(Part::Reset(reset))
    }

    /// Something was to be sent that this state has no place for.
    #[cold]
    fn misplaced(&self, what: &str) {
        // Behind a failure the rest of a message may still be on its way through.
        let is_over = self.send == Send::Over || matches!(self.receive, Receive::Over);
        debug_assert!(is_over, "{what} in {:?}", self.send);
    }
}

/// Receiving.
impl Codec {
    #[inline]
    fn poll_request(&mut self) -> Option<Part> {
        let limits = &self.limits.head;
        let received = match self.heads.poll(Section::Request, &mut self.input, limits, &self.pool) {
            Ok(Some(received)) => received,
            Ok(None) => return self.on_no_request(),
            Err(rule) => {
                let raw = self.heads.take_broken(&mut self.input, &self.pool);
                return self.refuse(raw, rule);
            }
        };
        let raw = self.heads.parser.take_request(received);
        let framing = match self.on_request(&raw) {
            Ok(framing) => framing,
            Err(rule) => return self.refuse(Some(raw), rule),
        };
        Some(Part::Request(raw.into_head(framing)))
    }

    /// A request breaks a rule: `raw` is what was read of it.
    #[cold]
    fn refuse(&mut self, raw: Option<RawRequest>, rule: Rule) -> Option<Part> {
        let refused = raw.map(|RawRequest { method, method_span, version, target, fields, .. }| {
            // Whoever asked with HEAD reads no content behind the answer, whatever it is.
            self.exchange.method = method;
            Box::new(RefusedRequest { method, version, fields, method_span, target })
        });
        self.refused = refused;
        self.fail(Reset::Malformed(rule))
    }

    /// The head is not complete, or nothing of it is there.
    fn on_no_request(&mut self) -> Option<Part> {
        if self.is_finished && self.heads.is_begun() {
            return self.fail(Reset::Truncated);
        }
        if self.is_finished {
            self.give_up();
        }
        None
    }

    /// Checks what is to be checked of a request before anybody sees it, and begins its exchange.
    #[inline]
    fn on_request(&mut self, raw: &RawRequest) -> Result<FramingChecked, Rule> {
        let framing = framing::check_request(raw)?;
        host::check_request(raw)?;
        let body = framing.body();
        if matches!((body, self.limits.body_bytes), (Body::Length(length), Some(max)) if length > max) {
            return Err(Rule::BodyTooLarge);
        }
        self.exchange = Exchange {
            method: raw.method,
            version: raw.version,
            reuse: request_reuse(raw),
            switch: asked_switch(raw),
            ..Exchange::new()
        };
        self.note_nominated(raw.noted, &raw.fields, body);
        self.send = Send::Head;
        self.receive = BodyDecoder::new(body).map_or(Receive::End, Receive::Body);
        Ok(framing)
    }

    #[inline]
    fn poll_response(&mut self) -> Option<Part> {
        let limits = &self.limits.head;
        let received = match self.heads.poll(Section::Response, &mut self.input, limits, &self.pool) {
            Ok(Some(received)) => received,
            Ok(None) if self.is_finished => {
                let has_begun = self.exchange.is_response_begun;
                return self.fail(if has_begun { Reset::Truncated } else { Reset::Unanswered });
            }
            Ok(None) => return None,
            Err(rule) => return self.fail(Reset::Malformed(rule)),
        };
        let raw = self.heads.parser.take_response(received);
        let framing = match self.on_response(&raw) {
            Ok(framing) => framing,
            Err(rule) => return self.fail(Reset::Malformed(rule)),
        };
        let RawResponse { status, version, reason, fields, .. } = raw;
        Some(Part::Response(ResponseHead { status, version, fields, reason, framing, upgrade: None }))
    }

    #[inline]
    fn on_response(&mut self, raw: &RawResponse) -> Result<FramingChecked, Rule> {
        let framing = framing::check_response(raw, self.exchange.method)?;
        if raw.status.is_informational() {
            self.on_interim(raw)?;
        } else {
            self.on_final(raw, framing);
        }
        Ok(framing)
    }

    fn on_interim(&mut self, raw: &RawResponse) -> Result<(), Rule> {
        if raw.status.0 == 101 {
            return self.on_switching(raw);
        }
        self.exchange.interim += 1;
        if self.exchange.interim > self.limits.interim_max { Err(Rule::TooManyInterim) } else { Ok(()) }
    }

    /// A 101 is believed only when it answers what was asked (RFC 9110 section 7.8). Anything else would let an
    /// origin turn the connection, and what clients send over it, into something that no rule here sees.
    fn on_switching(&mut self, raw: &RawResponse) -> Result<(), Rule> {
        let is_answer = match &self.exchange.switch {
            Switch::Upgrade(Some(asked)) => {
                raw.version == Version::Http11 && upgrade::is_answered(&raw.fields, asked)
            }
            Switch::Upgrade(None) | Switch::Connect | Switch::No | Switch::On => false,
        };
        if !is_answer {
            return Err(Rule::UnaskedSwitch);
        }
        self.switch_on();
        Ok(())
    }

    #[inline]
    fn on_final(&mut self, raw: &RawResponse, framing: FramingChecked) {
        let is_connect = self.exchange.switch == Switch::Connect;
        if is_connect && raw.status.0 < 300 {
            return self.switch_on();
        }
        let is_until_close = framing.body() == Body::UntilClose;
        if is_connect || is_until_close || !is_response_reusable(raw) {
            self.exchange.reuse.end();
        }
        self.note_nominated(raw.noted, &raw.fields, framing.body());
        self.receive = BodyDecoder::new(framing.body()).map_or(Receive::End, Receive::Body);
    }

    #[inline]
    fn poll_body(&mut self) -> Option<Part> {
        let Receive::Body(body) = &mut self.receive else { unreachable!("asked in this state only") };
        let max = self.limits.body_bytes.filter(|_| self.role == Role::Server).unwrap_or(u64::MAX);
        match body.poll(&mut self.input, &mut self.heads, &self.limits, max, &self.pool) {
            Ok(Decoded::Data(data)) => Some(Part::Data(data)),
            Ok(Decoded::LastData(data)) => {
                self.receive = Receive::End;
                Some(Part::Data(data))
            }
            Ok(Decoded::Trailers(mut fields)) => {
                hop_by_hop::strip_nominated(&mut fields, &self.exchange.nominated);
                self.receive = Receive::End;
                Some(Part::Trailers(fields))
            }
            Ok(Decoded::Over) => {
                self.on_received_end();
                Some(Part::End)
            }
            Ok(Decoded::More) if !self.is_finished => None,
            Ok(Decoded::More) => self.on_body_cut(),
            Err(rule) => self.fail(Reset::Malformed(rule)),
        }
    }

    /// `Connection` may name trailers too, and is long gone when they come.
    #[inline]
    fn note_nominated(&mut self, noted: FramingFields, fields: &Fields, body: Body) {
        if body == Body::Streamed && noted.has(Name::Connection) {
            self.exchange.nominated = hop_by_hop::nominated(fields);
        }
    }

    /// The peer finished before the content was complete, or to complete it.
    fn on_body_cut(&mut self) -> Option<Part> {
        if !matches!(self.receive, Receive::Body(BodyDecoder::UntilClose)) {
            return self.fail(Reset::Truncated);
        }
        self.on_received_end();
        Some(Part::End)
    }

    fn poll_tunnel(&mut self) -> Option<Part> {
        if !self.input.is_empty() {
            return Some(Part::Data(self.input.take_front()));
        }
        self.is_finished.then(|| {
            self.receive = Receive::Over;
            Part::End
        })
    }

    /// Bytes that answer no request: a response that came too late, or one that is meant for the next request.
    #[inline]
    fn poll_surplus(&mut self) -> Option<Part> {
        if self.must_close() { self.fail(Reset::Malformed(Rule::SurplusBytes)) } else { None }
    }

    /// The received message is complete.
    #[inline]
    fn on_received_end(&mut self) {
        if self.exchange.switch == Switch::On {
            self.receive = Receive::Tunnel;
            return;
        }
        self.receive = Receive::Idle;
        self.settle();
    }

    /// Each direction becomes opaque; one that is in a message, when that is complete.
    fn switch_on(&mut self) {
        self.exchange.switch = Switch::On;
        self.exchange.reuse.end();
        match (self.role, &self.receive) {
            (Role::Client, _) | (Role::Server, Receive::Idle) => self.receive = Receive::Tunnel,
            (Role::Server, _) => {}
        }
        match (self.role, &self.send) {
            (Role::Server, _) | (Role::Client, Send::Idle) => self.send = Send::Tunnel,
            (Role::Client, _) => {}
        }
    }
}

/// Sending.
impl Codec {
    #[inline]
    fn send_response(&mut self, head: &ResponseHead, out: &mut SendQueue) {
        match self.send {
            Send::Head => {}
            Send::Idle if self.role == Role::Server => self.refuse_unread(),
            _ => return self.misplaced("a response"),
        }
        if head.status.is_informational() {
            return self.send_interim(head, out);
        }
        let plan = Plan::for_response(head, head.framing(), self.exchange.method, self.exchange.version);
        if self.exchange.switch == Switch::Connect && head.status.0 < 300 {
            encode::put_response(out, head, plan, Options::default());
            return self.switch_on();
        }
        let options = Options { persistence: self.persistence(plan.body), ..Options::default() };
        encode::put_response(out, head, plan, options);
        self.send = Send::Body(plan.body);
    }

    /// A response to no request: the one that was received was refused, or took too long. What comes behind it
    /// cannot be told from its rest.
    fn refuse_unread(&mut self) {
        self.exchange = Exchange { method: self.exchange.method, ..Exchange::new() };
        self.give_up();
    }

    /// What the final response says about the connection, which is what will be.
    #[inline]
    fn persistence(&mut self, body: BodyEncoder) -> Persistence {
        let is_tunnel_refused = match self.exchange.switch {
            Switch::No | Switch::On => false,
            // What the client sent in the belief that it has its tunnel is no request.
            Switch::Connect => true,
            Switch::Upgrade(_) => !self.input.is_empty(),
        };
        if self.is_last || is_tunnel_refused || body == BodyEncoder::UntilClose {
            self.exchange.reuse.end();
        }
        match self.exchange.reuse {
            Reuse::Yes => Persistence::Unsaid,
            Reuse::WhenTold => Persistence::KeepAlive,
            Reuse::Declined | Reuse::No => Persistence::Close,
        }
    }

    /// RFC 9110 section 15.2: a server "MUST NOT send a 1xx response to an HTTP/1.0 client".
    fn send_interim(&mut self, head: &ResponseHead, out: &mut SendQueue) {
        if self.exchange.version == Version::Http10 {
            return;
        }
        if head.status.0 != 101 {
            return encode::put_interim(out, head, Options::default());
        }
        let is_asked = matches!(self.exchange.switch, Switch::Upgrade(_)) && head.upgrade.is_some();
        debug_assert!(is_asked, "a 101 to a request that asks for none");
        if is_asked {
            encode::put_interim(
                out,
                head,
                Options { upgrade: protocol(&head.upgrade), ..Options::default() },
            );
            self.switch_on();
        }
    }

    #[inline]
    fn send_data(&mut self, data: Chunk, out: &mut SendQueue) {
        match &mut self.send {
            Send::Body(body) => {
                if let Err(LengthBroken) = body.put_data(data, out) {
                    self.exchange.reuse.end();
                }
            }
            Send::Tunnel => out.push(data),
            Send::Idle | Send::Head | Send::Over => self.misplaced("data"),
        }
    }

    #[inline]
    fn send_end(&mut self, out: &mut SendQueue) {
        match &mut self.send {
            Send::Body(body) => match body.put_end(out) {
                Ok(()) => self.on_sent_end(),
                Err(LengthBroken) => {
                    self.give_up();
                    self.send = Send::Over;
                }
            },
            Send::Tunnel => self.send = Send::Over,
            Send::Idle | Send::Head | Send::Over => self.misplaced("an end"),
        }
    }

    /// The sent message is complete.
    #[inline]
    fn on_sent_end(&mut self) {
        if self.exchange.switch == Switch::On {
            self.send = Send::Tunnel;
            return;
        }
        self.send = Send::Idle;
        self.settle();
    }

    /// Ends the connection's last exchange with its response, or lets the next begin when this one is complete
    /// in both directions.
    #[inline]
    fn settle(&mut self) {
        let is_received = matches!(self.receive, Receive::Idle);
        let is_answered = match self.role {
            Role::Server => self.send == Send::Idle,
            Role::Client => is_received,
        };
        let is_last = self.exchange.reuse.is_over() || self.is_last;
        let is_deaf = self.is_finished && self.input.is_empty();
        if !is_answered || !is_received {
            // The rest of a request that was answered early is still told, also when it is the last: only who
            // has seen its end knows that nothing more comes.
            return;
        }
        if is_last || is_deaf {
            return self.give_up();
        }
        if self.role == Role::Server {
            self.exchange = Exchange::new();
            self.receive = Receive::Head;
        }
    }
}

/// Whether the client lets another request follow (RFC 9112 section 9.3).
#[inline]
fn request_reuse(raw: &RawRequest) -> Reuse {
    let connection = match raw.noted.has(Name::Connection) {
        true => Connection::of(&raw.fields),
        false => Connection::default(),
    };
    match raw.version {
        _ if connection.is_close() => Reuse::Declined,
        Version::Http10 if connection.is_keep_alive() => Reuse::WhenTold,
        Version::Http10 => Reuse::Declined,
        Version::Http11 | Version::Http2 => Reuse::Yes,
    }
}

/// Whether the origin lets another request follow.
#[inline]
fn is_response_reusable(raw: &RawResponse) -> bool {
    if !raw.noted.has(Name::Connection) {
        return raw.version != Version::Http10;
    }
    let connection = Connection::of(&raw.fields);
    !connection.is_close() && (raw.version != Version::Http10 || connection.is_keep_alive())
}

/// Whether the request may turn the connection into a tunnel.
#[inline]
fn asked_switch(raw: &RawRequest) -> Switch {
    match raw.method {
        Method::Connect => Switch::Connect,
        _ if raw.noted.has(Name::Upgrade) && raw.version == Version::Http11 => Switch::Upgrade(None),
        _ => Switch::No,
    }
}

/// The protocol to switch to, as it is sent: one that would change the message is not.
fn protocol(upgrade: &Option<Box<[u8]>>) -> Option<&[u8]> {
    upgrade.as_deref().filter(|protocol| fields::is_valid_value(protocol))
}

/// Size lines' worth of extensions that a message may carry without data.
const EXTENSION_LINES: usize = 16;

#[cfg(test)]
mod tests;
