//! The chunked coding, received (RFC 9112 section 7.1): where the data lies between the framing.
//!
//! Every octet between data is checked against the grammar, also in extensions that nobody reads: whoever
//! stands behind us might take a lenient line end as one, and so would see another message than we do.

use crate::rules::Rule;
use crate::scan::is_token_byte;

/// Bounds of one chunked body.
#[derive(Clone, Copy, Debug)]
pub struct ChunkedLimits {
    /// Bytes of one size line: size, extensions and line end.
    pub line_bytes: usize,
    /// Bytes of extensions in the message beyond what its data outweigh: 1 byte of data may carry 1 byte of
    /// extensions for as long as it likes (signed chunks are in use), extensions alone are bounded.
    pub extension_bytes: usize,
    /// Bytes of data in the message.
    pub body_bytes: u64,
}

/// What follows the framing that was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: all bytes were framing, more must come.
    More,
    /// This many bytes of data, at least 1. They count as consumed.
    Data(usize),
    /// The line of the last chunk is consumed; the trailer section follows.
    Last,
}

/// What a call consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of framing to skip.
    pub skip: usize,
    /// What stands behind them.
    pub step: Step,
}

/// Finds the data in a chunked body, whatever pieces it comes in.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of the current size line.
    line_bytes: u32,
    /// Bytes of extensions that data have not outweighed yet.
    extension_bytes: u32,
    /// Bytes of data in all chunks announced so far.
    data_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    Size(u64),
    Extension(u64, Extension),
    /// The CR of a size line was there, its LF is owed.
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    Last,
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    BeforeSemicolon,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escape,
    AfterQuoted,
}

impl ChunkedDecoder {
    /// Reads framing from the front of `bytes`, up to the next data or the end. Call again with what follows
    /// the data (or with more bytes).
    ///
    /// # Errors
    /// [`Rule::ChunkSize`], [`Rule::ChunkExtension`], [`Rule::ChunkEnd`] or [`Rule::BodyTooLarge`]; nothing may
    /// be read behind an error.
    pub fn on_bytes(&mut self, bytes: &[u8], limits: &ChunkedLimits) -> Result<Progress, Rule> {
        let mut skip = 0;
        loop {
            match self.state {
                State::Last => return Ok(Progress { skip, step: Step::Last }),
                State::Data(left) if skip < bytes.len() => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - skip);
                    self.state =
                        if len as u64 == left { State::DataCr } else { State::Data(left - len as u64) };
                    return Ok(Progress { skip, step: Step::Data(len) });
                }
                _ if skip == bytes.len() => return Ok(Progress { skip, step: Step::More }),
                state => self.state = self.on_byte(state, bytes[skip], limits)?,
            }
            skip += 1;
        }
    }

    #[inline]
    fn on_byte(&mut self, state: State, byte: u8, limits: &ChunkedLimits) -> Result<State, Rule> {
        match state {
            State::SizeStart => {
                self.line_bytes = 1;
                hex(byte).map(State::Size)
            }
            State::Size(size) => {
                self.count_line_byte(limits, Rule::ChunkSize)?;
                on_size_byte(size, byte)
            }
            State::Extension(size, extension) => {
                self.count_line_byte(limits, Rule::ChunkExtension)?;
                self.count_extension_byte(limits)?;
                on_extension_byte(size, extension, byte)
            }
            State::SizeLf(size) if byte == b'\n' => self.on_size(size, limits),
            State::SizeLf(_) => Err(Rule::ChunkSize),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::SizeStart),
            State::DataCr | State::DataLf => Err(Rule::ChunkEnd),
            State::Data(_) | State::Last => Ok(state),
        }
    }

    /// A size line is complete.
    fn on_size(&mut self, size: u64, limits: &ChunkedLimits) -> Result<State, Rule> {
        if size == 0 {
            return Ok(State::Last);
        }
        self.data_bytes = self.data_bytes.saturating_add(size);
        if self.data_bytes > limits.body_bytes {
            return Err(Rule::BodyTooLarge);
        }
        self.extension_bytes = self.extension_bytes.saturating_sub(u32::try_from(size).unwrap_or(u32::MAX));
        Ok(State::Data(size))
    }

    #[inline]
    fn count_line_byte(&mut self, limits: &ChunkedLimits, rule: Rule) -> Result<(), Rule> {
        self.line_bytes = self.line_bytes.saturating_add(1);
        if self.line_bytes as usize > limits.line_bytes { Err(rule) } else { Ok(()) }
    }

    fn count_extension_byte(&mut self, limits: &ChunkedLimits) -> Result<(), Rule> {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        if self.extension_bytes as usize > limits.extension_bytes {
            Err(Rule::ChunkExtension)
        } else {
            Ok(())
        }
    }
}

#[inline]
fn hex(byte: u8) -> Result<u64, Rule> {
    match byte {
        b'0'..=b'9' => Ok(u64::from(byte - b'0')),
        b'a'..=b'f' => Ok(u64::from(byte - b'a' + 10)),
        b'A'..=b'F' => Ok(u64::from(byte - b'A' + 10)),
        _ => Err(Rule::ChunkSize),
    }
}

#[inline]
fn on_size_byte(size: u64, byte: u8) -> Result<State, Rule> {
    match byte {
        b'\r' => Ok(State::SizeLf(size)),
        b';' => Ok(State::Extension(size, Extension::BeforeName)),
        b' ' | b'\t' => Ok(State::Extension(size, Extension::BeforeSemicolon)),
        // Shifting would lose the upper digit: `10000000000000005` is not 5.
        _ if size >> 60 != 0 => Err(Rule::ChunkSize),
        _ => Ok(State::Size(size << 4 | hex(byte)?)),
    }
}

fn on_extension_byte(size: u64, extension: Extension, byte: u8) -> Result<State, Rule> {
    use Extension as E;
    let is_space = matches!(byte, b' ' | b'\t');
    let is_text = is_space || (byte > 0x20 && byte != 0x7f);
    let next = match extension {
        E::BeforeSemicolon | E::BeforeName | E::AfterName | E::BeforeValue if is_space => extension,
        E::BeforeName | E::Name if is_token_byte(byte) => E::Name,
        E::BeforeValue | E::Value if is_token_byte(byte) => E::Value,
        E::BeforeValue if byte == b'"' => E::Quoted,
        E::Quoted if byte == b'"' => E::AfterQuoted,
        E::Quoted if byte == b'\\' => E::Escape,
        E::Quoted | E::Escape if is_text => E::Quoted,
        E::Name if is_space => E::AfterName,
        E::Name | E::AfterName if byte == b'=' => E::BeforeValue,
        E::Value | E::AfterQuoted if is_space => E::BeforeSemicolon,
        E::BeforeSemicolon | E::Name | E::AfterName | E::Value | E::AfterQuoted if byte == b';' => {
            E::BeforeName
        }
        E::Name | E::Value | E::AfterQuoted if byte == b'\r' => return Ok(State::SizeLf(size)),
        _ => return Err(Rule::ChunkExtension),
    };
    Ok(State::Extension(size, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: ChunkedLimits =
        ChunkedLimits { line_bytes: 64, extension_bytes: 256, body_bytes: u64::MAX };

    /// The data of a chunked body up to its last chunk, decoded in pieces of the given lengths.
    fn decode(bytes: &[u8], pieces: &[usize]) -> Result<Option<(Vec<u8>, usize)>, Rule> {
        let mut decoder = ChunkedDecoder::default();
        let mut data = Vec::new();
        let mut at = 0;
        let mut pieces = pieces.iter().copied().chain(core::iter::repeat(bytes.len().max(1)));
        while at < bytes.len() {
            let end = (at + pieces.next().unwrap()).min(bytes.len());
            while at < end {
                let progress = decoder.on_bytes(&bytes[at..end], &LIMITS)?;
                at += progress.skip;
                match progress.step {
                    Step::More => assert_eq!(at, end),
                    Step::Data(len) => {
                        data.extend_from_slice(&bytes[at..at + len]);
                        at += len;
                    }
                    Step::Last => return Ok(Some((data, at))),
                }
            }
        }
        Ok(None)
    }

    /// Decodes all at once, by the words of the RFC and as plainly as possible.
    fn reference(mut bytes: &[u8]) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let line_end = bytes.windows(2).position(|two| two == b"\r\n")?;
            let size = u64::from_str_radix(core::str::from_utf8(&bytes[..line_end]).ok()?, 16).ok()?;
            if bytes[0] == b'+' {
                return None;
            }
            bytes = &bytes[line_end + 2..];
            if size == 0 {
                return Some(data);
            }
            let size = usize::try_from(size).ok()?;
            data.extend_from_slice(bytes.get(..size)?);
            bytes = bytes[size..].strip_prefix(b"\r\n")?;
        }
    }

    fn all(bytes: &[u8]) -> Result<Option<Vec<u8>>, Rule> {
        decode(bytes, &[]).map(|done| done.map(|(data, _)| data))
    }

    #[test]
    fn a17_data_is_found_between_the_framing() {
        assert_eq!(all(b"3\r\nabc\r\n0\r\n"), Ok(Some(b"abc".to_vec())));
        assert_eq!(all(b"0\r\n"), Ok(Some(vec![])));
        assert_eq!(all(b"00a\r\n0123456789\r\n000\r\n"), Ok(Some(b"0123456789".to_vec())));
        assert_eq!(all(b"3\r\nabc\r\n"), Ok(None));
    }

    #[test]
    fn a32_sizes_are_true_64_bits_and_do_not_wrap() {
        let mut decoder = ChunkedDecoder::default();
        let progress = decoder.on_bytes(b"ffffffffffffffff\r\nx", &LIMITS).unwrap();
        assert_eq!(progress, Progress { skip: 18, step: Step::Data(1) });
        assert_eq!(decoder.state, State::Data(u64::MAX - 1));
        assert_eq!(all(b"10000000000000000\r\n"), Err(Rule::ChunkSize));
        assert_eq!(all(b"10000000000000005\r\nabcde\r\n0\r\n"), Err(Rule::ChunkSize));
        assert_eq!(all(b"fffffffffffffffff\r\n"), Err(Rule::ChunkSize));
        let zeros = [b"0".repeat(40).as_slice(), b"1\r\nx\r\n0\r\n"].concat();
        assert_eq!(all(&zeros), Ok(Some(b"x".to_vec())));
    }

    #[test]
    fn rustsec_2021_0078_a_size_is_hexadecimal_digits_only() {
        for bad in [
            "+5\r\n", "-0\r\n", "0x5\r\n", " 5\r\n", "\t5\r\n", "5 5\r\n", "\r\n", ";a\r\n", "g\r\n", "5\n",
            "5\r5", "5\rx", "\n", "5_0\r\n", "5\0\r\n",
        ] {
            assert!(all(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cve_2025_43859_only_crlf_is_accepted_behind_data() {
        for bad in [
            "1\r\nx0\r\n",
            "1\r\nxab0\r\n",
            "1\r\nx\n0\r\n",
            "1\r\nx\r0\r\n",
            "1\r\nx\n\n",
            "1\r\nx\r\r\n",
            "1\r\nx 0",
        ] {
            assert_eq!(all(bad.as_bytes()), Err(Rule::ChunkEnd), "{bad:?}");
        }
    }

    #[test]
    fn a33_extensions_are_read_over() {
        for good in [
            "1;a\r\nx\r\n0\r\n",
            "1;a=b\r\nx\r\n0;c\r\n",
            "1 ; a = b ; c=\"d;\\\"\\\\ \te\x7e\" ;f\r\nx\r\n0\r\n",
            "1;a=\"\"\r\nx\r\n0\r\n",
            "1\t;a;b;c=1\r\nx\r\n0\r\n",
        ] {
            assert_eq!(all(good.as_bytes()), Ok(Some(b"x".to_vec())), "{good:?}");
        }
    }

    #[test]
    fn cve_2025_55315_line_ends_quotes_and_controls_in_extensions_are_refused() {
        for bad in [
            "1;\r\n",
            "1;a\nx",
            "1;a=\r\n",
            "1;a=\"\r\n",
            "1;a=\"b\n\"\r\n",
            "1;a=\"\\\n\"\r\n",
            "1;a=\"\0\"\r\n",
            "1;a=\"\\\0\"",
            "1;a=\"\x7f\"",
            "1;a\rx",
            "1;a=b\"",
            "1;a=\"b\"c\r\n",
            "1;a \r\n",
            "1 \r\n",
            "1;=a\r\n",
            "1;a==b\r\n",
            "1;;\r\n",
            "1;a b",
            "1;a=b c",
            "1;a,b",
        ] {
            let refused = all(bad.as_bytes());
            assert!(matches!(refused, Err(Rule::ChunkExtension | Rule::ChunkSize)), "{bad:?} {refused:?}");
        }
    }

    #[test]
    fn a33_extensions_are_bounded_per_line_and_per_message() {
        let long = format!("1;{}\r\n", "a".repeat(LIMITS.line_bytes));
        assert_eq!(all(long.as_bytes()), Err(Rule::ChunkExtension));
        assert_eq!(all(&b"0".repeat(LIMITS.line_bytes + 1)), Err(Rule::ChunkSize));
        let dribble = format!("1;{}\r\nx\r\n", "a".repeat(50)).repeat(6);
        assert_eq!(all(dribble.as_bytes()), Err(Rule::ChunkExtension));
        let signed = format!("40;{}\r\n{}\r\n", "a".repeat(50), "x".repeat(64)).repeat(100);
        assert_eq!(all(signed.as_bytes()), Ok(None));
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_at_its_size_line() {
        let limits = ChunkedLimits { body_bytes: 5, ..LIMITS };
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(decoder.on_bytes(b"6\r\n", &limits), Err(Rule::BodyTooLarge));
        let mut decoder = ChunkedDecoder::default();
        assert!(decoder.on_bytes(b"5\r\nabcde", &limits).is_ok());
        assert_eq!(decoder.on_bytes(b"\r\nffffffffffffffff\r\n", &limits), Err(Rule::BodyTooLarge));
    }

    proptest! {
        #[test]
        fn any_split_of_a_body_gives_its_data(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            pieces in proptest::collection::vec(1_usize..30, 0..40),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n");
            let len = body.len();
            body.extend_from_slice(b"next");
            prop_assert_eq!(decode(&body, &pieces), Ok(Some((chunks.concat(), len))));
        }

        #[test]
        fn what_the_reference_refuses_is_refused_and_what_it_accepts_is_the_same(
            mut body in proptest::sample::select(vec![
                b"3\r\nabc\r\n0\r\n".to_vec(),
                b"1\r\n\r\r\n2\r\n\r\n\r\n0\r\n".to_vec(),
                b"a\r\n0123456789\r\n1\r\n0\r\n0\r\n".to_vec(),
            ]),
            edits in proptest::collection::vec(
                (any::<proptest::sample::Index>(), proptest::sample::select(b"\r\n0123afAFxg +-\0".to_vec()), 0..3_u8), 0..4),
            pieces in proptest::collection::vec(1_usize..6, 0..40),
        ) {
            for (at, byte, kind) in edits {
                let at = at.index(body.len());
                match kind {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ if body.len() > 1 => drop(body.remove(at)),
                    _ => {}
                }
            }
            let ours = decode(&body, &pieces).ok().flatten().map(|(data, _)| data);
            // The reference knows no extensions, so a space in the size line is refused by both.
            prop_assert_eq!(ours, reference(&body));
        }
    }
}
