//! Interim (1xx) responses (RFC 9110 section 15.2).

use ringway_testing::{scenario, simulated};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn b35_early_hints_are_relayed_one_after_the_other_as_they_come() {
    simulated(|w| {
        let second = "HTTP/1.1 103 More Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n";
        w.origin()
            .on("GET /")
            .reply(HINTS)
            .wait("1s")
            .reply(second)
            .wait("1s")
            .reply(HINTS)
            .wait("1s")
            .reply(OK);
        let c = w.client();
        c.get("/").expect_status(103).expect_header("Link", "</style.css>; rel=preload").expect_at("0s");
        c.expect_silence();
        c.expect_status(103).expect_line("HTTP/1.1 103 More Hints").expect_headers("Link", &["</a>", "</b>"]);
        c.expect_at("1s")
            .expect_status(103)
            .expect_at("2s")
            .expect_ok("ok")
            .expect_at("3s")
            .expect_kept_alive();
        c.expect_no_header("Link");
        w.expect_outcomes(&["complete"]);
        w.last_record().expect("status", "200");
    });
}

#[test]
fn b35_a_100_that_nobody_waits_for_is_relayed_all_the_same() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 100 Continue\r\n\r\n").reply(OK);
        let c = w.client();
        c.get("/").expect_status(100).expect_ok("ok").get("/").expect_status(100).expect_ok("ok");
        w.origin().expect_connections(1);
    });
}

#[test]
fn b35_an_interim_status_that_is_unknown_is_relayed() {
    scenario(|w| {
        let replies = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 \r\nX-A: b\r\n\r\n";
        w.origin().on("GET /").reply(replies).reply(OK);
        let c = w.client();
        c.get("/").expect_status(102).expect_status(199).expect_header("X-A", "b").expect_ok("ok");
    });
}

#[test]
fn a20_b24_an_interim_response_has_no_framing_whatever_its_fields_say() {
    scenario(|w| {
        let odd = "HTTP/1.1 103 H\r\nContent-Length: 5\r\nX-A: b\r\n\r\n\
                   HTTP/1.1 103 H\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("GET /").reply([odd, OK].concat());
        let c = w.client();
        c.get("/").expect_status(103).expect_header("X-A", "b").expect_no_header("Content-Length");
        c.expect_status(103).expect_no_header("Transfer-Encoding").expect_ok("ok").expect_kept_alive();
    });
}

#[test]
fn b15_an_interim_response_says_nothing_about_the_connection() {
    scenario(|w| {
        let hints = "HTTP/1.1 103 H\r\nConnection: close, x-a\r\nX-A: 1\r\nKeep-Alive: x\r\nX-B: 2\r\n\r\n";
        w.origin().on("GET /").reply([hints, OK].concat());
        let c = w.client();
        c.get("/").expect_status(103).expect_no_header("Connection").expect_no_header("X-A");
        c.expect_no_header("Keep-Alive").expect_header("X-B", "2").expect_ok("ok").expect_kept_alive();
        c.get("/").expect_status(103).expect_ok("ok");
        w.origin().expect_connections(1);
    });
}

#[test]
fn sixteen_interim_responses_are_relayed_and_a_further_one_is_a_502() {
    scenario(|w| {
        w.origin().on("GET /16").reply([&HINTS.repeat(16), OK].concat());
        w.origin().on("GET /17").reply([&HINTS.repeat(17), OK].concat()).hang();
        let c = w.client();
        // The count begins anew with each request.
        for _ in 0..2 {
            c.get("/16");
            (0..16).for_each(|_| _ = c.expect_status(103));
            c.expect_ok("ok");
        }
        c.get("/17");
        (0..16).for_each(|_| _ = c.expect_status(103));
        c.expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["complete", "complete", "upstream_malformed"]);
        assert_eq!(w.connections(), 1, "the origin's is closed");
    });
}

#[test]
fn an_origin_that_closes_behind_an_interim_response_is_a_502() {
    scenario(|w| {
        w.origin().on("GET /").reply(HINTS).wait("20ms").close();
        let c = w.client();
        c.get("/").expect_status(103).expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.origin().expect_requests(1);
        w.expect_outcomes(&["upstream_closed"]);
    });
}

#[test]
fn a_kept_connection_that_dies_behind_an_interim_response_is_not_tried_again() {
    scenario(|w| {
        w.origin().on("GET /").reply(OK);
        w.origin().on("GET /hints").reply(HINTS).wait("20ms").close();
        let c = w.client();
        c.get("/").expect_ok("ok");
        // The origin has seen the request and begun to answer it: it did not idle out.
        c.get("/hints").expect_status(103).expect_status(502).expect_body("502 Bad Gateway\n");
        w.origin().expect_requests(2).expect_connections(1);
        w.expect_outcomes(&["complete", "upstream_closed"]);
    });
}

#[test]
fn b35_a_client_of_http10_gets_no_interim_response() {
    scenario(|w| {
        let hints = [HINTS, "HTTP/1.1 100 Continue\r\n\r\n", HINTS, OK].concat();
        w.origin().on("GET /").reply(hints);
        let c = w.client();
        c.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").expect_ok("ok").expect_kept_alive();
        c.send("GET / HTTP/1.0\r\n\r\n").expect_ok("ok").expect_closed();
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn interim_responses_to_pipelined_requests_stay_with_their_own() {
    scenario(|w| {
        w.origin().on("GET /a").wait("20ms").reply([HINTS, OK].concat());
        w.origin().on("HEAD /b").reply([HINTS, "HTTP/1.1 204 No Content\r\n\r\n"].concat());
        w.origin().on("GET /c").reply(OK);
        let c = w.client();
        c.get("/a")
            .head("/b")
            .get("/c")
            .expect_status(103)
            .expect_ok("ok")
            .expect_status(103)
            .expect_status(204);
        c.expect_ok("ok").expect_kept_alive();
    });
}

#[test]
fn an_interim_response_during_an_upload_does_not_end_it() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(HINTS).read_all().reply(OK);
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_status(103).expect_silence();
        c.send("world").expect_ok("ok").expect_kept_alive();
        w.origin().last().expect_body("helloworld");
    });
}

#[test]
fn an_origin_that_hangs_behind_an_interim_response_is_a_504() {
    simulated(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 103 Early Hints\r\n\r\n").hang();
        w.client().get("/").expect_status(103).expect_status(504).expect_body("504 Gateway Timeout\n");
        assert!(w.now().as_secs() <= 31);
    });
}

#[test]
fn interim_and_final_response_may_come_in_one_piece() {
    scenario(|w| {
        let reply = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\
                     Content-Length: 2\r\n\r\nok";
        w.origin().on("GET /").reply(reply);
        w.client().get("/").expect_status(102).expect_status(103).expect_ok("ok").expect_kept_alive();
    });
}

#[test]
fn interim_responses_are_not_the_status_that_is_logged() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 103 Early Hints\r\n\r\n").ok("fine");
        w.client().get("/").expect_status(103).expect_ok("fine");
        w.last_record().expect("status", "200");
        w.expect_counter("responses_2xx", 1).expect_counter("responses_1xx", 0);
    });
}

#[test]
fn an_interim_response_behind_the_final_one_is_nobodys() {
    scenario(|w| {
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Early Hints\r\n\r\n";
        w.origin().on("GET /").reply(reply);
        w.origin().on("GET /next").ok("next");
        let c = w.client();
        c.get("/").expect_ok("ok");
        w.settle();
        c.get("/next").expect_ok("next");
        w.origin().expect_connections(2);
    });
}
