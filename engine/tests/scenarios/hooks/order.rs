//! Which hooks run for which message, in which order; the last is always that of the log, once.

use super::*;

/// The hooks of a request with content.
const POST: &[&str] = &[
    "early_request",
    "request",
    "select",
    "connected",
    "upstream_request",
    "request_data end",
    "upstream_response",
    "response",
    "response_data end",
    "finished",
];

#[test]
fn hooks_run_in_order_and_logging_is_the_last() {
    noted(|w, diary| {
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").expect_header("x-seen", "yes");
        w.settle();
        diary.expect(STAGES);
    });
}

#[test]
fn content_of_a_request_is_seen_behind_its_head() {
    noted(|w, diary| {
        w.origin().on("POST /").reply(OK);
        let c = w.client();
        c.post("/", "hello").expect_ok("abc");
        w.origin().last().expect_body("hello").expect_header("x-hop", "1");
        w.settle();
        diary.expect(POST);
        c.post_chunks("/", &["he", "llo"]).expect_ok("abc");
        w.origin().last().expect_body("hello");
        w.settle();
        diary.expect(POST);
        c.post("/", "").expect_ok("abc");
        w.settle();
        diary.expect(STAGES);
    });
}

#[test]
fn trailers_are_seen_behind_the_content_in_both_directions() {
    noted(|w, diary| {
        let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
        w.origin().on("POST /").reply(reply);
        let c = w.client();
        let body = "2\r\nhi\r\n0\r\nX-R: 2\r\n\r\n";
        c.request("POST", "/", "TE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\n", body);
        c.expect_ok("abc").expect_trailers(&[("X-T", "1")]);
        w.origin().last().expect_body("hi").expect_trailers(&[("X-R", "2")]);
        w.settle();
        let mut expected = POST.to_vec();
        expected.insert(6, "request_trailers");
        expected.insert(expected.len() - 1, "response_trailers");
        diary.expect(&expected);
    });
}

#[test]
fn a_response_without_content_has_no_hook_of_its_content() {
    noted(|w, diary| {
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        w.origin().on("GET /204").reply("HTTP/1.1 204 No Content\r\n\r\n");
        w.origin().on("GET /304").reply("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
        let c = w.client();
        let mut expected = stages("early_request", "response");
        expected.push("finished");
        c.head("/").expect_ok("");
        w.settle();
        diary.expect(&expected);
        for status in [204, 304] {
            c.get(&format!("/{status}")).expect_status(status).expect_body("");
            w.settle();
            diary.expect(&expected);
        }
        w.expect_outcomes(&["complete"; 3]);
    });
}

#[test]
fn an_empty_content_is_shown_by_its_end() {
    noted(|w, diary| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let c = w.client();
        c.get("/").expect_ok("");
        w.settle();
        diary.expect(STAGES);
    });
}

#[test]
fn interim_responses_pass_without_a_hook() {
    noted(|w, diary| {
        w.origin().on("GET /").reply("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").reply(OK);
        let c = w.client();
        c.get("/").expect_status(103).expect_no_header("x-seen").expect_ok("abc");
        w.settle();
        diary.expect(STAGES);
    });
}

#[test]
fn an_expectation_is_forwarded_behind_the_hooks() {
    noted(|w, diary| {
        w.origin().on("POST /").early().reply("HTTP/1.1 100 Continue\r\n\r\n").read_all().reply(OK);
        let c = w.client();
        c.request("POST", "/", "Expect: 100-continue\r\nContent-Length: 2\r\n", "").expect_status(100);
        c.send("hi").expect_ok("abc");
        w.settle();
        diary.expect(POST);
    });
}

#[test]
fn a_switch_of_protocols_is_a_response_and_what_follows_is_nobodys() {
    noted(|w, diary| {
        let switch = "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        w.origin().on("GET /").reply(switch).echo_raw();
        let c = w.client();
        c.request("GET", "/", "Connection: upgrade\r\nUpgrade: websocket\r\n", "").expect_status(101);
        c.expect_header("x-seen", "yes");
        c.tunnels().send("hello").expect_raw("hello");
        w.settle();
        diary.expect(&stages("early_request", "response"));
        c.close();
        w.origin().close_on(0);
        w.settle();
        w.expect_counter("tunnels_active", 0);
        diary.expect(&["finished"]);
    });
}

#[test]
fn an_error_page_is_a_response() {
    noted(|w, diary| {
        w.origin().on("GET /").close();
        let c = w.client();
        c.get("/").expect_status(502).expect_header("x-seen", "yes").expect_body("502 Bad Gateway\n");
        w.settle();
        let mut expected = stages("early_request", "request_data end");
        let failed = ["retry", "failed upstream_closed", "response", "response_data end"];
        expected.extend(failed);
        expected.push("finished upstream_closed");
        diary.expect(&expected);
        w.expect_outcomes(&["upstream_closed"]);
    });
}

#[test]
fn a_connection_that_cannot_be_had_fails_behind_its_own_hook() {
    noted(|w, diary| {
        w.origin().is_down();
        w.settings(|s| s.clusters[0].retries_max = 1);
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.settle();
        let mut expected = vec!["early_request", "request", "select", "connect_failed", "select"];
        expected.extend(["connect_failed", "failed connect_failed", "response", "response_data end"]);
        expected.push("finished connect_failed");
        diary.expect(&expected);
        w.last_record().expect("attempts", "2").expect("outcome", "connect_failed");
    });
}

#[test]
fn a_further_attempt_begins_with_the_choice() {
    noted(|w, diary| {
        w.origin().on("GET /").times(1).reply(OK);
        w.origin().on("GET /").times(1).close();
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.get("/").expect_ok("abc");
        w.settle();
        diary.expect(STAGES);
        c.get("/").expect_ok("abc");
        w.settle();
        let mut expected = stages("early_request", "request_data end");
        expected.extend(["retry", "select", "connected", "upstream_request"]);
        expected.extend(stages("upstream_response", "finished"));
        diary.expect(&expected);
        w.origin().last().expect_header("x-hop", "1");
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn no_hook_runs_for_what_is_no_request() {
    noted(|w, diary| {
        let c = w.client();
        c.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").expect_status(400).expect_no_header("x-seen");
        w.settle();
        diary.expect(&[]);
        w.expect_outcomes(&["malformed"]);
    });
}

#[test]
fn a_tunnel_to_anywhere_is_refused_in_front_of_the_first_hook() {
    noted(|w, diary| {
        let c = w.client();
        c.asks("CONNECT").send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
        c.expect_status(405).expect_header("x-seen", "yes");
        w.settle();
        let expected = ["failed method_refused", "response", "response_data end", "finished method_refused"];
        diary.expect(&expected);
    });
}

#[test]
fn each_request_of_a_connection_has_its_own_hooks() {
    noted(|w, diary| {
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.get("/").expect_ok("abc");
        c.get("/").expect_ok("abc");
        w.settle();
        diary.expect(&[STAGES, STAGES].concat());
        c.get("/").get("/").get("/");
        c.expect_ok("abc").expect_ok("abc").expect_ok("abc");
        w.settle();
        diary.expect(&[STAGES, STAGES, STAGES].concat());
    });
}

#[test]
fn the_oldest_clients_have_the_same_hooks() {
    noted(|w, diary| {
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.asks("GET").send("GET / HTTP/1.0\r\n\r\n").expect_ok("abc").expect_closed();
        w.settle();
        diary.expect(STAGES);
    });
}

#[test]
fn who_leaves_is_logged() {
    noted(|w, diary| {
        w.origin().on("GET /").hang();
        let c = w.client();
        c.get("/");
        w.origin().expect_requests(1);
        c.close();
        w.expect_outcomes(&["downstream_closed"]);
        let mut expected = stages("early_request", "request_data end");
        expected.push("finished downstream_closed");
        diary.expect(&expected);
    });
}

#[test]
fn who_is_cut_off_is_logged() {
    noted(|w, diary| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").close();
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").expect_aborted();
        w.settle();
        let mut expected = stages("early_request", "response");
        expected.extend(["response_data", "finished upstream_truncated"]);
        diary.expect(&expected);
    });
}

#[test]
fn who_is_served_to_the_end_of_a_drain_is_logged_and_so_is_who_is_stopped() {
    noted(|w, diary| {
        w.origin().on("GET /").wait("50ms").reply(OK);
        w.origin().on("GET /long").hang();
        let (c, other) = (w.client(), w.client());
        c.get("/");
        w.origin().expect_requests(1);
        other.get("/long");
        w.origin().expect_requests(2);
        diary.read();
        w.drain("10s");
        c.expect_ok("abc").expect_header("Connection", "close");
        w.settle();
        diary.expect(&stages("upstream_response", "finished"));
        w.stop();
        w.settle();
        diary.expect(&["finished stopped"]);
        w.expect_outcomes(&["complete", "stopped"]);
        other.expect_over();
    });
}

#[test]
fn a_request_that_is_announced_to_be_empty_stays_so() {
    noted(|w, diary| {
        w.origin().on("POST /").reply(OK);
        let c = w.client();
        c.request("POST", "/", "Content-Length: 0\r\n", "").expect_ok("abc");
        w.origin().last().expect_headers("Content-Length", &["0"]).expect_headers("Transfer-Encoding", &[]);
        w.settle();
        diary.expect(STAGES);
    });
}
