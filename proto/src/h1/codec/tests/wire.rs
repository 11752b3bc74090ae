//! What leaves, to the byte.

use super::*;
use crate::chunk::COPY_BELOW_BYTES;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
const OLD_KEPT: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n";

#[test]
fn an_untouched_message_leaves_as_it_came() {
    let request = "PUT /a?b=%20&c HTTP/1.1\r\nhOST: a\r\nX-Odd:\t spaced \t\r\nEmpty:\r\nContent-Length:2\r\nX: 1\r\n\r\nhi";
    assert_eq!(relayed_request(request), request);
    let response =
        "HTTP/1.1 299 Odd reason\r\nX-Odd:\t spaced \r\nX: 2\r\nX: 1\r\ncontent-LENGTH: 3\r\n\r\nabc";
    assert_eq!(relayed_response(GET, response), response);
}

#[test]
fn edits_are_written_where_they_belong() {
    let mut parts = request_parts("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n");
    let Part::Request(head) = &mut parts[0] else { panic!() };
    head.fields.set(b"b", b"two").unwrap();
    head.fields.remove_named(b"c");
    head.fields.append(b"e", b"5").unwrap();
    let mut client = End::client();
    for part in parts {
        client.send(part);
    }
    assert_eq!(client.sent(), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nb: two\r\nD: 4\r\ne: 5\r\n\r\n");
}

#[test]
fn what_concerns_the_connection_is_never_copied() {
    let request = "GET / HTTP/1.1\r\nKeep-Alive: 5\r\nHost: a\r\nConnection: keep-alive, x\r\nProxy-Connection: x\r\n\
        A: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nX: y\r\n\r\n";
    assert_eq!(relayed_request(request), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nX: y\r\n\r\n");
    let response = "HTTP/1.1 200 OK\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\nKeep-Alive: timeout=5\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(relayed_response(GET, response), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a5_the_version_is_our_own() {
    assert_eq!(relayed_request(OLD), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = "HTTP/1.0 200 Fine\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(relayed_response(GET, response), "HTTP/1.1 200 Fine\r\nContent-Length: 1\r\n\r\nx");
}

#[test]
fn a9_a10_an_absolute_target_goes_out_in_origin_form() {
    let out = |line: &str| {
        let sent = relayed_request(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        sent.split(" HTTP").next().unwrap().to_owned()
    };
    assert_eq!(out("GET http://a/x?y"), "GET /x?y");
    assert_eq!(out("GET http://a"), "GET /");
    assert_eq!(out("GET http://a?x/y"), "GET /?x/y");
    assert_eq!(out("OPTIONS http://a?"), "OPTIONS /?");
    assert_eq!(out("OPTIONS http://a"), "OPTIONS *");
    assert_eq!(out("OPTIONS http://a/"), "OPTIONS /");
    assert_eq!(out("OPTIONS *"), "OPTIONS *");
    let without_host = relayed_request("GET http://a:81/x HTTP/1.0\r\nA: b\r\n\r\n");
    assert_eq!(without_host, "GET /x HTTP/1.1\r\nHost: a:81\r\nA: b\r\n\r\n");
    assert_eq!(relayed_request("GET /x HTTP/1.0\r\n\r\n"), "GET /x HTTP/1.1\r\nHost: \r\n\r\n");
}

#[test]
fn a11_the_status_line_has_its_space_without_a_reason() {
    let response = relayed_response(GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    let response = relayed_response(GET, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    let mut server = End::server();
    server.receive(GET);
    assert_eq!(server.answer(299), "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_changed_status_does_not_keep_the_received_reason() {
    let mut parts = response_parts("HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n");
    let Part::Response(head) = &mut parts[0] else { panic!() };
    head.status = Status(503);
    let mut server = End::server();
    server.receive(GET);
    for part in parts {
        server.send(part);
    }
    assert_eq!(server.sent(), "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a24_never_both_length_and_encoding_are_sent() {
    // A filter that adds a field cannot change how the message is framed.
    for (body, framing) in [
        (Body::Length(3), "content-length: 3\r\n"),
        (Body::Length(4), "Content-Length: 4\r\n"),
        (Body::Streamed, "Transfer-Encoding: chunked\r\n"),
    ] {
        let mut head = ResponseHead::local(Status::OK, body);
        head.fields.append(b"content-length", b"3").unwrap();
        head.fields.append(b"transfer-encoding", b"gzip").unwrap();
        head.fields.append(b"content-length", b"5").unwrap();
        let mut server = End::server();
        server.receive(GET);
        server.send(Part::Response(head));
        assert_eq!(server.sent(), format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
    }
}

#[test]
fn b25_a_repeated_length_leaves_once() {
    let request = "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(relayed_request(request), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let request = "POST / HTTP/1.1\r\nContent-Length: 002\r\nHost: a\r\n\r\nhi";
    assert_eq!(relayed_request(request), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n";
    assert_eq!(relayed_response(HEAD, response), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
}

#[test]
fn a_request_says_that_it_is_empty_where_that_is_expected() {
    let out = |method: &str, fields: &str| {
        relayed_request(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    };
    assert!(!out("GET", "").contains("Length"));
    assert!(!out("DELETE", "").contains("Length"));
    assert!(out("GET", "Content-Length: 0\r\n").ends_with("\r\nContent-Length: 0\r\n\r\n"));
    assert!(out("POST", "").ends_with("\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn chunks_are_framed_anew_and_trailers_follow() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n\
        3;ext=\"x\"\r\nabc\r\n0;last\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n";
    let sent =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(relayed_request(request), sent);
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(relayed_response(GET, response), response);
}

#[test]
fn large_data_are_referenced_and_framed_in_hexadecimal() {
    let mut server = End::server();
    server.receive(GET);
    let data = Chunk::from(vec![b'x'; 0x1234]);
    assert!(data.len() > COPY_BELOW_BYTES);
    server.send(Part::Response(ResponseHead::local(Status::OK, Body::Streamed)));
    server.sent();
    server.send(Part::Data(data)).send(Part::End);
    let mut slices = Vec::new();
    server.out.visit(|slice| {
        slices.push(slice.len());
        true
    });
    assert_eq!(slices, [6, 0x1234, 7]);
    assert!(server.sent().starts_with("1234\r\nxx"));
}

#[test]
fn a_response_until_close_becomes_chunked() {
    let sent = relayed_response(GET, "HTTP/1.1 200 OK\r\nA: b\r\n\r\nabc");
    assert_eq!(sent, "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn a21_no_encoding_to_an_http10_client() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    for request in [OLD, OLD_KEPT] {
        assert_eq!(relayed_response(request, chunked), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    }
}

#[test]
fn a39_an_http10_client_is_kept_only_when_it_asked() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let closed = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    assert_eq!(relayed_response(OLD, response), closed);
    let kept = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx";
    assert_eq!(relayed_response(OLD_KEPT, response), kept);
    let both = "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n";
    assert_eq!(relayed_response(both, response), closed);
}

#[test]
fn a20_b24_a31_unframed_responses_are_unframed() {
    let framed = "Content-Length: 5\r\n\r\n";
    assert_eq!(
        relayed_response(GET, &format!("HTTP/1.1 204 No Content\r\n{framed}")),
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
    let chunked = "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(relayed_response(GET, chunked), "HTTP/1.1 204 No Content\r\n\r\n");
    let early =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    let hinted = relayed_response(GET, &format!("{early}HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(hinted, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    let mut relay = Relay::new();
    relay.request("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    let connected =
        relay.response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n");
    assert_eq!(connected, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
}

#[test]
fn b27_head_and_304_keep_the_length_and_have_no_content() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(relayed_response(HEAD, length), length);
    let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(relayed_response(GET, not_modified), not_modified);
    assert_eq!(relayed_response(HEAD, "HTTP/1.1 200 OK\r\n\r\n"), "HTTP/1.1 200 OK\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(relayed_response(HEAD, chunked), "HTTP/1.1 200 OK\r\n\r\n");
    // A page of our own in answer to HEAD.
    let mut server = End::server();
    server.receive(HEAD);
    server.send(Part::Response(ResponseHead::local(Status::OK, Body::Length(3))));
    server.send(Part::Data(Chunk::from(b"abc".to_vec()))).send(Part::End);
    assert_eq!(server.sent(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    assert!(server.codec.is_reusable());
}

#[test]
fn b37_a_205_has_no_content() {
    let response = "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(relayed_response(GET, response), "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn b35_interim_responses_pass_but_not_to_http10() {
    let response = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(relayed_response(GET, response), response);
    let old = relayed_response(OLD, response);
    assert_eq!(old, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[test]
fn a35_b31_te_goes_with_connection_te() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n";
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    assert_eq!(relayed_request(request), sent);
}

#[test]
fn b36_an_upgrade_is_asked_and_answered_hop_by_hop() {
    let mut parts =
        request_parts("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    let Part::Request(head) = &mut parts[0] else { panic!() };
    head.upgrade = Some(b"websocket".as_slice().into());
    let mut client = End::client();
    for part in parts {
        client.send(part);
    }
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(client.sent(), sent);
    let mut head = ResponseHead::local(Status::SWITCHING_PROTOCOLS, Body::Empty);
    head.upgrade = Some(b"websocket".as_slice().into());
    let mut server = End::server();
    server.receive(sent);
    server.send(Part::Response(head));
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(server.sent(), answer);
}

#[test]
fn the_last_exchange_says_so() {
    let mut server = End::server();
    server.codec.set_last();
    server.receive(GET);
    assert_eq!(server.answer(200), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(server.codec.must_close() && !server.codec.is_reusable());
    let mut client = End::client();
    client.codec.set_last();
    for part in request_parts("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n") {
        client.send(part);
    }
    assert!(client.sent().ends_with("\r\nConnection: close, TE\r\n\r\n"));
    assert_eq!(
        client.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        "200 Length(0) Content-Length=0 ."
    );
    assert!(client.codec.must_close() && !client.codec.is_reusable());
}

#[test]
fn a_head_that_is_not_text_is_written_field_by_field() {
    let mut parts = request_parts("GET / HTTP/1.1\r\nHost: a\r\nA:1\r\n\r\n");
    let Part::Request(head) = &mut parts[0] else { panic!() };
    head.version = Version::Http2;
    let mut client = End::client();
    for part in parts {
        client.send(part);
    }
    assert_eq!(client.sent(), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n");
}

#[test]
fn sending_never_exceeds_the_announced_length() {
    let mut server = End::server();
    server.receive(GET);
    server.send(Part::Response(ResponseHead::local(Status::OK, Body::Length(3))));
    server.send(Part::Data(Chunk::from(b"ab".to_vec()))).send(Part::Data(Chunk::from(b"cd".to_vec())));
    server.send(Part::Data(Chunk::from(b"e".to_vec()))).send(Part::End);
    assert_eq!(server.sent(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert!(server.codec.must_close());
}

#[test]
fn a29_a_short_body_closes_the_connection() {
    let mut server = End::server();
    server.receive(GET);
    server.send(Part::Response(ResponseHead::local(Status::OK, Body::Length(3))));
    server.send(Part::Data(Chunk::from(b"ab".to_vec()))).send(Part::End);
    assert!(server.codec.must_close() && !server.codec.is_reusable());
    assert_eq!(server.receive(GET), "");
}
