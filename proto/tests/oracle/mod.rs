//! What the head parser says of any bytes, however they are cut and whichever instructions read them, and what
//! httparse says of the same. Tests and the fuzz target `head` share it.

use ringway_proto::chunk::Chunk;
use ringway_proto::h1::head::{FramingFields, HeadLimits, HeadParser};
use ringway_proto::message::{Fields, Method, Name, Target, TargetForm, Version};
use ringway_proto::rules::Rule;
use ringway_proto::scan::Backend;

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request head.
    Request,
    /// A response head.
    Response,
    /// A trailer section.
    Trailers,
}

/// A head that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its bytes, line ends and all.
    pub len: usize,
    /// Method and target, or status and reason; empty for trailers.
    pub start: (Vec<u8>, Vec<u8>),
    /// The minor version.
    pub minor: u8,
    /// Names and values in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A head, more bytes wanted, or the rule that is broken.
pub type Said = Result<Option<Read>, Rule>;

/// What the parser says when it gets `bytes` in pieces of the lengths `pieces`, and then the rest.
pub fn said(kind: Kind, backend: Backend, bytes: &[u8], pieces: &[usize], limits: &HeadLimits) -> Said {
    let mut parser = HeadParser::with_backend(backend);
    assert!(!parser.is_begun());
    let mut received = 0_usize;
    for &piece in pieces.iter().chain([&usize::MAX]) {
        received = bytes.len().min(received.saturating_add(piece));
        let bytes = &bytes[..received];
        let len = match kind {
            Kind::Request => parser.on_request_bytes(bytes, limits)?,
            Kind::Response => parser.on_response_bytes(bytes, limits)?,
            Kind::Trailers => parser.on_trailer_bytes(bytes, limits)?,
        };
        if let Some(len) = len {
            return Ok(Some(take(kind, &mut parser, &bytes[..len])));
        }
    }
    Ok(None)
}

fn take(kind: Kind, parser: &mut HeadParser, bytes: &[u8]) -> Read {
    let received = Chunk::from(bytes.to_vec());
    let (start, minor, fields) = match kind {
        Kind::Request => {
            let raw = parser.take_request(received);
            assert_eq!(raw.method(), Method::from_token(raw.method_bytes()));
            check_target(raw.target(), bytes);
            check_noted(raw.noted(), raw.fields());
            (
                (raw.method_bytes().to_vec(), raw.target_bytes().to_vec()),
                minor(raw.version()),
                pairs(raw.fields()),
            )
        }
        Kind::Response => {
            let raw = parser.take_response(received);
            check_noted(raw.noted(), raw.fields());
            let status = raw.status().0.to_string().into_bytes();
            ((status, raw.reason_bytes().to_vec()), minor(raw.version()), pairs(raw.fields()))
        }
        Kind::Trailers => (Default::default(), 1, pairs(&parser.take_trailers(received))),
    };
    assert!(!parser.is_begun(), "a parser whose head was taken waits for the next");
    Read { len: bytes.len(), start, minor, fields }
}

/// Authority and path are what the form says, and nothing is left out of the target but its scheme.
fn check_target(target: Target, bytes: &[u8]) {
    let (whole, authority, path) =
        (target.whole.of(bytes), target.authority.of(bytes), target.path.of(bytes));
    match target.form {
        TargetForm::Origin | TargetForm::Asterisk => assert!(authority.is_empty() && path == whole),
        TargetForm::Authority => assert!(authority == whole && path.is_empty()),
        TargetForm::Absolute => {
            assert!(whole.ends_with(&[b"://", authority, path].concat()));
            assert!(path.is_empty() || matches!(path[0], b'/' | b'?'));
        }
    }
}

/// What was noted on the way is what is in the list.
fn check_noted(noted: FramingFields, fields: &Fields) {
    for &name in Name::ALL.iter().filter(|name| name.is_noted()) {
        let count =
            fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name.text().as_bytes())).count();
        assert_eq!(noted.has(name), count > 0, "{name:?}");
        assert_eq!(noted.is_repeated(name), count > 1, "{name:?}");
    }
}

fn minor(version: Version) -> u8 {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => panic!("not in a head"),
    }
}

fn pairs(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    for field in fields.iter() {
        let known = Name::ALL.iter().find(|name| name.text().as_bytes().eq_ignore_ascii_case(field.name));
        assert_eq!(field.id, *known.unwrap_or(&Name::Other), "{}", field.name.escape_ascii());
    }
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

/// Asserts that every backend says the same of `bytes` in the given pieces, whole, and byte by byte, and returns
/// it.
pub fn said_by_all(kind: Kind, bytes: &[u8], pieces: &[usize], limits: &HeadLimits) -> Said {
    let expected = said(kind, Backend::get(), bytes, &[], limits);
    // What is refused may be refused later in pieces, but when its line ends.
    let with_line_end = [bytes, b"\n"].concat();
    let byte_by_byte = vec![1; bytes.len()];
    for backend in Backend::all() {
        for pieces in [&[], pieces, &byte_by_byte] {
            let said_now = said(kind, backend, bytes, pieces, limits);
            let is_late = expected.is_err() && said_now == Ok(None);
            let said_then =
                if is_late { said(kind, backend, &with_line_end, pieces, limits) } else { said_now };
            assert_eq!(said_then, expected, "{backend:?} {pieces:?} {}", bytes.escape_ascii());
        }
    }
    expected
}

/// Asserts that what was said of `bytes` is what httparse says, or stricter in one of the ways of
/// [`is_stricter`]; never wider.
pub fn compare_with_httparse(kind: Kind, bytes: &[u8], said: &Said) {
    let theirs = httparse_said(kind, bytes);
    let agrees = match (said, &theirs) {
        (Ok(Some(ours)), Ok(Some(theirs))) => ours == theirs,
        (Ok(None), Ok(None)) => true,
        (Err(_), Err(())) => true,
        // What is wrong already we may say before they do, and they may wait for more.
        (Err(rule), _) => is_stricter(*rule, kind, bytes),
        // Behind a CR we wait for one more byte before we say which rule is broken.
        (Ok(None), Err(())) => bytes.ends_with(b"\r") || is_wider(bytes),
        (Ok(Some(_)), Err(())) => is_wider(bytes),
        _ => false,
    };
    assert!(agrees, "{kind:?} {}\nringway: {said:?}\nhttparse: {theirs:?}", bytes.escape_ascii());
}

fn httparse_said(kind: Kind, bytes: &[u8]) -> Result<Option<Read>, ()> {
    let mut list = [httparse::EMPTY_HEADER; 256];
    match kind {
        Kind::Request => {
            let mut request = httparse::Request::new(&mut list);
            let httparse::Status::Complete(len) = request.parse(bytes).map_err(|_| ())? else {
                return Ok(None);
            };
            let start = (request.method.unwrap().into(), request.path.unwrap().into());
            Ok(Some(Read {
                len,
                start,
                minor: request.version.unwrap(),
                fields: their_pairs(request.headers),
            }))
        }
        Kind::Response => {
            let mut response = httparse::Response::new(&mut list);
            let httparse::Status::Complete(len) = response.parse(bytes).map_err(|_| ())? else {
                return Ok(None);
            };
            // They drop a reason with obs-text, which we keep.
            let line_end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
            let reason = match response.reason.unwrap() {
                "" => bytes[..line_end - 1].get(13..).unwrap_or_default(),
                reason => reason.as_bytes(),
            };
            let start = (response.code.unwrap().to_string().into(), reason.into());
            Ok(Some(Read {
                len,
                start,
                minor: response.version.unwrap(),
                fields: their_pairs(response.headers),
            }))
        }
        Kind::Trailers => match httparse::parse_headers(bytes, &mut list).map_err(|_| ())? {
            httparse::Status::Complete((len, list)) => {
                Ok(Some(Read { len, start: Default::default(), minor: 1, fields: their_pairs(list) }))
            }
            httparse::Status::Partial => Ok(None),
        },
    }
}

fn their_pairs(list: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    list.iter().map(|header| (header.name.into(), header.value.into())).collect()
}

/// Where we refuse what httparse takes, or waits for the end of: the whole list.
fn is_stricter(rule: Rule, kind: Kind, bytes: &[u8]) -> bool {
    let bare_lf = || (0..bytes.len()).any(|at| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r'));
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start_matches(['\r', '\n']);
    let word = |index| start.split([' ', '\r', '\n']).nth(index).unwrap_or_default();
    match rule {
        // They take LF for CRLF, in trailers too, of which our limits are not told apart from other rules.
        Rule::BareLineEnd => bare_lf(),
        Rule::Trailer => {
            let limits = HeadLimits::default();
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
            bare_lf() || lines > limits.fields || bytes.len() > limits.bytes
        }
        // They skip any number of empty lines, in front of responses too.
        Rule::StartLine => text.starts_with(if kind == Kind::Request { "\r\n\r\n\r\n" } else { "\r\n" }),
        // They take any length of method, any target without space or control character, and any three digits.
        Rule::MethodToken => word(0).len() > 32,
        Rule::TargetForm | Rule::TargetAuthority => {
            kind == Kind::Request && !word(1).starts_with('/') || word(1).contains('#')
        }
        Rule::StatusCode => kind == Kind::Response && !matches!(word(1).parse(), Ok(100..=599)),
        // They have no limits but the length of the list.
        Rule::TargetTooLong | Rule::HeadTooLarge | Rule::TooManyFields => true,
        _ => false,
    }
}

/// Where we take, or wait for the end of, what httparse refuses: targets that are not UTF-8, which clients send.
fn is_wider(bytes: &[u8]) -> bool {
    let target = bytes.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(target).is_err()
}
