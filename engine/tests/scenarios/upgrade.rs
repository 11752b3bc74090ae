//! `Upgrade` (RFC 9110 section 7.8): which protocols pass, and what becomes of both connections.

use ringway_testing::{World, scenario, simulated, simulated_calm};
use std::time::Duration;

/// What a client asks for.
const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n";
/// What an origin agrees to.
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: b\r\n\r\n";

#[test]
fn b36_a_websocket_opens_and_bytes_pass_both_ways_as_they_are() {
    scenario(|w| {
        w.origin().on("GET /chat").reply(SWITCH).echo_raw();
        let c = w.client();
        c.request("GET", "/chat", ASK, "").expect_status(101).expect_line("HTTP/1.1 101 Switching Protocols");
        c.expect_header("Connection", "Upgrade").expect_header("Upgrade", "websocket");
        c.expect_header("Sec-WebSocket-Accept", "b").expect_no_header("Content-Length");
        let frames = b"\x81\x02hi\r\n\r\nGET /x HTTP/1.1\r\nHost: y\r\n\r\n0\r\n\r\n\xff\x00";
        c.send(frames).expect_raw(frames).finish();
        w.origin().last().expect_header("Connection", "Upgrade").expect_header("Upgrade", "websocket");
        w.origin().request(0).expect_header("Sec-WebSocket-Key", "a").expect_no_header("Content-Length");
        w.origin().expect_raw(0, frames).expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
        w.last_record().expect("status", "101");
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn bytes_glued_to_the_request_and_to_the_101_belong_to_the_tunnel() {
    scenario(|w| {
        let early = "GET /not-a-request HTTP/1.1\r\nHost: a\r\n\r\n";
        let reply = [SWITCH, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"].concat();
        w.origin().on("GET /").reply(reply).tunnel().hang();
        let c = w.client();
        c.send(format!("GET / HTTP/1.1\r\nHost: example.com\r\n{ASK}\r\n{early}")).expect_status(101);
        c.expect_raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        w.origin().expect_raw(0, early).expect_requests(1).close_on(0);
        c.expect_closed();
    });
}

#[test]
fn bytes_that_come_before_the_101_wait_for_it() {
    simulated(|w| {
        w.origin().on("GET /").wait("5s").reply(SWITCH).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", ASK, "too early");
        w.after("1s");
        // The origin's reader would take them for a request.
        w.origin().expect_requests(1).expect_raw(0, "");
        c.expect_status(101);
        w.origin().expect_raw(0, "too early").close_on(0);
        c.expect_closed();
    });
}

#[test]
fn what_a_client_said_before_it_left_a_tunnel_arrives() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101);
        let words = "last words ".repeat(500);
        c.send(&words).sent().close();
        w.origin().expect_raw(0, &words).expect_end(0, Some("finished")).close_on(0);
        w.expect_outcomes(&["tunnel_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn what_an_origin_said_before_it_closed_a_tunnel_arrives() {
    scenario(|w| {
        let words = "goodbye ".repeat(500);
        w.origin().on("GET /").reply([SWITCH, &words].concat()).close();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101).expect_raw(&words).expect_closed();
        c.finish();
        w.expect_outcomes(&["tunnel_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_tunnel_that_an_origin_closes_is_emptied_into_a_slow_client() {
    simulated_calm(|w| {
        let words = "0123456789".repeat(100_000);
        w.origin().on("GET /").reply([SWITCH, &words].concat()).close();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101);
        c.stop_reading();
        w.after("30s");
        c.resume_reading().expect_raw(&words).expect_closed().finish();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn a_tunnel_is_half_closed_by_its_client_and_the_origin_goes_on() {
    simulated(|w| {
        w.origin().on("GET /").reply(SWITCH).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101).send("that is all").finish();
        w.origin().expect_raw(0, "that is all").expect_end(0, Some("finished"));
        w.after("10m");
        w.origin().send_on(0, "one ");
        c.expect_raw("one ").expect_silence();
        w.origin().send_on(0, "two").finish_on(0);
        c.expect_raw("one two").expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn a_tunnel_is_half_closed_by_its_origin_and_the_client_goes_on() {
    simulated(|w| {
        w.origin().on("GET /").reply([SWITCH, "that is all"].concat()).tunnel().finish().hang();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101).expect_raw("that is all").expect_closed();
        w.after("10m");
        c.send("one ");
        w.origin().expect_raw(0, "one ").expect_end(0, None);
        c.send("two").finish();
        w.origin().expect_raw(0, "one two").expect_end(0, Some("finished"));
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn a_tunnel_that_one_side_resets_ends_in_a_reset_on_the_other() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).tunnel().hang();
        let (c, d) = (w.client(), w.client());
        c.request("GET", "/", ASK, "").expect_status(101);
        d.request("GET", "/", ASK, "").expect_status(101);
        w.origin().reset_on(0);
        c.expect_reset();
        d.reset();
        w.origin().expect_end(1, Some("reset"));
        w.expect_outcomes(&["tunnel_closed", "tunnel_closed"]);
    });
}

#[test]
fn b22_a_token_that_no_route_names_is_not_sent_on() {
    scenario(|w| {
        w.origin().on("GET /").ok("plain");
        let c = w.client();
        c.request("GET", "/", "Connection: upgrade\r\nUpgrade: foo/2\r\n", "").expect_ok("plain");
        w.origin().last().expect_no_header("Upgrade").expect_no_header("Connection");
        c.expect_no_header("Upgrade").get("/").expect_ok("plain").expect_kept_alive();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn b22_a_token_that_the_route_names_passes() {
    scenario(|w| {
        allow(w, &["foo/2"]);
        let switch =
            "HTTP/1.1 101 Ok\r\nUpgrade: Foo/2\r\nConnection: x-a, upgrade\r\nX-A: 1\r\nX-B: 2\r\n\r\n";
        w.origin().on("POST /").reply(switch).echo_raw();
        let c = w.client();
        c.request("POST", "/", "Connection: upgrade\r\nUpgrade: bar, FOO/2, websocket\r\n", "");
        c.expect_status(101).expect_headers("X-A", &[]).expect_header("X-B", "2").send("hi").expect_raw("hi");
        w.origin().last().expect_header("Upgrade", "FOO/2").expect_header("Connection", "Upgrade");
        w.origin().close_on(0);
        c.expect_closed();
    });
}

#[test]
fn b22_upgrade_without_the_connection_option_was_meant_for_somebody_else() {
    scenario(|w| {
        w.origin().on("GET /").ok("plain");
        let c = w.client();
        c.request("GET", "/", "Connection: keep-alive\r\nUpgrade: websocket\r\n", "").expect_ok("plain");
        w.origin().last().expect_no_header("Upgrade").expect_no_header("Connection");
        c.get("/").expect_ok("plain").expect_kept_alive();
    });
}

#[test]
fn h2c_never_passes_even_where_a_route_names_it() {
    scenario(|w| {
        allow(w, &["h2c", "h2", "http/2"]);
        w.origin().on("GET /").ok("plain");
        for token in ["h2c", "H2C", "h2", "HTTP/2"] {
            let c = w.client();
            let fields = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n";
            c.request("GET", "/", &format!("{fields}Upgrade: {token}\r\n"), "").expect_ok("plain");
            w.origin().last().expect_no_header("Upgrade").expect_no_header("HTTP2-Settings");
            w.origin().last().expect_no_header("Connection");
            c.expect_kept_alive();
        }
    });
}

#[test]
fn http2_settings_is_dropped_also_when_a_websocket_passes() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).close();
        let c = w.client();
        let fields =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AA\r\n";
        c.request("GET", "/", fields, "").expect_status(101).expect_closed();
        w.origin().last().expect_header("Upgrade", "websocket").expect_no_header("HTTP2-Settings");
    });
}

#[test]
fn b21_upgrade_in_http10_is_ignored() {
    scenario(|w| {
        w.origin().on("GET /").ok("plain");
        let c = w.client();
        c.send(format!("GET / HTTP/1.0\r\nHost: example.com\r\n{ASK}\r\n"))
            .expect_ok("plain")
            .expect_closed();
        w.origin().last().expect_no_header("Upgrade").expect_no_header("Connection");
    });
}

#[test]
fn cve_2026_58055_an_upgrade_with_content_is_an_ordinary_request() {
    scenario(|w| {
        allow(w, &["foo"]);
        w.origin().on("POST /").ok("plain");
        let c = w.client();
        let fields = "Connection: upgrade\r\nUpgrade: foo\r\n";
        c.request("POST", "/", &format!("{fields}Content-Length: 5\r\n"), "hello").expect_ok("plain");
        let chunked = format!("{fields}Transfer-Encoding: chunked\r\n");
        c.request("POST", "/", &chunked, "3\r\nabc\r\n0\r\n\r\n").expect_ok("plain");
        w.origin().request(0).expect_no_header("Upgrade").expect_body("hello");
        w.origin().request(1).expect_no_header("Upgrade").expect_body("abc");
        c.expect_kept_alive();
    });
}

#[test]
fn b21_a_101_that_nobody_asked_for_is_a_502() {
    scenario(|w| {
        w.origin().on("GET /").reply([SWITCH, "GET / HTTP/1.1\r\n\r\n"].concat()).tunnel().hang();
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["upstream_malformed"]);
        w.last_record().expect("rule", "unasked_switch");
        assert_eq!(w.connections(), 1, "the origin's is closed");
    });
}

#[test]
fn b21_b36_a_101_to_anything_but_what_was_asked_is_a_502() {
    scenario(|w| {
        let switches = [
            "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
            "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: websocket, foo\r\n\r\n",
            "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.0 101 Ok\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ];
        for switch in switches {
            w.origin().on("GET /").times(1).reply(switch).tunnel().hang();
            let c = w.client();
            c.request("GET", "/", ASK, "").expect_status(502).expect_body("502 Bad Gateway\n");
            c.expect_kept_alive();
        }
        w.origin().expect_connections(switches.len());
        w.expect_outcomes(&["upstream_malformed"; 6]);
    });
}

#[test]
fn an_origin_that_does_not_upgrade_answers_and_both_connections_go_on() {
    scenario(|w| {
        let refusal = "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno";
        w.origin().on("GET /old").ok("no websocket here");
        w.origin().on("GET /other").reply(refusal);
        w.origin().on("GET /").ok("next");
        let c = w.client();
        c.request("GET", "/old", ASK, "").expect_ok("no websocket here").get("/").expect_ok("next");
        c.request("GET", "/other", ASK, "")
            .expect_status(426)
            .expect_body("no")
            .expect_no_header("Connection");
        c.get("/").expect_ok("next").expect_kept_alive();
        w.origin().expect_connections(1).expect_requests(4);
        w.expect_outcomes(&["complete"; 4]);
    });
}

#[test]
fn what_was_sent_in_the_belief_of_a_tunnel_is_no_request_when_the_origin_refuses() {
    scenario(|w| {
        w.origin().on("GET /chat").wait("20ms").ok("no");
        let c = w.client();
        let smuggled = "GET /secret HTTP/1.1\r\nHost: example.com\r\n\r\n";
        c.send(format!("GET /chat HTTP/1.1\r\nHost: example.com\r\n{ASK}\r\n{smuggled}"));
        c.expect_ok("no").expect_header("Connection", "close").expect_closed();
        w.origin().expect_requests(1);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn b23_interim_responses_come_before_the_101() {
    scenario(|w| {
        let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        w.origin().on("GET /").reply([hints, SWITCH, "x"].concat()).close();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(100).expect_status(103).expect_header("Link", "</a>");
        c.expect_status(101).expect_raw("x").expect_closed().finish();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn an_answer_behind_a_101_is_not_read_as_one() {
    scenario(|w| {
        let answer = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
        w.origin().on("GET /").reply(SWITCH).wait("20ms").reply(answer).close();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101).expect_raw(answer).expect_closed().finish();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

fn allow(w: &World, tokens: &[&str]) {
    w.settings(|settings| {
        settings.sites[0].routes[0].upgrades = tokens.iter().map(ToString::to_string).collect();
    });
}

#[test]
fn a_reset_of_either_side_ends_both() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).tunnel();
        let (a, b) = (w.client(), w.client());
        a.request("GET", "/", ASK, "").expect_status(101);
        b.request("GET", "/", ASK, "").expect_status(101);
        w.origin().reset_on(0);
        a.expect_over();
        b.reset();
        w.settle();
        assert_ne!(w.origin().end_of(1), None);
        w.expect_outcomes(&["tunnel_closed", "tunnel_closed"]);
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended() {
    simulated(|w| {
        w.settings(|s| s.limits.tunnel_idle = Duration::from_secs(100));
        w.origin().on("GET /").reply(SWITCH).tunnel();
        let c = w.client();
        c.request("GET", "/", ASK, "").expect_status(101);
        w.after("90s");
        c.send("x");
        w.after("90s");
        w.origin().send_on(0, "y");
        w.after("90s");
        c.expect_raw("y").expect_silence();
        w.after("20s");
        c.expect_over();
        w.expect_outcomes(&["tunnel_idle"]);
    });
}

#[test]
fn an_origin_that_hangs_instead_of_switching_is_a_504() {
    simulated(|w| {
        w.origin().on("GET /").hang();
        let c = w.client();
        c.request("GET", "/", ASK, "")
            .expect_status(504)
            .expect_at("30s")
            .expect_body("504 Gateway Timeout\n");
        w.expect_outcomes(&["first_byte_timeout"]);
    });
}

#[test]
fn a_post_is_no_websocket_handshake() {
    scenario(|w| {
        w.origin().on("POST /").ok("plain");
        w.client().request("POST", "/", &format!("{ASK}Content-Length: 0\r\n"), "").expect_ok("plain");
        w.origin().last().expect_no_header("Upgrade");
    });
}

#[test]
fn b22_an_upgrade_that_the_origin_offers_stays_on_its_hop() {
    scenario(|w| {
        let reply =
            "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2,h2c\r\nContent-Length: 2\r\n\r\nok";
        w.origin().on("GET /").reply(reply);
        w.client().get("/").expect_ok("ok").expect_no_header("Upgrade").expect_no_header("Connection");
    });
}

#[test]
fn a_tunnel_has_one_record_with_the_bytes_of_both_ways() {
    scenario(|w| {
        w.origin().on("GET /chat").reply(SWITCH).echo_raw();
        let c = w.client();
        c.request("GET", "/chat", ASK, "").expect_status(101).send("hello").expect_raw("hello").finish();
        w.settle();
        w.origin().close_on(0);
        c.expect_closed();
        let record = w.last_record();
        record.expect("status", "101").expect("outcome", "tunnel_closed").expect("target", "/chat");
        record.expect("received", "5").expect("sent", "5");
        w.expect_counter("requests", 1).expect_counter("tunnels_active", 0);
    });
}

#[test]
fn much_passes_through_a_tunnel_unharmed() {
    scenario(|w| {
        w.origin().on("GET /").reply(SWITCH).echo_raw();
        let c = w.client();
        let text: String = (0..2000).map(|n| format!("{n:05}")).collect();
        c.request("GET", "/", ASK, "").expect_status(101).send(&text).expect_raw(&text);
    });
}
