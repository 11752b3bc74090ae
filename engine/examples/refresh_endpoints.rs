//! Endpoints that come and go while the server runs: a background service reads them from a file, again and again.
//!
//! ```sh
//! printf '127.0.0.1:9001\n127.0.0.1:9002\n' > endpoints.txt
//! cargo run -p ringway-engine --example refresh_endpoints -- 127.0.0.1:8080 endpoints.txt 1000
//! curl -i http://127.0.0.1:8080/
//! ```
//!
//! The file has an address on each line, and is read each 1000 milliseconds. It could as well be a registry that is
//! asked: the service has a thread of its own and may block.

use ringway_engine::prelude::*;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

type Endpoints = Vec<SocketAddr>;

/// Reads the file, and tells all shards.
struct Discovery {
    file: PathBuf,
    pause: Duration,
    endpoints: Published<Endpoints>,
}

impl BackgroundService for Discovery {
    fn name(&self) -> &str {
        "discovery"
    }

    fn run(&mut self, ready: Ready, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            // A file that cannot be read or understood fails the service: it is logged, tried again, and the endpoints
            // stay as they were.
            let text = std::fs::read_to_string(&self.file)?;
            let endpoints: Endpoints = text.lines().map(str::parse).collect::<Result<_, _>>()?;
            if endpoints != *self.endpoints.latest() {
                println!("endpoints: {endpoints:?}");
                self.endpoints.publish(endpoints);
            }
            ready.notify();
            if shutdown.wait_timeout(self.pause) {
                return Ok(());
            }
        }
    }
}

/// Takes them in turn.
struct Balancer {
    endpoints: Reader<Endpoints>,
    next: Cell<usize>,
}

impl Proxy for Balancer {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        let endpoints = self.endpoints.get();
        let turn = self.next.replace(self.next.get().wrapping_add(1));
        let endpoint = endpoints.get(turn % endpoints.len().max(1)).or_refuse(503)?;
        // One that is gone already costs an attempt, and another is asked.
        Ok(Peer::address(*endpoint).retries(2))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, file) = (arg("127.0.0.1:8080"), arg("endpoints.txt").into());
    let pause = Duration::from_millis(arg("1000").parse()?);
    let endpoints = Published::new(Endpoints::new());
    let discovery = Discovery { file, pause, endpoints: endpoints.clone() };
    Server::builder()
        .listen(
            listen,
            Service::proxy(move || Balancer { endpoints: endpoints.reader(), next: Cell::new(0) }),
        )
        // Nobody is let in before there are endpoints.
        .background(Background::new(discovery).before_listening().restart(Restart::on_failure()))
        .announce()
        .run()?;
    Ok(())
}
