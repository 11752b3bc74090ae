//! Hooks that go wrong: each is one outcome, one line in the log, and nobody else's trouble.

use super::*;
use ringway_engine::phase::Filter;
use ringway_engine::service::Service;
use std::cell::Cell;

/// Somebody in the middle of a response, who is to get the rest of it.
fn bystander(w: &World) -> ringway_testing::Client {
    w.bear_panics();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    w.origin().on("GET /bystander").reply(head).wait("200ms").reply("world");
    w.origin().on("*").reply(STREAMED);
    let c = w.client();
    c.get("/bystander").expect_status(200).expect_body_so_far("hello");
    c
}

#[test]
fn a_panic_is_a_500_and_nobody_elses_trouble() {
    for hook in BEFORE_ANSWER.iter().copied().chain(["request_end", "response"]) {
        for deed in ["panic", "panic_later"] {
            noted(|w, diary| {
                let other = bystander(w);
                let c = w.client();
                c.get(&format!("/{hook}/{deed}")).expect_status(500).expect_header("Connection", "close");
                c.expect_body("500 Internal Server Error\n").expect_closed();
                w.client().get("/").expect_ok("abc");
                other.expect_body("helloworld").get("/").expect_ok("abc").expect_kept_alive();
                w.expect_outcomes(&["panicked", "complete", "complete", "complete"]);
                w.expect_counter("panics", 1);
                // Who panicked is asked no more.
                let finished = diary.read();
                let finished = finished.iter().filter(|noted| noted.starts_with("finished")).count();
                assert_eq!(finished, 3);
            });
        }
    }
}

#[test]
fn a_panic_in_the_middle_of_an_answer_cuts_it() {
    for hook in ["response_data", "response_end"] {
        for deed in ["panic", "panic_later"] {
            noted(|w, _| {
                let other = bystander(w);
                let c = w.client();
                c.get(&format!("/{hook}/{deed}"));
                c.expect_over();
                // A reset may destroy what came before it.
                if c.has_response() {
                    c.expect_status(200).expect_aborted();
                }
                other.expect_body("helloworld").get("/").expect_ok("abc");
                w.expect_outcomes(&["panicked", "complete", "complete"]).expect_counter("panics", 1);
            });
        }
    }
}

#[test]
fn a_panic_where_a_failure_is_put_in_words_is_a_500() {
    noted(|w, _| {
        w.bear_panics();
        w.origin().on("*").close();
        let c = w.client();
        c.get("/failed/panic").expect_status(500).expect_body("500 Internal Server Error\n").expect_closed();
        w.expect_outcomes(&["panicked"]).expect_counter("panics", 1);
    });
}

#[test]
fn a_panic_of_the_last_hook_leaves_the_client_its_connection() {
    for deed in ["panic", "panic_later"] {
        noted(|w, _| {
            let other = bystander(w);
            let c = w.client();
            c.get(&format!("/finished/{deed}"))
                .expect_ok("abc")
                .get("/")
                .expect_ok("abc")
                .expect_kept_alive();
            other.expect_body("helloworld");
            w.expect_outcomes(&["complete", "complete", "complete"]).expect_counter("panics", 1);
            w.expect_counter("exchanges_active", 0);
        });
    }
}

#[test]
fn a_panic_while_the_process_stops_stops_it_all_the_same() {
    noted(|w, _| {
        w.bear_panics();
        w.origin().on("*").hang();
        let (a, b, c) = (w.client(), w.client(), w.client());
        a.get("/finished/panic");
        b.get("/finished/panic");
        c.get("/");
        w.origin().expect_requests(3);
        w.stop();
        w.expect_outcomes(&["stopped"; 3]);
        a.expect_over();
        b.expect_over();
        c.expect_over();
    });
}

/// Panics at every chance, also where it is asked what to do about it.
struct Hopeless;

impl Proxy for Hopeless {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        panic!("as ever")
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, (): &mut ()) {
        panic!("as ever")
    }
}

/// A filter whose last hook panics.
struct Untidy;

impl Filter for Untidy {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn logging(&self, _: &mut Session, _: Option<&Error>, (): &mut ()) {
        panic!("as ever")
    }
}

#[test]
fn one_panic_behind_the_other_is_still_one_exchange() {
    scenario(|w| {
        w.bear_panics();
        w.service(Service::proxy(|| Hopeless).in_front(|| Untidy).behind(|| Untidy));
        for _ in 0..3 {
            w.client().get("/").expect_status(500).expect_body("500 Internal Server Error\n").expect_closed();
        }
        w.expect_outcomes(&["panicked"; 3]).expect_counter("panics", 9);
    });
}

#[test]
fn a_panic_of_one_members_last_hook_leaves_the_others_their_line() {
    scenario(|w| {
        w.bear_panics();
        let diary = Diary::new();
        let noted = diary.notes.clone();
        let noted = move || Noted { diary: noted.clone() };
        w.service(Service::proxy(noted).in_front(|| Untidy).behind(|| Untidy));
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/").expect_ok("abc").get("/finished/wait").expect_ok("abc").expect_kept_alive();
        w.after("50ms");
        w.expect_outcomes(&["complete"; 2]).expect_counter("panics", 4);
        let noted = diary.read();
        assert_eq!(noted.iter().filter(|noted| *noted == "finished").count(), 2, "{noted:?}");
    });
}

/// Fails to make its context for every second exchange.
struct Fussy {
    made: Cell<u32>,
}

impl Proxy for Fussy {
    type Ctx = ();

    fn new_ctx(&self) {
        self.made.set(self.made.get() + 1);
        assert!(!self.made.get().is_multiple_of(2), "as ever");
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_context_that_cannot_be_made_is_a_500() {
    scenario(|w| {
        w.bear_panics();
        w.proxy(|| Fussy { made: Cell::new(0) });
        w.origin().on("*").reply(OK);
        let mut failed = 0;
        for _ in 0..6 {
            let c = w.client();
            let status = c.get("/").any_status();
            failed += u64::from(status == 500);
            assert!(matches!(status, 200 | 500));
        }
        assert!(failed > 0, "somebody met it");
        w.expect_counter("panics", failed);
    });
}

#[test]
fn an_error_that_is_nobodys_fault_is_a_failure_of_the_hook() {
    scenario(|w| {
        w.proxy(|| Cheerful);
        let c = w.client();
        c.get("/").expect_status(500).expect_body("500 Internal Server Error\n");
        w.expect_outcomes(&["hook_failed"]);
    });
}

/// Fails with what is no failure.
struct Cheerful;

impl Proxy for Cheerful {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Err(ringway_engine::error::Outcome::Complete.into())
    }
}
