//! Which response is coded or decoded, and what that changes in its head.

use super::{Accepted, Coding, DecodeLimits, Levels};
use ringway_proto::message::{Body, Fields, Method, Name, RequestHead, ResponseHead, Status};
use ringway_proto::rules::list;

/// What is coded, and how: for one route.
///
/// Nobody has one unless it is configured; see [`super`] for what coding may give away.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The codings to use; where a client wants several as much, the first of them. Default: Zstandard, gzip, Brotli,
    /// by what they cost: Brotli writes a tenth less than Zstandard and takes six times as long, and eight times the memory
    /// of gzip.
    pub offered: Vec<Coding>,
    /// How hard the codings try.
    pub levels: Levels,
    /// Content that is known to be shorter is left as it is: what would be saved is less than what the longer head and
    /// the client's work cost. Default: 256.
    pub length_min_bytes: u64,
    /// The types of content to code. Default: [`TypePattern::DEFAULTS`]. What is compressed in itself is never coded,
    /// whatever matches: pictures but for vector graphics, audio, video, fonts of the web, archives; nor is gRPC, which
    /// has codings of its own.
    pub types: Vec<TypePattern>,
    /// Whether content that an origin has coded in a way that the client excludes is decoded. Default: no; the origin
    /// knew what the client accepts.
    pub decodes: bool,
    /// What decoded content may become.
    pub decode_limits: DecodeLimits,
}

impl Default for Policy {
    fn default() -> Self {
        let types =
            TypePattern::DEFAULTS.iter().map(|text| TypePattern::parse(text).expect("a valid pattern"));
        Self {
            offered: vec![Coding::Zstd, Coding::Gzip, Coding::Brotli],
            levels: Levels::default(),
            length_min_bytes: 256,
            types: types.collect(),
            decodes: false,
            decode_limits: DecodeLimits::default(),
        }
    }
}

/// Some media types: `text/html`, all of a kind as `text/*`, or all with a suffix as `+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// This type, in lower case.
    One(Box<str>),
    /// Every type that begins so; with the slash, in lower case.
    Kind(Box<str>),
    /// Every type with this structured syntax suffix (RFC 6838 section 4.2.8); with the plus, in lower case.
    Suffix(Box<str>),
}

impl TypePattern {
    /// What compresses well on the web.
    pub const DEFAULTS: &'static [&'static str] = &[
        "text/*",
        "+json",
        "+xml",
        "+yaml",
        "application/javascript",
        "application/json",
        "application/json-seq",
        "application/ndjson",
        "application/rtf",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/vnd.microsoft.icon",
        "image/x-icon",
    ];

    /// Reads a pattern, in any case. `None` when it is none of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        let text = text.to_ascii_lowercase();
        if let Some(suffix) = text.strip_prefix('+') {
            return is_token(suffix).then(|| Self::Suffix(text.as_str().into()));
        }
        let (kind, subtype) = text.split_once('/')?;
        match subtype {
            _ if !is_token(kind) => None,
            "*" => Some(Self::Kind(text[..=kind.len()].into())),
            _ => is_token(subtype).then(|| Self::One(text.as_str().into())),
        }
    }

    /// Whether `essence`, a media type without parameters, is of it.
    pub fn matches(&self, essence: &[u8]) -> bool {
        match self {
            Self::One(one) => essence.eq_ignore_ascii_case(one.as_bytes()),
            Self::Kind(kind) => begins(essence, kind.as_bytes()),
            Self::Suffix(suffix) => ends(essence, suffix.as_bytes()),
        }
    }
}

/// What of a request matters for the coding of its response. It is taken when the request arrives: what is sent on may
/// have been changed since.
#[derive(Clone, Debug)]
pub struct Asked {
    method: Method,
    accepted: Accepted,
    /// RFC 9111 section 5.2.1.6: the client wants what the origin sends.
    is_no_transform: bool,
    /// `If-None-Match`, where it has a weak tag: perhaps one that was made weak here.
    weak_tags: Option<Box<[u8]>>,
}

impl Asked {
    /// What of `request` matters.
    pub fn of(request: &RequestHead) -> Self {
        Self::new(request.method(), &request.fields)
    }

    /// What matters of a request with this method and these fields.
    pub fn new(method: Method, fields: &Fields) -> Self {
        let tags = fields.get(Name::IfNoneMatch);
        let weak_tags = tags.filter(|tags| tags.windows(2).any(|pair| pair == b"W/"));
        Self {
            method,
            accepted: Accepted::parse(fields.get_all(Name::AcceptEncoding)),
            is_no_transform: is_no_transform(fields),
            weak_tags: weak_tags.map(Into::into),
        }
    }

    /// What the client accepts.
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }
}

/// When coded content has to be brought out ([`Encoder::flush`](super::Encoder::flush)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Behind each part that arrives: somebody waits for each event (`text/event-stream`, lines of JSON).
    EachPart,
    /// When no more has arrived for now. Behind each part it would cost compression.
    WhenIdle,
}

/// What happens to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays as it is. Where `varies`, another client would have got it coded, and caches have to know.
    Leave {
        /// Whether the head says `Vary: accept-encoding`.
        varies: bool,
    },
    /// The content goes through an [`Encoder`](super::Encoder).
    Encode(Coding, Flush),
    /// A response to HEAD: its head says what the response to GET would, and there is no content to code
    /// (RFC 9110 section 9.3.2).
    Announce(Coding),
    /// The content goes through a [`Decoder`](super::Decoder).
    Decode(Coding),
    /// A response to HEAD, as if it were decoded.
    AnnounceDecoded,
    /// A 304 to a client that has coded content, whose tag was made weak then.
    Freshen,
}

impl Policy {
    /// What happens to the response `head` to a request.
    ///
    /// Left as they are: what has no content; partial content, since ranges count the bytes of the representation as
    /// it is; what is coded; what says `no-transform`, or a signature that the change would break (RFC 9421); other
    /// types than the policy's; what is known to be short.
    pub fn decide(&self, asked: &Asked, head: &ResponseHead) -> Decision {
        const LEAVE: Decision = Decision::Leave { varies: false };
        let fields = &head.fields;
        if head.status == NOT_MODIFIED {
            return if asked.has_weak(fields) { Decision::Freshen } else { LEAVE };
        }
        if !may_change(asked.method, head) {
            return LEAVE;
        }
        match content_coding(fields) {
            ContentCoding::Identity => self.decide_encoding(asked, head),
            ContentCoding::One(coding) if self.decodes && !is_empty(asked.method, head) => {
                self.decide_decoding(asked, coding)
            }
            ContentCoding::One(_) | ContentCoding::Other => LEAVE,
        }
    }

    fn decide_encoding(&self, asked: &Asked, head: &ResponseHead) -> Decision {
        let essence = essence(&head.fields);
        let is_short =
            content_length(asked.method, head).is_some_and(|len| len < self.length_min_bytes.max(1));
        if self.offered.is_empty()
            || is_short
            || is_compressed(essence)
            || !self.types.iter().any(|pattern| pattern.matches(essence))
        {
            return Decision::Leave { varies: false };
        }
        match asked.accepted.choose(&self.offered).coding {
            _ if asked.is_no_transform => Decision::Leave { varies: true },
            Some(coding) if asked.method == Method::Head => Decision::Announce(coding),
            Some(coding) => Decision::Encode(coding, flush(essence)),
            None => Decision::Leave { varies: true },
        }
    }

    fn decide_decoding(&self, asked: &Asked, coding: Coding) -> Decision {
        if asked.accepted.accepts(coding) || asked.is_no_transform || !asked.accepted.accepts_identity() {
            Decision::Leave { varies: true }
        } else if asked.method == Method::Head {
            Decision::AnnounceDecoded
        } else {
            Decision::Decode(coding)
        }
    }
}

impl Asked {
    /// Whether the client has the content of this 304 under a tag that was made weak.
    fn has_weak(&self, fields: &Fields) -> bool {
        let (Some(tags), Some(tag)) = (&self.weak_tags, fields.get(Name::Etag)) else { return false };
        // As bytes: a tag may have a comma, so that it is no element of a list of tokens.
        tag.starts_with(b"\"")
            && tags.windows(tag.len() + 2).any(|window| window.starts_with(b"W/") && window.ends_with(tag))
    }
}

impl Decision {
    /// Makes the head say what was decided. How the content is framed is remade by whoever sends it.
    ///
    /// - `Content-Encoding` is set or removed, `Content-Length` removed (RFC 9110 section 8.6).
    /// - `Vary` names `Accept-Encoding`, also where the response is left as it is but might not have been
    ///   (section 12.5.5).
    /// - A strong `ETag` becomes weak, since the bytes are not those of the origin (section 8.8.1). A tag that does not
    ///   follow the grammar, which nothing can make weak, is removed.
    /// - `Accept-Ranges` is removed: ranges would count other bytes.
    /// - Digests are removed, as with [`Decision::edit_trailers`].
    pub fn edit(&self, fields: &mut Fields) {
        match self {
            Self::Leave { varies: false } => return,
            Self::Leave { varies: true } => {}
            Self::Freshen => return weaken(fields),
            Self::Encode(coding, _) | Self::Announce(coding) => {
                fields.set(b"content-encoding", coding.token().as_bytes()).expect("a valid value");
                edit_transformed(fields);
            }
            Self::Decode(_) | Self::AnnounceDecoded => {
                fields.remove(Name::ContentEncoding);
                edit_transformed(fields);
            }
        }
        vary(fields);
    }

    /// Makes the trailer section fit what was decided: digests of the content as it was are removed.
    ///
    /// `Content-Digest` is of the bytes that are sent, `Repr-Digest` of the representation with its coding (RFC 9530
    /// sections 2 and 3), as were `Digest` (RFC 3230) and `Content-MD5` (RFC 2616 section 14.15): of coded content they
    /// would be wrong, and what is right is known too late for the head. `Unencoded-Digest` stays true.
    pub fn edit_trailers(&self, trailers: &mut Fields) {
        match self {
            Self::Leave { .. } | Self::Freshen => {}
            Self::Encode(..) | Self::Announce(_) | Self::Decode(_) | Self::AnnounceDecoded => {
                remove_digests(trailers);
            }
        }
    }
}

fn edit_transformed(fields: &mut Fields) {
    fields.remove(Name::ContentLength);
    fields.remove(Name::AcceptRanges);
    remove_digests(fields);
    weaken(fields);
}

fn remove_digests(fields: &mut Fields) {
    const DIGESTS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];
    fields.remove_if(|field| DIGESTS.iter().any(|digest| field.name.eq_ignore_ascii_case(digest)));
}

fn weaken(fields: &mut Fields) {
    let Some(tag) = fields.get(Name::Etag) else { return };
    let opaque = tag.strip_prefix(b"W/");
    let is_weak = opaque.is_some();
    if !matches!(opaque.unwrap_or(tag), [b'"', .., b'"']) {
        return fields.remove(Name::Etag);
    }
    if !is_weak {
        let weak = [b"W/", tag].concat();
        fields.set(b"etag", &weak).expect("what was received can be sent");
    }
}

fn vary(fields: &mut Fields) {
    let is_named = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
    if !fields.get_all(Name::Vary).flat_map(list::elements).any(is_named) {
        fields.append(b"vary", b"accept-encoding").expect("a valid value");
    }
}

/// Whether the content, if there is any, is that of a whole representation, and nobody forbade to change it.
fn may_change(method: Method, head: &ResponseHead) -> bool {
    let Status(status) = head.status;
    let is_signed = |name: &[u8]| name.eq_ignore_ascii_case(b"signature-input");
    let is_whole = !matches!(status, ..200 | 204..=206 | 226);
    is_whole
        && method != Method::Connect
        && !is_no_transform(&head.fields)
        && !head
            .fields
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case(b"content-range") || is_signed(field.name))
}

/// Whether a `Cache-Control` says so. In doubt it does: a quoted list that has the word counts.
fn is_no_transform(fields: &Fields) -> bool {
    let is_meant = |directive: &[u8]| directive.trim_ascii_end().eq_ignore_ascii_case(b"no-transform");
    fields
        .get_all(Name::CacheControl)
        .flat_map(list::elements)
        .any(|directive| directive.split(|byte| b"=\"".contains(byte)).any(is_meant))
}

enum ContentCoding {
    Identity,
    One(Coding),
    /// Several, or one that is not known.
    Other,
}

fn content_coding(fields: &Fields) -> ContentCoding {
    let mut coding = ContentCoding::Identity;
    for token in fields.get_all(Name::ContentEncoding).flat_map(list::elements) {
        // Not to be sent (RFC 9110 section 8.4.1), but it is.
        if token.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        coding = match (coding, Coding::from_token(token)) {
            (ContentCoding::Identity, Some(one)) => ContentCoding::One(one),
            _ => return ContentCoding::Other,
        };
    }
    coding
}

/// The length of the content, or for HEAD of what GET would have; `None` when it is not known.
fn content_length(method: Method, head: &ResponseHead) -> Option<u64> {
    match head.body() {
        Body::Length(len) => Some(len),
        Body::Empty if method == Method::Head => list::decimal(head.fields.get(Name::ContentLength)?),
        Body::Empty => Some(0),
        Body::Streamed | Body::UntilClose => None,
    }
}

fn is_empty(method: Method, head: &ResponseHead) -> bool {
    content_length(method, head) == Some(0)
}

/// The media type without its parameters (RFC 9110 section 8.3.1); empty when there is none.
fn essence(fields: &Fields) -> &[u8] {
    let value = fields.get(Name::ContentType).unwrap_or_default();
    list::trim(value.split(|&byte| byte == b';').next().unwrap_or_default())
}

/// Whether content of this type is compressed in itself, so that coding it again costs and saves nothing; or is made of
/// parts with codings of their own.
fn is_compressed(essence: &[u8]) -> bool {
    const PICTURES: &[&[u8]] =
        &[b"image/bmp", b"image/svg+xml", b"image/vnd.microsoft.icon", b"image/x-icon", b"image/x-ms-bmp"];
    const ARCHIVES: &[&[u8]] = &[
        b"application/font-woff",
        b"application/gzip",
        b"application/java-archive",
        b"application/vnd.rar",
        b"application/x-7z-compressed",
        b"application/x-bzip2",
        b"application/x-gzip",
        b"application/x-rar-compressed",
        b"application/x-xz",
        b"application/zip",
        b"application/zstd",
        b"font/woff",
        b"font/woff2",
    ];
    let is_one_of = |types: &[&[u8]]| types.iter().any(|one| essence.eq_ignore_ascii_case(one));
    (begins(essence, b"image/") && !is_one_of(PICTURES))
        || begins(essence, b"audio/")
        || begins(essence, b"video/")
        || begins(essence, b"application/grpc")
        || ends(essence, b"+zip")
        || is_one_of(ARCHIVES)
}

fn flush(essence: &[u8]) -> Flush {
    const EVENTS: [&[u8]; 4] =
        [b"text/event-stream", b"application/ndjson", b"application/x-ndjson", b"application/json-seq"];
    let is_of_events = EVENTS.iter().any(|events| essence.eq_ignore_ascii_case(events));
    if is_of_events { Flush::EachPart } else { Flush::WhenIdle }
}

fn begins(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

fn ends(text: &[u8], suffix: &[u8]) -> bool {
    text.len() >= suffix.len() && text[text.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

const NOT_MODIFIED: Status = Status(304);

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    const LEAVE: Decision = Decision::Leave { varies: false };
    const VARIES: Decision = Decision::Leave { varies: true };
    const GZIP: Decision = Decision::Encode(Gzip, Flush::WhenIdle);

    /// Of `name: value` lines.
    fn fields(lines: &str) -> Fields {
        let mut fields = Fields::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            fields.append(name.as_bytes(), value.trim().as_bytes()).unwrap();
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
        fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect()
    }

    fn response(status: u16, body: Body, lines: &str) -> ResponseHead {
        let mut head = ResponseHead::local(Status(status), body);
        head.fields = fields(lines);
        head
    }

    fn asked(request: &str) -> Asked {
        Asked::new(Method::Get, &fields(request))
    }

    fn decide(request: &str, status: u16, body: Body, response_lines: &str) -> Decision {
        Policy::default().decide(&asked(request), &response(status, body, response_lines))
    }

    const ACCEPTS: &str = "accept-encoding: gzip";

    #[test]
    fn what_a_response_is_decides_whether_it_is_coded() {
        let html = "content-type: text/html; charset=utf-8";
        for (body, length) in [(Body::Streamed, GZIP), (Body::UntilClose, GZIP), (Body::Empty, LEAVE)] {
            assert_eq!(decide(ACCEPTS, 200, body, html), length, "{body:?}");
        }
        for (len, decision) in [(0, LEAVE), (255, LEAVE), (256, GZIP), (u64::MAX, GZIP)] {
            assert_eq!(decide(ACCEPTS, 200, Body::Length(len), html), decision, "{len}");
        }
        for status in [200, 201, 203, 207, 300, 301, 302, 400, 403, 404, 416, 500, 503, 599] {
            assert_eq!(decide(ACCEPTS, status, Body::Streamed, html), GZIP, "{status}");
        }
        for status in [100, 101, 103, 204, 205, 206, 226, 304] {
            assert_eq!(decide(ACCEPTS, status, Body::Streamed, html), LEAVE, "{status}");
        }
        for line in [
            "content-range: bytes */100",
            "content-encoding: gzip",
            "content-encoding: br",
            "content-encoding: identity, gzip",
            "content-encoding: gzip, br",
            "content-encoding: unknown",
            "cache-control: no-transform",
            "cache-control: public, No-Transform",
            "cache-control: max-age=5\n cache-control: no-transform",
            "cache-control: private=\"a, no-transform\"",
            "signature-input: sig1=(\"content-digest\")",
        ] {
            assert_eq!(decide(ACCEPTS, 200, Body::Streamed, &format!("{html}\n{line}")), LEAVE, "{line}");
        }
        for line in ["content-encoding: identity", "content-encoding:", "cache-control: no-store, x=\"y\""] {
            assert_eq!(decide(ACCEPTS, 200, Body::Streamed, &format!("{html}\n{line}")), GZIP, "{line}");
        }
    }

    #[test]
    fn what_a_client_accepts_decides_and_the_response_varies() {
        let decide = |request: &str| decide(request, 200, Body::Streamed, "content-type: text/css");
        let encode = |coding| Decision::Encode(coding, Flush::WhenIdle);
        for (request, decision) in [
            ("", VARIES),
            ("accept-encoding:", VARIES),
            ("accept-encoding: identity", VARIES),
            ("accept-encoding: deflate, compress", VARIES),
            ("accept-encoding: gzip;q=0, identity;q=0", VARIES),
            ("accept-encoding: gzip, br, zstd", encode(Zstd)),
            ("accept-encoding: gzip, br", encode(Gzip)),
            ("accept-encoding: gzip;q=0.5, br", encode(Brotli)),
            ("accept-encoding: gzip;q=0.5\n accept-encoding: br", encode(Brotli)),
            ("accept-encoding: gzip\n cache-control: no-transform", VARIES),
        ] {
            assert_eq!(decide(request), decision, "{request:?}");
        }
        let mut policy = Policy { offered: vec![Brotli], ..Policy::default() };
        let head = response(200, Body::Streamed, "content-type: text/css");
        assert_eq!(policy.decide(&asked("accept-encoding: gzip, br"), &head), encode(Brotli));
        policy.offered.clear();
        assert_eq!(policy.decide(&asked("accept-encoding: gzip, br"), &head), LEAVE);
    }

    #[test]
    fn types_are_those_that_get_shorter() {
        let events = Decision::Encode(Gzip, Flush::EachPart);
        for (content_type, decision) in [
            ("text/html", GZIP),
            ("Text/HTML;charset=utf-8", GZIP),
            ("text/plain ; a=b", GZIP),
            ("application/json", GZIP),
            ("application/problem+json", GZIP),
            ("application/vnd.api+JSON; ext=x", GZIP),
            ("application/javascript", GZIP),
            ("text/javascript", GZIP),
            ("application/wasm", GZIP),
            ("application/atom+xml", GZIP),
            ("image/svg+xml", GZIP),
            ("image/x-icon", GZIP),
            ("font/ttf", GZIP),
            ("text/event-stream", events),
            ("text/event-stream;charset=utf-8", events),
            ("application/x-ndjson", events),
            ("image/png", LEAVE),
            ("image/jpeg", LEAVE),
            ("video/mp4", LEAVE),
            ("audio/ogg", LEAVE),
            ("font/woff2", LEAVE),
            ("application/zip", LEAVE),
            ("application/epub+zip", LEAVE),
            ("application/octet-stream", LEAVE),
            ("application/pdf", LEAVE),
            ("application/grpc", LEAVE),
            ("application/grpc+json", LEAVE),
            ("multipart/x-mixed-replace", LEAVE),
            ("text", LEAVE),
            ("texts/html", LEAVE),
            (";text/html", LEAVE),
            ("", LEAVE),
        ] {
            let lines = format!("content-type: {content_type}");
            assert_eq!(decide(ACCEPTS, 200, Body::Streamed, &lines), decision, "{content_type}");
        }
        assert_eq!(decide(ACCEPTS, 200, Body::Streamed, "x-a: b"), LEAVE, "no type");
        // What is compressed in itself is not coded, whatever is asked for.
        let types = ["image/*", "application/*", "font/*", "+json", "application/zip"];
        let types = types.iter().map(|text| TypePattern::parse(text).unwrap()).collect();
        let policy = Policy { types, ..Policy::default() };
        for (content_type, decision) in [
            ("image/png", LEAVE),
            ("application/zip", LEAVE),
            ("application/grpc+json", LEAVE),
            ("font/woff", LEAVE),
            ("application/pdf", GZIP),
            ("image/svg+xml", GZIP),
            ("text/html", LEAVE),
        ] {
            let head = response(200, Body::Streamed, &format!("content-type: {content_type}"));
            assert_eq!(policy.decide(&asked(ACCEPTS), &head), decision, "{content_type}");
        }
    }

    #[test]
    fn patterns_have_three_forms() {
        assert_eq!(TypePattern::parse("Text/HTML"), Some(TypePattern::One("text/html".into())));
        assert_eq!(TypePattern::parse("text/*"), Some(TypePattern::Kind("text/".into())));
        assert_eq!(TypePattern::parse("+JSON"), Some(TypePattern::Suffix("+json".into())));
        for bad in [
            "",
            "+",
            "text",
            "text/",
            "/html",
            "*/*",
            "*/html",
            "text/h*",
            "a/b/c",
            "text/html;q=1",
            "te xt/a",
        ] {
            assert_eq!(TypePattern::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_coded_response_says_so_and_nothing_that_is_no_longer_true() {
        let mut head = response(
            200,
            Body::Length(1000),
            "content-type: text/html
            content-length: 1000
            ETag: \"abc\"
            Accept-Ranges: bytes
            content-md5: Q2hlY2sgSW50ZWdyaXR5IQ==
            Digest: sha-256=x
            Repr-Digest: sha-256=:x:
            content-digest: sha-256=:x:
            unencoded-digest: sha-256=:x:
            last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
        );
        let decision = Policy::default().decide(&asked(ACCEPTS), &head);
        assert_eq!(decision, GZIP);
        decision.edit(&mut head.fields);
        assert_eq!(
            lines(&head.fields),
            [
                "content-type: text/html",
                "etag: w/\"abc\"",
                "unencoded-digest: sha-256=:x:",
                "last-modified: sun, 06 nov 1994 08:49:37 gmt",
                "content-encoding: gzip",
                "vary: accept-encoding",
            ]
        );
        let mut trailers = fields("repr-digest: sha-256=:x:\n x-checked: 1\n Content-Digest: y");
        decision.edit_trailers(&mut trailers);
        assert_eq!(lines(&trailers), ["x-checked: 1"]);
    }

    #[test]
    fn a_response_that_stays_as_it_is_keeps_all_and_may_vary() {
        let received = "etag: \"abc\"\n content-length: 5\n accept-ranges: bytes\n content-digest: x";
        let mut head = fields(received);
        LEAVE.edit(&mut head);
        assert_eq!(lines(&head), lines(&fields(received)));
        VARIES.edit(&mut head);
        assert_eq!(lines(&head), lines(&fields(&format!("{received}\n vary: accept-encoding"))));
        let mut trailers = fields("content-digest: x");
        VARIES.edit_trailers(&mut trailers);
        assert_eq!(lines(&trailers), ["content-digest: x"]);
    }

    #[test]
    fn vary_names_accept_encoding_once() {
        for (received, sent) in [
            ("", "vary: accept-encoding"),
            ("vary: Origin", "vary: origin\n vary: accept-encoding"),
            ("vary: Accept-Encoding", "vary: accept-encoding"),
            ("vary: origin, ACCEPT-ENCODING , x", "vary: origin, accept-encoding , x"),
            ("vary: a\n vary: accept-encoding", "vary: a\n vary: accept-encoding"),
            ("vary: *", "vary: *"),
            ("vary: accept-encodings", "vary: accept-encodings\n vary: accept-encoding"),
        ] {
            let mut head = fields(received);
            VARIES.edit(&mut head);
            assert_eq!(lines(&head), lines(&fields(sent)), "{received:?}");
        }
    }

    #[test]
    fn a_tag_becomes_weak_or_goes() {
        for (received, sent) in [
            ("\"abc\"", Some("W/\"abc\"")),
            ("\"\"", Some("W/\"\"")),
            ("W/\"abc\"", Some("W/\"abc\"")),
            ("abc", None),
            ("\"", None),
            ("w/\"abc\"", None),
            ("W/abc", None),
            ("W/\"", None),
            ("", None),
        ] {
            let mut head = fields(&format!("etag: {received}"));
            GZIP.edit(&mut head);
            assert_eq!(head.get(Name::Etag), sent.map(str::as_bytes), "{received}");
        }
    }

    #[test]
    fn the_head_of_a_response_to_head_is_that_of_get() {
        let asked = Asked::new(Method::Head, &fields(ACCEPTS));
        for (length, decision) in [
            ("content-length: 1000", Decision::Announce(Gzip)),
            ("x-length: unknown", Decision::Announce(Gzip)),
            ("content-length: 10", LEAVE),
            ("content-length: 0", LEAVE),
        ] {
            let mut head =
                response(200, Body::Empty, &format!("content-type: text/html\n{length}\netag: \"a\""));
            assert_eq!(Policy::default().decide(&asked, &head), decision, "{length}");
            decision.edit(&mut head.fields);
            let is_announced = decision != LEAVE;
            assert_eq!(head.fields.has(Name::ContentEncoding), is_announced);
            assert_eq!(head.fields.get(Name::Etag), Some(&b"W/\"a\""[if is_announced { 0 } else { 2 }..]));
        }
        let head = response(200, Body::Empty, "content-type: text/html");
        let connect = Asked::new(Method::Connect, &fields(ACCEPTS));
        assert_eq!(Policy::default().decide(&connect, &head), LEAVE);
    }

    #[test]
    fn a_304_has_the_tag_that_the_client_knows() {
        let decide = |tags: &str, tag: &str| {
            let asked = asked(&format!("{ACCEPTS}\nif-none-match: {tags}"));
            let mut head = response(304, Body::Empty, &format!("etag: {tag}\naccept-ranges: bytes"));
            let decision = Policy::default().decide(&asked, &head);
            decision.edit(&mut head.fields);
            assert!(head.fields.has(Name::AcceptRanges) && !head.fields.has(Name::Vary));
            (decision, String::from_utf8(head.fields.get(Name::Etag).unwrap().to_vec()).unwrap())
        };
        assert_eq!(decide("W/\"abc\"", "\"abc\""), (Decision::Freshen, "W/\"abc\"".into()));
        assert_eq!(decide("\"x\", W/\"a,b\"", "\"a,b\""), (Decision::Freshen, "W/\"a,b\"".into()));
        assert_eq!(decide("W/\"x\", \"abc\"", "\"abc\""), (LEAVE, "\"abc\"".into()));
        assert_eq!(decide("\"abc\"", "\"abc\""), (LEAVE, "\"abc\"".into()));
        assert_eq!(decide("W/\"abc\"", "W/\"abc\""), (LEAVE, "W/\"abc\"".into()));
        assert_eq!(decide("*", "\"abc\""), (LEAVE, "\"abc\"".into()));
    }

    #[test]
    fn what_a_client_excludes_is_decoded_for_it_where_the_policy_says_so() {
        let policy = Policy { decodes: true, ..Policy::default() };
        let decide = |method, request: &str, coding: &str| {
            let mut head = response(200, Body::Streamed, &format!("content-encoding: {coding}\netag: \"a\""));
            let decision = policy.decide(&Asked::new(method, &fields(request)), &head);
            decision.edit(&mut head.fields);
            (decision, lines(&head.fields).join(", "))
        };
        let decoded = "etag: w/\"a\", vary: accept-encoding";
        let same = |coding: &str| format!("content-encoding: {coding}, etag: \"a\", vary: accept-encoding");
        let get = |request, coding| decide(Method::Get, request, coding);
        assert_eq!(get("accept-encoding: gzip", "br"), (Decision::Decode(Brotli), decoded.into()));
        assert_eq!(get("accept-encoding:", "x-gzip"), (Decision::Decode(Gzip), decoded.into()));
        assert_eq!(get("accept-encoding: gzip", "gzip"), (VARIES, same("gzip")));
        assert_eq!(get("accept-encoding: gzip, identity;q=0", "br"), (VARIES, same("br")));
        assert_eq!(get("cache-control: no-transform\naccept-encoding:", "br"), (VARIES, same("br")));
        assert_eq!(get("", "br"), (VARIES, same("br")), "without the field everything is accepted");
        assert_eq!(get("accept-encoding:", "br, gzip").0, LEAVE);
        let head = decide(Method::Head, "accept-encoding: gzip", "br");
        assert_eq!(head, (Decision::AnnounceDecoded, decoded.into()));
    }
}
