//! The one table of field names: how each is treated, wherever that matters.

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

        impl Name {
            /// All known names.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

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
    Trailer "trailer" HOP;
    TransferEncoding "transfer-encoding" HOP NOT_H2 PROTECTED;
    Upgrade "upgrade" HOP NOT_H2;
    UpgradeInsecureRequests "upgrade-insecure-requests";
    UserAgent "user-agent" ONCE;
    Vary "vary";
    Via "via" PROTECTED;
    WwwAuthenticate "www-authenticate";
    XContentTypeOptions "x-content-type-options";
    XForwardedFor "x-forwarded-for" PROTECTED;
    XForwardedHost "x-forwarded-host" PROTECTED;
    XForwardedProto "x-forwarded-proto" PROTECTED;
    XFrameOptions "x-frame-options";
    XRealIp "x-real-ip" PROTECTED;
    XRequestId "x-request-id" PROTECTED;
}

impl Name {
    /// The known name that `name` spells, in any case.
    #[inline]
    pub fn classify(name: &[u8]) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.text().as_bytes().eq_ignore_ascii_case(name))
            .unwrap_or(Self::Other)
    }

    /// Whether it concerns one connection only and is never forwarded (RFC 9110 section 7.6.1).
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        self.flags() & flag::HOP != 0
    }

    /// Whether the head parser notes its presence: what framing, routing and hop-by-hop rules ask for.
    #[inline]
    pub const fn is_noted(self) -> bool {
        self.noted_bit() != 0
    }

    /// Its bit in a set of noted names; 0 when it is not noted.
    #[inline]
    pub(crate) const fn noted_bit(self) -> u16 {
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
            Self::Trailer => 1 << 12,
            Self::TransferEncoding => 1 << 13,
            Self::Upgrade => 1 << 14,
            Self::Via => 1 << 15,
            _ => 0,
        }
    }

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
