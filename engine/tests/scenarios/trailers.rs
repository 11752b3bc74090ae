//! Trailer fields (RFC 9110 section 6.5, RFC 9112 section 7.1.2).

use ringway_testing::http::Framing;
use ringway_testing::{calm, scenario, simulated};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn trailers_of_a_response_reach_the_client_in_order() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply(CHUNKED)
            .reply("3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Two: a\r\nx-sum: 2\r\n\r\n");
        let c = w.client();
        c.get("/").expect_ok("abc").expect_trailers(&[("X-Sum", "1"), ("X-Two", "a"), ("x-sum", "2")]);
        c.get("/").expect_ok("abc").expect_kept_alive();
        w.origin().expect_connections(1);
    });
}

#[test]
fn trailers_of_a_request_reach_the_origin_in_order() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        let c = w.client();
        let body = "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Two:  a b \r\nx-sum: 2\r\n\r\n";
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", body).expect_ok("done");
        w.origin().last().expect_body("hello").expect_trailers(&[
            ("X-Sum", "1"),
            ("X-Two", "a b"),
            ("x-sum", "2"),
        ]);
        c.post_chunks("/", &["next"]).expect_ok("done").expect_kept_alive();
        w.origin().last().expect_body("next").expect_trailers(&[]);
    });
}

#[test]
fn trailer_goes_where_trailers_may_follow() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").reply([head, "0\r\nX-Sum: 1\r\n\r\n"].concat());
        let c = w.client();
        let fields = "Trailer: X-Sum, X-Two\r\nTransfer-Encoding: chunked\r\ntrailer: X-Three\r\n";
        c.request("POST", "/", fields, "0\r\nX-Sum: 1\r\n\r\n").expect_ok("");
        c.expect_headers("Trailer", &["X-Sum"]).expect_trailers(&[("X-Sum", "1")]);
        w.origin().last().expect_headers("Trailer", &["X-Sum, X-Two", "X-Three"]);
        // Nominated, it was meant for us.
        c.request("POST", "/", &format!("Connection: Trailer\r\n{fields}"), "0\r\n\r\n").expect_ok("");
        w.origin().last().expect_no_header("Trailer");
    });
}

#[test]
fn trailer_stays_behind_where_no_trailers_can_follow() {
    scenario(|w| {
        let chunked = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("GET /").reply([chunked, "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"].concat());
        w.origin().on("HEAD /").reply(chunked);
        w.origin().on("POST /").reply("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 1\r\n\r\nb");
        let c = w.client();
        c.request("POST", "/", "Trailer: X-Sum\r\nContent-Length: 1\r\n", "x").expect_ok("b");
        c.expect_no_header("Trailer");
        w.origin().last().expect_no_header("Trailer");
        c.request("GET", "/", "Trailer: X-Sum\r\n", "").expect_ok("a").expect_header("Trailer", "X-Sum");
        w.origin().last().expect_no_header("Trailer");
        c.head("/").expect_status(200).expect_no_header("Trailer");
        c.send("GET / HTTP/1.0\r\n\r\n").expect_ok("a").expect_framing(Framing::UntilClose);
        c.expect_no_header("Trailer").expect_closed();
    });
}

#[test]
fn a34_trailers_are_kept_apart_from_the_fields_of_the_head() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nX-Both: head\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").reply([head, "0\r\nX-Both: tail\r\nX-Late: 1\r\n\r\n"].concat());
        let c = w.client();
        let fields = "X-Both: head\r\nTransfer-Encoding: chunked\r\n";
        c.request("POST", "/", fields, "0\r\nX-Both: tail\r\nX-Late: 1\r\n\r\n").expect_ok("");
        c.expect_header("X-Both", "head").expect_no_header("X-Late");
        c.expect_trailers(&[("X-Both", "tail"), ("X-Late", "1")]);
        let request = w.origin().last();
        request.expect_header("X-Both", "head").expect_no_header("X-Late");
        request.expect_trailers(&[("X-Both", "tail"), ("X-Late", "1")]);
    });
}

const MIXED: &str = "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nConnection: close\r\n\
                     Authorization: x\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nTE: x\r\nTrailer: x\r\nUpgrade: x\r\n\
                     Keep-Alive: x\r\nExpect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Range: x\r\n\
                     Range: bytes=0-\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";

#[test]
fn b11_what_may_not_stand_in_trailers_is_dropped_from_a_request() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", MIXED).expect_ok("done").expect_kept_alive();
        w.origin().last().expect_body("").expect_trailers(&[("X-Sum", "1")]);
    });
}

#[test]
fn b11_what_may_not_stand_in_trailers_is_dropped_from_a_response() {
    scenario(|w| {
        w.origin().on("GET /").reply([CHUNKED, MIXED].concat());
        let c = w.client();
        c.get("/")
            .expect_ok("")
            .expect_trailers(&[("X-Sum", "1")])
            .get("/")
            .expect_ok("")
            .expect_kept_alive();
        // `Connection: close` in a trailer says nothing.
        w.origin().expect_connections(1);
    });
}

#[test]
fn trailers_of_which_none_may_pass_are_empty() {
    scenario(|w| {
        w.origin().on("POST /").reply([CHUNKED, "1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n"].concat());
        let c = w.client();
        let body = "1\r\ny\r\n0\r\nHost: evil\r\n\r\n";
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", body).expect_ok("x").expect_trailers(&[]);
        w.origin().last().expect_body("y").expect_trailers(&[]);
        c.expect_kept_alive();
    });
}

#[test]
fn trailers_are_dropped_towards_a_client_of_http10() {
    scenario(|w| {
        w.origin().on("GET /").reply([CHUNKED, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"].concat());
        let c = w.client();
        c.send("GET / HTTP/1.0\r\n\r\n").expect_ok("abc").expect_framing(Framing::UntilClose);
        c.expect_no_header("X-Sum").expect_closed();
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn trailers_go_with_a_request_that_is_sent_a_second_time() {
    scenario(|w| {
        w.origin().on("GET /").ok("first");
        w.origin().on("PUT /").times(1).close();
        w.origin().on("PUT /").ok("second");
        let c = w.client();
        c.get("/").expect_ok("first");
        let body = "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
        c.request("PUT", "/", "Transfer-Encoding: chunked\r\n", body).expect_ok("second");
        w.origin().expect_connections(2).expect_requests(3);
        w.origin().last().expect_connection(1).expect_body("abc").expect_trailers(&[("X-Sum", "1")]);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a35_b31_a_wish_for_trailers_goes_on_for_the_next_hop_only() {
    scenario(|w| {
        w.origin().on("GET /").ok("x");
        let c = w.client();
        c.request("GET", "/", "TE: gzip, trailers\r\nConnection: TE\r\n", "").expect_ok("x");
        w.origin().last().expect_header("TE", "trailers").expect_header("Connection", "TE");
        c.request("GET", "/", "TE: gzip\r\nConnection: TE\r\n", "").expect_ok("x");
        w.origin().last().expect_no_header("TE").expect_no_header("Connection");
    });
}

#[test]
fn malformed_trailers_of_a_request_are_a_400_and_the_origin_does_not_see_an_end() {
    scenario(|w| {
        w.origin().on("POST /").hang();
        for bad in ["X-Sum : 1", " X-Sum: 1", "X-Sum", "X\0: 1", "X-Sum: a\rb", ": 1"] {
            let c = w.client();
            c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n").sent();
            c.send(format!("0\r\n{bad}\r\n\r\n")).expect_status(400).expect_body("400 Bad Request\n");
            c.expect_header("Connection", "close").expect_over();
            w.origin().last().expect_incomplete();
            w.last_record().expect("outcome", "malformed").expect("rule", "trailer");
        }
    });
}

#[test]
fn malformed_trailers_of_a_response_cut_the_client() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply([CHUNKED, "3\r\nabc\r\n"].concat())
            .wait("20ms")
            .reply("0\r\nX-Sum : 1\r\n\r\n")
            .hang();
        w.client().get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_malformed"]);
    });
}

#[test]
fn a_trailer_section_without_end_is_bounded() {
    calm(|w| {
        let flood = format!("0\r\nX-A: {}", "x".repeat(20_000));
        w.origin().on("GET /").reply([CHUNKED, "3\r\nabc\r\n"].concat()).wait("20ms").reply(&flood).hang();
        w.origin().on("POST /").hang();
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").expect_aborted();
        let d = w.client();
        d.request("POST", "/", "Transfer-Encoding: chunked\r\n", &flood).expect_status(400).expect_over();
        w.expect_outcomes(&["upstream_malformed", "malformed"]);
    });
}

#[test]
fn a_request_cut_in_its_trailers_is_not_complete() {
    scenario(|w| {
        w.origin().on("POST /").hang();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n")
            .sent()
            .close();
        w.origin().last().expect_incomplete();
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
fn a_response_cut_in_its_trailers_is_not_complete() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply([CHUNKED, "3\r\nabc\r\n0\r\nX-Sum: 1\r\n"].concat())
            .wait("20ms")
            .close();
        w.client().get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn trailers_that_come_late_hold_the_end_back() {
    simulated(|w| {
        w.origin().on("GET /").reply(format!("{CHUNKED}2\r\nhi\r\n0\r\n")).wait("2s").reply("X: y\r\n\r\n");
        w.client()
            .get("/")
            .expect_ok("hi")
            .expect_at("2s")
            .expect_trailers(&[("X", "y")])
            .expect_kept_alive();
    });
}
