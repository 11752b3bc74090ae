//! The one table of field names: how each is treated, wherever that matters.
//!
//! A name is found by a perfect hash, whose seed is searched for when this is compiled, and one comparison.

use crate::scan::{LANE_BYTES, Lane, Simd};

/// A field name that is known here; everything else is [`Name::Other`].
///
/// Known does not mean special: unknown fields are forwarded like most known ones (RFC 9110 section 5.1).
macro_rules! names {
    ($( $id:ident $text:literal $( $flag:ident )* ; )*) => {
        /// A field name that this crate knows; every other is [`Name::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the field of its name")]
        pub enum Name { Other, $( $id, )* }

        /// The names in the order of their numbers.
        const NAMES: &[Name] = &[ Name::Other, $( Name::$id, )* ];

        impl Name {
            /// All known names.
            pub const ALL: &'static [Self] = NAMES.split_at(1).1;

            /// The name in lower case; empty for [`Name::Other`].
            pub const fn text(self) -> &'static str {
                match self { Self::Other => "", $( Self::$id => $text, )* }
            }

            const fn flags(self) -> u8 {
                match self { Self::Other => 0, $( Self::$id => 0 $( | flag::$flag )* , )* }
            }
        }
    };
}

mod flag {
    /// Concerns one connection only: never forwarded (RFC 9110 section 7.6.1).
    pub(super) const HOP: u8 = 1;
    /// At most one per message; a second makes the message ambiguous or is dropped by its definition.
    pub(super) const ONCE: u8 = 2;
    /// Makes an HTTP/2 message malformed (RFC 9113 section 8.2.2).
    pub(super) const NOT_H2: u8 = 4;
    /// Not removed on the word of a `Connection` field: framing, routing and identity depend on it.
    pub(super) const PROTECTED: u8 = 8;
    /// Says who the client is, or which way it came, as some proxy knows it; one that this proxy does not write.
    pub(super) const HEARSAY: u8 = 16;
}

names! {
    Accept "accept";
    AcceptCharset "accept-charset";
    AcceptEncoding "accept-encoding";
    AcceptLanguage "accept-language";
    AcceptRanges "accept-ranges";
    AccessControlAllowCredentials "access-control-allow-credentials";
    AccessControlAllowHeaders "access-control-allow-headers";
    AccessControlAllowMethods "access-control-allow-methods";
    AccessControlAllowOrigin "access-control-allow-origin";
    AccessControlExposeHeaders "access-control-expose-headers";
    AccessControlMaxAge "access-control-max-age";
    AccessControlRequestHeaders "access-control-request-headers";
    AccessControlRequestMethod "access-control-request-method";
    Age "age" ONCE;
    Allow "allow";
    AltSvc "alt-svc";
    Authorization "authorization" ONCE PROTECTED;
    CacheControl "cache-control" PROTECTED;
    CfConnectingIp "cf-connecting-ip" PROTECTED HEARSAY;
    Connection "connection" HOP NOT_H2;
    ContentDisposition "content-disposition";
    ContentEncoding "content-encoding";
    ContentLanguage "content-language";
    ContentLength "content-length" ONCE PROTECTED;
    ContentLocation "content-location";
    ContentRange "content-range";
    ContentSecurityPolicy "content-security-policy";
    ContentType "content-type" ONCE PROTECTED;
    Cookie "cookie" PROTECTED;
    Date "date" ONCE;
    Dnt "dnt";
    Etag "etag" ONCE;
    Expect "expect";
    Expires "expires" ONCE;
    Forwarded "forwarded" PROTECTED;
    From "from" ONCE;
    GrpcStatus "grpc-status";
    GrpcTimeout "grpc-timeout";
    Host "host" ONCE PROTECTED;
    Http2Settings "http2-settings" HOP NOT_H2;
    IfMatch "if-match";
    IfModifiedSince "if-modified-since" ONCE;
    IfNoneMatch "if-none-match";
    IfRange "if-range" ONCE;
    IfUnmodifiedSince "if-unmodified-since" ONCE;
    KeepAlive "keep-alive" HOP NOT_H2;
    LastModified "last-modified" ONCE;
    Link "link";
    Location "location" ONCE;
    MaxForwards "max-forwards" ONCE PROTECTED;
    Origin "origin" ONCE;
    Pragma "pragma";
    Priority "priority";
    ProxyAuthenticate "proxy-authenticate" HOP;
    ProxyAuthorization "proxy-authorization" HOP;
    ProxyConnection "proxy-connection" HOP NOT_H2;
    Range "range" ONCE;
    Referer "referer" ONCE;
    RetryAfter "retry-after" ONCE;
    SecChUa "sec-ch-ua";
    SecChUaMobile "sec-ch-ua-mobile";
    SecChUaPlatform "sec-ch-ua-platform";
    SecFetchDest "sec-fetch-dest";
    SecFetchMode "sec-fetch-mode";
    SecFetchSite "sec-fetch-site";
    SecFetchUser "sec-fetch-user";
    SecWebsocketAccept "sec-websocket-accept";
    SecWebsocketExtensions "sec-websocket-extensions";
    SecWebsocketKey "sec-websocket-key";
    SecWebsocketProtocol "sec-websocket-protocol";
    SecWebsocketVersion "sec-websocket-version";
    Server "server" ONCE;
    SetCookie "set-cookie" PROTECTED;
    StrictTransportSecurity "strict-transport-security";
    Te "te" HOP;
    Trailer "trailer";
    TransferEncoding "transfer-encoding" HOP NOT_H2 PROTECTED;
    TrueClientIp "true-client-ip" PROTECTED HEARSAY;
    Upgrade "upgrade" HOP NOT_H2;
    UpgradeInsecureRequests "upgrade-insecure-requests";
    UserAgent "user-agent" ONCE;
    Vary "vary";
    Via "via" PROTECTED;
    WwwAuthenticate "www-authenticate";
    XClientIp "x-client-ip" PROTECTED HEARSAY;
    XClusterClientIp "x-cluster-client-ip" PROTECTED HEARSAY;
    XContentTypeOptions "x-content-type-options";
    XForwardedFor "x-forwarded-for" PROTECTED;
    XForwardedHost "x-forwarded-host" PROTECTED;
    XForwardedPort "x-forwarded-port" PROTECTED HEARSAY;
    XForwardedPrefix "x-forwarded-prefix" PROTECTED HEARSAY;
    XForwardedProto "x-forwarded-proto" PROTECTED;
    XForwardedScheme "x-forwarded-scheme" PROTECTED HEARSAY;
    XForwardedServer "x-forwarded-server" PROTECTED HEARSAY;
    XForwardedSsl "x-forwarded-ssl" PROTECTED HEARSAY;
    XFrameOptions "x-frame-options";
    XRealIp "x-real-ip" PROTECTED HEARSAY;
    XRequestId "x-request-id" PROTECTED;
}

impl Name {
    /// The known name that `name` spells, in any case.
    #[inline]
    pub fn classify(name: &[u8]) -> Self {
        let candidate = CANDIDATES[slot(last_bytes(name), name.len(), SEED)];
        if is_same_in_lower_case(name, candidate.text().as_bytes()) { candidate } else { Self::Other }
    }

    /// The only known name that the `len` bytes from `skip` on of `lane` may spell, and how many bytes from there
    /// on are alike to it and a colon behind it, in any case. `before` is the eight bytes that end with the name.
    #[inline(always)]
    pub(crate) fn candidate_in_lane<S: Simd>(
        simd: S,
        lane: &Lane,
        skip: usize,
        len: usize,
        before: [u8; 8],
    ) -> (Self, usize) {
        let candidate = CANDIDATES[slot(u64::from_le_bytes(before), len, SEED)];
        // The row is moved under the name rather than the name to the front of the lane.
        let row = &ROWS[candidate as usize];
        let row = row[LANE_BYTES - skip % LANE_BYTES..].first_chunk().expect("a row is two lanes");
        let differing = simd.unlike(lane, row) >> skip;
        (candidate, differing.trailing_zeros() as usize)
    }

    /// Whether it concerns one connection only and is never forwarded (RFC 9110 section 7.6.1).
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        self.flags() & flag::HOP != 0
    }

    /// Whether the head parser notes its presence: what framing, routing and hop-by-hop rules ask for.
    #[inline]
    pub const fn is_noted(self) -> bool {
        self.find_noted_bit() != 0
    }

    /// Its bit in a set of noted names; 0 when it is not noted.
    #[inline(always)]
    pub(crate) const fn noted_bit(self) -> u32 {
        NOTED_BITS[self as usize]
    }

    const fn find_noted_bit(self) -> u32 {
        match self {
            Self::Connection => 1,
            Self::ContentLength => 1 << 1,
            Self::Date => 1 << 2,
            Self::Expect => 1 << 3,
            Self::Host => 1 << 4,
            Self::Http2Settings => 1 << 5,
            Self::KeepAlive => 1 << 6,
            Self::MaxForwards => 1 << 7,
            Self::ProxyAuthenticate => 1 << 8,
            Self::ProxyAuthorization => 1 << 9,
            Self::ProxyConnection => 1 << 10,
            Self::Te => 1 << 11,
            Self::TransferEncoding => 1 << 12,
            Self::Upgrade => 1 << 13,
            Self::Via => 1 << 14,
            Self::Forwarded => 1 << 15,
            Self::XForwardedFor => 1 << 16,
            Self::XForwardedHost => 1 << 17,
            Self::XForwardedProto => 1 << 18,
            Self::XRealIp => 1 << 19,
            Self::XRequestId => 1 << 20,
            Self::CfConnectingIp => 1 << 21,
            Self::TrueClientIp => 1 << 22,
            Self::XClientIp => 1 << 23,
            Self::XClusterClientIp => 1 << 24,
            Self::XForwardedPort => 1 << 25,
            Self::XForwardedPrefix => 1 << 26,
            Self::XForwardedScheme => 1 << 27,
            Self::XForwardedServer => 1 << 28,
            Self::XForwardedSsl => 1 << 29,
            _ => 0,
        }
    }

    /// Whether it says who the client is or which way it came, as some proxy knows it, and is none that this proxy
    /// writes: a peer that is not trusted has no say in it.
    #[inline]
    pub const fn is_hearsay(self) -> bool {
        self.flags() & flag::HEARSAY != 0
    }

    /// The bits of all names that concern one connection only.
    pub(crate) const HOP_BY_HOP_BITS: u32 = noted_bits(flag::HOP);

    /// The bits of all names that are hearsay.
    pub(crate) const HEARSAY_BITS: u32 = noted_bits(flag::HEARSAY);

    /// Whether a message has it at most once.
    #[inline]
    pub const fn is_singleton(self) -> bool {
        self.flags() & flag::ONCE != 0
    }

    /// Whether it makes an HTTP/2 message malformed (RFC 9113 section 8.2.2).
    #[inline]
    pub const fn is_forbidden_in_h2(self) -> bool {
        self.flags() & flag::NOT_H2 != 0
    }

    /// Whether nominating it in `Connection` is refused: framing, routing or identity would be lost.
    #[inline]
    pub const fn is_protected(self) -> bool {
        self.flags() & flag::PROTECTED != 0
    }
}

/// The bits of all names with this flag.
const fn noted_bits(flag: u8) -> u32 {
    let (mut bits, mut index) = (0, 0);
    while index < NAMES.len() {
        if NAMES[index].flags() & flag != 0 {
            assert!(NAMES[index].is_noted(), "what is always removed is looked for only where it is noted");
            bits |= NAMES[index].find_noted_bit();
        }
        index += 1;
    }
    bits
}

/// Whether `name` in lower case is `lower`, which has letters, digits and `-` only.
#[inline]
fn is_same_in_lower_case(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let (Some(name_end), Some(lower_end)) = (name.last_chunk(), lower.last_chunk()) else {
        return name.eq_ignore_ascii_case(lower);
    };
    let (names, _) = name.as_chunks();
    let (lowers, _) = lower.as_chunks();
    names.iter().zip(lowers).all(|(name, lower)| lower_case(name) == u64::from_le_bytes(*lower))
        && lower_case(name_end) == u64::from_le_bytes(*lower_end)
}

/// Eight bytes with 0x40 to 0x5f, where the upper-case letters are, moved to 0x60 to 0x7f. `-` and the digits
/// are below, so that no control character becomes one of them, as plain `| 0x20` would do.
#[inline]
fn lower_case(bytes: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*bytes);
    word | ((word & 0x4040_4040_4040_4040) >> 1)
}

const SLOTS_LOG2: u32 = 10;

/// Where a name is looked for: its last eight bytes and its length, scattered. Of `last`, the eight bytes that
/// end with the name, those before it are dropped.
#[inline(always)]
const fn slot(last: u64, len: usize, seed: u64) -> usize {
    // A table has this in fewer instructions than a comparison.
    let word = last >> BITS_BEFORE[len % BITS_BEFORE.len()];
    let key = (word | 0x2020_2020_2020_2020).wrapping_add(len as u64);
    (key.wrapping_mul(seed) >> (u64::BITS - SLOTS_LOG2)) as usize
}

/// Bits of eight bytes that are not of a name of 0 to 7 bytes, or one of 8 and more, that ends with them.
const BITS_BEFORE: [u8; 64] = {
    let mut bits = [0; 64];
    let mut len = 1;
    while len < 8 {
        bits[len] = 64 - 8 * len as u8;
        len += 1;
    }
    bits
};

/// The last eight bytes, with NULs before what is shorter.
#[inline]
const fn last_bytes(name: &[u8]) -> u64 {
    match name.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => {
            let (mut word, mut at) = (0, 0);
            while at < name.len() {
                word = (word >> 8) | ((name[at] as u64) << 56);
                at += 1;
            }
            word
        }
    }
}

/// A seed that gives every known name a slot of its own.
const SEED: u64 = {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    while !is_perfect(seed) {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f) | 1;
    }
    seed
};

const fn is_perfect(seed: u64) -> bool {
    let mut is_taken = [false; 1 << SLOTS_LOG2];
    let mut index = 1;
    while index < NAMES.len() {
        let text = NAMES[index].text().as_bytes();
        let slot = slot(last_bytes(text), text.len(), seed);
        if is_taken[slot] {
            return false;
        }
        is_taken[slot] = true;
        index += 1;
    }
    true
}

static CANDIDATES: [Name; 1 << SLOTS_LOG2] = {
    let mut candidates = [Name::Other; 1 << SLOTS_LOG2];
    let mut index = 1;
    while index < NAMES.len() {
        let text = NAMES[index].text().as_bytes();
        candidates[slot(last_bytes(text), text.len(), SEED)] = NAMES[index];
        index += 1;
    }
    candidates
};

/// Each name as it begins a field line: in lower case, with its colon where there is room. It stands in the
/// second of two lanes, so that there is something before it.
static ROWS: [[u8; 2 * LANE_BYTES]; NAMES.len()] = {
    let mut rows = [[0; 2 * LANE_BYTES]; NAMES.len()];
    let mut index = 1;
    while index < NAMES.len() {
        let text = NAMES[index].text().as_bytes();
        let mut at = 0;
        while at < text.len() {
            rows[index][LANE_BYTES + at] = text[at];
            at += 1;
        }
        if at < LANE_BYTES {
            rows[index][LANE_BYTES + at] = b':';
        }
        index += 1;
    }
    rows
};

static NOTED_BITS: [u32; NAMES.len()] = {
    let mut bits = [0; NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        bits[index] = NAMES[index].find_noted_bit();
        index += 1;
    }
    bits
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_in_any_case_and_near_misses_are_not() {
        for &known in Name::ALL {
            let text = known.text();
            let mixed: String = text
                .chars()
                .enumerate()
                .map(|(at, letter)| if at % 2 == 0 { letter.to_ascii_uppercase() } else { letter })
                .collect();
            for spelled in [text.to_owned(), text.to_uppercase(), mixed] {
                assert_eq!(Name::classify(spelled.as_bytes()), known, "{spelled}");
            }
            for at in 0..text.len() {
                for byte in 0..=255 {
                    let mut miss = text.as_bytes().to_vec();
                    miss[at] = byte;
                    let reference =
                        Name::ALL.iter().find(|name| name.text().as_bytes().eq_ignore_ascii_case(&miss));
                    assert_eq!(
                        Name::classify(&miss),
                        reference.copied().unwrap_or(Name::Other),
                        "{text} {at} {byte}"
                    );
                }
                let mut longer = text.as_bytes().to_vec();
                longer.insert(at, b'-');
                assert_eq!(Name::classify(&longer), Name::Other, "{text} {at}");
                let mut shorter = text.as_bytes().to_vec();
                shorter.remove(at);
                let reference = Name::ALL.iter().find(|name| name.text().as_bytes() == shorter);
                assert_eq!(
                    Name::classify(&shorter),
                    reference.copied().unwrap_or(Name::Other),
                    "{text} {at}"
                );
            }
        }
    }

    #[test]
    fn unknown_names_are_other() {
        for unknown in
            ["", "x", "xy", "xyz", "x-unknown", "content-lengthcontent-length-content-length", "te\0", "\0"]
        {
            assert_eq!(Name::classify(unknown.as_bytes()), Name::Other, "{unknown:?}");
        }
    }

    #[test]
    fn names_fit_their_rows() {
        assert!(Name::ALL.iter().all(|name| name.text().len() <= LANE_BYTES && *name != Name::Other));
        assert!(Name::ALL.iter().all(|name| {
            name.text().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        }));
    }
}
