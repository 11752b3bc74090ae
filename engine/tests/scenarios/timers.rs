//! Time-outs of what is under way for long: which event each counts from, and that none is left over.

use ringway_engine::io::sim::Welcome;
use ringway_engine::settings::{Limits, RouteAction, UpstreamTimeouts};
use ringway_testing::{World, duration, simulated};

#[test]
fn a_head_that_dribbles_in_just_in_time_is_served() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        let c = w.client();
        // 37 bytes, the last of them 9.36 s after the first.
        c.pace(1, "260ms")
            .send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            .expect_ok("x")
            .expect_at("9360ms");
        c.expect_kept_alive();
    });
}

#[test]
fn a_pipelined_head_that_had_to_wait_for_its_turn_is_not_late() {
    simulated(|w| {
        w.origin().on("GET /slow").wait("20s").ok("slow");
        w.origin().on("GET /next").ok("next");
        let c = w.client();
        // More than is received ahead: the end of the second head waits in the kernel.
        let filler = format!("X-Filler: {}\r\n", "x".repeat(40_000));
        c.get("/slow").request("GET", "/next", &filler, "");
        c.expect_ok("slow").expect_at("20s").expect_ok("next").expect_kept_alive();
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a_kept_connection_is_closed_when_it_has_been_idle() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        let c = w.client();
        for _ in 0..3 {
            c.get("/").expect_ok("x");
            w.after("74900ms");
        }
        c.expect_silence().expect_closed();
        expect_now(w, "224800ms");
        w.expect_outcomes(&["complete"; 3]);
    });
}

#[test]
fn the_wait_for_an_answer_begins_when_the_request_is_complete() {
    simulated(|w| {
        w.origin().on("POST /").wait("29s").ok("done");
        let c = w.client();
        for _ in 0..2 {
            c.request("POST", "/", "Content-Length: 3\r\n", "").sent().pace(1, "50s").send("abc");
            c.expect_ok("done");
            c.pace(1000, "1ms");
        }
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn a_close_delimited_answer_that_pauses_too_long_does_not_end_cleanly() {
    simulated(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\n\r\nabc").hang();
        let c = w.client();
        c.send("GET / HTTP/1.0\r\n\r\n")
            .expect_status(200)
            .expect_body("abc")
            .expect_aborted()
            .expect_reset();
        w.expect_outcomes(&["between_bytes_timeout"]);
    });
}

#[test]
fn an_upload_that_takes_too_long_altogether_is_a_504() {
    simulated(|w| {
        limits(w, |limits| limits.request_timeout = Some(duration("5s")));
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 20\r\n", "").sent().pace(1, "1s").send("x".repeat(20));
        c.expect_status(504).expect_at("5s").expect_body("504 Gateway Timeout\n");
        w.after("30s");
        w.origin().last().expect_incomplete();
        w.expect_outcomes(&["request_timeout"]);
    });
}

#[test]
fn a_dial_counts_towards_the_whole() {
    simulated(|w| {
        limits(w, |limits| limits.request_timeout = Some(duration("5s")));
        timeouts(w, |timeouts| timeouts.connect = duration("1m"));
        w.origin().welcome(Welcome::Silence);
        let c = w.client();
        c.get("/")
            .expect_status(504)
            .expect_at("5s")
            .expect_body("504 Gateway Timeout\n")
            .expect_kept_alive();
        w.expect_outcomes(&["request_timeout"]);
        assert_eq!(w.connections(), 1);
    });
}

#[test]
fn the_rest_of_an_unwanted_body_that_comes_in_time_leaves_the_connection_usable() {
    simulated(|w| {
        respond(w);
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_ok("fixed");
        w.after("4s");
        c.send("world").get("/").expect_ok("fixed");
        w.after("10s");
        c.expect_kept_alive();
        w.expect_outcomes(&["answered", "answered"]);
    });
}

#[test]
fn a_client_that_does_not_close_after_it_was_told_to_is_closed() {
    simulated(|w| {
        let c = w.client();
        c.send("nonsense\r\n\r\n").expect_status(400).expect_body("400 Bad Request\n").expect_closed();
        expect_now(w, "0s");
        w.after("4s");
        assert_eq!(w.connections(), 1, "it may still send, and read our answer");
        w.after("1500ms");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_websocket_in_which_no_byte_moves_is_cut_and_one_byte_either_way_keeps_it() {
    simulated(|w| {
        limits(w, |limits| limits.tunnel_idle = duration("10s"));
        let switch = "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        w.origin().on("GET /").reply(switch).tunnel().wait("18s").reply("b").hang();
        let c = w.client();
        c.request("GET", "/", "Connection: upgrade\r\nUpgrade: websocket\r\n", "").expect_status(101);
        w.after("9s");
        c.send("a").expect_raw("b").expect_at("18s");
        w.after("9s");
        c.expect_silence().expect_reset();
        expect_now(w, "28s");
        w.origin().expect_raw(0, "a").expect_end(0, Some("reset"));
        w.expect_outcomes(&["tunnel_idle"]);
    });
}

#[test]
fn an_upstream_connection_that_is_used_again_does_not_expire() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        w.origin().on("GET /slow").wait("29s").ok("slow");
        let c = w.client();
        for _ in 0..4 {
            c.get("/").expect_ok("x");
            w.after("50s");
            c.get("/slow").expect_ok("slow");
            w.after("50s");
        }
        w.origin().expect_connections(1).expect_requests(8);
    });
}

#[test]
fn nothing_of_what_an_exchange_waited_for_is_left_for_the_next() {
    simulated(|w| {
        // Each of these arms a timer that a later deadline replaces; all of them lie in the past when the last
        // exchange runs.
        w.origin().on("POST /").wait("10s").ok("posted");
        w.origin()
            .on("GET /")
            .wait("25s")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            .wait("55s")
            .reply("b");
        let c = w.client();
        for _ in 0..3 {
            c.request("POST", "/", "Content-Length: 2\r\n", "").sent().send("x");
            w.after("55s");
            c.send("y").expect_ok("posted");
            c.get("/").expect_ok("ab");
            w.after("40s");
        }
        c.expect_kept_alive();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete"; 6]);
    });
}

#[test]
fn a_time_out_of_one_client_leaves_the_others_alone() {
    simulated(|w| {
        w.origin().on("GET /hang").hang();
        w.origin().on("GET /").wait("29s").ok("x");
        let (late, fine) = (w.client(), w.client());
        late.get("/hang");
        w.after("500ms");
        fine.get("/");
        late.expect_status(504).expect_at("30s").expect_body("504 Gateway Timeout\n");
        fine.expect_ok("x").expect_at("29500ms").expect_kept_alive();
    });
}

/// It is this late now, give or take what a rough network adds.
#[track_caller]
fn expect_now(w: &World, time: &str) {
    let (now, time) = (w.now(), duration(time));
    let is_close = now + duration("5ms") >= time && now <= time + duration("300ms");
    assert!(is_close, "it is {now:?}, not {time:?}");
}

fn limits(w: &World, edit: impl FnOnce(&mut Limits)) {
    w.settings(|settings| edit(&mut settings.limits));
}

fn timeouts(w: &World, edit: impl FnOnce(&mut UpstreamTimeouts)) {
    w.settings(|settings| edit(&mut settings.clusters[0].timeouts));
}

/// Every request is answered here.
fn respond(w: &World) {
    let action = RouteAction::Respond { status: 200, body: "fixed".into(), content_type: None };
    w.settings(|settings| settings.sites[0].routes[0].action = action);
}
