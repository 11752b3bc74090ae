//! The relay forwards every byte in order and keeps nothing, whatever its clients do.

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::Program;

/// The byte at `at` of every body: a shift, a gap or an overtaking piece shows.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8
}

/// An origin whose bodies are not all the same byte: `/N` has N bytes, in uneven writes.
fn patterned_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that goes away in the middle ends its connection here too.
            std::thread::spawn(move || stream.and_then(answer).err());
        }
    });
    addr
}

fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(|&b| b == b' ').nth(1).unwrap();
        let length: usize = std::str::from_utf8(&path[1..]).unwrap().parse().unwrap();
        let mut out = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        out.extend((0..length).map(byte));
        for (number, piece) in out.chunks(30_011).enumerate() {
            (&stream).write_all(&piece[..piece.len() / 2])?;
            if number % 16 == 0 {
                std::thread::sleep(Duration::from_micros(300));
            }
            (&stream).write_all(&piece[piece.len() / 2..])?;
        }
    }
}

fn start() -> Program {
    let upstream = patterned_origin().to_string();
    Program::start(env!("CARGO_BIN_EXE_bare_relay"), &["127.0.0.1:0", &upstream])
}

fn get(length: usize) -> Vec<u8> {
    format!("GET /{length} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn expect_body(reader: &mut impl BufRead, length: usize) {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "closed early");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let wrong = body.iter().enumerate().position(|(at, &found)| found != byte(at));
    assert_eq!(wrong, None, "in a body of {length}");
}

const LENGTHS: [usize; 9] = [0, 1, 1000, 32_000, 32_768, 65_536, 300_000, 1_048_576, 5];

#[test]
fn bodies_of_any_size_arrive_unchanged_over_one_connection() {
    let relay = start();
    let mut reader = BufReader::new(TcpStream::connect(relay.addr).unwrap());
    for length in LENGTHS {
        reader.get_ref().write_all(&get(length)).unwrap();
        expect_body(&mut reader, length);
    }
}

#[test]
fn pipelined_and_cut_requests_are_answered_in_order() {
    let relay = start();
    let requests: Vec<u8> = LENGTHS.into_iter().flat_map(get).collect();
    for step in [requests.len(), 1, 40] {
        let stream = TcpStream::connect(relay.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        requests.chunks(step).for_each(|piece| (&stream).write_all(piece).unwrap());
        let mut reader = BufReader::new(stream);
        LENGTHS.into_iter().for_each(|length| expect_body(&mut reader, length));
    }
}

#[test]
fn stalled_clients_get_everything_and_hold_up_nobody() {
    let relay = start();
    // Together far more than the relay's buffers and the sockets hold.
    let stalled: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(relay.addr).unwrap()).collect();
    for mut stream in &stalled {
        for _ in 0..8 {
            stream.write_all(&get(1_048_576)).unwrap();
        }
    }
    let mut brisk = BufReader::new(TcpStream::connect(relay.addr).unwrap());
    for _ in 0..20 {
        brisk.get_ref().write_all(&get(100_000)).unwrap();
        expect_body(&mut brisk, 100_000);
    }
    for stream in stalled {
        let mut reader = BufReader::new(stream);
        (0..8).for_each(|_| expect_body(&mut reader, 1_048_576));
    }
}

#[test]
fn clients_that_leave_at_any_point_leave_nothing_behind() {
    let relay = start();
    let before = relay.descriptors();
    for round in 0..400 {
        let mut stream = TcpStream::connect(relay.addr).unwrap();
        let request = get(if round % 2 == 0 { 2_000_000 } else { 10 });
        stream.write_all(&request[..request.len().min(1 + round)]).unwrap();
        if round % 3 == 0 {
            let mut some = [0; 1000];
            stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            // Whether and what comes in time does not matter.
            let _ = stream.read(&mut some);
        }
    }
    // What remains are idle upstream connections, one for each exchange that ran at the same time.
    for _ in 0..100 {
        if relay.descriptors() <= before + 20 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} descriptors, {before} before", relay.descriptors());
}
