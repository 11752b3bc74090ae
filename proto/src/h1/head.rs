//! Parses one HTTP/1 head after another: start line, field lines, empty line (RFC 9112 sections 2 to 5).
//!
//! [`HeadParser`] keeps where it stopped, so that a head which dribbles in is scanned once. What is refused is
//! a function of the bytes alone, never of how they were cut: the leftmost broken rule is the one reported.
//! Whether the fields agree with each other (Host, Content-Length, Transfer-Encoding) is not decided here; see
//! [`crate::rules`].
//!
//! Read this file, then `start_line` and `field_line`, which say byte by byte what is accepted. What is as it
//! should be goes a quicker way through `plain_*` and `field_lines`, which accept nothing more: what they do not
//! recognise at once they give to the former.

mod field_line;
mod field_lines;
mod line_ends;
mod start_line;

use crate::chunk::Chunk;
use crate::message::fields::Entry;
use crate::message::{Fields, Method, Name, RequestHead, Status, Target, Version};
use crate::rules::Rule;
use crate::rules::framing::FramingChecked;
use crate::scan::{Backend, Simd, Work};
use crate::span::Span;
use field_lines::{Section, Taken};
use line_ends::Stretch;
use start_line::{
    METHOD_BYTES_MAX, RequestLine, StatusLine, plain_request_line, plain_status_line, request_line,
    status_line,
};

/// Bounds of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a head, or of a trailer section, with all line ends. At most 4 GiB count.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
    /// Bytes of a request target.
    pub target: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, fields: 128, target: 16 * 1024 }
    }
}

impl HeadLimits {
    fn bytes_max(&self) -> usize {
        self.bytes.min(u32::MAX as usize)
    }
}

/// A request head as received, before the rules that look at several elements at once.
#[derive(Debug)]
pub struct RawRequest {
    pub(crate) method: Method,
    pub(crate) method_span: Span,
    pub(crate) version: Version,
    pub(crate) target: Target,
    pub(crate) fields: Fields,
    pub(crate) noted: FramingFields,
}

/// A response head as received, before the rules that look at several elements at once.
#[derive(Debug)]
pub struct RawResponse {
    pub(crate) status: Status,
    pub(crate) version: Version,
    pub(crate) reason: Span,
    pub(crate) fields: Fields,
    pub(crate) noted: FramingFields,
}

impl RawRequest {
    /// The head, once what its rules found is known.
    #[inline]
    pub(super) fn into_head(self, framing: FramingChecked) -> RequestHead {
        let Self { method, method_span, version, target, fields, .. } = self;
        RequestHead {
            method,
            version,
            target,
            fields,
            method_span,
            framing,
            new_method: None,
            new_target: None,
            upgrade: None,
        }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as spelled.
    pub fn method_bytes(&self) -> &[u8] {
        self.method_span.of(&self.fields.received)
    }

    /// The target: its form and where its elements are in the received bytes.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The target as received.
    pub fn target_bytes(&self) -> &[u8] {
        self.target.whole.of(&self.fields.received)
    }

    /// The version it came with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Which fields that rules ask for are there.
    pub fn noted(&self) -> FramingFields {
        self.noted
    }
}

impl RawResponse {
    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase as received.
    pub fn reason_bytes(&self) -> &[u8] {
        self.reason.of(&self.fields.received)
    }

    /// The version it came with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Which fields that rules ask for are there.
    pub fn noted(&self) -> FramingFields {
        self.noted
    }
}

/// Which fields that framing, routing and hop-by-hop rules ask for are there, and which of them several times:
/// noted while parsing, so that those rules look nothing up that is absent. See [`Name::is_noted`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FramingFields {
    /// A bit for each noted name that was seen, and 32 bits above it one for each that was seen again.
    bits: u64,
}

impl FramingFields {
    /// Whether there is a field of this noted name.
    #[inline]
    pub fn has(self, name: Name) -> bool {
        debug_assert!(name.is_noted());
        self.seen() & name.noted_bit() != 0
    }

    /// Whether there are several fields of this noted name.
    #[inline]
    pub fn is_repeated(self, name: Name) -> bool {
        debug_assert!(name.is_noted());
        (self.bits >> 32) as u32 & name.noted_bit() != 0
    }

    #[inline]
    fn note(&mut self, name: Name) {
        let bit = u64::from(name.noted_bit());
        self.bits |= bit | ((self.bits & bit) << 32);
    }

    /// The bits of the names that were seen.
    #[inline]
    fn seen(self) -> u32 {
        self.bits as u32
    }
}

impl core::fmt::Debug for FramingFields {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let seen = Name::ALL.iter().filter(|name| name.is_noted() && self.has(**name));
        f.debug_map()
            .entries(seen.map(|&name| (name, if self.is_repeated(name) { "several" } else { "one" })))
            .finish()
    }
}

/// Resumable parser of one head, or trailer section, after another.
#[derive(Debug, Default)]
pub struct HeadParser {
    start: Start,
    noted: FramingFields,
    /// Where the first line begins that is not parsed yet.
    line_at: u32,
    /// How many bytes were searched for the end of that line.
    searched: u32,
    /// How many bytes there must be to look at that line again though its end is not there.
    retry_at: u32,
    backend: Backend,
    list: Vec<Entry>,
}

/// The start line, once it is parsed.
#[derive(Debug)]
enum Start {
    /// Not yet; so many empty lines came before it.
    Awaited {
        empty_lines: u8,
    },
    Request(RequestLine),
    Response(StatusLine),
}

impl Default for Start {
    fn default() -> Self {
        Self::Awaited { empty_lines: 0 }
    }
}

impl HeadParser {
    /// A parser that waits for the first byte of a head.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser with chosen instructions: tests and benches compare them.
    pub fn with_backend(backend: Backend) -> Self {
        Self { backend, ..Self::default() }
    }

    /// Looks at `bytes`, everything received of this request head so far: `Some(len)` when its first `len`
    /// bytes are a complete head, `None` when more are needed.
    ///
    /// # Errors
    /// The leftmost rule that is broken; the parser must not be asked again.
    pub fn on_request_bytes(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Rule> {
        self.backend.run(Parse { parser: self, bytes: within(bytes, limits), limits, kind: Kind::Request })
    }

    /// Looks at `bytes`, everything received of this response head so far.
    ///
    /// # Errors
    /// As [`HeadParser::on_request_bytes`].
    pub fn on_response_bytes(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Rule> {
        self.backend.run(Parse { parser: self, bytes: within(bytes, limits), limits, kind: Kind::Response })
    }

    /// Looks at `bytes`, everything received of this trailer section so far (RFC 9112 section 7.1.2): field
    /// lines up to an empty line.
    ///
    /// # Errors
    /// [`Rule::Trailer`], whatever is wrong with them.
    pub fn on_trailer_bytes(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Rule> {
        let work = Parse { parser: self, bytes: within(bytes, limits), limits, kind: Kind::Trailers };
        work.parser.backend.run(work).map_err(|_| Rule::Trailer)
    }

    /// Takes the request that is complete, and waits for the next head. `received` is its bytes.
    ///
    /// # Panics
    /// When no request is complete.
    pub fn take_request(&mut self, received: Chunk) -> RawRequest {
        let parsed = self.reset();
        let Start::Request(line) = parsed.start else { panic!("a request is taken when it is complete") };
        let fields = Fields::received(received, parsed.list, parsed.noted.seen());
        let (method_span, target) = (line.method_span(), line.target());
        RawRequest {
            method: line.method,
            method_span,
            version: line.version,
            target,
            fields,
            noted: parsed.noted,
        }
    }

    /// Takes the request line of a head that breaks a rule behind it, if there is one. `received` is what came of it.
    #[cold]
    pub(crate) fn take_broken_request(&mut self, received: Chunk) -> Option<RawRequest> {
        self.list.clear();
        self.noted = FramingFields::default();
        matches!(self.start, Start::Request(_)).then(|| self.take_request(received))
    }

    /// Takes the response that is complete, and waits for the next head. `received` is its bytes.
    ///
    /// # Panics
    /// When no response is complete.
    pub fn take_response(&mut self, received: Chunk) -> RawResponse {
        let parsed = self.reset();
        let Start::Response(line) = parsed.start else { panic!("a response is taken when it is complete") };
        let fields = Fields::received(received, parsed.list, parsed.noted.seen());
        let (status, version, reason) = (line.status, line.version, line.reason());
        RawResponse { status, version, reason, fields, noted: parsed.noted }
    }

    /// Takes the trailer section that is complete, and waits for the next head. `received` is its bytes.
    pub fn take_trailers(&mut self, received: Chunk) -> Fields {
        let parsed = self.reset();
        Fields::received(received, parsed.list, parsed.noted.seen())
    }

    /// Whether some of a head was received. Empty lines before a request are not of it.
    pub fn is_begun(&self) -> bool {
        self.searched > self.line_at || !matches!(self.start, Start::Awaited { .. }) || !self.list.is_empty()
    }

    #[inline]
    fn reset(&mut self) -> Self {
        let backend = self.backend;
        core::mem::replace(self, Self::with_backend(backend))
    }

    /// Whether the line that stopped the parser is complete now, or has grown to twice its length: then what
    /// came of it is checked, in amortised linear time, rather than buffered up to the limit.
    #[inline(always)]
    fn is_worth_a_look(&self, bytes: &[u8]) -> bool {
        let fresh = || bytes.get(self.searched as usize..).unwrap_or_default();
        bytes.len() >= self.retry_at as usize || fresh().contains(&b'\n')
    }

    /// Notes that the line at `line_at` is not complete.
    #[cold]
    fn more(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Rule> {
        if bytes.len() >= self.retry_at as usize {
            let unparsed = bytes.len() - self.line_at as usize;
            let retry_at = bytes.len() + unparsed.max(RETRY_BYTES_MIN);
            self.retry_at = retry_at.min(self.next_limit(bytes.len(), limits)) as u32;
        }
        self.searched = bytes.len() as u32;
        if bytes.len() < limits.bytes_max() { Ok(None) } else { Err(Rule::HeadTooLarge) }
    }

    /// How many bytes there may be, more than `len`, before a limit is certainly passed.
    fn next_limit(&self, len: usize, limits: &HeadLimits) -> usize {
        let target_end = (self.line_at as usize + METHOD_BYTES_MAX + 2).saturating_add(limits.target);
        match self.start {
            Start::Awaited { .. } if len < target_end => target_end.min(limits.bytes_max()),
            _ => limits.bytes_max(),
        }
    }

    /// RFC 9112 section 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the
    /// request-line"; two, since that is what broken clients were seen to send, and not any number.
    fn skip_empty_lines(&mut self, bytes: &[u8]) -> Result<(), Rule> {
        while let Start::Awaited { empty_lines } = &mut self.start
            && bytes[self.line_at as usize..].starts_with(b"\r\n")
        {
            if *empty_lines == EMPTY_LINES_MAX {
                return Err(Rule::StartLine);
            }
            *empty_lines += 1;
            self.line_at += 2;
        }
        Ok(())
    }

    /// Takes the request line byte by byte, with empty lines before it; `false` when more bytes are needed.
    fn begin_request(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<bool, Rule> {
        self.skip_empty_lines(bytes)?;
        let found = request_line(bytes, self.line_at as usize, limits.target)?;
        Ok(found.is_some_and(|(line, next)| self.begin(Start::Request(line), next)))
    }

    /// Takes the status line byte by byte; `false` when more bytes are needed.
    fn begin_response(&mut self, bytes: &[u8]) -> Result<bool, Rule> {
        let found = status_line(bytes, self.line_at as usize)?;
        Ok(found.is_some_and(|(line, next)| self.begin(Start::Response(line), next)))
    }

    fn begin(&mut self, start: Start, next: usize) -> bool {
        self.start = start;
        self.line_at = next as u32;
        true
    }
}

/// A look at what was received of a head so far.
struct Parse<'a> {
    parser: &'a mut HeadParser,
    bytes: &'a [u8],
    limits: &'a HeadLimits,
    kind: Kind,
}

/// What a section of fields stands behind.
#[derive(Clone, Copy)]
enum Kind {
    Request,
    Response,
    Trailers,
}

impl Work for Parse<'_> {
    type Output = Result<Option<usize>, Rule>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Self::Output {
        if !self.parser.is_worth_a_look(self.bytes) {
            return self.parser.more(self.bytes, self.limits);
        }
        let bytes = self.bytes;
        let mut at = self.parser.line_at as usize;
        let mut stretch = Stretch::at(at);
        let mut awaits_start = self.awaits_start();
        loop {
            stretch.find(simd, bytes);
            let mut ends = stretch.ends();
            if awaits_start {
                if let Some(next) = self.begin_plainly(simd, at, ends) {
                    (at, ends) = (next, &ends[1..]);
                } else if self.begin_carefully()? {
                    at = self.parser.line_at as usize;
                    stretch = Stretch::at(at);
                    ends = &[];
                } else {
                    return self.parser.more(self.bytes, self.limits);
                }
                awaits_start = false;
                if ends.is_empty() {
                    continue;
                }
            }
            match self.section().take(simd, bytes, &mut at, ends)? {
                None => {}
                Some(Taken::All(len)) => return Ok(Some(len)),
                Some(Taken::UpTo(line_at)) => {
                    self.parser.line_at = line_at as u32;
                    return self.parser.more(self.bytes, self.limits);
                }
            }
        }
    }
}

impl Parse<'_> {
    #[inline(always)]
    fn awaits_start(&self) -> bool {
        matches!((&self.parser.start, self.kind), (Start::Awaited { .. }, Kind::Request | Kind::Response))
    }

    /// Takes a usual start line at `at` that ends at the first of `ends`: where the next line begins.
    #[inline(always)]
    fn begin_plainly<S: Simd>(&mut self, simd: S, at: usize, ends: &[u32]) -> Option<usize> {
        let end = *ends.first()? as usize;
        self.parser.start = match self.kind {
            Kind::Request => {
                Start::Request(plain_request_line(simd, self.bytes, at, end, self.limits.target)?)
            }
            Kind::Response => Start::Response(plain_status_line(self.bytes, at, end)?),
            Kind::Trailers => return None,
        };
        self.parser.line_at = end as u32 + 2;
        Some(end + 2)
    }

    /// Takes any start line, byte by byte; `false` when more bytes are needed.
    #[cold]
    fn begin_carefully(&mut self) -> Result<bool, Rule> {
        match self.kind {
            Kind::Request => self.parser.begin_request(self.bytes, self.limits),
            Kind::Response => self.parser.begin_response(self.bytes),
            Kind::Trailers => Ok(true),
        }
    }

    #[inline(always)]
    fn section(&mut self) -> Section<'_> {
        let HeadParser { list, noted, .. } = &mut *self.parser;
        Section { list, noted, fields_max: self.limits.fields }
    }
}

/// What of `bytes` may belong to a head: the rest is not looked at, so that the limit cuts at the same byte
/// however the bytes arrive.
fn within<'a>(bytes: &'a [u8], limits: &HeadLimits) -> &'a [u8] {
    &bytes[..bytes.len().min(limits.bytes_max())]
}

/// Empty lines that are skipped before a request line.
const EMPTY_LINES_MAX: u8 = 2;
/// An incomplete line is looked at again when it has grown by this at least.
const RETRY_BYTES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a complete head says, or which rule it breaks: method, target, version, fields, length.
    fn request(bytes: &[u8]) -> Result<Option<String>, Rule> {
        let mut parser = HeadParser::new();
        let Some(len) = parser.on_request_bytes(bytes, &HeadLimits::default())? else { return Ok(None) };
        let raw = parser.take_request(Chunk::from(bytes[..len].to_vec()));
        let text = |span: Span| String::from_utf8_lossy(span.of(&raw.fields.received)).into_owned();
        let fields: Vec<String> = raw
            .fields
            .iter()
            .map(|field| {
                format!("{:?} {}={}", field.id, field.name.escape_ascii(), field.value.escape_ascii())
            })
            .collect();
        let target = text(raw.target.whole);
        let method = text(raw.method_span);
        Ok(Some(format!("{method} {target} {:?} {:?} {fields:?} {len}", raw.version, raw.target.form)))
    }

    #[test]
    fn a_request_is_taken_apart() {
        assert_eq!(
            request(b"\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nX-y:\t z \r\nempty:\r\n\r\nbody").unwrap().unwrap(),
            r#"GET /a?b Http11 Origin ["Host Host=x", "Other X-y=z", "Other empty="] 50"#
        );
    }

    #[test]
    fn a2_bare_cr_is_refused() {
        for bad in [
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET /\r HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n\rc: d\r\n\r\n",
            "GET / HTTP/1.1\nA: b\n\n",
        ] {
            assert_eq!(request(bad.as_bytes()), Err(Rule::BareLineEnd), "{bad:?}");
        }
    }

    #[test]
    fn a4_a12_a15_white_space_where_none_may_be_is_refused() {
        let refused = |head: &str| request(head.as_bytes()).unwrap_err();
        assert_eq!(refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), Rule::ObsoleteFold);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n"), Rule::ObsoleteFold);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), Rule::SpaceBeforeColon);
    }

    #[test]
    fn a6_a_target_is_too_long_as_soon_as_that_is_sure() {
        let limits = HeadLimits { target: 100, ..HeadLimits::default() };
        let head = [b"GET /".as_slice(), &[b'a'; 1000]].concat();
        let mut parser = HeadParser::new();
        let said = (0..head.len()).map(|len| parser.on_request_bytes(&head[..len], &limits));
        let refused_at = said.take_while(|said| *said == Ok(None)).count();
        assert!((105..=140).contains(&refused_at), "{refused_at}");
        assert_eq!(HeadParser::new().on_request_bytes(&head, &limits), Err(Rule::TargetTooLong));
    }

    #[test]
    fn b8_a_head_that_does_not_end_is_refused_at_its_limit() {
        let limits = HeadLimits { bytes: 500, ..HeadLimits::default() };
        let head = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 1000]].concat();
        let mut parser = HeadParser::new();
        for len in 0..500 {
            assert_eq!(parser.on_request_bytes(&head[..len], &limits), Ok(None));
        }
        assert_eq!(parser.on_request_bytes(&head[..500], &limits), Err(Rule::HeadTooLarge));
    }

    #[test]
    fn garbage_is_refused_before_its_line_ends() {
        let hello = b"\x16\x03\x01\x02\x00\x01";
        assert_eq!(HeadParser::new().on_request_bytes(hello, &HeadLimits::default()), Err(Rule::MethodToken));
        // Also when it dribbles: by the time that it has doubled.
        let mut parser = HeadParser::new();
        let garbage = [b"G".as_slice(), &[0; 100]].concat();
        let mut said =
            (0..garbage.len()).map(|len| parser.on_request_bytes(&garbage[..len], &HeadLimits::default()));
        assert!(said.any(|said| said == Err(Rule::MethodToken)));
    }

    #[test]
    fn empty_lines_before_a_request_are_not_its_beginning() {
        let mut parser = HeadParser::new();
        let limits = HeadLimits::default();
        assert!(!parser.is_begun());
        assert_eq!(parser.on_request_bytes(b"\r\n", &limits), Ok(None));
        assert!(!parser.is_begun());
        assert_eq!(parser.on_request_bytes(b"\r\nG", &limits), Ok(None));
        assert!(parser.is_begun());
        assert_eq!(parser.on_request_bytes(b"\r\nGET / HTTP/1.1\r\n\r\n", &limits), Ok(Some(20)));
        parser.take_request(Chunk::from(b"\r\nGET / HTTP/1.1\r\n\r\n".to_vec()));
        assert!(!parser.is_begun());
    }

    #[test]
    fn an_idle_parser_is_small() {
        assert!(size_of::<HeadParser>() <= 64 + size_of::<Vec<Entry>>(), "{}", size_of::<HeadParser>());
        assert_eq!(HeadParser::new().list.capacity(), 0);
    }

    #[test]
    fn noted_fields_are_counted_up_to_several() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nTE: b\r\nhost: c\r\nHOST: d\r\n\r\n";
        let mut parser = HeadParser::new();
        parser.on_request_bytes(head.as_bytes(), &HeadLimits::default()).unwrap().unwrap();
        let noted = parser.take_request(Chunk::from(head.as_bytes().to_vec())).noted;
        assert!(noted.has(Name::Host) && noted.is_repeated(Name::Host));
        assert!(noted.has(Name::Te) && !noted.is_repeated(Name::Te));
        assert!(!noted.has(Name::Upgrade));
        assert_eq!(format!("{noted:?}"), r#"{Host: "several", Te: "one"}"#);
    }
}
