//! Field lines, many at once: the quick way for those that are as they should be.
//!
//! First the line ends of a stretch are found, 64 bytes at a time; then each line is taken apart without
//! waiting for the one before it. Whatever is not plainly right (and a few things that are, but rare) is given
//! to [`field_line`], which alone says what is accepted and why not.

use super::FramingFields;
use super::field_line::{Line, field_line, trim};
use crate::message::Name;
use crate::message::fields::{Entry, Place};
use crate::rules::Rule;
use crate::scan::{BLOCK_BYTES, LANE_BYTES, Lane, Simd, Work, block_stops, last_stops, simd};
use crate::span::Span;

/// Takes the complete lines of `bytes` from `at` on.
pub(super) struct TakeLines<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) section: Section<'a>,
}

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

impl Work for TakeLines<'_> {
    type Output = Result<Taken, Rule>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<Taken, Rule> {
        let Self { bytes, mut at, mut section } = self;
        let mut stretch = Stretch { next_block: at, is_in_run: 0, ends: [0; ENDS_MAX] };
        loop {
            let found = simd.apart(FindEnds(&mut stretch, bytes));
            if found == 0 {
                return section.take_carefully(bytes, at);
            }
            section.reserve(found);
            for &end in &stretch.ends[..found] {
                let end = end as usize;
                let Some(behind) = bytes.get(end..).and_then(|rest| rest.first_chunk::<4>()) else {
                    return section.take_carefully(bytes, at);
                };
                match plain_line(simd, bytes, at, end) {
                    Some(entry) if behind.starts_with(b"\r\n") && section.has_room() => section.push(entry),
                    // An accepted line ends where its first line end is, so that `stretch` still fits.
                    _ => match section.take_one_carefully(bytes, at)? {
                        Taken::All(len) => return Ok(Taken::All(len)),
                        Taken::UpTo(next) if next == at => return Ok(Taken::UpTo(at)),
                        Taken::UpTo(next) => debug_assert_eq!(next, end + 2),
                    },
                }
                at = end + 2;
                if behind == b"\r\n\r\n" {
                    return Ok(Taken::All(end + 4));
                }
            }
        }
    }
}

/// The field of the line from `at` to `end`, when it is known or a short token, and its value stands behind at
/// most one space.
#[inline(always)]
fn plain_line<S: Simd>(simd: S, bytes: &[u8], at: usize, end: usize) -> Option<Entry> {
    // Near the end the lane begins before the line.
    let lane_at = at.min(bytes.len().checked_sub(LANE_BYTES)?);
    let lane: &Lane = bytes[lane_at..].first_chunk()?;
    let skip = at - lane_at;
    let name_len = (simd.colons(lane) >> skip).trailing_zeros() as usize;
    if name_len >= LANE_BYTES {
        return None;
    }
    let id = Name::classify_in_lane(simd, lane, skip, name_len);
    let is_token = || name_len > 0 && (simd.token_stops(lane) >> skip).trailing_zeros() as usize == name_len;
    if id == Name::Other && !is_token() {
        return None;
    }
    let colon = at + name_len;
    // A name has no line end in it, so the colon is before `end`, and behind the value is at least a CR.
    let start = colon + 1 + usize::from(bytes[colon + 1] == b' ');
    let is_space_around = bytes[start] <= b' ' || matches!(bytes[end - 1], b' ' | b'\t');
    let value = if is_space_around { trim(bytes, colon + 1, end) } else { Span::new(start, end) };
    Some(Entry { id, place: Place::Received, name: Span::new(at, colon), value })
}

impl Section<'_> {
    #[inline(always)]
    fn has_room(&self) -> bool {
        self.list.len() < self.fields_max
    }

    #[inline(always)]
    fn push(&mut self, entry: Entry) {
        self.noted.note(entry.id);
        self.list.push(entry);
    }

    /// Room for so many lines and some that filters add: one allocation for most heads.
    #[inline(always)]
    fn reserve(&mut self, lines: usize) {
        if self.list.capacity() - self.list.len() < lines {
            self.list.reserve(lines + FIELDS_ADDED);
        }
    }

    /// Takes the line at `at`, byte by byte; `UpTo(at)` when its end has not come.
    #[inline(never)]
    fn take_one_carefully(&mut self, bytes: &[u8], at: usize) -> Result<Taken, Rule> {
        match field_line(bytes, at)? {
            None => Ok(Taken::UpTo(at)),
            Some((Line::Empty, next)) => Ok(Taken::All(next)),
            Some((Line::Field(_), _)) if !self.has_room() => Err(Rule::TooManyFields),
            Some((Line::Field(entry), next)) => {
                self.push(entry);
                Ok(Taken::UpTo(next))
            }
        }
    }

    /// Takes the lines from `at` on, byte by byte.
    #[inline(never)]
    pub(super) fn take_carefully(&mut self, bytes: &[u8], mut at: usize) -> Result<Taken, Rule> {
        loop {
            match self.take_one_carefully(bytes, at)? {
                Taken::UpTo(next) if next > at => at = next,
                taken => return Ok(taken),
            }
        }
    }
}

/// Some line ends: the first byte of each run of bytes that no value has.
struct Stretch {
    next_block: usize,
    /// 1 when the last byte that was looked at is in a run, which then goes on in the next block.
    is_in_run: u64,
    ends: [u32; ENDS_MAX],
}

/// Fills the ends of the stretch from the front and returns how many there are: 0 when no byte is left.
struct FindEnds<'a>(&'a mut Stretch, &'a [u8]);

impl Work for FindEnds<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let Self(stretch, bytes) = self;
        let (mut found, bound) = (0, stretch.next_block + STRETCH_BYTES);
        while found <= ENDS_MAX - BLOCK_BYTES / 2 && (stretch.next_block < bound || found == 0) {
            let Some(rest) = bytes.get(stretch.next_block..) else { break };
            let stops = match rest.first_chunk() {
                Some(block) => block_stops::<S, simd::Value>(simd, block),
                None if rest.is_empty() => break,
                None => last_stops::<S, simd::Value>(simd, bytes, stretch.next_block),
            };
            found += stretch.add(found, stops);
            // Lines end in runs of two. A longer one is the end of the section, behind which a body may come.
            // (Where a block ends in the middle of it, some of the body is looked at for nothing.)
            if stops & (stops >> 1) & (stops >> 2) != 0 {
                break;
            }
        }
        found
    }
}

impl Stretch {
    /// Notes where runs of `stops` begin: three without a branch, since how many there are cannot be predicted,
    /// but hardly ever more.
    #[inline(always)]
    fn add(&mut self, found: usize, stops: u64) -> usize {
        let mut starts = stops & !((stops << 1) | self.is_in_run);
        let count = starts.count_ones() as usize;
        let ends = &mut self.ends[found..];
        for end in &mut ends[..3] {
            *end = self.next_block as u32 + starts.trailing_zeros();
            starts &= starts.wrapping_sub(1);
        }
        if count > 3 {
            for end in &mut ends[3..count] {
                *end = self.next_block as u32 + starts.trailing_zeros();
                starts &= starts.wrapping_sub(1);
            }
        }
        self.next_block += BLOCK_BYTES;
        self.is_in_run = stops >> (BLOCK_BYTES - 1);
        count
    }
}

/// Line ends that are found before lines are taken.
const ENDS_MAX: usize = 64;
/// Bytes in which line ends are found before lines are taken.
const STRETCH_BYTES: usize = 2048;
/// Room in the list for fields that are added to a head.
const FIELDS_ADDED: usize = 6;

const _: () = {
    // A block may add a run for every second byte, and three are always written.
    assert!(ENDS_MAX >= BLOCK_BYTES / 2 + 3);
};
