//! Heads as they are sent (RFC 9112 sections 3 to 6).
//!
//! What was received and not changed leaves as it came, in runs of whole lines. What frames the message or
//! concerns the connection is never copied: it is written anew, from what the rules proved.

use super::body::BodyEncoder;
use crate::chunk::SendQueue;
use crate::message::fields::{Entry, Place};
use crate::message::{Body, Fields, Method, Name, RequestHead, ResponseHead, Status, TargetForm, Version};
use crate::rules::framing::{self, FramingChecked};
use crate::rules::hop_by_hop;

/// How a message is framed when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    line: FramingLine,
    pub(super) body: BodyEncoder,
}

/// The field that frames a message: at most one of the two (RFC 9112 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramingLine {
    None,
    Length(u64),
    Chunked,
}

impl Plan {
    /// How a request is framed, by what the rules found.
    #[inline]
    pub(super) fn for_request(method: Method, framing: FramingChecked) -> Self {
        match framing.body() {
            // RFC 9110 section 8.6: methods that usually have content say when they have none.
            Body::Empty if matches!(method, Method::Post | Method::Put | Method::Patch) => Self::length(0),
            Body::Empty => Self { line: FramingLine::None, body: BodyEncoder::Length(0) },
            Body::Length(length) => Self::length(length),
            Body::Streamed | Body::UntilClose => Self::chunked(),
        }
    }

    /// How a final response is framed, to a request with `method` by a client of version `to`.
    #[inline]
    pub(super) fn for_response(
        head: &ResponseHead,
        framing: FramingChecked,
        method: Method,
        to: Version,
    ) -> Self {
        if framing::is_unframed(head.status, method) {
            return Self { line: FramingLine::None, body: BodyEncoder::Bodiless };
        }
        if method == Method::Head || head.status.0 == 304 {
            return Self { line: announced(head, framing), body: BodyEncoder::Bodiless };
        }
        match framing.body() {
            // RFC 9110 section 15.3.6: a server "MUST NOT generate content in a 205 response".
            _ if head.status.0 == 205 => Self { line: FramingLine::Length(0), body: BodyEncoder::Bodiless },
            Body::Empty => Self::length(0),
            Body::Length(length) => Self::length(length),
            // RFC 9112 section 6.1: no Transfer-Encoding to a client that may not know it.
            Body::Streamed | Body::UntilClose if to == Version::Http10 => {
                Self { line: FramingLine::None, body: BodyEncoder::UntilClose }
            }
            Body::Streamed | Body::UntilClose => Self::chunked(),
        }
    }

    fn length(length: u64) -> Self {
        Self { line: FramingLine::Length(length), body: BodyEncoder::Length(length) }
    }

    fn chunked() -> Self {
        Self { line: FramingLine::Chunked, body: BodyEncoder::Chunked }
    }
}

/// The length that a response without content tells of: the one that GET would have had.
fn announced(head: &ResponseHead, framing: FramingChecked) -> FramingLine {
    match framing.body() {
        Body::Length(length) if head.status.0 != 304 => FramingLine::Length(length),
        _ => match framing::content_length(&head.fields) {
            Ok(Some(length)) => FramingLine::Length(length),
            // A wrong one (a filter's, as received ones are checked) is worse than none.
            Ok(None) | Err(_) => FramingLine::None,
        },
    }
}

/// What a head says about its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) persistence: Persistence,
    /// The protocol to switch to.
    pub(super) upgrade: Option<&'a [u8]>,
    /// `TE` is there, and meant for the next hop only (RFC 9110 section 10.1.4).
    pub(super) te: bool,
}

impl Options<'_> {
    #[inline]
    fn is_silent(&self) -> bool {
        self.persistence == Persistence::Unsaid && self.upgrade.is_none() && !self.te
    }
}

/// What is said about the connection after the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Nothing: the default of HTTP/1.1.
    #[default]
    Unsaid,
    KeepAlive,
    Close,
}

/// Writes the head of a request.
#[inline]
pub(super) fn put_request(out: &mut SendQueue, head: &RequestHead, plan: Plan, options: Options<'_>) {
    let mut lines = Lines::new(out, &head.fields, head.version);
    if !lines.take_request_line(head) {
        let target = sent_target(head);
        // RFC 9112 section 3.2.1: `/` goes out where the path is empty.
        let space: &[u8] = if target.starts_with(b"?") { b" /" } else { b" " };
        for piece in [head.method_bytes(), space, target, b" HTTP/1.1\r\n"] {
            lines.out.put(piece);
        }
    }
    // RFC 9112 section 3.2: a request has Host, an empty one where the target has no authority.
    if !head.fields.has(Name::Host) {
        lines.put_line(b"Host", head.target_authority().unwrap_or_default());
    }
    lines.put_fields(plan.line);
    lines.finish(options);
}

/// Writes the head of a final response or a 101.
#[inline]
pub(super) fn put_response(out: &mut SendQueue, head: &ResponseHead, plan: Plan, options: Options<'_>) {
    let mut lines = Lines::new(out, &head.fields, head.version);
    if !lines.take_status_line(head) {
        lines.put_status_line(head);
    }
    lines.put_fields(plan.line);
    lines.finish(options);
}

/// Writes an interim response: never framed, says nothing about the connection.
pub(super) fn put_interim(out: &mut SendQueue, head: &ResponseHead, options: Options<'_>) {
    let plan = Plan { line: FramingLine::None, body: BodyEncoder::Bodiless };
    put_response(out, head, plan, options);
}

/// Writes the fields of a trailer section and the empty line behind it.
pub(super) fn put_trailers(out: &mut SendQueue, fields: &Fields) {
    for field in fields.iter().filter(|field| !hop_by_hop::is_forbidden_in_trailers(field.id)) {
        put_line(out, field.name, field.value);
    }
    out.put(b"\r\n");
}

/// Writes the line before the data of a chunk.
#[inline]
pub(super) fn put_chunk_size(out: &mut SendQueue, len: usize) {
    let mut line = [0; 18];
    line[16..].copy_from_slice(b"\r\n");
    let mut at = 16;
    let mut rest = len;
    while at == 16 || rest > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.put(&line[at..]);
}

/// The target that an origin is asked for: origin-form, unless it was set on purpose
/// (RFC 9112 sections 3.2.1 and 3.2.4).
fn sent_target(head: &RequestHead) -> &[u8] {
    match head.target.form {
        _ if head.new_target.is_some() => head.target_bytes(),
        TargetForm::Absolute if head.method == Method::Options && head.target.path.len == 0 => b"*",
        TargetForm::Absolute => head.path_and_query(),
        TargetForm::Origin | TargetForm::Asterisk | TargetForm::Authority => head.target_bytes(),
    }
}

fn put_connection(out: &mut SendQueue, options: Options<'_>) {
    let persistence: Option<&[u8]> = match options.persistence {
        Persistence::Unsaid => None,
        Persistence::KeepAlive => Some(b"keep-alive"),
        Persistence::Close => Some(b"close"),
    };
    let all = [persistence, options.upgrade.map(|_| b"Upgrade".as_slice()), options.te.then_some(b"TE")];
    let mut before: &[u8] = b"Connection: ";
    for option in all.into_iter().flatten() {
        out.put(before);
        out.put(option);
        before = b", ";
    }
    if before == b", " {
        out.put(b"\r\n");
    }
    if let Some(protocol) = options.upgrade {
        put_line(out, b"Upgrade", protocol);
    }
}

fn put_line(out: &mut SendQueue, name: &[u8], value: &[u8]) {
    for piece in [name, b": ", value, b"\r\n"] {
        out.put(piece);
    }
}

/// Decimal digits of a number.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    #[inline]
    fn new(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        while start == digits.len() || number > 0 {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self { digits, start }
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Writes lines, collecting received ones that stand next to each other.
struct Lines<'a> {
    out: &'a mut SendQueue,
    list: &'a [Entry],
    received: &'a [u8],
    added: &'a [u8],
    /// Whether the received bytes are HTTP/1 lines, so that whole lines can be copied.
    is_text: bool,
    /// Where the run that is not written yet stands: in `received` or in `added`.
    source: Place,
    start: usize,
    end: usize,
}

impl<'a> Lines<'a> {
    #[inline]
    fn new(out: &'a mut SendQueue, fields: &'a Fields, version: Version) -> Self {
        let received: &[u8] = &fields.received;
        let is_text = version != Version::Http2 && !received.is_empty();
        Self {
            out,
            list: &fields.list,
            received,
            added: &fields.added,
            is_text,
            source: Place::Received,
            start: 0,
            end: 0,
        }
    }

    /// Takes the received request line when it is what would be written.
    #[inline]
    fn take_request_line(&mut self, head: &RequestHead) -> bool {
        let (method, target) = (head.method_span, head.target.whole);
        let is_same = self.is_text
            && head.new_method.is_none()
            && head.new_target.is_none()
            && head.target.form != TargetForm::Absolute
            && method.end() + 1 == target.start as usize
            && self.received[target.end()..].starts_with(b" HTTP/1.1\r\n");
        if is_same {
            self.start = method.start as usize;
            self.end = target.end() + b" HTTP/1.1\r\n".len();
        }
        is_same
    }

    /// Takes the received status line when it is what would be written.
    #[inline]
    fn take_status_line(&mut self, head: &ResponseHead) -> bool {
        let is_same = self.is_text
            && head.reason.start as usize == STATUS_LINE_REASON_AT
            && self.received.starts_with(b"HTTP/1.1 ")
            && self.received.get(9..STATUS_LINE_REASON_AT) == Some(&status_digits(head.status))
            && self.received[head.reason.end()..].starts_with(b"\r\n");
        if is_same {
            self.end = head.reason.end() + 2;
        }
        is_same
    }

    /// RFC 9112 section 4: the space behind the code is there also without a reason.
    #[cold]
    fn put_status_line(&mut self, head: &ResponseHead) {
        let digits = status_digits(head.status);
        // A received reason belongs to the received status, which may have been changed.
        let is_received = self.is_text && self.received.get(9..12) == Some(&digits[..3]);
        let reason = if is_received { head.reason_bytes() } else { head.status.reason().as_bytes() };
        for piece in [b"HTTP/1.1 ", &digits[..], reason, b"\r\n"] {
            self.out.put(piece);
        }
    }

    #[inline]
    fn put_fields(&mut self, framing: FramingLine) {
        let mut length = match framing {
            FramingLine::Length(length) => Some(Decimal::new(length)),
            FramingLine::None | FramingLine::Chunked => None,
        };
        for entry in self.list {
            if entry.place == Place::Removed || (is_own(entry.id) && !is_kept(entry.id, framing)) {
                continue;
            }
            if entry.id == Name::ContentLength {
                // One line that says the right length stays; any other is as if it were not there.
                if length.as_ref().is_none_or(|length| length.as_bytes() != entry.value.of(self.text(entry)))
                {
                    continue;
                }
                length = None;
            }
            if self.is_text || entry.place == Place::Added {
                self.take_line(entry);
            } else {
                self.put_entry(entry);
            }
        }
        if let Some(length) = length {
            self.put_line(b"Content-Length", length.as_bytes());
        }
        if framing == FramingLine::Chunked {
            self.put_line(b"Transfer-Encoding", b"chunked");
        }
    }

    /// Adds a line to the run, or begins another.
    #[inline]
    fn take_line(&mut self, entry: &Entry) {
        let start = entry.name.start as usize;
        if start != self.end || entry.place != self.source {
            self.flush();
            (self.source, self.start) = (entry.place, start);
        }
        let text = self.text(entry);
        let mut end = entry.value.end();
        // White space may stand before the line end.
        while text[end] != b'\r' {
            end += 1;
        }
        self.end = end + 2;
    }

    #[cold]
    fn put_entry(&mut self, entry: &Entry) {
        let text = self.text(entry);
        self.put_line(entry.name.of(text), entry.value.of(text));
    }

    #[inline]
    fn text(&self, entry: &Entry) -> &'a [u8] {
        if entry.place == Place::Added { self.added } else { self.received }
    }

    #[cold]
    fn put_line(&mut self, name: &[u8], value: &[u8]) {
        self.flush();
        put_line(self.out, name, value);
    }

    /// Writes what is said about the connection, and the empty line.
    #[inline]
    fn finish(mut self, options: Options<'_>) {
        let is_received = self.is_text && self.source == Place::Received;
        if is_received && options.is_silent() && self.received.len() == self.end + 2 {
            // The run goes up to the received empty line.
            self.end += 2;
            return self.flush();
        }
        self.flush();
        put_connection(self.out, options);
        self.out.put(b"\r\n");
    }

    #[inline]
    fn flush(&mut self) {
        if self.start < self.end {
            let text = if self.source == Place::Added { self.added } else { self.received };
            self.out.put(&text[self.start..self.end]);
        }
        self.start = self.end;
    }
}

/// Whether fields of this name are not copied: they concern one connection, and the encoder writes its own; but for
/// what [`is_kept`]. `Content-Length` is looked at by itself. The other hop-by-hop fields are for the rules to strip.
#[inline]
fn is_own(id: Name) -> bool {
    matches!(
        id,
        Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::Trailer
            | Name::TransferEncoding
            | Name::Upgrade
            | Name::Http2Settings
    )
}

/// `Trailer` announces a section that is relayed, and is no field of one hop (RFC 9110 sections 6.6.2 and 7.6.1). Where
/// there is no room for that section it would announce what does not come.
#[cold]
fn is_kept(id: Name, framing: FramingLine) -> bool {
    id == Name::Trailer && framing == FramingLine::Chunked
}

#[inline]
fn status_digits(status: Status) -> [u8; 4] {
    let digit = |place: u16| b'0' + (status.0 / place % 10) as u8;
    [digit(100), digit(10), digit(1), b' ']
}

/// Where the reason begins in `HTTP/1.1 200 OK`.
const STATUS_LINE_REASON_AT: usize = 13;
