//! Received bytes that wait to be decoded, and the head that is not complete yet.

use super::head::{HeadLimits, HeadParser, RawRequest};
use crate::chunk::{COPY_BELOW_BYTES, Chunk, LARGE_BYTES, Pool, SMALL_BYTES, Vacant};
use crate::rules::Rule;
use std::collections::VecDeque;

/// Received bytes, in order. Usually one chunk that is decoded at once; with pipelining, or a reader that is
/// paused, several. Short ones are collected, or each dribbled byte would hold a buffer.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Not empty unless there is nothing at all.
    front: Chunk,
    behind: VecDeque<Chunk>,
    /// Where short chunks are collected; behind all others.
    tail: Option<Vacant>,
    len: usize,
}

impl Input {
    #[inline]
    pub(super) fn push(&mut self, chunk: Chunk, pool: &Pool) {
        if self.len == 0 {
            self.len = chunk.len();
            self.front = chunk;
        } else {
            self.push_behind(chunk, pool);
        }
    }

    #[cold]
    fn push_behind(&mut self, chunk: Chunk, pool: &Pool) {
        self.len += chunk.len();
        if chunk.len() >= COPY_BELOW_BYTES {
            self.seal();
            return self.behind.push_back(chunk);
        }
        let mut rest: &[u8] = &chunk;
        while !rest.is_empty() {
            let tail = self.tail.get_or_insert_with(|| pool.small());
            let fits = rest.len().min(tail.room());
            tail.append(&rest[..fits]);
            rest = &rest[fits..];
            if tail.room() == 0 {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        self.behind.extend(self.tail.take().map(Vacant::freeze));
    }

    /// The first run of bytes; empty only when there are none.
    #[inline]
    pub(super) fn front(&self) -> &[u8] {
        &self.front
    }

    /// Takes the first `len` bytes, which lie within [`Input::front`].
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Chunk {
        self.len -= len;
        let taken = self.front.split_to(len);
        self.refill();
        taken
    }

    /// Drops the first `len` bytes, which lie within [`Input::front`].
    #[inline]
    pub(super) fn skip(&mut self, len: usize) {
        self.len -= len;
        self.front.advance(len);
        self.refill();
    }

    #[inline]
    fn refill(&mut self) {
        if self.front.is_empty() && self.len > 0 {
            let next = self.behind.pop_front().or_else(|| self.tail.take().map(Vacant::freeze));
            self.front = next.expect("len counts the bytes behind the front");
        }
    }

    /// Number of bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Copies what would pin a large buffer.
    #[inline]
    pub(super) fn retain(&mut self, pool: &Pool) {
        if self.len > 0 {
            self.front = core::mem::take(&mut self.front).retain(pool);
        }
    }
}

/// Which section of a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Request,
    Response,
    Trailers,
}

/// Reads heads and trailer sections: in place where one lies in one piece, else from a buffer of its own.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    pub(super) parser: HeadParser,
    /// The beginning of a head whose end has not come.
    partial: Option<Vacant>,
}

impl HeadReader {
    /// The bytes of the section that `input` begins with or continues, when it is complete. They are safe to keep,
    /// but for a response's: that goes on as it comes, and who keeps it retains it.
    #[inline]
    pub(super) fn poll(
        &mut self,
        section: Section,
        input: &mut Input,
        limits: &HeadLimits,
        pool: &Pool,
    ) -> Result<Option<Chunk>, Rule> {
        if self.partial.is_none() {
            if input.is_empty() {
                return Ok(None);
            }
            if let Some(len) = parse(&mut self.parser, section, input.front(), limits)? {
                let received = input.take(len);
                return Ok(Some(if section == Section::Response { received } else { received.retain(pool) }));
            }
            self.begin_partial(input, pool);
        }
        self.continue_partial(section, input, limits, pool)
    }

    fn begin_partial(&mut self, input: &mut Input, pool: &Pool) {
        let bytes = input.front();
        let len = bytes.len();
        let mut partial = pool.at_least(len);
        partial.append(bytes);
        self.partial = Some(partial);
        input.skip(len);
    }

    fn continue_partial(
        &mut self,
        section: Section,
        input: &mut Input,
        limits: &HeadLimits,
        pool: &Pool,
    ) -> Result<Option<Chunk>, Rule> {
        while !input.is_empty() {
            let partial = self.partial.get_or_insert_with(|| pool.small());
            if partial.room() == 0 {
                *partial = grown(partial, pool);
            }
            let before = partial.filled().len();
            let more = input.front().len().min(partial.room());
            partial.append(&input.front()[..more]);
            if let Some(len) = parse(&mut self.parser, section, partial.filled(), limits)? {
                // What stands behind the head was copied in vain, and is still in the input.
                input.skip(len - before);
                let partial = self.partial.take().expect("filled above");
                return Ok(Some(partial.freeze().slice(0..len)));
            }
            input.skip(more);
        }
        Ok(None)
    }

    /// What was read of a request head that breaks a rule; `None` when its request line was not.
    #[cold]
    pub(super) fn take_broken(&mut self, input: &mut Input, pool: &Pool) -> Option<RawRequest> {
        let received = match self.partial.take() {
            Some(partial) => partial.freeze(),
            None => input.take(input.front().len()).retain(pool),
        };
        self.parser.take_broken_request(received)
    }

    /// Whether some of a section was received.
    pub(super) fn is_begun(&self) -> bool {
        self.parser.is_begun()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[inline]
fn parse(
    parser: &mut HeadParser,
    section: Section,
    bytes: &[u8],
    limits: &HeadLimits,
) -> Result<Option<usize>, Rule> {
    match section {
        Section::Request => parser.on_request_bytes(bytes, limits),
        Section::Response => parser.on_response_bytes(bytes, limits),
        Section::Trailers => parser.on_trailer_bytes(bytes, limits),
    }
}

/// The same bytes with more room: small, then large, then doubled. The limit of a head bounds it.
#[cold]
fn grown(full: &Vacant, pool: &Pool) -> Vacant {
    let larger = if full.capacity() <= SMALL_BYTES { LARGE_BYTES } else { full.capacity() * 2 };
    let mut grown = pool.at_least(larger);
    grown.append(full.filled());
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dribbled_bytes_are_collected_and_come_out_in_order() {
        let pool = Pool::new();
        let mut input = Input::default();
        let large = vec![b'L'; COPY_BELOW_BYTES];
        let mut all = Vec::new();
        for round in 0..3 {
            for byte in 0..=255 {
                input.push(pool.copy(&[byte]), &pool);
                all.push(byte);
            }
            input.push(pool.copy(&large), &pool);
            all.extend_from_slice(&large);
            assert_eq!(input.len(), all.len(), "{round}");
        }
        // The first byte, three runs of short ones, three large chunks.
        assert!(pool.outstanding_bytes() <= 7 * SMALL_BYTES, "{}", pool.outstanding_bytes());
        let mut out = Vec::new();
        while !input.is_empty() {
            let len = input.front().len().min(100);
            out.extend_from_slice(&input.take(len));
        }
        assert_eq!(out, all);
        drop(input);
        assert_eq!(pool.outstanding_bytes(), 0);
    }
}
