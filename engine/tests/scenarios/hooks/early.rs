//! Exchanges that a hook ends before their time: what the client is told, what is logged, and what becomes of the
//! connections.

use super::*;

#[test]
fn a_refusal_has_the_status_that_the_hook_chose() {
    for hook in BEFORE_ANSWER.iter().copied().chain(["request_end", "response"]) {
        noted(|w, diary| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.get(&format!("/{hook}/refuse")).expect_status(418).expect_body("418 \n");
            w.last_record().expect("status", "418").expect("outcome", "refused");
            let noted = diary.read();
            assert_eq!(noted.last().map(String::as_str), Some("finished refused"), "{noted:?}");
            assert_eq!(noted.iter().filter(|noted| noted.starts_with("finished")).count(), 1, "{noted:?}");
            assert_eq!(noted.iter().filter(|noted| *noted == "failed refused").count(), 1, "{noted:?}");
            c.get("/").expect_ok("abc");
            w.expect_outcomes(&["refused", "complete"]);
        });
    }
}

#[test]
fn a_failure_is_a_500() {
    for hook in BEFORE_ANSWER.iter().copied().chain(["request_end", "response"]) {
        noted(|w, diary| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.get(&format!("/{hook}/fail")).expect_status(500).expect_body("500 Internal Server Error\n");
            let noted = diary.read();
            assert!(noted.contains(&"failed hook_failed: as asked".to_owned()), "{noted:?}");
            let name = hook.replace("_end", "_data end");
            let at = noted.iter().position(|noted| *noted == name).expect("it ran");
            let mut behind = vec!["failed hook_failed: as asked", "response", "response_data end"];
            if hook == "response" {
                // What says so is not shown to whoever could not bear a response.
                behind.truncate(1);
            }
            behind.push("finished hook_failed");
            w.settle();
            let noted = [noted, diary.read()].concat();
            assert_eq!(noted[at + 1..], behind);
            c.get("/").expect_ok("abc");
            w.expect_outcomes(&["hook_failed", "complete"]);
        });
    }
}

#[test]
fn what_fails_before_the_head_is_sent_is_answered() {
    for (deed, status, outcome) in [
        ("fail", 500, "hook_failed"),
        ("refuse", 418, "refused"),
        ("panic", 500, "panicked"),
        ("panic_later", 500, "panicked"),
    ] {
        ringway_testing::simulated_calm(|w| {
            w.bear_panics();
            let diary = begin(w);
            w.origin().on("*").reply(OK);
            let (c, other) = (w.client(), w.client());
            c.get(&format!("/response_end/{deed}")).expect_status(status);
            w.settle();
            w.expect_outcomes(&[outcome]);
            let finished = diary.read().iter().filter(|noted| noted.starts_with("finished")).count();
            assert_eq!(finished, usize::from(outcome != "panicked"));
            other.get("/").expect_ok("abc");
        });
    }
}

#[test]
fn what_fails_in_the_middle_of_an_answer_is_cut() {
    for hook in ["response_data", "response_end"] {
        noted(|w, diary| {
            w.origin().on("*").reply(STREAMED);
            let (c, other) = (w.client(), w.client());
            c.get(&format!("/{hook}/fail")).expect_over();
            // A reset may destroy what came before it.
            if c.has_response() {
                c.expect_status(200).expect_aborted();
            }
            w.expect_outcomes(&["hook_failed"]);
            assert_eq!(diary.read().last().map(String::as_str), Some("finished hook_failed"));
            w.origin().expect_end(0, Some("finished"));
            other.get("/").expect_ok("abc");
        });
    }
}

#[test]
fn a_refusal_in_front_of_the_request_leaves_its_connection_to_nobody() {
    for hook in ["connected", "upstream_request"] {
        noted(|w, _| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.get(&format!("/{hook}/refuse")).expect_status(418).expect_body("418 \n");
            w.origin().expect_requests(0).expect_connections(1).expect_ended(0);
            c.get("/").expect_ok("abc");
            w.origin().last().expect_connection(1);
        });
    }
}

#[test]
fn content_of_a_refused_request_does_not_become_the_next_request() {
    noted(|w, diary| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.post("/request/refuse", "GET / HTTP/1.1\r\n\r\n").expect_status(418).expect_body("418 \n");
        c.get("/").expect_ok("abc");
        w.origin().expect_requests(1);
        c.post("/request_end/refuse", "hello").expect_status(418).expect_body("418 \n");
        c.get("/").expect_ok("abc");
        c.post_chunks("/request_data/refuse", &["hel", "lo"]).expect_status(418).expect_body("418 \n");
        c.get("/").expect_ok("abc");
        w.expect_outcomes(&["refused", "complete", "refused", "complete", "refused", "complete"]);
        assert!(diary.read().iter().all(|noted| noted != "retry"));
    });
}

#[test]
fn a_hook_may_answer_by_itself() {
    noted(|w, diary| {
        let c = w.client();
        c.get("/request/respond").expect_status(200).expect_body("hello").expect_header("x-by", "hook");
        c.expect_header("x-seen", "yes").expect_header("Content-Length", "5");
        c.get("/request/respond").expect_status(200);
        w.settle();
        let once = ["early_request", "request", "response", "response_data end", "finished"];
        diary.expect(&[once, once].concat());
        w.expect_outcomes(&["answered", "answered"]);
    });
}

#[test]
fn an_answer_to_head_has_no_content() {
    noted(|w, diary| {
        let c = w.client();
        c.head("/request/respond").expect_ok("").head("/request/respond").expect_ok("");
        w.settle();
        let once = ["early_request", "request", "response", "finished"];
        diary.expect(&[once, once].concat());
    });
}
