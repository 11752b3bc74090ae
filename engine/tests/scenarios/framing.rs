//! Where messages begin and end (RFC 9112 section 6), and that nobody takes half of one for the whole.

use ringway_testing::http::Framing;
use ringway_testing::{World, calm, scenario, simulated, simulated_calm};

#[test]
fn a_request_goes_to_the_origin_and_its_response_comes_back() {
    scenario(|w| {
        w.origin().on("GET /a?b=c").ok("hello");
        w.client().get("/a?b=c").expect_ok("hello").expect_kept_alive();
        w.origin().expect_connections(1).request(0).expect_header("Host", "example.com").expect_body("");
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn content_of_a_known_length_goes_up_with_that_length() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        w.client().post("/", "some content").expect_ok("done");
        let request = w.origin().last();
        request.expect_header("Content-Length", "12").expect_body("some content");
        request.expect_no_header("Transfer-Encoding");
    });
}

#[test]
fn chunked_content_goes_up_chunked() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        w.client().post_chunks("/", &["some ", "content"]).expect_ok("done");
        let request = w.origin().last();
        request.expect_header("Transfer-Encoding", "chunked").expect_body("some content");
        request.expect_no_header("Content-Length");
    });
}

#[test]
fn a_post_without_content_says_so_and_a_get_does_not() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        c.request("POST", "/", "", "").expect_ok("").get("/").expect_ok("");
        w.origin().request(0).expect_header("Content-Length", "0");
        w.origin().request(1).expect_no_header("Content-Length").expect_no_header("Transfer-Encoding");
    });
}

#[test]
fn content_of_a_get_is_forwarded_and_is_no_request() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let fields = format!("Content-Length: {}\r\n", smuggled.len());
        let c = w.client();
        c.request("GET", "/", &fields, smuggled).expect_ok("fine").get("/next").expect_ok("fine");
        w.origin().expect_requests(2).request(0).expect_body(smuggled);
        w.origin().request(1).expect_line("GET /next HTTP/1.1");
    });
}

#[test]
fn a_response_of_a_known_length_comes_down_with_that_length() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        w.client().get("/").expect_ok("hello").expect_framing(Framing::Length(5));
    });
}

#[test]
fn a_chunked_response_comes_down_chunked() {
    scenario(|w| {
        let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        w.origin().on("GET /").reply(reply);
        let c = w.client();
        c.get("/").expect_ok("abcde").expect_framing(Framing::Chunked).expect_kept_alive();
    });
}

#[test]
fn an_empty_chunked_response_is_complete() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        w.client().get("/").expect_ok("").expect_kept_alive();
    });
}

#[test]
fn a_response_that_ends_with_its_connection_comes_down_chunked() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\n\r\nuntil the end").close();
        let c = w.client();
        c.get("/").expect_ok("until the end").expect_framing(Framing::Chunked).expect_kept_alive();
        w.origin().expect_connections(1);
    });
}

#[test]
fn chunk_extensions_stay_on_their_hop() {
    scenario(|w| {
        let reply =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n";
        w.origin().on("*").reply(reply);
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "2;q=1\r\nhi\r\n0;z\r\n\r\n")
            .expect_ok("abc");
        w.origin().last().expect_body("hi");
    });
}

#[test]
fn a_megabyte_passes_in_both_directions() {
    calm(|w| {
        let content: String = (0..100_000).map(|n| format!("{n:010}")).collect();
        w.origin().on("POST /").ok(&content);
        w.client().post("/", &content).expect_ok(&content).expect_kept_alive();
        w.origin().last().expect_body(&content);
    });
}

/// The client sends a request that is refused, and its connection is over.
#[track_caller]
fn refused(w: &World, request: &str, status: u16, rule: &str) {
    let c = w.client();
    c.send(request).send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").expect_status(status);
    c.expect_header("Connection", "close").expect_header("Content-Type", "text/plain; charset=utf-8");
    let reason = c.response().line.split_once(' ').unwrap().1.to_string();
    c.expect_body(format!("{reason}\n")).expect_closed();
    w.origin().expect_connections(0);
    w.last_record().expect("status", &status.to_string()).expect("outcome", "malformed").expect("rule", rule);
}

#[test]
fn a22_a25_a_request_with_length_and_encoding_is_refused_and_its_connection_closed() {
    scenario(|w| {
        let fields = "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked";
        refused(w, &format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n0\r\n\r\n"), 400, "length_and_encoding");
        let fields = "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5";
        refused(w, &format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n0\r\n\r\n"), 400, "length_and_encoding");
    });
}

#[test]
fn a23_an_http10_request_with_an_encoding_is_refused_and_its_connection_closed() {
    scenario(|w| {
        let request = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        refused(w, request, 400, "encoding_in_http10");
    });
}

#[test]
fn a18_a26_a_request_whose_coding_is_not_just_chunked_is_refused_and_its_connection_closed() {
    scenario(|w| {
        for coding in ["xchunked", "chunked, chunked", "chunked, gzip", "identity", "gzip", "", "chunked;q=1"]
        {
            let request =
                format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
            refused(w, &request, 400, "transfer_encoding");
        }
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
        refused(w, &format!("POST / HTTP/1.1\r\nHost: a\r\n{twice}\r\n\r\n"), 400, "transfer_encoding");
    });
}

#[test]
fn a19_a_coding_before_chunked_is_not_implemented() {
    scenario(|w| {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        refused(w, request, 501, "transfer_coding");
    });
}

#[test]
fn a27_an_invalid_length_in_a_request_is_refused_and_its_connection_closed() {
    scenario(|w| {
        for length in
            ["+5", "-0", "0x5", "5 5", "", "5, 6", "5,", "99999999999999999999", "5\r\nContent-Length: 6"]
        {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello");
            refused(w, &request, 400, "content_length");
        }
    });
}

#[test]
fn a27_b25_a_repeated_length_goes_on_as_one() {
    scenario(|w| {
        w.origin().on("*").ok("");
        for length in ["5, 5", "5\r\nContent-Length: 5"] {
            w.client().request("POST", "/", &format!("Content-Length: {length}\r\n"), "hello").expect_ok("");
            w.origin().last().expect_headers("Content-Length", &["5"]).expect_body("hello");
        }
    });
}

#[test]
fn a32_a_chunk_size_that_overflows_is_refused_and_its_connection_closed() {
    scenario(|w| {
        w.origin().on("*").hang();
        for size in ["10000000000000000", "fffffffffffffffff", "-1", "0x5", " 5", "", "g"] {
            let c = w.client();
            c.request("POST", "/", "Transfer-Encoding: chunked\r\n", format!("{size}\r\nhello\r\n0\r\n\r\n"));
            c.expect_status(400)
                .expect_header("Connection", "close")
                .expect_body("400 Bad Request\n")
                .expect_closed();
            w.last_record().expect("outcome", "malformed").expect("rule", "chunk_size");
        }
    });
}

#[test]
fn chunk_data_without_its_line_end_are_refused_and_the_origin_sees_no_end() {
    scenario(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "5\r\nhello");
        w.settle();
        c.send("XX0\r\n\r\n").expect_status(400).expect_body("400 Bad Request\n").expect_closed();
        w.origin().request(0).expect_incomplete();
        w.last_record().expect("rule", "chunk_end");
    });
}

#[test]
fn a_bare_lf_in_chunked_framing_is_refused() {
    scenario(|w| {
        w.origin().on("*").hang();
        for (content, rule) in
            [("5\nhello\r\n0\r\n\r\n", "chunk_size"), ("5;a\nhello\r\n0\r\n\r\n", "chunk_extension")]
        {
            let c = w.client();
            c.request("POST", "/", "Transfer-Encoding: chunked\r\n", content);
            c.expect_status(400).expect_body("400 Bad Request\n").expect_closed();
            w.last_record().expect("rule", rule);
        }
    });
}

/// The origin's response breaks a rule: the client gets 502, keeps its connection, and the origin's is closed.
#[track_caller]
fn bad_gateway(reply: &str, rule: &str) {
    scenario(|w| {
        w.origin().on("GET /").reply(reply).hang();
        w.origin().on("GET /next").ok("fine");
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.last_record().expect("outcome", "upstream_malformed").expect("rule", rule);
        c.get("/next").expect_ok("fine").expect_kept_alive();
        w.origin().expect_connections(2);
        assert_ne!(w.origin().end_of(0), None, "what an origin sent in such a state is not read on");
    });
}

#[test]
fn a24_a_response_with_length_and_encoding_is_a_502() {
    let fields = "Content-Length: 3\r\nTransfer-Encoding: chunked";
    bad_gateway(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "length_and_encoding");
}

#[test]
fn a28_an_invalid_length_in_a_response_is_a_502() {
    for length in ["+3", "3 3", "3, 4", "", "0x3", "99999999999999999999"] {
        bad_gateway(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabc"), "content_length");
    }
}

#[test]
fn a_response_coding_other_than_chunked_is_a_502() {
    bad_gateway(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "transfer_encoding",
    );
    bad_gateway("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_coding");
}

#[test]
fn a23_an_http10_response_with_an_encoding_is_a_502() {
    bad_gateway("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "encoding_in_http10");
}

#[test]
fn a_repeated_length_in_a_response_comes_down_as_one() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
        w.client().get("/").expect_ok("abc").expect_headers("Content-Length", &["3"]);
    });
}

#[test]
fn a20_b24_a31_a_204_has_no_content_and_no_framing_whatever_its_fields_say() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
        w.origin().on("GET /2").ok("next");
        let c = w.client();
        c.get("/").expect_status(204).expect_body("").expect_no_header("Content-Length");
        c.get("/2").expect_ok("next");
        w.origin().expect_connections(1);
    });
}

#[test]
fn a31_a_304_keeps_the_length_that_it_tells_of_and_has_no_content() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n");
        w.origin().on("GET /2").ok("next");
        let c = w.client();
        c.get("/").expect_status(304).expect_body("").expect_header("Content-Length", "5");
        c.expect_header("ETag", "\"x\"").get("/2").expect_ok("next");
        w.origin().expect_connections(1);
    });
}

#[test]
fn b37_a_205_comes_down_without_content() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc");
        w.origin().on("GET /2").ok("next");
        let c = w.client();
        c.get("/")
            .expect_status(205)
            .expect_body("")
            .expect_header("Content-Length", "0")
            .get("/2")
            .expect_ok("next");
    });
}

#[test]
fn a29_an_origin_that_closes_in_the_middle_of_the_body_cuts_the_client() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").close();
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn a29_a_chunked_response_that_is_cut_anywhere_is_cut_for_the_client() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let head = reply.find("3\r\n").unwrap();
    for cut in head..reply.len() {
        scenario(|w| {
            w.origin().on("GET /").reply(&reply[..cut]).wait("20ms").close();
            w.client().get("/").expect_status(200).expect_aborted();
            w.expect_outcomes(&["upstream_truncated"]);
        });
    }
}

#[test]
fn a_reset_is_no_end_of_a_response_that_ends_with_its_connection() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\n\r\nabc").wait("20ms").reset();
        w.client().get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn a_reset_that_only_a_send_was_told_of_is_no_end_either() {
    simulated_calm(|w| {
        // The content of the request waits for room towards the origin: so the reset is met by a send first, and
        // Linux tells of it once.
        w.conditions(|c| c.buffer_bytes = 2000);
        w.origin().on("POST /").early().reply("HTTP/1.1 200 OK\r\n\r\nabc").stop_reading().wait("1s").reset();
        let c = w.client();
        c.post("/", "x".repeat(9000)).expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn a_response_that_is_cut_is_cut_for_an_http10_client_too() {
    for reply in ["Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "Content-Length: 9\r\n\r\nabc"] {
        scenario(|w| {
            w.origin().on("GET /").reply(format!("HTTP/1.1 200 OK\r\n{reply}")).wait("20ms").close();
            let c = w.client();
            c.send("GET / HTTP/1.0\r\n\r\n").expect_status(200).expect_body("abc").expect_aborted();
            w.expect_outcomes(&["upstream_truncated"]);
        });
    }
}

#[test]
fn broken_chunks_in_the_middle_of_a_response_cut_the_client() {
    for broken in ["XYZ\r\n", "5\r\nhelloXX", "ffffffffffffffffff\r\n"] {
        scenario(|w| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
            w.origin().on("GET /").reply(head).wait("20ms").reply(broken).hang();
            w.client().get("/").expect_status(200).expect_aborted();
            w.expect_outcomes(&["upstream_malformed"]);
        });
    }
}

#[test]
fn a30_bytes_behind_a_response_are_no_response() {
    scenario(|w| {
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc{poison}");
        w.origin().on("GET /").reply(reply);
        w.origin().on("GET /2").ok("right");
        let c = w.client();
        c.get("/").expect_ok("abc");
        w.settle();
        c.get("/2").expect_ok("right");
        w.origin().expect_connections(2);
        assert_ne!(w.origin().end_of(0), None);
    });
}

#[test]
fn a_client_that_half_closes_does_not_take_what_it_has_for_the_whole() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .hang();
        let c = w.client();
        c.send("GET / HTTP/1.0\r\n\r\n").expect_status(200).expect_body_so_far("abc");
        c.finish().expect_aborted();
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
fn a_client_that_half_closes_and_takes_nothing_is_given_up() {
    simulated_calm(|w| {
        w.origin().on("GET /").ok("x".repeat(1_000_000));
        let c = w.client();
        c.stop_reading().get("/");
        w.settle();
        c.finish();
        w.after("2h");
        c.resume_reading().expect_status(200).expect_body_len(c.response().body.len()).expect_aborted();
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
fn full_duplex_the_response_streams_while_the_request_does() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").early().reply(head).echo();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "3\r\none\r\n");
        c.expect_status(200).expect_body_so_far("one");
        c.send("3\r\ntwo\r\n").expect_body_so_far("onetwo");
        c.send("0\r\n\r\n").expect_body("onetwo").expect_kept_alive();
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_is_complete_and_the_rest_is_dropped() {
    scenario(|w| {
        w.origin().on("POST /").early().ok("early").read_all().hang();
        w.origin().on("GET /next").ok("next");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "01234").expect_ok("early");
        w.settle();
        c.send("56789").get("/next").expect_ok("next");
        w.origin().expect_connections(2).request(1).expect_connection(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a_client_that_never_sends_the_rest_of_an_answered_request_is_closed() {
    simulated(|w| {
        w.origin().on("POST /").early().ok("early").hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "01234").expect_ok("early").expect_closed();
        assert!(w.now().as_secs() < 12, "the linger time ends it, not the idle time");
        w.expect_outcomes(&["complete"]);
    });
}
