//! What is malformed, and who is told; origins and clients that fail.

use ringway_engine::io::sim::Welcome;
use ringway_testing::{World, calm, scenario, simulated, simulated_calm};

/// The client sends a head that is refused: it is told, its connection ends, no origin hears of it, and what follows is
/// not looked at.
#[track_caller]
fn refused(w: &World, head: impl AsRef<[u8]>, status: u16, rule: &str) {
    let c = w.client();
    c.send(head).send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    c.expect_status(status).expect_header("Connection", "close");
    c.expect_body(format!("{}\n", &c.response().line["HTTP/1.1 ".len()..])).expect_closed();
    w.origin().expect_connections(0);
    let record = w.last_record();
    record.expect("status", &status.to_string()).expect("outcome", "malformed").expect("rule", rule);
}

#[test]
fn nonsense_is_refused() {
    scenario(|w| {
        refused(w, "NONSENSE\r\n\r\n", 400, "start_line");
        refused(w, "GET\r\n\r\n", 400, "start_line");
        refused(w, "GET /\r\n\r\n", 400, "start_line");
        refused(w, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "start_line");
        refused(w, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "start_line");
        refused(w, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "start_line");
        refused(w, "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method_token");
    });
}

#[test]
fn a_tls_greeting_on_a_plain_port_is_refused() {
    scenario(|w| {
        let c = w.client();
        c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            .expect_status(400)
            .expect_body("400 Bad Request\n");
        c.expect_closed();
    });
}

#[test]
fn other_versions_are_refused() {
    scenario(|w| {
        refused(w, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_unsupported");
        refused(w, "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version_unsupported");
        refused(w, "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version_unsupported");
        refused(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "target_form");
        refused(w, "GET / http/1.1\r\nHost: a\r\n\r\n", 400, "start_line");
        refused(w, "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "start_line");
        refused(w, "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400, "start_line");
    });
}

#[test]
fn empty_lines_before_a_request_are_ignored() {
    scenario(|w| {
        w.origin().on("GET /").ok("fine");
        w.client().send("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").expect_ok("fine");
    });
}

#[test]
fn a2_a3_a_bare_cr_never_passes() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bare_line_end");
        refused(w, "GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "bare_line_end");
    });
}

#[test]
fn a_bare_lf_ends_no_line() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_line_end");
        refused(w, "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_line_end");
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_line_end");
    });
}

#[test]
fn a4_white_space_before_the_first_field_is_refused() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "obsolete_fold");
        refused(w, "GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", 400, "obsolete_fold");
    });
}

#[test]
fn a7_b2_b3_a_request_names_one_valid_host() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\r\n\r\n", 400, "host_missing");
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host_duplicate");
        for host in ["", "a b", "a,b", "user@a", "a/b", "a:b", "a:0", "[::1", "a#b"] {
            refused(w, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "host_invalid");
        }
    });
}

#[test]
fn a12_white_space_before_the_colon_is_refused() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400, "space_before_colon");
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX\t: 5\r\n\r\n", 400, "space_before_colon");
    });
}

#[test]
fn a14_a15_a_folded_line_is_refused() {
    scenario(|w| refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "obsolete_fold"));
}

#[test]
fn an_empty_or_unnamed_field_is_refused() {
    scenario(|w| {
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "field_name");
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "space_before_colon");
        refused(w, "GET / HTTP/1.1\r\nHost: a\r\n(x): y\r\n\r\n", 400, "field_name");
    });
}

#[test]
fn b9_control_characters_in_a_value_are_refused() {
    scenario(|w| {
        for byte in ["\0", "\x01", "\x1f", "\x7f"] {
            refused(w, format!("GET / HTTP/1.1\r\nHost: a\r\nX: a{byte}b\r\n\r\n"), 400, "field_value");
        }
    });
}

#[test]
fn bytes_above_ascii_in_a_value_pass() {
    scenario(|w| {
        w.origin().on("GET /").ok("fine");
        w.client().request("GET", "/", "X: caf\u{e9}\r\n", "").expect_ok("fine");
        w.origin().last().expect_header("X", "caf\u{e9}");
    });
}

#[test]
fn a_fragment_in_the_target_is_refused() {
    scenario(|w| refused(w, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_form"));
}

#[test]
fn a6_a_target_that_is_too_long_is_a_414() {
    scenario(|w| {
        w.settings(|s| s.limits.target_bytes = 100);
        w.origin().on("*").ok("fine");
        let fits = format!("/{}", "x".repeat(99));
        w.client().get(&fits).expect_ok("fine").close();
        let c = w.client();
        c.get(&format!("{fits}x")).expect_status(414).expect_body("414 URI Too Long\n").expect_closed();
        w.origin().expect_requests(1);
        w.last_record().expect("rule", "target_too_long");
    });
}

#[test]
fn b8_a_head_that_is_too_long_is_a_431_as_soon_as_it_is() {
    scenario(|w| {
        w.settings(|s| s.limits.request_head_bytes = 1000);
        let c = w.client();
        c.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1000))).expect_status(431);
        c.expect_body("431 Request Header Fields Too Large\n").expect_closed();
        w.last_record().expect("rule", "head_too_large");
    });
}

#[test]
fn b8_too_many_fields_are_a_431() {
    scenario(|w| {
        w.settings(|s| s.limits.fields_max = 10);
        w.origin().on("*").ok("fine");
        w.client().request("GET", "/", &"X: y\r\n".repeat(9), "").expect_ok("fine").close();
        let c = w.client();
        c.request("GET", "/", &"X: y\r\n".repeat(10), "").expect_status(431);
        c.expect_body("431 Request Header Fields Too Large\n").expect_closed();
        w.last_record().expect("rule", "too_many_fields");
    });
}

#[test]
fn content_that_is_announced_too_long_is_a_413() {
    scenario(|w| {
        w.settings(|s| s.limits.request_body_bytes = Some(10));
        w.origin().on("*").ok("fine");
        w.client().post("/", "0123456789").expect_ok("fine").close();
        let c = w.client();
        c.post("/", "0123456789x").expect_status(413).expect_body("413 Content Too Large\n").expect_closed();
        w.origin().expect_requests(1);
        w.last_record().expect("rule", "body_too_large");
    });
}

#[test]
fn content_that_turns_out_too_long_is_a_413() {
    scenario(|w| {
        w.settings(|s| s.limits.request_body_bytes = Some(10));
        w.origin().on("*").hang();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "8\r\n01234567\r\n");
        w.settle();
        c.send("8\r\n01234567\r\n0\r\n\r\n")
            .expect_status(413)
            .expect_body("413 Content Too Large\n")
            .expect_closed();
        w.origin().expect_requests(1).request(0).expect_incomplete();
        w.last_record().expect("rule", "body_too_large");
    });
}

#[test]
fn a_head_that_breaks_a_rule_is_answered_to_the_method_that_it_has() {
    scenario(|w| {
        let c = w.client();
        c.send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").expect_status(400);
        w.settle();
        c.expect_over();
    });
}

#[test]
fn our_own_answers_say_when_and_are_not_to_be_stored() {
    scenario(|w| {
        w.origin().is_down();
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        let date = c.response().get("date").expect("one").to_string();
        assert!(date.len() == "Mon, 23 Nov 2026 12:00:00".len() + 4 && date.ends_with(" GMT"), "{date}");
        c.expect_header("Cache-Control", "no-store").expect_no_header("Via");
    });
}

#[test]
fn our_own_answer_to_a_head_has_no_content() {
    scenario(|w| {
        w.origin().is_down();
        let c = w.client();
        c.head("/")
            .expect_status(502)
            .expect_body("")
            .expect_header("Content-Length", "16")
            .expect_kept_alive();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n");
    });
}

#[test]
fn an_origin_that_is_down_is_a_502_and_the_client_stays() {
    scenario(|w| {
        w.origin().is_down();
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.origin().is_up().on("*").ok("back");
        c.get("/").expect_ok("back");
        w.expect_outcomes(&["connect_failed", "complete"]);
    });
}

#[test]
fn content_for_an_origin_that_is_down_is_read_and_dropped() {
    scenario(|w| {
        w.origin().is_down();
        let c = w.client();
        c.post("/", "some content").expect_status(502).expect_body("502 Bad Gateway\n");
        c.post_chunks("/", &["some", "content"])
            .expect_status(502)
            .expect_body("502 Bad Gateway\n")
            .expect_kept_alive();
    });
}

#[test]
fn an_origin_that_closes_unasked_is_a_502() {
    scenario(|w| {
        w.origin().closes_at_once();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["upstream_closed"]);
    });
}

/// On real sockets the reset may also come while we dial, which is another outcome.
#[test]
fn an_origin_that_resets_unasked_is_a_502() {
    simulated(|w| {
        w.origin().resets_at_once();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["upstream_closed"]);
    });
}

#[test]
fn an_origin_that_closes_instead_of_answering_is_a_502() {
    scenario(|w| {
        w.origin().on("GET /").close();
        w.origin().on("POST /").early().reset();
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        c.post("/", "content").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.expect_outcomes(&["upstream_closed", "upstream_closed"]);
        w.origin().expect_requests(2);
    });
}

#[test]
fn an_origin_that_closes_anywhere_in_its_answer_is_never_taken_for_complete() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let content = reply.find("hello").unwrap();
    for cut in 0..reply.len() {
        for is_reset in [false, true] {
            calm(|w| {
                let script = w.origin().on("GET /").reply(&reply[..cut]).wait("1ms");
                let _ = if is_reset { script.reset() } else { script.close() };
                let c = w.client();
                if cut < content {
                    c.get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
                } else {
                    c.get("/").expect_status(200).expect_body(&reply[content..cut]).expect_aborted();
                }
            });
        }
    }
}

#[test]
fn a_client_that_vanishes_at_any_byte_leaves_nothing_behind() {
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    simulated_calm(|w| {
        w.origin().on("*").wait("10ms").ok("fine");
        for cut in 0..=request.len() {
            let (closes, resets, finishes) = (w.client(), w.client(), w.client());
            closes.send(&request[..cut]).sent().close();
            resets.send(&request[..cut]).sent().reset();
            finishes.send(&request[..cut]).finish().sent().close();
        }
        w.after("1s");
        assert_eq!(w.held_bytes(), 0, "an idle connection to the origin holds nothing");
    });
}

/// The origin answers in a way that is not HTTP: 502, and its connection is closed.
#[track_caller]
fn bad_gateway(reply: impl AsRef<[u8]>, rule: &str) {
    scenario(|w| {
        w.origin().on("GET /").reply(&reply).hang();
        let c = w.client();
        c.get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.last_record().expect("outcome", "upstream_malformed").expect("rule", rule).expect("status", "502");
        assert_ne!(w.origin().end_of(0), None);
    });
}

#[test]
fn an_answer_that_is_not_http_is_a_502() {
    bad_gateway("220 mail.example ESMTP\r\n", "start_line");
    bad_gateway("<html>old</html>\r\n", "start_line");
    bad_gateway("HTTP/1.1 20 OK\r\n\r\n", "status_code");
    bad_gateway("HTTP/1.1 0200 OK\r\n\r\n", "status_code");
    bad_gateway("HTTP/1.1 099 OK\r\n\r\n", "status_code");
    bad_gateway("HTTP/1.1 600 OK\r\n\r\n", "status_code");
    bad_gateway("HTTP/1.1200 OK\r\n\r\n", "start_line");
    bad_gateway("ICY 200 OK\r\n\r\n", "start_line");
    bad_gateway("HTTP/2.0 200 OK\r\n\r\n", "version_unsupported");
    bad_gateway("\0\0\x12\x04\0\0\0\0\0", "start_line");
}

#[test]
fn fields_of_an_answer_that_are_no_fields_are_a_502() {
    bad_gateway("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "space_before_colon");
    bad_gateway("HTTP/1.1 200 OK\r\n: x\r\n\r\n", "field_name");
    bad_gateway("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "field_value");
    bad_gateway("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "bare_line_end");
}

#[test]
fn a16_a_folded_line_of_an_answer_is_a_502() {
    bad_gateway("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "obsolete_fold");
}

#[test]
fn a13_white_space_before_a_colon_of_an_answer_never_comes_through() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n").hang();
        let c = w.client();
        c.get("/");
        w.settle();
        // Either it is removed or the answer is refused.
        w.last_record().expect("outcome", "upstream_malformed").expect("rule", "space_before_colon");
        c.expect_status(502).expect_body("502 Bad Gateway\n");
    });
}

#[test]
fn an_answer_with_too_long_a_head_is_a_502() {
    scenario(|w| {
        w.settings(|s| s.limits.response_head_bytes = 1000);
        w.origin().on("GET /").reply(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1000))).hang();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.last_record().expect("outcome", "upstream_malformed").expect("rule", "head_too_large");
    });
}

#[test]
fn an_answer_with_too_many_fields_is_a_502() {
    scenario(|w| {
        w.settings(|s| s.limits.fields_max = 20);
        w.origin().on("GET /").reply(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(21))).hang();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.last_record().expect("rule", "too_many_fields");
    });
}

#[test]
fn an_answer_that_comes_before_the_request_is_not_taken() {
    scenario(|w| {
        w.origin().greets("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").on("*").ok("right");
        let c = w.client();
        // What an origin says unasked may arrive before the request left or behind it: never is it taken for the
        // answer to a second request.
        c.get("/1");
        w.settle();
        let status = w.last_record().text("status").to_string();
        assert!(["200", "502"].contains(&status.as_str()), "{status}");
        c.expect_status(status.parse().unwrap());
        w.origin().expect_connections(1);
        assert_ne!(w.origin().end_of(0), None, "such a connection is not used again");
    });
}

#[test]
fn out_of_descriptors_is_a_503_and_not_the_origins_fault() {
    simulated(|w| {
        w.conditions(|c| c.no_descriptor = 1000);
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/").expect_status(503).expect_body("503 Service Unavailable\n").expect_kept_alive();
        w.conditions(|c| c.no_descriptor = 0);
        c.get("/").expect_ok("fine");
        w.expect_outcomes(&["local_resources", "complete"]);
    });
}

#[test]
fn an_origin_whose_kernel_accepts_and_nobody_else_does_is_a_504() {
    simulated(|w| {
        w.origin().welcome(Welcome::Ignore);
        let c = w.client();
        c.get("/")
            .expect_status(504)
            .expect_body("504 Gateway Timeout\n")
            .expect_at("30s")
            .expect_kept_alive();
        w.expect_outcomes(&["first_byte_timeout"]);
    });
}

#[test]
fn a_client_that_resets_while_it_is_answered_is_logged_as_gone() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang();
        let c = w.client();
        c.get("/").expect_status(200).expect_body_so_far("abc").reset();
        w.expect_outcomes(&["downstream_closed"]);
        w.origin().expect_end(0, Some("finished"));
    });
}

#[test]
fn a_client_that_closes_while_it_waits_spares_the_origin_the_work() {
    scenario(|w| {
        w.origin().on("GET /").hang();
        let c = w.client();
        c.get("/").sent().close();
        w.settle();
        w.origin().expect_requests(1).expect_end(0, Some("finished"));
        w.expect_outcomes(&["downstream_closed"]);
        w.last_record().expect("status", "499");
    });
}

#[test]
fn a_client_that_asked_for_nothing_more_is_seen_to_leave_a_moment_later() {
    simulated_calm(|w| {
        w.origin().on("GET /first").ok("fine");
        w.origin().on("GET /").hang();
        w.client().get("/first").expect_ok("fine");
        let c = w.client();
        c.request("GET", "/", "Connection: close\r\n", "").sent().close();
        w.after("100ms");
        w.origin().expect_requests(2).expect_end(0, Some("finished"));
        w.expect_outcomes(&["complete", "downstream_closed"]);
        let record = w.last_record();
        assert!(
            record.text("total_us").parse::<u64>().is_ok_and(|us| (50_000..60_000).contains(&us)),
            "{record:?}"
        );
    });
}

#[test]
fn a_client_that_asked_for_nothing_more_is_answered_however_long_that_takes() {
    scenario(|w| {
        w.origin().on("*").wait("100ms").ok("fine");
        let c = w.client();
        c.request("GET", "/", "Connection: close\r\n", "").expect_ok("fine").expect_closed();
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn an_empty_line_behind_content_does_not_destroy_the_last_answer() {
    calm(|w| {
        w.origin().on("POST /").wait("10ms").ok("fine");
        let c = w.client();
        c.request("POST", "/", "Connection: close\r\nContent-Length: 2\r\n", "ab").send("\r\n");
        c.expect_ok("fine").expect_closed();
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_content_takes_the_request_with_it() {
    scenario(|w| {
        w.origin().on("POST /").hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "01234").sent();
        c.close();
        w.settle();
        w.origin().request(0).expect_incomplete();
        w.origin().expect_end(0, Some("finished"));
        w.expect_outcomes(&["downstream_closed"]);
    });
}
