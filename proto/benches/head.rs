//! The head parser against httparse on the same bytes: time, and with `--instructions` counts of callgrind.
//!
//! Ours makes a whole `RawRequest` or `RawResponse` (names classified, values trimmed, framing fields noted,
//! list allocated and freed); httparse makes its slices in a stack array that is not initialised first.
//!
//! `cargo bench -p ringway-proto --bench head [-- [--instructions] [NAME]]`
//!
//! 2026-11-23, AMD EPYC (family 26), AVX2, httparse 1.10.1; httparse / ringway in time (in instructions): Chrome
//! 1.5 (1.5), Firefox 1.4 (1.5), Safari 1.4 (1.3), CDN 1.8 (1.5), responses 1.0 to 1.6 (1.2 to 1.5); curl 0.8 (1.0)
//! and wrk 0.6 (0.7), where allocation and the assembled request weigh most; long cookies 2.9 (0.7). Byte by byte 18
//! (16). Scans alone 2.4 to 13 (1.6 to 4.3).

#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../tests/vectors/heads.rs"]
#[allow(unreachable_pub)]
mod heads;

use core::hint::black_box;
use core::mem::MaybeUninit;
use ringway_proto::chunk::Chunk;
use ringway_proto::h1::head::{HeadLimits, HeadParser};
use ringway_proto::scan;
use std::process::Command;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--repeat", index, side, times] => repeat(index.parse().unwrap(), side, times.parse().unwrap()),
        ["--instructions", ref rest @ ..] => report("instructions", rest.first().copied(), instructions),
        ref rest => report("ns", rest.first().copied(), nanoseconds),
    }
}

/// Something that both parsers do.
struct Case {
    name: String,
    bytes: usize,
    ours: Box<dyn FnMut()>,
    theirs: Box<dyn FnMut()>,
}

fn cases() -> Vec<Case> {
    let requests = heads::REQUESTS.iter().map(|&(name, head)| request(name, head.as_bytes()));
    let responses = heads::RESPONSES.iter().map(|&(name, head)| response(name, head.as_bytes()));
    let values = [8, 24, 50, 120, 400, 4000].map(value);
    let targets = [8, 24, 50, 120, 400, 4000].map(target);
    requests.chain(responses).chain([dribble()]).chain(values).chain(targets).collect()
}

/// A head that arrives byte by byte: httparse begins anew each time.
fn dribble() -> Case {
    let (_, head) = heads::REQUESTS[0];
    let received = Chunk::from(head.as_bytes().to_vec());
    let (mut parser, limits) = (HeadParser::new(), HeadLimits::default());
    let ours = move || {
        let mut lens = 1..=received.len();
        let len = lens
            .find_map(|len| parser.on_request_bytes(black_box(&received[..len]), &limits).expect("valid"));
        black_box(parser.take_request(received.slice(0..len.expect("complete"))));
    };
    let theirs = move || {
        let is_complete = |len: usize| {
            let mut fields = [const { MaybeUninit::uninit() }; 64];
            let bytes = black_box(&head.as_bytes()[..len]);
            let done = httparse::Request::new(&mut []).parse_with_uninit_headers(bytes, &mut fields);
            done.expect("valid").is_complete()
        };
        assert!((1..=head.len()).any(is_complete));
    };
    Case {
        name: "dribbling-chrome".into(),
        bytes: head.len(),
        ours: Box::new(ours),
        theirs: Box::new(theirs),
    }
}

fn request(name: &str, head: &'static [u8]) -> Case {
    let received = Chunk::from(head.to_vec());
    let (mut parser, limits) = (HeadParser::new(), HeadLimits::default());
    let ours = move || {
        let len = parser.on_request_bytes(black_box(&received), &limits).expect("valid").expect("complete");
        black_box(parser.take_request(received.slice(0..len)));
    };
    let theirs = move || {
        let mut fields = [const { MaybeUninit::uninit() }; 64];
        let mut request = httparse::Request::new(&mut []);
        let done = request.parse_with_uninit_headers(black_box(head), &mut fields).expect("valid");
        assert!(done.is_complete());
        black_box(&request);
    };
    Case { name: name.to_owned(), bytes: head.len(), ours: Box::new(ours), theirs: Box::new(theirs) }
}

fn response(name: &str, head: &'static [u8]) -> Case {
    let received = Chunk::from(head.to_vec());
    let (mut parser, limits) = (HeadParser::new(), HeadLimits::default());
    let ours = move || {
        let len = parser.on_response_bytes(black_box(&received), &limits).expect("valid").expect("complete");
        black_box(parser.take_response(received.slice(0..len)));
    };
    let config = httparse::ParserConfig::default();
    let theirs = move || {
        let mut fields = [const { MaybeUninit::uninit() }; 64];
        let mut response = httparse::Response::new(&mut []);
        let done = config.parse_response_with_uninit_headers(&mut response, black_box(head), &mut fields);
        assert!(done.expect("valid").is_complete());
        black_box(&response);
    };
    Case { name: name.to_owned(), bytes: head.len(), ours: Box::new(ours), theirs: Box::new(theirs) }
}

/// The value scan alone; httparse has none apart, so its smallest section with one field stands for it.
fn value(len: usize) -> Case {
    let text = format!("{}\r\n\r\n", "text/html,q=0.9;".repeat(len.div_ceil(16)).split_at(len).0);
    let section: &'static str = format!("a:{text}").leak();
    let ours = move || {
        assert!(black_box(scan::value(black_box(text.as_bytes()))) == len);
    };
    let theirs = move || {
        let mut fields = [httparse::EMPTY_HEADER; 1];
        assert!(
            httparse::parse_headers(black_box(section.as_bytes()), &mut fields).expect("valid").is_complete()
        );
        black_box(&fields);
    };
    Case { name: format!("scan-value-{len}"), bytes: len, ours: Box::new(ours), theirs: Box::new(theirs) }
}

/// The target scan alone against httparse's.
fn target(len: usize) -> Case {
    let text = format!(
        "{} HTTP/1.1\r\n",
        "/wp-content/uploads/2022/08/31/x".repeat(len.div_ceil(32)).split_at(len).0
    );
    let again = text.clone();
    let ours = move || {
        assert!(black_box(scan::target(black_box(text.as_bytes()))) == len);
    };
    let theirs = move || {
        let mut bytes = httparse::_benchable::Bytes::new(black_box(again.as_bytes()));
        black_box(httparse::_benchable::parse_uri(&mut bytes).expect("valid").is_complete());
    };
    Case { name: format!("scan-target-{len}"), bytes: len, ours: Box::new(ours), theirs: Box::new(theirs) }
}

fn report(unit: &str, only: Option<&str>, mut measure: impl FnMut(usize, &mut Case) -> (f64, f64)) {
    println!("{:<20} {:>6} {:>10} {:>10} {:>8}   ({unit})", "", "bytes", "ringway", "httparse", "ratio");
    for (index, mut case) in cases().into_iter().enumerate() {
        if only.is_some_and(|only| !case.name.contains(only)) {
            continue;
        }
        let (ours, theirs) = measure(index, &mut case);
        println!("{:<20} {:>6} {ours:>10.1} {theirs:>10.1} {:>8.2}", case.name, case.bytes, theirs / ours);
    }
}

/// The best of many rounds, taken in turns so that a change of the machine's mood meets both.
fn nanoseconds(_index: usize, case: &mut Case) -> (f64, f64) {
    let times = if case.name.starts_with("dribbling") { 20 } else { 2_000_000 / (case.bytes + 100) };
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..60 {
        best.0 = best.0.min(round(times, &mut case.ours));
        best.1 = best.1.min(round(times, &mut case.theirs));
    }
    best
}

fn round(times: usize, work: &mut dyn FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..times {
        work();
    }
    begin.elapsed().as_nanos() as f64 / times as f64
}

/// Counts by difference: what 1000 more repetitions cost.
fn instructions(index: usize, _case: &mut Case) -> (f64, f64) {
    let count = |side| (collected(index, side, 1500) - collected(index, side, 500)) / 1000.0;
    (count("ours"), count("theirs"))
}

fn collected(index: usize, side: &str, times: usize) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--repeat", &index.to_string(), side, &times.to_string()])
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&ran.stderr);
    let line = log.lines().find(|line| line.contains("Collected :")).expect("callgrind reports");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

fn repeat(index: usize, side: &str, times: usize) {
    let case = &mut cases()[index];
    let work = if side == "ours" { &mut case.ours } else { &mut case.theirs };
    for _ in 0..times {
        work();
    }
}
