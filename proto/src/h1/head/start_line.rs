//! Request and status lines (RFC 9112 sections 3 and 4), byte by byte.

use super::field_line::line_end;
use crate::message::{Method, Status, Target, TargetForm, Version};
use crate::rules::Rule;
use crate::scan::{self, Simd, end_of, simd};
use crate::span::Span;

/// `method SP target SP version`: small, since it waits in the parser of every connection.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) version: Version,
    form: TargetForm,
    method_at: u32,
    method_end: u32,
    /// Where the authority begins, and where it ends and the path begins, in the target.
    authority_at: u32,
    path_at: u32,
    target_end: u32,
}

impl RequestLine {
    #[inline]
    pub(super) fn method_span(&self) -> Span {
        Span::new(self.method_at as usize, self.method_end as usize)
    }

    #[inline]
    pub(super) fn target(&self) -> Target {
        let span = |start: u32, end: u32| Span::new(start as usize, end as usize);
        Target {
            form: self.form,
            whole: span(self.method_end + 1, self.target_end),
            authority: span(self.authority_at, self.path_at),
            path: span(self.path_at, self.target_end),
        }
    }
}

/// `version SP status SP reason`.
#[derive(Debug)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: Status,
    reason_at: u32,
    reason_end: u32,
}

impl StatusLine {
    #[inline]
    pub(super) fn reason(&self) -> Span {
        Span::new(self.reason_at as usize, self.reason_end as usize)
    }
}

/// Longest method; the registry's longest has 17 bytes (UPDATEREDIRECTREF).
pub(super) const METHOD_BYTES_MAX: usize = 32;

/// The request line from `at` to `end`, when it has a usual method, a target in origin-form, a version that we know,
/// and CRLF behind it; everything else is left to [`request_line`].
#[inline(always)]
pub(super) fn plain_request_line<S: Simd>(
    simd: S,
    bytes: &[u8],
    at: usize,
    end: usize,
    target_bytes_max: usize,
) -> Option<RequestLine> {
    let (method, method_len) = plain_method(word(bytes, at)?)?;
    let method_end = at + method_len;
    // ` HTTP/1.1`, whose last eight bytes and CRLF are looked at.
    let target_end = end.checked_sub(9)?;
    let version = plain_version(word(bytes, target_end)?, word(bytes, target_end + 3)?)?;
    let target_len = target_end.checked_sub(method_end + 1)?;
    if target_len > target_bytes_max || end_of::<S, simd::Target>(simd, bytes, method_end + 1) != target_end {
        return None;
    }
    let path_at = method_end as u32 + 1;
    Some(RequestLine {
        method,
        version,
        form: TargetForm::Origin,
        method_at: at as u32,
        method_end: method_end as u32,
        authority_at: path_at,
        path_at,
        target_end: target_end as u32,
    })
}

/// The status line from `at` to `end`, when it is of HTTP/1.1 and has a reason, or at least the space before it, and
/// CRLF behind it; everything else is left to [`status_line`]. Up to `end` there are bytes of values only.
#[inline(always)]
pub(super) fn plain_status_line(bytes: &[u8], at: usize, end: usize) -> Option<StatusLine> {
    if word(bytes, at)? != u64::from_le_bytes(*b"HTTP/1.1") {
        return None;
    }
    let &[b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] =
        &word(bytes, at + 8)?.to_le_bytes()
    else {
        return None;
    };
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let reason_at = at + 13;
    if end < reason_at || bytes.get(end..end + 2) != Some(b"\r\n") {
        return None;
    }
    let (reason_at, reason_end) = (reason_at as u32, end as u32);
    Some(StatusLine { version: Version::Http11, status: Status(code), reason_at, reason_end })
}

/// The eight bytes from `at` on, if there are as many, the first one lowest: what is compared is compared at once.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at + 8)?.first_chunk()?;
    Some(u64::from_le_bytes(*word))
}

/// The method and its length, when `line` begins with it, a space and a slash.
#[inline(always)]
fn plain_method(line: u64) -> Option<(Method, usize)> {
    let begins_with = |text: [u8; 8], len: u32| (line ^ u64::from_le_bytes(text)) << (64 - 8 * len) == 0;
    match () {
        () if begins_with(*b"GET /\0\0\0", 5) => Some((Method::Get, 3)),
        () if begins_with(*b"POST /\0\0", 6) => Some((Method::Post, 4)),
        () if begins_with(*b"HEAD /\0\0", 6) => Some((Method::Head, 4)),
        () if begins_with(*b"PUT /\0\0\0", 5) => Some((Method::Put, 3)),
        () if begins_with(*b"DELETE /", 8) => Some((Method::Delete, 6)),
        () => None,
    }
}

/// The version, when the eleven bytes whose first and last eight these are are a space, it, and CRLF.
#[inline(always)]
fn plain_version(first: u64, last: u64) -> Option<Version> {
    match (&first.to_le_bytes(), last) {
        (b" HTTP/1.", last) if last == u64::from_le_bytes(*b"TP/1.1\r\n") => Some(Version::Http11),
        (b" HTTP/1.", last) if last == u64::from_le_bytes(*b"TP/1.0\r\n") => Some(Version::Http10),
        _ => None,
    }
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
    let method = Method::from_token(&bytes[at..method_end]);
    let target = Target::parse(method, bytes, Span::new(target_at, target_end))?;
    let Some((version, end)) = version(bytes, target_end + 1)? else { return Ok(None) };
    let next = match bytes.get(end) {
        Some(b'\r' | b'\n') => line_end(bytes, end)?,
        Some(_) => return Err(Rule::StartLine),
        None => None,
    };
    let line = RequestLine {
        method,
        version,
        form: target.form,
        method_at: at as u32,
        method_end: method_end as u32,
        authority_at: target.authority.start,
        path_at: target.path.start,
        target_end: target_end as u32,
    };
    Ok(next.map(|next| (line, next)))
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
    let line = StatusLine { version, status, reason_at: reason_at as u32, reason_end: reason_end as u32 };
    Ok(next.map(|next| (line, next)))
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
