//! What goes wrong in calls that hooks make, in content that hooks read, and in messages that apps frame wrongly.

use ringway_engine::app::{HttpApp, Incoming, Responder};
use ringway_engine::client::{Answer, Request};
use ringway_engine::error::{Error, Result};
use ringway_engine::phase::{Flow, Peer, Proxy, Response, Session};
use ringway_engine::rt;
use ringway_engine::service::Service;
use ringway_testing::{World, proxy_address, scenario, simulated};
use std::net::SocketAddr;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Asks the first origin before the second serves, in the way that the path says.
struct Asking {
    check: SocketAddr,
}

impl Asking {
    fn request(&self) -> Request {
        Request::get(&format!("http://{}/check", self.check)).timeout(Duration::from_secs(5))
    }

    async fn whole(mut answer: Answer) -> Result<Vec<u8>> {
        answer.bytes(100).await
    }

    async fn upload(&self, length: Option<u64>, pieces: &[&str], finishes: bool) -> Result<Vec<u8>> {
        let url = format!("http://{}/check", self.check);
        let upload = Request::post(&url).timeout(Duration::from_secs(5)).upload(length).await?;
        for piece in pieces {
            upload.write(*piece).await?;
        }
        if finishes {
            upload.finish();
            // What comes behind the end goes nowhere.
            assert!(upload.write("behind the end").await.is_err());
        }
        Self::whole(rt::timeout(Duration::from_secs(5), upload.answer()).await.map_err(Error::because)??)
            .await
    }
}

impl Proxy for Asking {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let path = session.request().path().to_vec();
        let answered = match &*path {
            b"/ask" => Self::whole(self.request().send().await?).await?,
            b"/tell" => match self.request().send().await {
                Ok(answer) => match Self::whole(answer).await {
                    Ok(body) => body,
                    Err(error) => format!("broken {}", error.outcome()).into(),
                },
                Err(error) => format!("failed {}", error.outcome()).into(),
            },
            b"/stall" => {
                let mut answer = self.request().send().await?;
                answer.chunk().await?;
                std::future::pending::<Vec<u8>>().await
            }
            b"/panic" => {
                let mut answer = self.request().send().await?;
                answer.chunk().await?;
                panic!("as asked")
            }
            b"/both" => {
                let (one, two) = (self.request().send(), self.request().send());
                let (one, two) = (Self::whole(one.await?).await?, Self::whole(two.await?).await?);
                [one, two].concat()
            }
            b"/around" => {
                let url = format!("http://{}/tell", proxy_address());
                Self::whole(Request::get(&url).send().await?).await?
            }
            b"/for-ever" => {
                let url = format!("http://{}/for-ever", proxy_address());
                Self::whole(Request::get(&url).timeout(Duration::from_secs(1)).send().await?).await?
            }
            b"/upload-short" => told(self.upload(Some(5), &["ab"], true).await),
            b"/upload-long" => told(self.upload(Some(3), &["ab", "cd"], true).await),
            b"/upload-cut" => told(self.upload(None, &["ab"], false).await),
            b"/upload" => told(self.upload(Some(4), &["ab", "cd"], true).await),
            _ => return Ok(Flow::Continue),
        };
        Ok(Response::new(200).body(answered).into())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

fn told(result: Result<Vec<u8>>) -> Vec<u8> {
    result.unwrap_or_else(|error| format!("failed {}", error.outcome()).into())
}

fn asking(w: &World) {
    w.origins(2);
    let check: SocketAddr = w.origin().address().parse().unwrap();
    w.settings(|s| _ = s.clusters[0].endpoints.remove(0));
    w.proxy(move || Asking { check });
    w.origin_at(1).on("*").reply(OK);
}

#[test]
fn what_breaks_in_a_call_is_told_to_the_hook_and_poisons_nothing() {
    scenario(|w| {
        asking(w);
        let c = w.client();
        let head = "HTTP/1.1 200 OK\r\n";
        let cases = [
            (format!("{head}Content-Length: 9\r\n\r\nhalf"), "broken upstream_truncated"),
            (format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc"), "broken upstream_truncated"),
            (format!("{head}Transfer-Encoding: chunked\r\n\r\nno size\r\n"), "broken upstream_malformed"),
            (format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\na"), "failed upstream_malformed"),
            ("garbage\r\n\r\n".to_owned(), "failed upstream_malformed"),
            (head.to_owned(), "failed upstream_closed"),
        ];
        for (reply, told) in &cases {
            w.origin().on("GET /check").times(1).reply(reply).close();
            c.get("/tell").expect_status(200).expect_body(told).get("/x").expect_ok("ok");
        }
        // More than was announced: the answer is whole, the connection is used no more.
        w.origin().on("GET /check").times(1).reply(format!("{OK}HTTP/1.1 200 OK\r\n\r\n"));
        c.get("/tell").expect_ok("ok");
        w.origin().on("GET /check").reply(OK);
        c.get("/tell").expect_ok("ok").get("/both").expect_ok("okok");
        w.origin().expect_connections(cases.len() + 2);
    });
}

#[test]
fn an_origin_that_resets_in_the_middle_of_a_calls_answer_is_told_to_the_hook() {
    scenario(|w| {
        asking(w);
        w.origin()
            .on("GET /check")
            .times(1)
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            .wait("20ms")
            .reset();
        let c = w.client();
        c.get("/tell").expect_status(200).expect_body("broken upstream_truncated");
        w.origin().on("GET /check").reply(OK);
        c.get("/tell").expect_ok("ok");
    });
}

#[test]
fn a_call_that_fails_fails_its_hook_where_that_passes_it_on() {
    scenario(|w| {
        asking(w);
        let c = w.client();
        w.origin().on("GET /check").times(1).reply("garbage\r\n\r\n").close();
        c.get("/ask").expect_status(502).expect_body("502 Bad Gateway\n");
        w.origin().is_down();
        c.get("/ask").expect_status(502).get("/x").expect_ok("ok");
        w.expect_outcomes(&["upstream_malformed", "connect_failed", "complete"]);
    });
}

#[test]
fn a_call_that_is_never_answered_is_a_504() {
    simulated(|w| {
        asking(w);
        w.origin().on("GET /check").hang();
        let c = w.client();
        c.get("/ask").expect_status(504).expect_at("5s").get("/x").expect_ok("ok");
        w.origin().expect_end(0, Some("finished"));
        w.expect_outcomes(&["request_timeout", "complete"]);
    });
}

#[test]
fn a_client_that_leaves_ends_the_call_that_its_hook_waits_for() {
    scenario(|w| {
        asking(w);
        w.origin().on("GET /check").times(1).hang();
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf";
        w.origin().on("GET /check").times(1).reply(long).hang();
        for path in ["/ask", "/stall"] {
            let c = w.client();
            c.get(path);
            w.settle();
            c.close();
            w.settle();
            assert_eq!(w.connections(), 0, "{path}");
        }
        w.expect_outcomes(&["downstream_closed"; 2]);
        w.origin().on("GET /check").reply(OK);
        w.client().get("/ask").expect_ok("ok");
        w.origin().expect_connections(3);
        w.expect_counter("exchanges_active", 0);
    });
}

#[test]
fn a_hook_that_ends_while_its_calls_answer_streams_closes_the_connection() {
    simulated(|w| {
        asking(w);
        w.bear_panics();
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf";
        w.origin().on("GET /check").times(2).reply(long).hang();
        w.client().get("/stall").expect_status(504).expect_at("30s");
        w.origin().expect_ended(0);
        w.client().get("/panic").expect_status(500);
        w.origin().expect_ended(1);
        w.origin().on("GET /check").reply(OK);
        w.client().get("/ask").expect_ok("ok");
        w.origin().expect_connections(3);
        w.expect_outcomes(&["hook_timeout", "panicked", "answered"]);
        w.expect_counter("exchanges_active", 0);
    });
}

#[test]
fn what_an_upload_announces_wrongly_breaks_the_upload_and_nothing_else() {
    simulated(|w| {
        asking(w);
        w.origin().on("POST /check").reply(OK);
        let c = w.client();
        let cases = [("short", "hook_failed"), ("long", "hook_failed"), ("cut", "hook_failed")];
        for (deed, outcome) in cases {
            let told = format!("failed {outcome}");
            c.get(&format!("/upload-{deed}")).expect_status(200).expect_body(told);
            let waits = if deed == "cut" { 5 } else { 0 };
            assert!((waits..=waits + 1).contains(&w.now().as_secs()), "{deed}");
        }
        w.after("10s");
        assert_eq!(w.connections(), 1);
        c.get("/upload").expect_ok("ok");
        w.origin().last().expect_body("abcd");
    });
}

/// Frames its answers wrongly.
struct Framing;

impl HttpApp for Framing {
    async fn serve(&self, request: Incoming, responder: Responder) -> Result<()> {
        match request.head().path() {
            b"/short" => {
                let writer = responder.begin(Response::new(200).body("half"), Some(8)).await?;
                writer.finish();
                Ok(())
            }
            b"/long" => {
                let writer = responder.begin(Response::new(200).body("ab"), Some(3)).await?;
                rt::sleep(Duration::from_millis(5)).await;
                writer.write("cd").await?;
                writer.finish();
                Ok(())
            }
            b"/none" => {
                let writer = responder.begin(Response::new(204), None).await?;
                writer.write("content").await?;
                writer.finish();
                Ok(())
            }
            b"/stream" => {
                let writer = responder.begin(Response::new(200), None).await?;
                writer.write("content").await?;
                writer.finish();
                Ok(())
            }
            b"/panic" => {
                let writer = responder.begin(Response::new(200).body("half"), None).await?;
                rt::sleep(Duration::from_millis(5)).await;
                let _writer = writer;
                panic!("as asked")
            }
            b"/error" => {
                let writer = responder.begin(Response::new(200).body("half"), None).await?;
                rt::sleep(Duration::from_millis(5)).await;
                drop(writer);
                Err(Error::failed("as asked"))
            }
            b"/invalid" => responder.send(Response::new(200).header("a b", "c")).await,
            b"/interim" => {
                responder.interim(Response::new(100));
                responder.interim(Response::new(101));
                responder.interim(Response::new(200));
                responder.send(Response::new(100)).await
            }
            b"/early" => {
                // Reads behind its answer.
                let mut request = request;
                responder.send(Response::new(200).body("early")).await?;
                while request.chunk().await?.is_some() {}
                Ok(())
            }
            _ => responder.send(Response::new(200).body("ok")).await,
        }
    }
}

#[test]
fn a_call_may_come_around_to_the_proxy_itself() {
    simulated(|w| {
        asking(w);
        w.origin().on("GET /check").reply(OK);
        w.client().get("/around").expect_ok("ok");
        // Each call waits a second for the next one, and the first is the first to give up.
        w.client().get("/for-ever").expect_status(504);
        w.after("2s");
        w.expect_counter("exchanges_active", 0);
    });
}

#[test]
fn an_app_that_sends_less_than_it_announced_is_cut() {
    scenario(|w| {
        w.service(Service::app(|| Framing));
        w.client().get("/short").expect_status(200).expect_body_so_far("half").expect_aborted();
        w.client().get("/").expect_ok("ok");
    });
}

#[test]
fn an_app_that_sends_more_than_it_announced_is_cut() {
    scenario(|w| {
        w.service(Service::app(|| Framing));
        w.client().get("/long").expect_status(200).expect_body_so_far("ab").expect_aborted();
        w.client().get("/").expect_ok("ok");
    });
}

#[test]
fn an_app_that_sends_content_where_there_is_none_confuses_nobody() {
    scenario(|w| {
        w.service(Service::app(|| Framing));
        let c = w.client();
        c.get("/none").expect_status(204).expect_body("").get("/").expect_ok("ok");
        c.head("/stream").expect_status(200).expect_body("").get("/").expect_ok("ok");
        c.expect_kept_alive();
    });
}

#[test]
fn an_app_that_fails_in_the_middle_is_cut() {
    scenario(|w| {
        w.service(Service::app(|| Framing));
        w.bear_panics();
        for path in ["/panic", "/error"] {
            w.client().get(path).expect_status(200).expect_body_so_far("half").expect_aborted();
        }
        let c = w.client();
        c.get("/invalid").expect_status(500).get("/interim").expect_status(500);
        c.get("/").expect_ok("ok").expect_kept_alive();
        w.expect_counter("panics", 1);
    });
}

#[test]
fn an_app_may_read_behind_its_answer() {
    scenario(|w| {
        w.service(Service::app(|| Framing));
        let c = w.client();
        c.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
        c.expect_status(200).expect_body("early");
        c.send("cde").get("/").expect_ok("ok").expect_kept_alive();
    });
}
