//! Relays bytes, whatever they mean, and says how many went each way.
//!
//! ```sh
//! cargo run --example tcp_proxy -- 127.0.0.1:8080 127.0.0.1:9001
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
        let begun = rt::now();
        let origin = Connector::new(Peer::address(self.origin)).connect().await?;
        let (to_origin, to_client) = relay(&stream, &origin).await?;
        let Downstream { address, port, .. } = client;
        println!("{address}:{port}: {to_origin} bytes there, {to_client} back, {:?}", rt::now() - begun);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, origin) = (arg("127.0.0.1:8080"), arg("127.0.0.1:9001").parse()?);
    Server::builder().stream(listen, StreamService::app(move || Relay { origin })).announce().run()?;
    Ok(())
}
