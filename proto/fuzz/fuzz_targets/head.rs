//! Any bytes as a request head, a response head and a trailer section: in any pieces, with any instructions, the
//! same comes of them, and nothing is accepted that httparse refuses.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;
use oracle::{Kind, compare_with_httparse, said_by_all};
use ringway_proto::h1::head::HeadLimits;

/// Small, so that inputs reach them.
const SMALL: HeadLimits = HeadLimits { bytes: 150, fields: 3, target: 30 };

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (kind, pieces, bytes) = input;
    let kind = [Kind::Request, Kind::Response, Kind::Trailers][usize::from(kind % 3)];
    let pieces: Vec<usize> = pieces.iter().map(|&piece| usize::from(piece % 80)).collect();
    let said = said_by_all(kind, &bytes, &pieces, &HeadLimits::default());
    compare_with_httparse(kind, &bytes, &said);
    said_by_all(kind, &bytes, &pieces, &SMALL).ok();
});
