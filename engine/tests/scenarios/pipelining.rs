//! Several requests before the first answer (RFC 9112 section 9.3.2).

use crate::world::{calm, scenario};

#[test]
fn a40_answers_come_in_the_order_of_the_requests() {
    scenario(|w| {
        w.origin().on("GET /slow").wait("500ms").ok("slow");
        w.origin().on("GET /fast").ok("fast");
        let c = w.client();
        c.get("/slow").get("/fast").get("/slow").get("/fast");
        c.expect_ok("slow").expect_ok("fast").expect_ok("slow").expect_ok("fast").expect_kept_alive();
        w.expect_outcomes(&["complete"; 4]);
    });
}

#[test]
fn a_request_waits_for_the_answer_to_the_one_before() {
    scenario(|w| {
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
        w.origin().on("GET /1").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").wait("1s").close();
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
    calm(|w| {
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
    scenario(|w| {
        w.origin().on("*").wait("1s").ok("fine");
        let c = w.client();
        c.get("/1").get("/2").get("/3").sent();
        c.close();
        w.after("5s");
        w.origin().expect_requests(1);
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
#[ignore = "open: a close that we decide on does not wait for what the client may have sent meanwhile"]
fn a_request_that_crosses_our_close_does_not_destroy_the_answer_before() {
    calm(|w| {
        // Not Linux, but BSD, macOS and Windows: a reset takes with it what was not read.
        w.conditions(|c| c.reset_discards = 1000);
        w.settings(|s| s.limits.keepalive_requests = 1);
        w.origin().on("*").ok("answer");
        let c = w.client();
        c.stop_reading().get("/1");
        w.after("750us");
        c.get("/2");
        w.settle();
        c.resume_reading().expect_ok("answer");
    });
}
