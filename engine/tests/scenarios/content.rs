//! Content that hooks read before it is known where a request goes.

use ringway_engine::error::Result;
use ringway_engine::phase::{Content, Flow, Peer, Proxy, Response, Session};
use ringway_testing::{World, scenario};

/// Lets a request pass whose content has the right word in it.
struct Signed;

impl Proxy for Signed {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let content = session.read_content(16).await?;
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
