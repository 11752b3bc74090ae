//! Content that hooks read before it is known where a request goes.

use ringway_engine::error::Result;
use ringway_engine::phase::{Content, Flow, Peer, Proxy, Response, Session};
use ringway_engine::rt;
use ringway_testing::{World, scenario, simulated};
use std::time::Duration;

/// Lets a request pass whose content has the right word in it.
struct Signed;

impl Proxy for Signed {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let content = match session.request().path() {
            b"/patient" => {
                // One read that is given up, and others that begin where it was.
                let first = rt::timeout(Duration::from_millis(50), session.read_content(8)).await;
                assert!(first.is_err());
                let begun = rt::now();
                assert!(session.read_content(1).await.is_err());
                assert_eq!(rt::now(), begun);
                session.read_content(16).await?
            }
            b"/twice" => {
                let first = session.read_content(8).await;
                let second = session.read_content(16).await?;
                assert!(first.is_err() || first.is_ok_and(|first| first == second));
                second
            }
            b"/panic" => {
                session.read_content(16).await?;
                panic!("as asked")
            }
            b"/hang" => {
                session.read_content(16).await?;
                std::future::pending().await
            }
            _ => session.read_content(16).await?,
        };
        Ok(match content.ends_with(b"right") {
            true => Flow::Continue,
            false => Response::new(403).body(content).into(),
        })
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        (): &mut (),
    ) -> Result<()> {
        if content.is_end() && session.request().path() == b"/mark" {
            content.append("!");
        }
        Ok(())
    }
}

fn signed(run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(|| Signed);
        w.origin().on("POST /").ok("fine");
        w.origin().on("POST /mark").ok("fine");
        run(w);
    });
}

#[test]
fn content_that_was_read_is_relayed_all_the_same() {
    signed(|w| {
        let c = w.client();
        c.post("/", "all right").expect_status(200).expect_body("fine");
        w.origin().last().expect_body("all right");
        c.post_chunks("/mark", &["all", " ", "right"]).expect_status(200);
        w.origin().last().expect_body("all right!");
        w.origin().expect_connections(1);
        w.settle();
        w.last_record().expect("received", "9");
    });
}

#[test]
fn what_was_read_may_be_answered_and_the_connection_goes_on() {
    signed(|w| {
        let c = w.client();
        c.post("/", "wrong").expect_status(403).expect_body("wrong");
        c.post("/", "right").expect_status(200);
        w.expect_outcomes(&["answered", "complete"]);
        w.records()[0].expect("received", "5");
    });
}

#[test]
fn content_that_is_longer_than_may_be_kept_is_a_413() {
    signed(|w| {
        let c = w.client();
        c.post("/", "x".repeat(17)).expect_status(413);
        c.post("/", "x".repeat(100_000)).expect_status(413);
        c.post("/", "right").expect_status(200);
        w.expect_outcomes(&["too_large", "too_large", "complete"]);
    });
}

#[test]
fn a_client_that_waits_for_100_gets_it_from_a_hook_that_reads() {
    signed(|w| {
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .expect_status(100);
        c.send("right").expect_status(200);
        w.origin().last().expect_body("right").expect_no_header("Expect");
    });
}

#[test]
fn a_client_that_leaves_while_its_content_is_read_takes_the_hook_with_it() {
    signed(|w| {
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nri");
        w.settle();
        c.close();
        w.expect_outcomes(&["downstream_closed"]);
        w.origin().expect_requests(0);
    });
}

/// As [`signed`], in virtual time.
fn slowly_signed(run: impl Fn(&World)) {
    simulated(|w| {
        w.proxy(|| Signed);
        w.bear_panics();
        w.origin().on("*").ok("fine");
        run(w);
    });
}

#[test]
fn content_may_be_read_again_with_another_bound() {
    signed(|w| {
        w.origin().on("POST /twice").ok("fine");
        let c = w.client();
        c.post("/twice", "right").expect_ok("fine");
        c.post("/twice", "all is right").expect_ok("fine");
        w.origin().last().expect_body("all is right");
        c.post_chunks("/twice", &["all ", "is ", "ri", "ght"]).expect_ok("fine");
        w.origin().last().expect_body("all is right");
        c.post("/twice", "x".repeat(17)).expect_status(413);
    });
}

#[test]
fn content_that_comes_in_spite_of_a_read_that_was_given_up_is_there() {
    slowly_signed(|w| {
        let c = w.client();
        c.send("POST /patient HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nall is");
        w.after("1s");
        c.send(" right").expect_ok("fine");
        w.origin().last().expect_body("all is right");
    });
}

#[test]
fn content_that_comes_slowly_is_waited_for_as_long_as_for_any_hook() {
    slowly_signed(|w| {
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        for byte in ["r", "i", "g", "h", "t"] {
            w.after("5s");
            c.send(byte);
        }
        c.expect_ok("fine");
        let never = w.client();
        never.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nri").expect_status(408);
        w.expect_outcomes(&["complete", "body_timeout"]);
    });
}

#[test]
fn a_hook_that_read_and_goes_wrong_leaves_content_to_nobody() {
    slowly_signed(|w| {
        w.client().post("/panic", "right").expect_status(500).expect_closed();
        let c = w.client();
        c.post("/hang", "right").expect_status(504).expect_body("504 Gateway Timeout\n");
        c.post("/", "right").expect_ok("fine");
        w.origin().expect_requests(1);
        let c = w.client();
        c.post("/hang", "right");
        w.after("1s");
        c.reset();
        w.expect_outcomes(&["panicked", "hook_timeout", "complete", "downstream_closed"]);
        w.last_record().expect("received", "5");
    });
}

#[test]
fn content_that_breaks_a_rule_while_it_is_read_is_a_400() {
    signed(|w| {
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let c = w.client();
        c.send(format!("{chunked}2\r\nri\r\nno size\r\n")).expect_status(400).expect_closed();
        w.expect_outcomes(&["malformed"]);
        w.origin().expect_requests(0);
    });
}

#[test]
fn trailers_behind_content_that_was_read_are_relayed() {
    signed(|w| {
        let c = w.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n";
        c.send(format!("{head}5\r\nright\r\n0\r\nx-sum: 1\r\n\r\n")).expect_ok("fine");
        w.origin().last().expect_body("right").expect_trailers(&[("x-sum", "1")]);
    });
}

#[test]
fn a_client_that_waits_for_100_and_leaves_ends_the_hook() {
    signed(|w| {
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .expect_status(100);
        c.close();
        w.expect_outcomes(&["downstream_closed"]);
        let c = w.client();
        c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 17\r\n\r\n")
            .expect_status(100);
        c.send("x".repeat(17)).expect_status(413);
        w.origin().expect_requests(0);
    });
}
