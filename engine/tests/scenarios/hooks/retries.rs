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
