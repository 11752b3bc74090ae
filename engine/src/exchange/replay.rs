//! What of a request's content is kept so that it may be sent again.

use ringway_proto::chunk::{Chunk, Pool, Vacant};
use ringway_proto::message::Fields;

/// The content sent so far, as long as it is short enough to keep.
#[derive(Debug)]
pub(super) enum Replay {
    /// All that was sent.
    Kept { content: Content, trailers: Option<Fields>, is_ended: bool },
    /// Too long, or no longer wanted: the request cannot be sent again.
    Lost,
}

/// Content in little more memory than it is long.
#[derive(Debug, Default)]
pub(super) struct Content {
    chunks: Vec<Chunk>,
    /// What came behind them.
    tail: Option<Vacant>,
    bytes: usize,
}

impl Replay {
    pub(super) fn new() -> Self {
        Self::Kept { content: Content::default(), trailers: None, is_ended: false }
    }

    /// Notes content that is about to be sent.
    pub(super) fn on_data(&mut self, chunk: &Chunk, bytes_max: usize, pool: &Pool) {
        let Self::Kept { content, .. } = self else { return };
        if content.bytes + chunk.len() > bytes_max {
            *self = Self::Lost;
            return;
        }
        content.push(chunk, pool);
    }

    pub(super) fn on_trailers(&mut self, fields: &Fields) {
        if let Self::Kept { trailers, .. } = self {
            *trailers = Some(fields.clone());
        }
    }

    pub(super) fn on_end(&mut self) {
        if let Self::Kept { is_ended, .. } = self {
            *is_ended = true;
        }
    }

    /// Whether nothing was sent yet.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Self::Kept { content, trailers: None, is_ended: false } if content.bytes == 0)
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}

impl Content {
    /// Everything, in order.
    pub(super) fn chunks(&self, pool: &Pool) -> impl Iterator<Item = Chunk> {
        let tail = self.tail.as_ref().map(|tail| pool.copy(tail.filled()));
        self.chunks.iter().cloned().chain(tail)
    }

    /// What fills its buffer is shared, the rest copied and joined: content of single bytes would else hold a buffer
    /// for each.
    fn push(&mut self, chunk: &Chunk, pool: &Pool) {
        self.bytes += chunk.len();
        if chunk.len() * 2 >= chunk.held_bytes() {
            self.seal();
            self.chunks.push(chunk.clone());
            return;
        }
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let tail = self.tail.get_or_insert_with(|| pool.small());
            let (now, later) = rest.split_at(rest.len().min(tail.room()));
            tail.append(now);
            rest = later;
            if tail.room() == 0 {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        self.chunks.extend(self.tail.take().map(Vacant::freeze));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_sent_and_holds_little_more() {
        let pool = Pool::new();
        let mut replay = Replay::new();
        let mut sent = Vec::new();
        for len in [1, 1, 5000, 1, 40_000, 1, 4096, 2].into_iter().chain([1; 9000]) {
            let mut received = pool.large();
            received.spare()[..len].fill(len as u8);
            received.fill(len);
            let chunk = received.freeze();
            sent.extend_from_slice(&chunk);
            replay.on_data(&chunk, 64 * 1024, &pool);
        }
        let Replay::Kept { content, .. } = &replay else { panic!("it was short enough") };
        assert!(pool.outstanding_bytes() <= 2 * sent.len(), "{}", pool.outstanding_bytes());
        let kept: Vec<u8> = content.chunks(&pool).flat_map(|chunk| chunk.to_vec()).collect();
        assert!(kept == sent);
        replay.on_data(&pool.copy(&[0; 10_000]), 64 * 1024, &pool);
        assert!(!replay.is_kept());
        assert_eq!(pool.outstanding_bytes(), 0);
    }
}
