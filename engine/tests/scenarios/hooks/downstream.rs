//! What a hook says of the client's side for one exchange.

use super::*;
use ringway_testing::simulated_calm;

/// Says what a request's path asks for.
struct Told;

impl Proxy for Told {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        let short = Duration::from_secs(2);
        match session.request().path() {
            b"/body" => session.set_body_idle(short),
            b"/write" | b"/write_wait" => session.set_write_idle(short),
            b"/rate" => session.set_send_rate_min(100_000),
            b"/keepalive" => session.set_keepalive_idle(short),
            b"/tunnel" => session.set_tunnel_idle(short),
            b"/linger" => session.set_linger(short),
            b"/request" => session.set_request_timeout(Some(short)),
            b"/long" => session.set_request_timeout(None),
            b"/quiet" => session.drop_interim_responses(),
            b"/dropped" => {
                session.set_keepalive_idle(short);
                rt::sleep(Duration::from_secs(60)).await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        Ok(match session.request().path() {
            b"/linger" => Response::new(403).into(),
            _ => Flow::Continue,
        })
    }

    async fn response_filter(&self, session: &mut Session, _: &mut ResponseHead, (): &mut ()) -> Result<()> {
        if session.request().path() == b"/dropped" {
            session.set_linger(Duration::from_secs(1));
        }
        Ok(())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn response_body_filter(&self, session: &mut Session, _: &mut Content, (): &mut ()) -> Result<()> {
        if session.request().path() == b"/write_wait" && session.traffic().sent > 0 {
            rt::sleep(Duration::from_secs(20)).await;
        }
        Ok(())
    }
}

/// Answers with the address that was connected to.
struct Addressed;

impl Proxy for Addressed {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let address = session.server_address().map(ToString::to_string);
        Ok(Response::new(200).body(address.expect("of a connection")).into())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_hook_knows_the_address_that_was_connected_to() {
    simulated(|w| {
        w.proxy(|| Addressed);
        w.client().get("/").expect_ok("192.0.2.1:80");
    });
}

fn told(run: impl Fn(&World)) {
    simulated(|w| {
        w.proxy(|| Told);
        run(w);
    });
}

#[test]
fn a_client_has_as_long_for_its_content_as_a_hook_says() {
    told(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        c.request("POST", "/body", "Content-Length: 10\r\n", "01234").expect_status(408).expect_at("2s");
        c.expect_body("408 Request Timeout\n").expect_over();
        w.expect_outcomes(&["body_timeout"]);
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_when_a_hook_says() {
    for path in ["/write", "/write_wait"] {
        simulated_calm(|w| {
            w.proxy(|| Told);
            w.origin().on("*").ok("x".repeat(1_000_000));
            let c = w.client();
            c.stop_reading().get(path);
            w.after("1s");
            w.expect_outcomes(&[]);
            w.after("4s");
            w.expect_outcomes(&["downstream_write_timeout"]);
        });
    }
}

#[test]
fn a_client_has_to_take_as_much_as_a_hook_says() {
    for (pause, outcome) in [("500ms", "complete"), ("2s", "downstream_write_timeout")] {
        simulated_calm(|w| {
            w.proxy(|| Told);
            w.origin().on("*").ok("x".repeat(2_000_000));
            let c = w.client();
            c.stop_reading().get("/rate");
            for _ in 0..30 {
                w.after(pause);
                c.resume_reading().stop_reading();
            }
            c.resume_reading().expect_status(200);
            if outcome == "complete" {
                c.expect_body_len(2_000_000).expect_kept_alive();
            } else {
                w.settle();
                c.expect_body_len(c.response().body.len()).expect_aborted();
            }
            w.expect_outcomes(&[outcome]);
        });
    }
}

#[test]
fn a_connection_waits_for_its_next_request_as_a_hook_said_in_the_last_one() {
    told(|w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/keepalive").expect_ok("abc");
        w.after("1s");
        c.get("/").expect_ok("abc");
        w.after("60s");
        c.get("/keepalive").expect_ok("abc");
        w.after("3s");
        c.expect_closed();
    });
}

#[test]
fn what_a_hook_said_that_was_dropped_where_it_waited_does_not_count() {
    told(|w| {
        let c = w.client();
        c.get("/dropped").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("30s");
        w.after("10s");
        w.origin().on("*").reply(OK);
        c.get("/").expect_ok("abc");
        w.expect_outcomes(&["hook_timeout", "complete"]);
    });
}

#[test]
fn a_tunnel_may_be_silent_as_long_as_a_hook_says() {
    told(|w| {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        w.origin().on("*").reply(switch).tunnel();
        let c = w.client();
        c.request("GET", "/tunnel", "Connection: upgrade\r\nUpgrade: websocket\r\n", "").expect_status(101);
        w.after("1s");
        c.expect_silence();
        w.after("2s");
        w.expect_outcomes(&["tunnel_idle"]);
    });
}

#[test]
fn the_rest_of_an_answered_request_is_read_as_long_as_a_hook_says() {
    told(|w| {
        let c = w.client();
        c.request("POST", "/linger", "Content-Length: 100\r\n", "").sent();
        c.pace(1, "500ms").send("x".repeat(100)).expect_status(403);
        w.after("3s");
        w.expect_outcomes(&["answered"]);
        c.expect_body("").expect_over();
    });
}

#[test]
fn an_exchange_may_take_as_long_as_a_hook_says() {
    told(|w| {
        w.settings(|s| s.limits.request_timeout = Some(Duration::from_secs(10)));
        w.origin().on("*").wait("15s").reply(OK);
        let c = w.client();
        c.get("/request").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("2s");
        c.get("/").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("12s");
        c.get("/long").expect_ok("abc");
        w.expect_outcomes(&["request_timeout", "request_timeout", "complete"]);
    });
}

#[test]
fn interim_responses_may_be_kept_from_a_client() {
    told(|w| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        w.origin().on("GET /quiet").reply(hints).reply(OK);
        w.origin().on("POST /quiet").early().reply(hints).read_all().reply(OK);
        let c = w.client();
        c.get("/quiet").expect_ok("abc");
        c.request("POST", "/quiet", "Expect: 100-continue\r\nContent-Length: 2\r\n", "");
        c.expect_status(100).send("ab").expect_ok("abc").expect_kept_alive();
    });
}
