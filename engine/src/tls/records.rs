//! Received bytes, cut at the borders of records.

use ringway_proto::chunk::{Chunk, Pool, Vacant};
use std::collections::VecDeque;

/// Bytes of a record's header: type, version and length (RFC 8446 section 5.1).
const HEADER_BYTES: usize = 5;
/// The most that a record may carry: a full one with all that TLS 1.2 lets its protection add (RFC 5246 section 6.2.3).
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 + 2048;

/// What was received and not handed to the library yet.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Whole records, and what is none.
    whole: VecDeque<Chunk>,
    /// The beginning of a record, copied: it would pin the buffer that it came in, and a peer that sends byte by byte
    /// would have one for each.
    begun: Option<Vacant>,
    bytes: usize,
}

/// What the next bytes are.
enum Next {
    /// The beginning of a record.
    Incomplete,
    /// A record of so many bytes, header included.
    Record(usize),
    /// No record. The library sees it as it is, and says so to the peer.
    Nonsense,
}

impl Records {
    pub(super) fn push(&mut self, mut chunk: Chunk, pool: &Pool) {
        self.bytes += chunk.len();
        while !chunk.is_empty() {
            if self.begun.is_some() {
                self.go_on(&mut chunk, pool);
                continue;
            }
            match run(&chunk) {
                0 => self.begun = Some(pool.small()),
                len => self.whole.push_back(chunk.split_to(len)),
            }
        }
    }

    /// Copies what belongs to the record that is begun. Its buffer grows with what came, not with what was announced.
    fn go_on(&mut self, chunk: &mut Chunk, pool: &Pool) {
        let Some(begun) = &mut self.begun else { return };
        if begun.room() == 0 {
            let mut larger = pool.at_least(HEADER_BYTES + PAYLOAD_BYTES_MAX);
            larger.append(begun.filled());
            *begun = larger;
        }
        let wanted = missing(begun.filled());
        let len = wanted.min(chunk.len()).min(begun.room());
        begun.append(&chunk[..len]);
        chunk.advance(len);
        if missing(begun.filled()) == 0 {
            self.whole.extend(self.begun.take().map(Vacant::freeze));
        }
    }

    /// Bytes that were not handed on.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that are held for them.
    pub(super) fn held_bytes(&self) -> usize {
        let begun = self.begun.as_ref().map_or(0, Vacant::capacity);
        self.whole.iter().map(Chunk::held_bytes).sum::<usize>() + begun
    }

    /// As many whole records as are there in a row, if any.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let run = self.whole.pop_front()?;
        self.bytes -= run.len();
        Some(run)
    }

    /// Gives up buffers that would be held for little.
    pub(super) fn retain(&mut self, pool: &Pool) {
        for chunk in &mut self.whole {
            if chunk.is_pinning() {
                *chunk = std::mem::take(chunk).retain(pool);
            }
        }
    }

    /// Drops everything: nothing is read any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Bytes of the whole records in front of `bytes`; all of them behind what is no record.
fn run(bytes: &[u8]) -> usize {
    let mut len = 0;
    loop {
        match next(&bytes[len..]) {
            Next::Record(record) if record <= bytes.len() - len => len += record,
            Next::Record(_) | Next::Incomplete => return len,
            Next::Nonsense => return bytes.len(),
        }
    }
}

/// Bytes that a record, or its header, takes besides these; 0 where it is whole, or none.
fn missing(begun: &[u8]) -> usize {
    match next(begun) {
        Next::Incomplete => HEADER_BYTES - begun.len(),
        Next::Record(len) => len.saturating_sub(begun.len()),
        Next::Nonsense => 0,
    }
}

fn next(bytes: &[u8]) -> Next {
    // Content types are 20 to 24, and the version has been 3.x ever since SSL 3.
    let is_record = |&[kind, major, ..]: &[u8; HEADER_BYTES]| (20..=24).contains(&kind) && major == 3;
    match bytes.first_chunk::<HEADER_BYTES>() {
        None => match bytes {
            [kind, ..] if !(20..=24).contains(kind) => Next::Nonsense,
            _ => Next::Incomplete,
        },
        Some(header) if !is_record(header) => Next::Nonsense,
        Some(&[.., high, low]) => match usize::from(u16::from_be_bytes([high, low])) {
            payload if payload > PAYLOAD_BYTES_MAX => Next::Nonsense,
            payload => Next::Record(HEADER_BYTES + payload),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend((len as u16).to_be_bytes());
        record.extend((0..len).map(|at| at as u8));
        record
    }

    #[test]
    fn whole_records_come_out_wherever_the_bytes_are_cut() {
        let pool = Pool::new();
        let stream = [record(3), record(0), record(700), record(16_384), record(1)].concat();
        for size in [1, 2, 4, 5, 6, 9, 500, 4096, stream.len()] {
            let mut records = Records::default();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                records.push(pool.copy(piece), &pool);
                while let Some(taken) = records.take() {
                    assert_eq!(run(&taken), taken.len());
                    got.extend_from_slice(&taken);
                }
                records.retain(&pool);
            }
            assert_eq!(
                (got == stream, records.len(), records.held_bytes()),
                (true, 0, 0),
                "in pieces of {size}"
            );
        }
        assert_eq!(pool.outstanding_bytes(), 0);
    }

    #[test]
    fn the_beginning_of_a_record_holds_little() {
        let pool = Pool::new();
        let mut records = Records::default();
        let mut vacant = pool.large();
        vacant.append(&record(16_384)[..5]);
        records.push(vacant.freeze(), &pool);
        assert!(records.take().is_none());
        assert_eq!((records.len(), records.held_bytes(), pool.outstanding_bytes()), (5, 4096, 4096));
        // A byte at a time does not hold more.
        for byte in &record(16_384)[5..4000] {
            records.push(pool.copy(&[*byte]), &pool);
        }
        assert_eq!((records.len(), records.held_bytes(), pool.outstanding_bytes()), (4000, 4096, 4096));
    }

    #[test]
    fn what_is_no_record_is_handed_on_at_once() {
        let pool = Pool::new();
        for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[22, 9], &[22, 3, 1, 0xff, 0xff], &[128, 46, 1]]
        {
            let mut records = Records::default();
            records.push(pool.copy(bytes), &pool);
            let taken = records.take();
            // A second byte may still make sense of the first.
            assert_eq!(taken.as_deref(), (bytes.len() != 2).then_some(bytes));
        }
    }
}
