//! Relays bytes, whatever they mean, and says how many went each way.
//!
//! ```sh
//! cargo run -p ringway-engine --example tcp_proxy -- 127.0.0.1:8080 127.0.0.1:9001
//! curl http://127.0.0.1:8080/
//! ```

use ringway_engine::client::relay;
use ringway_engine::prelude::*;
use std::net::SocketAddr;

struct Relay {
    origin: SocketAddr,
}

/// Says how much went each way, however the connection ends: one that breaks ends its app where that waits.
struct Log<'a> {
    stream: &'a Stream,
    client: &'a Downstream,
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        let Downstream { address, port, .. } = self.client;
        let Traffic { received, sent } = self.stream.traffic();
        println!("{address}:{port}: {received} bytes there, {sent} back");
    }
}

impl StreamApp for Relay {
    async fn serve(&self, stream: Stream, client: &Downstream) -> Result<()> {
        let _log = Log { stream: &stream, client };
        let origin = Connector::new(Peer::address(self.origin)).connect().await?;
        relay(&stream, &origin).await.map(drop)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, origin) = (arg("127.0.0.1:8080"), arg("127.0.0.1:9001").parse()?);
    Server::builder().stream(listen, StreamService::app(move || Relay { origin })).announce().run()?;
    Ok(())
}
