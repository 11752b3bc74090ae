//! Content codings (RFC 9110 section 8.4): what a client accepts, which response is worth coding, and the coders.
//!
//! All of it is bytes in, bytes out: nothing here waits, knows a connection, or is asked by itself. Whoever relays a
//! response asks [`Policy::decide`], lets [`Decision::edit`] change the head, and passes the content through an
//! [`Encoder`] or a [`Decoder`]. What is deliberately not here: request content, dictionaries (RFC 9842), `compress`,
//! several codings on one response, and a cache of coded content.
//!
//! # Secrets (BREACH)
//!
//! A response that holds a secret next to something that an attacker chose tells the secret by its length, when it is
//! compressed: each guess that repeats a piece of the secret makes it shorter. TLS does not hide lengths. So no
//! response is coded unless somebody said so for its route: say it for content that is the same for everybody, or that
//! does not repeat what the request said (see RFC 9110 section 17.6 and CVE-2013-3587).
//!
//! Read [`accept`] first, then [`policy`], then [`encoder`] and [`decoder`]. Which libraries, and what they cost, is in
//! `docs/decisions/0006-content-codings.md`.

pub mod accept;
pub mod decoder;
pub mod encoder;
pub mod policy;
#[cfg(test)]
mod testing;

pub use accept::{Accepted, Negotiated, negotiate};
pub use decoder::{DecodeError, DecodeLimits, Decoder, Progress};
pub use encoder::{Encoder, Levels};
pub use policy::{Asked, Decision, Flush, Policy, TypePattern};

/// A way to write content in fewer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// DEFLATE with the header and checksum of gzip (RFC 1952): what everybody reads.
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878), with the window that RFC 9659 allows on the web.
    Zstd,
    /// DEFLATE with the header of zlib (RFC 9110 section 8.4.1.2). Better read than written: some programs take it as
    /// raw DEFLATE (RFC 1951), which [`Decoder`] understands, too. [`Policy`] does not offer it.
    Deflate,
}

impl Coding {
    /// All codings.
    pub const ALL: &'static [Self] = &[Self::Gzip, Self::Brotli, Self::Zstd, Self::Deflate];

    /// The name that is sent in `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }

    /// The coding that `token` names. Case does not matter (RFC 9110 section 8.4.1), and `x-gzip` is `gzip`
    /// (section 8.4.1.3).
    pub fn from_token(token: &[u8]) -> Option<Self> {
        if token.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.iter().copied().find(|coding| token.eq_ignore_ascii_case(coding.token().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_coding_in_any_case() {
        for &coding in Coding::ALL {
            let token = coding.token();
            assert_eq!(Coding::from_token(token.as_bytes()), Some(coding));
            assert_eq!(Coding::from_token(token.to_uppercase().as_bytes()), Some(coding));
        }
        assert_eq!(Coding::from_token(b"X-Gzip"), Some(Coding::Gzip));
        for unknown in ["", "identity", "compress", "x-compress", "gzi", "gzip ", "brotli", "dcz", "*"] {
            assert_eq!(Coding::from_token(unknown.as_bytes()), None, "{unknown:?}");
        }
    }
}
