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

impl StreamApp for Relay {
    async fn serve(&self, stream: Stream, client: &Downstream) -> Result<()> {
        let origin = Connector::new(Peer::address(self.origin)).connect().await?;
        let relayed = relay(&stream, &origin).await.map(drop);
        // However it ended: a connection that breaks is an error of whoever reads from it or writes to it.
        let Downstream { address, port, .. } = client;
        let Traffic { received, sent } = stream.traffic();
        println!("{address}:{port}: {received} bytes there, {sent} back");
        relayed
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, origin) = (arg("127.0.0.1:8080"), arg("127.0.0.1:9001").parse()?);
    Server::builder().stream(listen, StreamService::app(move || Relay { origin })).announce().run()?;
    Ok(())
}
