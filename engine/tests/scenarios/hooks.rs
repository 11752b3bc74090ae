//! A proxy of somebody's own: which hook runs when, and what it may do.

use ringway_engine::error::{Error, Result};
use ringway_engine::phase::{Connected, Content, Flow, Peer, Proxy, Response, Session};
use ringway_engine::rt;
use ringway_proto::message::{Fields, RequestHead, ResponseHead};
use ringway_testing::scenario;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What happened, in order.
struct Diary {
    notes: Notes,
    noted: Receiver<String>,
}

/// Where it is written.
type Notes = Sender<String>;

impl Diary {
    fn new() -> Self {
        let (notes, noted) = channel();
        Self { notes, noted }
    }

    /// What was noted since this was last asked. Into how many pieces content falls is the network's choice.
    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        let mut noted: Vec<String> = self.noted.try_iter().collect();
        noted.dedup();
        assert_eq!(noted, expected);
    }
}

/// Notes every hook. What it does besides is asked for by the request's target: `/HOOK/DEED`.
struct Noted {
    diary: Notes,
}

impl Noted {
    fn note(&self, what: impl Into<String>) {
        // A shard may outlive the script.
        let _ = self.diary.send(what.into());
    }

    async fn visit(&self, hook: &str, session: &Session) -> Result<()> {
        self.note(hook);
        self.obey(hook, session).await
    }

    async fn obey(&self, hook: &str, session: &Session) -> Result<()> {
        let target = String::from_utf8_lossy(session.request().received_target()).into_owned();
        let deed = target.strip_prefix('/').and_then(|target| target.strip_prefix(hook));
        match deed.and_then(|deed| deed.strip_prefix('/')) {
            Some("fail") => Err(Error::failed("as asked")),
            Some("refuse") => Err(Error::refused(418)),
            Some("panic") => panic!("as asked"),
            Some("wait") => {
                rt::sleep(Duration::from_millis(10)).await;
                self.note("waited");
                Ok(())
            }
            Some("hang") => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

impl Proxy for Noted {
    type Ctx = u32;

    fn new_ctx(&self) -> u32 {
        0
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut u32) -> Result<()> {
        assert_eq!(*ctx, 0, "a context is new");
        *ctx = 1;
        self.visit("early_request", session).await
    }

    async fn request_filter(&self, session: &mut Session, _: &mut u32) -> Result<Flow> {
        self.visit("request", session).await?;
        Ok(match session.request().path() {
            b"/request/respond" => Response::new(200).header("x-by", "hook").body("hello").into(),
            _ => Flow::Continue,
        })
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut u32) -> Result<Peer> {
        self.visit("select", session).await?;
        Ok(Peer::cluster("app"))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        connected: &Connected,
        _: &mut u32,
    ) -> Result<()> {
        assert_eq!(session.endpoint(), Some(&*connected.endpoint));
        self.visit("connected", session).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHead,
        _: &mut u32,
    ) -> Result<()> {
        upstream_request.fields.append(b"x-hop", b"1")?;
        self.visit("upstream_request", session).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        _: &mut u32,
    ) -> Result<()> {
        let hook = if content.is_end() { "request_data end" } else { "request_data" };
        self.visit(hook, session).await
    }

    async fn request_trailer_filter(&self, session: &mut Session, _: &mut Fields, _: &mut u32) -> Result<()> {
        self.visit("request_trailers", session).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        _: &mut ResponseHead,
        _: &mut u32,
    ) -> Result<()> {
        self.visit("upstream_response", session).await
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        _: &mut u32,
    ) -> Result<()> {
        response.fields.set(b"x-seen", b"yes")?;
        self.visit("response", session).await
    }

    async fn response_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        _: &mut u32,
    ) -> Result<()> {
        let hook = if content.is_end() { "response_data end" } else { "response_data" };
        self.visit(hook, session).await
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        _: &mut Fields,
        _: &mut u32,
    ) -> Result<()> {
        self.visit("response_trailers", session).await
    }

    async fn fail_to_connect(&self, session: &mut Session, _: &mut Error, _: &mut u32) {
        let _ = self.visit("connect_failed", session).await;
    }

    async fn error_while_proxy(&self, session: &mut Session, _: &mut Error, _: &mut u32) {
        let _ = self.visit("retry", session).await;
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _: &mut u32) -> Option<Response> {
        self.note(format!("failed {error}"));
        let _ = self.obey("failed", session).await;
        None
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut u32) {
        assert_eq!(*ctx, 1, "the context is kept");
        self.note(match error {
            Some(error) => format!("finished {}", error.outcome()),
            None => "finished".to_owned(),
        });
        let _ = self.obey("finished", session).await;
    }
}

/// A world with that proxy.
fn noted(run: impl Fn(&ringway_testing::World, &Diary)) {
    scenario(|w| {
        let diary = Diary::new();
        let noted = diary.notes.clone();
        w.proxy(move || Noted { diary: noted.clone() });
        run(w, &diary);
    });
}

const GET: &[&str] = &[
    "early_request",
    "request",
    "select",
    "connected",
    "upstream_request",
    "request_data end",
    "upstream_response",
    "response",
    "response_data",
    "response_data end",
    "finished",
];

#[test]
fn hooks_run_in_order_and_logging_is_the_last() {
    noted(|w, diary| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        let c = w.client();
        c.get("/").expect_status(200).expect_body("abc").expect_header("x-seen", "yes");
        w.settle();
        diary.expect(GET);
    });
}

#[test]
fn a_hook_that_waits_parks_its_exchange_and_goes_on() {
    for hook in ["early_request", "request", "select", "connected", "upstream_request", "upstream_response"] {
        noted(|w, diary| {
            w.origin()
                .on(&format!("GET /{hook}/wait"))
                .reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
            let c = w.client();
            c.get(&format!("/{hook}/wait")).expect_status(200).expect_body("abc");
            w.settle();
            let mut expected = GET.to_vec();
            let at = expected.iter().position(|other| *other == hook).unwrap();
            expected.insert(at + 1, "waited");
            diary.expect(&expected);
        });
    }
}

#[test]
fn a_hook_may_answer_by_itself() {
    noted(|w, diary| {
        let c = w.client();
        c.get("/request/respond").expect_status(200).expect_body("hello").expect_header("x-by", "hook");
        c.expect_header("x-seen", "yes").expect_header("Content-Length", "5");
        c.get("/request/respond").expect_status(200);
        w.settle();
        let once = ["early_request", "request", "response", "response_data end", "finished"];
        diary.expect(&[once, once].concat());
        w.expect_outcomes(&["answered", "answered"]);
    });
}

/// Counts what is under way in its context.
struct Counted(ringway_engine::meter::SharedInflight);

impl Proxy for Counted {
    type Ctx = ringway_engine::meter::SharedGuard;

    fn new_ctx(&self) -> Self::Ctx {
        self.0.begin("exchange")
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::Ctx) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_context_ends_with_its_exchange() {
    scenario(|w| {
        let inflight = ringway_engine::meter::SharedInflight::new();
        let counted = inflight.clone();
        w.proxy(move || Counted(counted.clone()));
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        w.origin().on("GET /silent").hang();
        let (c, waiting) = (w.client(), w.client());
        waiting.get("/silent");
        w.settle();
        assert_eq!(inflight.count("exchange"), 1);
        c.get("/").expect_status(200).expect_body("abc");
        w.settle();
        assert_eq!(inflight.count("exchange"), 1, "the other one is over, and the connection stays");
        waiting.close();
        w.settle();
        assert_eq!(inflight.count("exchange"), 0);
    });
}
