//! Relays one small exchange many times through a server and a client codec: what a proxy's codecs cost.
//!
//! `cargo build --release -p ringway-proto --example relay_cost`, then count instructions by function:
//! `valgrind --tool=callgrind --toggle-collect='*relay_once*' relay_cost 1000`. Or run it and read the time.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use ringway_proto::chunk::{Pool, SendQueue};
use ringway_proto::h1::{Codec, CodecLimits};
use std::rc::Rc;
use std::time::Instant;

const REQUEST: &[u8] = b"GET /static/app.js?v=12345 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 15:00:00 GMT\r\n\
    Content-Type: application/javascript\r\nContent-Length: 128\r\nLast-Modified: Mon, 23 Nov 2026 14:00:00 GMT\r\n\
    ETag: \"0123456789abcdef\"\r\nCache-Control: max-age=3600\r\nAccept-Ranges: bytes\r\n\r\n\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

struct Relay {
    pool: Pool,
    server: Codec,
    client: Codec,
    to_client: SendQueue,
    to_origin: SendQueue,
}

impl Relay {
    fn new() -> Self {
        let limits = Rc::new(CodecLimits::default());
        let pool = Pool::new();
        Self {
            server: Codec::server(limits.clone(), pool.clone()),
            client: Codec::client(limits, pool.clone()),
            to_client: SendQueue::new(pool.clone()),
            to_origin: SendQueue::new(pool.clone()),
            pool,
        }
    }

    /// One exchange; says how many bytes left.
    #[inline(never)]
    fn relay_once(&mut self) -> usize {
        self.server.on_received(self.pool.copy(REQUEST));
        while let Some(part) = self.server.poll_part() {
            self.client.send(part, &mut self.to_origin);
        }
        self.client.on_received(self.pool.copy(RESPONSE));
        while let Some(part) = self.client.poll_part() {
            self.server.send(part, &mut self.to_client);
        }
        let sent = self.to_origin.len() + self.to_client.len();
        self.to_origin.clear();
        self.to_client.clear();
        assert!(self.server.is_reusable() && self.client.is_reusable());
        sent
    }
}

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(2_000_000);
    let mut relay = Relay::new();
    assert_eq!(relay.relay_once(), REQUEST.len() + RESPONSE.len());
    let started = Instant::now();
    let bytes: usize = (0..rounds).map(|_| relay.relay_once()).sum();
    let each = started.elapsed() / rounds;
    println!("{each:?} for each exchange, {bytes} bytes relayed");
}
