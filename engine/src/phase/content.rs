//! Content on its way through the hooks.

use bytes::Bytes;
use ringway_proto::chunk::Chunk;
use std::collections::VecDeque;
use std::ops::Range;

/// A piece of a message's content, and whether the content ends with it.
///
/// A hook may look at it, change it, make it longer or shorter, take it away, or keep it back until later. Each piece
/// of a message is shown once, in order. The last one says so ([`Content::is_end`]) and may be empty; what is to be
/// sent behind everything else is put into that one. The framing of the message is made anew for what comes of it.
///
/// What becomes much longer than it was is made in parts: [`Content::call_again`]. What is kept back may be let go when
/// the sender pauses: [`Content::call_on_pause`].
#[derive(Debug, Default)]
pub struct Content {
    chunks: Chunks,
    is_end: bool,
    is_pause: bool,
    /// What is sent whatever becomes of it, where it is only looked at.
    original: Option<Chunk>,
    /// What one member of the chain only looks at, where others rewrite.
    kept: Option<Chunks>,
    pub(crate) wish: Wish,
}

/// Chunks in a row, none of them empty. There is one nearly always, which has its own place.
#[derive(Clone, Debug, Default)]
struct Chunks {
    /// Empty where there is none.
    first: Chunk,
    others: VecDeque<Chunk>,
}

/// What a content hook wants to be called for, besides the next piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing.
    #[default]
    None,
    /// Room: it has more to send.
    Room,
    /// A pause: it keeps something back.
    Pause,
}

impl Content {
    /// Bytes in this piece.
    pub fn len(&self) -> usize {
        let Chunks { first, others } = &self.chunks;
        first.len() + others.iter().map(|chunk| chunk.len()).sum::<usize>()
    }

    /// Whether there is no byte in this piece.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether the content ends with this piece.
    #[inline]
    pub fn is_end(&self) -> bool {
        self.is_end
    }

    /// Whether the content is not over but nothing more of it has come for now: what was kept back may go. The piece is
    /// empty then, unless another filter lets go of something. Only after [`Content::call_on_pause`].
    #[inline]
    pub fn is_pause(&self) -> bool {
        self.is_pause
    }

    /// Calls this hook again, with an empty piece, when what is here now is on its way and there is room for more:
    /// before anything else comes, even the end. If this was the last piece, that one is instead.
    pub fn call_again(&mut self) {
        self.wish = Wish::Room;
    }

    /// Calls this hook with an empty piece when all that has come was shown and nothing more is there for now. Counts
    /// until the next piece.
    pub fn call_on_pause(&mut self) {
        if self.wish == Wish::None {
            self.wish = Wish::Pause;
        }
    }

    /// The bytes, in slices: one as they were received, more where a filter in front made more of it.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &**chunk)
    }

    /// The bytes in a row. Costs a copy where there is more than one slice.
    pub fn as_bytes(&mut self) -> &[u8] {
        if !self.chunks.others.is_empty() {
            let joined = self.to_vec();
            self.set(joined);
        }
        &self.chunks.first
    }

    /// A copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().flatten().copied().collect()
    }

    /// Takes the bytes away: what is not put back is not sent.
    pub fn take(&mut self) -> Bytes {
        let bytes = self.to_vec().into();
        self.chunks.clear();
        bytes
    }

    /// Takes the bytes away.
    pub fn clear(&mut self) {
        self.chunks.clear();
    }

    /// Sends these bytes instead.
    pub fn set(&mut self, bytes: impl Into<Vec<u8>>) {
        self.chunks.clear();
        self.append(bytes);
    }

    /// Sends these bytes as well, behind the others.
    pub fn append(&mut self, bytes: impl Into<Vec<u8>>) {
        self.push(Chunk::from(bytes.into()));
    }

    /// Sends these bytes as well, in front of the others.
    pub fn prepend(&mut self, bytes: impl Into<Vec<u8>>) {
        self.chunks.push_front(Chunk::from(bytes.into()));
    }

    /// Keeps only this range of the bytes.
    ///
    /// # Panics
    /// When the range is not within; the exchange is then answered 500 or cut, as for any panic of a hook.
    pub fn keep(&mut self, range: Range<usize>) {
        let kept = self.as_bytes()[range].to_vec();
        self.set(kept);
    }

    /// As [`Content::append`], without a copy.
    #[inline]
    pub fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    /// The next chunk, without a copy.
    #[inline]
    pub fn pop(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Is the next piece from now on.
    #[inline]
    pub(crate) fn begin(&mut self, chunk: Chunk, is_end: bool) {
        self.chunks.others.clear();
        self.chunks.first = chunk;
        self.is_end = is_end;
        self.is_pause = false;
        self.original = None;
        self.wish = Wish::None;
    }

    /// Is an empty piece from now on: for a hook that is called again, or because of a pause.
    pub(crate) fn begin_empty(&mut self, is_end: bool, is_pause: bool) {
        self.begin(Chunk::EMPTY, is_end);
        self.is_pause = is_pause;
    }

    /// What becomes of it is not sent: there is no place for content, or nobody said that it would be changed.
    pub(crate) fn close(&mut self) {
        self.original = Some(Chunk::EMPTY);
    }

    /// There is more before the end: the members of the chain that are still to be asked see no end yet.
    pub(crate) fn put_off_end(&mut self) {
        self.is_end = false;
    }

    /// The next hook only looks at it.
    pub(crate) fn set_aside(&mut self) {
        if self.original.is_none() {
            self.kept = Some(self.chunks.clone());
        }
    }

    /// The hook has looked at it.
    #[inline]
    pub(crate) fn restore(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.chunks = kept;
        }
    }

    /// Lets go of everything, for the next exchange.
    pub(crate) fn release(&mut self) {
        self.begin(Chunk::EMPTY, false);
        self.kept = None;
    }

    /// Puts chunks in front of the others, in their order.
    pub(crate) fn put_in_front(&mut self, chunks: Vec<Chunk>) {
        chunks.into_iter().rev().for_each(|chunk| self.chunks.push_front(chunk));
    }

    /// As [`Content::begin`], to be looked at only.
    pub(crate) fn show(&mut self, chunk: Chunk, is_end: bool) {
        self.begin(chunk.clone(), is_end);
        self.original = Some(chunk);
    }

    /// Hooks have had it: what is here now is what is sent, which is what came where it was only looked at.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if let Some(original) = self.original.take() {
            self.chunks.clear();
            self.chunks.first = original;
        }
    }
}

impl Chunks {
    #[inline]
    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &Chunk> {
        let first = (!self.first.is_empty()).then_some(&self.first);
        first.into_iter().chain(&self.others)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    #[inline]
    fn push_back(&mut self, chunk: Chunk) {
        if self.first.is_empty() {
            self.first = chunk;
        } else if !chunk.is_empty() {
            self.others.push_back(chunk);
        }
    }

    fn push_front(&mut self, chunk: Chunk) {
        if chunk.is_empty() {
            return;
        }
        let second = std::mem::replace(&mut self.first, chunk);
        if !second.is_empty() {
            self.others.push_front(second);
        }
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Chunk> {
        if self.first.is_empty() {
            return None;
        }
        let next = self.others.pop_front().unwrap_or_default();
        Some(std::mem::replace(&mut self.first, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order() {
        let mut content = Content::default();
        content.begin(Chunk::from(b"bc".to_vec()), true);
        content.append("de");
        content.prepend("a");
        content.append("");
        assert_eq!((content.len(), content.is_end()), (5, true));
        assert_eq!(content.as_bytes(), b"abcde");
        content.keep(1..4);
        assert_eq!(content.take(), "bcd");
        assert!(content.is_empty() && content.pop().is_none());
        content.begin(Chunk::EMPTY, false);
        assert!(content.is_empty() && !content.is_end());
        content.show(Chunk::from(b"seen".to_vec()), false);
        content.set("changed");
        content.settle();
        assert_eq!(content.pop().as_deref(), Some(&b"seen"[..]));
        assert!(content.pop().is_none());
    }
}
