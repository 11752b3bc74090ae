//! Bytes that are no request, or not in time, sent over real sockets.

use crate::harness::origin::Origin;
use crate::harness::proxy::{LISTEN, Proxy, ROUTE, exchange, get_kept, read_head};
use std::io::Write;

/// Each with the status that it is answered with.
const REFUSED: &[(&str, &str)] = &[
    ("GET / HTTP/1.1\r\n\r\n", "400"),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
    ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", "400"),
    ("GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n", "400"),
    ("GET /\u{1} HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
    ("GET / HTTP/1.1\nhost: a\n\n", "400"),
    ("GET / HTTP/3.0\r\nhost: a\r\n\r\n", "505"),
    ("G@T / HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "400"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", "400"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
    ("POST /hash HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "400"),
    ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", "405"),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}", "400"),
];

cases! {
    fn what_is_no_request_is_answered_and_ends_the_connection(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        for (bytes, status) in REFUSED {
            let answer = exchange(proxy.connect(), bytes.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer:?}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{bytes:?}: {answer:?}");
        }
        assert!(get_kept(&mut proxy.connect(), "/").starts_with("HTTP/1.1 200 "));
    }

    fn a_head_that_comes_byte_by_byte_is_a_request(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let mut stream = proxy.connect();
        for byte in b"GET /slowly HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
            stream.write_all(&[*byte]).expect("sent");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(exchange(stream, b"").contains("GET /slowly HTTP/1.1\r\n"));
    }

    fn a_head_that_does_not_end_in_time_is_answered_408(driver) {
        let origin = Origin::usual();
        let proxy = Proxy::run(driver, &format!(
            "{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\nlimits {{ header-timeout \"300ms\"; }}\n", origin.address
        ));
        let answer = exchange(proxy.connect(), b"GET / HTTP/1.1\r\nhost: a\r\n");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        // Who says nothing at all is owed nothing.
        assert_eq!(exchange(proxy.connect(), b""), "");
    }

    fn heads_and_contents_above_their_limits_are_refused(driver) {
        let origin = Origin::usual();
        let proxy = Proxy::run(driver, &format!(
            "{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n\
             limits {{ request-head \"4KiB\"; target \"1KiB\"; fields 20; request-body \"1MiB\"; }}\n", origin.address
        ));
        let long = "x".repeat(5000);
        let many = "a: b\r\n".repeat(30);
        for (request, status) in [
            (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", &long[..2000]), "414"),
            (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), "431"),
            (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), "431"),
            ("POST /hash HTTP/1.1\r\nhost: a\r\ncontent-length: 1048577\r\n\r\n".into(), "413"),
        ] {
            let answer = exchange(proxy.connect(), request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
        }
    }

    fn an_answer_that_is_no_http_is_502(driver) {
        for answer in ["HELLO\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na", ""] {
            let origin = Origin::start(move |peer| {
                peer.request()?;
                peer.send(answer)
            });
            let proxy = Proxy::to(driver, &origin.address);
            let mut stream = proxy.connect();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
            let head = read_head(&mut stream);
            assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
        }
    }
}
