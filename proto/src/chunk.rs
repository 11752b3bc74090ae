//! Shared bytes without atomics, the pool they return to, and the gather list they leave by.
//!
//! A [`Pool`] belongs to one shard. It hands out a [`Vacant`] buffer, the receiver fills it, and the filled
//! part becomes a [`Chunk`]: counted, sliceable, immutable. The buffer goes back to its pool with its last
//! chunk, in LIFO order, so that the next receive finds it warm in the cache.
//!
//! What outlives its turn in small pieces must not pin a large buffer: [`Chunk::retain`] is the one place
//! where that is decided.

use core::cell::{Cell, RefCell};
use core::ops::{Deref, Range};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// Bytes of a small buffer: heads, small bodies, leftovers.
pub const SMALL_BYTES: usize = 4 * 1024;
/// Bytes of a large buffer: what is received into.
///
/// A body of 64 KiB, a size that many programs write at once, fits together with its head.
pub const LARGE_BYTES: usize = 68 * 1024;
/// Pieces shorter than this are copied rather than referenced when they are queued or kept.
pub const COPY_BELOW_BYTES: usize = 4 * 1024;
/// Fewer bytes than this do not keep a large buffer.
const LARGE_HALF_BYTES: usize = LARGE_BYTES / 2;
/// Free large buffers that a pool keeps; more are given back to the allocator.
const LARGE_FREE_MAX: usize = 64;
/// Free small buffers that a pool keeps.
const SMALL_FREE_MAX: usize = 1024;

/// The buffers of one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    small: RefCell<Vec<Rc<Buffer>>>,
    large: RefCell<Vec<Rc<Buffer>>>,
    /// Bytes of buffers that are out of the pool: in use by somebody.
    outstanding: Cell<usize>,
}

#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    home: Weak<Shared>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty pool; buffers are allocated when first needed.
    pub fn new() -> Self {
        Self { shared: Rc::new(Shared::default()) }
    }

    /// A buffer of [`LARGE_BYTES`], to receive into.
    #[inline]
    pub fn large(&self) -> Vacant {
        self.take(&self.shared.large, LARGE_BYTES)
    }

    /// A buffer of [`SMALL_BYTES`], for what is kept.
    #[inline]
    pub fn small(&self) -> Vacant {
        self.take(&self.shared.small, SMALL_BYTES)
    }

    /// A buffer that holds at least `len` bytes, pooled when a class fits: a large one for little more than a small one
    /// holds would be kept for a peer that pays a seventeenth of it.
    pub fn at_least(&self, len: usize) -> Vacant {
        match len {
            ..=SMALL_BYTES => self.small(),
            LARGE_HALF_BYTES..=LARGE_BYTES => self.large(),
            _ => Vacant::new(self.allocate(len)),
        }
    }

    /// A chunk with a copy of `bytes`.
    pub fn copy(&self, bytes: &[u8]) -> Chunk {
        let mut vacant = self.at_least(bytes.len());
        vacant.append(bytes);
        vacant.freeze()
    }

    /// Bytes of all buffers that are in use. 0 when nothing is held: leak tests look here.
    pub fn outstanding_bytes(&self) -> usize {
        self.shared.outstanding.get()
    }

    #[inline]
    fn take(&self, free: &RefCell<Vec<Rc<Buffer>>>, size: usize) -> Vacant {
        let buffer = free.borrow_mut().pop();
        match buffer {
            Some(buffer) => {
                self.shared.outstanding.set(self.shared.outstanding.get() + size);
                Vacant::new(buffer)
            }
            None => Vacant::new(self.allocate(size)),
        }
    }

    #[cold]
    fn allocate(&self, size: usize) -> Rc<Buffer> {
        self.shared.outstanding.set(self.shared.outstanding.get() + size);
        Rc::new(Buffer { bytes: vec![0; size].into_boxed_slice(), home: Rc::downgrade(&self.shared) })
    }
}

impl Shared {
    /// Takes a buffer that nobody refers to any more.
    #[inline]
    fn recycle(&self, buffer: Rc<Buffer>) {
        let size = buffer.bytes.len();
        self.outstanding.set(self.outstanding.get() - size);
        let (free, max) = match size {
            SMALL_BYTES => (&self.small, SMALL_FREE_MAX),
            LARGE_BYTES => (&self.large, LARGE_FREE_MAX),
            _ => return,
        };
        let mut free = free.borrow_mut();
        if free.len() < max {
            free.push(buffer);
        }
    }
}

#[inline]
fn release(buffer: &mut Option<Rc<Buffer>>) {
    if let Some(buffer) = buffer.take()
        && Rc::strong_count(&buffer) == 1
        && let Some(home) = buffer.home.upgrade()
    {
        home.recycle(buffer);
    }
}

/// A buffer that nobody else sees yet: filled from the front, then frozen.
#[derive(Debug)]
pub struct Vacant {
    /// `None` only while it is dropped or frozen.
    buffer: Option<Rc<Buffer>>,
    filled: usize,
}

impl Vacant {
    fn new(buffer: Rc<Buffer>) -> Self {
        Self { buffer: Some(buffer), filled: 0 }
    }

    /// The part that is not filled yet.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        let filled = self.filled;
        let buffer = self.buffer.as_mut().expect("present until dropped or frozen");
        &mut Rc::get_mut(buffer).expect("a vacant buffer has one owner").bytes[filled..]
    }

    /// Counts `len` more bytes as filled, after they were written to [`Vacant::spare`].
    ///
    /// # Panics
    /// When the buffer is shorter.
    #[inline]
    pub fn fill(&mut self, len: usize) {
        assert!(len <= self.capacity() - self.filled);
        self.filled += len;
    }

    /// Copies `bytes` behind what is filled.
    ///
    /// # Panics
    /// When they do not fit.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.spare()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// What is filled.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.buffer.as_ref().expect("present until dropped or frozen").bytes[..self.filled]
    }

    /// All bytes of the buffer, filled or not.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.buffer.as_ref().expect("present until dropped or frozen").bytes.len()
    }

    /// Room behind what is filled.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity() - self.filled
    }

    /// What is filled, as a chunk.
    #[inline]
    pub fn freeze(mut self) -> Chunk {
        if self.filled == 0 {
            return Chunk::EMPTY;
        }
        Chunk { buffer: self.buffer.take(), place: Place::new(0, self.filled) }
    }
}

impl Drop for Vacant {
    fn drop(&mut self) {
        release(&mut self.buffer);
    }
}

/// A counted slice of a pooled buffer. Cloning counts, without atomics; nothing is copied.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// `None` for the empty chunk.
    buffer: Option<Rc<Buffer>>,
    place: Place,
}

/// Where a chunk is in its buffer: start below, length in the upper half. One word, so that a chunk is two and
/// moves in registers; as three it moves through memory, in parts that were stored otherwise than they are loaded.
#[derive(Clone, Copy, Debug, Default)]
struct Place(u64);

impl Place {
    #[inline]
    fn new(start: usize, len: usize) -> Self {
        debug_assert!(start <= u32::MAX as usize && len <= u32::MAX as usize);
        Self(start as u64 | (len as u64) << 32)
    }

    #[inline]
    fn start(self) -> usize {
        self.0 as u32 as usize
    }

    #[inline]
    fn len(self) -> usize {
        (self.0 >> 32) as usize
    }
}

impl Chunk {
    /// The chunk without bytes; it holds no buffer.
    pub const EMPTY: Self = Self { buffer: None, place: Place(0) };

    /// The bytes `range` of this chunk, in the same buffer.
    ///
    /// # Panics
    /// When the range is not within.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.place.len());
        if range.is_empty() {
            return Self::EMPTY;
        }
        Self { buffer: self.buffer.clone(), place: Place::new(self.place.start() + range.start, range.len()) }
    }

    /// Splits off the first `len` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn split_to(&mut self, len: usize) -> Self {
        assert!(len <= self.place.len());
        if len == self.place.len() {
            return core::mem::take(self);
        }
        let front = self.slice(0..len);
        self.place = Place::new(self.place.start() + len, self.place.len() - len);
        front
    }

    /// Drops the first `len` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.place.len());
        self.place = Place::new(self.place.start() + len, self.place.len() - len);
        if self.place.len() == 0 {
            release(&mut self.buffer);
        }
    }

    /// Bytes of the buffer behind this chunk: what is held in memory for it.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.bytes.len())
    }

    /// Whether keeping this chunk would pin a buffer more than twice as large.
    #[inline]
    pub fn is_pinning(&self) -> bool {
        let held = self.held_bytes();
        held > SMALL_BYTES && self.place.len() < held / 2
    }

    /// Whether other chunks hold the same buffer.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| Rc::strong_count(buffer) > 1)
    }

    /// The same bytes for keeping beyond this turn: copied where they would pin a much larger buffer.
    #[inline]
    #[must_use]
    pub fn retain(self, pool: &Pool) -> Self {
        if self.is_pinning() { pool.copy(&self) } else { self }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer.bytes[self.place.start()..][..self.place.len()],
            None => &[],
        }
    }
}

impl Drop for Chunk {
    #[inline]
    fn drop(&mut self) {
        release(&mut self.buffer);
    }
}

impl From<Vec<u8>> for Chunk {
    /// A chunk of its own, outside of any pool.
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        assert!(bytes.len() <= u32::MAX as usize, "a chunk is below 4 GiB");
        let place = Place::new(0, bytes.len());
        Self { buffer: Some(Rc::new(Buffer { bytes: bytes.into_boxed_slice(), home: Weak::new() })), place }
    }
}

impl PartialEq for Chunk {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Chunk {}

/// Bytes on their way out, in order: large pieces by reference, small ones copied together.
#[derive(Debug)]
pub struct SendQueue {
    pool: Pool,
    chunks: VecDeque<Chunk>,
    /// Where small pieces are collected; behind all chunks.
    tail: Option<Vacant>,
    len: usize,
    held: usize,
}

impl SendQueue {
    /// An empty queue that takes its buffers from `pool`. It holds none while it is empty.
    pub fn new(pool: Pool) -> Self {
        Self { pool, chunks: VecDeque::new(), tail: None, len: 0, held: 0 }
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match &mut self.tail {
            Some(tail) if bytes.len() < tail.room() => tail.append(bytes),
            _ => self.put_across(bytes),
        }
    }

    /// Appends a copy of what does not fit the buffer that is being filled, or begins one.
    fn put_across(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let tail = self.tail.get_or_insert_with(|| self.pool.small());
            let fits = rest.len().min(tail.room());
            tail.append(&rest[..fits]);
            rest = &rest[fits..];
            if tail.room() == 0 {
                self.seal();
            }
        }
    }

    /// Appends `chunk`, copied when it is short and referenced when it is long.
    #[inline]
    pub fn push(&mut self, chunk: Chunk) {
        if chunk.len() < COPY_BELOW_BYTES {
            return self.put(&chunk);
        }
        self.seal();
        self.len += chunk.len();
        self.held += chunk.held_bytes();
        self.chunks.push_back(chunk);
    }

    /// Calls `each` with the queued slices in order until it returns `false`.
    #[inline]
    pub fn visit<'a>(&'a self, mut each: impl FnMut(&'a [u8]) -> bool) {
        for chunk in &self.chunks {
            if !each(chunk) {
                return;
            }
        }
        if let Some(tail) = &self.tail {
            each(tail.filled());
        }
    }

    /// Removes the first `len` bytes: they are sent.
    ///
    /// # Panics
    /// When fewer are queued.
    #[inline]
    pub fn advance(&mut self, mut len: usize) {
        assert!(len <= self.len);
        self.len -= len;
        if self.len == 0 {
            return self.clear();
        }
        while len > 0 {
            if self.chunks.is_empty() {
                self.seal();
            }
            let first = self.chunks.front_mut().expect("len counts the bytes of the chunks");
            if first.len() > len {
                first.advance(len);
                return;
            }
            len -= first.len();
            self.held -= first.held_bytes();
            self.chunks.pop_front();
        }
    }

    /// Drops everything that is queued.
    #[inline]
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.tail = None;
        self.len = 0;
        self.held = 0;
    }

    /// Bytes queued.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory held by what is queued.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.held + self.tail.as_ref().map_or(0, Vacant::capacity)
    }

    /// The pool that buffers come from.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    #[inline]
    fn seal(&mut self) {
        if let Some(tail) = self.tail.take() {
            let chunk = tail.freeze();
            if !chunk.is_empty() {
                self.held += chunk.held_bytes();
                self.chunks.push_back(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queued(queue: &SendQueue) -> Vec<u8> {
        let mut all = Vec::new();
        queue.visit(|slice| {
            assert!(!slice.is_empty(), "a gather list has no empty entry");
            all.extend_from_slice(slice);
            true
        });
        all
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    #[test]
    fn a_buffer_goes_back_with_its_last_chunk_and_comes_out_again_first() {
        let pool = Pool::new();
        let mut vacant = pool.large();
        vacant.append(b"abcdef");
        let address = vacant.filled().as_ptr();
        let mut chunk = vacant.freeze();
        assert_eq!(pool.outstanding_bytes(), LARGE_BYTES);
        let front = chunk.split_to(2);
        let copy = chunk.clone();
        drop(chunk);
        drop(front);
        assert_eq!(pool.outstanding_bytes(), LARGE_BYTES);
        drop(copy);
        assert_eq!(pool.outstanding_bytes(), 0);
        assert_eq!(pool.large().filled().as_ptr(), address);
    }

    #[test]
    fn a_vacant_buffer_that_is_not_used_goes_back() {
        let pool = Pool::new();
        drop(pool.small());
        assert!(pool.large().freeze().is_empty());
        assert_eq!(pool.outstanding_bytes(), 0);
    }

    #[test]
    fn classes_are_as_large_as_asked_for() {
        let pool = Pool::new();
        for (len, capacity) in [
            (0, SMALL_BYTES),
            (SMALL_BYTES, SMALL_BYTES),
            (SMALL_BYTES + 1, SMALL_BYTES + 1),
            (LARGE_BYTES / 2 - 1, LARGE_BYTES / 2 - 1),
            (LARGE_BYTES / 2, LARGE_BYTES),
            (LARGE_BYTES, LARGE_BYTES),
            (LARGE_BYTES + 1, LARGE_BYTES + 1),
        ] {
            assert_eq!(pool.at_least(len).capacity(), capacity);
            assert_eq!(*pool.copy(&pattern(len)), *pattern(len));
        }
        assert_eq!(pool.outstanding_bytes(), 0);
    }

    #[test]
    fn chunks_outlive_their_pool() {
        let pool = Pool::new();
        let chunk = pool.copy(b"abc");
        drop(pool);
        assert_eq!(*chunk, *b"abc");
    }

    #[test]
    fn slices_splits_and_advances_are_of_the_same_bytes() {
        let pool = Pool::new();
        let mut chunk = pool.copy(b"abcdef");
        assert_eq!(*chunk.slice(1..3), *b"bc");
        assert_eq!(*chunk.slice(2..6).slice(1..2), *b"d");
        assert_eq!(chunk.slice(6..6).held_bytes(), 0);
        assert_eq!(*chunk.split_to(2), *b"ab");
        chunk.advance(1);
        assert_eq!(*chunk, *b"def");
        assert_eq!(*chunk.split_to(3), *b"def");
        assert_eq!((chunk.len(), chunk.held_bytes()), (0, 0));
        chunk.advance(0);
        assert_eq!(chunk, Chunk::EMPTY);
        assert_eq!(pool.outstanding_bytes(), 0);
    }

    #[test]
    fn a_chunk_that_is_used_up_lets_its_buffer_go() {
        let pool = Pool::new();
        let mut chunk = pool.copy(b"abc");
        chunk.advance(3);
        assert_eq!(pool.outstanding_bytes(), 0);
    }

    #[test]
    fn short_chunks_do_not_pin_large_buffers_when_they_are_kept() {
        let pool = Pool::new();
        let mut vacant = pool.large();
        vacant.append(&pattern(LARGE_BYTES / 2));
        let whole = vacant.freeze();
        let (short, long) = (whole.slice(1..5), whole.slice(1..LARGE_BYTES / 2));
        assert!(short.is_pinning() && long.is_pinning() && !whole.is_pinning());
        let (short, long, whole) = (short.retain(&pool), long.retain(&pool), whole.retain(&pool));
        assert_eq!((short.held_bytes(), whole.held_bytes()), (SMALL_BYTES, LARGE_BYTES));
        assert_eq!(*short, [1, 2, 3, 4]);
        assert_eq!((long.held_bytes(), &long[..]), (long.len(), &pattern(LARGE_BYTES)[1..LARGE_BYTES / 2]));
        drop(whole);
        assert_eq!(pool.outstanding_bytes(), SMALL_BYTES + long.len());
    }

    #[test]
    fn small_pieces_share_a_buffer_and_long_ones_are_referenced() {
        let pool = Pool::new();
        let mut queue = SendQueue::new(pool.clone());
        queue.put(b"ab");
        queue.push(pool.copy(b"cd"));
        assert_eq!(queue.held_bytes(), SMALL_BYTES);
        let long = pool.copy(&pattern(COPY_BELOW_BYTES + 1));
        let address = long.as_ptr();
        queue.push(long);
        queue.put(b"ef");
        let mut slices = Vec::new();
        queue.visit(|slice| {
            slices.push((slice.as_ptr(), slice.len()));
            true
        });
        assert_eq!(slices.len(), 3);
        assert_eq!(slices[1], (address, COPY_BELOW_BYTES + 1));
        assert_eq!(queue.held_bytes(), 2 * SMALL_BYTES + COPY_BELOW_BYTES + 1);
    }

    #[test]
    fn visiting_stops_when_it_is_told_to() {
        let pool = Pool::new();
        let mut queue = SendQueue::new(pool.clone());
        queue.push(pool.copy(&pattern(COPY_BELOW_BYTES)));
        queue.put(b"tail");
        let mut visited = 0;
        queue.visit(|_| {
            visited += 1;
            false
        });
        assert_eq!(visited, 1);
    }

    #[test]
    fn a_queue_that_is_sent_holds_nothing() {
        let pool = Pool::new();
        let mut queue = SendQueue::new(pool.clone());
        queue.put(&pattern(3 * SMALL_BYTES + 1));
        queue.advance(2 * SMALL_BYTES);
        assert_eq!(queue.held_bytes(), 2 * SMALL_BYTES);
        queue.advance(SMALL_BYTES + 1);
        assert_eq!((queue.held_bytes(), pool.outstanding_bytes()), (0, 0));
        queue.put(b"x");
        queue.clear();
        assert_eq!((queue.len(), queue.held_bytes(), pool.outstanding_bytes()), (0, 0, 0));
    }

    #[test]
    #[should_panic(expected = "len <= self.len")]
    fn more_than_is_queued_cannot_be_sent() {
        let mut queue = SendQueue::new(Pool::new());
        queue.put(b"ab");
        queue.advance(3);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize),
        Push(usize),
        Advance(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let lens = prop_oneof![0..20_usize, SMALL_BYTES - 3..SMALL_BYTES + 3, Just(3 * SMALL_BYTES)];
        let step = prop_oneof![
            lens.clone().prop_map(Step::Put),
            lens.clone().prop_map(Step::Push),
            lens.prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn a_queue_gives_what_it_got_in_order_and_lets_go_of_what_is_sent(steps in steps()) {
            let pool = Pool::new();
            let mut queue = SendQueue::new(pool.clone());
            let (mut model, mut put) = (VecDeque::new(), 0_usize);
            for step in steps {
                match step {
                    Step::Put(len) | Step::Push(len) => {
                        let bytes: Vec<u8> = (put..put + len).map(|at| (at % 251) as u8).collect();
                        put += len;
                        model.extend(&bytes);
                        match step {
                            Step::Put(_) => queue.put(&bytes),
                            _ => queue.push(pool.copy(&bytes)),
                        }
                    }
                    Step::Advance(len) => {
                        let len = len.min(model.len());
                        model.drain(..len);
                        queue.advance(len);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queued(&queue), model.iter().copied().collect::<Vec<u8>>());
                prop_assert_eq!(queue.held_bytes(), pool.outstanding_bytes());
            }
            queue.advance(model.len());
            prop_assert_eq!(pool.outstanding_bytes(), 0);
        }
    }
}
