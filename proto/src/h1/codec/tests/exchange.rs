//! Which parts come when, and when the next exchange may begin.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";

/// A client that asked for websocket.
fn upgrading() -> End {
    let mut client = End::client();
    for mut part in request_parts(UPGRADE) {
        if let Part::Request(head) = &mut part {
            head.upgrade = Some(b"websocket".as_slice().into());
        }
        client.send(part);
    }
    client
}

fn switching() -> Part {
    let mut head = ResponseHead::local(Status::SWITCHING_PROTOCOLS, Body::Empty);
    head.upgrade = Some(b"websocket".as_slice().into());
    Part::Response(head)
}

fn data(bytes: &str) -> Part {
    Part::Data(Chunk::from(bytes.as_bytes().to_vec()))
}

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
    assert_eq!(server.finish(), "");
    assert!(!server.codec.must_close());
    server.answer(200);
    assert!(server.codec.must_close());
}

#[test]
fn a37_an_early_answer_waits_for_the_rest_of_the_request() {
    let mut server = End::server();
    assert_eq!(server.receive(&format!("{POST}ab")), "POST / Length(5) Host=a Content-Length=5 [ab]");
    server.answer(413);
    assert!(!server.codec.is_reusable() && !server.codec.must_close() && !server.codec.is_receive_done());
    assert_eq!(server.receive(&format!("cde{GET}")), "[cde] . GET / Empty Host=a .");
}

#[test]
fn a41_a42_nothing_is_processed_behind_close() {
    let mut server = End::server();
    let close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n";
    assert_eq!(server.receive(&format!("{close}{GET}")), "GET / Empty Host=a Connection=Close .");
    assert!(!server.codec.must_close());
    assert!(server.answer(200).ends_with("\r\nConnection: close\r\n\r\n"));
    assert!(server.codec.must_close() && !server.codec.is_reusable());
    assert_eq!(server.receive(GET), "");
    assert_eq!(server.codec.buffered_bytes(), 0);
}

#[test]
fn a_connection_that_is_finished_between_requests_is_closed_without_a_word() {
    let mut server = End::server();
    assert_eq!(server.finish(), "");
    assert!(server.codec.must_close());
    let mut server = End::server();
    server.receive(GET);
    server.answer(200);
    assert_eq!(server.finish(), "");
    assert!(server.codec.must_close());
    let mut server = End::server();
    server.receive("\r\n");
    assert_eq!(server.finish(), "");
    assert!(server.codec.must_close());
    let mut client = End::client();
    assert_eq!(client.finish(), "");
    assert!(client.codec.must_close());
}

#[test]
fn a29_a_request_that_is_cut_is_truncated() {
    for cut in ["GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut server = End::server();
        assert_eq!(server.receive(cut), "");
        assert!(server.codec.is_head_begun());
        assert_eq!(server.finish(), "!Truncated");
        assert!(server.codec.must_close());
        assert_eq!(server.finish(), "");
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies =
        ["", "1", "5\r\nabc", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n", "0\r\nA: b\r\n", "0\r\n\r"];
    for (head, bodies) in [(POST, &["", "abc"][..]), (chunked, &bodies)] {
        for body in bodies {
            let mut server = End::server();
            server.receive(head);
            server.receive(body);
            assert_eq!(server.finish(), "!Truncated", "{body:?}");
            assert!(server.codec.must_close());
        }
    }
}

#[test]
fn a29_a_response_that_is_cut_is_truncated() {
    for cut in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let mut client = End::asking(GET);
        client.receive(cut);
        let reset = if cut.is_empty() { "!Unanswered" } else { "!Truncated" };
        assert_eq!(client.finish(), reset, "{cut:?}");
        assert!(client.codec.must_close() && !client.codec.is_reusable());
        assert_eq!(client.codec.has_response_begun(), !cut.is_empty());
    }
}

#[test]
fn a_response_until_close_ends_with_the_connection() {
    let mut client = End::asking(GET);
    assert_eq!(client.receive("HTTP/1.1 200 OK\r\n\r\nab"), "200 UntilClose [ab]");
    assert_eq!(client.receive("c"), "[c]");
    assert_eq!(client.finish(), ".");
    assert!(client.codec.must_close() && !client.codec.is_reusable());
}

#[test]
fn a38_a_client_connection_is_reusable_when_both_messages_are_complete() {
    let mut client = End::client();
    for part in request_parts(&format!("{POST}abcde")) {
        if matches!(part, Part::End) {
            assert_eq!(
                client.receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
                "200 Length(2) Content-Length=2 [hi] ."
            );
            assert!(!client.codec.is_reusable() && !client.codec.must_close());
        }
        client.send(part);
    }
    assert!(client.codec.is_reusable() && client.codec.is_idle());
    client.ask(GET);
    assert!(!client.codec.is_reusable() && !client.codec.has_response_begun());
    assert_eq!(client.receive("HTTP/1.1 304 Not Modified\r\n\r\n"), "304 Empty .");
    assert!(client.codec.is_reusable() && client.codec.has_response_begun());
}

#[test]
fn a_client_connection_is_not_reused_when_the_response_forbids_it() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, CLOSE\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n",
    ] {
        let mut client = End::asking(GET);
        assert!(client.receive(response).ends_with(" ."));
        assert!(!client.codec.is_reusable() && client.codec.must_close(), "{response:?}");
    }
    let mut client = End::asking(GET);
    client.receive("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.codec.is_reusable());
}

#[test]
fn interim_responses_come_before_the_final_one_and_are_bounded() {
    let mut client = End::client_with(CodecLimits { interim_max: 2, ..CodecLimits::default() });
    client.ask(GET);
    let hint = "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n";
    assert_eq!(client.receive(&hint.repeat(2)), "103 Empty A=b 103 Empty A=b");
    assert_eq!(client.receive(hint), "!Malformed(TooManyInterim)");
    let mut client = End::asking(GET);
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client.receive(&format!("{hint}{last}")), "103 Empty A=b 200 Length(0) Content-Length=0 .");
    assert!(client.codec.is_reusable());
}

#[test]
fn malformed_input_is_told_once_and_can_be_answered() {
    let mut server = End::server();
    assert_eq!(server.receive("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "!Malformed(HostMissing)");
    assert!(server.codec.must_close());
    assert_eq!(server.receive(GET), "");
    assert_eq!(server.finish(), "");
    server
        .send(Part::Response(ResponseHead::local(Status(400), Body::Length(2))))
        .send(data("no"))
        .send(Part::End);
    assert_eq!(server.sent(), "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    assert!(server.codec.must_close());
}

#[test]
fn a_malformed_body_can_be_answered_too() {
    let mut server = End::server();
    let request = "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx";
    let seen = server.receive(request);
    assert!(seen.ends_with(" !Malformed(ChunkSize)"), "{seen}");
    assert_eq!(server.answer(400), "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    assert!(server.codec.must_close());
}

#[test]
fn a_malformed_head_behind_another_exchange_is_answered_by_itself() {
    let mut server = End::server();
    server.receive("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    server.answer(200);
    assert_eq!(server.receive("GET  / HTTP/1.1\r\n\r\n"), "!Malformed(StartLine)");
    server
        .send(Part::Response(ResponseHead::local(Status(400), Body::Streamed)))
        .send(data("no"))
        .send(Part::End);
    assert!(
        server
            .sent()
            .ends_with("\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nno\r\n0\r\n\r\n")
    );
}

#[test]
fn a_request_that_takes_too_long_can_be_answered() {
    let mut server = End::server();
    server.receive("GET / HTTP/1.1\r\n");
    assert!(server.answer(408).ends_with("\r\nConnection: close\r\n\r\n"));
    assert!(server.codec.must_close());
    assert_eq!(server.receive("Host: a\r\n\r\n"), "");
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let limited = || End::server_with(CodecLimits { body_bytes: Some(4), ..CodecLimits::default() });
    assert_eq!(limited().receive(POST), "!Malformed(BodyTooLarge)");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let seen = limited().receive(&format!("{chunked}4\r\nabcd\r\n1\r\n"));
    assert!(seen.ends_with(" [abcd] !Malformed(BodyTooLarge)"), "{seen}");
    let seen = limited().receive(&format!("{chunked}4\r\nabcd\r\n0\r\n\r\n"));
    assert!(seen.ends_with(" [abcd] ."), "{seen}");
}

#[test]
fn e1_a_server_becomes_a_tunnel_when_its_101_is_sent() {
    let mut server = End::server();
    let seen = "GET / Empty Host=a Connection=upgrade Upgrade=websocket .";
    assert_eq!(server.receive(&format!("{UPGRADE}early")), seen);
    assert!(!server.codec.is_tunnel());
    server.send(switching());
    assert!(server.codec.is_tunnel() && server.codec.is_receive_done() && !server.codec.must_close());
    // E2: what was sent before the 101 is delivered behind it.
    assert_eq!(server.poll(), "[early]");
    server.sent();
    server.send(data("GET ")).send(data("x"));
    assert_eq!(server.sent(), "GET x");
    assert_eq!(server.receive("0\r\n\r\n"), "[0\\r\\n\\r\\n]");
    assert_eq!(server.finish(), ".");
    assert!(!server.codec.must_close());
    server.send(data("late")).send(Part::End);
    assert_eq!(server.sent(), "late");
    assert!(server.codec.must_close());
}

#[test]
fn e1_a_client_becomes_a_tunnel_with_the_101_it_asked_for() {
    let mut client = upgrading();
    client.sent();
    let seen = "101 Empty Connection=upgrade Upgrade=WebSocket [glued]";
    assert_eq!(client.receive(&format!("{SWITCHING}glued")), seen);
    assert!(client.codec.is_tunnel() && !client.codec.is_reusable());
    client.send(data("x")).send(Part::End);
    assert_eq!(client.sent(), "x");
    assert!(!client.codec.must_close());
    assert_eq!(client.receive("y"), "[y]");
    assert_eq!(client.finish(), ".");
    assert!(client.codec.must_close());
}

#[test]
fn an_upgrade_may_be_refused_and_the_connection_used_again() {
    let mut client = upgrading();
    assert_eq!(
        client.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        "200 Length(0) Content-Length=0 ."
    );
    assert!(client.codec.is_reusable() && !client.codec.is_tunnel());
    let mut server = End::server();
    server.receive(UPGRADE);
    assert!(!server.answer(200).contains("close"));
    assert!(server.codec.is_reusable());
}

#[test]
fn e1_connect_becomes_a_tunnel_with_2xx() {
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    let mut server = End::server();
    assert_eq!(server.receive(&format!("{connect}early")), "CONNECT a:1 Empty Host=a:1 .");
    server.send(Part::Response(ResponseHead::local(Status::OK, Body::Empty)));
    assert_eq!(server.sent(), "HTTP/1.1 200 OK\r\n\r\n");
    assert!(server.codec.is_tunnel());
    assert_eq!(server.poll(), "[early]");
    let mut client = End::asking(connect);
    assert_eq!(
        client.receive("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx"),
        "200 Empty Content-Length=5 [x]"
    );
    assert!(client.codec.is_tunnel());
    client.send(data("raw"));
    assert_eq!(client.sent(), "raw");
}

#[test]
fn a_tunnel_begins_behind_a_request_that_is_still_received() {
    let mut server = End::server();
    server.receive(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nab",
    );
    server.send(switching());
    assert!(!server.codec.is_tunnel());
    assert_eq!(server.receive("cde12"), "[cde] . [12]");
    assert!(server.codec.is_tunnel());
}

#[test]
fn what_is_kept_does_not_pin_a_large_buffer() {
    let pool = Pool::new();
    let mut server = Codec::server(Rc::new(CodecLimits::default()), pool.clone());
    let mut vacant = pool.large();
    vacant.append(GET.repeat(2).as_bytes());
    server.on_received(vacant.freeze());
    let head = server.poll_part().unwrap();
    assert!(matches!(server.poll_part(), Some(Part::End)));
    server.retain();
    // The head and the request that waits, each in a small buffer.
    assert_eq!(pool.outstanding_bytes(), 2 * crate::chunk::SMALL_BYTES);
    drop((head, server));
    assert_eq!(pool.outstanding_bytes(), 0);
}

#[test]
fn a_head_in_pieces_grows_through_the_buffers() {
    let mut server = End::server();
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "y".repeat(3000));
    let longer = format!("{long}{}", format!("Z: {}\r\n", "z".repeat(3000)).repeat(4));
    for piece in longer.as_bytes().chunks(1000) {
        assert_eq!(server.receive(core::str::from_utf8(piece).unwrap()), "");
        assert!(server.codec.is_head_begun());
        assert_eq!(server.codec.buffered_bytes(), 0);
    }
    let seen = server.receive("\r\nGET");
    assert!(seen.starts_with("GET / Empty Host=a X=yyy") && seen.ends_with("zz ."), "{seen}");
    assert_eq!(server.codec.buffered_bytes(), 3);
}

#[test]
fn a_head_beyond_the_limit_is_refused() {
    let limits =
        CodecLimits { head: HeadLimits { bytes: 100, ..HeadLimits::default() }, ..CodecLimits::default() };
    let mut server = End::server_with(limits);
    assert_eq!(server.receive(&format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(50))), "");
    assert_eq!(server.receive(&"y".repeat(50)), "!Malformed(HeadTooLarge)");
}

#[test]
fn short_chunks_that_came_together_are_told_together() {
    let mut client = End::asking(GET);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    client
        .codec
        .on_received(Chunk::from(format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(10_000)).into_bytes()));
    let parts: Vec<Part> = core::iter::from_fn(|| client.codec.poll_part()).collect();
    assert_eq!(parts.len(), 1 + 3 + 1);
    // What is broken behind them is told after them.
    let mut client = End::asking(GET);
    client.receive(head);
    assert_eq!(client.receive("1\r\na\r\n1\r\nb\r\n1\r\nc?"), "[abc] !Malformed(ChunkEnd)");
    let mut client = End::asking(GET);
    client.receive(head);
    assert_eq!(client.receive("1\r\na\r\n1\r\nb\r\n?"), "[ab] !Malformed(ChunkSize)");
}
