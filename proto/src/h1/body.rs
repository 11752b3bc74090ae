//! The content of a message: where it ends when it is received, and how its end is marked when it is sent
//! (RFC 9112 sections 6 and 7).

use super::chunked::{ChunkedDecoder, ChunkedLimits, Progress, Step};
use super::head::HeadLimits;
use super::input::{HeadReader, Input, Section};
use super::{CodecLimits, encode};
use crate::chunk::{Chunk, Pool, SendQueue};
use crate::message::{Body, Fields};
use crate::rules::{Rule, hop_by_hop};

/// Finds the end of received content.
#[derive(Debug)]
pub(super) enum BodyDecoder {
    /// So many bytes are to come, at least 1.
    Length(u64),
    Chunked(ChunkedDecoder),
    /// The last chunk is over; fields may follow.
    Trailers,
    /// Data were told, and what stands behind them breaks this rule.
    Broken(Rule),
    UntilClose,
}

/// What decoding came to.
#[derive(Debug)]
pub(super) enum Decoded {
    /// More bytes are needed.
    More,
    Data(Chunk),
    /// The content is complete with these.
    LastData(Chunk),
    /// The content is complete, and these stood behind it.
    Trailers(Fields),
    /// The content is complete.
    Over,
}

impl BodyDecoder {
    /// The decoder of content of this kind; `None` when there is none to decode.
    #[inline]
    pub(super) fn new(body: Body) -> Option<Self> {
        match body {
            Body::Empty | Body::Length(0) => None,
            Body::Length(length) => Some(Self::Length(length)),
            Body::Streamed => Some(Self::Chunked(ChunkedDecoder::default())),
            Body::UntilClose => Some(Self::UntilClose),
        }
    }

    /// Decodes the next part from the front of `input`.
    #[inline]
    pub(super) fn poll(
        &mut self,
        input: &mut Input,
        heads: &mut HeadReader,
        limits: &CodecLimits,
        body_bytes_max: u64,
        pool: &Pool,
    ) -> Result<Decoded, Rule> {
        match self {
            Self::Broken(rule) => Err(*rule),
            _ if input.is_empty() => Ok(Decoded::More),
            Self::Length(left) => {
                let len = input.front().len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= len as u64;
                let data = input.take(len);
                Ok(if *left == 0 { Decoded::LastData(data) } else { Decoded::Data(data) })
            }
            Self::UntilClose => Ok(Decoded::Data(input.take(input.front().len()))),
            Self::Chunked(chunks) => {
                let bounds = limits.chunked(body_bytes_max);
                match poll_chunks(chunks, input, &bounds)? {
                    Step::More => Ok(Decoded::More),
                    Step::Data(len) if is_dribble(&input.front()[len..], len) => {
                        Ok(Decoded::Data(self.gather(len, input, &bounds, pool)))
                    }
                    Step::Data(len) => Ok(Decoded::Data(input.take(len))),
                    Step::Last => {
                        *self = Self::Trailers;
                        poll_trailers(input, heads, limits, pool)
                    }
                }
            }
            Self::Trailers => poll_trailers(input, heads, limits, pool),
        }
    }

    /// Collects the data of short chunks that lie behind each other, `len` bytes of the first: each by itself
    /// would cost the whole way through the proxy, which a sender of one-byte chunks could make us go.
    fn gather(&mut self, mut len: usize, input: &mut Input, limits: &ChunkedLimits, pool: &Pool) -> Chunk {
        let Self::Chunked(chunks) = self else { unreachable!("asked in this state only") };
        let mut data = pool.small();
        loop {
            data.append(&input.front()[..len]);
            input.skip(len);
            let window = input.front().len().min(data.room());
            if window == 0 {
                break;
            }
            match chunks.on_bytes(&input.front()[..window], limits) {
                Ok(Progress { skip, step }) => {
                    input.skip(skip);
                    len = match step {
                        Step::Data(len) => len,
                        Step::More => 0,
                        Step::Last => {
                            *self = Self::Trailers;
                            break;
                        }
                    };
                }
                Err(rule) => {
                    *self = Self::Broken(rule);
                    break;
                }
            }
        }
        data.freeze()
    }
}

/// Whether `len` bytes of data are short and followed, in `behind`, by another chunk that is not the last.
#[inline]
fn is_dribble(behind: &[u8], len: usize) -> bool {
    len < DRIBBLE_BYTES && matches!(behind, [b'\r', b'\n', size, ..] if *size != b'0')
}

/// Skips framing up to the next data, the last chunk, or the end of what is there.
fn poll_chunks(chunks: &mut ChunkedDecoder, input: &mut Input, limits: &ChunkedLimits) -> Result<Step, Rule> {
    loop {
        let progress = chunks.on_bytes(input.front(), limits)?;
        input.skip(progress.skip);
        if progress.step != Step::More || input.is_empty() {
            return Ok(progress.step);
        }
    }
}

fn poll_trailers(
    input: &mut Input,
    heads: &mut HeadReader,
    limits: &CodecLimits,
    pool: &Pool,
) -> Result<Decoded, Rule> {
    // Nearly always there are none.
    if !heads.is_begun() && input.front().starts_with(b"\r\n") {
        input.skip(2);
        return Ok(Decoded::Over);
    }
    let bounds = HeadLimits { bytes: limits.trailer_bytes, ..limits.head.clone() };
    let Some(received) = heads.poll(Section::Trailers, input, &bounds, pool)? else {
        return Ok(Decoded::More);
    };
    let mut fields = heads.parser.take_trailers(received);
    hop_by_hop::strip_trailers(&mut fields);
    Ok(if fields.is_empty() { Decoded::Over } else { Decoded::Trailers(fields) })
}

/// Marks the end of content that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEncoder {
    /// None may be sent (HEAD, 204, 205, 304): data are dropped.
    Bodiless,
    /// So many bytes are still owed.
    Length(u64),
    Chunked,
    /// The last chunk and the trailer section are sent.
    ChunkedOver,
    /// Closing ends it.
    UntilClose,
}

/// What was wrong with what should be sent: the announced length cannot be changed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LengthBroken;

impl BodyEncoder {
    /// Sends content. Never more than was announced: the surplus would be read as the next message.
    #[inline]
    pub(super) fn put_data(&mut self, mut data: Chunk, out: &mut SendQueue) -> Result<(), LengthBroken> {
        match self {
            Self::Length(left) => {
                let len = data.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let is_all = len == data.len();
                *left -= len as u64;
                out.push(data.split_to(len));
                if is_all { Ok(()) } else { Err(LengthBroken) }
            }
            // An empty chunk would be the last one.
            Self::Chunked if data.is_empty() => Ok(()),
            Self::Chunked => {
                encode::put_chunk_size(out, data.len());
                out.push(data);
                out.put(b"\r\n");
                Ok(())
            }
            Self::UntilClose => {
                out.push(data);
                Ok(())
            }
            Self::Bodiless => Ok(()),
            Self::ChunkedOver => Err(LengthBroken),
        }
    }

    /// Sends the trailer section where there is room for one; elsewhere it is dropped
    /// (RFC 9110 section 6.5.1).
    pub(super) fn put_trailers(&mut self, fields: &Fields, out: &mut SendQueue) {
        if *self == Self::Chunked {
            out.put(b"0\r\n");
            encode::put_trailers(out, fields);
            *self = Self::ChunkedOver;
        }
    }

    /// Marks the end. An error when content is missing: only cutting the connection tells the peer.
    #[inline]
    pub(super) fn put_end(&mut self, out: &mut SendQueue) -> Result<(), LengthBroken> {
        match self {
            Self::Length(1..) => Err(LengthBroken),
            Self::Chunked => {
                out.put(b"0\r\n\r\n");
                Ok(())
            }
            Self::Length(0) | Self::ChunkedOver | Self::UntilClose | Self::Bodiless => Ok(()),
        }
    }
}

/// Chunks shorter than this are collected when more of them are there already.
const DRIBBLE_BYTES: usize = 1024;

const _: () = assert!(DRIBBLE_BYTES < crate::chunk::SMALL_BYTES);
