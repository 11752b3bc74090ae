//! What was found by attacking the running proxy.

use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{World, simulated, simulated_calm};
use std::time::Duration;

/// Small pieces, so that the queue is not empty and not full either when the origin stops.
#[test]
fn an_origin_that_stops_while_the_client_is_behind_is_timed_once_the_client_is_not() {
    simulated_calm(|w| {
        w.settings(|settings| settings.clusters[0].timeouts.between_bytes = Duration::from_secs(10));
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let fill = "x".repeat(63 * 1024);
        let mut script = w.origin().on("GET /").reply(head).reply(fill);
        for _ in 0..10 {
            script = script.wait("10ms").reply("y".repeat(1000));
        }
        script.hang();
        let c = w.client();
        c.stop_reading().get("/");
        w.after("30s");
        c.resume_reading().expect_status(200).expect_body_len(63 * 1024 + 10_000).expect_aborted();
        assert_eq!(w.now().as_secs(), 40);
        w.expect_outcomes(&["between_bytes_timeout"]);
    });
}

#[test]
fn a_client_that_stops_while_the_origin_is_behind_is_timed_once_the_origin_is_not() {
    simulated_calm(|w| {
        w.settings(|settings| settings.limits.body_idle = Duration::from_secs(10));
        w.origin().on("POST /").early().stop_reading().wait("30s").resume_reading().hang();
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").send("x".repeat(63 * 1024));
        for _ in 0..10 {
            w.settle();
            c.send("y".repeat(1000));
        }
        c.expect_status(408).expect_at("40s").expect_closed();
        w.expect_outcomes(&["body_timeout"]);
    });
}

#[test]
fn a_drain_waits_for_the_last_bytes_of_a_tunnel() {
    simulated_calm(|w| {
        let raw = raw_listener(w);
        w.origin().on("POST /").early().finish().stop_reading().wait("30s").resume_reading().read_all();
        let body = "x".repeat(63 * 1024) + &"y".repeat(10_000);
        let c = w.client_of(&raw);
        c.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        w.settle();
        // Small pieces at the end: they wait in the queue without filling it, so that the client's end is seen.
        c.send(&body[..63 * 1024]);
        for piece in body.as_bytes()[63 * 1024..].chunks(1000) {
            w.settle();
            c.send(piece);
        }
        w.settle();
        c.finish();
        w.after("10s").drain("60s").after("30s");
        w.origin().request(0).expect_body(body);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_client_between_requests_has_a_moment_for_the_next_when_the_proxy_drains() {
    simulated(|w| {
        w.origin().on("GET /").ok("hello");
        let (new, used, silent, idle) = (w.client(), w.client(), w.client(), w.client());
        for c in [&used, &idle] {
            c.get("/").expect_ok("hello").expect_kept_alive();
        }
        w.drain("30s");
        for c in [new, used] {
            c.get("/").expect_ok("hello").expect_header("Connection", "close").expect_closed();
        }
        silent.expect_closed();
        idle.expect_closed();
        assert!(w.now() < Duration::from_secs(2), "{:?}", w.now());
    });
}

/// Raw TCP to the same origins.
fn raw_listener(w: &World) -> Address {
    let address = Address::Tcp(([192, 0, 2, 1], 81).into());
    w.settings(|settings| {
        let listener = TcpListener::new(address.clone(), Some("app".into()));
        settings.tcp = vec![listener];
    });
    address
}
