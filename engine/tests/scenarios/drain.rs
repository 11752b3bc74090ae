//! The end of a shard: what runs may end, what is idle goes, and nothing is taken for complete that is not.

use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{World, scenario, simulated, simulated_calm};

const ASK: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
const SWITCH: &str = "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_running_exchange_is_completed_and_says_that_it_is_the_last() {
    scenario(|w| {
        w.origin().on("GET /").hang();
        let c = w.client();
        c.get("/");
        w.settle().drain("30s");
        c.expect_silence();
        answer(w, "slow");
        c.expect_ok("slow").expect_header("Connection", "close").expect_closed();
        w.expect_outcomes(&["complete"]);
        is_empty(w);
    });
}

#[test]
fn a_response_that_has_begun_is_completed_before_the_close() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        w.origin().on("GET /").reply(head).hang();
        let c = w.client();
        c.get("/");
        w.settle().drain("30s");
        c.expect_status(200).expect_body_so_far("hello");
        w.origin().send_on(0, "world");
        c.expect_body("helloworld").expect_no_header("Connection").expect_closed();
        w.expect_outcomes(&["complete"]);
        is_empty(w);
    });
}

#[test]
fn an_upload_that_runs_is_completed() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").sent();
        w.drain("30s");
        w.settle();
        c.send("world").expect_ok("done").expect_header("Connection", "close").expect_closed();
        w.origin().last().expect_body("helloworld");
        is_empty(w);
    });
}

#[test]
fn idle_clients_are_closed_at_once_and_so_are_idle_connections_to_origins() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        let (idle, silent) = (w.client(), w.client());
        idle.get("/").expect_ok("x");
        w.origin().expect_end(0, None);
        w.drain("30s");
        idle.expect_closed();
        silent.expect_closed();
        assert!(w.now() < ringway_testing::duration("1s"), "{:?}", w.now());
        w.origin().expect_end(0, Some("finished"));
        is_empty(w);
    });
}

#[test]
fn a_head_that_has_begun_is_served_and_is_the_last_on_both_sides() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        let c = w.client();
        c.send("GET / HTTP/1.1\r\nHo").sent();
        w.drain("30s");
        w.after("1s");
        c.send("st: example.com\r\n\r\n").expect_ok("x").expect_header("Connection", "close").expect_closed();
        w.origin().last().expect_header("Connection", "close");
        w.origin().expect_end(0, Some("finished"));
        is_empty(w);
    });
}

#[test]
fn a_request_behind_the_last_response_is_not_processed() {
    scenario(|w| {
        w.origin().on("GET /").hang();
        w.origin().on("POST /never").ok("second");
        let c = w.client();
        c.get("/").post("/never", "hello");
        w.settle().drain("30s");
        answer(w, "first");
        c.expect_ok("first").expect_header("Connection", "close").expect_closed();
        w.origin().expect_requests(1);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_request_that_crosses_the_close_of_its_connection_gets_no_half_answer() {
    simulated(|w| {
        w.origin().on("GET /").ok("x");
        let c = w.client();
        c.get("/").expect_ok("x");
        // It is on its way when the proxy closes.
        c.get("/");
        w.drain("30s");
        w.after("10s");
        let answered = w.records().len() == 2;
        if answered {
            c.expect_ok("x").expect_header("Connection", "close").expect_closed();
        } else {
            c.expect_no_response();
        }
        is_empty(w);
    });
}

#[test]
fn nobody_new_is_served() {
    scenario(|w| {
        w.origin().on("GET /").hang();
        let c = w.client();
        c.get("/");
        w.settle().drain("30s");
        w.client().get("/").expect_no_response();
        answer(w, "x");
        c.expect_ok("x").expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn the_rest_of_an_answered_request_is_still_taken() {
    scenario(|w| {
        w.origin().on("POST /").early().reply("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno").hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "hello").expect_status(403).expect_body("no");
        w.drain("30s");
        c.send("world").expect_closed();
        w.expect_outcomes(&["complete"]);
        is_empty(w);
    });
}

#[test]
fn what_has_not_ended_at_the_deadline_is_cut() {
    simulated(|w| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        w.origin().on("GET /").reply(head).wait("20s").reply("world");
        w.origin().on("GET /none").hang();
        let (c, d) = (w.client(), w.client());
        c.get("/").expect_status(200);
        d.get("/none");
        w.after("1s").drain("5s");
        w.after("4500ms");
        d.expect_silence();
        c.expect_body("hello").expect_aborted();
        d.expect_no_response();
        w.expect_outcomes(&["stopped", "stopped"]);
        is_empty(w);
    });
}

#[test]
fn nothing_goes_on_behind_the_deadline() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").hang();
        w.origin().on("GET /none").hang();
        w.origin().on("GET /ws").reply(SWITCH).echo_raw();
        let (begun, waiting, switched) = (w.client(), w.client(), w.client());
        begun.get("/").expect_status(200);
        waiting.get("/none");
        switched.request("GET", "/ws", ASK, "").expect_status(101);
        w.settle().drain("300ms");
        begun.expect_body("hello").expect_aborted();
        waiting.expect_no_response();
        switched.expect_reset();
        w.expect_outcomes(&["stopped", "stopped", "stopped"]);
        is_empty(w);
    });
}

#[test]
fn a_websocket_goes_on_until_the_deadline_and_is_cut_on_both_sides() {
    simulated(|w| {
        w.origin().on("GET /").reply(SWITCH).echo_raw();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101);
        w.drain("5s");
        w.after("4s");
        c.send("still here").expect_raw("still here").expect_reset();
        w.origin().expect_end(0, Some("reset"));
        w.expect_outcomes(&["stopped"]);
        is_empty(w);
    });
}

#[test]
fn a_websocket_that_ends_by_itself_ends_the_drain() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101);
        w.drain("1h");
        c.send("bye").finish();
        w.origin().expect_raw(0, "bye").expect_end(0, Some("finished")).send_on(0, "bye too").close_on(0);
        c.expect_raw("bye too").expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
        is_empty(w);
    });
}

#[test]
fn a_raw_connection_goes_on_until_the_deadline() {
    simulated(|w| {
        let address = Address::Tcp(([192, 0, 2, 1], 5432).into());
        let listener = TcpListener::new(address.clone(), Some("app".into()));
        w.settings(|settings| settings.tcp = vec![listener]);
        w.origin().is_raw();
        let c = w.client_of(&address);
        c.tunnels();
        c.send("a").sent();
        w.drain("5s");
        w.after("4s");
        w.origin().expect_raw(0, "a").send_on(0, "b");
        c.expect_raw("b").expect_reset();
        w.origin().expect_end(0, Some("reset"));
        w.expect_outcomes(&["stopped"]);
        is_empty(w);
    });
}

#[test]
fn a_slow_reader_has_until_the_deadline() {
    simulated_calm(|w| {
        w.origin().on("GET /").ok("x".repeat(1_000_000));
        let c = w.client();
        c.stop_reading().get("/");
        w.after("1s").drain("50s");
        w.after("40s");
        c.resume_reading().expect_ok("x".repeat(1_000_000)).expect_closed();
        w.expect_outcomes(&["complete"]);
        is_empty(w);
    });
}

#[test]
fn a_stop_cuts_everything_at_once() {
    scenario(|w| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        w.origin().on("GET /").reply(head).hang();
        w.origin().on("GET /ws").reply(SWITCH).tunnel().hang();
        let (c, d, idle) = (w.client(), w.client(), w.client());
        c.get("/").expect_status(200).expect_body_so_far("hello");
        d.request("GET", "/ws", ASK, "").expect_status(101);
        w.settle().stop();
        c.expect_aborted();
        d.expect_reset();
        idle.expect_closed();
        w.expect_outcomes(&["stopped", "stopped"]);
        is_empty(w);
    });
}

#[track_caller]
fn is_empty(w: &World) {
    w.settle().close_ended_clients().expect_empty();
}

#[test]
fn new_clients_are_refused() {
    scenario(|w| {
        w.origin().on("*").hang();
        let running = w.client();
        running.get("/");
        w.settle();
        w.drain("30s");
        w.client().get("/").expect_no_response();
        answer(w, "fine");
        running.expect_ok("fine");
    });
}

#[test]
fn requests_behind_the_one_that_runs_are_not_begun() {
    scenario(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        c.get("/1").get("/2");
        w.settle();
        w.drain("30s");
        answer(w, "fine");
        c.expect_ok("fine").expect_header("Connection", "close").expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn when_nothing_is_left_the_shard_stops_before_its_deadline() {
    scenario(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        c.get("/");
        w.settle();
        w.drain("1h");
        answer(w, "fine");
        c.expect_ok("fine").expect_closed();
        c.close();
        is_empty(w);
    });
}

#[test]
fn origin_connections_are_told_that_they_are_not_used_again() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.send("GET / HTTP/1.1\r\nHost");
        w.settle();
        w.drain("30s");
        c.send(": a\r\n\r\n").expect_ok("fine").expect_closed();
        w.origin().last().expect_header("Connection", "close");
        w.origin().expect_end(0, Some("finished"));
    });
}

#[test]
fn a_stop_leaves_no_idle_connection_in_its_pool() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        w.client().get("/").expect_ok("fine");
        w.settle();
        w.expect_counter("upstream_idle", 1).stop().expect_counter("upstream_idle", 0);
        w.origin().expect_end(0, Some("finished"));
        assert_eq!(w.connections(), 0);
    });
}

/// The first connection's origin answers now.
fn answer(w: &World, body: &str) {
    w.origin().send_on(0, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
}
