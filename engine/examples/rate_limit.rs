//! So many requests for each key, then 429 with a `Retry-After`.
//!
//! ```sh
//! cargo run -p ringway-engine --example rate_limit -- 127.0.0.1:8080 127.0.0.1:9001 3 60
//! curl -i -H 'x-api-key: abc' http://127.0.0.1:8080/    # four times
//! ```
//!
//! Here: three requests in each 60 seconds. One limiter is shared by all shards, so the limit is that of the process.

use ringway_engine::meter::{Quota, SharedRateLimiter};
use ringway_engine::prelude::*;
use std::time::Duration;

struct Limited {
    limiter: SharedRateLimiter,
}

impl Proxy for Limited {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let Some(key) = session.request().fields.find("x-api-key") else {
            return Ok(Response::new(401).body("There is no X-Api-Key.\n").into());
        };
        Ok(match self.limiter.check(rt::now(), key) {
            Ok(()) => Flow::Continue,
            Err(wait) => {
                let seconds = wait.seconds().to_string();
                Response::new(429).header("retry-after", seconds).body("Not so fast.\n").into()
            }
        })
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("origin"))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, origin) = (arg("127.0.0.1:8080"), arg("127.0.0.1:9001"));
    let (requests, seconds) = (arg("3").parse()?, arg("60").parse()?);
    let limiter = SharedRateLimiter::new(Quota::new(requests, Duration::from_secs(seconds)));
    let limited = move || Limited { limiter: limiter.clone() };
    Server::builder().listen(listen, Service::proxy(limited)).cluster("origin", [origin]).announce().run()?;
    Ok(())
}
