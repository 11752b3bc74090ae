//! The first message of a TLS client, read without a TLS library: what name it wants, what it can speak.
//!
//! Bytes go into [`HelloParser::on_bytes`] as they come. A ClientHello may be cut over any number of segments and over
//! several records (RFC 8446 section 5.1); however it is cut, the answer is the same. Nothing is decrypted and nothing
//! is decided here: cipher suites, keys and signatures are the business of whoever ends the handshake.
//!
//! What is read here is also read by that TLS implementation. Whatever two readers could take for two things, a second
//! name or an extension that is there twice, is refused, so that a client is not routed by one name and served by
//! another.
//!
//! Read this file, then [`hello`](ClientHello) (what is in the message), then [`Rule`].

mod hello;
mod rule;
#[cfg(test)]
mod tests;

pub use hello::{ClientHello, Codes, Protocols, ServerName, is_grease};
pub use rule::Rule;

use hello::parse;

/// Bounds of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloLimits {
    /// Bytes of the message behind its own header; more is [`Rule::TooLarge`]. Default 16 KiB. Usual ones have 200 to
    /// 2,000.
    pub bytes: usize,
    /// Records over which it may be cut; more is [`Rule::TooManyRecords`]. Default 32. Usual ones come in one.
    pub records: usize,
}

/// Reads the first message of a client.
#[derive(Debug)]
pub struct HelloParser {
    limits: HelloLimits,
    state: State,
    /// The message so far, where it did not come in one piece.
    message: Vec<u8>,
    records: usize,
}

#[derive(Debug)]
enum State {
    /// In the header of a record, of which the first `len` bytes are there.
    Header { bytes: [u8; RECORD_HEADER_BYTES], len: usize },
    /// In the content of a record, of which so much is to come.
    Content { left: usize },
    /// The answer was given.
    Done,
}

/// What the bytes so far say.
#[derive(Debug, PartialEq)]
pub enum Progress<'a> {
    /// Nothing yet: it may still become a ClientHello.
    NeedMore,
    /// The ClientHello is complete.
    Hello(ClientHello<'a>),
    /// The client does not speak TLS.
    NotTls(NotTls),
    /// It speaks TLS, and not as it must.
    Malformed(Rule),
}

/// What a client speaks instead of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotTls {
    /// It begins with the method of an HTTP request, or the preface of HTTP/2.
    Http,
    /// A ClientHello in the format of SSL 2.0, which RFC 6176 forbids.
    Ssl2,
    /// Anything else.
    Other,
}

impl Default for HelloLimits {
    fn default() -> Self {
        Self { bytes: 16 << 10, records: 32 }
    }
}

impl HelloParser {
    /// A parser that has seen nothing.
    pub fn new(limits: HelloLimits) -> Self {
        let state = State::Header { bytes: [0; RECORD_HEADER_BYTES], len: 0 };
        Self { limits, state, message: Vec::new(), records: 0 }
    }

    /// The next bytes of the connection. Every answer but [`Progress::NeedMore`] is the last: it holds whatever comes
    /// behind, which is not looked at.
    pub fn on_bytes<'a>(&'a mut self, bytes: &'a [u8]) -> Progress<'a> {
        // Nearly all come whole, and are read where they are.
        if matches!(self.state, State::Header { len: 0, .. })
            && self.records == 0
            && let Some(body) = whole_body(bytes, self.limits)
        {
            self.state = State::Done;
            return answer(body);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = match &mut self.state {
                State::Header { .. } => self.on_header_byte(&mut rest),
                State::Content { .. } => self.on_content(&mut rest),
                State::Done => return Progress::NeedMore,
            };
            match step {
                Ok(Step::More) => {}
                Ok(Step::Complete) => {
                    self.state = State::Done;
                    return answer(&self.message[MESSAGE_HEADER_BYTES..]);
                }
                Err(refused) => {
                    self.state = State::Done;
                    return refused.into();
                }
            }
        }
        Progress::NeedMore
    }

    /// Bytes of memory held for the message.
    pub fn held_bytes(&self) -> usize {
        self.message.capacity()
    }

    fn on_header_byte(&mut self, rest: &mut &[u8]) -> Result<Step, Refused> {
        let State::Header { bytes, len } = &mut self.state else { return Ok(Step::More) };
        let [byte, behind @ ..] = *rest else { return Ok(Step::More) };
        *rest = behind;
        bytes[*len] = *byte;
        *len += 1;
        let (bytes, len) = (*bytes, *len);
        match self.records {
            0 => opening(&bytes[..len])?,
            _ if bytes[0] != HANDSHAKE => return Err(Refused::Malformed(Rule::Interleaved)),
            _ => {}
        }
        if len == RECORD_HEADER_BYTES {
            self.records += 1;
            if self.records > self.limits.records {
                return Err(Refused::Malformed(Rule::TooManyRecords));
            }
            self.state = State::Content { left: content_len(bytes)? };
        }
        Ok(Step::More)
    }

    fn on_content(&mut self, rest: &mut &[u8]) -> Result<Step, Refused> {
        let State::Content { left } = &mut self.state else { return Ok(Step::More) };
        // The message's own header is looked at byte by byte, so that what is wrong with it shows as early as can be.
        let wanted = match message_len(&self.message) {
            None => 1,
            Some(len) => MESSAGE_HEADER_BYTES + len - self.message.len(),
        };
        let taken = rest.len().min(*left).min(wanted);
        let (content, behind) = rest.split_at(taken);
        self.message.extend_from_slice(content);
        *rest = behind;
        *left -= taken;
        let left = *left;
        if self.message[0] != CLIENT_HELLO {
            return Err(Refused::Malformed(Rule::NotClientHello));
        }
        let len = message_len(&self.message);
        if len.is_some_and(|len| len > self.limits.bytes) {
            return Err(Refused::Malformed(Rule::TooLarge));
        }
        if len.is_some_and(|len| self.message.len() == MESSAGE_HEADER_BYTES + len) {
            return if left == 0 { Ok(Step::Complete) } else { Err(Refused::Malformed(Rule::Surplus)) };
        }
        if left == 0 {
            self.state = State::Header { bytes: [0; RECORD_HEADER_BYTES], len: 0 };
        }
        Ok(Step::More)
    }
}

enum Step {
    More,
    Complete,
}

enum Refused {
    NotTls(NotTls),
    Malformed(Rule),
}

impl From<Refused> for Progress<'_> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotTls(what) => Self::NotTls(what),
            Refused::Malformed(rule) => Self::Malformed(rule),
        }
    }
}

impl NotTls {
    /// The word that logs use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ssl2 => "ssl2",
            Self::Other => "not_tls",
        }
    }
}

fn answer(body: &[u8]) -> Progress<'_> {
    match parse(body) {
        Ok(hello) => Progress::Hello(hello),
        Err(rule) => Progress::Malformed(rule),
    }
}

/// The body of a ClientHello that is one whole record at the beginning of `bytes`; `None` for everything else, good
/// or bad.
fn whole_body(bytes: &[u8], limits: HelloLimits) -> Option<&[u8]> {
    let header: [u8; RECORD_HEADER_BYTES] = *bytes.first_chunk()?;
    if header[0] != HANDSHAKE || header[1] != MAJOR_VERSION || limits.records == 0 {
        return None;
    }
    let len = content_len(header).ok()?;
    let message = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + len)?;
    let is_whole =
        message[0] == CLIENT_HELLO && message_len(message)? + MESSAGE_HEADER_BYTES == message.len();
    (is_whole && message_len(message)? <= limits.bytes).then(|| &message[MESSAGE_HEADER_BYTES..])
}

/// Whether a connection that begins like this may be TLS.
fn opening(bytes: &[u8]) -> Result<(), Refused> {
    let not = |what| Err(Refused::NotTls(what));
    match bytes {
        [] | [HANDSHAKE] | [HANDSHAKE, MAJOR_VERSION, ..] => Ok(()),
        [HANDSHAKE, ..] => not(NotTls::Other),
        // A length of two bytes whose first bit is set, the type, the version.
        [len, rest @ ..] if len & 0x80 != 0 => match rest {
            [_, CLIENT_HELLO, 0, 2] | [_, CLIENT_HELLO, MAJOR_VERSION, _] => not(NotTls::Ssl2),
            [] | [_] | [_, CLIENT_HELLO] | [_, CLIENT_HELLO, 0 | MAJOR_VERSION] => Ok(()),
            _ => not(NotTls::Other),
        },
        _ => {
            let begins = |method: &&[u8; METHOD_BYTES]| bytes.iter().zip(method.iter()).all(|(a, b)| a == b);
            match METHODS.iter().any(begins) {
                true if bytes.len() >= METHOD_BYTES => not(NotTls::Http),
                true => Ok(()),
                false => not(NotTls::Other),
            }
        }
    }
}

/// Bytes of content of a record with this header.
fn content_len(header: [u8; RECORD_HEADER_BYTES]) -> Result<usize, Refused> {
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    match len {
        0 => Err(Refused::Malformed(Rule::EmptyRecord)),
        1..=RECORD_CONTENT_BYTES_MAX => Ok(len),
        _ => Err(Refused::Malformed(Rule::RecordTooLarge)),
    }
}

/// Bytes of a message behind its header, once that is there.
fn message_len(message: &[u8]) -> Option<usize> {
    let [_, a, b, c] = *message.first_chunk()?;
    u32::from_be_bytes([0, a, b, c]).try_into().ok()
}

/// Type, version and length of a record (RFC 8446 section 5.1).
const RECORD_HEADER_BYTES: usize = 5;
/// What a record that is not encrypted may hold.
const RECORD_CONTENT_BYTES_MAX: usize = 1 << 14;
/// The content type of handshake messages.
const HANDSHAKE: u8 = 22;
/// The first byte of the version in every record since SSL 3.0. The second is to be ignored.
const MAJOR_VERSION: u8 = 3;
/// Type and length of a message (RFC 8446 section 4).
const MESSAGE_HEADER_BYTES: usize = 4;
/// The type of a ClientHello, as in SSL 2.0.
const CLIENT_HELLO: u8 = 1;
/// As much of a method as tells it from everything else.
const METHOD_BYTES: usize = 4;
/// Beginnings of HTTP requests; `PRI ` is that of HTTP/2's preface.
const METHODS: [&[u8; METHOD_BYTES]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"CONN", b"OPTI", b"TRAC", b"PATC", b"PRI "];
