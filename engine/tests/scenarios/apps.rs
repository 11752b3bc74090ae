//! Apps that answer by themselves, and user code that asks others.

use ringway_engine::app::{HttpApp, Incoming, Responder, StreamApp};
use ringway_engine::client::{Connector, Request, Stream, relay};
use ringway_engine::error::{Context, Error, Result};
use ringway_engine::phase::{Downstream, Flow, Peer, Proxy, Response, Session, Traffic};
use ringway_engine::rt;
use ringway_engine::service::{Service, StreamService};
use ringway_engine::settings::{Address, TcpListener};
use ringway_testing::{World, scenario, simulated};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Does what the path asks for.
struct Obedient;

impl HttpApp for Obedient {
    async fn serve(&self, mut request: Incoming, responder: Responder) -> Result<()> {
        let path = String::from_utf8_lossy(request.head().path()).into_owned();
        match path.as_str() {
            "/hello" => responder.send(Response::new(200).header("x-app", "yes").body("hello")).await,
            "/echo" => {
                let body = request.bytes(1 << 20).await?;
                responder.send(Response::new(200).body(body)).await
            }
            "/stream" => {
                let writer = responder.begin(Response::new(200), None).await?;
                for piece in 0..3 {
                    rt::sleep(Duration::from_millis(5)).await;
                    writer.write(format!("{piece},")).await?;
                }
                writer.finish();
                Ok(())
            }
            "/large" => {
                let writer = responder.begin(Response::new(200), Some(1 << 20)).await?;
                for _ in 0..16 {
                    writer.write(vec![b'x'; 1 << 16]).await?;
                }
                writer.finish();
                Ok(())
            }
            "/cut" => {
                let writer = responder.begin(Response::new(200).body("half"), Some(8)).await?;
                drop(writer);
                Ok(())
            }
            "/refuse" => Err(Error::refused(418)),
            "/fail" => Err(Error::failed("as asked")),
            "/nothing" => Ok(()),
            "/panic" => panic!("as asked"),
            _ => responder.send(Response::new(404)).await,
        }
    }
}

fn app(run: impl Fn(&World)) {
    scenario(|w| {
        w.service(Service::app(|| Obedient));
        run(w);
    });
}

#[test]
fn an_app_answers() {
    app(|w| {
        let c = w.client();
        c.get("/hello").expect_status(200).expect_body("hello").expect_header("x-app", "yes");
        c.expect_header("Content-Length", "5").expect_no_header("via");
        c.get("/other").expect_status(404);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn an_app_reads_content_and_streams() {
    app(|w| {
        let c = w.client();
        c.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
        w.after("1ms");
        c.send("cde").expect_status(200).expect_body("abcde");
        c.get("/stream").expect_status(200).expect_body("0,1,2,");
        c.get("/large").expect_status(200).expect_body("x".repeat(1 << 20));
        c.get("/hello").expect_status(200);
    });
}

#[test]
fn an_app_that_fails_is_answered_for() {
    app(|w| {
        let c = w.client();
        c.get("/refuse").expect_status(418);
        c.get("/fail").expect_status(500);
        c.get("/nothing").expect_status(500);
        c.get("/hello").expect_status(200);
        c.get("/cut").expect_status(200).expect_body_so_far("half").expect_aborted();
    });
}

#[test]
fn an_app_that_panics_harms_nobody_else() {
    simulated(|w| {
        w.service(Service::app(|| Obedient));
        let (c, other) = (w.client(), w.client());
        other.get("/stream");
        c.get("/panic").expect_status(500);
        c.get("/hello").expect_status(200);
        other.expect_status(200).expect_body("0,1,2,");
        w.expect_counter("panics", 1);
    });
}

/// Asks the first origin for permission, by name and password as it were, before the second serves.
struct Gate {
    check: SocketAddr,
}

impl Proxy for Gate {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let target = String::from_utf8_lossy(session.request().path()).into_owned();
        let url = format!("http://{}/check{target}", self.check);
        let mut answer = Request::get(&url).header("x-from", "gate").send().await.or_refuse(503)?;
        Ok(match answer.status() {
            200 => {
                let user = answer.bytes(100).await?;
                session.request_mut().fields.set(b"x-user", &user)?;
                Flow::Continue
            }
            _ => Response::new(401).into(),
        })
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_hook_asks_another_service_first() {
    scenario(|w| {
        w.origins(2);
        let check: SocketAddr = w.origin().address().parse().unwrap();
        w.settings(|s| _ = s.clusters[0].endpoints.remove(0));
        w.proxy(move || Gate { check });
        let check = w.origin();
        check.on("GET /check/a").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nann");
        check.on("GET /check/b").reply("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        w.origin_at(1).on("GET /a").reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let c = w.client();
        c.get("/a").expect_status(200).expect_body("ok");
        c.get("/b").expect_status(401);
        c.get("/a").expect_status(200);
        w.origin_at(1).last().expect_header("x-user", "ann");
        check.last().expect_header("x-from", "gate").expect_no_header("via");
        // The gate's connection is used again.
        check.expect_connections(1);
    });
}

#[test]
fn a_hook_whose_service_is_down_says_so() {
    scenario(|w| {
        w.origins(2);
        let check: SocketAddr = w.origin().address().parse().unwrap();
        w.settings(|s| _ = s.clusters[0].endpoints.remove(0));
        w.origin().is_down();
        w.proxy(move || Gate { check });
        w.client().get("/a").expect_status(503);
    });
}

/// Relays to an origin by hand.
struct ByHand {
    origin: SocketAddr,
    told: Sender<[Traffic; 3]>,
}

impl StreamApp for ByHand {
    async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
        let origin = Connector::new(Peer::address(self.origin)).connect().await?;
        let (there, back) = relay(&stream, &origin).await?;
        // A shard may outlive the script.
        _ = self.told.send([stream.traffic(), origin.traffic(), Traffic { received: there, sent: back }]);
        Ok(())
    }
}

#[test]
fn a_stream_app_relays_bytes_by_hand() {
    scenario(|w| {
        let address: Address = Address::Tcp(([192, 0, 2, 1], 5432).into());
        w.settings(|s| s.tcp.push(TcpListener::new(address.clone(), None)));
        let origin: SocketAddr = w.origin().address().parse().unwrap();
        let (told, tells) = channel();
        w.streams(vec![Some(StreamService::app(move || ByHand { origin, told: told.clone() }))]);
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let c = w.client_of(&address);
        c.get("/").expect_status(200).expect_body("ok");
        c.get("/").expect_status(200).expect_body("ok");
        c.finish();
        w.settle();
        w.origin().finish_on(0);
        w.settle();
        let [client, other, relayed] = tells.try_recv().expect("both sides have finished");
        assert_eq!(client, relayed);
        assert_eq!((other.received, other.sent), (relayed.sent, relayed.received));
        assert!(relayed.received > 0 && relayed.sent > 0, "{relayed:?}");
    });
}
