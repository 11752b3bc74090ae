//! What is in a ClientHello (RFC 8446 section 4.1.2).

use super::Rule;
use core::net::Ipv4Addr;

/// A ClientHello, as slices of its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientHello<'a> {
    /// The version that the message names: what the client offers where [`ClientHello::versions`] has nothing else.
    pub legacy_version: u16,
    /// The client's nonce.
    pub random: &'a [u8; 32],
    /// The session id of TLS 1.2, or what stands there for old middleboxes; at most 32 bytes.
    pub session_id: &'a [u8],
    /// Cipher suites.
    pub cipher_suites: Codes<'a>,
    /// Which server it wants.
    pub server_name: ServerName<'a>,
    /// Application protocols, those it likes best first; empty when it says nothing of them.
    pub protocols: Protocols<'a>,
    /// Named groups; the first ones it likes best. Empty when it says nothing of them.
    pub groups: Codes<'a>,
    /// Signature algorithms that it can verify.
    pub signature_algorithms: Codes<'a>,
    /// Whether it brings a ticket of a session in the manner of TLS 1.2 (RFC 5077).
    pub has_ticket: bool,
    /// Whether it brings pre-shared keys: tickets of TLS 1.3, usually.
    pub has_pre_shared_key: bool,
    /// Whether it sends early data behind the message.
    pub has_early_data: bool,
    /// Whether the hello is the outer one of two (Encrypted Client Hello), or pretends to be.
    pub has_encrypted_hello: bool,
    supported_versions: Option<Codes<'a>>,
}

/// Which server a client wants (RFC 6066 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// It does not say.
    #[default]
    Absent,
    /// A host, as the client wrote it: valid characters, in either case, without a dot at the end.
    Host(&'a str),
    /// An IPv4 address, which no client is permitted to send here, and some do. It selects nothing.
    Address(&'a str),
}

/// Numbers of two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes<'a>(&'a [u8]);

/// Names of application protocols, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols<'a>(&'a [u8]);

impl<'a> ClientHello<'a> {
    /// The versions that the client offers, GREASE included: 0x0304 is TLS 1.3.
    pub fn versions(&self) -> impl Iterator<Item = u16> + use<'a> {
        let legacy = self.supported_versions.is_none().then_some(self.legacy_version);
        self.supported_versions.unwrap_or_default().iter().chain(legacy)
    }

    /// The highest version that the client offers.
    pub fn highest_version(&self) -> Option<u16> {
        self.versions().filter(|&version| !is_grease(version) && version >> 8 == 3).max()
    }
}

impl<'a> ServerName<'a> {
    /// The host, if it is one.
    pub fn host(self) -> Option<&'a str> {
        match self {
            Self::Host(host) => Some(host),
            Self::Absent | Self::Address(_) => None,
        }
    }
}

impl<'a> Codes<'a> {
    /// Each, GREASE included.
    pub fn iter(self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Whether `code` is among them.
    pub fn contains(self, code: u16) -> bool {
        self.iter().any(|other| other == code)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Protocols<'a> {
    /// Each.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = Reader(self.0);
        std::iter::from_fn(move || reader.vector8(1).ok())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// As they were sent: each with its length before it.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Whether a value was sent only to see that it does no harm (RFC 8701).
pub const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

/// Reads the message behind its header.
pub(super) fn parse(body: &[u8]) -> Result<ClientHello<'_>, Rule> {
    let mut reader = Reader(body);
    let legacy_version = reader.code()?;
    if legacy_version >> 8 != 3 {
        return Err(Rule::Version);
    }
    let random = reader.take(32)?.first_chunk().expect("as many bytes were taken");
    let session_id = reader.vector8(0)?;
    if session_id.len() > SESSION_ID_BYTES_MAX {
        return Err(Rule::SessionId);
    }
    let cipher_suites = Codes(reader.vector16(0)?);
    if cipher_suites.is_empty() || cipher_suites.0.len() % 2 != 0 {
        return Err(Rule::CipherSuites);
    }
    if !reader.vector8(1)?.contains(&NO_COMPRESSION) {
        return Err(Rule::Compression);
    }
    let mut hello = ClientHello {
        legacy_version,
        random,
        session_id,
        cipher_suites,
        server_name: ServerName::Absent,
        protocols: Protocols::default(),
        groups: Codes::default(),
        signature_algorithms: Codes::default(),
        has_ticket: false,
        has_pre_shared_key: false,
        has_early_data: false,
        has_encrypted_hello: false,
        supported_versions: None,
    };
    // Before TLS 1.3 the block may be missing.
    if !reader.0.is_empty() {
        let extensions = reader.vector16(0)?;
        if !reader.0.is_empty() {
            return Err(Rule::Length);
        }
        hello.read_extensions(Reader(extensions)).map_err(|rule| match rule {
            Rule::Length => Rule::Extensions,
            other => other,
        })?;
    }
    Ok(hello)
}

impl<'a> ClientHello<'a> {
    fn read_extensions(&mut self, mut reader: Reader<'a>) -> Result<(), Rule> {
        let mut seen = [0; EXTENSIONS_MAX];
        let mut count = 0;
        while !reader.0.is_empty() {
            let kind = reader.code()?;
            let content = reader.vector16(0)?;
            if seen[..count].contains(&kind) {
                return Err(Rule::ExtensionDuplicate);
            }
            *seen.get_mut(count).ok_or(Rule::TooManyExtensions)? = kind;
            count += 1;
            if self.has_pre_shared_key {
                return Err(Rule::KeysNotLast);
            }
            self.read_extension(kind, content)?;
        }
        Ok(())
    }

    fn read_extension(&mut self, kind: u16, content: &'a [u8]) -> Result<(), Rule> {
        let mut reader = Reader(content);
        match kind {
            extension::SERVER_NAME => self.server_name = server_name(content)?,
            extension::ALPN => self.protocols = protocols(content)?,
            extension::SUPPORTED_VERSIONS => {
                self.supported_versions = Some(codes(reader.vector8(2), reader)?)
            }
            extension::SUPPORTED_GROUPS => self.groups = codes(reader.vector16(2), reader)?,
            extension::SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = codes(reader.vector16(2), reader)?;
            }
            extension::SESSION_TICKET => self.has_ticket = !content.is_empty(),
            extension::PRE_SHARED_KEY => self.has_pre_shared_key = true,
            extension::EARLY_DATA => self.has_early_data = true,
            extension::ENCRYPTED_CLIENT_HELLO => self.has_encrypted_hello = true,
            _ => {}
        }
        Ok(())
    }
}

/// A list of codes that fills its extension.
fn codes<'a>(list: Result<&'a [u8], Rule>, behind: Reader<'_>) -> Result<Codes<'a>, Rule> {
    match list {
        Ok(list) if list.len() % 2 == 0 && behind.0.is_empty() => Ok(Codes(list)),
        _ => Err(Rule::CodeList),
    }
}

/// RFC 6066 section 3: "The ServerNameList MUST NOT contain more than one name of the same name_type", and no other
/// type was ever made. What else stands there one reader may skip and another stumble over.
fn server_name(content: &[u8]) -> Result<ServerName<'_>, Rule> {
    let mut outer = Reader(content);
    let list = outer.vector16(1).map_err(|_| Rule::NameList)?;
    let [HOST_NAME, name @ ..] = list else { return Err(Rule::NameList) };
    let mut inner = Reader(name);
    let name = inner.vector16(0).map_err(|_| Rule::NameList)?;
    if !inner.0.is_empty() || !outer.0.is_empty() {
        return Err(Rule::NameList);
    }
    if !is_host_name(name) {
        return Err(Rule::Name);
    }
    let name = str::from_utf8(name).map_err(|_| Rule::Name)?;
    Ok(if name.parse::<Ipv4Addr>().is_ok() { ServerName::Address(name) } else { ServerName::Host(name) })
}

/// Letters, digits, hyphens and, since people use them, underscores, in labels of 1 to 63 bytes.
fn is_host_name(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| (1..=LABEL_BYTES_MAX).contains(&label.len());
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    name.len() <= NAME_BYTES_MAX
        && name.iter().all(is_of_name)
        && name.split(|&byte| byte == b'.').all(is_label)
}

fn protocols(content: &[u8]) -> Result<Protocols<'_>, Rule> {
    let mut reader = Reader(content);
    let list = reader.vector16(2).map_err(|_| Rule::ProtocolList)?;
    if !reader.0.is_empty() {
        return Err(Rule::ProtocolList);
    }
    let mut names = Reader(list);
    while !names.0.is_empty() {
        names.vector8(1).map_err(|_| Rule::ProtocolList)?;
    }
    Ok(Protocols(list))
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Rule> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Rule::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn code(&mut self) -> Result<u16, Rule> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector of at least `min` bytes whose length has one byte.
    fn vector8(&mut self, min: usize) -> Result<&'a [u8], Rule> {
        let len = usize::from(self.take(1)?[0]);
        if len < min { Err(Rule::Length) } else { self.take(len) }
    }

    /// A vector of at least `min` bytes whose length has two bytes.
    fn vector16(&mut self, min: usize) -> Result<&'a [u8], Rule> {
        let len = usize::from(self.code()?);
        if len < min { Err(Rule::Length) } else { self.take(len) }
    }
}

/// Types of extensions.
pub(super) mod extension {
    pub(in super::super) const SERVER_NAME: u16 = 0;
    pub(in super::super) const SUPPORTED_GROUPS: u16 = 10;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const ALPN: u16 = 16;
    pub(in super::super) const SESSION_TICKET: u16 = 35;
    pub(in super::super) const PRE_SHARED_KEY: u16 = 41;
    pub(in super::super) const EARLY_DATA: u16 = 42;
    pub(in super::super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(in super::super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// Browsers send some 20.
pub(super) const EXTENSIONS_MAX: usize = 128;
const SESSION_ID_BYTES_MAX: usize = 32;
const NO_COMPRESSION: u8 = 0;
/// The only type of name (RFC 6066 section 3).
const HOST_NAME: u8 = 0;
/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// 255 bytes of a name in DNS are 253 characters.
const NAME_BYTES_MAX: usize = 253;
