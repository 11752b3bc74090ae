//! How a ClientHello can be wrong.

macro_rules! rules {
    ($( $(#[$doc:meta])* $id:ident $alert:literal $word:literal ; )*) => {
        /// A rule of TLS that a ClientHello broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $( $(#[$doc])* $id, )* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

            /// The word that logs use.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$id => $word, )* }
            }

            /// The description of the fatal alert that says so (RFC 8446 section 6.2).
            pub const fn alert(self) -> u8 {
                match self { $( Self::$id => $alert, )* }
            }
        }
    };
}

rules! {
    /// A record of a handshake without content (RFC 8446 section 5.1).
    EmptyRecord 10 "empty_record";
    /// A record with more than 2^14 bytes of content (RFC 8446 section 5.1).
    RecordTooLarge 22 "record_too_large";
    /// A record of another type between those of the message (RFC 8446 section 5.1).
    Interleaved 10 "interleaved_record";
    /// The message is cut over more records than the limit.
    TooManyRecords 22 "too_many_records";
    /// The first message is another one.
    NotClientHello 10 "not_client_hello";
    /// The message is longer than the limit.
    TooLarge 80 "hello_too_large";
    /// Something follows the message in its record, though the client has to wait for the answer.
    Surplus 10 "surplus_bytes";
    /// The message ends too early or too late, or a vector in it has a length that it may not have.
    Length 50 "hello_length";
    /// The version is not 3.x.
    Version 70 "hello_version";
    /// The session id is longer than 32 bytes.
    SessionId 50 "session_id_length";
    /// There is no cipher suite, or half of one.
    CipherSuites 50 "cipher_suites";
    /// The compression methods do not include null (RFC 5246 section 7.4.1.2).
    Compression 47 "compression_methods";
    /// The extensions do not fill their block.
    Extensions 50 "extensions_length";
    /// There are more extensions than 128.
    TooManyExtensions 50 "too_many_extensions";
    /// An extension is there twice (RFC 8446 section 4.2).
    ExtensionDuplicate 47 "extension_duplicate";
    /// The pre-shared keys are not the last extension (RFC 8446 section 4.2.11).
    KeysNotLast 47 "psk_not_last";
    /// The list of names is not exactly one `host_name` (RFC 6066 section 3).
    NameList 50 "sni_list";
    /// The name is none of DNS: empty, too long, with a trailing dot, or a byte that no name has (RFC 6066 section 3).
    Name 47 "sni_name";
    /// The list of application protocols is empty, or one of them is (RFC 7301 section 3.1).
    ProtocolList 50 "alpn_list";
    /// A list of versions, groups or signature algorithms is empty or has half an entry.
    CodeList 50 "code_list";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
