//! One origin, and another for when the first cannot be had.
//!
//! ```sh
//! cargo run -p ringway-engine --example failover -- 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002
//! curl -i http://127.0.0.1:8080/
//! ```

use ringway_engine::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

struct Failover {
    /// The first is asked first.
    origins: [SocketAddr; 2],
}

impl Failover {
    /// Whether there is one that was not asked yet.
    fn has_another(&self, session: &Session) -> bool {
        (session.attempts() as usize) < self.origins.len()
    }
}

impl Proxy for Failover {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        // So many were asked before.
        let origin = self.origins[session.attempts() as usize];
        Ok(Peer::address(origin).connect_timeout(Duration::from_secs(1)))
    }

    async fn fail_to_connect(&self, session: &mut Session, error: &mut Error, (): &mut ()) {
        // Nothing was sent, so any request may go elsewhere.
        error.set_retry(self.has_another(session));
    }

    async fn error_while_proxy(&self, session: &mut Session, error: &mut Error, (): &mut ()) {
        // It may have been carried out: only what does no harm twice is sent again.
        let is_idempotent = session.request().method().is_idempotent();
        error.set_retry(is_idempotent && self.has_another(session));
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        (): &mut (),
    ) -> Result<()> {
        Ok(response.fields.set("x-attempts", session.attempts().to_string())?)
    }

    async fn fail_to_proxy(&self, _: &mut Session, error: &Error, (): &mut ()) -> Option<Response> {
        let response = Response::new(error.status()).header("retry-after", "5");
        Some(response.body(format!("Nobody can answer: {}.\n", error.outcome())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let listen = arg("127.0.0.1:8080");
    let origins = [arg("127.0.0.1:9001").parse()?, arg("127.0.0.1:9002").parse()?];
    Server::builder().listen(listen, Service::proxy(move || Failover { origins })).announce().run()?;
    Ok(())
}
