//! How long anybody may keep anybody waiting.

use ringway_engine::io::sim::Welcome;
use ringway_testing::{simulated, simulated_calm};
use std::time::Duration;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

#[test]
fn a_head_that_does_not_come_to_its_end_is_a_408() {
    simulated(|w| {
        let c = w.client();
        c.send("GET / HTTP/1.1\r\nHos")
            .expect_status(408)
            .expect_at("10s")
            .expect_header("Connection", "close");
        c.expect_body("408 Request Timeout\n").expect_closed();
        w.expect_outcomes(&["header_timeout"]);
        w.last_record().expect("method", "-").expect("status", "408");
    });
}

#[test]
fn a_head_that_dribbles_gets_no_more_time() {
    simulated(|w| {
        let c = w.client();
        c.pace(1, "1s").send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        c.expect_status(408).expect_at("10s").expect_body("408 Request Timeout\n").expect_over();
        w.origin().expect_connections(0);
    });
}

#[test]
fn the_second_head_of_a_connection_has_its_own_time() {
    simulated(|w| {
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/").expect_ok("fine");
        w.after("30s");
        c.send("GET / HTTP/1.1\r\n").expect_status(408).expect_at("40s").expect_body("408 Request Timeout\n");
    });
}

#[test]
fn a_client_that_says_nothing_is_closed_without_a_word() {
    simulated(|w| {
        w.client().expect_no_response();
        assert_eq!(w.now().as_secs(), 10);
        w.expect_outcomes(&[]);
    });
}

#[test]
fn empty_lines_are_no_sign_of_life() {
    simulated(|w| {
        let c = w.client();
        c.pace(2, "1s")
            .send("\r\n".repeat(60))
            .expect_status(400)
            .expect_body("400 Bad Request\n")
            .expect_over();
        assert!(w.now().as_secs() < 10, "{:?}", w.now());
    });
}

#[test]
fn content_that_stops_coming_is_a_408() {
    simulated(|w| {
        w.settings(|s| s.limits.body_idle = Duration::from_secs(20));
        w.origin().on("POST /").hang();
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "01234").expect_status(408).expect_at("20s");
        c.expect_header("Connection", "close").expect_body("408 Request Timeout\n").expect_over();
        w.origin().request(0).expect_incomplete();
        w.origin().expect_end(0, Some("finished"));
        w.expect_outcomes(&["body_timeout"]);
    });
}

#[test]
fn content_that_keeps_coming_may_take_as_long_as_it_takes() {
    simulated(|w| {
        w.settings(|s| s.limits.body_idle = Duration::from_secs(20));
        w.origin().on("POST /").ok("fine");
        let c = w.client();
        c.post("/", "");
        c.expect_ok("fine").pace(1, "15s").request("POST", "/", "", "");
        w.after("1m");
        // The head has had its time; only the content is slow.
        c.expect_status(408).expect_body("408 Request Timeout\n").expect_over();
    });
}

#[test]
fn slow_content_is_not_held_against_anybody() {
    simulated(|w| {
        w.settings(|s| s.limits.body_idle = Duration::from_secs(20));
        w.origin().on("POST /").ok("fine");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 10\r\n", "");
        w.after("1s");
        c.pace(1, "15s").send("0123456789").expect_ok("fine").expect_at("136s").expect_kept_alive();
        w.origin().last().expect_body("0123456789");
    });
}

#[test]
fn an_origin_that_does_not_begin_to_answer_is_a_504() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = Duration::from_secs(7));
        w.origin().on("*").hang();
        let c = w.client();
        c.get("/")
            .expect_status(504)
            .expect_at("7s")
            .expect_body("504 Gateway Timeout\n")
            .expect_kept_alive();
        w.origin().expect_end(0, Some("finished")).expect_requests(1);
        w.expect_outcomes(&["first_byte_timeout"]);
    });
}

#[test]
fn the_origins_time_begins_when_it_has_the_request() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = Duration::from_secs(7));
        w.origin().on("*").wait("5s").ok("fine");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 3\r\n", "");
        w.after("1s");
        c.pace(1, "10s").send("abc").expect_ok("fine").expect_at("26s");
    });
}

#[test]
fn a_half_head_is_no_beginning_of_an_answer_for_ever() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(5));
        w.origin().on("*").wait("3s").reply("HTTP/1.1 200 O").hang();
        let c = w.client();
        c.get("/")
            .expect_status(504)
            .expect_body("504 Gateway Timeout\n")
            .expect_at("8s")
            .expect_kept_alive();
        w.expect_outcomes(&["between_bytes_timeout"]);
    });
}

#[test]
fn the_first_byte_of_a_head_is_the_first_byte_of_the_answer() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = Duration::from_secs(7));
        let script = w.origin().on("*").wait("6s").reply("HTTP/1.1 200 O").wait("6s").reply("K\r\n");
        script.wait("6s").reply("Content-Length: 2\r\n\r\nok");
        w.client().get("/").expect_ok("ok").expect_at("18s");
    });
}

#[test]
fn an_interim_response_gives_the_origin_its_time_again() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = Duration::from_secs(7));
        let script = w.origin().on("GET /").wait("5s").reply(HINTS).wait("5s").reply(HINTS).wait("5s");
        script.ok("fine");
        w.origin().on("GET /never").wait("5s").reply(HINTS).hang();
        let c = w.client();
        c.get("/").expect_status(103).expect_status(103).expect_ok("fine").expect_at("15s");
        c.get("/never").expect_status(103).expect_status(504).expect_at("27s");
        c.expect_body("504 Gateway Timeout\n").expect_kept_alive();
        w.expect_outcomes(&["complete", "first_byte_timeout"]);
    });
}

#[test]
fn an_origin_that_said_100_is_not_late_while_the_content_comes() {
    simulated(|w| {
        w.settings(|s| {
            s.clusters[0].timeouts.first_byte = Duration::from_secs(2);
            s.clusters[0].timeouts.between_bytes = Duration::from_secs(2);
        });
        w.origin().on("POST /").early().reply("HTTP/1.1 100 Continue\r\n\r\n").read_all().ok("fine");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 3\r\nExpect: 100-continue\r\n", "").expect_status(100);
        w.after("5s");
        c.pace(1, "5s").send("abc").expect_ok("fine");
    });
}

#[test]
fn an_answer_that_pauses_is_cut() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(5));
        w.origin().on("*").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").hang();
        w.client().get("/").expect_status(200).expect_body("abc").expect_aborted();
        assert_eq!(w.now().as_secs(), 5);
        w.expect_outcomes(&["between_bytes_timeout"]);
        w.origin().expect_end(0, Some("finished"));
    });
}

#[test]
fn an_answer_that_pauses_is_cut_however_long_its_first_byte_may_take() {
    simulated_calm(|w| {
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(1));
        w.origin().on("GET /").ok("fine");
        w.origin().on("GET /slow").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").hang();
        let c = w.client();
        c.get("/").expect_ok("fine");
        c.get("/slow").expect_status(200).expect_body("abc").expect_aborted();
        assert_eq!(w.now().as_secs(), 1);
        w.expect_outcomes(&["complete", "between_bytes_timeout"]);
    });
}

#[test]
fn an_answer_that_keeps_coming_may_take_as_long_as_it_takes() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(5));
        let script = w.origin().on("*").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        let _ = (0..10).fold(script, |script, _| script.wait("4s").reply("x"));
        w.client().get("/").expect_ok("xxxxxxxxxx").expect_at("40s");
    });
}

#[test]
fn an_origin_is_not_late_while_the_client_does_not_read() {
    simulated_calm(|w| {
        w.settings(|s| s.clusters[0].timeouts.between_bytes = Duration::from_secs(5));
        w.origin().on("*").ok("x".repeat(1_000_000));
        let c = w.client();
        c.stop_reading().get("/");
        w.after("50s");
        c.resume_reading().expect_status(200).expect_body_len(1_000_000).expect_kept_alive();
    });
}

#[test]
fn a_connection_that_is_never_answered_is_a_504() {
    simulated(|w| {
        w.settings(|s| {
            (s.clusters[0].timeouts.connect, s.clusters[0].retries_max) = (Duration::from_secs(3), 0)
        });
        w.origin().welcome(Welcome::Silence);
        let c = w.client();
        c.get("/")
            .expect_status(504)
            .expect_at("3s")
            .expect_body("504 Gateway Timeout\n")
            .expect_kept_alive();
        w.expect_outcomes(&["connect_timeout"]);
    });
}

#[test]
fn a_request_that_takes_too_long_as_a_whole_is_a_504() {
    simulated(|w| {
        w.settings(|s| s.limits.request_timeout = Some(Duration::from_secs(9)));
        w.origin().on("*").hang();
        w.client().get("/").expect_status(504).expect_at("9s").expect_body("504 Gateway Timeout\n");
        w.expect_outcomes(&["request_timeout"]);
    });
}

#[test]
fn an_answer_that_takes_too_long_as_a_whole_is_cut() {
    simulated(|w| {
        w.settings(|s| s.limits.request_timeout = Some(Duration::from_secs(9)));
        let script = w.origin().on("*").reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        let _ = (0..10).fold(script, |script, _| script.wait("2s").reply("x"));
        w.client().get("/").expect_status(200).expect_body("xxxx").expect_aborted();
        w.expect_outcomes(&["request_timeout"]);
    });
}

#[test]
fn a_request_that_is_in_time_as_a_whole_leaves_no_trace_of_its_limit() {
    simulated(|w| {
        w.settings(|s| s.limits.request_timeout = Some(Duration::from_secs(9)));
        w.origin().on("*").wait("5s").ok("fine");
        let c = w.client();
        c.get("/").expect_ok("fine").get("/").expect_ok("fine").expect_at("10s");
        w.after("20s");
        c.get("/").expect_ok("fine");
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    simulated_calm(|w| {
        w.settings(|s| s.limits.write_idle = Duration::from_secs(30));
        w.origin().on("*").ok("x".repeat(1_000_000));
        let c = w.client();
        c.stop_reading().get("/");
        w.after("29s");
        w.expect_outcomes(&[]);
        w.after("5s");
        w.expect_outcomes(&["downstream_write_timeout"]);
        assert!(w.held_bytes() <= 4096, "{}", w.held_bytes());
        assert_ne!(w.origin().end_of(0), None);
        c.resume_reading().expect_status(200).expect_body_len(c.response().body.len()).expect_aborted();
    });
}

#[test]
fn a_client_that_takes_little_by_little_is_not_cut() {
    simulated_calm(|w| {
        w.settings(|s| s.limits.write_idle = Duration::from_secs(30));
        w.origin().on("*").ok("x".repeat(1_000_000));
        let c = w.client();
        c.stop_reading().get("/");
        for _ in 0..10 {
            w.after("20s");
            c.resume_reading().stop_reading();
        }
        c.resume_reading().expect_status(200).expect_body_len(1_000_000);
    });
}

#[test]
fn an_origin_that_takes_nothing_of_the_request_is_a_504() {
    simulated_calm(|w| {
        w.settings(|s| s.limits.write_idle = Duration::from_secs(30));
        w.origin().on("*").early().stop_reading().hang();
        let c = w.client();
        c.post("/", "x".repeat(1_000_000)).expect_status(504).expect_body("504 Gateway Timeout\n");
        assert!((30..40).contains(&w.now().as_secs()), "{:?}", w.now());
        w.expect_outcomes(&["upstream_write_timeout"]);
    });
}

#[test]
fn a_client_is_not_late_while_the_origin_does_not_read() {
    simulated_calm(|w| {
        w.settings(|s| {
            (s.limits.body_idle, s.limits.write_idle) = (Duration::from_secs(5), Duration::from_secs(60))
        });
        w.origin().on("*").early().stop_reading().wait("50s").resume_reading().read_all().ok("fine");
        w.client().post("/", "x".repeat(1_000_000)).expect_ok("fine");
    });
}

#[test]
fn the_rest_of_an_answered_request_has_little_time() {
    simulated(|w| {
        w.settings(|s| s.limits.linger = Duration::from_secs(3));
        w.settings(|s| s.sites[0].routes[0].methods = vec!["GET".into()]);
        let c = w.client();
        c.request("POST", "/", "Content-Length: 100\r\n", "").sent();
        c.pace(1, "1s").send("x".repeat(100)).expect_status(404).expect_body("404 Not Found\n").expect_over();
        assert!(w.now().as_secs() <= 7, "{:?}", w.now());
        w.expect_outcomes(&["no_route"]);
    });
}

#[test]
fn time_outs_of_one_exchange_do_not_reach_the_next() {
    simulated(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = Duration::from_secs(5));
        w.origin().on("*").wait("4s").ok("fine");
        let c = w.client();
        (0..5).for_each(|_| _ = c.get("/").expect_ok("fine"));
        w.expect_outcomes(&["complete"; 5]);
    });
}
