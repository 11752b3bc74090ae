//! Attempts: what hooks say of failed ones, and how often.

use super::*;
use ringway_engine::error::Outcome;

/// What the client is told of a failure.
type Page = fn(&Error) -> Option<Response>;

/// What it says of every failure.
#[derive(Clone, Copy)]
struct Stubborn {
    connect: fn(&mut Session, &mut Error),
    proxy: fn(&mut Session, &mut Error),
    page: Page,
    peer: fn() -> Peer,
}

const NONE: Stubborn =
    Stubborn { connect: |_, _| {}, proxy: |_, _| {}, page: |_| None, peer: || Peer::cluster("app") };

impl Proxy for Stubborn {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        let attempt = session.attempts().to_string();
        session.request_mut().fields.set(b"x-attempt", attempt.as_bytes())?;
        Ok((self.peer)())
    }

    async fn fail_to_connect(&self, session: &mut Session, error: &mut Error, (): &mut ()) {
        (self.connect)(session, error);
    }

    async fn error_while_proxy(&self, session: &mut Session, error: &mut Error, (): &mut ()) {
        (self.proxy)(session, error);
    }

    async fn fail_to_proxy(&self, _: &mut Session, error: &Error, (): &mut ()) -> Option<Response> {
        (self.page)(error)
    }
}

fn stubborn(hooks: Stubborn, run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(move || hooks);
        run(w);
    });
}

/// Always once more.
fn again(_: &mut Session, error: &mut Error) {
    error.set_retry(true);
}

#[test]
fn attempts_end_whatever_a_hook_allows() {
    let all = [
        Stubborn { connect: again, ..NONE },
        Stubborn { peer: || Peer::cluster("app").retries(1000), ..NONE },
    ];
    for hooks in all {
        stubborn(hooks, |w| {
            w.origin().is_down();
            w.client().get("/").expect_status(502);
            w.last_record().expect("attempts", "16").expect("outcome", "connect_failed");
        });
    }
}

#[test]
fn a_hook_may_forbid_another_attempt() {
    let hooks = Stubborn { connect: |_, error| error.set_retry(false), ..NONE };
    stubborn(hooks, |w| {
        w.settings(|s| s.clusters[0].retries_max = 3);
        w.origin().is_down();
        w.client().get("/").expect_status(502);
        w.last_record().expect("attempts", "1");
    });
}

#[test]
fn each_attempt_is_made_of_the_request_as_it_is_then() {
    stubborn(Stubborn { proxy: again, ..NONE }, |w| {
        w.origin().on("POST /").times(2).close();
        w.origin().on("POST /").reply(OK);
        let c = w.client();
        c.post("/", "hello").expect_ok("abc");
        for attempt in 0..3 {
            let request = w.origin().request(attempt);
            request.expect_body("hello").expect_header("x-attempt", &attempt.to_string());
        }
        w.last_record().expect("attempts", "3").expect("outcome", "complete");
    });
}

#[test]
fn content_that_is_not_kept_is_not_sent_again_whatever_a_hook_says() {
    stubborn(Stubborn { proxy: again, ..NONE }, |w| {
        w.settings(|s| s.limits.replay_bytes = 4);
        w.origin().on("POST /").close();
        w.client().post("/", "hello").expect_status(502);
        w.origin().expect_requests(1);
        w.expect_outcomes(&["upstream_closed"]);
    });
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    stubborn(Stubborn { proxy: again, ..NONE }, |w| {
        w.origin().on("GET /cut").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").close();
        w.origin().on("GET /hint").reply("HTTP/1.1 103 Early Hints\r\n\r\n").close();
        w.client().get("/cut").expect_status(200).expect_body("abc").expect_aborted();
        w.client().get("/hint").expect_status(103).expect_status(502);
        w.origin().expect_requests(2);
    });
}

#[test]
fn what_a_hook_makes_of_a_failure_is_how_it_ends() {
    let hooks = Stubborn {
        connect: |_, error| *error = Error::refused(429).context("too much"),
        proxy: |_, error| *error = Error::new(Outcome::TooLarge),
        page: |error| Some(Response::new(error.status()).body(format!("{error}"))),
        ..NONE
    };
    stubborn(hooks, |w| {
        w.origin().is_down();
        let c = w.client();
        c.get("/").expect_status(429).expect_body("refused: too much");
        w.origin().is_up();
        w.origin().on("*").close();
        c.get("/").expect_status(413).expect_body("too_large").expect_kept_alive();
        w.expect_outcomes(&["refused", "too_large"]);
    });
}

#[test]
fn an_error_page_of_ones_own_is_sent_and_one_that_cannot_be_is_not() {
    const PAGES: [(Page, u16, &str); 2] = [
        (|error| Some(Response::new(503).header("x-why", error.to_string()).body("sorry")), 503, "sorry"),
        (|_| Some(Response::new(503).header("a", "b\r\nc: d")), 502, "502 Bad Gateway\n"),
    ];
    for (page, status, body) in PAGES {
        stubborn(Stubborn { page, ..NONE }, |w| {
            w.origin().on("*").close();
            let c = w.client();
            c.get("/").expect_status(status).expect_body(body).expect_kept_alive();
            w.last_record().expect("outcome", "upstream_closed").expect("status", &status.to_string());
        });
    }
}

/// Does not take a 503.
#[derive(Clone, Copy)]
struct Picky {
    proxy: fn(&mut Session, &mut Error),
}

impl Proxy for Picky {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHead,
        (): &mut (),
    ) -> Result<()> {
        if session.request().path() == b"/later" {
            rt::sleep(Duration::from_millis(10)).await;
        }
        match upstream_response.status.0 {
            503 => Err(Error::new(Outcome::UpstreamRejected).with_status(503).with_retry(true)),
            500 => Err(Error::new(Outcome::UpstreamRejected)),
            _ => Ok(()),
        }
    }

    async fn error_while_proxy(&self, session: &mut Session, error: &mut Error, (): &mut ()) {
        (self.proxy)(session, error);
    }
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

fn picky(run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(|| Picky { proxy: |_, error| assert!(error.retry().is_some()) });
        w.origins(2);
        w.origin_at(0).on("POST /early").early().reply(BUSY);
        w.origin_at(0).on("*").reply(BUSY);
        w.origin_at(1).on("*").reply(OK);
        run(w);
    });
}

#[test]
fn an_answer_that_a_hook_rejects_is_asked_for_elsewhere() {
    picky(|w| {
        let c = w.client();
        c.get("/").expect_ok("abc");
        w.last_record().expect("attempts", "2").expect("outcome", "complete").expect("status", "200");
        w.last_record().expect("endpoint", &w.origin_at(1).address());
        (0..2).for_each(|_| _ = c.get("/later").expect_ok("abc"));
        c.expect_kept_alive();
        // What is left of the rejected answer is nobody's.
        w.origin_at(0).expect_ended(0).expect_requests(2);
        w.origin_at(1).expect_connections(1).expect_requests(3);
        w.expect_counter("retries", 2);
    });
}

#[test]
fn the_content_of_a_request_whose_answer_is_rejected_is_sent_again() {
    picky(|w| {
        let c = w.client();
        c.post("/later", "hello").expect_ok("abc");
        c.post_chunks("/", &["some", "more"]).expect_ok("abc").expect_kept_alive();
        w.origin_at(1).request(0).expect_body("hello");
        w.origin_at(1).request(1).expect_body("somemore");
    });
}

#[test]
fn an_answer_in_front_of_the_whole_request_may_be_rejected() {
    picky(|w| {
        let c = w.client();
        c.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        w.after("100ms");
        c.send("def").expect_ok("abc").expect_kept_alive();
        w.origin_at(1).last().expect_body("abcdef");
    });
}

#[test]
fn a_rejected_answer_that_cannot_be_asked_for_again_is_the_failure() {
    picky(|w| {
        w.settings(|s| s.limits.replay_bytes = 4);
        let c = w.client();
        c.post("/", "hello").expect_status(503).expect_body("503 Service Unavailable\n").expect_kept_alive();
        w.origin_at(1).expect_requests(0);
        w.last_record().expect("attempts", "1").expect("outcome", "upstream_rejected");
    });
}

#[test]
fn rejections_end_whatever_a_hook_says() {
    scenario(|w| {
        w.proxy(|| Picky { proxy: again });
        w.origins(1);
        w.origin().on("*").reply(BUSY);
        w.client().get("/").expect_status(503).expect_body("503 Service Unavailable\n").expect_kept_alive();
        w.last_record().expect("attempts", "16").expect("outcome", "upstream_rejected");
    });
}

#[test]
fn a_hook_may_forbid_another_attempt_behind_a_rejected_answer() {
    scenario(|w| {
        w.proxy(|| Picky { proxy: |_, error| error.set_retry(false) });
        w.origin().on("*").reply(BUSY);
        w.client().get("/").expect_status(503).expect_body("503 Service Unavailable\n").expect_kept_alive();
        w.last_record().expect("attempts", "1").expect("outcome", "upstream_rejected");
    });
}

#[test]
fn an_answer_that_is_rejected_without_another_attempt_ends_it() {
    scenario(|w| {
        w.proxy(|| Picky { proxy: |_, _| unreachable!("nobody asked for another attempt") });
        w.origin().on("*").reply("HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\n");
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.last_record().expect("attempts", "1").expect("outcome", "upstream_rejected");
    });
}
