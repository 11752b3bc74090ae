//! The PROXY protocol, versions 1 and 2: who the client of a connection is, said by the proxy in front, before
//! anything else (HAProxy, `doc/proxy-protocol.txt`).
//!
//! [`parse`] reads a header from the beginning of a connection, [`Header::encode_v1`] and [`Header::encode_v2`] write
//! one. What is not exactly a header is refused; nothing is guessed. Whether a peer may be believed is not decided
//! here.
//!
//! Read this file, then [`v2`] and [`v1`].

mod crc32c;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use core::net::SocketAddr;

/// Bounds of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Bytes of a whole header of version 2; more is [`Rule::TooLarge`]. Default 536, for which every sender may hope.
    /// Version 1 has 107 at most.
    pub v2_bytes: usize,
}

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// Who connected to whom.
    pub endpoints: Endpoints<'a>,
    /// What else is known of the connection; in version 2 only.
    pub facts: Facts<'a>,
}

/// Who connected to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endpoints<'a> {
    /// Nobody: the proxy connected for itself, to see whether we live. In version 1 it cannot be told from
    /// [`Endpoints::Unknown`].
    Local,
    /// Somebody of whom nothing can be said.
    #[default]
    Unknown,
    /// Addresses and ports.
    Ip {
        /// The client's.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// Paths of Unix-domain sockets, without the zeros that fill their fields; at most 108 bytes each. In version 2
    /// only.
    Unix {
        /// The client's; usually empty.
        source: &'a [u8],
        /// Where it connected to.
        destination: &'a [u8],
    },
}

/// What else is known of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The application protocol that was agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The host that the client asked for: SNI, usually.
    pub authority: Option<&'a [u8]>,
    /// Names the connection; at most 128 bytes.
    pub unique_id: Option<&'a [u8]>,
    /// How the client's connection was secured.
    pub tls: Option<Tls<'a>>,
    /// The namespace of the addresses.
    pub network_namespace: Option<&'a [u8]>,
    /// Whether the header had a checksum, or is to have one.
    pub has_checksum: bool,
}

/// How a client's connection to the proxy was secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// Whether TLS was spoken at all.
    pub is_secured: bool,
    /// Whether the client showed a certificate on this connection.
    pub has_certificate: bool,
    /// Whether it showed one at least once in the TLS session that this connection goes on with.
    pub had_certificate: bool,
    /// Whether the certificate was verified and is good.
    pub is_verified: bool,
    /// The version, such as `TLSv1.3`.
    pub version: Option<&'a [u8]>,
    /// The cipher suite.
    pub cipher: Option<&'a [u8]>,
    /// The common name of the certificate's subject.
    pub common_name: Option<&'a [u8]>,
    /// The algorithm that the certificate was signed with.
    pub signature_algorithm: Option<&'a [u8]>,
    /// The algorithm of the certificate's key.
    pub key_algorithm: Option<&'a [u8]>,
}

/// Which version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

macro_rules! rules {
    ($( $(#[$doc:meta])* $id:ident $word:literal ; )*) => {
        /// A rule of the PROXY protocol that a peer broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $( $(#[$doc])* $id, )* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

            /// The word that logs use.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$id => $word, )* }
            }
        }
    };
}

rules! {
    /// The connection does not begin with a header.
    Missing "proxy_header_missing";
    /// The line of version 1 does not end within 107 bytes, or not with CRLF.
    Line "proxy_line";
    /// The line of version 1 has other words than it must, or other spaces.
    Words "proxy_words";
    /// An address is none, or of another family than was said.
    Address "proxy_address";
    /// A port is none.
    Port "proxy_port";
    /// The command of version 2 is neither LOCAL nor PROXY, or its version is not 2.
    Command "proxy_command";
    /// The family or the transport has a value that is not defined, or there is one without the other.
    Family "proxy_family";
    /// The header is shorter than its addresses.
    Length "proxy_length";
    /// The header is longer than the limit.
    TooLarge "proxy_too_large";
    /// What stands behind the addresses does not fill the header, or is not of its own length.
    Fact "proxy_fact";
    /// The checksum is wrong.
    Checksum "proxy_checksum";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Default for HeaderLimits {
    fn default() -> Self {
        Self { v2_bytes: 536 }
    }
}

/// Reads the header at the beginning of `bytes`, all that came of the connection so far, and says how long it is.
/// `None` as long as it is not complete and may still be one.
///
/// # Errors
/// Which rule the bytes break. Not a byte more would change that.
pub fn parse<'a>(bytes: &'a [u8], limits: &HeaderLimits) -> Result<Option<(Header<'a>, usize)>, Rule> {
    let begins = |opening: &[u8]| bytes.iter().zip(opening).all(|(a, b)| a == b);
    if begins(v2::SIGNATURE) {
        // Nothing that came yet tells it from version 1, or the whole signature is there.
        return v2::parse(bytes, limits);
    }
    if begins(v1::OPENING) { v1::parse(bytes) } else { Err(Rule::Missing) }
}

impl Header<'_> {
    /// Writes it as version 1: what that cannot say is left out.
    pub fn encode_v1(&self, out: &mut Vec<u8>) {
        v1::encode(self, out);
    }

    /// Writes it as version 2. Of what is longer than its field the beginning is written.
    pub fn encode_v2(&self, out: &mut Vec<u8>) {
        v2::encode(self, out);
    }

    /// Writes it as `version`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match version {
            Version::V1 => self.encode_v1(out),
            Version::V2 => self.encode_v2(out),
        }
    }
}

/// Both addresses in one family: where they differ, IPv4 is written as IPv6.
fn aligned(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let wide = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (wide(source), wide(destination)),
    }
}
