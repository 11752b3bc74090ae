//! Content in, coded content out.

use super::Coding;
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use ringway_proto::chunk::{Chunk, Pool, SMALL_BYTES};
use std::ops::RangeInclusive;
use zlib_rs::{Deflate, DeflateFlush, Status};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

/// How hard each coding tries. Windows are not a matter of levels: they bound what a stream holds in memory, and what a
/// client has to hold.
///
/// The defaults are where the next level costs a proxy more time than it saves bytes; figures are in
/// `docs/decisions/0006-content-codings.md`. A level outside of its range is taken as the nearest within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of gzip and deflate, in [`Levels::GZIP`]. Default: 5.
    pub gzip: u8,
    /// Of Brotli, in [`Levels::BROTLI`]. Default: 5.
    pub brotli: u8,
    /// Of Zstandard, in [`Levels::ZSTD`]. Default: 3.
    pub zstd: u8,
}

impl Levels {
    /// Levels of gzip: from the fastest to the smallest.
    pub const GZIP: RangeInclusive<u8> = 1..=9;
    /// Qualities of Brotli. 10 and 11 are for content that is coded once and kept.
    pub const BROTLI: RangeInclusive<u8> = 1..=9;
    /// Levels of Zstandard. Those above are for content that is coded once and kept.
    pub const ZSTD: RangeInclusive<u8> = 1..=9;
}

impl Default for Levels {
    fn default() -> Self {
        Self { gzip: 5, brotli: 5, zstd: 3 }
    }
}

/// One stream that is being coded.
///
/// What the library has written is handed over at the end of each call, so nothing ready is held back; what the
/// library itself still holds comes out with [`Encoder::flush`] or [`Encoder::finish`].
///
/// ```
/// use ringway_engine::coding::{Coding, Encoder, Levels};
/// use ringway_proto::chunk::{Chunk, Pool};
///
/// let mut encoder = Encoder::new(Coding::Gzip, Levels::default(), None, Pool::new());
/// let mut coded: Vec<Chunk> = Vec::new();
/// encoder.encode(b"data: 1\n\n", &mut |chunk| coded.push(chunk));
/// encoder.flush(&mut |chunk| coded.push(chunk)); // The client can show the event now.
/// encoder.finish(&mut |chunk| coded.push(chunk));
/// ```
pub struct Encoder {
    coding: Coding,
    levels: Levels,
    pool: Pool,
    stream: Stream,
    is_finished: bool,
}

/// The library's state of one stream.
enum Stream {
    Deflate(Deflate),
    Brotli {
        state: Box<BrotliEncoderStateStruct<StandardAlloc>>,
        /// Input since the last meta-block was closed.
        open_bytes: usize,
    },
    Zstd(CCtx<'static>),
}

/// What a call asks of the library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Encode,
    Flush,
    Finish,
}

/// What one step of the library did.
struct Step {
    read: usize,
    written: usize,
    /// Whether the operation is complete; where it is not, the room was used up or the library wants to be asked again.
    is_done: bool,
}

impl Encoder {
    /// A coder for one stream, with output in buffers of `pool`.
    ///
    /// `length_bytes` is how long the content will be, where that is known; a short one takes less memory. It is a
    /// hint: other lengths are coded, too.
    pub fn new(coding: Coding, levels: Levels, length_bytes: Option<u64>, pool: Pool) -> Self {
        let stream = Stream::new(coding, levels, length_bytes);
        Self { coding, levels, pool, stream, is_finished: false }
    }

    /// Makes it ready for another stream of the same coding, in the memory that it has where the library allows that:
    /// not for Brotli. `length_bytes` is as for [`Encoder::new`].
    pub fn reset(&mut self, length_bytes: Option<u64>) {
        self.is_finished = false;
        match &mut self.stream {
            Stream::Deflate(deflate) => deflate.reset(),
            Stream::Zstd(context) => {
                context.reset(ResetDirective::SessionOnly).expect("a session can be reset at any time");
                set_zstd_window(context, length_bytes);
            }
            Stream::Brotli { .. } => self.stream = Stream::new(self.coding, self.levels, length_bytes),
        }
    }

    /// The coding.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Codes more content. What comes out of it goes to `sink` in order, in chunks of up to
    /// [`LARGE_BYTES`](ringway_proto::chunk::LARGE_BYTES); it is often nothing for some calls and then more at once.
    ///
    /// # Panics
    /// After [`Encoder::finish`].
    pub fn encode(&mut self, input: &[u8], sink: &mut impl FnMut(Chunk)) {
        if !input.is_empty() {
            self.run(Operation::Encode, input, sink);
        }
    }

    /// Brings out all that was put in so far, so that the receiver can decode it: for streams whose parts somebody
    /// waits for. Costs a few bytes, and some compression when it is asked often.
    ///
    /// # Panics
    /// After [`Encoder::finish`].
    pub fn flush(&mut self, sink: &mut impl FnMut(Chunk)) {
        self.run(Operation::Flush, &[], sink);
    }

    /// Ends the stream: brings out the rest and its checksum. A stream without content has bytes, too.
    ///
    /// # Panics
    /// When it was called before.
    pub fn finish(&mut self, sink: &mut impl FnMut(Chunk)) {
        self.run(Operation::Finish, &[], sink);
        self.is_finished = true;
    }

    fn run(&mut self, operation: Operation, mut input: &[u8], sink: &mut impl FnMut(Chunk)) {
        assert!(!self.is_finished, "a stream that is finished takes no more");
        loop {
            // What goes in bounds what comes out, but for what is held from before; then there is another round.
            let is_small = operation == Operation::Encode && input.len() < SMALL_BYTES;
            let mut vacant = if is_small { self.pool.small() } else { self.pool.large() };
            let mut is_done = false;
            // The libraries stop when the room is used up; Brotli also where a meta-block ends.
            while !is_done && vacant.room() > 0 {
                let step = self.stream.step(operation, input, vacant.spare());
                input = &input[step.read..];
                vacant.fill(step.written);
                is_done = step.is_done;
            }
            let chunk = vacant.freeze();
            if !chunk.is_empty() {
                // Little in a large buffer is copied, since it would keep the buffer until it is sent. That takes a
                // hundredth of the time that the coding took.
                sink(chunk.retain(&self.pool));
            }
            if is_done {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

impl Stream {
    fn new(coding: Coding, levels: Levels, length_bytes: Option<u64>) -> Self {
        match coding {
            Coding::Gzip | Coding::Deflate => {
                let window_bits = if coding == Coding::Gzip { GZIP_WINDOW } else { ZLIB_WINDOW };
                let level = within(levels.gzip, Levels::GZIP);
                Self::Deflate(Deflate::new(i32::from(level), true, window_bits))
            }
            Coding::Brotli => {
                let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
                let length_hint = length_bytes.map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX));
                for (parameter, value) in [
                    (
                        BrotliEncoderParameter::BROTLI_PARAM_QUALITY,
                        within(levels.brotli, Levels::BROTLI).into(),
                    ),
                    (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BROTLI_WINDOW_LOG2),
                    (BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, length_hint),
                ] {
                    let is_set = state.set_parameter(parameter, value);
                    debug_assert!(is_set, "parameters can be set before the first byte");
                }
                Self::Brotli { state, open_bytes: 0 }
            }
            Coding::Zstd => {
                let mut context = CCtx::create();
                let level = within(levels.zstd, Levels::ZSTD).into();
                context.set_parameter(CParameter::CompressionLevel(level)).expect(ZSTD_PARAMETER);
                set_zstd_window(&mut context, length_bytes);
                Self::Zstd(context)
            }
        }
    }

    /// Lets the library read from `input` and write to `room`, which has bytes.
    fn step(&mut self, operation: Operation, input: &[u8], room: &mut [u8]) -> Step {
        match self {
            Self::Deflate(deflate) => step_deflate(deflate, operation, input, room),
            Self::Brotli { state, open_bytes } => step_brotli(state, open_bytes, operation, input, room),
            Self::Zstd(context) => step_zstd(context, operation, input, room),
        }
    }
}

fn step_deflate(deflate: &mut Deflate, operation: Operation, input: &[u8], room: &mut [u8]) -> Step {
    let flush = match operation {
        Operation::Encode => DeflateFlush::NoFlush,
        Operation::Flush => DeflateFlush::SyncFlush,
        Operation::Finish => DeflateFlush::Finish,
    };
    let (read, written) = (deflate.total_in(), deflate.total_out());
    let status = deflate.compress(input, room, flush).expect("every input has a coding");
    let (read, written) = ((deflate.total_in() - read) as usize, (deflate.total_out() - written) as usize);
    let is_done = match operation {
        // Room that is left says that all is out. When the last byte just fitted, the next call finds nothing.
        Operation::Encode => read == input.len() && written < room.len(),
        Operation::Flush => written < room.len(),
        Operation::Finish => status == Status::StreamEnd,
    };
    Step { read, written, is_done }
}

fn step_brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    open_bytes: &mut usize,
    operation: Operation,
    input: &[u8],
    room: &mut [u8],
) -> Step {
    // The library would gather a whole window before it writes. Closing the meta-block now and then bounds what it
    // holds, and lets the client begin.
    let is_closing = operation == Operation::Flush
        || (operation == Operation::Encode && *open_bytes >= BROTLI_OPEN_BYTES_MAX);
    let (wanted, offered) = match operation {
        // A meta-block takes no more while it is closed.
        _ if is_closing => (BrotliEncoderOperation::BROTLI_OPERATION_FLUSH, &[][..]),
        Operation::Finish => (BrotliEncoderOperation::BROTLI_OPERATION_FINISH, &[][..]),
        Operation::Encode | Operation::Flush => {
            let fits = input.len().min(BROTLI_OPEN_BYTES_MAX - *open_bytes);
            (BrotliEncoderOperation::BROTLI_OPERATION_PROCESS, &input[..fits])
        }
    };
    let (mut unread, mut read) = (offered.len(), 0);
    let (mut vacant, mut written) = (room.len(), 0);
    let is_possible = state.compress_stream(
        wanted,
        &mut unread,
        offered,
        &mut read,
        &mut vacant,
        room,
        &mut written,
        &mut None,
        &mut |_, _, _, _| (),
    );
    assert!(is_possible, "every input has a coding");
    let is_out = !state.has_more_output();
    *open_bytes = if is_closing && is_out { 0 } else { *open_bytes + read };
    let is_done = match operation {
        Operation::Encode => is_out && read == input.len() && *open_bytes < BROTLI_OPEN_BYTES_MAX,
        Operation::Flush => is_out,
        Operation::Finish => state.is_finished(),
    };
    Step { read, written, is_done }
}

fn step_zstd(context: &mut CCtx<'_>, operation: Operation, input: &[u8], room: &mut [u8]) -> Step {
    let directive = match operation {
        Operation::Encode => ZSTD_EndDirective::ZSTD_e_continue,
        Operation::Flush => ZSTD_EndDirective::ZSTD_e_flush,
        Operation::Finish => ZSTD_EndDirective::ZSTD_e_end,
    };
    let room_bytes = room.len();
    let (mut unread, mut vacant) = (InBuffer::around(input), OutBuffer::around(room));
    let left =
        context.compress_stream2(&mut vacant, &mut unread, directive).expect("every input has a coding");
    let (read, written) = (unread.pos(), vacant.pos());
    let is_done = match operation {
        Operation::Encode => read == input.len() && written < room_bytes,
        Operation::Flush | Operation::Finish => left == 0,
    };
    Step { read, written, is_done }
}

/// Sets the window of the next stream: no longer than the content, since the library makes tables to match.
fn set_zstd_window(context: &mut CCtx<'_>, length_bytes: Option<u64>) {
    let needed_log2 =
        length_bytes.map_or(u32::MAX, |length| u64::BITS - length.saturating_sub(1).leading_zeros());
    let window_log2 = needed_log2.clamp(ZSTD_WINDOW_LOG2_MIN, ZSTD_WINDOW_LOG2);
    context.set_parameter(CParameter::WindowLog(window_log2)).expect(ZSTD_PARAMETER);
}

fn within(level: u8, range: RangeInclusive<u8>) -> u8 {
    level.clamp(*range.start(), *range.end())
}

/// The window of DEFLATE, 32 KiB, as the library wants to be told: 16 more is gzip.
const ZLIB_WINDOW: u8 = 15;
const GZIP_WINDOW: u8 = ZLIB_WINDOW + 16;
/// 512 KiB. With less, quality 5 and above get a hash table that loses more than the window (and with 64 KiB one that
/// takes 32 MiB).
const BROTLI_WINDOW_LOG2: u32 = 19;
/// Input that Brotli gathers in one meta-block. Without a bound it saves 0.4 % of the output and takes more than twice
/// the memory.
const BROTLI_OPEN_BYTES_MAX: usize = 64 * 1024;
/// 256 KiB. Eight times as much saves 2 % of the output and takes twice the memory; RFC 9659 allows 8 MiB.
const ZSTD_WINDOW_LOG2: u32 = 18;
/// The least that the format has.
const ZSTD_WINDOW_LOG2_MIN: u32 = 10;
const ZSTD_PARAMETER: &str = "constants and checked levels, set before the first byte";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::decoder::tests::decoded;
    use crate::coding::testing::{Random, text};
    use ringway_proto::chunk::LARGE_BYTES;

    const LEVELS: Levels = Levels { gzip: 5, brotli: 5, zstd: 3 };

    fn encoder(coding: Coding, length_bytes: Option<u64>) -> Encoder {
        Encoder::new(coding, LEVELS, length_bytes, Pool::new())
    }

    fn put(coded: &mut Vec<u8>) -> impl FnMut(Chunk) + '_ {
        |chunk| {
            assert!(!chunk.is_empty() && chunk.len() <= LARGE_BYTES);
            assert!(!chunk.is_pinning());
            coded.extend_from_slice(&chunk);
        }
    }

    #[test]
    fn content_cut_anywhere_and_flushed_anywhere_is_decoded_as_it_was() {
        let mut random = Random(1);
        for round in 0..60 {
            let content = random.content(if round % 6 == 0 { 400_000 } else { 20_000 });
            for &coding in Coding::ALL {
                let length = [None, Some(content.len() as u64), Some(1), Some(u64::MAX)][round % 4];
                let levels = Levels {
                    gzip: random.below(11) as u8,
                    brotli: random.below(11) as u8,
                    zstd: random.below(11) as u8,
                };
                let mut encoder = Encoder::new(coding, levels, length, Pool::new());
                let mut coded = Vec::new();
                let mut rest = content.as_slice();
                while !rest.is_empty() {
                    let max = [1, 100, 5_000, 100_000][random.below(4)];
                    let (piece, behind) = rest.split_at(random.below(rest.len().min(max)) + 1);
                    encoder.encode(piece, &mut put(&mut coded));
                    if random.below(200) == 0 {
                        encoder.flush(&mut put(&mut coded));
                    }
                    rest = behind;
                }
                encoder.finish(&mut put(&mut coded));
                assert!(decoded(coding, &coded) == Ok(content.clone()), "{coding:?} {levels:?} {length:?}");
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_decoded() {
        for &coding in Coding::ALL {
            let mut encoder = encoder(coding, None);
            let mut decoder = crate::coding::decoder::tests::Pulled::new(coding);
            let mut content = Vec::new();
            // Before the first byte, too, and twice.
            encoder.flush(&mut |chunk| decoder.put(&chunk).unwrap());
            for event in 0..200 {
                let event = format!("data: {event}\n\n");
                content.extend_from_slice(event.as_bytes());
                encoder.encode(event.as_bytes(), &mut |chunk| decoder.put(&chunk).unwrap());
                encoder.flush(&mut |chunk| decoder.put(&chunk).unwrap());
                assert!(decoder.content == content, "{coding:?}");
            }
            encoder.flush(&mut |chunk| decoder.put(&chunk).unwrap());
            let large = text(300_000);
            content.extend_from_slice(&large);
            encoder.encode(&large, &mut |chunk| decoder.put(&chunk).unwrap());
            encoder.flush(&mut |chunk| decoder.put(&chunk).unwrap());
            assert!(decoder.content == content, "{coding:?}");
            encoder.finish(&mut |chunk| decoder.put(&chunk).unwrap());
            assert_eq!(decoder.decoder.finish(), Ok(()), "{coding:?}");
        }
    }

    #[test]
    fn a_long_stream_comes_out_while_it_goes_in() {
        for &coding in Coding::ALL {
            let mut encoder = encoder(coding, None);
            let mut coded = Vec::new();
            encoder.encode(&text(400_000), &mut put(&mut coded));
            assert!(coded.len() > 10_000, "{coding:?} {}", coded.len());
        }
    }

    #[test]
    fn a_stream_without_content_is_complete() {
        for &coding in Coding::ALL {
            let mut encoder = encoder(coding, Some(0));
            let mut coded = Vec::new();
            encoder.encode(b"", &mut put(&mut coded));
            assert!(coded.is_empty());
            encoder.finish(&mut put(&mut coded));
            assert!(!coded.is_empty());
            assert_eq!(decoded(coding, &coded), Ok(Vec::new()), "{coding:?}");
        }
    }

    #[test]
    fn an_encoder_can_be_used_again() {
        for &coding in Coding::ALL {
            let mut encoder = encoder(coding, None);
            for len in [100_000, 10, 200_000, 3_000] {
                let content = text(len);
                let mut coded = Vec::new();
                encoder.encode(&content, &mut put(&mut coded));
                encoder.finish(&mut put(&mut coded));
                assert!(decoded(coding, &coded) == Ok(content), "{coding:?}");
                encoder.reset(Some(10));
            }
            // In the middle of a stream, too.
            encoder.encode(&text(100_000), &mut |_| ());
            encoder.reset(None);
            let mut coded = Vec::new();
            encoder.encode(b"abc", &mut put(&mut coded));
            encoder.finish(&mut put(&mut coded));
            assert_eq!(decoded(coding, &coded), Ok(b"abc".to_vec()), "{coding:?}");
        }
    }

    #[test]
    fn text_gets_shorter_and_noise_hardly_longer() {
        let (text, noise) = (text(1 << 20), Random(5).noise(1 << 20));
        for &coding in Coding::ALL {
            for (content, most) in [(&text, text.len() / 3), (&noise, noise.len() + noise.len() / 500)] {
                let mut encoder = encoder(coding, Some(content.len() as u64));
                let mut coded = Vec::new();
                content.chunks(16 * 1024).for_each(|piece| encoder.encode(piece, &mut put(&mut coded)));
                encoder.finish(&mut put(&mut coded));
                assert!(coded.len() < most, "{coding:?} {}", coded.len());
            }
        }
    }

    #[test]
    fn buffers_go_back_to_their_pool() {
        let pool = Pool::new();
        for &coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, LEVELS, None, pool.clone());
            let mut chunks = Vec::new();
            encoder.encode(&text(300_000), &mut |chunk| chunks.push(chunk));
            let held: usize = chunks.iter().map(Chunk::held_bytes).sum();
            assert_eq!(
                pool.outstanding_bytes(),
                held,
                "{coding:?}: the encoder holds no buffer between calls"
            );
            encoder.finish(&mut |_| ());
            drop(chunks);
            assert_eq!(pool.outstanding_bytes(), 0);
        }
    }

    #[test]
    #[should_panic(expected = "a stream that is finished takes no more")]
    fn a_finished_stream_takes_no_more() {
        let mut encoder = encoder(Coding::Gzip, None);
        encoder.finish(&mut |_| ());
        encoder.encode(b"abc", &mut |_| ());
    }
}
