//! Trying again, where that is safe (RFC 9110 section 9.2.2).

use ringway_engine::io::sim::Welcome;
use ringway_testing::{calm, scenario, simulated};

#[test]
fn a_refused_connection_goes_to_the_next_origin_whatever_the_method() {
    scenario(|w| {
        w.origins(2);
        w.origin_at(0).is_down();
        w.origin_at(1).on("*").ok("second");
        let c = w.client();
        c.post("/", "content").expect_ok("second").post("/", "content").expect_ok("second");
        w.origin_at(1).expect_requests(2).request(0).expect_body("content");
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a_connection_that_is_never_answered_goes_to_the_next_origin() {
    simulated(|w| {
        w.origins(2);
        w.origin_at(0).welcome(Welcome::Silence);
        w.origin_at(1).on("*").ok("second");
        w.client().get("/").expect_ok("second").expect_at("2s");
        w.last_record().expect("attempts", "2").expect("endpoint", &w.origin_at(1).address());
    });
}

#[test]
fn when_all_refuse_it_is_a_502_after_as_many_attempts_as_allowed() {
    scenario(|w| {
        w.settings(|s| s.clusters[0].retries_max = 2);
        w.origins(5);
        (0..5).for_each(|n| _ = w.origin_at(n).is_down());
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.last_record().expect("attempts", "3").expect("outcome", "connect_failed");
        w.expect_counter("retries", 2).expect_counter("upstream_connect_failures", 3);
    });
}

#[test]
fn when_nobody_answers_it_is_a_504() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].retries_max = 1);
        w.origins(2);
        (0..2).for_each(|n| _ = w.origin_at(n).welcome(Welcome::Silence));
        w.client().get("/").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("4s");
        w.expect_outcomes(&["connect_timeout"]);
    });
}

#[test]
fn without_retries_the_first_failure_is_the_last() {
    scenario(|w| {
        w.settings(|s| s.clusters[0].retries_max = 0);
        w.origins(2);
        w.origin_at(0).is_down();
        w.origin_at(1).on("*").ok("second");
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n").get("/").expect_ok("second");
    });
}

/// Opens a connection to the origin, which dies when the next request comes over it.
fn with_a_dying_connection(w: &ringway_testing::World) {
    w.origin().on("GET /first").ok("first");
    w.origin().on("*").times(1).close();
    w.origin().on("*").ok("again");
}

#[test]
fn a_pooled_connection_that_dies_unanswered_is_retried() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        scenario(|w| {
            w.origin().on("GET /first").ok("first");
            w.origin().on("*").times(1).close();
            w.origin().on("*").ok("");
            let c = w.client();
            c.get("/first")
                .expect_ok("first")
                .request(method, "/x", "", "")
                .expect_ok("")
                .expect_kept_alive();
            w.origin().expect_connections(2).expect_requests(3).request(2).expect_connection(1);
            w.last_record().expect("attempts", "2").expect("outcome", "complete");
            w.expect_counter("retries", 1);
        });
    }
}

#[test]
fn a_pooled_connection_that_is_reset_unanswered_is_retried() {
    scenario(|w| {
        w.origin().on("GET /first").ok("first");
        w.origin().on("*").times(1).reset();
        w.origin().on("*").ok("again");
        w.client().get("/first").expect_ok("first").get("/x").expect_ok("again");
        w.origin().expect_connections(2);
    });
}

#[test]
fn b26_a_post_is_never_sent_twice() {
    for method in ["POST", "PATCH", "BREW"] {
        scenario(|w| {
            with_a_dying_connection(w);
            let c = w.client();
            c.get("/first").expect_ok("first").request(method, "/x", "", "").expect_status(502);
            c.expect_body("502 Bad Gateway\n").expect_kept_alive();
            w.origin().expect_requests(2);
            w.last_record().expect("attempts", "1").expect("outcome", "upstream_closed");
        });
    }
}

#[test]
fn a_fresh_connection_that_dies_unanswered_is_not_retried() {
    scenario(|w| {
        w.origin().on("*").times(1).close();
        w.origin().on("*").ok("again");
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.origin().expect_requests(1);
    });
}

#[test]
fn content_is_sent_again_with_the_request() {
    for is_chunked in [false, true] {
        scenario(|w| {
            with_a_dying_connection(w);
            let c = w.client();
            c.get("/first").expect_ok("first");
            if is_chunked {
                c.request(
                    "PUT",
                    "/x",
                    "Transfer-Encoding: chunked\r\n",
                    "4\r\nsome\r\n3\r\nmor\r\n0\r\nSum: 1\r\n\r\n",
                );
            } else {
                c.request("PUT", "/x", "Content-Length: 7\r\n", "somemor");
            }
            c.expect_ok("again");
            let request = w.origin().request(2);
            request.expect_body("somemor");
            if is_chunked {
                request.expect_trailers(&[("Sum", "1")]);
            }
        });
    }
}

#[test]
fn content_that_was_not_kept_is_not_sent_again() {
    scenario(|w| {
        w.settings(|s| s.limits.replay_bytes = 5);
        with_a_dying_connection(w);
        let c = w.client();
        c.get("/first").expect_ok("first").request("PUT", "/x", "Content-Length: 6\r\n", "123456");
        c.expect_status(502).expect_body("502 Bad Gateway\n");
        w.origin().expect_requests(2);
    });
}

#[test]
fn content_of_just_the_length_that_is_kept_is_sent_again() {
    scenario(|w| {
        w.settings(|s| s.limits.replay_bytes = 6);
        with_a_dying_connection(w);
        let c = w.client();
        c.get("/first")
            .expect_ok("first")
            .request("PUT", "/x", "Content-Length: 6\r\n", "123456")
            .expect_ok("again");
        w.origin().expect_requests(3).request(2).expect_body("123456");
    });
}

#[test]
fn content_that_is_still_coming_goes_on_over_the_other_connection() {
    scenario(|w| {
        w.origin().on("GET /first").ok("first");
        w.origin().on("*").times(1).early().read(3).close();
        w.origin().on("*").ok("again");
        let c = w.client();
        c.get("/first").expect_ok("first").request("PUT", "/x", "Content-Length: 6\r\n", "123");
        w.settle();
        c.send("456").expect_ok("again");
        w.origin().expect_requests(3).request(2).expect_body("123456");
    });
}

#[test]
fn an_answer_that_has_begun_is_the_last_attempt() {
    scenario(|w| {
        w.origin().on("GET /first").ok("first");
        w.origin().on("GET /x").reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").wait("20ms").close();
        w.client()
            .get("/first")
            .expect_ok("first")
            .get("/x")
            .expect_status(200)
            .expect_body("ab")
            .expect_aborted();
        w.origin().expect_requests(2);
        w.last_record().expect("attempts", "1");
    });
}

#[test]
fn a_part_of_a_head_is_an_answer_that_has_begun() {
    for resets in [false, true] {
        scenario(|w| {
            w.origin().on("GET /first").ok("first");
            let script = w.origin().on("GET /x").reply("HTTP/1.1 20").wait("20ms");
            _ = if resets { script.reset() } else { script.close() };
            let c = w.client();
            c.get("/first").expect_ok("first").get("/x").expect_status(502).expect_body("502 Bad Gateway\n");
            c.expect_kept_alive();
            w.origin().expect_requests(2);
            w.last_record().expect("attempts", "1").expect("outcome", "upstream_closed");
        });
    }
}

#[test]
fn garbage_is_an_answer_and_not_asked_for_again() {
    scenario(|w| {
        w.origin().on("GET /first").ok("first");
        w.origin().on("GET /x").reply("garbage\r\n\r\n").close();
        w.client()
            .get("/first")
            .expect_ok("first")
            .get("/x")
            .expect_status(502)
            .expect_body("502 Bad Gateway\n");
        w.origin().expect_requests(2);
    });
}

#[test]
fn an_upgrade_is_not_tried_twice() {
    scenario(|w| {
        with_a_dying_connection(w);
        let c = w.client();
        c.get("/first").expect_ok("first");
        c.request("GET", "/x", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "");
        c.expect_status(502).expect_body("502 Bad Gateway\n");
        w.origin().expect_requests(2);
    });
}

#[test]
fn a_further_attempt_takes_no_chances_with_an_idle_connection() {
    calm(|w| {
        // An origin that was restarted: all idle connections to it are dead, and may be more than the attempts.
        w.origin().on("GET /first").wait("10ms").ok("first");
        w.origin().on("GET /x").times(1).close();
        w.origin().on("GET /x").ok("again");
        let clients = [w.client(), w.client(), w.client()];
        clients.iter().for_each(|c| _ = c.get("/first"));
        clients.iter().for_each(|c| _ = c.expect_ok("first"));
        clients[0].get("/x").expect_ok("again");
        w.origin().request(4).expect_connection(3);
    });
}

#[test]
fn an_attempt_after_a_failed_connect_takes_an_idle_connection_of_the_next_endpoint() {
    scenario(|w| {
        w.origins(2);
        w.origin_at(0).is_down();
        w.origin_at(1).on("*").ok("second");
        let c = w.client();
        (0..6).for_each(|_| _ = c.get("/").expect_ok("second"));
        w.origin_at(1).expect_requests(6).expect_connections(1);
        w.expect_counter("retries", 3).expect_counter("upstream_connect_failures", 3);
    });
}

#[test]
fn behind_a_dead_connection_every_further_attempt_dials() {
    calm(|w| {
        w.settings(|s| s.clusters[0].retries_max = 2);
        w.origins(3);
        // Whatever closed the connection to the first origin may have closed that to the third.
        (0..3).for_each(|n| _ = w.origin_at(n).on("GET /first").ok("first"));
        w.origin_at(0).on("GET /x").close();
        w.origin_at(2).on("GET /x").ok("again");
        let c = w.client();
        (0..3).for_each(|_| _ = c.get("/first").expect_ok("first"));
        w.origin_at(1).close_on(0).is_down();
        w.settle();
        c.get("/x").expect_ok("again");
        w.origin_at(2).last().expect_connection(1);
        w.last_record().expect("attempts", "3");
    });
}

#[test]
fn a_client_that_leaves_during_a_retry_ends_it() {
    simulated(|w| {
        w.origins(2);
        w.origin_at(0).welcome(Welcome::Silence);
        w.origin_at(1).welcome(Welcome::Silence);
        let c = w.client();
        c.get("/");
        w.after("3s");
        c.close();
        w.after("1s");
        w.expect_outcomes(&["downstream_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn weights_share_out_the_requests() {
    calm(|w| {
        w.origins(3);
        w.settings(|s| {
            for (endpoint, weight) in s.clusters[0].endpoints.iter_mut().zip([3, 1, 1]) {
                endpoint.weight = weight;
            }
        });
        (0..3).for_each(|n| _ = w.origin_at(n).on("*").ok("fine"));
        let c = w.client();
        (0..50).for_each(|_| _ = c.get("/").expect_ok("fine"));
        w.origin_at(0).expect_requests(30).expect_connections(1);
        w.origin_at(1).expect_requests(10);
        w.origin_at(2).expect_requests(10);
    });
}
