//! When a connection is used again, and when it must not be (RFC 9112 section 9).

use ringway_testing::{calm, scenario, simulated};
use std::time::Duration;

#[test]
fn one_connection_carries_many_requests_on_both_sides() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let c = w.client();
        for n in 0..10 {
            c.get(&format!("/{n}")).expect_ok("fine").expect_no_header("Connection");
        }
        w.origin().expect_connections(1).expect_requests(10).request(9).expect_no_header("Connection");
        w.expect_counter("upstream_reuses", 9).expect_counter("downstream_accepted", 1);
    });
}

#[test]
fn another_client_uses_the_same_origin_connection() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        w.client().get("/1").expect_ok("fine");
        w.client().get("/2").expect_ok("fine");
        w.origin().expect_connections(1);
    });
}

#[test]
fn two_requests_at_a_time_take_two_connections_and_both_are_kept() {
    scenario(|w| {
        w.origin().on("*").wait("50ms").ok("fine");
        let (a, b) = (w.client(), w.client());
        a.get("/1");
        b.get("/2");
        a.expect_ok("fine");
        b.expect_ok("fine");
        a.get("/3");
        b.get("/4");
        a.expect_ok("fine");
        b.expect_ok("fine");
        w.origin().expect_connections(2).expect_requests(4);
    });
}

#[test]
fn the_connection_that_was_used_last_is_used_next() {
    calm(|w| {
        w.origin().on("GET /slow").wait("50ms").ok("slow");
        w.origin().on("*").ok("fast");
        let (a, b) = (w.client(), w.client());
        a.get("/slow");
        w.after("10ms");
        b.get("/fast").expect_ok("fast");
        a.expect_ok("slow");
        a.get("/next").expect_ok("fast");
        w.origin().request(2).expect_connection(0);
    });
}

/// A first response of an origin, and whether its connection serves the next request.
#[track_caller]
fn origin_connection_is_kept(reply: &str, is_kept: bool) {
    scenario(|w| {
        w.origin().on("GET /").reply(reply);
        w.origin().on("*").ok("next");
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").get("/next").expect_ok("next");
        w.origin().expect_connections(if is_kept { 1 } else { 2 });
        if !is_kept {
            assert_ne!(w.origin().end_of(0), None);
        }
    });
}

#[test]
fn an_origin_that_says_close_is_closed() {
    origin_connection_is_kept("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", false);
    origin_connection_is_kept(
        "HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 3\r\n\r\nabc",
        false,
    );
}

#[test]
fn a38_an_http10_origin_is_kept_when_it_says_so_only() {
    origin_connection_is_kept("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false);
    origin_connection_is_kept(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
        true,
    );
}

#[test]
fn an_origin_that_closes_does_not_close_the_client() {
    scenario(|w| {
        w.origin()
            .on("*")
            .reply("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .close();
        let c = w.client();
        c.get("/")
            .expect_ok("ok")
            .expect_no_header("Connection")
            .get("/")
            .expect_ok("ok")
            .expect_kept_alive();
        w.origin().expect_connections(2);
    });
}

#[test]
fn a36_a_byte_on_an_idle_connection_is_nobodys_response() {
    scenario(|w| {
        w.origin().on("*").ok("right");
        let c = w.client();
        c.get("/1").expect_ok("right");
        w.settle();
        w.origin().send_on(0, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        w.settle();
        w.expect_counter("upstream_idle", 0);
        c.get("/2").expect_ok("right");
        w.origin().expect_connections(2).expect_ended(0);
    });
}

#[test]
fn an_idle_connection_that_the_origin_closes_is_not_used() {
    for is_reset in [false, true] {
        scenario(|w| {
            w.origin().on("*").ok("fine");
            let c = w.client();
            c.post("/1", "x").expect_ok("fine");
            w.settle();
            let origin = w.origin();
            if is_reset {
                origin.reset_on(0)
            } else {
                origin.close_on(0)
            };
            w.settle();
            w.expect_counter("upstream_idle", 0);
            c.post("/2", "x").expect_ok("fine");
            w.origin().expect_connections(2);
            w.expect_counter("retries", 0);
        });
    }
}

#[test]
fn an_idle_origin_connection_expires() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].keepalive.idle_timeout = Duration::from_secs(20));
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/").expect_ok("fine");
        w.after("19s");
        w.origin().expect_end(0, None);
        w.after("2s");
        w.origin().expect_end(0, Some("finished"));
        c.get("/").expect_ok("fine");
        w.origin().expect_connections(2);
    });
}

#[test]
fn no_more_idle_connections_are_kept_than_allowed() {
    scenario(|w| {
        w.settings(|s| s.clusters[0].keepalive.idle_max = 1);
        w.origin().on("*").wait("20ms").ok("fine");
        let clients = [w.client(), w.client(), w.client()];
        clients.iter().for_each(|c| _ = c.get("/"));
        clients.iter().for_each(|c| _ = c.expect_ok("fine"));
        w.settle();
        w.expect_counter("upstream_idle", 1);
        w.origin().expect_connections(3);
    });
}

#[test]
fn without_idle_connections_every_request_has_its_own_and_says_so() {
    scenario(|w| {
        w.settings(|s| s.clusters[0].keepalive.idle_max = 0);
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/").expect_ok("fine").get("/").expect_ok("fine");
        w.origin().expect_connections(2).expect_end(0, Some("finished"));
    });
}

#[test]
fn an_idle_client_is_closed_in_order() {
    simulated(|w| {
        w.origin().on("*").ok("fine");
        w.client().get("/").expect_ok("fine").expect_closed();
        let now = w.now();
        assert!((75..76).contains(&now.as_secs()), "{now:?}");
    });
}

#[test]
fn a42_the_last_request_of_a_connection_is_told_so() {
    scenario(|w| {
        w.settings(|s| s.limits.keepalive_requests = 3);
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/1").expect_ok("fine").expect_no_header("Connection");
        c.get("/2").expect_ok("fine").expect_no_header("Connection");
        c.get("/3").expect_ok("fine").expect_header("Connection", "close").expect_closed();
        w.origin().expect_connections(1);
    });
}

#[test]
fn a41_nothing_is_processed_behind_a_request_that_says_close() {
    scenario(|w| {
        w.origin().on("GET /last").wait("20ms").ok("last");
        let c = w.client();
        let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        c.send(format!("{last}GET /more HTTP/1.1\r\nHost: a\r\n\r\n"));
        c.expect_ok("last").expect_header("Connection", "close").expect_closed();
        w.origin().expect_requests(1).request(0).expect_no_header("Connection");
    });
}

#[test]
fn a_request_behind_the_last_response_gets_none_and_does_no_harm() {
    scenario(|w| {
        w.origin().on("GET /last").ok("last");
        let c = w.client();
        c.request("GET", "/last", "Connection: close\r\n", "").expect_ok("last");
        c.get("/more");
        w.settle();
        w.origin().expect_requests(1);
    });
}

#[test]
fn a_client_may_leave_between_requests_in_any_way() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        w.client().get("/").expect_ok("fine").close();
        w.client().get("/").expect_ok("fine").reset();
        w.client().get("/").expect_ok("fine").finish().expect_closed();
        w.client().finish().expect_closed();
        w.client().close();
        w.client().reset();
        w.expect_outcomes(&["complete"; 3]);
    });
}

#[test]
fn a37_content_of_a_request_that_is_answered_here_is_read_and_dropped() {
    scenario(|w| {
        w.settings(|s| s.sites[0].routes[0].methods = vec!["GET".into()]);
        w.origin().on("*").ok("fine");
        let c = w.client();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        c.post("/", smuggled).expect_status(404).expect_body("404 Not Found\n");
        c.post_chunks("/", &[smuggled]).expect_status(404).expect_body("404 Not Found\n");
        c.get("/next").expect_ok("fine");
        w.origin().expect_requests(1);
        w.expect_outcomes(&["no_route", "no_route", "complete"]);
    });
}

#[test]
fn a37_content_that_is_too_long_to_drop_ends_the_connection_after_the_answer() {
    calm(|w| {
        w.settings(|s| s.sites[0].routes[0].methods = vec!["GET".into()]);
        let c = w.client();
        c.post("/", "x".repeat(2_000_000)).expect_status(404).expect_header("Connection", "close");
        c.expect_body("404 Not Found\n").expect_closed();
        w.expect_outcomes(&["no_route"]);
    });
}

#[test]
fn a37_endless_content_ends_the_connection_after_the_answer() {
    calm(|w| {
        w.settings(|s| s.sites[0].routes[0].methods = vec!["GET".into()]);
        let c = w.client();
        let chunk = "y".repeat(100_000);
        c.post_chunks("/", &[chunk.as_str(); 30])
            .expect_status(404)
            .expect_body("404 Not Found\n")
            .expect_closed();
        w.expect_outcomes(&["no_route"]);
    });
}

#[test]
fn keep_alive_fields_stay_on_their_hop() {
    scenario(|w| {
        let reply =
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n";
        w.origin().on("*").reply(reply);
        let c = w.client();
        c.request(
            "GET",
            "/",
            "Connection: keep-alive\r\nKeep-Alive: 300\r\nProxy-Connection: keep-alive\r\n",
            "",
        );
        c.expect_ok("").expect_no_header("Keep-Alive").expect_no_header("Connection");
        let request = w.origin().last();
        request
            .expect_no_header("Keep-Alive")
            .expect_no_header("Connection")
            .expect_no_header("Proxy-Connection");
    });
}

#[test]
fn an_origin_connection_whose_request_was_not_taken_whole_is_not_used_again() {
    scenario(|w| {
        w.origin().on("POST /").early().ok("early").hang();
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 4\r\n", "12").expect_ok("early");
        c.send("34").get("/").expect_ok("fine");
        w.origin().expect_connections(2);
    });
}

#[test]
fn nothing_is_left_of_a_hundred_clients() {
    simulated(|w| {
        w.origin().on("*").ok("fine");
        for _ in 0..100 {
            w.client().get("/").expect_ok("fine").close();
        }
        w.settle();
        assert_eq!(w.connections(), 1, "the idle one to the origin");
        w.after("61s");
        assert_eq!(w.connections(), 0);
        assert_eq!(w.held_bytes(), 0);
    });
}
