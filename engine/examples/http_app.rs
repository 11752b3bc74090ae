//! Answers by itself: routes, an answer that streams, and content that is read.
//!
//! ```sh
//! cargo run -p ringway-engine --example http_app -- 127.0.0.1:8080
//! curl http://127.0.0.1:8080/
//! curl -N http://127.0.0.1:8080/count
//! curl -d 'some words' http://127.0.0.1:8080/words
//! ```

use ringway_engine::prelude::*;
use std::time::Duration;

struct App;

impl HttpApp for App {
    async fn serve(&self, request: Incoming, responder: Responder) -> Result<()> {
        let head = request.head();
        match (head.method(), head.path()) {
            (Method::Get | Method::Head, b"/") => responder.send(Response::new(200).body("hello\n")).await,
            (Method::Get, b"/count") => count(responder).await,
            (Method::Post, b"/words") => words(request, responder).await,
            (_, b"/" | b"/count" | b"/words") => responder.send(Response::new(405)).await,
            _ => responder.send(Response::new(404).body("nothing here\n")).await,
        }
    }
}

/// An answer whose length nobody knows when it begins.
async fn count(responder: Responder) -> Result<()> {
    let writer = responder.begin(Response::new(200).header("content-type", "text/plain"), None).await?;
    for number in 1..=5 {
        // Waits here when the client reads slowly, and fails when it has left.
        writer.write(format!("{number}\n")).await?;
        rt::sleep(Duration::from_millis(100)).await;
    }
    writer.finish();
    Ok(())
}

/// Counts words, whatever the pieces are in which they come.
async fn words(mut request: Incoming, responder: Responder) -> Result<()> {
    let (mut words, mut is_in_word) = (0_u64, false);
    while let Some(chunk) = request.chunk().await? {
        for byte in &*chunk {
            let is_space = byte.is_ascii_whitespace();
            words += u64::from(!is_space && !is_in_word);
            is_in_word = !is_space;
        }
    }
    responder.send(Response::new(200).body(format!("{words}\n"))).await
}

fn main() -> Result<(), StartError> {
    let listen = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    Server::builder().listen(listen, Service::app(|| App)).announce().run()?;
    Ok(())
}
