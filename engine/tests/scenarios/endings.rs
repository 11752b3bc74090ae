//! How apps learn that their connection is over, and what they may do then.

use ringway_engine::app::{HttpApp, Incoming, Responder, StreamApp};
use ringway_engine::client::{Request, Stream};
use ringway_engine::error::Result;
use ringway_engine::phase::{Downstream, Response};
use ringway_engine::rt;
use ringway_engine::service::{Service, StreamService};
use ringway_engine::settings::{Address, TcpListener};
use ringway_engine::time::Instant;
use ringway_testing::{Client, World, scenario, simulated};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[derive(Clone)]
struct Notebook(Sender<String>);

impl Notebook {
    fn note(&self, note: impl Into<String>) {
        // A shard may outlive the script.
        let _ = self.0.send(note.into());
    }
}

/// Says when it is dropped, by the shard's clock.
struct Drops {
    since: Instant,
    notebook: Notebook,
}

impl Drops {
    fn new(notebook: &Notebook) -> Self {
        Self { since: rt::now(), notebook: notebook.clone() }
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        // Anything that a shard offers may be used here.
        drop(rt::spawn(async { rt::sleep(Duration::from_secs(1)).await }));
        drop(rt::sleep(Duration::from_secs(1)));
        let seconds = rt::now().micros_since(self.since) / 1_000_000;
        self.notebook.note(format!("dropped after {seconds} s"));
    }
}

/// Echoes, and writes a line at the end.
struct Logs {
    notebook: Notebook,
    /// What it does behind the line.
    after: After,
}

#[derive(Clone, Copy)]
enum After {
    Ends,
    Sleeps,
    Hangs,
}

impl StreamApp for Logs {
    async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
        let result = echo(&stream).await;
        let end = result.as_ref().map_err(|error| error.outcome().label());
        let traffic = stream.traffic();
        self.notebook.note(format!("{} {} {end:?}", traffic.received, traffic.sent));
        match self.after {
            After::Ends => {}
            After::Sleeps => {
                rt::sleep(Duration::from_secs(5)).await;
                self.notebook.note("slept");
            }
            After::Hangs => {
                let _drops = Drops::new(&self.notebook);
                std::future::pending::<()>().await;
            }
        }
        result
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

fn address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 5432).into())
}

/// A stream app, and a client to whom it has echoed three bytes.
fn stream(w: &World, after: After) -> (Notes, Client) {
    let (notebook, noted) = channel();
    let notebook = Notebook(notebook);
    w.settings(|s| {
        s.tcp.push(TcpListener::new(address(), None));
        s.limits.tunnel_idle = Duration::from_secs(100);
    });
    w.streams(vec![Some(StreamService::app(move || Logs { notebook: notebook.clone(), after }))]);
    let c = w.client_of(&address());
    c.tunnels().send("abc").expect_raw("abc");
    (Notes(noted), c)
}

#[test]
fn a_stream_app_writes_a_line_when_its_client_finishes() {
    scenario(|w| {
        let (notes, c) = stream(w, After::Ends);
        c.finish().expect_closed();
        notes.expect(w, &["3 3 Ok(())"]);
    });
}

#[test]
fn a_stream_app_writes_a_line_when_its_client_resets() {
    scenario(|w| {
        let (notes, c) = stream(w, After::Ends);
        c.reset();
        notes.expect(w, &["3 3 Err(\"downstream_closed\")"]);
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn a_stream_app_writes_a_line_when_nothing_moves() {
    simulated(|w| {
        let (notes, c) = stream(w, After::Ends);
        w.after("101s");
        c.expect_over();
        notes.expect(w, &["3 3 Err(\"downstream_closed\")"]);
    });
}

#[test]
fn a_stream_app_writes_a_line_when_the_process_stops() {
    scenario(|w| {
        let (notes, c) = stream(w, After::Ends);
        w.stop();
        c.expect_over();
        notes.expect(w, &["3 3 Err(\"stopped\")"]);
    });
}

#[test]
fn a_stream_app_that_was_told_may_go_on_for_a_while() {
    simulated(|w| {
        let (notes, c) = stream(w, After::Sleeps);
        c.reset();
        notes.expect(w, &["3 3 Err(\"downstream_closed\")"]);
        w.after("6s");
        notes.expect(w, &["slept"]);
    });
}

#[test]
fn a_stream_app_that_was_told_and_does_not_end_is_dropped() {
    simulated(|w| {
        let (notes, c) = stream(w, After::Hangs);
        c.reset();
        notes.expect(w, &["3 3 Err(\"downstream_closed\")"]);
        w.after("31s");
        notes.expect(w, &["dropped after 30 s"]);
    });
}

#[test]
fn a_process_that_stops_does_not_wait_for_an_app_that_was_told() {
    simulated(|w| {
        let (notes, _) = stream(w, After::Hangs);
        w.stop();
        notes.expect(w, &["3 3 Err(\"stopped\")", "dropped after 0 s"]);
    });
}

#[test]
fn what_a_world_drops_may_use_the_shard() {
    let (notebook, noted) = channel();
    simulated(|w| {
        let notebook = Notebook(notebook.clone());
        w.service(Service::app(move || Answers {
            origin: ([192, 0, 2, 9], 80).into(),
            notebook: notebook.clone(),
        }));
        w.client().get("/hang");
        w.after("1s");
    });
    let notes: Vec<_> = noted.try_iter().collect();
    assert!(!notes.is_empty() && notes.iter().all(|note| note.starts_with("dropped after")), "{notes:?}");
}

/// Does what the path asks for.
struct Answers {
    origin: SocketAddr,
    notebook: Notebook,
}

impl Answers {
    fn note_end<T>(&self, end: Result<T>) -> Result<T> {
        if let Err(error) = &end {
            self.notebook.note(error.outcome().label());
        }
        end
    }
}

impl HttpApp for Answers {
    async fn serve(&self, mut request: Incoming, responder: Responder) -> Result<()> {
        match request.head().path() {
            b"/read" => {
                let body = self.note_end(request.bytes(1 << 20).await)?;
                responder.send(Response::new(200).body(body)).await
            }
            b"/write" => {
                let writer = responder.begin(Response::new(200), None).await?;
                loop {
                    self.note_end(writer.write(vec![b'x'; 8192]).await)?;
                }
            }
            b"/tick" => {
                let writer = responder.begin(Response::new(200), None).await?;
                loop {
                    self.note_end(writer.write("tick").await)?;
                    rt::sleep(Duration::from_secs(1)).await;
                }
            }
            b"/hang" => {
                let _drops = Drops::new(&self.notebook);
                std::future::pending::<()>().await;
                Ok(())
            }
            b"/ask" => {
                let _drops = Drops::new(&self.notebook);
                Request::get(&format!("http://{}/", self.origin)).send().await?;
                responder.send(Response::new(200)).await
            }
            _ => responder.send(Response::new(404)).await,
        }
    }
}

fn answers(w: &World) -> Notes {
    let (notebook, noted) = channel();
    let notebook = Notebook(notebook);
    let origin: SocketAddr = w.origin().address().parse().unwrap();
    w.service(Service::app(move || Answers { origin, notebook: notebook.clone() }));
    Notes(noted)
}

#[test]
fn an_app_that_reads_learns_that_its_client_left() {
    scenario(|w| {
        let notes = answers(w);
        let head = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        let (c, d) = (w.client(), w.client());
        c.send(head);
        d.send(head);
        w.settle();
        c.close();
        notes.expect(w, &["downstream_closed"]);
        d.reset();
        notes.expect(w, &["downstream_closed"]);
        w.expect_outcomes(&["downstream_closed"; 2]);
    });
}

#[test]
fn an_app_that_reads_learns_why_nothing_more_comes() {
    simulated(|w| {
        let notes = answers(w);
        w.client().send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").expect_status(408);
        notes.expect(w, &["body_timeout"]);
        let chunked = "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let c = w.client();
        c.send(chunked);
        w.settle();
        c.send("no size\r\n").expect_status(400);
        notes.expect(w, &["malformed"]);
    });
}

#[test]
fn an_app_that_writes_learns_that_its_client_left() {
    simulated(|w| {
        let notes = answers(w);
        let c = w.client();
        c.stop_reading().get("/write");
        w.after("1s");
        c.reset();
        notes.expect(w, &["downstream_closed"]);
        let c = w.client();
        c.get("/tick").expect_status(200);
        w.after("1500ms");
        c.reset();
        notes.expect(w, &[]);
        w.after("1s");
        notes.expect(w, &["downstream_closed"]);
    });
}

#[test]
fn an_app_that_writes_learns_that_its_client_takes_nothing() {
    simulated(|w| {
        let notes = answers(w);
        w.client().stop_reading().get("/write");
        w.after("5m");
        notes.expect(w, &["downstream_write_timeout"]);
        w.expect_outcomes(&["downstream_write_timeout"]);
    });
}

#[test]
fn an_app_that_waits_for_others_is_dropped_when_its_client_leaves() {
    scenario(|w| {
        let notes = answers(w);
        w.origin().on("GET /").hang();
        let (c, d) = (w.client(), w.client());
        c.get("/hang");
        w.settle();
        c.close();
        notes.expect(w, &["dropped after 0 s"]);
        d.get("/ask");
        w.settle();
        d.close();
        notes.expect(w, &["dropped after 0 s"]);
        w.settle();
        assert_eq!(w.connections(), 0);
    });
}

#[test]
fn an_app_that_waits_for_others_is_dropped_when_the_process_stops() {
    scenario(|w| {
        let notes = answers(w);
        let c = w.client();
        c.get("/hang");
        w.settle();
        w.stop();
        c.expect_over();
        notes.expect(w, &["dropped after 0 s"]);
        w.expect_counter("panics", 0);
    });
}

#[test]
fn a_stream_app_writes_a_line_when_a_drain_takes_too_long() {
    scenario(|w| {
        let (notes, c) = stream(w, After::Ends);
        w.drain("50ms");
        c.send("d").expect_raw("abcd");
        w.after("100ms");
        c.expect_over();
        notes.expect(w, &["4 4 Err(\"stopped\")"]);
    });
}

/// Panics, where the path says so also when it is dropped.
struct Panics;

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("as asked");
        }
    }
}

impl StreamApp for Panics {
    async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
        while let Ok(Some(chunk)) = stream.read().await {
            stream.write_chunk(chunk).await?;
        }
        panic!("as asked");
    }
}

impl HttpApp for Panics {
    async fn serve(&self, request: Incoming, responder: Responder) -> Result<()> {
        match request.head().path() {
            b"/drop" => {
                let _panics = PanicsOnDrop;
                std::future::pending::<()>().await;
            }
            b"/told" => {
                let writer = responder.begin(Response::new(200).body("a"), None).await?;
                while writer.write("a").await.is_ok() {
                    rt::sleep(Duration::from_millis(5)).await;
                }
                panic!("as asked");
            }
            _ => responder.send(Response::new(200).body("ok")).await?,
        }
        Ok(())
    }
}

#[test]
fn an_app_that_panics_at_its_end_harms_nobody_else() {
    simulated(|w| {
        w.bear_panics();
        w.service(Service::app(|| Panics));
        w.settings(|s| s.tcp.push(TcpListener::new(address(), None)));
        w.streams(vec![Some(StreamService::app(|| Panics))]);
        let other = w.client();
        other.get("/").expect_ok("ok");
        for (path, panics) in [("/drop", 1), ("/told", 2)] {
            let c = w.client();
            c.get(path);
            w.after("1s");
            if c.has_response() {
                c.expect_status(200);
            }
            c.reset();
            w.after("1s");
            w.expect_counter("panics", panics);
        }
        let raw = w.client_of(&address());
        raw.tunnels().send("abc").expect_raw("abc").reset();
        let finishing = w.client_of(&address());
        finishing.tunnels().send("abc").expect_raw("abc").finish().expect_closed();
        w.expect_counter("panics", 4);
        other.get("/").expect_ok("ok").expect_kept_alive();
        assert_eq!(w.connections(), 1);
    });
}

#[test]
fn an_app_that_panics_when_the_process_stops_keeps_nobody_from_ending() {
    simulated(|w| {
        w.bear_panics();
        w.service(Service::app(|| Panics));
        let clients = ["/drop", "/told", "/drop"].map(|path| {
            let c = w.client();
            c.get(path);
            c
        });
        w.after("1s");
        w.stop();
        for c in clients {
            if c.has_response() {
                c.expect_status(200);
            }
            c.expect_over();
        }
        // The one that was told waited for the clock, and was dropped there.
        w.expect_counter("panics", 2);
    });
}
