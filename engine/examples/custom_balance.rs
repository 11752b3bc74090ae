//! A balancing algorithm of one's own: the origin that has the least to do, and the same one for the same session.
//!
//! ```sh
//! cargo run -p ringway-engine --example custom_balance -- 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002 127.0.0.1:9003
//! curl -i http://127.0.0.1:8080/                      # whoever has least to do
//! curl -i -H 'x-session: 17' http://127.0.0.1:8080/   # always the same
//! ```

use ringway_engine::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What one shard knows of one cluster.
struct LeastBusy {
    /// Where the search begins: of equals another each time.
    next: usize,
}

impl Balance for LeastBusy {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        match candidates.key() {
            Some(key) => of_key(key, candidates),
            None => self.least_busy(candidates),
        }
    }
}

impl LeastBusy {
    fn least_busy(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        let len = candidates.endpoints().len();
        let begin = self.next;
        self.next = (begin + 1) % len;
        let in_turn = (begin..begin + len).map(|index| index % len);
        in_turn
            .filter(|&index| candidates.is_usable(index))
            .min_by_key(|&index| candidates.endpoints()[index].busy())
    }
}

/// The origin with the greatest hash together with this key: when an origin leaves, only its own keys move. So do those
/// of one that does not take connections, for as long as that lasts.
fn of_key(key: &[u8], candidates: &Candidates<'_>) -> Option<usize> {
    let hash = |text: &str| {
        let mut hasher = DefaultHasher::new();
        (key, text).hash(&mut hasher);
        hasher.finish()
    };
    candidates.usable().max_by_key(|(_, endpoint)| hash(&endpoint.text)).map(|(index, _)| index)
}

struct BySession;

impl Proxy for BySession {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        let peer = Peer::cluster("app");
        Ok(match session.request().fields.find("x-session") {
            Some(session) => peer.balance_key(session),
            None => peer,
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".into());
    let mut origins: Vec<String> = args.collect();
    if origins.is_empty() {
        origins = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"].map(String::from).into();
    }
    Server::builder()
        .balance("least-busy", |_| LeastBusy { next: 0 })
        .cluster_with("app", origins, |cluster| cluster.balance = "least-busy".into())
        .listen(listen, Service::proxy(|| BySession))
        .announce()
        .run()?;
    Ok(())
}
