//! Any bytes as the beginning of a client's connection: in any pieces the same answer, and what is read of a hello
//! keeps its promises.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_proto::tls_hello::{ClientHello, HelloLimits, HelloParser, Progress};

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (is_small, pieces, bytes) = input;
    let limits = if is_small { HelloLimits { bytes: 100, records: 3 } } else { HelloLimits::default() };
    // As if it were the content of one record, too, or the fuzzer would spend its time on headers.
    let len = bytes.len().min(1 << 14);
    let framed = [&[22, 3, 1, (len >> 8) as u8, len as u8], &bytes[..len]].concat();
    for bytes in [&bytes, &framed] {
        assert_eq!(answer(bytes, &[], limits), answer(bytes, &pieces, limits));
    }
});

fn answer(bytes: &[u8], pieces: &[u8], limits: HelloLimits) -> String {
    let mut parser = HelloParser::new(limits);
    let mut rest = bytes;
    let mut pieces = pieces.iter().map(|&piece| usize::from(piece)).chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(pieces.next().unwrap()));
        rest = behind;
        match parser.on_bytes(piece) {
            Progress::NeedMore => {}
            other => {
                if let Progress::Hello(hello) = &other {
                    check(hello);
                }
                return format!("{other:?}");
            }
        }
    }
    assert!(parser.held_bytes() <= 2 * bytes.len() + 64);
    String::new()
}

fn check(hello: &ClientHello<'_>) {
    assert!(hello.session_id.len() <= 32);
    assert!(hello.protocols.iter().all(|name| !name.is_empty()));
    let listed: usize = hello.protocols.iter().map(|name| name.len() + 1).sum();
    assert_eq!(listed, hello.protocols.as_bytes().len());
    assert!(hello.versions().count() > 0);
    if let Some(host) = hello.server_name.host() {
        assert!(!host.is_empty() && host.len() <= 253 && !host.ends_with('.') && host.is_ascii());
    }
}
