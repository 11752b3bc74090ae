//! A field line (RFC 9112 section 5), byte by byte.

use crate::message::Name;
use crate::message::fields::{Entry, Place};
use crate::rules::Rule;
use crate::scan;
use crate::span::Span;

/// A line behind the start line.
pub(super) enum Line {
    /// `name: value`.
    Field(Entry),
    /// The empty line that ends the section.
    Empty,
}

/// The line at `at` and where the next one begins; `None` when its end has not come.
#[inline(never)]
pub(super) fn field_line(bytes: &[u8], at: usize) -> Result<Option<(Line, usize)>, Rule> {
    match bytes.get(at) {
        None => return Ok(None),
        Some(b'\r' | b'\n') => return Ok(line_end(bytes, at)?.map(|next| (Line::Empty, next))),
        // Also before the first field (RFC 9112 section 2.2): such a line is never part of a field.
        Some(b' ' | b'\t') => return Err(Rule::ObsoleteFold),
        Some(_) => {}
    }
    let colon = at + scan::token(&bytes[at..]);
    match bytes.get(colon) {
        None => return Ok(None),
        Some(b':') if colon > at => {}
        // RFC 9112 section 5.1 asks proxies to repair this in responses; an origin that sends it is broken,
        // and what another reader makes of the line is unknown.
        Some(b' ' | b'\t') => return Err(Rule::SpaceBeforeColon),
        Some(b'\r' | b'\n') => return line_end(bytes, colon)?.map_or(Ok(None), |_| Err(Rule::FieldName)),
        Some(_) => return Err(Rule::FieldName),
    }
    let end = colon + 1 + scan::value(&bytes[colon + 1..]);
    let next = match bytes.get(end) {
        Some(b'\r' | b'\n') => line_end(bytes, end)?,
        Some(_) => return Err(Rule::FieldValue),
        None => None,
    };
    let Some(next) = next else { return Ok(None) };
    let name = Span::new(at, colon);
    let value = trim(bytes, colon + 1, end);
    Ok(Some((
        Line::Field(Entry { id: Name::classify(name.of(bytes)), place: Place::Received, name, value }),
        next,
    )))
}

/// Where the line after the CRLF at `at` begins; `None` when only its CR has come.
///
/// RFC 9112 section 2.2 allows a recipient to take LF alone for a line end; peers differ in it, so we do not.
pub(super) fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, Rule> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', None) => Ok(None),
        (b'\r', Some(b'\n')) => Ok(Some(at + 2)),
        _ => Err(Rule::BareLineEnd),
    }
}

/// The bytes from `start` to `end` without optional white space around (RFC 9110 section 5.5).
fn trim(bytes: &[u8], start: usize, end: usize) -> Span {
    let is_space = |&byte: &u8| byte == b' ' || byte == b'\t';
    let value = &bytes[start..end];
    let before = value.iter().take_while(|byte| is_space(byte)).count();
    let after = value[before..].iter().rev().take_while(|byte| is_space(byte)).count();
    Span::new(start + before, end - after)
}
