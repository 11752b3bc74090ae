//! What of a request's content is kept so that it may be sent again.

use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::message::Fields;

/// The content sent so far, as long as it is short enough to keep.
#[derive(Debug)]
pub(super) enum Replay {
    /// All that was sent.
    Kept { chunks: Vec<Chunk>, bytes: usize, trailers: Option<Fields>, is_ended: bool },
    /// Too long, or no longer wanted: the request cannot be sent again.
    Lost,
}

impl Replay {
    pub(super) const fn new() -> Self {
        Self::Kept { chunks: Vec::new(), bytes: 0, trailers: None, is_ended: false }
    }

    /// Notes content that is about to be sent.
    pub(super) fn on_data(&mut self, chunk: &Chunk, bytes_max: usize, pool: &Pool) {
        let Self::Kept { chunks, bytes, .. } = self else { return };
        if *bytes + chunk.len() > bytes_max {
            *self = Self::Lost;
            return;
        }
        *bytes += chunk.len();
        chunks.push(chunk.clone().retain(pool));
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

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}
