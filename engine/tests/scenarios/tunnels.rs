//! Raw TCP listeners: opaque bytes between a client and an endpoint of a cluster.

use ringway_engine::io::sim::Welcome;
use ringway_engine::limits::QUEUE_HIGH_BYTES;
use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{Client, World, duration, scenario, simulated, simulated_calm};

#[test]
fn bytes_pass_both_ways_as_they_are() {
    scenario(|w| {
        let c = tunnel(w);
        w.origin().is_raw();
        c.send(b"\x00\xffGET / HTTP/9\r\n\r\n");
        w.origin()
            .expect_connections(1)
            .expect_raw(0, b"\x00\xffGET / HTTP/9\r\n\r\n")
            .send_on(0, b"\r\n\x00\x80");
        c.expect_raw(b"\r\n\x00\x80").send("more");
        w.origin().expect_raw(0, b"\x00\xffGET / HTTP/9\r\n\r\nmore").send_on(0, "end").close_on(0);
        c.expect_raw(b"\r\n\x00\x80end").expect_closed().finish();
        w.expect_outcomes(&["tunnel_closed"]);
        w.last_record().expect("method", "-").expect("received", "22").expect("sent", "7");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn an_origin_that_speaks_first_is_heard() {
    scenario(|w| {
        w.origin().is_raw().greets("220 ready\r\n");
        let c = tunnel(w);
        c.expect_raw("220 ready\r\n").finish();
        w.origin().expect_raw(0, "").expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
    });
}

#[test]
fn a_client_half_closes_and_the_origin_goes_on() {
    simulated(|w| {
        w.origin().is_raw();
        let c = tunnel(w);
        c.send("question").finish();
        w.origin().expect_raw(0, "question").expect_end(0, Some("finished"));
        w.after("10m");
        w.origin().send_on(0, "answer ").send_on(0, "two").finish_on(0);
        c.expect_raw("answer two").expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn an_origin_half_closes_and_the_client_goes_on() {
    simulated(|w| {
        w.origin().is_raw();
        let c = tunnel(w);
        c.send("a");
        w.origin().expect_raw(0, "a").send_on(0, "b").finish_on(0);
        c.expect_raw("b").expect_closed();
        w.after("10m");
        c.send("c").sent().send("d").finish();
        w.origin().expect_raw(0, "acd").expect_end(0, Some("finished"));
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn a_client_that_sends_and_finishes_before_the_dial_is_done_loses_nothing() {
    simulated(|w| {
        w.origin().is_raw().welcome(Welcome::Silence);
        w.settings(|settings| settings.clusters[0].timeouts.connect = duration("1s"));
        let c = tunnel(w);
        c.send("early bytes").finish();
        w.after("500ms");
        w.origin().expect_connections(0).is_up();
        w.after("1s");
        w.origin().expect_raw(0, "early bytes").expect_end(0, Some("finished")).send_on(0, "ok").close_on(0);
        c.expect_raw("ok").expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
        w.last_record().expect("attempts", "2");
    });
}

#[test]
fn a_client_that_sends_much_before_the_dial_is_done_is_bounded() {
    simulated_calm(|w| {
        w.origin().is_raw().welcome(Welcome::Silence);
        w.settings(|settings| settings.clusters[0].timeouts.connect = duration("1m"));
        let c = tunnel(w);
        let bytes = pattern(2_000_000);
        c.send(&bytes);
        w.after("10s");
        assert!(w.held_bytes() <= 128 * 1024, "{} held", w.held_bytes());
        w.origin().is_up();
        w.after("1m");
        c.sent().finish();
        w.origin().expect_raw(0, &bytes).expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
    });
}

#[test]
fn single_bytes_before_the_dial_is_done_hold_little_more_than_they_are() {
    simulated_calm(|w| {
        w.conditions(|conditions| (conditions.packet_bytes, conditions.buffer_bytes) = (1, 4096));
        w.origin().is_raw().welcome(Welcome::Silence);
        w.settings(|settings| settings.clusters[0].timeouts.connect = duration("1m"));
        let c = tunnel(w);
        let bytes = pattern(10_000);
        c.send(&bytes).sent();
        w.after("1s");
        assert!(w.held_bytes() <= 16 * 1024, "{} held", w.held_bytes());
        w.origin().is_up();
        w.after("1m");
        c.finish();
        w.origin().expect_raw(0, &bytes).expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
    });
}

#[test]
fn an_origin_that_is_down_cuts_the_client() {
    scenario(|w| {
        w.origin().is_down();
        let c = tunnel(w);
        c.send("hello").expect_reset().expect_raw("");
        w.expect_outcomes(&["connect_failed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn another_endpoint_is_tried_when_one_is_down() {
    scenario(|w| {
        w.origins(2);
        listen(w);
        w.origin_at(0).is_down();
        w.origin_at(1).is_raw();
        for n in 0..3 {
            let c = tunnel_again(w);
            c.send("hello");
            w.origin_at(1).expect_connections(n + 1).expect_raw(n, "hello").send_on(n, "hi").close_on(n);
            c.expect_raw("hi").expect_closed().finish();
        }
        w.expect_outcomes(&["tunnel_closed"; 3]);
    });
}

#[test]
fn a_connect_time_out_cuts_the_client() {
    simulated(|w| {
        w.settings(|settings| settings.clusters[0].retries_max = 0);
        w.origin().welcome(Welcome::Silence);
        let c = tunnel(w);
        w.after("1900ms");
        c.expect_silence();
        c.expect_reset();
        w.expect_outcomes(&["connect_timeout"]);
    });
}

#[test]
fn a_reset_passes_as_a_reset() {
    scenario(|w| {
        w.origin().is_raw();
        let c = tunnel(w);
        c.send("half a mess");
        w.origin().expect_raw(0, "half a mess");
        c.reset();
        w.origin().expect_end(0, Some("reset"));
        let d = tunnel_again(w);
        d.send("x").sent();
        w.origin().send_on(1, "half an ans");
        d.expect_raw("half an ans");
        w.origin().reset_on(1);
        d.expect_reset();
        w.expect_outcomes(&["tunnel_closed", "tunnel_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_client_that_leaves_during_the_dial_is_forgotten() {
    simulated(|w| {
        w.origin().welcome(Welcome::Silence);
        let c = tunnel(w);
        c.send("x").sent().reset();
        w.expect_outcomes(&["downstream_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_tunnel_in_which_no_byte_moves_is_cut() {
    simulated(|w| {
        w.settings(|settings| settings.limits.tunnel_idle = duration("10s"));
        w.origin().is_raw();
        let c = tunnel(w);
        w.after("9s");
        c.send("a").sent();
        w.after("9s");
        w.origin().expect_raw(0, "a").send_on(0, "b");
        c.expect_raw("b");
        w.after("9s");
        c.expect_silence();
        w.origin().expect_end(0, None);
        c.expect_reset();
        w.origin().expect_end(0, Some("reset"));
        let now = w.now();
        assert!(now > duration("27900ms") && now < duration("28500ms"), "{now:?}");
        w.expect_outcomes(&["tunnel_idle"]);
    });
}

#[test]
fn many_bytes_pass_into_a_slow_reader_and_little_is_held() {
    simulated_calm(|w| {
        let bytes = pattern(10_000_000);
        w.origin().is_raw().greets(&bytes);
        let c = tunnel(w);
        c.stop_reading();
        for _ in 0..100 {
            w.after("1s");
            assert!(w.held_bytes() <= QUEUE_HIGH_BYTES + 68 * 1024, "{} held", w.held_bytes());
            c.resume_reading().stop_reading();
        }
        c.resume_reading().expect_raw(&bytes).finish();
        w.origin().expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn both_directions_full_at_once_do_not_block_each_other() {
    simulated_calm(|w| {
        let (up, down) = (pattern(1_000_000), pattern(1_500_000));
        w.origin().is_raw().greets(&down);
        let c = tunnel(w);
        c.stop_reading().send(&up);
        w.after("30s");
        // What the client does not read holds nothing up that it sends.
        w.origin().expect_raw(0, &up);
        c.resume_reading().expect_raw(&down).finish();
        w.origin().expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
    });
}

fn tunnel(w: &World) -> Client {
    listen(w);
    tunnel_again(w)
}

fn listen(w: &World) {
    let listener = TcpListener::new(tcp_address(), Some("app".into()));
    w.settings(|settings| settings.tcp = vec![listener]);
}

fn tunnel_again(w: &World) -> Client {
    let c = w.client_of(&tcp_address());
    c.tunnels();
    c
}

fn tcp_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 5432).into())
}

/// Bytes whose order shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn connections_for_http_are_not_used_for_raw_bytes() {
    scenario(|w| {
        listen(w);
        w.origin().on("*").ok("fine");
        w.client().get("/").expect_ok("fine");
        w.settle();
        tunnel_again(w).send("raw");
        w.settle();
        w.expect_counter("upstream_idle", 1);
        w.origin().expect_connections(2);
        w.client().get("/").expect_ok("fine");
        w.origin().expect_connections(2);
    });
}

#[test]
fn a_raw_connection_has_one_record() {
    scenario(|w| {
        listen(w);
        w.origin().is_raw();
        let c = tunnel_again(w);
        c.send("12345").finish();
        w.settle();
        w.origin().send_on(0, "123").close_on(0);
        c.expect_raw("123").expect_closed();
        let record = w.last_record();
        record.expect("outcome", "tunnel_closed").expect("received", "5").expect("sent", "3");
        record
            .expect("cluster", "app")
            .expect("attempts", "1")
            .expect("method", "-")
            .expect("protocol", "TCP");
    });
}

#[test]
fn what_the_client_says_before_there_is_a_connection_is_kept() {
    simulated(|w| {
        listen(w);
        w.origins(2);
        w.origin_at(0).welcome(Welcome::Silence);
        w.origin_at(1).is_raw();
        let c = tunnel_again(w);
        c.send("early");
        w.after("5s");
        w.origin_at(1).expect_raw(0, "early");
    });
}
