//! The rows of the threat list that a codec decides, one test each.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The rule that a request breaks.
fn refused(request: &str) -> String {
    let seen = End::server().receive(request);
    seen.split('!').nth(1).unwrap_or("accepted").to_owned()
}

/// The rule that a response to GET breaks.
fn refused_response(response: &str) -> String {
    let seen = End::asking(GET).receive(response);
    seen.split('!').nth(1).unwrap_or("accepted").to_owned()
}

#[test]
fn a1_bytes_are_not_decoded() {
    let request = "GET /%0d%0aX:%20y?\u{e9} HTTP/1.1\r\nHost: a\r\nX: \u{e9}%0d%0a\r\n\r\n";
    assert_eq!(relayed_request(request), request);
}

#[test]
fn a2_a3_b9_bare_cr_lf_and_nul_are_refused() {
    for bad in
        ["X: a\rb", "X: a\nb", "X: a\0b", "X\r: a", "X: a\r\r", "X: a\n", "\rX: a", "X: \x7f", "X: \x01"]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{bad}\r\n\r\n");
        assert!(refused(&request).starts_with("Malformed"), "{bad:?}");
        let response = format!("HTTP/1.1 200 OK\r\n{bad}\r\n\r\n");
        assert!(refused_response(&response).starts_with("Malformed"), "{bad:?}");
    }
}

#[test]
fn a4_white_space_before_the_first_field_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "Malformed(ObsoleteFold)");
    assert_eq!(refused_response("HTTP/1.1 200 OK\r\n X: a\r\n\r\n"), "Malformed(ObsoleteFold)");
}

#[test]
fn a6_an_over_long_target_is_414() {
    let long = "x".repeat(HeadLimits::default().target);
    assert_eq!(refused(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), "Malformed(TargetTooLong)");
    assert_eq!(Rule::TargetTooLong.status(), 414);
}

#[test]
fn a12_a13_white_space_before_the_colon_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), "Malformed(SpaceBeforeColon)");
    assert_eq!(
        refused_response("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
        "Malformed(SpaceBeforeColon)"
    );
}

#[test]
fn a14_a15_a16_folded_lines_are_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"), "Malformed(ObsoleteFold)");
    assert_eq!(refused_response("HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n\r\n"), "Malformed(ObsoleteFold)");
}

#[test]
fn a22_length_and_encoding_end_the_connection() {
    let both =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let mut server = End::server();
    assert_eq!(server.receive(&format!("{both}{GET}")), "!Malformed(LengthAndEncoding)");
    assert!(server.answer(400).ends_with("\r\nConnection: close\r\n\r\n"));
    assert!(server.codec.must_close());
    assert_eq!(server.poll(), "");
}

#[test]
fn a28_an_invalid_length_of_a_response_closes_upstream() {
    let mut client = End::asking(GET);
    assert_eq!(
        client.receive("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n"),
        "!Malformed(ContentLength)"
    );
    assert!(client.codec.must_close() && !client.codec.is_reusable());
}

#[test]
fn a30_a36_surplus_bytes_are_never_a_response() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut client = End::asking(GET);
    client.codec.on_received(Chunk::from(response.repeat(2).into_bytes()));
    assert!(matches!(client.codec.poll_part(), Some(Part::Response(_))));
    assert!(matches!(client.codec.poll_part(), Some(Part::End)));
    assert!(!client.codec.is_reusable() && client.codec.must_close());
    assert_eq!(client.poll(), "!Malformed(SurplusBytes)");
    assert_eq!(client.poll(), "");
    // Before any request.
    assert_eq!(End::client().receive(response), "!Malformed(SurplusBytes)");
    // Between two.
    let mut client = End::asking(GET);
    client.receive(response);
    assert!(client.codec.is_reusable());
    assert_eq!(client.receive("x"), "!Malformed(SurplusBytes)");
    assert!(!client.codec.is_reusable() && client.codec.must_close());
}

#[test]
fn a30_content_of_a_204_is_surplus() {
    let mut client = End::asking(GET);
    let seen = client.receive("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(seen, "204 Empty Content-Length=3 . !Malformed(SurplusBytes)");
}

#[test]
fn a34_trailers_are_kept_apart() {
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nHost: evil\r\n\r\n";
    let seen = End::server().receive(request);
    assert_eq!(seen, "POST / Streamed Host=a Transfer-Encoding=chunked trailers X=y .");
    let only_bad =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(End::server().receive(only_bad), "POST / Streamed Host=a Transfer-Encoding=chunked .");
}

#[test]
fn a34_trailers_are_parsed_strictly_and_bounded() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    for bad in [
        "X : y\r\n\r\n",
        "X: y\n\n",
        " X: y\r\n\r\n",
        ": y\r\n\r\n",
        "X: \0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\rX",
    ] {
        assert_eq!(refused(&format!("{chunked}{bad}")), "Malformed(Trailer)", "{bad:?}");
    }
    let long = format!("X: {}\r\n\r\n", "y".repeat(CodecLimits::default().trailer_bytes));
    assert_eq!(refused(&format!("{chunked}{long}")), "Malformed(Trailer)");
}

#[test]
fn b2_b3_targets_with_user_information_or_without_a_host_are_refused() {
    assert_eq!(refused("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), "Malformed(TargetAuthority)");
    assert_eq!(refused("GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"), "Malformed(TargetAuthority)");
    assert_eq!(refused("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"), "Malformed(TargetAuthority)");
}

#[test]
fn b6_fields_of_one_name_keep_their_order() {
    let response = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(relayed_response(GET, response), response);
}

#[test]
fn b7_nothing_is_told_before_the_whole_head_is_in() {
    let mut server = End::server();
    for byte in GET[..GET.len() - 1].chars() {
        assert_eq!(server.receive(&byte.to_string()), "");
    }
    assert_eq!(server.receive("\n"), "GET / Empty Host=a .");
}

#[test]
fn b8_too_many_fields_are_431() {
    let many = "X: y\r\n".repeat(HeadLimits::default().fields + 1);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{many}\r\n")), "Malformed(TooManyFields)");
    assert_eq!(Rule::TooManyFields.status(), 431);
}

#[test]
fn b19_b32_target_and_end_to_end_fields_are_not_touched() {
    let request = "GET /a/./b/..//%41?x=%2F;y#not HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(refused(request).starts_with("Malformed"));
    let request = "GET /a/./b/..//%41?x=%2F;y HTTP/1.1\r\nHost: A.example\r\nAuthorization: Basic eA==\r\nRange: bytes=0-\r\n\r\n";
    assert_eq!(relayed_request(request), request);
}

#[test]
fn b21_cve_2026_2833_a_101_that_nobody_asked_for_is_refused() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut client = End::asking(GET);
    assert_eq!(client.receive(switching), "!Malformed(UnaskedSwitch)");
    assert!(client.codec.must_close() && !client.codec.is_tunnel());
    let answers = [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];
    for answer in answers {
        let mut client = End::client();
        for mut part in request_parts(GET) {
            if let Part::Request(head) = &mut part {
                head.upgrade = Some(b"websocket".as_slice().into());
            }
            client.send(part);
        }
        assert_eq!(client.receive(answer), "!Malformed(UnaskedSwitch)", "{answer:?}");
    }
}

#[test]
fn b21_upgrade_in_http10_is_ignored() {
    let mut server = End::server();
    server.receive("GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n");
    let mut head = ResponseHead::local(Status::SWITCHING_PROTOCOLS, Body::Empty);
    head.upgrade = Some(b"websocket".as_slice().into());
    server.send(Part::Response(head));
    assert_eq!(server.sent(), "");
    assert!(!server.codec.is_tunnel());
}

#[test]
fn cve_2026_58055_an_upgrade_with_a_body_is_framed_until_the_101() {
    let mut server = End::server();
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc";
    assert!(server.receive(&format!("{request}{GET}")).ends_with(" [abc] ."));
    // Bytes behind a refused upgrade may be meant for the other protocol: they are not taken for a request.
    assert!(server.answer(200).ends_with("\r\nConnection: close\r\n\r\n"));
    assert_eq!(server.poll(), "");
}

#[test]
fn cve_2025_64763_bytes_behind_a_refused_connect_are_no_request() {
    let mut server = End::server();
    server.receive(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n{GET}"));
    assert!(server.answer(405).ends_with("\r\nConnection: close\r\n\r\n"));
    assert_eq!(server.poll(), "");
    assert!(server.codec.must_close());
    let mut client = End::asking("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    client.receive("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(!client.codec.is_reusable());
}

#[test]
fn cve_2023_25725_empty_field_name_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n"), "Malformed(FieldName)");
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n"), "Malformed(FieldName)");
    assert_eq!(refused_response("HTTP/1.1 200 OK\r\n: x\r\n\r\n"), "Malformed(FieldName)");
}

#[test]
fn cve_2023_45539_a_fragment_in_the_target_is_refused() {
    assert_eq!(refused("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), "Malformed(TargetForm)");
}

#[test]
fn cve_2021_40346_lengths_do_not_overflow() {
    let long = "x".repeat(300);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{long}: y\r\nContent-Length: 0\r\n\r\n");
    assert!(End::server().receive(&request).ends_with("x=y Content-Length=0 ."));
    assert_eq!(
        refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        "Malformed(ContentLength)"
    );
}

#[test]
fn nginx_2026_05_garbage_is_not_a_response() {
    for garbage in [
        "hello\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert!(refused_response(garbage).starts_with("Malformed"), "{garbage:?}");
    }
}

#[test]
fn rustsec_2020_0008_the_body_of_a_get_is_not_a_request() {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{GET}", GET.len());
    let mut server = End::server();
    let seen = server.receive(&request);
    assert!(seen.ends_with("[GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n] ."), "{seen}");
    server.answer(200);
    assert_eq!(server.poll(), "");
}

#[test]
fn cve_2025_4366_an_unread_body_is_never_the_next_request() {
    let mut server = End::server();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", GET.len());
    server.receive(&head);
    server.answer(200);
    assert!(!server.codec.is_reusable());
    let seen = server.receive(GET);
    assert!(seen.starts_with('[') && seen.ends_with(" ."), "{seen}");
    assert!(server.codec.is_reusable());
}

#[test]
fn response_queue_poisoning_two_answers_to_one_request_end_the_connection() {
    let two = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 Evil\r\nContent-Length: 0\r\n\r\n";
    let seen = End::asking(GET).receive(two);
    assert_eq!(seen, "100 Empty 200 Length(0) Content-Length=0 . !Malformed(SurplusBytes)");
}

#[test]
fn cve_2024_24791_a_final_answer_to_expect_leaves_the_connection_framed() {
    let mut client = End::client();
    let parts =
        request_parts("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    let mut parts = parts.into_iter();
    client.send(parts.next().unwrap());
    client.receive("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    // The three bytes are owed: without them the next request would be taken for them.
    assert!(!client.codec.is_reusable());
    client.send(Part::End);
    assert!(client.codec.must_close());
}

#[test]
fn a25_the_length_of_a_chunked_message_is_never_sent_on() {
    // A filter may leave the length of what it made a stream of.
    let mut parts = request_parts("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let Part::Request(head) = &mut parts[0] else { panic!() };
    head.framing = FramingChecked::for_local(Body::Streamed);
    let mut client = End::client();
    for part in parts {
        client.send(part);
    }
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(client.sent(), sent);
}

#[test]
fn b1_what_the_grammar_forbids_cannot_be_added() {
    let mut head = ResponseHead::local(Status::OK, Body::Empty);
    for (name, value) in
        [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\nb: y"), ("a", "\0"), ("a\n", ""), ("\u{e9}", "")]
    {
        assert!(head.fields.append(name.as_bytes(), value.as_bytes()).is_err(), "{name:?} {value:?}");
        assert!(head.fields.set(name.as_bytes(), value.as_bytes()).is_err());
    }
}

#[test]
fn b23_a_100_goes_before_the_101() {
    let mut server = End::server();
    server.receive("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n");
    server.send(Part::Response(ResponseHead::local(Status::CONTINUE, Body::Empty)));
    let mut head = ResponseHead::local(Status::SWITCHING_PROTOCOLS, Body::Empty);
    head.upgrade = Some(b"websocket".as_slice().into());
    server.send(Part::Response(head));
    assert!(server.sent().starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n"));
}

#[test]
fn b28_connect_to_a_bad_port_is_refused() {
    for target in ["a", "a:", "a:0", "a:65536", "a:-1", "a:x", ":80", "http://a:80"] {
        let seen = refused(&format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(seen, "Malformed(TargetAuthority)", "{target}");
    }
}

#[test]
fn cve_2022_0711_set_cookie2_is_a_field_like_any_other() {
    let response = "HTTP/1.1 200 OK\r\nSet-Cookie2: a\r\nSet-Cookie2: b\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(relayed_response(GET, response), response);
}

#[test]
fn cve_2026_89044_a_coding_that_looks_like_chunked_is_refused() {
    for coding in [
        "chunked, xchunked",
        "xchunked",
        "chunked\x0b",
        "chunke\u{2064}d",
        "chunked chunked",
        "chunked,chunked",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert!(refused(&request).starts_with("Malformed"), "{coding:?}");
    }
}

#[test]
fn haproxy_2026_a_comma_in_the_authority_is_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), "Malformed(HostInvalid)");
    assert_eq!(refused("GET http://a,b/ HTTP/1.1\r\nHost: a,b\r\n\r\n"), "Malformed(TargetAuthority)");
}

#[test]
fn haproxy_2026_a_transfer_that_ends_in_its_trailers_is_incomplete() {
    let mut client = End::asking(GET);
    client.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n");
    assert_eq!(client.finish(), "!Truncated");
    assert!(!client.codec.is_reusable());
}

#[test]
fn crlf_powered_desync_2026_escapes_stay_escapes() {
    let request = "GET /%0d%0aHost:%20b%0d%0a HTTP/1.1\r\nHost: a\r\nX: %0d%0aY: z\r\n\r\n";
    assert_eq!(relayed_request(request), request);
    let mut parts = request_parts(GET);
    let Part::Request(head) = &mut parts[0] else { panic!() };
    assert!(head.set_target(b"/\r\nX: y").is_err());
}
