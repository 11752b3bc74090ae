use super::*;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LIMITS: HeaderLimits = HeaderLimits { v2_bytes: 1 << 16 };

fn v4(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn read(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Rule> {
    parse(bytes, &HeaderLimits::default())
}

/// What is said of `bytes` is said of none of its beginnings, or, where it is refused, of those that are long enough.
fn check_every_cut(bytes: &[u8]) {
    let whole = parse(bytes, &LIMITS);
    for end in 0..bytes.len() {
        let said = parse(&bytes[..end], &LIMITS);
        match &whole {
            Ok(Some((_, len))) if end >= *len => assert_eq!(said, whole, "{end}"),
            Ok(_) => assert_eq!(said, Ok(None), "{end}"),
            Err(_) => assert!(said == Ok(None) || said == whole, "{end}: {said:?}, then {whole:?}"),
        }
    }
}

#[test]
fn a_line_of_text_names_both_ends() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 80\r\nGET / HTTP/1.1\r\n";
    let (header, len) = read(line).unwrap().unwrap();
    let endpoints = Endpoints::Ip { source: v4("192.0.2.1:5000"), destination: v4("198.51.100.2:80") };
    assert_eq!(header, Header { endpoints, facts: Facts::default() });
    assert!(line[len..].starts_with(b"GET"));
    check_every_cut(line);

    let line = b"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 0 65535\r\n";
    let endpoints =
        Endpoints::Ip { source: v4("[2001:db8::1]:0"), destination: v4("[::ffff:10.0.0.1]:65535") };
    assert_eq!(read(line).unwrap().unwrap().0.endpoints, endpoints);
}

#[test]
fn a_line_that_knows_nothing_is_one_whatever_follows() {
    for line in
        ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "PROXY UNKNOWN  \t?\r\n"]
    {
        assert_eq!(read(line.as_bytes()).unwrap().unwrap().0.endpoints, Endpoints::Unknown, "{line}");
        check_every_cut(line.as_bytes());
    }
}

#[test]
fn a_line_that_is_not_exactly_one_is_refused() {
    for (line, rule) in [
        ("GET / HTTP/1.1\r\n", Rule::Missing),
        ("PROXY\tTCP4", Rule::Missing),
        ("PROXI", Rule::Missing),
        ("proxy TCP4", Rule::Missing),
        ("\r\nGET", Rule::Missing),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Rule::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", Rule::Line),
        ("PROXY \r\n", Rule::Words),
        ("PROXY TCP4\r\n", Rule::Words),
        ("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", Rule::Words),
        ("PROXY UNKNOWNS\r\n", Rule::Words),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Rule::Words),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", Rule::Words),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", Rule::Address),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", Rule::Address),
        ("PROXY TCP4 ::1 192.0.2.2 1 2\r\n", Rule::Address),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Rule::Address),
        ("PROXY TCP6 fe80::1%1 ::2 1 2\r\n", Rule::Address),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Rule::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Rule::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", Rule::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n", Rule::Port),
    ] {
        assert_eq!(read(line.as_bytes()), Err(rule), "{line:?}");
        check_every_cut(line.as_bytes());
    }
    let long = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16));
    assert!(read(long(107).as_bytes()).unwrap().is_some());
    assert_eq!(read(long(108).as_bytes()), Err(Rule::Line));
    assert_eq!(read(&[b"PROXY ".as_slice(), &[b'x'; 101]].concat()), Err(Rule::Line));
}

/// A header of version 2 as written by hand.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&v2::SIGNATURE[..], &[command, family], &len, rest].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x13, 0x88, 0, 80];

#[test]
fn a_binary_header_names_both_ends() {
    let bytes = binary(0x21, 0x11, V4);
    let endpoints = Endpoints::Ip { source: v4("192.0.2.1:5000"), destination: v4("198.51.100.2:80") };
    assert_eq!(read(&bytes), Ok(Some((Header { endpoints, facts: Facts::default() }, bytes.len()))));
    check_every_cut(&[&bytes[..], b"GET /"].concat());

    let paths = [&b"/run/a\0"[..], &[0; 101], b"\0name", &[0; 103]].concat();
    let bytes = binary(0x21, 0x31, &paths);
    let endpoints = Endpoints::Unix { source: b"/run/a", destination: b"\0name" };
    assert_eq!(read(&bytes).unwrap().unwrap().0.endpoints, endpoints);
}

#[test]
fn what_a_proxy_says_of_itself_is_discarded() {
    for family in [0x00, 0x11, 0x21, 0xff] {
        let bytes = binary(0x20, family, b"whatever");
        let header = Header { endpoints: Endpoints::Local, ..Header::default() };
        assert_eq!(read(&bytes), Ok(Some((header, bytes.len()))));
        check_every_cut(&bytes);
    }
    let unspecified = binary(0x21, 0x00, b"\x01\xff");
    assert_eq!(read(&unspecified), Ok(Some((Header::default(), unspecified.len()))));
}

#[test]
fn a_binary_header_that_is_not_exactly_one_is_refused() {
    let with = |facts: &[u8]| binary(0x21, 0x11, &[V4, facts].concat());
    for (bytes, rule) in [
        (binary(0x11, 0x11, V4), Rule::Command),
        (binary(0x22, 0x11, V4), Rule::Command),
        (binary(0x21, 0x13, V4), Rule::Family),
        (binary(0x21, 0x01, V4), Rule::Family),
        (binary(0x21, 0x10, V4), Rule::Family),
        (binary(0x21, 0x41, V4), Rule::Family),
        (binary(0x21, 0x11, &V4[1..]), Rule::Length),
        (binary(0x21, 0x21, V4), Rule::Length),
        (binary(0x21, 0x31, V4), Rule::Length),
        (binary(0x21, 0x11, &[0; 521]), Rule::TooLarge),
        (with(b"\x01"), Rule::Fact),
        (with(b"\x01\0\x03h2"), Rule::Fact),
        (with(&[&b"\x05\0\x81"[..], &[0; 129]].concat()), Rule::Fact),
        (with(b"\x20\0\x04\x01\0\0\0"), Rule::Fact),
        (with(b"\x20\0\x06\x01\0\0\0\0\x21"), Rule::Fact),
        (with(b"\x03\0\x03abc"), Rule::Fact),
        (with(b"\x03\0\x04abcd"), Rule::Checksum),
    ] {
        assert_eq!(read(&bytes), Err(rule), "{bytes:?}");
    }
    assert!(read(&binary(0x20, 0, &[0; 520])).unwrap().is_some());
    assert_eq!(read(b"\r\n\r\n\0\r\nQUIT\r"), Err(Rule::Missing));
}

#[test]
fn facts_are_read_and_those_that_are_not_known_are_skipped() {
    let tls = b"\x20\0\x22\x05\0\0\0\x01\x21\0\x07TLSv1.3\x22\0\x01a\x23\0\x06CIPHER\xee\0\x03new";
    let facts = [&b"\xe0\0\x02aa\x04\0\x03\0\0\0\x01\0\x02h2\x02\0\x01a\x30\0\x02ns"[..], tls].concat();
    let bytes = binary(0x21, 0x12, &[V4, &facts].concat());
    let facts = read(&bytes).unwrap().unwrap().0.facts;
    assert_eq!((facts.alpn, facts.authority), (Some(&b"h2"[..]), Some(&b"a"[..])));
    assert_eq!(facts.network_namespace, Some(&b"ns"[..]));
    let tls = facts.tls.unwrap();
    assert!(tls.is_secured && !tls.has_certificate && tls.had_certificate && !tls.is_verified);
    assert_eq!((tls.version, tls.common_name), (Some(&b"TLSv1.3"[..]), Some(&b"a"[..])));
    assert_eq!(tls.cipher, Some(&b"CIPHER"[..]));
}

#[test]
fn ends_of_two_families_are_written_as_one() {
    let endpoints = Endpoints::Ip { source: v4("192.0.2.1:1"), destination: v4("[::2]:2") };
    let header = Header { endpoints, ..Header::default() };
    let mut text = Vec::new();
    header.encode_v1(&mut text);
    assert_eq!(text, b"PROXY TCP6 ::ffff:192.0.2.1 ::2 1 2\r\n");
    let mut bytes = Vec::new();
    header.encode_v2(&mut bytes);
    assert_eq!(read(&bytes).unwrap().unwrap().0, read(&text).unwrap().unwrap().0);
}

#[test]
fn a_damaged_header_with_a_checksum_is_refused() {
    let endpoints = Endpoints::Ip { source: v4("192.0.2.1:1"), destination: v4("192.0.2.2:2") };
    let facts = Facts { has_checksum: true, authority: Some(b"a.example"), ..Facts::default() };
    let mut bytes = Vec::new();
    Header { endpoints, facts }.encode_v2(&mut bytes);
    for bit in 8 * 16..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // One whose type was damaged is none; all others notice.
        let is_lost = damaged[28] != 3;
        assert!(is_lost || read(&damaged).is_err(), "bit {bit}");
    }
}

fn text(len: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(prop::collection::vec(any::<u8>(), 0..len))
}

/// Flags and texts.
type Facets = (Vec<bool>, Vec<Option<Vec<u8>>>);

fn tls() -> impl Strategy<Value = Option<Facets>> {
    option::of((prop::collection::vec(any::<bool>(), 4), prop::collection::vec(text(20), 5)))
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        kind in 0..5,
        addresses in any::<([u8; 4], [u8; 4], [u8; 16], [u8; 16], u16, u16)>(),
        paths in (prop::collection::vec(1u8.., 0..108), prop::collection::vec(1u8.., 0..108)),
        texts in prop::collection::vec(text(40), 4),
        tls in tls(),
        has_checksum in any::<bool>(),
        behind in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let (a, b, c, d, from, to) = addresses;
        let endpoints = match kind {
            0 => Endpoints::Ip { source: (a, from).into(), destination: (b, to).into() },
            1 => Endpoints::Ip { source: (c, from).into(), destination: (d, to).into() },
            2 => Endpoints::Unix { source: &paths.0, destination: &paths.1 },
            3 => Endpoints::Local,
            _ => Endpoints::Unknown,
        };
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        let tls = tls.as_ref().map(|(flags, texts)| Tls {
            is_secured: flags[0],
            has_certificate: flags[1],
            had_certificate: flags[2],
            is_verified: flags[3],
            version: texts[0].as_deref(),
            cipher: texts[1].as_deref(),
            common_name: texts[2].as_deref(),
            signature_algorithm: texts[3].as_deref(),
            key_algorithm: texts[4].as_deref(),
        });
        let facts = Facts {
            alpn: texts[0],
            authority: texts[1],
            unique_id: texts[2],
            network_namespace: texts[3],
            tls,
            has_checksum,
        };
        let facts = if kind < 3 { facts } else { Facts::default() };
        let header = Header { endpoints, facts };
        let mut bytes = Vec::new();
        header.encode_v2(&mut bytes);
        let len = bytes.len();
        bytes.extend(&behind);
        prop_assert_eq!(parse(&bytes, &LIMITS), Ok(Some((header, len))));
        check_every_cut(&bytes);

        let mut line = Vec::new();
        header.encode_v1(&mut line);
        let endpoints = if kind < 2 { endpoints } else { Endpoints::Unknown };
        let said = parse(&line, &LIMITS);
        prop_assert_eq!(said, Ok(Some((Header { endpoints, facts: Facts::default() }, line.len()))));
    }

    #[test]
    fn any_bytes_are_answered_alike_in_any_pieces(
        opening in select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        changes in prop::collection::vec((any::<Index>(), select(b" \r\n0129.:\0\x11\x20\x21".to_vec())), 0..4),
    ) {
        let mut bytes = [opening, &bytes].concat();
        for (index, byte) in changes {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        check_every_cut(&bytes);
    }
}
