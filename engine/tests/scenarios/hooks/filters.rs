//! Filters in front of a proxy and behind it.

use super::*;
use ringway_engine::phase::{Attachable, Filter};
use ringway_engine::service::Service;

/// Notes its name in front of the hook's.
struct Named {
    name: &'static str,
    diary: Notes,
    /// Joins in, in the hook of this name.
    attaches: Option<(&'static str, Attachable)>,
}

impl Named {
    fn note(&self, hook: &str, session: &mut Session) {
        let _ = self.diary.send(format!("{} {hook}", self.name));
        if let Some((_, filter)) = self.attaches.as_ref().filter(|(when, _)| *when == hook) {
            session.attach(filter);
        }
    }
}

impl Filter for Named {
    type Ctx = Vec<&'static str>;

    fn new_ctx(&self) -> Self::Ctx {
        Vec::new()
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> Result<()> {
        assert!(ctx.is_empty(), "a context is new");
        ctx.push(self.name);
        self.note("early_request", session);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> Result<Flow> {
        ctx.push(self.name);
        self.note("request", session);
        Ok(match session.request().path() {
            path if path.strip_prefix(b"/") == Some(self.name.as_bytes()) => {
                Response::new(200).body(self.name).into()
            }
            _ => Flow::Continue,
        })
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        _: &mut ResponseHead,
        _: &mut Self::Ctx,
    ) -> Result<()> {
        self.note("upstream_response", session);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        _: &mut Self::Ctx,
    ) -> Result<()> {
        response.fields.append(b"x-by", self.name.as_bytes())?;
        self.note("response", session);
        Ok(())
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Self::Ctx) {
        assert!(ctx.iter().all(|name| *name == self.name), "a context is one's own");
        self.note("finished", session);
    }
}

/// Chooses the origin, and nothing else.
struct Plain;

impl Proxy for Plain {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

/// A world with a filter `a` in front and `b` behind, and perhaps one `c` that `a` brings along.
fn filtered(attaches: Option<&'static str>, run: impl Fn(&World, &Diary)) {
    scenario(|w| {
        let diary = Diary::new();
        let named = |name: &'static str, attaches: Option<&'static str>| {
            let notes = diary.notes.clone();
            move || {
                let joining = Named { name: "c", diary: notes.clone(), attaches: None };
                let attaches = attaches.map(|when| (when, Attachable::new(joining)));
                Named { name, diary: notes.clone(), attaches }
            }
        };
        w.service(Service::proxy(|| Plain).in_front(named("a", attaches)).behind(named("b", None)));
        w.origin().on("*").reply(OK);
        run(w, &diary);
    });
}

#[test]
fn requests_meet_filters_in_order_and_responses_the_other_way_round() {
    filtered(None, |w, diary| {
        let c = w.client();
        for _ in 0..2 {
            c.get("/").expect_ok("abc").expect_headers("x-by", &["b", "a"]);
            w.settle();
            diary.expect(&[
                "a early_request",
                "b early_request",
                "a request",
                "b request",
                "b upstream_response",
                "a upstream_response",
                "b response",
                "a response",
                "a finished",
                "b finished",
            ]);
        }
    });
}

#[test]
fn a_filter_that_answers_spares_whoever_is_behind_it_the_request() {
    filtered(None, |w, diary| {
        let c = w.client();
        c.get("/a").expect_ok("a").expect_headers("x-by", &["b", "a"]).expect_kept_alive();
        w.settle();
        let first = ["a early_request", "b early_request", "a request"];
        let last = ["b response", "a response", "a finished", "b finished"];
        diary.expect(&[&first[..], &last].concat());
        w.origin().expect_requests(0);
        w.expect_outcomes(&["answered"]);
    });
}

#[test]
fn who_is_attached_takes_part_from_the_next_phase_on() {
    filtered(Some("early_request"), |w, diary| {
        let c = w.client();
        for _ in 0..2 {
            c.get("/").expect_ok("abc").expect_headers("x-by", &["c", "b", "a"]);
            w.settle();
            diary.expect(&[
                "a early_request",
                "b early_request",
                "a request",
                "b request",
                "c request",
                "c upstream_response",
                "b upstream_response",
                "a upstream_response",
                "c response",
                "b response",
                "a response",
                "a finished",
                "b finished",
                "c finished",
            ]);
        }
    });
    filtered(Some("request"), |w, diary| {
        w.client().get("/c").expect_ok("abc").expect_headers("x-by", &["c", "b", "a"]);
        w.settle();
        assert!(!diary.read().iter().any(|noted| noted == "c request"));
    });
}

#[test]
fn nobody_sees_a_response_twice_because_somebody_joins() {
    filtered(Some("upstream_response"), |w, diary| {
        w.client().get("/").expect_ok("abc").expect_headers("x-by", &["c", "b", "a"]);
        w.settle();
        let noted = diary.read();
        for hook in ["a upstream_response", "b upstream_response"] {
            assert_eq!(noted.iter().filter(|noted| *noted == hook).count(), 1, "{noted:?}");
        }
    });
    filtered(Some("response"), |w, diary| {
        w.client().get("/").expect_ok("abc").expect_headers("x-by", &["b", "a"]);
        w.settle();
        let noted = diary.read();
        assert_eq!(noted.last().map(String::as_str), Some("c finished"), "{noted:?}");
    });
}

/// Has everything in capitals, and says so where there was nothing.
struct Shouting;

impl Shouting {
    fn shout(content: &mut Content) {
        let mut shouted = content.to_vec().to_ascii_uppercase();
        if content.is_end() {
            shouted.push(b'!');
        }
        content.set(shouted);
    }
}

impl Filter for Shouting {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_body_filter(&self, _: &mut Session, content: &mut Content, (): &mut ()) -> Result<()> {
        Self::shout(content);
        Ok(())
    }

    async fn response_body_filter(&self, _: &mut Session, content: &mut Content, (): &mut ()) -> Result<()> {
        Self::shout(content);
        Ok(())
    }
}

/// Has that filter join in the hook that the path names.
struct Joining(Attachable);

impl Joining {
    fn visit(&self, hook: &str, session: &mut Session) {
        if session.request().path().strip_prefix(b"/") == Some(hook.as_bytes()) {
            session.attach(&self.0);
        }
    }
}

impl Proxy for Joining {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        self.visit("early_request", session);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        self.visit("request", session);
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        self.visit("select", session);
        Ok(Peer::cluster("app"))
    }

    async fn connected_to_upstream(&self, session: &mut Session, _: &Connected, (): &mut ()) -> Result<()> {
        self.visit("connected", session);
        if session.attempts() == 2 {
            self.visit("connected_again", session);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        _: &mut RequestHead,
        (): &mut (),
    ) -> Result<()> {
        self.visit("upstream_request", session);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        _: &mut ResponseHead,
        (): &mut (),
    ) -> Result<()> {
        self.visit("upstream_response", session);
        Ok(())
    }

    async fn response_filter(&self, session: &mut Session, _: &mut ResponseHead, (): &mut ()) -> Result<()> {
        self.visit("response", session);
        Ok(())
    }

    async fn error_while_proxy(&self, _: &mut Session, error: &mut Error, (): &mut ()) {
        error.set_retry(true);
    }
}

fn joining(run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(|| Joining(Attachable::new(Shouting)));
        run(w);
    });
}

#[test]
fn who_joins_before_a_head_is_sent_sees_its_content() {
    for hook in ["early_request", "request", "select", "connected", "upstream_request"] {
        joining(|w| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            let target = format!("/{hook}");
            c.post(&target, "hello").expect_ok("ABC!").post_chunks(&target, &["a", "b"]).expect_ok("ABC!");
            c.get(&target).expect_ok("ABC!").post("/", "hello").expect_ok("abc").expect_kept_alive();
            w.origin().request(0).expect_body("HELLO!").expect_no_header("Content-Length");
            w.origin().request(1).expect_body("AB!");
            // Of nothing nothing is made.
            w.origin().request(2).expect_body("").expect_no_header("Transfer-Encoding");
            w.origin().request(3).expect_body("hello");
        });
    }
    for hook in ["upstream_response", "response"] {
        joining(|w| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.post(&format!("/{hook}"), "hello").expect_ok("ABC!").post("/", "hello").expect_ok("abc");
            w.origin().request(0).expect_body("hello").expect_header("Content-Length", "5");
        });
    }
}

#[test]
fn who_joins_when_content_was_sent_sees_none_of_it() {
    joining(|w| {
        w.origin().on("PUT /connected_again").times(1).close();
        w.origin().on("PUT /connected_again").reply(OK);
        let c = w.client();
        c.request("PUT", "/connected_again", "Content-Length: 5\r\n", "hello").expect_ok("ABC!");
        w.origin().request(1).expect_body("hello").expect_header("Content-Length", "5");
    });
}
