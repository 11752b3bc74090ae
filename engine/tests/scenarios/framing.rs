//! Where messages begin and end.

use crate::world::{calm, scenario};

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
fn an_origin_that_closes_in_the_middle_of_the_body_cuts_the_client() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").wait("1s").close();
        w.client().get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn an_origin_that_is_down_is_a_502() {
    scenario(|w| {
        w.origin().is_down();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["connect_failed"]);
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
    calm(|w| {
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
