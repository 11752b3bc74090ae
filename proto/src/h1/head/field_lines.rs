//! Field lines, many at once: the quick way for those that are as they should be.
//!
//! Their ends are found first ([`super::line_ends`]), so that each line is taken apart without waiting for the one
//! before it. Whatever is not plainly right (and a few things that are, but rare) is given to [`field_line`],
//! which alone says what is accepted and why not.

use super::FramingFields;
use super::field_line::{Line, field_line};
use crate::message::Name;
use crate::message::fields::{ADDED_FIELDS, Entry, Place};
use crate::rules::Rule;
use crate::scan::fill::{self, Source};
use crate::scan::{LANE_BYTES, Lane, Simd};
use crate::span::Span;

/// Where the field lines of a head are collected.
pub(super) struct Section<'a> {
    pub(super) list: &'a mut Vec<Entry>,
    pub(super) noted: &'a mut FramingFields,
    pub(super) fields_max: usize,
}

/// How far the lines were taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of them; the section is so long.
    All(usize),
    /// Up to a line, at the offset, whose end has not come.
    UpTo(usize),
}

impl Section<'_> {
    /// Takes the lines of `bytes` from `at` on, which moves, that end at `ends`. `None` when more may follow.
    #[inline(always)]
    pub(super) fn take<S: Simd>(
        &mut self,
        simd: S,
        bytes: &[u8],
        at: &mut usize,
        ends: &[u32],
    ) -> Result<Option<Taken>, Rule> {
        let places = ends.len().min(self.fields_max.saturating_sub(self.list.len()));
        let mut lines = Lines { simd, bytes, at: *at, noted: *self.noted, ends: &ends[..places], stop: None };
        fill::lengthen(self.list, places, ADDED_FIELDS, &mut lines);
        *self.noted = lines.noted;
        *at = lines.at;
        if let Some(stop) = lines.stop {
            return stop.map(Some);
        }
        if bytes.get(*at..*at + 2) == Some(b"\r\n") {
            return Ok(Some(Taken::All(*at + 2)));
        }
        // No line end is left, or no room: what comes of that is for the other way to say.
        let is_over = ends.is_empty() || places < ends.len();
        if is_over { self.take_carefully(bytes, *at).map(Some) } else { Ok(None) }
    }

    /// Takes the lines from `at` on, byte by byte.
    #[cold]
    fn take_carefully(&mut self, bytes: &[u8], mut at: usize) -> Result<Taken, Rule> {
        loop {
            let entry = match other_line(bytes, at)? {
                Ok(_) if self.list.len() >= self.fields_max => return Err(Rule::TooManyFields),
                Ok((entry, next)) => {
                    at = next;
                    entry
                }
                Err(taken) => return Ok(taken),
            };
            self.noted.note(entry.id);
            self.list.push(entry);
        }
    }
}

/// The lines from `at` on that end at `ends`, as entries.
struct Lines<'a, S> {
    simd: S,
    bytes: &'a [u8],
    at: usize,
    noted: FramingFields,
    ends: &'a [u32],
    /// What is to be said of the section when the lines stop before their ends do.
    stop: Option<Result<Taken, Rule>>,
}

impl<S: Simd> Source<Entry> for Lines<'_, S> {
    #[inline(always)]
    fn quick(&mut self, index: usize) -> Option<Entry> {
        let end = self.ends[index] as usize;
        let entry = plain_line(self.simd, self.bytes, self.at, end)?;
        self.noted.note(entry.id);
        self.at = end + 2;
        Some(entry)
    }

    #[cold]
    fn other(&mut self, _index: usize) -> Option<Entry> {
        match other_line(self.bytes, self.at) {
            // It ends where its first run of stops begins, as a plain line does, so that `ends` still fits.
            Ok(Ok((entry, next))) => {
                self.noted.note(entry.id);
                self.at = next;
                Some(entry)
            }
            Ok(Err(taken)) => {
                self.stop = Some(Ok(taken));
                None
            }
            Err(rule) => {
                self.stop = Some(Err(rule));
                None
            }
        }
    }
}

/// The line from `at` to `end`, when its name is known or a short token, one space and a value stand behind its
/// colon, and CRLF is at `end`.
#[inline(always)]
fn plain_line<S: Simd>(simd: S, bytes: &[u8], at: usize, end: usize) -> Option<Entry> {
    if bytes.get(end..end + 2) != Some(b"\r\n") {
        return None;
    }
    // Near the end the lane begins before the line.
    let lane_at = at.min(bytes.len().checked_sub(LANE_BYTES)?);
    let lane: &Lane = bytes[lane_at..].first_chunk()?;
    let skip = at - lane_at;
    let name_len = (simd.colons(lane) >> skip).trailing_zeros() as usize;
    let colon = at + name_len;
    // A name that is right has no line end in it, so its colon is before `end`.
    if colon < 8 || colon >= end {
        return None;
    }
    if bytes[colon + 1] != b' ' || bytes[colon + 2] <= b' ' || bytes[end - 1] <= b' ' {
        return None;
    }
    let before = bytes[colon - 8..].first_chunk().expect("at least the colon is behind");
    let (candidate, alike) = Name::candidate_in_lane(simd, lane, skip, name_len, *before);
    // The colon is alike too: it stands in the candidate's row where the name ends, so they are equally long.
    let id = if alike > name_len {
        candidate
    } else {
        let token_len = (simd.token_stops(lane) >> skip).trailing_zeros() as usize;
        if name_len == 0 || name_len >= LANE_BYTES || token_len != name_len {
            return None;
        }
        Name::Other
    };
    let (name, value) = (Span::new(at, colon), Span::new(colon + 2, end));
    Some(Entry { id, place: Place::Received, name, value })
}

/// Any line, byte by byte, and where the next one begins, or how far the lines are taken if none is left to take.
#[cold]
fn other_line(bytes: &[u8], at: usize) -> Result<Result<(Entry, usize), Taken>, Rule> {
    Ok(match field_line(bytes, at)? {
        Some((Line::Field(entry), next)) => Ok((entry, next)),
        Some((Line::Empty, next)) => Err(Taken::All(next)),
        None => Err(Taken::UpTo(at)),
    })
}
