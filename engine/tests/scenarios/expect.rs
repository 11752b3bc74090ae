//! `Expect: 100-continue` (RFC 9110 section 10.1.1).

use ringway_testing::{scenario, simulated};
use std::time::Duration;

const EXPECT: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn the_expectation_goes_up_and_the_origins_100_comes_down() {
    simulated(|w| {
        w.origin().on("POST /").early().reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "")
            .expect_status(100)
            .send("hello")
            .expect_ok("done")
            .expect_kept_alive();
        w.origin().last().expect_header("Expect", "100-continue").expect_body("hello");
        assert!(w.now() < Duration::from_secs(1), "nobody had to wait");
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_silent_origin_makes_us_say_100_once_and_a_late_100_of_its_own_is_dropped() {
    simulated(|w| {
        w.origin().on("POST /").early().wait("3s").reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(100).expect_at("1s");
        c.send("hello").expect_ok("done").expect_kept_alive();
        w.origin().expect_connections(1).last().expect_header("Expect", "100-continue").expect_body("hello");
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn an_origin_that_ignores_expectations_gets_the_content_all_the_same() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(100).send("hello").expect_ok("done");
        w.origin().last().expect_body("hello");
    });
}

#[test]
fn a_final_answer_instead_of_a_100_ends_both_connections() {
    scenario(|w| {
        let reply = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
        w.origin().on("POST /").early().reply(reply).read_all().hang();
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(401).expect_body("no");
        c.expect_header("Connection", "close").expect_closed();
        w.client().get("/").expect_ok("fine");
        w.origin().expect_connections(2);
        assert_ne!(w.origin().end_of(0), None, "half a request is on it");
    });
}

#[test]
fn content_behind_a_final_answer_is_no_request() {
    scenario(|w| {
        let reply = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
        w.origin().on("POST /").early().reply(reply).hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 40\r\nExpect: 100-continue\r\n", "")
            .expect_status(413)
            .expect_body("no");
        c.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        w.settle();
        w.origin().expect_requests(1);
    });
}

#[test]
fn a_client_that_does_not_wait_gets_the_100_and_the_answer() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "hello").expect_status(100).expect_ok("done").expect_kept_alive();
    });
}

#[test]
fn a_client_that_does_not_wait_gets_no_100_of_ours() {
    simulated(|w| {
        w.origin().on("POST /").wait("5s").ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "hello").expect_ok("done").expect_kept_alive();
    });
}

#[test]
fn b30_an_expectation_in_http10_is_ignored() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.send(format!("POST / HTTP/1.0\r\nHost: a\r\n{EXPECT}\r\nhello")).expect_ok("done").expect_closed();
        w.origin().last().expect_no_header("Expect").expect_body("hello");
    });
}

#[test]
fn other_expectations_are_a_417() {
    for value in ["something", "100-continue, something", "100-continuex", "", "100-continue, 100-continue"] {
        scenario(|w| {
            let c = w.client();
            c.request("POST", "/", &format!("Content-Length: 5\r\nExpect: {value}\r\n"), "hello")
                .expect_status(417);
            c.expect_body("417 Expectation Failed\n");
            w.origin().expect_connections(0);
            w.last_record().expect("outcome", "malformed").expect("rule", "expectation");
        });
    }
}

#[test]
fn two_expectations_are_a_417() {
    scenario(|w| {
        let c = w.client();
        c.request(
            "POST",
            "/",
            "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n",
            "hello",
        );
        c.expect_status(417).expect_body("417 Expectation Failed\n");
        w.origin().expect_connections(0);
    });
}

#[test]
fn an_expectation_without_content_stays_here() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.request("GET", "/", "Expect: 100-continue\r\n", "").expect_ok("fine");
        c.request("POST", "/", "Expect: 100-continue\r\nContent-Length: 0\r\n", "")
            .expect_ok("fine")
            .expect_kept_alive();
        w.origin().request(0).expect_no_header("Expect");
        w.origin().request(1).expect_no_header("Expect");
    });
}

#[test]
fn a_get_with_content_may_expect_too() {
    scenario(|w| {
        w.origin().on("GET /").early().reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("GET", "/", EXPECT, "")
            .expect_status(100)
            .send("hello")
            .expect_ok("done")
            .expect_kept_alive();
    });
}

#[test]
fn two_100s_of_an_origin_both_come_down() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(CONTINUE).reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "")
            .expect_status(100)
            .expect_status(100)
            .send("hello")
            .expect_ok("done");
        c.get("/next");
        w.origin().on("GET /next").ok("next");
        c.expect_ok("next");
    });
}

#[test]
fn an_expectation_that_we_answer_finally_ourselves_ends_the_connection() {
    scenario(|w| {
        w.settings(|s| s.sites[0].routes[0].methods = vec!["GET".into()]);
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(404).expect_body("404 Not Found\n");
        w.settle();
        // Whether it holds the content back or sends it after all: it is no request.
        c.send("hello");
        w.settle();
        w.origin().expect_connections(0);
    });
}

#[test]
fn an_expectation_of_an_origin_that_is_down_is_a_502_and_ends_the_connection() {
    scenario(|w| {
        w.origin().is_down();
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(502).expect_header("Connection", "close");
        c.expect_body("502 Bad Gateway\n").expect_closed();
    });
}

#[test]
fn an_expectation_is_sent_again_with_the_request() {
    scenario(|w| {
        w.origin().on("GET /first").ok("first");
        w.origin().on("PUT /x").times(1).early().close();
        w.origin().on("PUT /x").early().reply(CONTINUE).read_all().ok("again");
        let c = w.client();
        c.get("/first").expect_ok("first").request("PUT", "/x", EXPECT, "").expect_status(100);
        c.send("hello").expect_ok("again");
        w.origin().request(2).expect_header("Expect", "100-continue").expect_body("hello");
    });
}

#[test]
fn the_time_for_a_100_does_not_run_while_the_origin_is_connected_to() {
    simulated(|w| {
        w.origins(2);
        w.origin_at(0).welcome(ringway_engine::io::sim::Welcome::Silence);
        w.origin_at(1).on("POST /").early().wait("500ms").reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "")
            .expect_status(100)
            .expect_at("2500ms")
            .send("hello")
            .expect_ok("done");
    });
}

#[test]
fn the_time_for_content_begins_with_the_100_that_we_say() {
    simulated(|w| {
        w.settings(|s| {
            (s.limits.expect_timeout, s.limits.body_idle) = (Duration::from_secs(5), Duration::from_secs(3));
        });
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(100).expect_at("5s");
        w.after("2s");
        c.send("hello").expect_ok("done").expect_at("7s");
        c.request("POST", "/", EXPECT, "").expect_status(100).expect_at("12s");
        c.expect_status(408).expect_at("15s").expect_body("408 Request Timeout\n").expect_over();
        w.expect_outcomes(&["complete", "body_timeout"]);
    });
}

#[test]
fn the_time_for_content_begins_with_the_100_of_the_origin() {
    simulated(|w| {
        w.settings(|s| {
            (s.limits.expect_timeout, s.limits.body_idle) = (Duration::from_secs(20), Duration::from_secs(3));
        });
        w.origin().on("POST /").early().wait("10s").reply(CONTINUE).read_all().ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(100).expect_at("10s");
        w.after("2s");
        c.send("hello").expect_ok("done").expect_at("12s");
    });
}
