//! Several requests before the first answer (RFC 9112 section 9.3.2).

use ringway_testing::{Client, World, scenario, simulated, simulated_calm};
use std::time::Duration;

#[test]
fn a40_answers_come_in_the_order_of_the_requests() {
    scenario(|w| {
        w.origin().on("GET /slow").wait("20ms").ok("slow");
        w.origin().on("GET /fast").ok("fast");
        let c = w.client();
        c.get("/slow").get("/fast").get("/slow").get("/fast");
        c.expect_ok("slow").expect_ok("fast").expect_ok("slow").expect_ok("fast").expect_kept_alive();
        w.expect_outcomes(&["complete"; 4]);
    });
}

#[test]
fn a_request_waits_for_the_answer_to_the_one_before() {
    simulated(|w| {
        w.origin().on("GET /1").wait("1s").ok("one");
        w.origin().on("GET /2").ok("two");
        let c = w.client();
        c.get("/1").get("/2");
        w.after("900ms");
        w.origin().expect_requests(1);
        c.expect_ok("one").expect_ok("two");
    });
}

#[test]
fn requests_with_content_follow_each_other_closely() {
    scenario(|w| {
        w.origin().on("HEAD /4").ok("");
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.post("/1", "one").post_chunks("/2", &["t", "wo"]).get("/3").head("/4").post("/5", "five");
        c.expect_ok("fine").expect_ok("fine").expect_ok("fine").expect_ok("").expect_ok("fine");
        for (n, content) in ["one", "two", "", "", "five"].into_iter().enumerate() {
            w.origin().request(n).expect_body(content);
        }
        w.origin().expect_connections(1);
    });
}

#[test]
fn what_is_behind_a_malformed_request_is_not_looked_at() {
    scenario(|w| {
        w.origin().on("GET /1").ok("one");
        let c = w.client();
        c.get("/1").send("GET / HTTP/1.1\r\nHost : a\r\n\r\n").get("/3");
        c.expect_ok("one").expect_status(400).expect_body("400 Bad Request\n").expect_closed();
        w.origin().expect_requests(1);
        w.expect_outcomes(&["complete", "malformed"]);
    });
}

#[test]
fn a_request_is_refused_in_its_turn() {
    scenario(|w| {
        w.origin().on("GET /1").wait("100ms").ok("one");
        let c = w.client();
        c.get("/1")
            .send("NONSENSE\r\n\r\n")
            .expect_ok("one")
            .expect_status(400)
            .expect_body("400 Bad Request\n");
        c.expect_closed();
    });
}

#[test]
fn requests_behind_one_that_failed_are_answered() {
    scenario(|w| {
        w.origin().on("GET /bad").reply("nonsense\r\n\r\n").close();
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/1").get("/bad").get("/3");
        c.expect_ok("fine").expect_status(502).expect_body("502 Bad Gateway\n").expect_ok("fine");
        w.expect_outcomes(&["complete", "upstream_malformed", "complete"]);
    });
}

#[test]
fn requests_behind_one_that_is_cut_are_not_processed() {
    scenario(|w| {
        w.origin().on("GET /1").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").wait("20ms").close();
        let c = w.client();
        c.get("/1").get("/2").expect_status(200).expect_body("abc").expect_aborted();
        w.origin().expect_requests(1);
    });
}

#[test]
fn a_hundred_requests_at_once_are_all_answered() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let c = w.client();
        (0..100).for_each(|n| _ = c.get(&format!("/{n}")));
        (0..100).for_each(|_| _ = c.expect_ok("fine"));
        for n in 0..100 {
            w.origin().request(n).expect_line(&format!("GET /{n} HTTP/1.1"));
        }
    });
}

#[test]
fn a_flood_of_requests_waits_in_the_kernel() {
    simulated_calm(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        c.set_buffer(10_000_000);
        (0..10_000).for_each(|n| _ = c.get(&format!("/{n}")));
        w.after("1s");
        assert!(w.held_bytes() < 200_000, "{}", w.held_bytes());
        c.reset();
        // Nobody looks at what is behind so many bytes before the answer is due.
        w.after("1m");
        w.expect_outcomes(&["first_byte_timeout"]);
    });
}

#[test]
fn a_client_that_leaves_has_its_other_requests_dropped() {
    simulated(|w| {
        w.origin().on("*").wait("1s").ok("fine");
        let c = w.client();
        c.get("/1").get("/2").get("/3").sent();
        c.close();
        w.after("5s");
        w.origin().expect_requests(1);
        w.expect_outcomes(&["downstream_closed"]);
    });
}

/// A client that has not read yet what it was sent when its next request meets the end of the connection.
fn crosses(w: &World, request: &str, meanwhile: impl FnOnce()) -> Client {
    // Not Linux, but BSD, macOS and Windows: a reset takes with it what was not read.
    w.conditions(|c| c.reset_discards = 1000);
    let c = w.client();
    c.stop_reading().send(request);
    meanwhile();
    w.after("750us");
    c.get("/2");
    w.settle();
    c.resume_reading();
    c
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_that_crosses_our_close_does_not_destroy_the_answer_before() {
    simulated_calm(|w| {
        w.settings(|s| {
            s.limits.keepalive_requests = 1;
            s.clusters[0].keepalive.idle_timeout = Duration::from_millis(10);
        });
        w.origin().on("*").ok("answer");
        crosses(w, GET, || ()).expect_ok("answer").expect_header("Connection", "close").expect_closed();
        w.origin().expect_requests(1);
        // The client has seen the end and closes, too: nobody waits for it any longer.
        w.close_ended_clients();
        assert!(w.now() < Duration::from_secs(1));
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_request_that_crosses_the_end_of_an_endless_answer_does_not_destroy_it() {
    simulated_calm(|w| {
        w.origin().on("*").reply("HTTP/1.0 200 OK\r\n\r\nanswer").close();
        let c = crosses(w, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", || ());
        c.expect_ok("answer").expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn a_request_that_crosses_the_close_of_a_drain_does_not_destroy_the_answer_before() {
    simulated_calm(|w| {
        w.origin().on("*").ok("answer");
        crosses(w, GET, || _ = w.after("250us").drain("30s")).expect_ok("answer").expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn a_request_that_crosses_the_close_behind_an_early_answer_does_not_destroy_it() {
    simulated_calm(|w| {
        w.origin().on("*").early().reply("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno").close();
        let c = crosses(w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\nabc", || ());
        c.expect_status(413).expect_header("Connection", "close").expect_body("no").expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn who_does_not_close_behind_our_close_has_little_time() {
    simulated(|w| {
        w.settings(|s| {
            (s.limits.keepalive_requests, s.limits.linger) = (1, Duration::from_secs(3));
            s.clusters[0].keepalive.idle_timeout = Duration::from_secs(1);
        });
        w.origin().on("*").ok("answer");
        let c = w.client();
        c.get("/").expect_ok("answer");
        w.after("2s");
        assert_eq!(w.connections(), 1);
        w.after("2s");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn nobody_waits_for_a_client_that_said_that_its_request_is_its_last() {
    scenario(|w| {
        w.settings(|s| s.clusters[0].keepalive.idle_timeout = Duration::from_millis(10));
        w.origin().on("*").ok("answer");
        let head = ["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"];
        for head in head {
            w.client().send(head).expect_ok("answer");
            w.after("50ms");
            assert_eq!(w.connections(), 0);
        }
    });
}
