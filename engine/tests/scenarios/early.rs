//! Origins that answer before they have the whole request.

use ringway_testing::{calm, scenario, simulated, simulated_calm};

const NO: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn an_early_answer_is_relayed_at_once_and_the_rest_of_the_request_is_dropped() {
    simulated(|w| {
        w.origin().on("POST /").early().reply(NO).hang();
        w.origin().on("GET /").ok("next");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_status(403).expect_body("no");
        c.expect_no_header("Connection").expect_at("0s").expect_silence();
        // An origin that answered early may or may not read on: its connection is used no more.
        w.origin().expect_end(0, Some("finished"));
        c.send("world").get("/").expect_ok("next").expect_kept_alive();
        w.origin().last().expect_connection(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn the_upload_goes_on_while_the_early_answer_does() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        w.origin().on("POST /").early().reply(head).read_all().reply("world");
        w.origin().on("GET /").ok("next");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 6\r\n", "abc").expect_status(200).expect_body_so_far("hello");
        c.expect_silence().send("def").expect_body("helloworld");
        w.origin().last().expect_body("abcdef");
        // Both messages are complete: both connections are used again.
        c.get("/").expect_ok("next").expect_kept_alive();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn an_early_answer_with_the_request_right_behind_it_leaves_the_client_usable() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(NO).read_all();
        w.origin().on("GET /").ok("next");
        let c = w.client();
        for _ in 0..3 {
            c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n").expect_status(403);
            c.expect_body("no").send("5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n").get("/").expect_ok("next");
        }
        c.expect_kept_alive();
        w.expect_outcomes(&["complete"; 6]);
    });
}

#[test]
fn an_origin_that_answers_early_and_closes_is_understood() {
    simulated(|w| {
        w.origin().on("POST /").early().read(5).reply(NO).close();
        w.origin().on("GET /").ok("next");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_status(403).expect_body("no");
        w.after("2s");
        c.send("world").get("/").expect_ok("next").expect_kept_alive();
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn an_origin_that_says_too_large_and_closes_while_the_client_sends_is_heard() {
    simulated_calm(|w| {
        let no = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large";
        w.origin().on("POST /").early().reply(no).close();
        let c = w.client();
        c.post("/", "x".repeat(10_000_000)).expect_status(413).expect_body("too large");
        c.expect_header("Connection", "close").expect_over();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete"]);
        w.after("6s");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_client_that_only_reads_after_it_has_sent_sees_an_early_refusal() {
    calm(|w| {
        let no = "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large";
        w.origin().on("POST /").early().reply(no).close();
        let c = w.client();
        c.stop_reading().post("/", "x".repeat(900_000)).sent();
        c.resume_reading().expect_status(413).expect_body("too large").expect_kept_alive();
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a37_an_endless_upload_behind_an_early_answer_ends_the_connection() {
    simulated_calm(|w| {
        w.origin().on("POST /").early().reply(NO).close();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "").expect_status(403).expect_body("no");
        let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
        c.send(chunk.repeat(40)).expect_over();
        w.expect_outcomes(&["complete"]);
        w.after("6s");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn an_echo_runs_in_both_directions_at_once() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").early().reply(head).echo();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "").expect_status(200);
        for word in ["one ", "two ", "three "] {
            c.send(format!("{:x}\r\n{word}\r\n", word.len()));
            w.settle();
        }
        c.expect_body_so_far("one two three ").expect_silence();
        c.send("0\r\n\r\n").expect_body("one two three ").expect_kept_alive();
        c.post("/", "again").expect_ok("again");
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a_large_echo_comes_back_whole() {
    calm(|w| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").early().reply(head).echo();
        let body: Vec<u8> = (0..900_000).map(|at| (at % 251) as u8).collect();
        let c = w.client();
        c.post("/", &body).expect_status(200).expect_body_len(body.len()).expect_kept_alive();
        assert!(c.response().body == body);
        assert!(w.origin().last().message().body == body);
    });
}

#[test]
fn a_close_delimited_early_answer_is_complete_at_its_close() {
    scenario(|w| {
        w.origin().on("POST /").early().read(5).reply("HTTP/1.1 200 OK\r\n\r\nearly").close();
        w.origin().on("GET /").ok("next");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_ok("early");
        c.send("world").get("/").expect_ok("next").expect_kept_alive();
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn an_early_answer_that_is_cut_is_cut_for_the_client() {
    scenario(|w| {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly";
        w.origin().on("POST /").early().read(5).reply(half).wait("20ms").close();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_status(200).expect_body("early");
        c.expect_aborted();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn a_client_that_leaves_after_its_early_answer_has_had_it() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(NO).hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello")
            .expect_status(403)
            .expect_body("no")
            .close();
        w.expect_outcomes(&["complete"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn what_is_malformed_behind_an_early_answer_ends_the_connection() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(NO).hang();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n").expect_status(403);
        c.expect_body("no").send("zz\r\nGET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n").expect_closed();
        w.origin().expect_requests(1);
        w.expect_outcomes(&["malformed"]);
    });
}

#[test]
fn an_early_answer_on_a_kept_connection_is_not_asked_for_again() {
    scenario(|w| {
        w.origin().on("GET /").ok("first");
        w.origin().on("PUT /").early().read(5).reply(NO).reset();
        let c = w.client();
        c.get("/").expect_ok("first");
        c.request("PUT", "/", "Content-Length: 10\r\n", "hello").expect_status(403).expect_body("no");
        c.send("world").expect_kept_alive();
        w.origin().expect_requests(2).expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn an_answer_before_any_content_is_relayed_to_a_client_that_never_sends_it() {
    scenario(|w| {
        w.origin().on("POST /").early().reply(NO).hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "").expect_status(403).expect_body("no").finish();
        c.expect_closed();
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_client_that_reads_only_after_it_has_sent_far_too_much_sees_the_refusal() {
    simulated_calm(|w| {
        // A reset would take the refusal with it.
        w.conditions(|c| c.reset_discards = 1000);
        w.settings(|s| s.clusters[0].keepalive.idle_timeout = std::time::Duration::from_millis(10));
        w.origin().on("POST /").early().reply(NO).close();
        let c = w.client();
        c.stop_reading().post("/", "x".repeat(5_000_000)).sent();
        c.resume_reading().expect_status(403).expect_header("Connection", "close").expect_body("no");
        c.expect_closed();
        w.expect_outcomes(&["complete"]);
        assert_eq!(w.close_ended_clients().connections(), 0);
    });
}
