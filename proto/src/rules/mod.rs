//! Decisions of RFC 9110 and 9112 that every codec shares, one page each.
//!
//! A decision about a message is made once, here, and never twice in different words: most of the published
//! holes in proxies are two readings of one message.

pub mod expect;
pub mod forwarded;
pub mod framing;
pub mod hop_by_hop;
pub mod host;
pub mod list;
pub mod max_forwards;
pub mod upgrade;

macro_rules! rules {
    ($( $(#[$doc:meta])* $id:ident $status:literal $word:literal ; )*) => {
        /// A rule of HTTP that a peer broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $( $(#[$doc])* $id, )* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

            /// The word that logs and metrics use.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$id => $word, )* }
            }

            /// The status that a request which breaks it is answered with. A response that does is 502.
            pub const fn status(self) -> u16 {
                match self { $( Self::$id => $status, )* }
            }
        }
    };
}

rules! {
    /// The start line is not `method SP target SP version` (RFC 9112 section 3) or a status line (section 4).
    StartLine 400 "start_line";
    /// The method is not a token.
    MethodToken 400 "method_token";
    /// The target has a byte that no target may have, or none of the four forms (RFC 9112 section 3.2).
    TargetForm 400 "target_form";
    /// The target names user information or an empty host (RFC 9110 sections 4.2.1 and 4.2.4).
    TargetAuthority 400 "target_authority";
    /// The target is longer than the limit (RFC 9112 section 3).
    TargetTooLong 414 "target_too_long";
    /// The protocol is not HTTP/1.0 or HTTP/1.1.
    VersionUnsupported 505 "version_unsupported";
    /// The status code is not three digits from 100 to 599 (RFC 9110 section 15).
    StatusCode 400 "status_code";
    /// A line ends with LF without CR, or has a CR inside (RFC 9112 section 2.2).
    BareLineEnd 400 "bare_line_end";
    /// A field line continues the previous one (RFC 9112 section 5.2).
    ObsoleteFold 400 "obsolete_fold";
    /// White space stands between a field name and its colon (RFC 9112 section 5.1).
    SpaceBeforeColon 400 "space_before_colon";
    /// A field name is empty or not a token.
    FieldName 400 "field_name";
    /// A field value has NUL or another control character (RFC 9110 section 5.5).
    FieldValue 400 "field_value";
    /// The head is longer than the limit.
    HeadTooLarge 431 "head_too_large";
    /// The head has more fields than the limit.
    TooManyFields 431 "too_many_fields";
    /// There is no Host in an HTTP/1.1 request (RFC 9112 section 3.2).
    HostMissing 400 "host_missing";
    /// There are several Host fields (RFC 9112 section 3.2).
    HostDuplicate 400 "host_duplicate";
    /// Host is not a valid `uri-host [":" port]` (RFC 9112 section 3.2).
    HostInvalid 400 "host_invalid";
    /// Host differs from the authority of an absolute-form target.
    HostMismatch 400 "host_mismatch";
    /// Content-Length is not a number, overflows, or differs from another (RFC 9112 section 6.3).
    ContentLength 400 "content_length";
    /// Content-Length and Transfer-Encoding are both there: a smuggling attempt until proven otherwise.
    LengthAndEncoding 400 "length_and_encoding";
    /// Transfer-Encoding is not exactly `chunked`, once (RFC 9112 section 6.1).
    TransferEncoding 400 "transfer_encoding";
    /// A transfer coding that is not implemented stands before the final chunked (RFC 9112 section 6.1).
    TransferCoding 501 "transfer_coding";
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1).
    EncodingInHttp10 400 "encoding_in_http10";
    /// A chunk-size line is not hexadecimal, overflows or is too long (RFC 9112 section 7.1).
    ChunkSize 400 "chunk_size";
    /// A chunk extension is malformed or too long (RFC 9112 section 7.1.1).
    ChunkExtension 400 "chunk_extension";
    /// Chunk data is not followed by CRLF.
    ChunkEnd 400 "chunk_end";
    /// A trailer section is malformed or longer than the limit.
    Trailer 400 "trailer";
    /// A `Connection` field is malformed, names too many fields, or one that must not be removed.
    ConnectionNomination 400 "connection_nomination";
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation 417 "expectation";
    /// Bytes came behind a message that ends the connection, or on a connection without a request.
    SurplusBytes 400 "surplus_bytes";
    /// A 101 that nobody asked for, or one that switches to something else (RFC 9110 section 7.8).
    UnaskedSwitch 400 "unasked_switch";
    /// More interim responses than the limit.
    TooManyInterim 400 "too_many_interim";
    /// The request body is longer than the limit.
    BodyTooLarge 413 "body_too_large";
    /// Max-Forwards is not a number (RFC 9110 section 7.6.2).
    MaxForwards 400 "max_forwards";
    /// CONNECT, where no route allows tunnels.
    ConnectRefused 405 "connect_refused";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// The head of a request as the codec gives it, for the tests of the rules.
#[cfg(test)]
fn request(bytes: &str) -> crate::message::RequestHead {
    let mut codec = crate::h1::Codec::server(Default::default(), crate::chunk::Pool::new());
    codec.on_received(bytes.as_bytes().to_vec().into());
    match codec.poll_part() {
        Some(crate::message::Part::Request(head)) => head,
        other => panic!("{other:?}"),
    }
}
