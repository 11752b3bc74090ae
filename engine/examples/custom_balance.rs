//! A balancing rule of one's own: the origin that has the least to do, and the same one for the same session.
//!
//! ```sh
//! cargo run -p ringway-engine --example custom_balance -- 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002 127.0.0.1:9003
//! curl -i http://127.0.0.1:8080/                      # whoever has least to do
//! curl -i -H 'x-session: 17' http://127.0.0.1:8080/   # always the same
//! ```

use ringway_engine::meter::{SharedGuard, SharedInflight};
use ringway_engine::prelude::*;
use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

struct LeastBusy {
    origins: Vec<SocketAddr>,
    /// Requests under way at each origin, of all shards.
    inflight: SharedInflight,
    /// Where the search begins: of equals another each time.
    next: Cell<usize>,
}

impl LeastBusy {
    fn least_busy(&self) -> SocketAddr {
        let begin = self.next.replace(self.next.get() + 1) % self.origins.len();
        let in_turn = self.origins[begin..].iter().chain(&self.origins[..begin]);
        *in_turn.min_by_key(|origin| self.inflight.count(*origin)).expect("there is an origin")
    }

    /// The origin with the greatest hash together with this key: when an origin leaves, only its own keys move.
    fn of_key(&self, key: &[u8]) -> SocketAddr {
        let hash = |origin: &&SocketAddr| {
            let mut hasher = DefaultHasher::new();
            (key, origin).hash(&mut hasher);
            hasher.finish()
        };
        *self.origins.iter().max_by_key(hash).expect("there is an origin")
    }
}

impl Proxy for LeastBusy {
    /// Counts at an origin until the exchange is over.
    type Ctx = Option<SharedGuard>;

    fn new_ctx(&self) -> Self::Ctx {
        None
    }

    async fn upstream_peer(&self, session: &mut Session, guard: &mut Self::Ctx) -> Result<Peer> {
        // Of an attempt before this one.
        *guard = None;
        let origin = match session.request().fields.find("x-session") {
            // Where its own is down, a session begins anew elsewhere.
            Some(key) if session.attempts() == 0 => self.of_key(key),
            _ => self.least_busy(),
        };
        *guard = Some(self.inflight.begin(&origin));
        Ok(Peer::address(origin).retries(1))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".into());
    let mut origins = args.map(|arg| arg.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    if origins.is_empty() {
        origins = [9001, 9002, 9003].map(|port| ([127, 0, 0, 1], port).into()).into();
    }
    let inflight = SharedInflight::new();
    let service = Service::proxy(move || LeastBusy {
        origins: origins.clone(),
        inflight: inflight.clone(),
        next: Cell::new(0),
    });
    Server::builder().listen(listen, service).announce().run()?;
    Ok(())
}
