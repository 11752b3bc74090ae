//! Responses that stop in the middle: the client gets what came of them, and sees that it is not the whole.

use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{World, scenario, simulated_calm};
use std::time::Duration;

/// So much comes of each response: more than the client's side of the network holds.
const CAME: usize = 100_000;

/// Responses that stop, with what of their content is there.
fn stopped() -> [(String, &'static str); 3] {
    let content = "x".repeat(CAME);
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{content}");
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CAME:x}\r\n{content}\r\n");
    [
        (length.clone(), "GET / HTTP/1.1\r\nHost: a\r\n"),
        (length, "GET / HTTP/1.0\r\n"),
        (chunked, "GET / HTTP/1.1\r\nHost: a\r\n"),
    ]
}

#[test]
fn what_came_of_a_response_reaches_a_client_that_had_not_read_it() {
    for (response, head) in stopped() {
        simulated_calm(|w| {
            w.conditions(|c| c.reset_discards = 1000);
            w.origin().on("*").reply(&response).close();
            let c = w.client();
            c.stop_reading().send(format!("{head}\r\n"));
            w.after("1s");
            c.resume_reading().expect_status(200).expect_body_len(CAME).expect_aborted();
            w.expect_outcomes(&["upstream_truncated"]);
            assert_eq!(w.close_ended_clients().connections(), 0);
        });
    }
}

#[test]
fn what_came_of_a_response_that_pauses_for_too_long_reaches_the_client() {
    simulated_calm(|w| {
        let (response, _) = &stopped()[0];
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(5));
        w.origin().on("*").reply(response).hang();
        w.client().get("/").expect_status(200).expect_body_len(CAME).expect_aborted();
        w.expect_outcomes(&["between_bytes_timeout"]);
    });
}

/// A response of which 30,000 bytes come, in pieces so short that they wait in the queue and the break is seen at once.
fn stops_at_once(w: &World) {
    w.conditions(|c| (c.packet_bytes, c.buffer_bytes) = (3000, 8000));
    w.settings(|s| s.limits.linger = Duration::from_secs(3));
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
    w.origin().on("*").reply(format!("{head}{}", "x".repeat(30_000))).close();
}

#[test]
fn a_slow_reader_has_time_for_what_came_as_long_as_it_reads() {
    simulated_calm(|w| {
        stops_at_once(w);
        let c = w.client();
        c.stop_reading().get("/");
        for _ in 0..3 {
            w.after("2s");
            c.resume_reading().stop_reading();
        }
        w.expect_outcomes(&["upstream_truncated"]);
        c.resume_reading().expect_status(200).expect_body_len(30_000).expect_aborted();
    });
}

#[test]
fn who_does_not_read_what_came_costs_it_for_a_short_time_only() {
    simulated_calm(|w| {
        stops_at_once(w);
        let c = w.client();
        c.stop_reading().get("/");
        w.after("1s");
        w.expect_outcomes(&["upstream_truncated"]);
        assert_eq!(w.connections(), 1);
        w.after("3s");
        assert_eq!((w.connections(), w.held_bytes()), (0, 0));
        c.resume_reading().expect_status(200);
        c.expect_body_len(c.response().body.len()).expect_aborted();
    });
}

#[test]
fn a_response_that_only_its_end_completes_is_reset() {
    scenario(|w| {
        w.origin().on("*").reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").close();
        let c = w.client();
        c.send("GET / HTTP/1.0\r\n\r\n").expect_status(200).expect_reset();
        w.expect_outcomes(&["upstream_truncated"]);
    });
}

#[test]
fn a_request_behind_a_response_that_stopped_is_not_processed() {
    scenario(|w| {
        w.origin().on("GET /1").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").wait("20ms").close();
        let c = w.client();
        c.get("/1").expect_status(200);
        w.after("100ms");
        c.get("/2").expect_body("abc").expect_aborted();
        w.origin().expect_requests(1);
    });
}

/// Raw TCP to the origin.
fn raw_listener(w: &World) -> Address {
    let address = Address::Tcp(([192, 0, 2, 1], 5432).into());
    let listener = TcpListener::new(address.clone(), Some("app".into()));
    w.settings(|settings| settings.tcp = vec![listener]);
    address
}

#[test]
fn a_tunnel_that_breaks_is_reset() {
    scenario(|w| {
        let address = raw_listener(w);
        w.origin().is_raw();
        let c = w.client_of(&address);
        c.tunnels().send("a").sent();
        w.origin().send_on(0, "abc");
        w.settle();
        w.origin().reset_on(0);
        c.expect_raw("abc").expect_reset();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}
