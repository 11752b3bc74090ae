use super::hello::{EXTENSIONS_MAX, extension};
use super::*;
use proptest::prelude::*;
use proptest::sample::select;

mod vectors;

/// What a client offers, owned.
#[derive(Debug, PartialEq)]
struct Said {
    name: Option<String>,
    protocols: Vec<String>,
    versions: Vec<u16>,
    groups: Vec<u16>,
    has_ticket: bool,
    session_id_len: usize,
}

impl Said {
    fn of(hello: &ClientHello<'_>) -> Self {
        Self {
            name: hello.server_name.host().map(str::to_owned),
            protocols: hello.protocols.iter().map(|name| String::from_utf8_lossy(name).into()).collect(),
            versions: hello.versions().collect(),
            groups: hello.groups.iter().collect(),
            has_ticket: hello.has_ticket,
            session_id_len: hello.session_id.len(),
        }
    }
}

/// The answer to bytes in pieces of these lengths, the last of which is repeated, and how many bytes it took.
fn read_in(bytes: &[u8], pieces: &[usize], limits: HelloLimits) -> (String, usize) {
    let mut parser = HelloParser::new(limits);
    let mut at = 0;
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(pieces.last().copied().unwrap_or(1)));
    while at < bytes.len() {
        let end = bytes.len().min(at.saturating_add(pieces.next().unwrap().max(1)));
        match parser.on_bytes(&bytes[at..end]) {
            Progress::NeedMore => at = end,
            other => return (format!("{other:?}"), end),
        }
    }
    (format!("{:?}", Progress::NeedMore), at)
}

fn read(bytes: &[u8]) -> String {
    let whole = read_in(bytes, &[usize::MAX], HelloLimits::default()).0;
    assert_eq!(read_in(bytes, &[1], HelloLimits::default()).0, whole, "byte by byte");
    whole
}

fn rule_of(bytes: &[u8]) -> Rule {
    let said = read(bytes);
    let is_said = |rule: &&Rule| said == format!("{:?}", Progress::Malformed(**rule));
    *Rule::ALL.iter().find(is_said).unwrap_or_else(|| panic!("{said}"))
}

fn parsed<T>(bytes: &[u8], look: impl FnOnce(&ClientHello<'_>) -> T) -> T {
    match HelloParser::new(HelloLimits::default()).on_bytes(bytes) {
        Progress::Hello(hello) => look(&hello),
        other => panic!("{other:?}"),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A hello made by hand.
#[derive(Clone, Debug)]
struct Draft {
    version: u16,
    session_id: Vec<u8>,
    suites: Vec<u8>,
    compression: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Draft {
    fn new(extensions: &[(u16, &[u8])]) -> Self {
        Self {
            version: 0x0303,
            session_id: Vec::new(),
            suites: vec![0x13, 1],
            compression: vec![0],
            extensions: extensions.iter().map(|(kind, content)| (*kind, content.to_vec())).collect(),
        }
    }

    fn named(name: &str) -> Self {
        Self::new(&[(extension::SERVER_NAME, &sni(name))])
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend(vector8(&self.session_id));
        body.extend(vector16(&self.suites));
        body.extend(vector8(&self.compression));
        let of = |(kind, content): &(u16, Vec<u8>)| [kind.to_be_bytes().to_vec(), vector16(content)].concat();
        body.extend(vector16(&self.extensions.iter().flat_map(of).collect::<Vec<_>>()));
        body
    }

    fn bytes(&self) -> Vec<u8> {
        record(&message(&self.body()))
    }
}

fn vector8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

fn vector16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

fn sni(name: &str) -> Vec<u8> {
    vector16(&[&[0], &vector16(name.as_bytes())[..]].concat())
}

fn message(body: &[u8]) -> Vec<u8> {
    let [_, len @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &len[..], body].concat()
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &vector16(content)[..]].concat()
}

#[test]
fn what_clients_offer_is_read() {
    let said = parsed(&unhex(vectors::OPENSSL), Said::of);
    assert_eq!(said.name.as_deref(), Some("www.example.org"));
    assert_eq!(said.protocols, ["h2", "http/1.1"]);
    assert_eq!(said.versions, [0x0304, 0x0303, 0x0302, 0x0301]);
    assert_eq!(said.groups[0], 0x001d);
    assert_eq!(said.session_id_len, 32);

    let said = parsed(&unhex(vectors::CURL), Said::of);
    assert_eq!(said.name.as_deref(), Some("shop.example.com"));
    assert_eq!(said.protocols, ["h2", "http/1.1"]);

    let said = parsed(&unhex(vectors::PYTHON), Said::of);
    assert_eq!(said.name.as_deref(), Some("mail.example.net"));
    assert_eq!(said.protocols, ["imap"]);

    let said = parsed(&unhex(vectors::OPENSSL_TLS12_NO_NAME), Said::of);
    assert_eq!((said.name, said.versions, said.session_id_len), (None, vec![0x0303], 0));

    let is_address = |hello: &ClientHello<'_>| hello.server_name == ServerName::Address("127.0.0.1");
    assert!(parsed(&unhex(vectors::OPENSSL_ADDRESS), is_address));
}

#[test]
fn a_hello_is_the_same_however_it_is_cut() {
    use vectors::{CURL, OPENSSL, OPENSSL_ADDRESS, OPENSSL_TLS12_NO_NAME, PYTHON};
    for hex in [CURL, OPENSSL, OPENSSL_ADDRESS, OPENSSL_TLS12_NO_NAME, PYTHON] {
        let bytes = unhex(hex);
        let whole = read(&bytes);
        assert!(whole.starts_with("Hello("), "{whole}");
        for at in 1..bytes.len() {
            // What the first piece alone says is nothing.
            let said = read_in(&bytes, &[at, usize::MAX], HelloLimits::default());
            assert_eq!(said, (whole.clone(), bytes.len()), "cut at {at}");
        }
        let content = &bytes[RECORD_HEADER_BYTES..];
        for at in 1..content.len() {
            let records = [record(&content[..at]), record(&content[at..])].concat();
            assert_eq!(read(&records), whole, "two records, cut at {at}");
        }
    }
}

#[test]
fn what_follows_in_another_record_is_not_looked_at() {
    let hello = Draft::named("a").bytes();
    for behind in [&b"\x17\x03\x03\0\x01x"[..], b"GET /", b"\0"] {
        assert_eq!(read(&[&hello, behind].concat()), read(&hello));
    }
}

#[test]
fn what_is_not_tls_is_told_apart() {
    let is =
        |bytes: &[u8], what| assert_eq!(read(bytes), format!("{:?}", Progress::NotTls(what)), "{bytes:?}");
    for http in ["GET / HTTP/1.1\r\n", "POST /", "OPTIONS *", "PRI * HTTP/2.0\r\n", "CONNECT a:1", "PUT "] {
        is(http.as_bytes(), NotTls::Http);
    }
    is(b"\x80\x2e\x01\x00\x02\x00", NotTls::Ssl2);
    is(b"\x80\x2e\x01\x03\x01\x00", NotTls::Ssl2);
    for other in [
        &b"SSH-2.0-x"[..],
        b"GOT ",
        b"\0",
        b"\x15\x03\x01",
        b"\x16\x02",
        b"\x80\x2e\x02",
        b"\x80\x2e\x01\x01",
        b"PROXY TCP4",
        b"\x16\x16",
    ] {
        is(other, NotTls::Other);
    }
    for open in [&b""[..], b"G", b"PRI", b"\x16", b"\x16\x03", b"\x80", b"\x80\x2e\x01\x03"] {
        assert_eq!(read(open), "NeedMore", "{open:?}");
    }
}

#[test]
fn records_keep_the_rules() {
    let hello = message(&Draft::named("a").body());
    assert_eq!(rule_of(b"\x16\x03\x01\0\0"), Rule::EmptyRecord);
    assert_eq!(rule_of(&[record(&hello[..9]), record(&[])].concat()), Rule::EmptyRecord);
    assert_eq!(rule_of(b"\x16\x03\x01\x40\x01"), Rule::RecordTooLarge);
    assert_eq!(
        rule_of(&[record(&hello[..9]), b"\x14\x03\x03\0\x01\x01".to_vec()].concat()),
        Rule::Interleaved
    );
    assert_eq!(rule_of(&record(b"\x02")), Rule::NotClientHello);
    assert_eq!(rule_of(&record(b"\x01\0\x40\x01")), Rule::TooLarge);
    assert_eq!(rule_of(&record(&[&hello[..], b"\x0b"].concat())), Rule::Surplus);
    let dribbled: Vec<u8> = hello.iter().flat_map(|byte| record(&[*byte])).collect();
    assert_eq!(rule_of(&dribbled), Rule::TooManyRecords);
    let limits = HelloLimits { records: hello.len(), ..HelloLimits::default() };
    assert!(read_in(&dribbled, &[7], limits).0.starts_with("Hello("));
}

#[test]
fn the_message_keeps_its_form() {
    let with = |change: fn(&mut Draft)| {
        let mut draft = Draft::named("a");
        change(&mut draft);
        rule_of(&draft.bytes())
    };
    assert_eq!(with(|draft| draft.version = 0x0203), Rule::Version);
    assert_eq!(with(|draft| draft.session_id = vec![0; 33]), Rule::SessionId);
    assert_eq!(with(|draft| draft.suites = vec![]), Rule::CipherSuites);
    assert_eq!(with(|draft| draft.suites = vec![1, 2, 3]), Rule::CipherSuites);
    assert_eq!(with(|draft| draft.compression = vec![1]), Rule::Compression);
    assert_eq!(with(|draft| draft.compression = vec![]), Rule::Length);
    assert_eq!(with(|draft| draft.extensions.push((0, sni("b")))), Rule::ExtensionDuplicate);
    assert_eq!(
        with(|draft| draft.extensions.extend([(0x1a1a, vec![]), (0x1a1a, vec![])])),
        Rule::ExtensionDuplicate
    );
    assert_eq!(
        with(|draft| draft.extensions.extend([(extension::PRE_SHARED_KEY, vec![0]), (99, vec![])])),
        Rule::KeysNotLast
    );
    assert_eq!(
        with(
            |draft| draft.extensions = (0..=EXTENSIONS_MAX as u16).map(|kind| (kind + 100, vec![])).collect()
        ),
        Rule::TooManyExtensions
    );
    let body = Draft::named("a").body();
    for len in 0..body.len() {
        let said = read(&record(&message(&body[..len])));
        let block = body.len() - Draft::named("a").extensions[0].1.len() - 6;
        // Without the block of extensions it is a hello of old.
        assert_eq!(said.starts_with("Hello("), len == block, "{len} of {}: {said}", body.len());
    }
    assert_eq!(rule_of(&record(&message(&[&body[..], b"x"].concat()))), Rule::Length);
}

#[test]
fn a_hello_without_extensions_is_one() {
    let body = Draft::new(&[]).body();
    let said = parsed(&record(&message(&body[..body.len() - 2])), Said::of);
    assert_eq!((said.name, said.versions), (None, vec![0x0303]));
}

#[test]
fn names_are_those_of_hosts() {
    for name in ["a", "A.Example", "xn--bcher-kva.example", "_dmarc.a-b.c", &"a.".repeat(126)] {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_same = |hello: &ClientHello<'_>| hello.server_name == ServerName::Host(name);
        assert!(parsed(&Draft::named(name).bytes(), is_same), "{name}");
    }
    let (label, long) = ("a".repeat(64), format!("{}aa", "a.".repeat(126)));
    let bad = [
        "", "a.", ".", ".a", "a..b", "a b", "a\0", "a/b", "a:1", "bücher", "[::1]", "::1", "*", &label, &long,
    ];
    for name in bad {
        assert_eq!(rule_of(&Draft::named(name).bytes()), Rule::Name, "{name}");
    }
    let list = |content: &[u8]| rule_of(&Draft::new(&[(extension::SERVER_NAME, content)]).bytes());
    let two = [&[0], &vector16(b"a")[..], &[0], &vector16(b"b")[..]].concat();
    assert_eq!(list(&vector16(&two)), Rule::NameList);
    let other = [&[1], &vector16(b"a")[..], &[0], &vector16(b"b")[..]].concat();
    assert_eq!(list(&vector16(&other)), Rule::NameList);
    assert_eq!(list(&[&sni("a")[..], b"x"].concat()), Rule::NameList);
    assert_eq!(list(b""), Rule::NameList);
    assert_eq!(list(b"\0\0"), Rule::NameList);
}

#[test]
fn lists_are_whole() {
    let rule = |kind, content: &[u8]| rule_of(&Draft::new(&[(kind, content)]).bytes());
    assert_eq!(rule(extension::ALPN, b"\0\0"), Rule::ProtocolList);
    assert_eq!(rule(extension::ALPN, b"\0\x03\0\x01a"), Rule::ProtocolList);
    assert_eq!(rule(extension::ALPN, b"\0\x03\x03ab"), Rule::ProtocolList);
    assert_eq!(rule(extension::ALPN, b"\0\x02\x01ab"), Rule::ProtocolList);
    for kind in [extension::SUPPORTED_GROUPS, extension::SIGNATURE_ALGORITHMS] {
        assert_eq!(rule(kind, b"\0\0"), Rule::CodeList);
        assert_eq!(rule(kind, b"\0\x03abc"), Rule::CodeList);
        assert_eq!(rule(kind, b"\0\x02abc"), Rule::CodeList);
    }
    assert_eq!(rule(extension::SUPPORTED_VERSIONS, b"\x01\x03"), Rule::CodeList);
}

#[test]
fn grease_and_encrypted_hellos_do_no_harm() {
    let draft = Draft::new(&[
        (0x0a0a, b""),
        (extension::SERVER_NAME, &sni("public.example")),
        (extension::SUPPORTED_VERSIONS, b"\x06\xfa\xfa\x03\x04\x03\x03"),
        (extension::SUPPORTED_GROUPS, b"\0\x06\x2a\x2a\x11\xec\0\x1d"),
        (extension::ALPN, b"\0\x06\x02\x1a\x1a\x02h2"),
        (extension::ENCRYPTED_CLIENT_HELLO, b"\0\0\x01\0\x01anything"),
        (0x1a1a, b"\0"),
        (extension::EARLY_DATA, b""),
        (extension::PRE_SHARED_KEY, b"keys"),
    ]);
    parsed(&draft.bytes(), |hello| {
        assert_eq!(hello.server_name.host(), Some("public.example"));
        assert_eq!(hello.highest_version(), Some(0x0304));
        assert!(hello.groups.contains(0x11ec), "X25519MLKEM768");
        assert_eq!(hello.protocols.iter().filter(|name| *name == b"h2").count(), 1);
        assert!(hello.has_encrypted_hello && hello.has_early_data && hello.has_pre_shared_key);
    });
    assert!(is_grease(0xfafa) && is_grease(0x0a0a) && !is_grease(0x0a1a) && !is_grease(0x0304));
}

#[test]
fn no_more_is_held_than_came() {
    let mut parser = HelloParser::new(HelloLimits::default());
    // 16 KiB are announced.
    assert_eq!(parser.on_bytes(b"\x16\x03\x01\x40\x00\x01\0\x3f\xfc"), Progress::NeedMore);
    assert!(parser.held_bytes() < 100, "{}", parser.held_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_answered_alike_in_any_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        opening in select(vec![&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\0\x20\x01\0\0\x1c\x03\x03", b"\x80\x10\x01"]),
        pieces in prop::collection::vec(1usize..20, 1..10),
    ) {
        let bytes = [opening, &bytes].concat();
        let whole = read(&bytes);
        prop_assert_eq!(read_in(&bytes, &pieces, HelloLimits::default()).0, whole);
    }

    #[test]
    fn a_changed_hello_is_answered_alike_in_any_pieces(
        hex in select(vec![vectors::OPENSSL, vectors::CURL]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cuts in prop::collection::vec(1usize..400, 0..5),
        pieces in prop::collection::vec(1usize..200, 1..10),
    ) {
        let mut content = unhex(hex).split_off(RECORD_HEADER_BYTES);
        for (index, byte) in changes {
            let at = index.index(content.len());
            content[at] = byte;
        }
        let mut bytes = Vec::new();
        for cut in cuts {
            let rest = content.split_off(cut.min(content.len()));
            bytes.extend(record(&std::mem::replace(&mut content, rest)));
        }
        bytes.extend(record(&content));
        let whole = read(&bytes);
        prop_assert_eq!(read_in(&bytes, &pieces, HelloLimits::default()).0, whole);
    }
}
