//! Request and status lines (RFC 9112 sections 3 and 4), byte by byte.

use super::field_line::line_end;
use crate::message::{Method, Status, Target, TargetForm, Version};
use crate::rules::Rule;
use crate::scan::{self, Backend};
use crate::span::Span;

/// `method SP target SP version`.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) method_span: Span,
    pub(super) target: Target,
    pub(super) version: Version,
}

/// `version SP status SP reason`.
#[derive(Debug)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: Status,
    pub(super) reason: Span,
}

/// Longest method; the registry's longest has 17 bytes (UPDATEREDIRECTREF).
pub(super) const METHOD_BYTES_MAX: usize = 32;

/// The request line at `at`, when it has a usual method, a target in origin-form and a version that we know,
/// and the next line; everything else is left to [`request_line`].
pub(super) fn plain_request_line(
    backend: Backend,
    bytes: &[u8],
    at: usize,
    target_bytes_max: usize,
) -> Option<(RequestLine, usize)> {
    let (method, method_len) = match u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?).to_le_bytes() {
        [b'G', b'E', b'T', b' ', b'/', ..] => (Method::Get, 3),
        [b'P', b'O', b'S', b'T', b' ', b'/', ..] => (Method::Post, 4),
        [b'H', b'E', b'A', b'D', b' ', b'/', ..] => (Method::Head, 4),
        [b'P', b'U', b'T', b' ', b'/', ..] => (Method::Put, 3),
        [b'D', b'E', b'L', b'E', b'T', b'E', b' ', b'/'] => (Method::Delete, 6),
        _ => return None,
    };
    let target_at = at + method_len + 1;
    let target_end = backend.target_end(bytes, target_at);
    let version = plain_version(bytes.get(target_end..)?)?;
    if target_end - target_at > target_bytes_max {
        return None;
    }
    let whole = Span::new(target_at, target_end);
    let target = Target { form: TargetForm::Origin, whole, authority: Span::default(), path: whole };
    let method_span = Span::new(at, at + method_len);
    Some((RequestLine { method, method_span, target, version }, target_end + 11))
}

/// The version that `rest` begins with, when a space is before it and CRLF behind.
#[inline]
fn plain_version(rest: &[u8]) -> Option<Version> {
    match rest.first_chunk::<11>()? {
        b" HTTP/1.1\r\n" => Some(Version::Http11),
        b" HTTP/1.0\r\n" => Some(Version::Http10),
        _ => None,
    }
}

/// The status line at `at`, when it is of HTTP/1.1 and has a reason, and the next line; everything else is left
/// to [`status_line`].
pub(super) fn plain_status_line(backend: Backend, bytes: &[u8], at: usize) -> Option<(StatusLine, usize)> {
    let line = bytes.get(at..)?;
    let &[.., a, b, c, b' '] = line.first_chunk::<13>()? else { return None };
    let digits = [a, b, c].map(|byte| byte.wrapping_sub(b'0'));
    if !line.starts_with(b"HTTP/1.1 ")
        || digits.iter().any(|&digit| digit > 9)
        || !(1..=5).contains(&digits[0])
    {
        return None;
    }
    let code = digits.iter().fold(0, |code, &digit| code * 10 + u16::from(digit));
    let reason_at = at + 13;
    let reason_end = backend.value_end(bytes, reason_at);
    if bytes.get(reason_end..)?.first_chunk::<2>() != Some(b"\r\n") {
        return None;
    }
    let (version, reason) = (Version::Http11, Span::new(reason_at, reason_end));
    Some((StatusLine { version, status: Status(code), reason }, reason_end + 2))
}

/// The request line at `at` and where the next line begins; `None` when more bytes are needed.
pub(super) fn request_line(
    bytes: &[u8],
    at: usize,
    target_bytes_max: usize,
) -> Result<Option<(RequestLine, usize)>, Rule> {
    let Some(method_end) = method_end(bytes, at)? else { return Ok(None) };
    let target_at = method_end + 1;
    let target_len = scan::target(bytes.get(target_at..).unwrap_or_default());
    if target_len > target_bytes_max {
        return Err(Rule::TargetTooLong);
    }
    let target_end = target_at + target_len;
    match bytes.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_len > 0 => {}
        Some(b' ') => return Err(Rule::StartLine),
        Some(b'\r' | b'\n') => return cut_short(bytes, target_end),
        Some(_) => return Err(Rule::TargetForm),
    }
    let method_span = Span::new(at, method_end);
    let method = Method::from_token(method_span.of(bytes));
    let target = Target::parse(method, bytes, Span::new(target_at, target_end))?;
    let Some((version, end)) = version(bytes, target_end + 1)? else { return Ok(None) };
    let next = match bytes.get(end) {
        Some(b'\r' | b'\n') => line_end(bytes, end)?,
        Some(_) => return Err(Rule::StartLine),
        None => None,
    };
    Ok(next.map(|next| (RequestLine { method, method_span, target, version }, next)))
}

/// The status line at `at` and where the next line begins; `None` when more bytes are needed.
pub(super) fn status_line(bytes: &[u8], at: usize) -> Result<Option<(StatusLine, usize)>, Rule> {
    let Some((version, version_end)) = version(bytes, at)? else { return Ok(None) };
    match bytes.get(version_end) {
        None => return Ok(None),
        Some(b' ') => {}
        Some(b'\r' | b'\n') => return cut_short(bytes, version_end),
        Some(_) => return Err(Rule::StartLine),
    }
    let Some((status, status_end)) = status(bytes, version_end + 1)? else { return Ok(None) };
    // RFC 9112 section 4 has the space even where the reason is empty; many origins leave it out.
    let reason_at = match bytes.get(status_end) {
        None => return Ok(None),
        Some(b' ') => status_end + 1,
        Some(b'\r' | b'\n') => status_end,
        Some(_) => return Err(Rule::StatusCode),
    };
    let reason_end = reason_at + scan::value(bytes.get(reason_at..).unwrap_or_default());
    let next = match bytes.get(reason_end) {
        Some(b'\r' | b'\n') => line_end(bytes, reason_end)?,
        Some(_) => return Err(Rule::StartLine),
        None => None,
    };
    let reason = Span::new(reason_at, reason_end);
    Ok(next.map(|next| (StatusLine { version, status, reason }, next)))
}

/// Where the space behind the method is.
fn method_end(bytes: &[u8], at: usize) -> Result<Option<usize>, Rule> {
    let len = scan::token(&bytes[at..]);
    if len > METHOD_BYTES_MAX {
        return Err(Rule::MethodToken);
    }
    match bytes.get(at + len) {
        None => Ok(None),
        Some(b' ') if len > 0 => Ok(Some(at + len)),
        Some(b' ') => Err(Rule::StartLine),
        Some(b'\r' | b'\n') => cut_short(bytes, at + len),
        Some(_) => Err(Rule::MethodToken),
    }
}

/// The version at `at` and where it ends: `HTTP/1.0` or `HTTP/1.1`.
///
/// A higher minor version could be taken for 1.1 (RFC 9110 section 2.5), but there is none to come, and what
/// asks for one tests parsers.
fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, Rule> {
    let got = &bytes[at.min(bytes.len())..bytes.len().min(at + 8)];
    let shape = |(index, &byte): (usize, &u8)| match index {
        5 | 7 => byte.is_ascii_digit(),
        _ => byte == b"HTTP/_._"[index],
    };
    if let Some(odd) = got.iter().enumerate().position(|each| !shape(each)) {
        return match got[odd] {
            b'\r' | b'\n' => cut_short(bytes, at + odd),
            _ => Err(Rule::StartLine),
        };
    }
    match got {
        b"HTTP/1.1" => Ok(Some((Version::Http11, at + 8))),
        b"HTTP/1.0" => Ok(Some((Version::Http10, at + 8))),
        got if got.len() == 8 => Err(Rule::VersionUnsupported),
        _ => Ok(None),
    }
}

/// The status code at `at` and where it ends.
fn status(bytes: &[u8], at: usize) -> Result<Option<(Status, usize)>, Rule> {
    let got = &bytes[at.min(bytes.len())..bytes.len().min(at + 3)];
    if let Some(odd) = got.iter().position(|byte| !byte.is_ascii_digit()) {
        return match got[odd] {
            b'\r' | b'\n' => cut_short(bytes, at + odd),
            _ => Err(Rule::StatusCode),
        };
    }
    let &[a, b, c] = got else { return Ok(None) };
    match u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0') {
        code @ 100..=599 => Ok(Some((Status(code), at + 3))),
        _ => Err(Rule::StatusCode),
    }
}

/// For a start line whose end comes at `at`, too early: which rule that breaks.
fn cut_short<T>(bytes: &[u8], at: usize) -> Result<Option<T>, Rule> {
    match line_end(bytes, at)? {
        None => Ok(None),
        Some(_) => Err(Rule::StartLine),
    }
}
