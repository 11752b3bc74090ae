//! Hooks that wait: for how long, for whom, and what happens meanwhile.

use super::*;

#[test]
fn a_hook_that_waits_parks_its_exchange_and_goes_on() {
    let all = [BEFORE_ANSWER, &["request_end", "response", "response_data", "response_end", "finished"]];
    for hook in all.concat() {
        for deed in ["wait", "dawdle"] {
            noted(|w, diary| {
                w.origin().on(&format!("GET /{hook}/{deed}")).reply(STREAMED);
                let c = w.client();
                c.get(&format!("/{hook}/{deed}")).expect_status(200).expect_body("abc");
                c.expect_kept_alive();
                w.after("30ms");
                let noted = diary.read();
                // A network that brings content in pieces makes its hook wait for each.
                let waited = noted.iter().filter(|noted| *noted == "waited").count();
                assert!(waited == 1 || hook == "response_data" && (2..=3).contains(&waited), "{noted:?}");
                let mut others: Vec<_> = noted.iter().filter(|noted| *noted != "waited").cloned().collect();
                join(&mut others);
                assert_eq!(others, STAGES);
                let name = hook.replace("_end", "_data end");
                let at = noted.iter().position(|noted| *noted == name).expect("it ran");
                assert_eq!(noted[at + 1], "waited", "{noted:?}");
            });
        }
    }
}

#[test]
fn a_hook_ends_where_it_waits_when_its_client_leaves() {
    for hook in
        BEFORE_ANSWER.iter().copied().chain(["request_end", "response", "response_data", "response_end"])
    {
        noted(|w, diary| {
            w.origin().on(&format!("GET /{hook}/hang")).reply(STREAMED);
            let (c, other) = (w.client(), w.client());
            c.get(&format!("/{hook}/hang"));
            if hook.starts_with("response_") {
                c.expect_status(200);
            }
            w.settle();
            c.close();
            w.expect_outcomes(&["downstream_closed"]);
            let noted = diary.read();
            let last = &noted[noted.len() - 2..];
            assert_eq!(last, ["dropped", "finished downstream_closed"], "{noted:?}");
            w.origin().on("GET /").reply(OK);
            other.get("/").expect_ok("abc");
        });
    }
}

#[test]
fn a_hook_that_takes_too_long_is_a_504_once() {
    for hook in BEFORE_ANSWER.iter().copied().chain(["request_end", "response"]) {
        noted(|w, diary| {
            w.settings(|s| s.limits.hook_timeout = Duration::from_millis(100));
            w.origin().on(&format!("GET /{hook}/hang")).reply(OK);
            let c = w.client();
            c.get(&format!("/{hook}/hang")).expect_status(504).expect_body("504 Gateway Timeout\n");
            w.expect_outcomes(&["hook_timeout"]);
            let noted = diary.read();
            assert_eq!(noted.iter().filter(|noted| *noted == "dropped").count(), 1, "{noted:?}");
            assert_eq!(noted.iter().filter(|noted| noted.starts_with("finished")).count(), 1, "{noted:?}");
            assert_eq!(noted.last().map(String::as_str), Some("finished hook_timeout"));
            w.origin().on("GET /").reply(OK);
            c.get("/").expect_ok("abc");
        });
    }
}

#[test]
fn a_hook_of_content_that_takes_too_long_cuts() {
    for hook in ["response_data", "response_end"] {
        noted(|w, diary| {
            w.settings(|s| s.limits.hook_timeout = Duration::from_millis(100));
            w.origin().on(&format!("GET /{hook}/hang")).reply(STREAMED);
            let c = w.client();
            c.get(&format!("/{hook}/hang")).expect_over();
            if c.has_response() {
                c.expect_status(200).expect_aborted();
            }
            w.expect_outcomes(&["hook_timeout"]);
            assert_eq!(diary.read().last().map(String::as_str), Some("finished hook_timeout"));
        });
    }
}

#[test]
fn who_is_asked_what_to_say_of_a_failure_and_does_not_say_is_done_without() {
    noted(|w, diary| {
        w.settings(|s| s.limits.hook_timeout = Duration::from_millis(100));
        w.origin().on("GET /failed/hang").close();
        let c = w.client();
        c.get("/failed/hang").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["upstream_closed"]);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| *noted == "failed upstream_closed").count(), 1, "{noted:?}");
    });
}

#[test]
fn the_time_of_the_whole_request_passes_while_a_hook_waits() {
    for hook in BEFORE_ANSWER.iter().copied().chain(["response"]) {
        noted(|w, diary| {
            w.settings(|s| s.limits.request_timeout = Some(Duration::from_millis(200)));
            w.origin().on(&format!("GET /{hook}/hang")).reply(OK);
            let c = w.client();
            c.get(&format!("/{hook}/hang")).expect_status(504);
            c.expect_body("504 Gateway Timeout\n").expect_kept_alive();
            w.expect_outcomes(&["request_timeout"]);
            let noted = diary.read();
            assert_eq!(noted.last().map(String::as_str), Some("finished request_timeout"));
        });
    }
}

#[test]
fn the_time_of_the_whole_request_passes_while_somebody_is_asked_what_to_say() {
    noted(|w, diary| {
        w.settings(|s| s.limits.request_timeout = Some(Duration::from_millis(200)));
        w.origin().on("GET /failed/hang").close();
        w.origin().on("GET /failed/wait").hang();
        let c = w.client();
        c.get("/failed/hang").expect_status(502).expect_body("502 Bad Gateway\n");
        w.expect_outcomes(&["upstream_closed"]);
        diary.read();
        // The time is over already when the hook begins.
        c.get("/failed/wait").expect_status(504).expect_body("504 Gateway Timeout\n");
        w.expect_outcomes(&["upstream_closed", "request_timeout"]);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| noted.starts_with("failed")).count(), 1, "{noted:?}");
        c.expect_kept_alive();
    });
}

#[test]
fn an_origin_that_closes_while_a_hook_waits_is_noticed_behind_it() {
    for hook in ["connected", "upstream_request", "request_end"] {
        noted(|w, diary| {
            w.origin().closes_at_once();
            let c = w.client();
            c.get(&format!("/{hook}/wait")).expect_status(502);
            w.expect_outcomes(&["upstream_closed"]);
            let noted = diary.read();
            assert!(noted.iter().any(|noted| noted == "waited"), "{noted:?}");
            assert_eq!(noted.last().map(String::as_str), Some("finished upstream_closed"));
        });
    }
}

#[test]
fn what_came_before_the_origin_closed_is_delivered_behind_a_hook() {
    for hook in ["upstream_response", "response", "response_data", "response_end"] {
        noted(|w, _| {
            w.origin().on(&format!("GET /{hook}/wait")).reply(OK).close();
            let c = w.client();
            c.get(&format!("/{hook}/wait")).expect_ok("abc").expect_kept_alive();
            w.expect_outcomes(&["complete"]);
        });
    }
}

#[test]
fn a_drain_waits_for_a_hook() {
    noted(|w, diary| {
        w.origin().on("GET /request/wait").reply(OK);
        let c = w.client();
        w.settle();
        c.get("/request/wait");
        w.drain("10s");
        c.expect_ok("abc").expect_header("Connection", "close").expect_closed();
        assert!(diary.read().iter().any(|noted| noted == "waited"));
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_stop_ends_a_hook_where_it_waits() {
    for hook in ["early_request", "select", "connected", "upstream_response", "response_data"] {
        noted(|w, diary| {
            w.origin().on(&format!("GET /{hook}/hang")).reply(STREAMED);
            let c = w.client();
            c.get(&format!("/{hook}/hang"));
            w.settle();
            w.stop();
            w.expect_outcomes(&["stopped"]);
            let noted = diary.read();
            assert_eq!(&noted[noted.len() - 2..], ["dropped", "finished stopped"], "{noted:?}");
            if hook == "response_data" {
                c.expect_status(200).expect_aborted();
            }
            c.expect_over();
        });
    }
}

#[test]
fn a_stop_while_the_last_hook_waits_is_logged_once() {
    noted(|w, diary| {
        w.origin().on("GET /finished/hang").reply(OK);
        w.origin().on("GET /long").hang();
        let c = w.client();
        c.get("/finished/hang").expect_ok("abc");
        c.get("/long");
        w.settle();
        w.stop();
        w.expect_outcomes(&["complete", "stopped"]);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| noted.starts_with("finished")).count(), 2, "{noted:?}");
        c.expect_over();
    });
}

#[test]
fn a_stop_whose_last_hook_waits_is_logged_once() {
    noted(|w, diary| {
        w.origin().on("GET /finished/hang").hang();
        let c = w.client();
        c.get("/finished/hang");
        w.settle();
        w.stop();
        w.expect_outcomes(&["stopped"]);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| noted.starts_with("finished")).count(), 1, "{noted:?}");
        assert_eq!(noted.last().map(String::as_str), Some("dropped"));
        c.expect_over();
    });
}

#[test]
fn exchanges_wait_side_by_side() {
    noted(|w, _| {
        w.origin().on("*").reply(OK);
        let clients: Vec<_> = (0..20).map(|_| w.client()).collect();
        for (n, c) in clients.iter().enumerate() {
            c.get(&format!("/{}/wait", BEFORE_ANSWER[n % BEFORE_ANSWER.len()]));
        }
        clients.iter().for_each(|c| _ = c.expect_ok("abc"));
        w.expect_outcomes(&["complete"; 20]);
    });
}

#[test]
fn logging_that_waits_keeps_nobody_waiting() {
    noted(|w, diary| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/finished/hang").expect_ok("abc");
        for _ in 0..3 {
            c.get("/").expect_ok("abc");
        }
        c.get("/finished/wait").expect_ok("abc").get("/finished/wait").expect_ok("abc");
        w.after("30ms");
        w.expect_outcomes(&["complete"; 6]);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| *noted == "finished").count(), 6, "{noted:?}");
        assert_eq!(noted.iter().filter(|noted| *noted == "waited").count(), 2, "{noted:?}");
        w.stop();
        w.settle();
        diary.expect(&["dropped"]);
    });
}

#[test]
fn logging_that_never_ends_is_ended() {
    noted(|w, diary| {
        w.settings(|s| s.limits.hook_timeout = Duration::from_millis(100));
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/finished/hang").expect_ok("abc");
        w.after("200ms");
        w.expect_counter("exchanges_active", 0);
        assert_eq!(diary.read().last().map(String::as_str), Some("dropped"));
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn logging_that_waits_with_too_many_others_is_ended_the_longest_first() {
    noted(|w, diary| {
        w.settings(|s| s.limits.logging_max = 3);
        w.origin().on("*").reply(OK);
        let c = w.client();
        let dropped = || diary.read().iter().filter(|noted| *noted == "dropped").count();
        for _ in 0..3 {
            c.get("/finished/hang").expect_ok("abc");
        }
        w.settle();
        assert_eq!(dropped(), 0);
        c.get("/finished/hang").expect_ok("abc").get("/finished/hang").expect_ok("abc");
        w.settle();
        assert_eq!(dropped(), 2);
        // Those that end by themselves make room, and the others are not disturbed by many that come and go.
        for _ in 0..100 {
            c.get("/").expect_ok("abc");
        }
        w.expect_counter("exchanges_active", 3);
        assert_eq!(dropped(), 0);
        // The youngest is not the one that goes.
        c.get("/finished/wait").expect_ok("abc");
        w.after("30ms");
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| *noted == "waited").count(), 1, "{noted:?}");
        assert_eq!(noted.iter().filter(|noted| *noted == "dropped").count(), 1, "{noted:?}");
        w.expect_counter("exchanges_active", 2);
        w.stop();
        w.settle();
        assert_eq!(dropped(), 2);
        w.expect_counter("exchanges_active", 0);
    });
}

#[test]
fn logging_may_not_wait_where_nobody_may() {
    noted(|w, diary| {
        w.settings(|s| s.limits.logging_max = 0);
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/finished/hang").expect_ok("abc").get("/finished/hang").expect_ok("abc");
        w.expect_counter("exchanges_active", 0);
        assert_eq!(diary.read().iter().filter(|noted| *noted == "dropped").count(), 2);
    });
}

#[test]
fn a_peer_is_not_late_while_a_hook_waits() {
    noted_simulated(|w, _| {
        w.settings(|s| {
            s.clusters[0].timeouts.first_byte = Duration::from_millis(5);
            s.clusters[0].timeouts.between_bytes = Duration::from_millis(5);
            s.limits.body_idle = Duration::from_millis(5);
        });
        w.conditions(|c| *c = ringway_engine::io::sim::Conditions::calm());
        w.origin().on("*").reply(OK);
        let c = w.client();
        for hook in
            ["connected", "request_data", "request_end", "upstream_response", "response_data", "response_end"]
        {
            c.post(&format!("/{hook}/wait"), "hello").expect_ok("abc");
        }
    });
}
