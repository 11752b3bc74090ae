//! A proxy of somebody's own: which hook runs when, what it may do, and what becomes of it when it goes wrong.
//!
//! [`Noted`] writes down every hook and does what a request's target asks of it: `/HOOK/DEED`.

mod connection;
mod content;
mod contexts;
mod downstream;
mod early;
mod faults;
mod filters;
mod heads;
mod order;
mod peers;
mod retries;
mod waiting;

use ringway_engine::error::{Error, Result};
use ringway_engine::phase::{Connected, Content, Flow, Peer, Proxy, Response, Session};
use ringway_engine::rt;
use ringway_proto::message::{Fields, Method, RequestHead, ResponseHead};
use ringway_testing::{World, scenario, simulated};
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

    /// What was noted since this was last asked. Into how many pieces content falls, and whether its end comes with the
    /// last, is the network's choice.
    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        assert_eq!(self.read(), expected);
    }

    fn read(&self) -> Vec<String> {
        let mut noted: Vec<String> = self.noted.try_iter().collect();
        join(&mut noted);
        noted
    }
}

/// Makes one of pieces of content that were shown one behind the other.
fn join(noted: &mut Vec<String>) {
    noted.dedup_by(|next, before| {
        let is_behind = before.ends_with("_data") && next.starts_with(before.as_str());
        if is_behind {
            before.clone_from(next);
        }
        is_behind
    });
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
            Some("panic_later") => {
                rt::sleep(Duration::from_millis(10)).await;
                panic!("as asked")
            }
            Some("wait") => {
                rt::sleep(Duration::from_millis(10)).await;
                self.note("waited");
                Ok(())
            }
            Some("dawdle") => {
                for _ in 0..500 {
                    rt::yield_now().await;
                }
                self.note("waited");
                Ok(())
            }
            Some("hang") => {
                let _dropped = Dropped(self.diary.clone());
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }
}

/// Notes that a hook was dropped where it waits.
struct Dropped(Notes);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped".into());
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
        self.note(if content.is_end() { "request_data end" } else { "request_data" });
        self.obey(if content.is_end() { "request_end" } else { "request_data" }, session).await
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
        self.note(if content.is_end() { "response_data end" } else { "response_data" });
        self.obey(if content.is_end() { "response_end" } else { "response_data" }, session).await
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
        // Who asks for a tunnel to anywhere meets no hook in front of the refusal.
        assert_eq!(*ctx == 0, session.request().method() == Method::Connect, "the context is kept");
        self.note(match error {
            Some(error) => format!("finished {}", error.outcome()),
            None => "finished".to_owned(),
        });
        let _ = self.obey("finished", session).await;
    }
}

/// An answer of three bytes.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

/// An answer whose end comes behind its content.
const STREAMED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

/// A world with that proxy.
fn noted(run: impl Fn(&World, &Diary)) {
    scenario(|w| run(w, &begin(w)));
}

/// As [`noted`], on the simulator alone.
fn noted_simulated(run: impl Fn(&World, &Diary)) {
    simulated(|w| run(w, &begin(w)));
}

fn begin(w: &World) -> Diary {
    let diary = Diary::new();
    let noted = diary.notes.clone();
    w.proxy(move || Noted { diary: noted.clone() });
    diary
}

/// The hooks of an exchange that goes well, from one to the other.
fn stages(from: &str, to: &str) -> Vec<&'static str> {
    let at = |hook: &str| STAGES.iter().position(|other| *other == hook).expect("a stage");
    STAGES[at(from)..=at(to)].to_vec()
}

/// What runs for a GET and its answer with content.
const STAGES: &[&str] = &[
    "early_request",
    "request",
    "select",
    "connected",
    "upstream_request",
    "request_data end",
    "upstream_response",
    "response",
    "response_data end",
    "finished",
];

/// The stages in which no answer has begun, but for that of the answer itself.
const BEFORE_ANSWER: &[&str] =
    &["early_request", "request", "select", "connected", "upstream_request", "upstream_response"];
