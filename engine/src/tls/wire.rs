//! Where the library reads and writes: memory.

use ringway_proto::chunk::{COPY_BELOW_BYTES, Chunk, Pool, SendQueue, Vacant};
use std::io::{self, ErrorKind, Read, Write};

/// The library's side of a session. Reading never waits for more, writing never fails.
#[derive(Debug)]
pub(super) struct Wire {
    pool: Pool,
    /// Whole records.
    input: Chunk,
    /// Records on their way out.
    output: SendQueue,
    /// Where large records are collected, behind all others.
    large: Option<Vacant>,
}

impl Wire {
    pub(super) fn new(pool: Pool) -> Self {
        Self { output: SendQueue::new(pool.clone()), pool, input: Chunk::EMPTY, large: None }
    }

    /// Hands records to the library, which has taken all that it had.
    pub(super) fn offer(&mut self, records: Chunk) {
        debug_assert!(self.input.is_empty());
        self.input = records;
    }

    /// Whether the library has taken everything.
    #[inline]
    pub(super) fn is_dry(&self) -> bool {
        self.input.is_empty()
    }

    /// What was offered and is not taken.
    pub(super) fn offered_bytes(&self) -> usize {
        self.input.len()
    }

    /// Bytes of memory that are held for what came and what goes.
    pub(super) fn held_bytes(&self) -> usize {
        self.output.held_bytes() + self.large.as_ref().map_or(0, Vacant::capacity)
    }

    /// What is to be sent.
    #[inline]
    pub(super) fn output(&self) -> &SendQueue {
        &self.output
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub(super) fn output_bytes(&self) -> usize {
        self.output.len() + self.large.as_ref().map_or(0, |large| large.filled().len())
    }

    /// So much of it was sent.
    #[inline]
    pub(super) fn advance(&mut self, len: usize) {
        self.output.advance(len);
    }

    /// Nothing is read any more.
    pub(super) fn drop_input(&mut self) {
        self.input = Chunk::EMPTY;
    }

    /// Nothing goes out any more.
    pub(super) fn clear(&mut self) {
        self.large = None;
        self.output.clear();
    }

    /// Puts what was collected where it is sent from.
    #[inline]
    pub(super) fn settle(&mut self) {
        if let Some(large) = self.large.take() {
            self.output.push(large.freeze());
        }
    }
}

impl Read for Wire {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            // An end would be one of the stream, without its having been said: that is for who reads the socket to judge.
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = buf.len().min(self.input.len());
        buf[..len].copy_from_slice(&self.input[..len]);
        self.input.advance(len);
        Ok(len)
    }
}

impl Write for Wire {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.large {
            Some(large) if large.room() >= bytes.len() => large.append(bytes),
            _ => {
                self.settle();
                if bytes.len() < COPY_BELOW_BYTES {
                    self.output.put(bytes);
                } else {
                    let mut large = self.pool.at_least(ringway_proto::chunk::LARGE_BYTES.max(bytes.len()));
                    large.append(bytes);
                    self.large = Some(large);
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
