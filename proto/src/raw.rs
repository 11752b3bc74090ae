//! The codec of a tunnel: every byte is content.

use crate::chunk::{Chunk, Pool, SendQueue};
use crate::input::Input;
use crate::message::{Part, Reset};

/// Bytes in, `Data` out; the end of the stream is `End`.
#[derive(Debug)]
pub struct Codec {
    pool: Pool,
    input: Input,
    peer: Peer,
}

#[derive(Debug, PartialEq)]
enum Peer {
    Open,
    /// The peer finished; `End` is still to be told.
    Finished,
    Told,
}

impl Codec {
    /// A codec that has seen nothing yet.
    pub fn new(pool: Pool) -> Self {
        Self { pool, input: Input::default(), peer: Peer::Open }
    }

    /// Bytes came.
    pub fn on_received(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.input.push(chunk, &self.pool);
        }
    }

    /// The peer will send nothing more.
    pub fn on_finished(&mut self) {
        if self.peer == Peer::Open {
            self.peer = Peer::Finished;
        }
    }

    /// The next part: data in order, then the end.
    pub fn poll_part(&mut self) -> Option<Part> {
        if !self.input.is_empty() {
            return Some(Part::Data(self.input.take_front()));
        }
        if self.peer == Peer::Finished {
            self.peer = Peer::Told;
            return Some(Part::End);
        }
        None
    }

    /// Queues content; heads have no meaning here and `End` is the connection's half-close.
    pub fn send(&mut self, part: Part, out: &mut SendQueue) {
        match part {
            Part::Data(chunk) => out.push(chunk),
            Part::End | Part::Reset(Reset::Cancelled) => {}
            other => debug_assert!(false, "not for a tunnel: {other:?}"),
        }
    }

    /// Received bytes that were not polled yet.
    pub fn buffered_bytes(&self) -> usize {
        self.input.len()
    }

    /// Copies what would pin a large buffer beyond this turn.
    pub fn retain(&mut self) {
        self.input.retain(&self.pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_in_order_and_the_end_is_told_once() {
        let mut codec = Codec::new(Pool::new());
        codec.on_received(Chunk::from(b"ab".to_vec()));
        codec.on_received(Chunk::from(b"c".to_vec()));
        codec.on_finished();
        assert_eq!(codec.buffered_bytes(), 3);
        let mut seen = Vec::new();
        while let Some(part) = codec.poll_part() {
            match part {
                Part::Data(chunk) => seen.extend_from_slice(&chunk),
                Part::End => seen.push(b'.'),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, b"abc.");
        assert!(codec.poll_part().is_none());
    }
}
