//! What arrives is passed on at once, in both directions: order is what is looked at, never time.

use crate::harness::PATIENCE;
use crate::harness::origin::{Origin, Peer};
use crate::harness::proxy::{Proxy, read_exactly, read_head};
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// An origin that sends a head and then the pieces that it is given, each as soon as it is given.
fn told(head: &'static str, is_chunked: bool) -> (Origin, Sender<&'static str>) {
    let (pieces, told): (Sender<&str>, Receiver<&str>) = channel();
    let told = Mutex::new(told);
    let origin = Origin::start(move |peer: &mut Peer| {
        peer.request()?;
        peer.send(head)?;
        for piece in told.lock().unwrap().iter() {
            if is_chunked { peer.send_chunk(piece.as_bytes())? } else { peer.send(piece)? }
        }
        if is_chunked { peer.send("0\r\n\r\n") } else { Ok(()) }
    });
    (origin, pieces)
}

const EVENTS: &[&str] = &["data: 1\n\n", "data: 2\n\n", ":\n\n", "data: 3\n\n", "data: last\n\n"];

cases! {
    fn an_event_arrives_before_the_next_one_is_sent(driver) {
        const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        const CLOSING: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        for (head, is_chunked) in [(CHUNKED, true), (CLOSING, false)] {
            let (origin, pieces) = told(head, is_chunked);
            let proxy = Proxy::to(driver, &origin.address);
            let mut curl = Command::new("curl")
                .args(["-q", "-sSN", "--max-time", "60", &proxy.url("/events")])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .expect("curl runs");
            let mut out = curl.stdout.take().expect("piped");
            for event in EVENTS {
                pieces.send(event).expect("the origin listens");
                // curl's own time limit is what ends this when the event does not come.
                assert_eq!(read_exactly(&mut out, event.len()), *event);
            }
            drop(pieces);
            assert_eq!(io::read_to_string(out).expect("text"), "");
            assert!(curl.wait().expect("it ends").success(), "chunked: {is_chunked}");
        }
    }

    fn a_response_head_arrives_before_its_content(driver) {
        let (origin, pieces) = told("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false);
        let proxy = Proxy::to(driver, &origin.address);
        let mut stream = proxy.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 "));
        for piece in ["h", "ell", "o"] {
            pieces.send(piece).expect("the origin listens");
            assert_eq!(read_exactly(&mut stream, piece.len()), piece);
        }
    }

    fn content_of_a_request_arrives_before_more_of_it_is_sent(driver) {
        let (arrived, arrivals) = channel();
        let arrived = Mutex::new(arrived);
        let origin = Origin::start(move |peer| {
            let request = peer.request()?.expect("a request");
            let arrived = arrived.lock().unwrap().clone();
            peer.content(&request, |bytes| arrived.send(bytes.to_vec()).map_err(io::Error::other))?;
            peer.reply(200, "all")
        });
        let proxy = Proxy::to(driver, &origin.address);
        let mut stream = proxy.connect();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").expect("sent");
        for piece in ["first", "second", "third"] {
            write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).expect("sent");
            let mut received = Vec::new();
            while received.len() < piece.len() {
                received.extend(arrivals.recv_timeout(PATIENCE).expect("it arrives"));
            }
            assert_eq!(received, piece.as_bytes());
        }
        stream.write_all(b"0\r\n\r\n").expect("sent");
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 "));
    }

    fn trailers_of_a_request_arrive(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let mut stream = proxy.connect();
        stream
            .write_all(b"POST /hash HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\
                         connection: close\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        assert!(answer.to_lowercase().contains("\"x-sum: 6\""), "{answer}");
    }

    /// Half a response must never look like a whole one.
    fn a_response_that_breaks_off_is_cut(driver) {
        for (head, is_chunked) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true),
        ] {
            let origin = Origin::start(move |peer| {
                peer.request()?;
                peer.send(head)?;
                if is_chunked { peer.send_chunk(b"half") } else { peer.send("half") }
            });
            let proxy = Proxy::to(driver, &origin.address);
            let output = crate::harness::programs::run("curl", &["-q", "-s", "--max-time", "30", &proxy.url("/")]);
            // 18: a partial file; 56: the connection was reset.
            let code = output.status.code();
            assert!(matches!(code, Some(18 | 56)), "{code:?} {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
