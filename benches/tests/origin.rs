//! The origin answers what its documentation says, byte for byte.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::Program;

/// Sends `bytes` in pieces of `step` and returns all that comes until the origin closes.
fn converse(bytes: &[u8], step: usize) -> String {
    let origin = Program::start(env!("CARGO_BIN_EXE_origin"), &["127.0.0.1:0"]);
    let mut stream = TcpStream::connect(origin.addr).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(step) {
        stream.write_all(piece).unwrap();
    }
    let mut out = String::new();
    stream.read_to_string(&mut out).unwrap();
    out
}

fn bodies(out: &str) -> Vec<&str> {
    let mut rest = out;
    let mut bodies = Vec::new();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let length = head.split("Content-Length: ").nth(1).map_or("0", |l| l.lines().next().unwrap());
        let (body, after) = after.split_at(length.parse().unwrap());
        bodies.push(body);
        rest = after;
    }
    assert!(rest.is_empty());
    bodies
}

const EVERYTHING: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
    GET /1k HTTP/1.1\r\nHost: a\r\n\r\n\
    POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
    GET /size/70000 HTTP/1.1\r\n\r\n\
    POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;q\r\n0123456789abcdef\r\n0\r\n\r\n\
    GET /dribble/300 HTTP/1.1\r\n\r\n\
    GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n";

#[test]
fn pipelined_requests_of_every_kind_are_answered_in_order_however_they_are_cut() {
    for step in [EVERYTHING.len(), 1, 7, 50] {
        let out = converse(EVERYTHING, step);
        let lengths: Vec<usize> = bodies(&out).iter().map(|body| body.len()).collect();
        assert_eq!(lengths, [1, 1024, 1, 70_000, 2, 300, 1], "in pieces of {step}");
        assert_eq!((bodies(&out)[2], bodies(&out)[4]), ("5", "19"));
    }
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let out = converse(b"GET /16k HTTP/1.0\r\n\r\n", 100);
    assert!(out.contains("Connection: close") && bodies(&out)[0].len() == 16 * 1024);
}

#[test]
fn a_large_body_waits_for_a_slow_reader() {
    let origin = Program::start(env!("CARGO_BIN_EXE_origin"), &["127.0.0.1:0"]);
    let mut stream = TcpStream::connect(origin.addr).unwrap();
    stream.write_all(b"GET /size/30000000 HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    // Longer than any socket buffer: the origin has to stop and go on.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut out = Vec::new();
    stream.read_to_end(&mut out).unwrap();
    assert_eq!(out.len() - 30_000_000, out.iter().position(|&b| b == b'\r').unwrap() + REST_OF_HEAD);
    stream.shutdown(Shutdown::Both).ok();
}

const REST_OF_HEAD: usize =
    "\r\nContent-Type: text/plain\r\nContent-Length: 30000000\r\nConnection: close\r\n\r\n".len();
