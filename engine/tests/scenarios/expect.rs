//! `Expect: 100-continue` (RFC 9110 section 10.1.1).

use crate::world::scenario;

const EXPECT: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";

#[test]
fn a_silent_origin_makes_us_say_100_once_and_a_late_100_of_its_own_is_dropped() {
    scenario(|w| {
        w.origin()
            .on("POST /")
            .early()
            .wait("3s")
            .reply("HTTP/1.1 100 Continue\r\n\r\n")
            .read_all()
            .ok("done");
        let c = w.client();
        c.request("POST", "/", EXPECT, "").expect_status(100).expect_at("1s");
        c.send("hello").expect_ok("done").expect_kept_alive();
        w.origin().expect_connections(1).last().expect_header("Expect", "100-continue").expect_body("hello");
        w.expect_outcomes(&["complete"]);
    });
}
