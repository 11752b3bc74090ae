//! What clients and origins got is HTTP, read by httparse: complete messages, and behind them the beginning of one
//! at most.

use httparse::{EMPTY_HEADER, Status};

/// A head, and what it says of its content.
struct Head {
    /// A response's; 0 in requests.
    status: u16,
    framing: Framing,
    is_upgrade: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    /// Nothing is said: nothing in a request, all in a response.
    Unsaid,
}

#[derive(Clone, Copy)]
enum Role {
    Request,
    Response,
}

/// The responses that a client got are those of its lines in the log, in order. `is_ended`: the connection was
/// finished in order.
pub(crate) fn client(received: &[u8], is_ended: bool, peer: &str, lines: &[String]) {
    let mut rest = received;
    for line in lines.iter().filter(|line| value(line, "peer") == peer) {
        let outcome = value(line, "outcome");
        // Complete as far as we know: whether it arrives is another question where connections break.
        let is_whole = is_ended && matches!(outcome, "complete" | "answered");
        let head = loop {
            match head(rest, Role::Response) {
                None => break None,
                Some((head, len)) => {
                    rest = &rest[len..];
                    if head.status >= 200 || head.status == 101 {
                        break Some(head);
                    }
                    assert_ne!(value(line, "protocol"), "HTTP/1.0", "an interim response: {line}");
                }
            }
        };
        let Some(head) = head else {
            assert!(!is_whole, "nothing came of {line}");
            assert!(!(is_ended && !rest.is_empty()), "a part of a head, closed in order: {line}");
            return;
        };
        assert_eq!(value(line, "status"), head.status.to_string(), "{line}");
        let is_bodiless = value(line, "method") == "HEAD" || matches!(head.status, 204 | 304);
        match head.framing {
            _ if head.status == 101 => return,
            _ if is_bodiless => {}
            Framing::Unsaid => {
                let is_fine = !is_ended || matches!(outcome, "complete" | "answered");
                return assert!(is_fine, "looks complete: {line}");
            }
            framing => match content(rest, framing) {
                Some(len) => {
                    assert_ne!(outcome, "upstream_truncated", "looks complete: {line}");
                    rest = &rest[len..];
                }
                None => return assert!(!is_whole, "not complete: {line}"),
            },
        }
    }
    assert!(rest.is_empty(), "more than was logged: {}", rest.escape_ascii());
}

/// What an origin got are requests.
pub(crate) fn origin(received: &[u8]) {
    let mut rest = received;
    while let Some((head, len)) = head(&with_plain_target(rest), Role::Request) {
        rest = &rest[len..];
        match content(rest, head.framing) {
            Some(len) => rest = &rest[len..],
            None => return,
        }
        if head.is_upgrade {
            return;
        }
    }
}

/// httparse wants targets to be UTF-8; we pass on what clients send.
fn with_plain_target(bytes: &[u8]) -> Vec<u8> {
    let line = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let mut bytes = bytes.to_vec();
    bytes[..line].iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'x');
    bytes
}

/// A head and its length; `None` for a part of one.
fn head(bytes: &[u8], role: Role) -> Option<(Head, usize)> {
    let mut fields = [EMPTY_HEADER; 200];
    let (parsed, status, fields) = match role {
        Role::Request => {
            let mut head = httparse::Request::new(&mut fields);
            let parsed = head.parse(bytes);
            assert!(parsed != Ok(Status::Complete(0)));
            (parsed, 0, head.headers)
        }
        Role::Response => {
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(bytes);
            (parsed, head.code.unwrap_or(0), head.headers)
        }
    };
    let parsed = parsed.unwrap_or_else(|error| panic!("{error} in {}", bytes.escape_ascii()));
    let Status::Complete(len) = parsed else { return None };
    let text = &bytes[..len];
    // httparse takes LF for the end of a line, and empty lines in front.
    assert_eq!(count(text, b'\n'), text.windows(2).filter(|pair| pair == b"\r\n").count());
    assert_eq!(count(text, b'\n'), count(text, b'\r'));
    let starts = match role {
        Role::Request => text.first().is_some_and(|&byte| byte != b'\r'),
        Role::Response => text.starts_with(b"HTTP/1.1 "),
    };
    assert!(starts, "{}", text.escape_ascii());
    let all = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
    };
    if matches!(role, Role::Request) {
        assert_eq!(all("host").len(), 1, "{}", text.escape_ascii());
    }
    let framing = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Framing::Unsaid,
        ([length], []) => Framing::Length(number(length, 10).unwrap_or(usize::MAX)),
        ([], [b"chunked"]) => Framing::Chunked,
        _ => panic!("framed twice: {}", text.escape_ascii()),
    };
    let framing = match role {
        Role::Request if framing == Framing::Unsaid => Framing::Nothing,
        _ => framing,
    };
    Some((Head { status, framing, is_upgrade: !all("upgrade").is_empty() }, len))
}

/// How long a message's content is on the wire; `None` when some of it is missing.
fn content(bytes: &[u8], framing: Framing) -> Option<usize> {
    match framing {
        Framing::Nothing | Framing::Unsaid => Some(0),
        Framing::Length(length) => (bytes.len() >= length).then_some(length),
        Framing::Chunked => chunks(bytes),
    }
}

fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = bytes[at..].iter().position(|&byte| byte == b'\n')?;
        let size = bytes[at..at + line].strip_suffix(b"\r").and_then(|digits| number(digits, 16));
        let size = size.unwrap_or_else(|| panic!("no chunk size: {}", bytes[at..].escape_ascii()));
        at += line + 1;
        if size == 0 {
            let mut fields = [EMPTY_HEADER; 200];
            return match httparse::parse_headers(&bytes[at..], &mut fields).expect("trailers are fields") {
                Status::Complete((len, _)) => Some(at + len),
                Status::Partial => None,
            };
        }
        at = at.checked_add(size)?;
        let end = bytes.get(at..at + 2)?;
        assert_eq!(end, b"\r\n", "the end of a chunk");
        at += 2;
    }
}

fn number(digits: &[u8], base: u32) -> Option<usize> {
    let is_plain = !digits.is_empty() && digits.iter().all(|byte| char::from(*byte).is_digit(base));
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_plain)?;
    usize::from_str_radix(digits, base).ok()
}

fn count(bytes: &[u8], byte: u8) -> usize {
    bytes.iter().filter(|&&other| other == byte).count()
}

/// The value of a key in a line of JSON. (No peer can write a quote into it that is not escaped.)
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let key = format!("\"{key}\":");
    let Some(at) = line.find(&key) else { return "" };
    let rest = &line[at + key.len()..];
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next().unwrap_or_default(),
        None => rest.split([',', '}']).next().unwrap_or_default(),
    }
}
