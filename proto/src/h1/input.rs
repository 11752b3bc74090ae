//! The head that is not complete yet.

pub(super) use crate::input::Input;

use super::head::{HeadLimits, HeadParser, RawRequest};
use crate::chunk::{Chunk, Pool, Vacant};
use crate::rules::Rule;

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

/// The same bytes with twice the room. The limit of a head bounds it.
#[cold]
fn grown(full: &Vacant, pool: &Pool) -> Vacant {
    let mut grown = pool.at_least(full.capacity() * 2);
    grown.append(full.filled());
    grown
}
