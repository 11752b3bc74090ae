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
#[derive(Debug, Default)]
pub struct Content {
    chunks: VecDeque<Chunk>,
    is_end: bool,
    /// What is sent whatever becomes of it, where it is only looked at.
    original: Option<Chunk>,
}

impl Content {
    /// Bytes in this piece.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
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

    /// The bytes, in slices: one as they were received, more where a filter in front made more of it.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &**chunk)
    }

    /// The bytes in a row. Costs a copy where there is more than one slice.
    pub fn as_bytes(&mut self) -> &[u8] {
        if self.chunks.len() > 1 {
            let joined = self.to_vec();
            self.set(joined);
        }
        self.chunks.front().map_or(&[], |chunk| chunk)
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
        let chunk = Chunk::from(bytes.into());
        if !chunk.is_empty() {
            self.chunks.push_front(chunk);
        }
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
    pub fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The next chunk, without a copy.
    pub fn pop(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Is the next piece from now on.
    #[inline]
    pub(crate) fn begin(&mut self, chunk: Chunk, is_end: bool) {
        self.chunks.clear();
        self.is_end = is_end;
        self.original = None;
        self.push(chunk);
    }

    /// As [`Content::begin`], to be looked at only.
    pub(crate) fn show(&mut self, chunk: Chunk, is_end: bool) {
        self.begin(chunk.clone(), is_end);
        self.original = Some(chunk);
    }

    /// What is to be sent next.
    #[inline]
    pub(crate) fn next_to_send(&mut self) -> Option<Chunk> {
        match self.original.take() {
            Some(original) => {
                self.chunks.clear();
                Some(original).filter(|chunk| !chunk.is_empty())
            }
            None => self.pop(),
        }
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
        assert_eq!(content.next_to_send().as_deref(), Some(&b"seen"[..]));
        assert!(content.next_to_send().is_none());
    }
}
