//! Received bytes that wait to be decoded.

use crate::chunk::{COPY_BELOW_BYTES, Chunk, Pool, Vacant};
use std::collections::VecDeque;

/// Received bytes, in order. Usually one chunk that is decoded at once; with pipelining, or a reader that is
/// paused, several. Short ones are collected, or each dribbled byte would hold a buffer. With [`Input::retain`]
/// behind each turn the memory that is held is at most twice the bytes, and two small buffers.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Not empty unless there is nothing at all.
    front: Chunk,
    behind: VecDeque<Chunk>,
    /// Where short chunks are collected; behind all others.
    tail: Option<Vacant>,
    len: usize,
}

impl Input {
    #[inline]
    pub(crate) fn push(&mut self, chunk: Chunk, pool: &Pool) {
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
            return self.behind.push_back(chunk.retain(pool));
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

    /// Takes the first run of bytes; empty only when there are none.
    #[inline]
    pub(crate) fn take_front(&mut self) -> Chunk {
        self.take(self.front.len())
    }

    /// The first run of bytes; empty only when there are none.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        &self.front
    }

    /// Takes the first `len` bytes, which lie within [`Input::front`].
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Chunk {
        self.len -= len;
        let taken = self.front.split_to(len);
        self.refill();
        taken
    }

    /// Drops the first `len` bytes, which lie within [`Input::front`].
    #[inline]
    pub(crate) fn skip(&mut self, len: usize) {
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
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Copies what would pin a large buffer. One that somebody else holds, too, a queue for what came before, would
    /// stay all the same.
    #[inline]
    pub(crate) fn retain(&mut self, pool: &Pool) {
        if self.len > 0 && !self.front.is_shared() {
            self.front = core::mem::take(&mut self.front).retain(pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{LARGE_BYTES, SMALL_BYTES};

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
    #[test]
    fn what_is_held_is_at_most_twice_what_it_is_long_and_two_small_buffers() {
        let pool = Pool::new();
        for len in [1, 100, COPY_BELOW_BYTES, 5000, 20_000, LARGE_BYTES / 2 - 1, LARGE_BYTES / 2, LARGE_BYTES]
        {
            let mut input = Input::default();
            let bound = |input: &Input| {
                let held = pool.outstanding_bytes();
                assert!(held <= 2 * input.len() + 2 * SMALL_BYTES, "{held} for {}, {len} each", input.len());
            };
            for _ in 0..5 {
                let mut received = pool.large();
                received.fill(len);
                input.push(received.freeze(), &pool);
                input.retain(&pool);
                bound(&input);
            }
            while !input.is_empty() {
                input.skip(input.front().len().min(1000));
                input.retain(&pool);
                bound(&input);
            }
        }
    }
}
