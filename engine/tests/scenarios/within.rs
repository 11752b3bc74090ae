//! What goes wrong between an exchange and user code: apps and calls whose other side leaves, dawdles, breaks off.

use ringway_engine::app::{HttpApp, Incoming, Responder, StreamApp};
use ringway_engine::client::{Client, Connector, Request, Stream};
use ringway_engine::error::Result;
use ringway_engine::phase::{Downstream, Peer, Response};
use ringway_engine::rt;
use ringway_engine::service::{Service, StreamService};
use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{World, calm, scenario, simulated};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Says when it is dropped.
struct Drops(Sender<&'static str>, &'static str);

impl Drop for Drops {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

/// Does what the path asks for, and asks the origin where that is part of it.
struct Caller {
    origin: SocketAddr,
    notes: Sender<&'static str>,
}

impl Caller {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.origin)
    }

    /// What became of a call.
    async fn told(&self, request: Request) -> Response {
        match request.send().await {
            Ok(mut answer) => match answer.bytes(1 << 20).await {
                Ok(body) => Response::new(200).header("x-status", answer.status().to_string()).body(body),
                Err(error) => Response::new(200).body(format!("broken {}", error.outcome())),
            },
            Err(error) => Response::new(200).body(format!("failed {}", error.outcome())),
        }
    }
}

impl HttpApp for Caller {
    async fn serve(&self, mut request: Incoming, responder: Responder) -> Result<()> {
        let path = String::from_utf8_lossy(request.head().path()).into_owned();
        match path.as_str() {
            "/hang" => {
                let _drops = Drops(self.notes.clone(), "hung");
                std::future::pending::<()>().await;
                Ok(())
            }
            "/after" => {
                responder.send(Response::new(200).body("first")).await?;
                rt::sleep(Duration::from_millis(20)).await;
                let _ = self.notes.send("went on");
                Ok(())
            }
            "/flood" => {
                let _drops = Drops(self.notes.clone(), "flood ended");
                let writer = responder.begin(Response::new(200), None).await?;
                loop {
                    writer.write(vec![b'x'; 8192]).await?;
                }
            }
            "/early" => {
                // Answers before the content is there, and reads none of it.
                responder.send(Response::new(200).body("early")).await
            }
            "/count" => {
                let mut bytes = 0;
                while let Some(chunk) = request.chunk().await? {
                    bytes += chunk.len();
                }
                responder.send(Response::new(200).body(bytes.to_string())).await
            }
            "/slowly" => {
                // Its content waits for the reader.
                let mut bytes = 0;
                while let Some(chunk) = request.chunk().await? {
                    bytes += chunk.len();
                    rt::sleep(Duration::from_millis(1)).await;
                }
                responder.send(Response::new(200).body(bytes.to_string())).await
            }
            "/hints" => {
                responder.interim(Response::new(103).header("link", "</a>"));
                responder.send(Response::new(200)).await
            }
            "/ask" => responder.send(self.told(Request::get(&self.url("/origin"))).await).await,
            "/ask-once-more" => {
                let first = self.told(Request::get(&self.url("/origin"))).await;
                drop(first);
                responder.send(self.told(Request::get(&self.url("/origin"))).await).await
            }
            "/forget" => {
                // Only the head is looked at.
                let answer = Request::get(&self.url("/long")).send().await?;
                let status = answer.status();
                drop(answer);
                responder.send(Response::new(200).body(status.to_string())).await
            }
            "/upload" => {
                let upload = Request::post(&self.url("/upload")).upload(None).await?;
                for _ in 0..3 {
                    upload.write("piece,").await?;
                    rt::sleep(Duration::from_millis(1)).await;
                }
                upload.finish();
                let mut answer = upload.answer().await?;
                responder.send(Response::new(200).body(answer.bytes(100).await?)).await
            }
            "/timeout" => {
                let call = self.told(Request::get(&self.url("/hang")));
                let told = rt::timeout(Duration::from_millis(50), call).await;
                let body = if told.is_err() { "elapsed" } else { "answered" };
                responder.send(Response::new(200).body(body)).await
            }
            "/in-time" => {
                let client = Client::new().timeout(Duration::from_millis(50)).header("x-by", "caller");
                responder.send(self.told(client.get(&self.url("/hang"))).await).await
            }
            "/no-name" => responder.send(self.told(Request::get("http://no such name/")).await).await,
            "/nowhere" => {
                let call = Request::get("http://192.0.2.99/").to(Peer::cluster("nobody"));
                responder.send(self.told(call).await).await
            }
            _ => responder.send(Response::new(404)).await,
        }
    }
}

struct Notes(Receiver<&'static str>);

impl Notes {
    #[track_caller]
    fn expect(&self, w: &World, expected: &[&str]) {
        w.settle();
        assert_eq!(self.0.try_iter().collect::<Vec<_>>(), expected);
    }
}

fn caller(w: &World) -> Notes {
    let (notes, noted) = channel();
    let origin: SocketAddr = w.origin().address().parse().unwrap();
    w.service(Service::app(move || Caller { origin, notes: notes.clone() }));
    Notes(noted)
}

#[test]
fn an_app_is_dropped_where_it_waits_when_its_client_leaves() {
    scenario(|w| {
        let notes = caller(w);
        let c = w.client();
        c.get("/hang");
        w.settle();
        c.close();
        w.expect_outcomes(&["downstream_closed"]);
        notes.expect(w, &["hung"]);
    });
}

#[test]
fn an_app_that_has_answered_may_go_on() {
    scenario(|w| {
        let notes = caller(w);
        let c = w.client();
        c.get("/after").expect_status(200).expect_body("first");
        c.get("/early").expect_status(200);
        w.after("100ms");
        notes.expect(w, &["went on"]);
    });
}

#[test]
fn an_app_that_does_not_answer_is_given_up() {
    simulated(|w| {
        let notes = caller(w);
        w.client().get("/hang").expect_status(504);
        w.expect_outcomes(&["first_byte_timeout"]);
        notes.expect(w, &["hung"]);
    });
}

#[test]
fn an_app_writes_no_more_than_its_client_takes() {
    simulated(|w| {
        let notes = caller(w);
        let c = w.client();
        c.stop_reading().get("/flood");
        w.after("10s");
        assert!(w.held_bytes() < 512 * 1024, "{}", w.held_bytes());
        c.reset();
        w.settle();
        notes.expect(w, &["flood ended"]);
    });
}

#[test]
fn an_app_need_not_read_what_was_sent() {
    scenario(|w| {
        caller(w);
        let c = w.client();
        c.post("/early", "content").expect_status(200).expect_body("early");
        c.post("/count", "content").expect_status(200).expect_body("7");
        c.post_chunks("/count", &["a", "bc"]).expect_status(200).expect_body("3");
        c.post("/slowly", "x".repeat(300_000)).expect_status(200).expect_body("300000");
        c.head("/count").expect_status(200).expect_body("");
    });
}

#[test]
fn an_app_may_give_hints() {
    scenario(|w| {
        caller(w);
        let c = w.client();
        c.get("/hints").expect_status(103).expect_header("link", "</a>").expect_status(200);
    });
}

#[test]
fn a_drain_waits_for_apps_and_a_stop_does_not() {
    scenario(|w| {
        let notes = caller(w);
        let c = w.client();
        c.get("/hang");
        w.settle();
        w.stop();
        c.expect_over();
        notes.expect(w, &["hung"]);
    });
}

#[test]
fn a_call_uses_a_connection_again_and_survives_that_it_died() {
    scenario(|w| {
        caller(w);
        w.origin().on("GET /origin").ok("one").times(3);
        let c = w.client();
        c.get("/ask").expect_status(200).expect_body("one").expect_header("x-status", "200");
        c.get("/ask-once-more").expect_status(200).expect_body("one");
        w.origin().expect_connections(1);
        w.origin().on("GET /origin").close().times(1);
        w.origin().on("GET /origin").ok("two");
        c.get("/ask").expect_status(200).expect_body("two");
        w.origin().expect_connections(2);
    });
}

#[test]
fn what_becomes_of_a_call_is_told_to_who_called() {
    scenario(|w| {
        caller(w);
        let c = w.client();
        w.origin()
            .on("GET /origin")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            .close()
            .times(1);
        c.get("/ask").expect_status(200).expect_body("broken upstream_truncated");
        w.origin().on("GET /origin").reply("nonsense\r\n\r\n").close();
        c.get("/ask").expect_status(200).expect_body("failed upstream_malformed");
        c.get("/no-name").expect_status(200).expect_body("failed hook_failed");
        c.get("/nowhere").expect_status(200).expect_body("failed peer_invalid");
        w.origin().is_down();
        c.get("/ask").expect_status(200).expect_body("failed connect_failed");
        w.expect_outcomes(&["complete"; 5]);
    });
}

#[test]
fn an_answer_that_is_longer_than_who_asked_takes_is_no_answer() {
    calm(|w| {
        caller(w);
        w.origin().on("GET /origin").ok("x".repeat((1 << 20) + 1));
        w.client().get("/ask").expect_status(200).expect_body("broken upstream_too_large");
    });
}

#[test]
fn a_call_that_is_dropped_ends() {
    scenario(|w| {
        caller(w);
        w.origin().on("GET /hang").hang();
        w.origin().on("GET /long").reply("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf");
        let c = w.client();
        c.get("/timeout").expect_status(200).expect_body("elapsed");
        c.get("/in-time").expect_status(200).expect_body("failed request_timeout");
        w.origin().last().expect_header("x-by", "caller");
        c.get("/forget").expect_status(200).expect_body("200");
        w.settle();
        // Only the client's connection is left.
        assert_eq!(w.connections(), 1);
    });
}

#[test]
fn a_call_sends_content_as_it_comes() {
    scenario(|w| {
        caller(w);
        w.origin().on("POST /upload").ok("taken");
        w.client().get("/upload").expect_status(200).expect_body("taken");
        w.origin().last().expect_body("piece,piece,piece,");
    });
}

#[test]
fn a_call_is_dropped_with_the_app_that_made_it() {
    scenario(|w| {
        caller(w);
        w.origin().on("GET /origin").hang();
        let c = w.client();
        c.get("/ask");
        w.origin().expect_requests(1);
        c.close();
        w.settle();
        w.expect_outcomes(&["downstream_closed"]);
        assert_eq!(w.connections(), 0);
    });
}

/// Asks the origin a line at a time, over connections that are given back.
struct Lines {
    origin: SocketAddr,
}

impl StreamApp for Lines {
    async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
        let connector = Connector::new(Peer::address(self.origin));
        while let Some(line) = stream.read().await? {
            let origin = connector.connect().await?;
            origin.write_chunk(line).await?;
            match origin.read().await? {
                Some(answer) => stream.write_chunk(answer).await?,
                None => break,
            }
            origin.release();
        }
        Ok(())
    }
}

fn stream_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 5432).into())
}

#[test]
fn a_stream_that_is_given_back_is_used_again() {
    simulated(|w| {
        w.settings(|s| s.tcp.push(TcpListener::new(stream_address(), None)));
        let origin: SocketAddr = w.origin().address().parse().unwrap();
        w.streams(vec![Some(StreamService::app(move || Lines { origin }))]);
        w.origin().is_raw();
        let c = w.client_of(&stream_address());
        c.tunnels().send("a");
        w.settle();
        w.origin().expect_raw(0, "a").send_on(0, "A");
        c.expect_raw("A").send("b");
        w.settle();
        w.origin().expect_raw(0, "ab").send_on(0, "B");
        c.expect_raw("AB").finish().expect_closed();
        w.origin().expect_connections(1);
    });
}

/// Says goodbye.
struct Goodbye;

impl StreamApp for Goodbye {
    async fn serve(&self, stream: Stream, client: &Downstream) -> Result<()> {
        stream.write(format!("goodbye {}", client.scheme)).await?;
        Ok(())
    }
}

#[test]
fn a_stream_app_that_returns_ends_the_connection_behind_what_it_wrote() {
    scenario(|w| {
        w.settings(|s| s.tcp.push(TcpListener::new(stream_address(), None)));
        w.streams(vec![Some(StreamService::app(|| Goodbye))]);
        w.client_of(&stream_address()).tunnels().expect_raw("goodbye tcp").expect_closed();
        w.expect_outcomes(&["tunnel_closed"]);
    });
}

#[test]
fn a_listener_whose_app_was_forgotten_closes() {
    scenario(|w| {
        w.settings(|s| s.tcp.push(TcpListener::new(stream_address(), None)));
        w.client_of(&stream_address()).tunnels().expect_closed();
        assert_eq!(w.connections(), 0);
    });
}
