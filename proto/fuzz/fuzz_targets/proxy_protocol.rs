//! Any bytes as a PROXY header: what is said of them is said of no shorter beginning, and what was read can be written
//! and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_proto::proxy_protocol::{Facts, Header, HeaderLimits, parse};

const LIMITS: HeaderLimits = HeaderLimits { v2_bytes: 4096 };

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (kind, bytes) = input;
    let opening: &[u8] = match kind % 4 {
        0 => b"",
        1 => b"PROXY ",
        2 => b"\r\n\r\n\0\r\nQUIT\n",
        _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
    };
    let bytes = [opening, &bytes].concat();
    let whole = parse(&bytes, &LIMITS);
    for end in 0..bytes.len().min(600) {
        let said = parse(&bytes[..end], &LIMITS);
        match &whole {
            Ok(Some((_, len))) if end >= *len => assert_eq!(said, whole),
            Ok(_) => assert_eq!(said, Ok(None)),
            Err(_) => assert!(said == Ok(None) || said == whole),
        }
    }
    if let Ok(Some((header, _))) = whole {
        let mut written = Vec::new();
        header.encode_v2(&mut written);
        let (read, len) = parse(&written, &HeaderLimits { v2_bytes: 1 << 16 }).unwrap().unwrap();
        assert_eq!((read, len), (header, written.len()));
        let mut line = Vec::new();
        Header { facts: Facts::default(), ..header }.encode_v1(&mut line);
        assert!(parse(&line, &LIMITS).unwrap().is_some());
    }
});
