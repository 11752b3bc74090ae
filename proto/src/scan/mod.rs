//! Byte classes of HTTP/1, scanned fast.
//!
//! A scan tells how many bytes at the front of a slice belong to a class. Nothing here reads past its slice:
//! vectors are loaded from array references only, and what is shorter than a vector is copied into one.
//!
//! [`Backend`] chooses the instruction set once, at run time. Code that scans a lot is written as a `Work`,
//! which is compiled for each of them, so that the scans inline into it.
//!
//! Read `simd` for what a backend does, `swar` for the one that every machine has; `avx2` and `sse42`
//! say the same in instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(crate) mod fill;
pub(crate) mod simd;
#[cfg(target_arch = "x86_64")]
mod sse42;
mod swar;

use core::sync::atomic::{AtomicU8, Ordering};
pub(crate) use simd::{BLOCK_BYTES, LANE_BYTES, Lane, Simd, Work, block_stops, end_of, last_stops};

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether `byte` may stand in a field value: HTAB, SP, visible ASCII, obs-text (RFC 9110 section 5.5).
#[inline]
pub const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// Whether `byte` may stand in a request target: visible ASCII without `#`, which never goes on the wire
/// (RFC 9110 section 7.1), and 0x80 to 0xff, since clients send UTF-8 without escaping it.
#[inline]
pub const fn is_target_byte(byte: u8) -> bool {
    byte > 0x20 && byte != 0x7f && byte != b'#'
}

/// Number of token bytes at the front. Tokens are short: no vectors.
#[inline]
pub fn token(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !IS_TOKEN[byte as usize]).unwrap_or(bytes.len())
}

/// Number of field value bytes at the front.
#[inline]
pub fn value(bytes: &[u8]) -> usize {
    Backend::get().value(bytes)
}

/// Number of request target bytes at the front.
#[inline]
pub fn target(bytes: &[u8]) -> usize {
    Backend::get().target(bytes)
}

/// A set of instructions that this processor has: whoever holds one may use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Swar = 1,
    #[cfg(target_arch = "x86_64")]
    Sse42 = 2,
    #[cfg(target_arch = "x86_64")]
    Avx2 = 3,
}

/// The best backend as [`Kind`], 0 until it was looked for.
static BEST: AtomicU8 = AtomicU8::new(0);

impl Default for Backend {
    fn default() -> Self {
        Self::get()
    }
}

impl Backend {
    /// The fastest that this processor has.
    #[inline]
    pub fn get() -> Self {
        match BEST.load(Ordering::Relaxed) {
            // What is stored was detected: nothing else writes it.
            1 => Self(Kind::Swar),
            #[cfg(target_arch = "x86_64")]
            2 => Self(Kind::Sse42),
            #[cfg(target_arch = "x86_64")]
            3 => Self(Kind::Avx2),
            _ => Self::detect(),
        }
    }

    #[cold]
    fn detect() -> Self {
        let best = Self::all().next().expect("SWAR is everywhere");
        BEST.store(best.0 as u8, Ordering::Relaxed);
        best
    }

    /// Every backend that this processor has, the fastest first: tests and benches compare them.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            avx2::is_available().then_some(Self(Kind::Avx2)),
            #[cfg(target_arch = "x86_64")]
            sse42::is_available().then_some(Self(Kind::Sse42)),
            Some(Self(Kind::Swar)),
        ]
        .into_iter()
        .flatten()
    }

    /// Number of field value bytes at the front.
    #[inline]
    pub fn value(self, bytes: &[u8]) -> usize {
        self.run(simd::Len(bytes, simd::Value))
    }

    /// Number of request target bytes at the front.
    #[inline]
    pub fn target(self, bytes: &[u8]) -> usize {
        self.run(simd::Len(bytes, simd::Target))
    }

    /// Does `work` with these instructions.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            Kind::Swar => work.run(swar::Swar),
            // SAFETY: `Kind::Sse42` is only made in `all`, where the processor was found to have SSE4.2.
            #[cfg(target_arch = "x86_64")]
            Kind::Sse42 => unsafe { sse42::run(work) },
            // SAFETY: `Kind::Avx2` is only made in `all`, where the processor was found to have AVX2 and BMI.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::run(work) },
        }
    }
}

static IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_token[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    is_token
};

#[cfg(test)]
mod tests {
    use super::*;
    use simd::LaneMask;

    const LOWER: Lane = *b"content-length: 0123456789abcdef";

    /// All that a backend finds in a lane.
    struct Look<'a>(&'a Lane);

    impl Work for Look<'_> {
        type Output = [LaneMask; 5];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let Self(lane) = self;
            [
                simd.value_stops(lane),
                simd.target_stops(lane),
                simd.token_stops(lane),
                simd.colons(lane),
                simd.unlike(lane, &LOWER),
            ]
        }
    }

    fn expected(lane: &Lane) -> [LaneMask; 5] {
        let mask = |is_set: &dyn Fn(usize, u8) -> bool| {
            lane.iter()
                .enumerate()
                .fold(0, |mask, (at, &byte)| mask | (LaneMask::from(is_set(at, byte)) << at))
        };
        [
            mask(&|_, byte| !is_value_byte(byte)),
            mask(&|_, byte| !is_target_byte(byte)),
            mask(&|_, byte| !is_token_byte(byte)),
            mask(&|_, byte| byte == b':'),
            mask(&|at, byte| byte.to_ascii_lowercase() != LOWER[at]),
        ]
    }

    #[test]
    fn all_backends_class_every_byte_at_every_place_alike() {
        for byte in 0..=255 {
            for place in 0..LANE_BYTES {
                let fillers = b"a \r\n:\xe9\x7f\0".iter().map(|&filler| [filler; LANE_BYTES]);
                let upper = LOWER.map(|byte| byte.to_ascii_uppercase());
                for mut lane in fillers.chain([LOWER, upper]) {
                    lane[place] = byte;
                    for backend in Backend::all() {
                        assert_eq!(
                            backend.run(Look(&lane)),
                            expected(&lane),
                            "{backend:?} {byte:#x} at {place}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn scans_stop_at_the_first_stop_of_any_length() {
        for len in 0..300 {
            let clean = vec![b'x'; len];
            for backend in Backend::all() {
                assert_eq!(backend.value(&clean), len);
                assert_eq!(backend.target(&clean), len);
            }
            for at in 0..len {
                let mut bytes = clean.clone();
                bytes[at] = b'\n';
                bytes[len - 1] = b'\n';
                for backend in Backend::all() {
                    assert_eq!(backend.value(&bytes), at, "{backend:?} {len}");
                    assert_eq!(backend.target(&bytes), at, "{backend:?} {len}");
                }
            }
        }
    }

    #[test]
    fn short_scans_class_every_byte() {
        for byte in 0..=255 {
            for len in 1..20 {
                let bytes = vec![byte; len];
                for backend in Backend::all() {
                    assert_eq!(backend.value(&bytes), if is_value_byte(byte) { len } else { 0 });
                    assert_eq!(backend.target(&bytes), if is_target_byte(byte) { len } else { 0 });
                }
            }
        }
    }
}
