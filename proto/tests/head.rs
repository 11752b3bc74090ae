//! The head parser as its users see it: recorded heads and vectors, any bytes in any pieces, and httparse.
//!
//! `UPDATE_EXPECT=1 cargo test -p ringway-proto --test head` writes what is said into `vectors/head.txt`; read
//! the difference before it is committed.

#[path = "vectors/heads.rs"]
#[allow(unreachable_pub, reason = "benches have it too")]
mod heads;
#[allow(unreachable_pub, reason = "the fuzz target has it too")]
mod oracle;

use oracle::{Kind, Said, compare_with_httparse, said_by_all};
use proptest::prelude::*;
use ringway_proto::h1::head::HeadLimits;
use ringway_proto::rules::Rule;

/// Small enough for vectors to pass them.
const SMALL: HeadLimits = HeadLimits { bytes: 200, fields: 4, target: 40 };

#[test]
fn recorded_heads_are_read_as_httparse_reads_them_in_any_two_pieces() {
    let limits = HeadLimits::default();
    let requests = heads::REQUESTS.iter().map(|&head| (Kind::Request, head));
    let responses = heads::RESPONSES.iter().map(|&head| (Kind::Response, head));
    for (kind, (name, head)) in requests.chain(responses) {
        let head = head.as_bytes();
        for cut in 0..=head.len() {
            let said = said_by_all(kind, head, &[cut], &limits);
            assert!(matches!(&said, Ok(Some(read)) if read.len == head.len()), "{name} {cut}");
            compare_with_httparse(kind, head, &said);
            // What is behind a head does not belong to it.
            let mut more = head.to_vec();
            more.extend_from_slice(&head[..cut]);
            assert_eq!(said_by_all(kind, &more, &[cut], &limits), said, "{name} {cut}");
            if cut < head.len() {
                assert_eq!(said_by_all(kind, &head[..cut], &[cut / 2], &limits), Ok(None), "{name} {cut}");
            }
        }
    }
}

#[test]
fn any_byte_anywhere_in_a_recorded_head_is_judged_alike_in_pieces_and_no_wider_than_httparse() {
    let limits = HeadLimits::default();
    for &(name, head) in
        heads::REQUESTS.iter().filter(|(name, _)| ["curl", "wrk", "websocket"].contains(name))
    {
        for at in 0..head.len() {
            for byte in 0..=255 {
                let mut bytes = head.as_bytes().to_vec();
                bytes[at] = byte;
                let said =
                    oracle::said(Kind::Request, ringway_proto::scan::Backend::get(), &bytes, &[], &limits);
                compare_with_httparse(Kind::Request, &bytes, &said);
                if at % 7 == 0 {
                    assert_eq!(
                        said_by_all(Kind::Request, &bytes, &[at], &limits),
                        said,
                        "{name} {at} {byte}"
                    );
                }
            }
        }
    }
}

/// One vector: its title, what is read, and what came of it when it was last looked at.
struct Vector<'a> {
    title: &'a str,
    kind: Kind,
    escaped: &'a str,
    expected: &'a str,
}

#[test]
fn vectors_are_judged_as_they_were_and_alike_in_pieces() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/head.txt");
    let file = std::fs::read_to_string(path).expect("the vectors are there");
    let (comment, rest) = file.split_once("\n\n").expect("a comment comes first");
    let mut updated = format!("{comment}\n");
    for block in rest.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let vector = parse_vector(block);
        let bytes = unescape(vector.escaped);
        let said = describe(&said_by_all(vector.kind, &bytes, &[bytes.len() / 2], &SMALL));
        if std::env::var_os("UPDATE_EXPECT").is_none() {
            assert_eq!(said, vector.expected, "{}: {}", vector.title, vector.escaped);
        }
        let kind = format!("{:?}", vector.kind).to_lowercase();
        updated += &format!("\n{}\n{kind} {}\n{said}\n", vector.title, vector.escaped);
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, updated).expect("the vectors can be written");
    }
}

fn parse_vector(block: &str) -> Vector<'_> {
    let mut lines = block.lines();
    let title = lines.next().expect("a title");
    let (kind, escaped) = lines.next().and_then(|line| line.split_once(' ')).expect("what is read");
    let kind = match kind {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "trailers" => Kind::Trailers,
        _ => panic!("{title}: {kind}"),
    };
    Vector { title, kind, escaped, expected: lines.next().unwrap_or_default() }
}

/// The bytes of `\r`, `\n`, `\t`, `\xNN`, `\\`, of `{x*20}` for twenty `x`, and of what stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\\' => {
                let hex = || u8::from_str_radix(&rest[2..4], 16).expect("two digits");
                let (byte, taken) = match &rest[1..2] {
                    "r" => (b'\r', 2),
                    "n" => (b'\n', 2),
                    "t" => (b'\t', 2),
                    "x" => (hex(), 4),
                    _ => (rest.as_bytes()[1], 2),
                };
                bytes.push(byte);
                taken
            }
            '{' => {
                let (inside, _) = rest[1..].split_once('}').expect("a repetition");
                let (what, times) = inside.rsplit_once('*').expect("a repetition");
                bytes.extend(unescape(what).repeat(times.parse().expect("a number")));
                inside.len() + 2
            }
            other => {
                bytes.extend(other.encode_utf8(&mut [0; 4]).bytes());
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    bytes
}

fn describe(said: &Said) -> String {
    match said {
        Err(rule) => format!("refused: {rule}"),
        Ok(None) => "wants more".to_owned(),
        Ok(Some(read)) => {
            let (first, second) = &read.start;
            let fields =
                read.fields.iter().map(|(name, value)| format!(" {}=[{}]", shorten(name), shorten(value)));
            let start = format!("{} {} 1.{}", shorten(first), shorten(second), read.minor);
            format!("{} bytes: {start}{}", read.len, fields.collect::<String>())
        }
    }
}

fn shorten(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 50 { format!("{}..({})", &text[..20], bytes.len()) } else { text }
}

/// Pieces that heads are made of, right and wrong.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "GET",
        "POST",
        "OPTIONS",
        "CONNECT",
        "/",
        "*",
        "http://",
        "HTTPS://",
        "h:1",
        "a.b",
        "u@",
        "[::1]",
        " ",
        "  ",
        "\t",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        ":",
        ": ",
        " : ",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/0.9",
        "200",
        "99",
        "600",
        "OK",
        "Host",
        "host: a",
        "Content-Length: 5",
        "Transfer-Encoding",
        "TE",
        "x",
        "X-Unknown-Name",
        "access-control-allow-credentials",
        "access-control-request-headers",
        "\0",
        "\x7f",
        "#",
        "\"",
        "(",
        "?",
        ",",
        "=",
        "é",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
        1 => (b'!'..=b'~', 1..70_usize).prop_map(|(byte, times)| vec![byte; times]),
    ]
}

/// Something like a head: a usual beginning, mostly usual fields, and pieces in between.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let start = proptest::sample::select(
        [
            "GET / HTTP/1.1\r\n",
            "POST /a?b=c HTTP/1.0\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT a:1 HTTP/1.1\r\n",
            "GET http://a/b HTTP/1.1\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 204\r\n",
            "HTTP/1.0 404 Not Found\r\n",
            "\r\nGET / HTTP/1.1\r\n",
            "",
            "",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
    );
    let field = prop_oneof![
        3 => "[A-Za-z-]{1,40}: ?[ -~]{0,80}\r\n".prop_map(String::into_bytes),
        3 => proptest::sample::select(ringway_proto::message::Name::ALL.to_vec())
            .prop_map(|name| format!("{}: v\r\n", name.text()).into_bytes()),
        2 => proptest::sample::select(vec!["Host", "TE", "te", "Via", "Connection", "UPGRADE", "Content-Length"])
            .prop_map(|name| format!("{name}: v\r\n").into_bytes()),
        1 => piece(),
    ];
    let end = prop_oneof![3 => Just(b"\r\n".to_vec()), 1 => piece()];
    (start, proptest::collection::vec(field, 0..8), end, proptest::collection::vec(piece(), 0..3))
        .prop_map(|(start, fields, end, rest)| [start, fields.concat(), end, rest.concat()].concat())
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(vec![Kind::Request, Kind::Response, Kind::Trailers])
}

fn check(kind: Kind, bytes: &[u8], pieces: &[usize]) {
    let said = said_by_all(kind, bytes, pieces, &HeadLimits::default());
    compare_with_httparse(kind, bytes, &said);
    let small = said_by_all(kind, bytes, pieces, &SMALL);
    let is_limit =
        |rule| matches!(rule, Rule::TargetTooLong | Rule::HeadTooLarge | Rule::TooManyFields | Rule::Trailer);
    assert!(
        small == said || matches!(small, Err(rule) if is_limit(rule)),
        "limits only refuse: {small:?} {said:?}"
    );
}

/// Longer than what is generated below, so said here.
#[test]
fn limits_are_differences_that_the_list_has() {
    let many = "a: b\r\n".repeat(HeadLimits::default().fields + 1);
    for (kind, start) in
        [(Kind::Request, "GET / HTTP/1.1\r\n"), (Kind::Response, "HTTP/1.1 200 OK\r\n"), (Kind::Trailers, "")]
    {
        check(kind, format!("{start}{many}\r\n").as_bytes(), &[1000]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_judged_alike_in_pieces_and_no_wider_than_httparse(
        kind in any_kind(),
        bytes in head(),
        pieces in proptest::collection::vec(0..40_usize, 0..6),
    ) {
        check(kind, &bytes, &pieces);
    }

    #[test]
    fn pieces_in_any_order_are_judged_alike_and_no_wider_than_httparse(
        kind in any_kind(),
        bytes in proptest::collection::vec(piece(), 0..12),
        pieces in proptest::collection::vec(0..40_usize, 0..6),
    ) {
        check(kind, &bytes.concat(), &pieces);
    }
}
