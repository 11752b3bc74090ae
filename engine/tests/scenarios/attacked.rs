//! What was found by attacking the running proxy.

use crate::world::calm;
use std::time::Duration;

/// Small pieces, so that the queue is not empty and not full either when the origin stops.
#[test]
fn an_origin_that_stops_while_the_client_is_behind_is_timed_once_the_client_is_not() {
    calm(|w| {
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
    calm(|w| {
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
