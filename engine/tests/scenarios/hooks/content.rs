//! What hooks do to content, in both directions.

use super::*;
use ringway_engine::io::sim::Conditions;
use ringway_engine::phase::ContentUse;

/// Does this to content that passes.
#[derive(Clone, Copy)]
struct Edits {
    request: fn(&mut Content, &mut Vec<u8>),
    response: fn(&mut Content, &mut Vec<u8>),
    request_use: ContentUse,
    response_use: ContentUse,
    wait: Duration,
}

/// Nothing.
const NONE: Edits = Edits {
    request: |_, _| {},
    response: |_, _| {},
    request_use: ContentUse::Rewrite,
    response_use: ContentUse::Rewrite,
    wait: Duration::ZERO,
};

impl Proxy for Edits {
    type Ctx = [Vec<u8>; 2];

    fn new_ctx(&self) -> Self::Ctx {
        Self::Ctx::default()
    }

    async fn request_filter(&self, session: &mut Session, _: &mut Self::Ctx) -> Result<Flow> {
        session.set_request_content(self.request_use);
        session.set_response_content(self.response_use);
        Ok(match session.request().path() {
            b"/respond" => Response::new(200).body("hello").into(),
            _ => Flow::Continue,
        })
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Self::Ctx) -> Result<Peer> {
        if session.attempts() > 0 {
            // Too late: what was sent was sent otherwise.
            session.set_request_content(ContentUse::Observe);
        }
        Ok(Peer::cluster("app").retries(1))
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        ctx: &mut Self::Ctx,
    ) -> Result<()> {
        if !self.wait.is_zero() {
            rt::sleep(self.wait).await;
        }
        (self.request)(content, &mut ctx[0]);
        Ok(())
    }

    async fn response_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        ctx: &mut Self::Ctx,
    ) -> Result<()> {
        // Too late: the head is sent.
        session.set_response_content(ContentUse::Skip);
        if !self.wait.is_zero() {
            rt::sleep(self.wait).await;
        }
        (self.response)(content, &mut ctx[1]);
        Ok(())
    }

    async fn error_while_proxy(&self, _: &mut Session, error: &mut Error, _: &mut Self::Ctx) {
        error.set_retry(true);
    }
}

/// A world with these edits.
fn edited(edits: Edits, run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(move || edits);
        run(w);
    });
}

/// Keeps everything until the end, and then sends it between brackets.
fn bracket(content: &mut Content, held: &mut Vec<u8>) {
    held.extend_from_slice(&content.take());
    if content.is_end() {
        content.set([b"<", &held[..], b">"].concat());
    }
}

#[test]
fn content_may_be_held_back_and_grow() {
    edited(Edits { request: bracket, response: bracket, ..NONE }, |w| {
        w.origin()
            .on("POST /")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            .wait("20ms")
            .reply("cd");
        let c = w.client();
        c.post("/", "hello").expect_ok("<abcd>").expect_no_header("Content-Length");
        c.post_chunks("/", &["he", "l", "lo"]).expect_ok("<abcd>").expect_kept_alive();
        w.origin().request(0).expect_body("<hello>").expect_no_header("Content-Length");
        w.origin().request(1).expect_body("<hello>").expect_connection(0);
        c.get("/respond").expect_ok("<hello>").expect_header("Content-Length", "7");
        w.last_record().expect("sent", "7");
    });
}

#[test]
fn content_may_be_taken_away() {
    edited(
        Edits { request: |content, _| content.clear(), response: |content, _| content.clear(), ..NONE },
        |w| {
            w.origin().on("POST /").reply(OK);
            let c = w.client();
            c.post("/", "hello").expect_ok("").post("/", "hello").expect_ok("").expect_kept_alive();
            w.origin().last().expect_body("").expect_connection(0);
            c.get("/respond").expect_ok("").expect_header("Content-Length", "0");
        },
    );
}

#[test]
fn content_may_shrink_and_be_joined_to() {
    let edits = Edits {
        response: |content, _| {
            content.append("!");
            content.prepend("?");
        },
        request: |content, _| {
            let len = content.len();
            content.keep(0..len.min(1));
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("POST /").reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 1\r\n", "h").expect_ok("?!");
        w.origin().last().expect_body("h");
        // Old clients know no chunks.
        c.asks("GET").send("GET / HTTP/1.0\r\n\r\n").expect_ok("?!").expect_closed();
    });
}

/// A response of a known length, which is nothing.
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn nothing_is_as_long_as_what_hooks_make_of_it() {
    for wait in [Duration::ZERO, Duration::from_millis(5)] {
        edited(Edits { wait, ..NONE }, |w| {
            w.origin().on("*").reply(EMPTY);
            let c = w.client();
            c.get("/")
                .expect_ok("")
                .expect_header("Content-Length", "0")
                .expect_no_header("Transfer-Encoding");
            c.post("/", "hello").expect_ok("").expect_header("Content-Length", "0").expect_kept_alive();
            c.head("/").expect_ok("").expect_kept_alive();
        });
        edited(Edits { response: bracket, wait, ..NONE }, |w| {
            w.origin().on("*").reply(EMPTY);
            let c = w.client();
            c.get("/")
                .expect_ok("<>")
                .expect_header("Content-Length", "2")
                .expect_no_header("Transfer-Encoding");
            c.head("/").expect_ok("").get("/").expect_ok("<>").expect_kept_alive();
            w.last_record().expect("sent", "2");
        });
    }
    let edits = Edits {
        response: |content, made| {
            content.set("more,");
            made.push(0);
            if made.len() < 3 {
                content.call_again();
            }
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(EMPTY);
        let c = w.client();
        c.get("/").expect_ok("more,more,more,").expect_no_header("Content-Length").expect_kept_alive();
    });
}

#[test]
fn a_hook_that_fails_with_nothing_sent_is_answered_for() {
    noted(|w, diary| {
        w.bear_panics();
        w.settings(|s| s.limits.hook_timeout = Duration::from_millis(50));
        for (deed, status) in [("fail", 500), ("refuse", 418), ("panic", 500), ("hang", 504)] {
            w.origin().on(&format!("GET /response_end/{deed}")).reply(EMPTY);
            w.client().get(&format!("/response_end/{deed}")).expect_status(status);
            assert!(diary.read().iter().any(|noted| noted == "response_data end"));
        }
    });
}

#[test]
fn what_is_only_looked_at_stays_as_it_is() {
    let change: fn(&mut Content, &mut Vec<u8>) = |content, seen| {
        seen.extend_from_slice(&content.take());
        content.set("other");
    };
    let edits = Edits {
        request: change,
        response: change,
        request_use: ContentUse::Observe,
        response_use: ContentUse::Observe,
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("POST /").reply(OK);
        w.origin().on("GET /").reply("HTTP/1.1 204 No Content\r\n\r\n");
        let c = w.client();
        c.post("/", "hello").expect_ok("abc").expect_header("Content-Length", "3");
        w.origin().last().expect_body("hello").expect_header("Content-Length", "5");
        c.get("/").expect_status(204).expect_body("");
        c.get("/respond").expect_ok("hello").expect_header("Content-Length", "5").expect_kept_alive();
    });
}

#[test]
fn what_is_looked_at_when_the_client_leaves_is_held_by_nobody() {
    let edits = Edits {
        response_use: ContentUse::Observe,
        request_use: ContentUse::Skip,
        wait: Duration::from_secs(20),
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.get("/").expect_status(200);
        w.settle();
        c.close();
        w.settle();
        w.expect_empty();
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
fn what_is_skipped_is_not_shown() {
    let edits = Edits {
        request: |_, _| panic!("not to be called"),
        response: |_, _| panic!("not to be called"),
        request_use: ContentUse::Skip,
        response_use: ContentUse::Skip,
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("POST /").reply(OK);
        let c = w.client();
        c.post("/", "hello").expect_ok("abc").expect_header("Content-Length", "3");
        c.get("/respond").expect_ok("hello").expect_kept_alive();
    });
}

#[test]
fn a_request_whose_content_was_changed_is_sent_again_as_it_was_sent() {
    edited(Edits { request: bracket, ..NONE }, |w| {
        w.origin().on("PUT /").times(1).close();
        w.origin().on("PUT /").reply(OK);
        let c = w.client();
        c.request("PUT", "/", "Content-Length: 5\r\n", "hello").expect_ok("abc");
        w.origin().request(0).expect_body("<hello>");
        w.origin().request(1).expect_body("<hello>").expect_no_header("Content-Length");
        w.last_record().expect("attempts", "2").expect("outcome", "complete");
    });
}

#[test]
fn a_range_that_is_not_there_is_a_panic_of_the_hook() {
    edited(Edits { request: |content, _| content.keep(3..10_000_000), ..NONE }, |w| {
        w.bear_panics();
        w.origin().on("*").reply(OK);
        w.client().post("/", "hello").expect_status(500).expect_closed();
        w.expect_outcomes(&["panicked"]);
    });
}

#[test]
fn nobody_is_late_while_a_hook_of_content_waits() {
    let edits = Edits {
        request: bracket,
        response: bracket,
        request_use: ContentUse::Observe,
        wait: Duration::from_secs(2),
        ..NONE
    };
    ringway_testing::simulated_calm(|w| {
        w.proxy(move || edits);
        w.settings(|s| {
            s.clusters[0].timeouts.first_byte = Duration::from_secs(1);
            s.clusters[0].timeouts.between_bytes = Duration::from_secs(1);
            s.limits.body_idle = Duration::from_secs(1);
        });
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab";
        w.origin()
            .on("POST /")
            .wait("900ms")
            .reply(head)
            .wait("900ms")
            .reply("cd")
            .wait("2900ms")
            .reply("ef");
        let c = w.client();
        c.request("POST", "/", "Content-Length: 4\r\n", "he");
        w.after("2900ms");
        c.send("ll").expect_ok("<abcdef>");
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn content_that_waits_for_hooks_and_slow_readers_is_bounded() {
    let edits = Edits { wait: Duration::from_millis(1), ..NONE };
    let big = "x".repeat(2 * 1024 * 1024);
    for conditions in [Conditions::calm(), Conditions::rough()] {
        ringway_testing::simulated_calm(|w| {
            w.proxy(move || edits);
            w.conditions(|c| *c = conditions.clone());
            w.origin().on("GET /").ok(&big);
            w.origin().on("POST /").early().stop_reading().wait("10s").resume_reading().read_all().ok(&big);
            let c = w.client();
            c.get("/").stop_reading();
            w.after("20s");
            assert!(w.held_bytes() < 512 * 1024, "{}", w.held_bytes());
            c.resume_reading().expect_ok(&big);
            c.post("/", &big);
            w.after("5s");
            assert!(w.held_bytes() < 512 * 1024, "{}", w.held_bytes());
            c.expect_ok(&big).expect_kept_alive();
            w.origin().last().expect_body(&big);
        });
    }
}
