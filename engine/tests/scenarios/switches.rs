//! Protocols that are switched to within: apps that answer 101, and calls that ask for it.

use ringway_engine::app::{HttpApp, Incoming, Responder};
use ringway_engine::client::{Request, Stream, relay};
use ringway_engine::error::{Error, Result};
use ringway_engine::phase::{Filter, Response, Session};
use ringway_engine::rt;
use ringway_engine::service::Service;
use ringway_proto::message::ResponseHead;
use ringway_testing::{World, scenario, simulated};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What a client asks for.
const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
/// What an origin agrees to.
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: b\r\n\r\n";

/// Does with a switched connection what the path asks for.
struct Switching {
    origin: SocketAddr,
    notes: Sender<String>,
}

impl Switching {
    fn note(&self, note: impl Into<String>) {
        let _ = self.notes.send(note.into());
    }

    async fn ask_origin(&self) -> Result<Stream> {
        let request = Request::get(&format!("http://{}/chat", self.origin)).upgrade("websocket");
        let answer = request.header("sec-websocket-key", "a").send().await?;
        self.note(answer.status().to_string());
        answer.upgrade()
    }

    async fn talk_to_origin(&self) -> Result<String> {
        let stream = self.ask_origin().await?;
        stream.write("ping").await?;
        let mut heard = Vec::new();
        while heard.len() < 9 {
            let Some(chunk) = stream.read().await? else { break };
            heard.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }
}

impl HttpApp for Switching {
    async fn serve(&self, mut request: Incoming, responder: Responder) -> Result<()> {
        let switch = Response::new(101).header("sec-websocket-accept", "b");
        match request.head().path() {
            b"/echo" => {
                let stream = responder.upgrade("websocket", switch).await?;
                let end = echo(&stream).await;
                let end = end.map_err(|error| error.outcome().label());
                self.note(format!("{end:?}"));
                if end.is_ok() {
                    stream.write("that was all").await?;
                }
                Ok(())
            }
            b"/read-first" => {
                assert_eq!(request.bytes(10).await?, b"");
                let stream = responder.upgrade("websocket", switch).await?;
                echo(&stream).await
            }
            b"/bye" => responder.upgrade("websocket", switch).await?.write("bye").await,
            b"/spawned" => {
                let stream = responder.upgrade("websocket", switch).await?;
                drop(rt::spawn(async move { echo(&stream).await }));
                Ok(())
            }
            b"/drop" => {
                let stream = responder.upgrade("websocket", switch).await?;
                drop(stream);
                // It ends the connection although its app goes on.
                rt::sleep(Duration::from_secs(10)).await;
                Ok(())
            }
            b"/fail" => {
                responder.upgrade("websocket", switch).await?;
                Err(Error::refused(418))
            }
            b"/other" => responder.upgrade("foo", switch).await.map(drop),
            b"/wrong" => responder.upgrade("websocket", Response::new(200)).await.map(drop),
            b"/offered" => {
                let offered: Vec<_> = request.upgrades().map(String::from_utf8_lossy).collect();
                let offered = offered.join(",");
                responder.send(Response::new(200).body(offered)).await
            }
            b"/bridge" => {
                let origin = self.ask_origin().await?;
                let client = responder.upgrade("websocket", switch).await?;
                let (there, back) = relay(&client, &origin).await?;
                self.note(format!("{there} {back}"));
                Ok(())
            }
            b"/ask" => {
                let heard = self.talk_to_origin().await;
                let body = heard.unwrap_or_else(|error| format!("{}, {}", error.outcome(), error.status()));
                responder.send(Response::new(200).body(body)).await
            }
            b"/ask-wrongly" => {
                let url = format!("http://{}/chat", self.origin);
                let posted = Request::post(&url).upgrade("websocket").send().await;
                let http2 = Request::get(&url).upgrade("h2c").send().await;
                let with_content = Request::get(&url).upgrade("websocket").body("x").send().await;
                assert!(posted.is_err() && http2.is_err() && with_content.is_err());
                // Fields alone do not ask.
                let fields =
                    Request::get(&url).header("connection", "upgrade").header("upgrade", "websocket");
                let answer = fields.send().await.map(|answer| answer.status());
                responder.send(Response::new(200).body(format!("{answer:?}"))).await
            }
            _ => responder.send(Response::new(404)).await,
        }
    }
}

async fn echo(stream: &Stream) -> Result<()> {
    while let Some(chunk) = stream.read().await? {
        stream.write_chunk(chunk).await?;
    }
    Ok(())
}

struct Notes(Receiver<String>);

impl Notes {
    #[track_caller]
    fn expect(&self, w: &World, expected: &[&str]) {
        w.settle();
        assert_eq!(self.0.try_iter().collect::<Vec<_>>(), expected);
    }
}

fn app(w: &World) -> Notes {
    let (notes, noted) = channel();
    let origin: SocketAddr = w.origin().address().parse().unwrap();
    w.service(Service::app(move || Switching { origin, notes: notes.clone() }));
    Notes(noted)
}

#[test]
fn an_app_switches_protocols_and_has_the_bytes() {
    scenario(|w| {
        let notes = app(w);
        let c = w.client();
        c.request("GET", "/echo", ASK, "").expect_status(101);
        c.expect_header("Connection", "Upgrade").expect_header("Upgrade", "websocket");
        c.expect_header("Sec-WebSocket-Accept", "b").expect_no_header("Content-Length");
        let frames = b"\x81\x02hi\r\n\r\nGET /x HTTP/1.1\r\nHost: y\r\n\r\n0\r\n\r\n\xff\x00";
        c.send(frames).expect_raw(frames).finish();
        c.expect_raw([frames.as_slice(), b"that was all"].concat()).expect_closed();
        notes.expect(w, &["Ok(())"]);
        w.expect_outcomes(&["tunnel_closed"]);
        w.last_record().expect("status", "101").expect("received", &frames.len().to_string());
        assert_eq!(w.connections(), 0);
        w.expect_counter("tunnels_active", 0);
    });
}

#[test]
fn what_came_together_with_the_request_is_read_by_the_app() {
    scenario(|w| {
        app(w);
        for path in ["/echo", "/read-first"] {
            let c = w.client();
            c.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{ASK}\r\nGET /early HTTP/1.1\r\n\r\n"));
            c.expect_status(101).expect_raw("GET /early HTTP/1.1\r\n\r\n").close();
        }
        w.expect_outcomes(&["tunnel_closed"; 2]);
    });
}

#[test]
fn a_client_that_resets_a_switched_connection_breaks_it() {
    scenario(|w| {
        let notes = app(w);
        let c = w.client();
        c.request("GET", "/echo", ASK, "").expect_status(101).send("a").expect_raw("a").reset();
        notes.expect(w, &["Err(\"downstream_closed\")"]);
        w.expect_outcomes(&["tunnel_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn an_app_may_end_first() {
    scenario(|w| {
        app(w);
        for (path, last) in [("/bye", "bye"), ("/drop", ""), ("/fail", "")] {
            let c = w.client();
            c.request("GET", path, ASK, "").expect_status(101).expect_raw(last).expect_closed();
            c.close();
        }
        w.expect_outcomes(&["tunnel_closed"; 3]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_switched_connection_may_be_served_by_another_task() {
    scenario(|w| {
        app(w);
        let c = w.client();
        c.request("GET", "/spawned", ASK, "").expect_status(101);
        w.settle();
        c.send("still there").expect_raw("still there").finish().expect_closed();
    });
}

#[test]
fn much_passes_through_a_switched_connection_unharmed() {
    scenario(|w| {
        app(w);
        let c = w.client();
        let text: String = (0..100_000).map(|n| format!("{n:05}")).collect();
        c.request("GET", "/echo", ASK, "").expect_status(101).send(&text).expect_raw(&text);
    });
}

#[test]
fn what_is_not_asked_for_is_not_switched_to() {
    scenario(|w| {
        app(w);
        let c = w.client();
        c.get("/echo").expect_status(400);
        c.request("GET", "/echo", "Upgrade: websocket\r\n", "").expect_status(400);
        c.request("GET", "/other", ASK, "").expect_status(400);
        c.request("POST", "/echo", ASK, "").expect_status(400);
        c.request("GET", "/echo", &format!("{ASK}Content-Length: 2\r\n"), "ab").expect_status(400);
        c.request("GET", "/wrong", ASK, "").expect_status(500);
        c.request("GET", "/offered", "Connection: upgrade\r\nUpgrade: h2c, foo/2, WebSocket\r\n", "");
        c.expect_status(200).expect_body("foo/2,WebSocket").expect_kept_alive();
        let old = w.client();
        old.send(format!("GET /echo HTTP/1.0\r\nHost: a\r\n{ASK}\r\n")).expect_status(400).expect_closed();
    });
}

/// Waits before each response, and marks it.
struct Mark;

impl Filter for Mark {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, (): &mut ()) -> Result<()> {
        rt::sleep(Duration::from_millis(5)).await;
        Ok(response.fields.set("x-marked", response.status.0.to_string())?)
    }
}

#[test]
fn hooks_of_the_response_see_a_switch() {
    scenario(|w| {
        let (notes, _noted) = channel();
        let origin: SocketAddr = w.origin().address().parse().unwrap();
        let app = Service::app(move || Switching { origin, notes: notes.clone() });
        w.service(app.in_front(|| Mark));
        let c = w.client();
        c.request("GET", "/bye", ASK, "").expect_status(101).expect_header("X-Marked", "101");
        c.expect_raw("bye").expect_closed();
    });
}

#[test]
fn a_switched_connection_in_which_nothing_moves_is_ended() {
    simulated(|w| {
        w.settings(|s| s.limits.tunnel_idle = Duration::from_secs(100));
        let notes = app(w);
        let c = w.client();
        c.request("GET", "/echo", ASK, "").expect_status(101);
        w.after("90s");
        c.send("x").expect_raw("x");
        w.after("90s");
        c.expect_silence();
        w.after("20s");
        c.expect_over();
        notes.expect(w, &["Err(\"downstream_closed\")"]);
        w.expect_outcomes(&["tunnel_idle"]);
    });
}

#[test]
fn a_call_switches_protocols_and_has_the_bytes() {
    scenario(|w| {
        let notes = app(w);
        let reply = [SWITCH, "glued"].concat();
        w.origin().on("GET /chat").reply(reply).echo_raw();
        w.client().get("/ask").expect_status(200).expect_body("gluedping");
        notes.expect(w, &["101"]);
        let asked = w.origin().last();
        asked.expect_header("Connection", "Upgrade").expect_header("Upgrade", "websocket");
        asked.expect_header("Sec-WebSocket-Key", "a");
        w.origin().expect_end(0, Some("finished"));
    });
}

#[test]
fn a_call_whose_switch_is_declined_has_an_answer() {
    scenario(|w| {
        let notes = app(w);
        w.origin().on("GET /chat").times(1).ok("no");
        let c = w.client();
        c.get("/ask").expect_status(200).expect_body("hook_failed, 502");
        let other = SWITCH.replace("websocket", "foo");
        w.origin().on("GET /chat").times(1).reply(other).tunnel().hang();
        c.get("/ask").expect_status(200).expect_body("upstream_malformed, 502");
        w.origin().on("GET /chat").reply(SWITCH).reset();
        c.get("/ask").expect_status(200).expect_body("upstream_closed, 502");
        notes.expect(w, &["200", "101"]);
    });
}

#[test]
fn a_call_that_does_not_ask_is_not_switched() {
    scenario(|w| {
        app(w);
        w.origin().on("GET /chat").ok("plain");
        w.client().get("/ask-wrongly").expect_status(200).expect_body("Ok(200)");
        w.origin().last().expect_no_header("Upgrade").expect_no_header("Connection");
        w.origin().expect_requests(1);
    });
}

#[test]
fn an_app_stands_between_two_switched_connections() {
    scenario(|w| {
        let notes = app(w);
        w.origin().on("GET /chat").reply(SWITCH).echo_raw();
        let c = w.client();
        c.request("GET", "/bridge", ASK, "").expect_status(101).send("hello").expect_raw("hello").finish();
        w.settle();
        w.origin().expect_raw(0, "hello").expect_end(0, Some("finished")).finish_on(0);
        c.expect_closed();
        notes.expect(w, &["101", "5 5"]);
        w.expect_outcomes(&["tunnel_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_switched_call_ends_with_the_app_that_made_it() {
    scenario(|w| {
        app(w);
        w.origin().on("GET /chat").reply(SWITCH).tunnel().hang();
        let c = w.client();
        c.get("/ask");
        w.origin().expect_raw(0, "ping");
        c.close();
        w.expect_outcomes(&["downstream_closed"]);
        assert_ne!(w.origin().end_of(0), None);
        assert_eq!(w.connections(), 0);
    });
}
