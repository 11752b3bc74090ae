//! Field lines, many at once: the quick way for those that are as they should be.
//!
//! First the line ends of a stretch are found, 64 bytes at a time; then each line is taken apart without
//! waiting for the one before it. Whatever is not plainly right (and a few things that are, but rare) is given
//! to [`field_line`], which alone says what is accepted and why not.

use super::FramingFields;
use super::field_line::{Line, field_line};
use crate::message::Name;
use crate::message::fields::{ADDED_FIELDS, Entry, Place};
use crate::rules::Rule;
use crate::scan::{BLOCK_BYTES, LANE_BYTES, Lane, Room, Simd, block_stops, last_stops, simd};
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

/// Takes the complete lines of `bytes` from `at` on.
#[inline(always)]
pub(super) fn field_lines<S: Simd>(
    simd: S,
    bytes: &[u8],
    mut at: usize,
    section: &mut Section<'_>,
) -> Result<Taken, Rule> {
    let mut stretch = Stretch { next: at, is_in_run: 0, ends: [0; ENDS_MAX] };
    loop {
        let found = stretch.find(simd, bytes);
        let places = found.min(section.fields_max - section.list.len());
        match section.take_lines(simd, bytes, at, &stretch.ends[..places])? {
            // No line end is left, or no room: what comes of that is for the other way to say.
            Taken::UpTo(next) if found == 0 || places < found => return section.take_carefully(bytes, next),
            Taken::UpTo(next) if next > at => at = next,
            taken => return Ok(taken),
        }
    }
}

/// The line from `at` to `end`, where a line end is, when its name is known or a short token and one space and a
/// value stand behind its colon.
#[inline(always)]
fn plain_line<S: Simd>(simd: S, bytes: &[u8], at: usize, end: usize) -> Option<Entry> {
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

impl Section<'_> {
    /// Takes the lines from `at` on that end at `ends`.
    #[inline(always)]
    fn take_lines<S: Simd>(
        &mut self,
        simd: S,
        bytes: &[u8],
        mut at: usize,
        ends: &[u32],
    ) -> Result<Taken, Rule> {
        let mut places = Room::new(self.list, ends.len(), ADDED_FIELDS);
        // In a register rather than behind the reference.
        let mut noted = *self.noted;
        for &end in ends {
            let end = end as usize;
            let behind = bytes.get(end..end + 4).map_or(0, |behind| {
                u32::from_le_bytes(*behind.first_chunk().expect("four bytes were asked for"))
            });
            let plain = if behind as u16 == CRLF { plain_line(simd, bytes, at, end) } else { None };
            if let Some(entry) = plain {
                noted.note(entry.id);
                places.push(entry);
            } else {
                // An accepted line ends where its first run of stops begins, as a plain one does.
                match other_line(bytes, at)? {
                    Ok((entry, _)) => {
                        noted.note(entry.id);
                        places.push(entry);
                    }
                    Err(taken) => {
                        *self.noted = noted;
                        return Ok(taken);
                    }
                }
            }
            at = end + 2;
            if behind == CRLF_CRLF {
                *self.noted = noted;
                return Ok(Taken::All(end + 4));
            }
        }
        *self.noted = noted;
        Ok(Taken::UpTo(at))
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

/// Some line ends: the first byte of each run of bytes that no value has.
struct Stretch {
    /// Where the bytes begin that were not looked at.
    next: usize,
    /// 1 when the last byte that was looked at is in a run, which then goes on.
    is_in_run: u64,
    ends: [u32; ENDS_MAX],
}

impl Stretch {
    /// Fills `ends` from the front and returns how many there are: 0 when no byte is left.
    #[inline(always)]
    fn find<S: Simd>(&mut self, simd: S, bytes: &[u8]) -> usize {
        let mut finder = Finder { at: self.next, is_in_run: self.is_in_run, found: 0 };
        while finder.found == 0 && finder.at < bytes.len() {
            let rest = &bytes[finder.at..];
            let (blocks, last) = rest[..rest.len().min(STRETCH_BYTES)].as_chunks();
            let mut is_enough = false;
            for block in blocks {
                is_enough = finder.note(block_stops::<S, simd::Value>(simd, block), &mut self.ends);
                if is_enough {
                    break;
                }
            }
            if !is_enough && !last.is_empty() {
                finder.note(last_stops::<S, simd::Value>(simd, bytes, finder.at), &mut self.ends);
            }
        }
        (self.next, self.is_in_run) = (finder.at, finder.is_in_run);
        finder.found
    }
}

/// [`Stretch`] while it is filled.
struct Finder {
    at: usize,
    is_in_run: u64,
    found: usize,
}

impl Finder {
    /// Notes where the runs of `stops` begin in the block at `at`. Returns whether that is enough for now.
    #[inline(always)]
    fn note(&mut self, stops: u64, ends: &mut [u32; ENDS_MAX]) -> bool {
        let mut starts = stops & !((stops << 1) | self.is_in_run);
        let count = starts.count_ones() as usize;
        let at = self.at as u32;
        let ends = &mut ends[self.found..];
        // Three without a branch: how many there are cannot be predicted, but hardly ever more.
        for end in &mut ends[..3] {
            *end = at + starts.trailing_zeros();
            starts &= starts.wrapping_sub(1);
        }
        if count > 3 {
            for end in &mut ends[3..] {
                if starts == 0 {
                    break;
                }
                *end = at + starts.trailing_zeros();
                starts &= starts.wrapping_sub(1);
            }
        }
        self.is_in_run = stops >> (BLOCK_BYTES - 1);
        self.at += BLOCK_BYTES;
        self.found += count;
        // Lines end in runs of two. A longer one is the end of the section, behind which a body may come.
        // (Where a block ends in the middle of it, some of the body is looked at for nothing.)
        stops & (stops >> 1) & (stops >> 2) != 0 || self.found > ENDS_MAX - BLOCK_BYTES / 2 - 3
    }
}

/// Line ends that are found before lines are taken.
const ENDS_MAX: usize = 64;
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const CRLF_CRLF: u32 = u32::from_le_bytes(*b"\r\n\r\n");
/// Bytes in which line ends are found before lines are taken.
const STRETCH_BYTES: usize = 2048;

const _: () = {
    // A block may add a run for every second byte, and three are always written.
    assert!(ENDS_MAX >= BLOCK_BYTES / 2 + 3);
    assert!(STRETCH_BYTES.is_multiple_of(BLOCK_BYTES));
};
