//! Coded content in, content out, a buffer at a time.
//!
//! Whoever asks decides how much comes out of a call, by the room of the buffer that it brings: ten bytes that stand for
//! a gigabyte are ten bytes until somebody pulls. What a stream can make a decoder hold is its window, which is
//! bounded; how much it can become in all, and how many times more than what was sent, is bounded by
//! [`DecodeLimits`].

use super::Coding;
use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use ringway_proto::chunk::Vacant;
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, is_error_kind};

/// What a coded stream may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of content in all. Default: any number, since what is relayed is not kept.
    pub content_bytes_max: u64,
    /// How many times more bytes the content may have than what was sent, once there are more than
    /// [`RATIO_FREE_BYTES`]. Default: 256. Text reaches 5 to 20, logs 100; DEFLATE ends at 1032, the others do not end.
    pub ratio_max: u32,
    /// The largest window of a Brotli stream, as a power of two: what the decoder may have to hold. Default: 24, which
    /// is the most that RFC 7932 has, 16 MiB. Of Zstandard it is [`ZSTD_WINDOW_LOG2_MAX`] at most.
    pub window_log2_max: u8,
}

/// The largest window of a Zstandard stream on the web: 8 MiB (RFC 9659 section 3).
pub const ZSTD_WINDOW_LOG2_MAX: u8 = 23;

/// Content up to which its ratio does not matter: a page of blanks is no attack.
pub const RATIO_FREE_BYTES: u64 = 1024 * 1024;

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { content_bytes_max: u64::MAX, ratio_max: 256, window_log2_max: 24 }
    }
}

/// How far a call of [`Decoder::decode`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input is read, and all that it stands for is out: give more, or [`Decoder::finish`].
    Starved,
    /// There may be more: call again with what is left of the input, even if that is nothing, and with room.
    More,
}

/// Why a stream cannot be decoded. All of them are faults of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It does not follow its format, or its checksum differs.
    Corrupt,
    /// It ended before its end.
    Truncated,
    /// Something stands behind its end.
    TrailingBytes,
    /// It wants more memory than [`DecodeLimits::window_log2_max`] lets it have.
    WindowTooLarge,
    /// It becomes more than [`DecodeLimits::content_bytes_max`].
    TooLong,
    /// It becomes more than [`DecodeLimits::ratio_max`] times what was sent: a decompression bomb.
    Bomb,
}

impl DecodeError {
    /// The word that logs use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Corrupt => "coding_corrupt",
            Self::Truncated => "coding_truncated",
            Self::TrailingBytes => "coding_trailing_bytes",
            Self::WindowTooLarge => "coding_window_too_large",
            Self::TooLong => "coding_too_long",
            Self::Bomb => "coding_bomb",
        }
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "the coded content is corrupt",
            Self::Truncated => "the coded content ends before its end",
            Self::TrailingBytes => "there are bytes behind the coded content",
            Self::WindowTooLarge => "the coded content needs too large a window",
            Self::TooLong => "the decoded content is too long",
            Self::Bomb => "the decoded content is too many times longer than the coded",
        })
    }
}

impl std::error::Error for DecodeError {}

/// One stream that is being decoded.
pub struct Decoder {
    coding: Coding,
    limits: DecodeLimits,
    state: State,
    read_bytes: u64,
    content_bytes: u64,
}

enum State {
    /// Nothing was read yet.
    Empty,
    /// In a stream, or in one of several.
    Open {
        stream: Stream,
        /// Whether the last call may have left content inside, for want of room.
        is_pending: bool,
    },
    /// Behind a complete stream, whose memory may serve the next.
    Complete(Stream),
    Failed(DecodeError),
}

/// The library's state of one stream.
enum Stream {
    Inflate(Inflate),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(DCtx<'static>),
}

/// What one step of the library did.
struct Step {
    read: usize,
    written: usize,
    is_complete: bool,
}

impl Decoder {
    /// A decoder for one stream.
    pub fn new(coding: Coding, limits: DecodeLimits) -> Self {
        Self { coding, limits, state: State::Empty, read_bytes: 0, content_bytes: 0 }
    }

    /// The coding.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Bytes of content that came out so far.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Reads from `input`, which is shortened by what was read, and fills `output`, up to its room.
    ///
    /// Several gzip members, or Zstandard frames, behind each other are one content (RFC 1952 section 2.2, RFC 8878
    /// section 3.1). A call ends with each, so that its work is bounded when they have no content.
    ///
    /// # Errors
    /// As [`DecodeError`] says, but for [`DecodeError::Truncated`]. What this call filled is then not to be used, and
    /// every further call gives the same error.
    pub fn decode(&mut self, input: &mut &[u8], output: &mut Vacant) -> Result<Progress, DecodeError> {
        let result = self.advance(input, output);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Whether the stream may end here: it is complete. No bytes at all are no content, as servers send it that label
    /// what is empty.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when more was to come; what [`Decoder::decode`] gave when it failed.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.state {
            State::Empty | State::Complete(_) => Ok(()),
            State::Open { .. } => Err(DecodeError::Truncated),
            State::Failed(error) => Err(error),
        }
    }

    fn advance(&mut self, input: &mut &[u8], output: &mut Vacant) -> Result<Progress, DecodeError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Open { is_pending: true, .. } => {}
            _ if input.is_empty() => return Ok(Progress::Starved),
            State::Open { .. } => {}
            State::Empty => self.open(input[0])?,
            State::Complete(_) if begins_another(self.coding, input[0]) => self.open(input[0])?,
            State::Complete(_) => return Err(DecodeError::TrailingBytes),
        }
        if output.room() == 0 {
            return Ok(Progress::More);
        }
        let State::Open { stream, is_pending } = &mut self.state else { unreachable!("opened above") };
        let room_bytes = output.room();
        let step = stream.step(input, output.spare())?;
        // With input and with room something happens. Where it does not, asking again would not end.
        if step.read == 0 && step.written == 0 && !step.is_complete && !input.is_empty() {
            return Err(DecodeError::Corrupt);
        }
        *input = &input[step.read..];
        output.fill(step.written);
        *is_pending = step.written == room_bytes;
        let progress = if input.is_empty() && !*is_pending { Progress::Starved } else { Progress::More };
        if step.is_complete
            && let State::Open { stream, .. } = std::mem::replace(&mut self.state, State::Empty)
        {
            self.state = State::Complete(stream);
        }
        self.count(step.read, step.written)?;
        Ok(progress)
    }

    /// Begins a stream whose first byte is `first`.
    fn open(&mut self, first: u8) -> Result<(), DecodeError> {
        self.state = match std::mem::replace(&mut self.state, State::Empty) {
            // The library finds its next frame by itself.
            State::Complete(stream @ Stream::Zstd(_)) => State::Open { stream, is_pending: false },
            _ => State::Open { stream: Stream::new(self.coding, first, self.limits)?, is_pending: false },
        };
        Ok(())
    }

    fn count(&mut self, read: usize, written: usize) -> Result<(), DecodeError> {
        self.read_bytes += read as u64;
        self.content_bytes += written as u64;
        if self.content_bytes > self.limits.content_bytes_max {
            return Err(DecodeError::TooLong);
        }
        let allowed_bytes =
            self.read_bytes.saturating_mul(self.limits.ratio_max.into()).max(RATIO_FREE_BYTES);
        if self.content_bytes > allowed_bytes { Err(DecodeError::Bomb) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

impl Stream {
    fn new(coding: Coding, first: u8, limits: DecodeLimits) -> Result<Self, DecodeError> {
        Ok(match coding {
            Coding::Gzip => Self::Inflate(Inflate::new(true, GZIP_WINDOW)),
            Coding::Deflate => Self::Inflate(Inflate::new(is_zlib_header(first), DEFLATE_WINDOW)),
            Coding::Brotli => {
                if brotli_window_log2(first).ok_or(DecodeError::Corrupt)? > limits.window_log2_max {
                    return Err(DecodeError::WindowTooLarge);
                }
                let alloc = StandardAlloc::default();
                Self::Brotli(Box::new(BrotliState::new_strict(alloc, alloc, alloc)))
            }
            Coding::Zstd => {
                let mut context = DCtx::create();
                let window_log2_max =
                    limits.window_log2_max.clamp(ZSTD_WINDOW_LOG2_MIN, ZSTD_WINDOW_LOG2_MAX);
                context
                    .set_parameter(DParameter::WindowLogMax(window_log2_max.into()))
                    .expect("within what the format has, and before the first byte");
                Self::Zstd(context)
            }
        })
    }

    /// Lets the library read from `input` and write to `room`, which has bytes.
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Self::Inflate(inflate) => {
                let (read, written) = (inflate.total_in(), inflate.total_out());
                let status = inflate
                    .decompress(input, room, InflateFlush::NoFlush)
                    .map_err(|_| DecodeError::Corrupt)?;
                Ok(Step {
                    read: (inflate.total_in() - read) as usize,
                    written: (inflate.total_out() - written) as usize,
                    is_complete: status == Status::StreamEnd,
                })
            }
            Self::Brotli(state) => {
                let (mut unread, mut read) = (input.len(), 0);
                let (mut vacant, mut written) = (room.len(), 0);
                let result = BrotliDecompressStream(
                    &mut unread,
                    &mut read,
                    input,
                    &mut vacant,
                    &mut written,
                    room,
                    &mut 0,
                    state,
                );
                let is_complete = match result {
                    BrotliResult::ResultFailure => return Err(DecodeError::Corrupt),
                    BrotliResult::ResultSuccess => true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
                };
                Ok(Step { read, written, is_complete })
            }
            Self::Zstd(context) => {
                let (mut unread, mut vacant) = (InBuffer::around(input), OutBuffer::around(room));
                let wanted = context.decompress_stream(&mut vacant, &mut unread).map_err(|code| {
                    let is_window =
                        is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge);
                    if is_window { DecodeError::WindowTooLarge } else { DecodeError::Corrupt }
                })?;
                Ok(Step { read: unread.pos(), written: vacant.pos(), is_complete: wanted == 0 })
            }
        }
    }
}

/// Whether `first` may begin what stands behind a complete stream and belongs to the same content. Brotli and zlib
/// know no such thing.
fn begins_another(coding: Coding, first: u8) -> bool {
    match coding {
        Coding::Gzip => first == 0x1f,
        // A frame, or one to skip.
        Coding::Zstd => matches!(first, 0x28 | 0x50..=0x5f),
        Coding::Brotli | Coding::Deflate => false,
    }
}

/// Whether a "deflate" stream that begins so has the header that it should have: method 8 and a window of at most 32 KiB
/// (RFC 1950 section 2.2). Raw DEFLATE would begin with a stored block, and with a bit that nobody sets behind it.
fn is_zlib_header(first: u8) -> bool {
    first & 0x8f == 0x08
}

/// The window that a Brotli stream announces in its first byte (RFC 7932 section 9.1), as a power of two; `None` is a
/// window that the RFC does not have.
fn brotli_window_log2(first: u8) -> Option<u8> {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, n) => Some(8 + n),
        (_, n, _) => Some(17 + n),
    }
}

/// The window of DEFLATE, 32 KiB, as the library wants to be told: 16 more is gzip.
const DEFLATE_WINDOW: u8 = 15;
const GZIP_WINDOW: u8 = DEFLATE_WINDOW + 16;
/// The least that the format has.
const ZSTD_WINDOW_LOG2_MIN: u8 = 10;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::coding::testing::{Random, text};
    use crate::coding::{Encoder, Levels};
    use DecodeError::{Bomb, Corrupt, TooLong, TrailingBytes, Truncated, WindowTooLarge};
    use ringway_proto::chunk::{LARGE_BYTES, Pool, SMALL_BYTES};

    /// A decoder that is pulled until it starves.
    pub(in crate::coding) struct Pulled {
        pub(in crate::coding) decoder: Decoder,
        pub(in crate::coding) content: Vec<u8>,
        pool: Pool,
    }

    impl Pulled {
        pub(in crate::coding) fn new(coding: Coding) -> Self {
            Self::with(coding, DecodeLimits::default())
        }

        fn with(coding: Coding, limits: DecodeLimits) -> Self {
            Self { decoder: Decoder::new(coding, limits), content: Vec::new(), pool: Pool::new() }
        }

        pub(in crate::coding) fn put(&mut self, mut input: &[u8]) -> Result<(), DecodeError> {
            let mut calls = 0;
            let max = input.len() + 2;
            loop {
                let mut vacant =
                    if self.content.len().is_multiple_of(2) { self.pool.small() } else { self.pool.large() };
                let before = (input.len(), vacant.room());
                let progress = self.decoder.decode(&mut input, &mut vacant)?;
                self.content.extend_from_slice(vacant.filled());
                if progress == Progress::Starved {
                    assert!(input.is_empty());
                    return Ok(());
                }
                calls = if before == (input.len(), vacant.room()) { calls + 1 } else { 0 };
                assert!(calls < max, "it goes in circles");
            }
        }
    }

    /// What `coded` stands for.
    pub(in crate::coding) fn decoded(coding: Coding, coded: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut pulled = Pulled::new(coding);
        for piece in coded.chunks(16 * 1024) {
            pulled.put(piece)?;
        }
        pulled.decoder.finish()?;
        assert_eq!(pulled.decoder.content_bytes(), pulled.content.len() as u64);
        Ok(pulled.content)
    }

    fn coded(coding: Coding, content: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        let mut encoder = Encoder::new(coding, Levels::default(), None, Pool::new());
        encoder.encode(content, &mut |chunk| coded.extend_from_slice(&chunk));
        encoder.finish(&mut |chunk| coded.extend_from_slice(&chunk));
        coded
    }

    /// A stream of `len` times the same byte.
    fn bomb(coding: Coding, len: usize) -> Vec<u8> {
        let mut coded = Vec::new();
        let mut encoder = Encoder::new(coding, Levels::default(), None, Pool::new());
        let piece = vec![b' '; 1 << 20];
        for _ in 0..len >> 20 {
            encoder.encode(&piece, &mut |chunk| coded.extend_from_slice(&chunk));
        }
        encoder.finish(&mut |chunk| coded.extend_from_slice(&chunk));
        coded
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
        hex.as_bytes().as_chunks().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
    }

    fn bottles() -> Vec<u8> {
        (0..20).flat_map(|n| format!("{n} bottles of beer on the wall\n").into_bytes()).collect()
    }

    // What other programs wrote of `bottles()`.
    // `gzip -9`, with the name of the file in the header; `gzip -1` twice, one behind the other.
    // `zstd -19 --check`, and `zstd -1 --no-check` of a pipe.
    // The reference library of Brotli, quality 11 with a window of 16 MiB, and quality 1.
    // zlib's own, with its header and without.
    const GZIP_9_NAMED: &str = "\
        1f8b08087bb5046b0203742e747874007dd0bb0d80300c45d19e293c421e7fc62192230a8b486089f5d9e0d6a73b\
        c56acf0c7fad37abee8ff5dbf272fbce8841a823ea843aa32ea82bea86baa31ebc5198794bdc25fe128789c7c465\
        e233719a78ed07934e0cc062020000\
        ";
    const GZIP_1_TWO_MEMBERS: &str = "\
        1f8b0800000000000403335048ca2f29c9492d56c84f53484a4d2d52c8cf5328c94855284fccc9e132c42b6b8457\
        d618afac095e5953bcb2667865cdf1ca5ae095b5c42b0b0019af30772c0100001f8b080000000000040333345048\
        ca2f29c9492d56c84f53484a4d2d52c8cf5328c94855284fccc9e13234c42f6d845fda18bfb4097e6953fcd266f8\
        a5cdf14b5be097b6c42b0d001edea65436010000\
        ";
    const ZSTD_19_CHECK: &str = "\
        28b52ffd6462016d020014033020626f74746c6573206f662062656572206f6e207468652077616c6c0a31323334\
        35363738393131323334353637383913a810f8fa7f06b033ad0110feff8b6f56a92087f17bfb61da1419af187d\
        ";
    const ZSTD_1_STREAM: &str = "\
        28b52ffd0048ed020024033020626f74746c6573206f662062656572206f6e207468652077616c6c0a3132333435\
        3637383931303132333435363738391300e016201e10191005880744064401e20191092536700bb80fdc0cdc02ee\
        033703b780fb1e6ee504\
        ";
    const BROTLI_11: &str = "\
        1f6102f865b761b7a485e8f66d5598491ca8a8c201480a8cb333bd1768811695bc3accfa7fe7835a30332fd4f992\
        f7863a39bbb8bab97bf858300d48a0c04182060b1ec207\
        ";
    const BROTLI_1: &str = "\
        8330010080aaaaaaeaffae97131f8e4666aa6a6ab7a3298018d841c004c04c000c5538973814a772003faa633162\
        5c9c7e17cdc874fb1497a6d9ab7894b7e93fdd0b17da4adb6895d6689db6d306eda011cc0fc5221947338e683cda\
        f77cc816dd38c27194e301\
        ";
    const ZLIB_9: &str = "\
        78da7dd0bb0d80300c45d19e293c421e7fc62192230a8b486089f5d9e0d6a73bc56acf0c7fad37abee8ff5dbf272\
        fbce8841a823ea843aa32ea82bea86baa31ebc5198794bdc25fe128789c7c465e233719a78ed077d3acea5\
        ";
    const RAW_9: &str = "\
        7dd0bb0d80300c45d19e293c421e7fc62192230a8b486089f5d9e0d6a73bc56acf0c7fad37abee8ff5dbf272fbce\
        8841a823ea843aa32ea82bea86baa31ebc5198794bdc25fe128789c7c465e233719a78ed07\
        ";
    const VECTORS: &[(Coding, &str)] = &[
        (Coding::Gzip, GZIP_9_NAMED),
        (Coding::Gzip, GZIP_1_TWO_MEMBERS),
        (Coding::Zstd, ZSTD_19_CHECK),
        (Coding::Zstd, ZSTD_1_STREAM),
        (Coding::Brotli, BROTLI_11),
        (Coding::Brotli, BROTLI_1),
        (Coding::Deflate, ZLIB_9),
        (Coding::Deflate, RAW_9),
    ];

    #[test]
    fn what_other_programs_wrote_is_read_wherever_it_is_cut() {
        for &(coding, vector) in VECTORS {
            let vector = bytes(vector);
            assert_eq!(decoded(coding, &vector), Ok(bottles()), "{coding:?}");
            for cut in 0..vector.len() {
                let mut pulled = Pulled::new(coding);
                pulled.put(&vector[..cut]).unwrap();
                pulled.put(&[]).unwrap();
                pulled.put(&vector[cut..]).unwrap();
                assert_eq!(
                    (pulled.decoder.finish(), &pulled.content),
                    (Ok(()), &bottles()),
                    "{coding:?} {cut}"
                );
            }
            let mut pulled = Pulled::new(coding);
            vector.iter().for_each(|byte| pulled.put(&[*byte]).unwrap());
            assert_eq!((pulled.decoder.finish(), &pulled.content), (Ok(()), &bottles()), "{coding:?}");
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_truncated() {
        for &(coding, vector) in VECTORS {
            let vector = bytes(vector);
            for len in 1..vector.len() {
                let result = decoded(coding, &vector[..len]);
                // The end of the first member is an end.
                let is_between =
                    vector.len() == 158 && result.as_ref().is_ok_and(|content| content.len() == 300);
                assert!(result == Err(Truncated) || is_between, "{coding:?} {len} {result:?}");
            }
        }
    }

    #[test]
    fn no_bytes_are_no_content() {
        for &coding in Coding::ALL {
            assert_eq!(decoded(coding, b""), Ok(Vec::new()));
        }
    }

    #[test]
    fn bytes_behind_the_end_are_refused() {
        for &(coding, vector) in VECTORS {
            for behind in [&b"\0"[..], b"garbage", b"\n"] {
                let mut vector = bytes(vector);
                vector.extend_from_slice(behind);
                assert_eq!(decoded(coding, &vector), Err(TrailingBytes), "{coding:?} {behind:?}");
                let mut pulled = Pulled::new(coding);
                let (whole, behind) = vector.split_at(vector.len() - behind.len());
                pulled.put(whole).unwrap();
                assert_eq!(pulled.put(behind), Err(TrailingBytes), "{coding:?} {behind:?}");
            }
        }
        // What only begins like another member is no better.
        let mut vector = bytes(GZIP_9_NAMED);
        vector.extend_from_slice(b"\x1f\x8c");
        assert_eq!(decoded(Coding::Gzip, &vector), Err(Corrupt));
    }

    #[test]
    fn several_members_and_frames_are_one_content() {
        let twice = [bottles(), bottles()].concat();
        for coding in [Coding::Gzip, Coding::Zstd] {
            let stream = coded(coding, &bottles());
            assert_eq!(
                decoded(coding, &[&stream[..], &stream[..]].concat()),
                Ok(twice.clone()),
                "{coding:?}"
            );
        }
        // A frame to skip, of 3 bytes (RFC 8878 section 3.1.2).
        let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
        let stream = bytes(ZSTD_19_CHECK);
        let streams = [&skipped[..], &stream, skipped, &stream, skipped].concat();
        assert_eq!(decoded(Coding::Zstd, &streams), Ok(twice));
        for coding in [Coding::Brotli, Coding::Deflate] {
            let stream = coded(coding, &bottles());
            assert_eq!(
                decoded(coding, &[&stream[..], &stream[..]].concat()),
                Err(TrailingBytes),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn members_without_content_end_a_call_each() {
        let member = coded(Coding::Gzip, b"");
        let many = member.repeat(50);
        let (mut decoder, pool) = (Decoder::new(Coding::Gzip, DecodeLimits::default()), Pool::new());
        let (mut input, mut vacant) = (many.as_slice(), pool.small());
        for left in (0..50).rev() {
            let progress = decoder.decode(&mut input, &mut vacant).unwrap();
            assert_eq!(input.len(), left * member.len());
            assert_eq!(progress, if left > 0 { Progress::More } else { Progress::Starved });
        }
        assert_eq!((decoder.finish(), vacant.filled().len()), (Ok(()), 0));
    }

    #[test]
    fn changed_bytes_are_noticed_or_harmless_and_never_end_the_program() {
        let mut random = Random(3);
        for &(coding, vector) in VECTORS {
            let vector = bytes(vector);
            for at in 0..vector.len() {
                for bit in 0..8 {
                    let mut changed = vector.clone();
                    changed[at] ^= 1 << bit;
                    let result = decoded(coding, &changed);
                    if coding == Coding::Gzip || vector == bytes(ZSTD_19_CHECK) || vector == bytes(ZLIB_9) {
                        // What has a checksum is either what it was or refused: some bits of a header say nothing.
                        assert!(result.is_err() || result == Ok(bottles()), "{coding:?} {at} {bit}");
                    }
                }
            }
        }
        for &coding in Coding::ALL {
            let stream = coded(coding, &text(100_000));
            for _ in 0..300 {
                let mut changed = stream.clone();
                for _ in 0..random.below(4) + 1 {
                    let at = random.below(changed.len());
                    changed[at] = random.below(256) as u8;
                }
                _ = decoded(coding, &changed);
            }
            for _ in 0..3_000 {
                let len = random.below(100);
                let mut noise = random.noise(len);
                let begin = random.below(8).min(len);
                noise[..begin].copy_from_slice(&stream[..begin]);
                _ = decoded(coding, &noise);
            }
        }
    }

    #[test]
    fn an_error_stays() {
        for &coding in Coding::ALL {
            let mut pulled = Pulled::new(coding);
            let stream = coded(coding, &bottles());
            pulled.put(&stream[..stream.len() - 1]).unwrap();
            assert_eq!(pulled.decoder.finish(), Err(Truncated));
            pulled.put(&stream[stream.len() - 1..]).unwrap();
            assert_eq!(pulled.put(b"x"), Err(TrailingBytes));
            assert_eq!(pulled.put(&[]), Err(TrailingBytes));
            assert_eq!(pulled.put(&stream), Err(TrailingBytes));
            assert_eq!(pulled.decoder.finish(), Err(TrailingBytes));
        }
    }

    #[test]
    fn a_bomb_is_as_large_as_the_buffer_that_it_is_given_and_then_refused() {
        for &coding in Coding::ALL {
            let bomb = bomb(coding, 64 << 20);
            let pool = Pool::new();
            let mut decoder = Decoder::new(coding, DecodeLimits::default());
            let mut input = bomb.as_slice();
            let error = loop {
                let mut vacant = pool.large();
                assert_eq!(pool.outstanding_bytes(), LARGE_BYTES);
                match decoder.decode(&mut input, &mut vacant) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Starved) => panic!("{coding:?}: {} bytes", decoder.content_bytes()),
                    Err(error) => break error,
                }
            };
            assert_eq!(error, Bomb, "{coding:?}");
            let read = (bomb.len() - input.len()) as u64;
            let allowed = RATIO_FREE_BYTES.max(read * 256);
            assert!(decoder.content_bytes() <= allowed + LARGE_BYTES as u64, "{coding:?}");
        }
    }

    #[test]
    fn what_may_be_long_is_not_refused_for_its_ratio() {
        let limits = DecodeLimits { ratio_max: u32::MAX, ..DecodeLimits::default() };
        for &coding in Coding::ALL {
            let mut pulled = Pulled::with(coding, limits);
            pulled.put(&bomb(coding, 8 << 20)).unwrap();
            assert_eq!((pulled.decoder.finish(), pulled.content.len()), (Ok(()), 8 << 20));
            // And a little of it never is.
            let blanks = vec![b' '; RATIO_FREE_BYTES as usize];
            assert_eq!(decoded(coding, &coded(coding, &blanks)).map(|content| content.len()), Ok(1 << 20));
        }
    }

    #[test]
    fn content_that_is_too_long_is_refused() {
        for &coding in Coding::ALL {
            let stream = coded(coding, &text(100_000));
            for (max, result) in [(100_000, Ok(())), (99_999, Err(TooLong)), (0, Err(TooLong))] {
                let limits = DecodeLimits { content_bytes_max: max, ..DecodeLimits::default() };
                let mut pulled = Pulled::with(coding, limits);
                assert_eq!(pulled.put(&stream), result, "{coding:?} {max}");
                assert!(pulled.content.len() as u64 <= max, "what came with the error is not used");
            }
        }
    }

    #[test]
    fn windows_are_bounded() {
        // A Brotli stream says its window in the first byte.
        for (first, window_log2) in [
            (0x00, Some(16)),
            (0x0c, Some(16)),
            (0x01, Some(17)),
            (0x03, Some(18)),
            (0x0d, Some(23)),
            (0x0f, Some(24)),
            (0x21, Some(10)),
            (0x71, Some(15)),
            (0x11, None),
        ] {
            assert_eq!(brotli_window_log2(first), window_log2, "{first:#x}");
        }
        let limits = DecodeLimits { window_log2_max: 18, ..DecodeLimits::default() };
        let put = |coding, stream: &[u8]| Pulled::with(coding, limits).put(stream);
        assert_eq!(put(Coding::Brotli, &bytes(BROTLI_11)), Err(WindowTooLarge));
        assert_eq!(put(Coding::Brotli, &bytes(BROTLI_1)), Ok(()));
        assert_eq!(put(Coding::Brotli, b"\x11"), Err(Corrupt));
        // A frame header of Zstandard with a window of 2^(10 + n), then a block of one byte.
        let frame = |n: u8| [b"\x28\xb5\x2f\xfd\x00", &[n << 3][..], b"\x09\0\0a"].concat();
        assert_eq!(put(Coding::Zstd, &frame(8)), Ok(()));
        assert_eq!(put(Coding::Zstd, &frame(9)), Err(WindowTooLarge));
        assert_eq!(decoded(Coding::Zstd, &frame(13)), Ok(b"a".to_vec()));
        assert_eq!(
            decoded(Coding::Zstd, &frame(14)),
            Err(WindowTooLarge),
            "RFC 9659, whatever is configured"
        );
    }

    #[test]
    fn without_room_nothing_happens() {
        for &coding in Coding::ALL {
            let (pool, stream) = (Pool::new(), coded(coding, &text(3 * SMALL_BYTES)));
            let mut decoder = Decoder::new(coding, DecodeLimits::default());
            let mut input = stream.as_slice();
            let mut full = pool.small();
            full.fill(SMALL_BYTES);
            assert_eq!(decoder.decode(&mut input, &mut full), Ok(Progress::More));
            assert_eq!(input.len(), stream.len());
            // Behind what is filled there is room.
            let mut half = pool.small();
            half.append(b"abc");
            assert_eq!(decoder.decode(&mut input, &mut half), Ok(Progress::More));
            assert_eq!(half.filled(), [b"abc", &text(SMALL_BYTES - 3)[..]].concat());
        }
    }
}
