//! The chunked decoder against a plain reading of RFC 9112 section 7.1, however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_proto::chunk::Chunk;
use ringway_proto::h1::chunked::{ChunkedDecoder, ChunkedLimits, Step};

const LIMITS: ChunkedLimits = ChunkedLimits { line_bytes: 64, extension_bytes: 100, body_bytes: 1 << 40 };

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (pieces, bytes) = input;
    let whole = decode(&bytes, &[]);
    assert_eq!(decode(&bytes, &pieces), whole);
    // What the limits refuse, the reference does not; all else is the same.
    match whole {
        Some(read) => assert_eq!(reference(&bytes), Some(read)),
        None => assert!(reference(&bytes).is_none() || is_limited(&bytes)),
    }
});

/// Data, and how many bytes the body took up to its last chunk; `None` when it is refused or not complete.
type Read = Option<(Vec<u8>, usize)>;

fn decode(bytes: &[u8], pieces: &[u8]) -> Read {
    let mut decoder = ChunkedDecoder::default();
    let mut data = Vec::new();
    let mut at = 0;
    let mut pieces = pieces.iter().map(|&piece| usize::from(piece % 16)).chain(std::iter::repeat(usize::MAX));
    while at < bytes.len() {
        let end = bytes.len().min(at.saturating_add(pieces.next()?));
        while at < end {
            let piece = Chunk::from(bytes[at..end].to_vec());
            let progress = decoder.on_bytes(&piece, &LIMITS).ok()?;
            at += progress.skip;
            match progress.step {
                Step::More => assert_eq!(at, end),
                Step::Data(len) => {
                    assert!(len > 0);
                    data.extend_from_slice(&bytes[at..at + len]);
                    at += len;
                }
                Step::Last => return Some((data, at)),
            }
        }
    }
    None
}

fn reference(bytes: &[u8]) -> Read {
    let mut data = Vec::new();
    let mut rest = bytes;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&rest[..digits]).ok()?;
        let size = match size.trim_start_matches('0') {
            "" if digits > 0 => 0,
            digits => u64::from_str_radix(digits, 16).ok()?,
        };
        rest = line_end(extensions(&rest[digits..])?)?;
        if size == 0 {
            return Some((data, bytes.len() - rest.len()));
        }
        let size = usize::try_from(size).ok()?;
        data.extend_from_slice(rest.get(..size)?);
        rest = line_end(&rest[size..])?;
    }
}

fn line_end(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(b"\r\n")
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
fn extensions(mut bytes: &[u8]) -> Option<&[u8]> {
    while !bytes.starts_with(b"\r") {
        bytes = token(spaces(spaces(bytes).strip_prefix(b";")?))?;
        if let Some(value) = spaces(bytes).strip_prefix(b"=") {
            let value = spaces(value);
            bytes = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted_string(quoted)?,
                None => token(value)?,
            };
        }
    }
    Some(bytes)
}

fn spaces(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| b" \t".contains(byte)).count()..]
}

fn token(bytes: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let len = bytes.iter().take_while(is_token).count();
    (len > 0).then(|| &bytes[len..])
}

fn quoted_string(bytes: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    match bytes {
        [b'"', rest @ ..] => Some(rest),
        [b'\\', byte, rest @ ..] if is_text(*byte) => quoted_string(rest),
        [byte, rest @ ..] if is_text(*byte) && *byte != b'\\' => quoted_string(rest),
        _ => None,
    }
}

/// Whether the bytes are enough to pass a limit.
fn is_limited(bytes: &[u8]) -> bool {
    bytes.len() > LIMITS.line_bytes
}
