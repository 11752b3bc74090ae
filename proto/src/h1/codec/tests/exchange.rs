//! Which parts come when, and when the next exchange may begin.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_get_is_answered_and_another_may_follow() {
    let mut server = End::server();
    assert!(server.codec.is_idle() && server.codec.is_reusable());
    assert_eq!(server.receive(GET), "GET / Empty Host=a .");
    assert!(!server.codec.is_reusable() && server.codec.is_receive_done());
    assert_eq!(server.answer(200), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(server.codec.is_reusable() && server.codec.is_idle() && !server.codec.must_close());
}

#[test]
fn a40_pipelined_requests_wait_for_their_turn() {
    let mut server = End::server();
    let two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(server.receive(two), "GET /1 Empty Host=a .");
    assert!(server.codec.buffered_bytes() > 0);
    server.answer(200);
    assert!(server.codec.is_reusable() && !server.codec.is_idle());
    assert_eq!(server.poll(), "POST /2 Length(2) Host=a Content-Length=2 [hi] .");
    assert!(server.finish().is_empty());
    assert!(!server.codec.must_close());
    server.answer(200);
    assert!(server.codec.must_close());
}
