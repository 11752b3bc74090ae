//! What is asked and what is answered: all of it follows from the seed of a world and the number of a request, so
//! that every end knows what the others meant.

use crate::http::Message;
use ringway_engine::io::Close;
use ringway_engine::io::sim::Welcome;
use ringway_engine::io::sim::{Conditions, Rng};
use ringway_engine::settings::{Address, Cluster, Endpoint, RouteAction, Settings, TcpListener};
use std::time::Duration;

/// What one world is like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Nobody does anything that a correct proxy could not bear: every request is answered as it was meant.
    pub(crate) is_clean: bool,
    /// Every byte travels alone, so there are few.
    pub(crate) is_tiny: bool,
    pub(crate) conditions: Conditions,
    pub(crate) origins: usize,
    pub(crate) users: usize,
    /// Requests of one user.
    pub(crate) asks: usize,
    pub(crate) shards: usize,
    /// Raw connections.
    pub(crate) tunnels: usize,
    /// What happens to the proxy and its origins, and when.
    pub(crate) mishaps: Vec<(Duration, Mishap)>,
}

/// Something that nobody on the wire does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// An origin treats new connections so from now on.
    Welcome(usize, Welcome),
    /// A shard is told to stop gracefully, within a time.
    Drain(usize, Duration),
    /// A shard is told to stop at once.
    Stop(usize),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    pub(crate) method: &'static str,
    pub(crate) is_http10: bool,
    pub(crate) expects: bool,
    pub(crate) says_close: bool,
    /// Asks for a WebSocket; so many bytes of what it will say there come right behind the head.
    pub(crate) upgrade: Option<usize>,
    pub(crate) content: Content,
}

/// The content of a message.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) framing: Framed,
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_trailers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    Nothing,
    Length,
    Chunked,
    UntilClose,
}

/// One response, on one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) is_http10: bool,
    pub(crate) says_close: bool,
    /// So many bytes of what the origin says on a WebSocket come right behind the 101.
    pub(crate) behind_switch: usize,
    pub(crate) content: Content,
    /// Answers before the request is complete.
    pub(crate) is_early: bool,
    pub(crate) delay: Option<Duration>,
    pub(crate) ending: Ending,
}

/// What an origin does instead of, or behind, a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing: it waits for the next request.
    Open,
    /// Ends the connection this much later.
    Later(Duration, Close),
    /// Stops behind so many bytes of the response, in a thousand of all.
    Cut(usize, Close),
    /// Stops in the same place and leaves the connection open.
    Hang(usize),
    /// Sends something that is no response.
    Garbage,
    /// Sends more than the response.
    Surplus,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let is_clean = rng.chance(350);
        let is_tiny = rng.chance(120);
        let mut conditions = match rng.below(10) {
            _ if is_tiny => Conditions { packet_bytes: 1, shuffled: true, ..Conditions::calm() },
            0 => Conditions::calm(),
            1..=4 => Conditions::rough(),
            _ if is_clean => Conditions::rough(),
            _ => Conditions::hostile(),
        };
        conditions.buffer_bytes = *rng.pick(&[1000, 8_000, 64_000, 200_000]);
        let (origins, shards) = (rng.between(1, 3), *rng.pick(&[1, 1, 1, 2]));
        Self {
            seed,
            is_clean,
            is_tiny,
            conditions,
            origins,
            users: rng.between(1, 5),
            asks: rng.between(1, 14),
            shards,
            tunnels: *rng.pick(&[0, 0, 0, 1, 3]),
            mishaps: if is_clean { Vec::new() } else { mishaps(&mut rng, origins, shards) },
        }
    }

    /// What an end of a raw connection, or of a request that switched to one, sends.
    pub(crate) fn raw_content(&self, id: u64, is_client: bool) -> Vec<u8> {
        let most = match self.is_tiny {
            true => 300,
            // There are more of them, and the exchanges are what takes the time.
            false if is_upgrade(id) => (self.conditions.buffer_bytes * 2).min(8_000),
            false => (self.conditions.buffer_bytes * 2).min(30_000),
        };
        crate::tunnel::content(self.seed, id, is_client, most)
    }

    fn rng(&self, what: u64, id: u64) -> Rng {
        let mut rng = Rng::new(self.seed ^ (what << 56) ^ id.wrapping_mul(0x9e37_79b9));
        rng.word();
        rng
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut rng = self.rng(1, 0);
        let endpoints = (0..self.origins).map(|n| Endpoint { address: origin_address(n), weight: 1 });
        let mut cluster = Cluster::new("app", endpoints.collect());
        cluster.retries_max = rng.between(0, 3) as u32;
        cluster.keepalive.idle_max = *rng.pick(&[0, 1, 2, 100]);
        let mut settings = Settings::reverse_proxy(proxy_address(), vec![]);
        let raw = Endpoint { address: raw_origin_address(), weight: 1 };
        settings.clusters = vec![cluster, Cluster::new("raw", vec![raw])];
        settings.tcp = vec![TcpListener::new(raw_address(), Some("raw".into()))];
        settings.sites[0].routes[0].action = RouteAction::Proxy { cluster: "app".into() };
        settings.limits.replay_bytes = *rng.pick(&[0, 100, 64 * 1024]);
        settings.limits.keepalive_requests = *rng.pick(&[1, 3, 1_000_000]);
        settings
    }

    /// The request with this number.
    pub(crate) fn ask(&self, id: u64) -> Ask {
        let mut rng = self.rng(2, id);
        let method =
            *rng.pick(&["GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"]);
        let is_http10 = rng.chance(80);
        let framing = match method {
            "POST" | "PUT" => *rng.pick(&[Framed::Length, Framed::Chunked]),
            _ if rng.chance(100) => *rng.pick(&[Framed::Length, Framed::Chunked]),
            _ => Framed::Nothing,
        };
        let framing = if is_http10 && framing == Framed::Chunked { Framed::Length } else { framing };
        let content = self.content(&mut rng, framing);
        let may_upgrade = method == "GET" && framing == Framed::Nothing && !is_http10;
        let upgrade = (may_upgrade && rng.chance(100)).then(|| *rng.pick(&[0, 0, 1, 20, 5000]));
        Ask {
            id,
            method,
            is_http10,
            expects: !is_http10 && !content.bytes.is_empty() && rng.chance(200),
            says_close: upgrade.is_none() && rng.chance(80),
            upgrade: upgrade.map(|behind| behind.min(self.raw_content(id, true).len())),
            content,
        }
    }

    /// The response to the request with this number, when it comes to an origin for the `attempt`th time.
    pub(crate) fn answer(&self, id: u64, attempt: u64) -> Answer {
        let mut rng = self.rng(3, id * 1000 + attempt);
        let switches = self.ask(id).upgrade.is_some() && rng.chance(600);
        let is_http10 = !switches && rng.chance(60);
        let status = match switches {
            true => 101,
            false => *rng.pick(&[200, 200, 200, 200, 201, 204, 304, 404, 426, 500]),
        };
        let framing = match rng.below(10) {
            0 => Framed::UntilClose,
            1..=4 if !is_http10 => Framed::Chunked,
            _ => Framed::Length,
        };
        let framing = if matches!(status, 101 | 204 | 304) { Framed::Nothing } else { framing };
        let content = self.content(&mut rng, framing);
        let interim = match rng.below(8) {
            0 if !is_http10 => vec![103; rng.between(1, 3)],
            1 if !is_http10 => vec![100],
            2 if !is_http10 => vec![102, 100, 103],
            _ => Vec::new(),
        };
        let delay = rng.chance(200).then(|| Duration::from_micros(rng.between(0, 50_000) as u64));
        Answer {
            interim,
            status,
            is_http10,
            says_close: !switches && rng.chance(100),
            behind_switch: (*rng.pick(&[0, 0, 1, 20, 5000])).min(self.raw_content(id, false).len()),
            content,
            is_early: rng.chance(80),
            delay,
            ending: match ending(&mut rng) {
                _ if self.is_clean => Ending::Open,
                // Behind the 101 the two ends of the tunnel do what is to be done.
                Ending::Later(..) | Ending::Surplus | Ending::Cut(1000, _) | Ending::Hang(1000)
                    if switches =>
                {
                    Ending::Open
                }
                ending => ending,
            },
        }
    }

    fn content(&self, rng: &mut Rng, framing: Framed) -> Content {
        let len = match framing {
            Framed::Nothing => 0,
            _ if self.is_tiny => *rng.pick(&[0, 1, 2, 30, 200]),
            _ => match rng.below(100) {
                0..=9 => 0,
                10..=29 => rng.between(1, 10),
                30..=84 => rng.between(1, 2_000),
                85..=96 => rng.between(1, 15_000),
                97..=98 => rng.between(1, self.conditions.buffer_bytes * 2),
                _ => rng.between(1, self.conditions.buffer_bytes * 5).min(300_000),
            },
        };
        let has_trailers = framing == Framed::Chunked && rng.chance(200);
        Content { framing, bytes: rng.text(len), has_trailers }
    }
}

/// Now and then origins come and go, and shards stop.
fn mishaps(rng: &mut Rng, origins: usize, shards: usize) -> Vec<(Duration, Mishap)> {
    let mut mishaps = Vec::new();
    let soon = |rng: &mut Rng| Duration::from_micros(rng.between(0, 60_000) as u64);
    if rng.chance(300) {
        let origin = rng.below(origins);
        let welcome = *rng.pick(&[Welcome::Refuse, Welcome::Silence, Welcome::Ignore]);
        mishaps.push((soon(rng), Mishap::Welcome(origin, welcome)));
        mishaps.push((soon(rng) + soon(rng), Mishap::Welcome(origin, Welcome::Accept)));
    }
    if rng.chance(200) {
        let within = *rng.pick(&[Duration::from_millis(1), Duration::from_secs(30)]);
        mishaps.push((soon(rng), Mishap::Drain(rng.below(shards), within)));
    }
    if rng.chance(50) {
        mishaps.push((soon(rng), Mishap::Stop(rng.below(shards))));
    }
    mishaps
}

fn ending(rng: &mut Rng) -> Ending {
    let how = if rng.chance(500) { Close::Gentle } else { Close::Reset };
    match rng.below(100) {
        0..=69 => Ending::Open,
        70..=81 => Ending::Later(Duration::from_micros(rng.between(0, 3000) as u64), how),
        // The first and the last byte are where it is interesting.
        82..=84 => Ending::Cut(0, how),
        85..=91 => Ending::Cut(rng.between(1, 999), how),
        92..=93 => Ending::Cut(1000, how),
        94..=95 => Ending::Hang(rng.between(0, 1000)),
        96..=97 => Ending::Garbage,
        _ => Ending::Surplus,
    }
}

impl Ask {
    /// Whether the request may be sent twice.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method != "POST" && self.upgrade.is_none()
    }

    /// The head.
    pub(crate) fn head(&self) -> Vec<u8> {
        let version = if self.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head =
            format!("{} /{} {version}\r\nHost: example.com\r\nX-Id: {}\r\n", self.method, self.id, self.id);
        head += &self.content.framing_line();
        if self.expects {
            head += "Expect: 100-continue\r\n";
        }
        if self.upgrade.is_some() {
            head += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        }
        match (self.is_http10, self.says_close) {
            (_, true) => head += "Connection: close\r\n",
            (true, false) => head += "Connection: keep-alive\r\n",
            (false, false) => {}
        }
        (head + "\r\n").into_bytes()
    }
}

impl Answer {
    /// Everything that is sent for a request with `method`, and where the final head and the content begin.
    pub(crate) fn wire(&self, id: u64, attempt: u64, method: &str) -> (Vec<u8>, usize) {
        let mut wire = String::new();
        for status in &self.interim {
            wire += &format!("HTTP/1.1 {status} Interim\r\nX-Id: {id}\r\n\r\n");
        }
        let version = if self.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        wire += &format!("{version} {} Status\r\nX-Id: {id}\r\nX-Attempt: {attempt}\r\n", self.status);
        wire += &self.content.framing_line();
        if self.status == 101 {
            wire += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        }
        match (self.is_http10, self.says_close) {
            (_, true) => wire += "Connection: close\r\n",
            (true, false) => wire += "Connection: keep-alive\r\n",
            (false, false) => {}
        }
        wire += "\r\n";
        let mut wire = wire.into_bytes();
        let content_at = wire.len();
        if self.has_content(method) {
            wire.extend(self.content.wire(&mut Rng::new(id)));
        }
        (wire, content_at)
    }

    pub(crate) fn has_content(&self, method: &str) -> bool {
        method != "HEAD" && !matches!(self.status, 204 | 304)
    }

    /// Whether the response ends with its connection.
    pub(crate) fn is_until_close(&self, method: &str) -> bool {
        self.has_content(method) && self.content.framing == Framed::UntilClose
    }

    /// How many bytes of `len` are sent.
    pub(crate) fn sent(&self, len: usize) -> usize {
        match self.ending {
            Ending::Cut(part, _) | Ending::Hang(part) => len * part / 1000,
            Ending::Garbage => 0,
            Ending::Open | Ending::Later(..) | Ending::Surplus => len,
        }
    }

    /// What the client must have when its response is complete; `None` when it must never be.
    pub(crate) fn meant(&self, id: u64, attempt: u64, method: &str) -> Option<Vec<u8>> {
        let (wire, content_at) = self.wire(id, attempt, method);
        let sent = self.sent(wire.len());
        let all = if self.has_content(method) { &self.content.bytes[..] } else { &[] };
        match self.ending {
            _ if sent < content_at => None,
            // What ends with its connection is as long as it is when that ends in order.
            Ending::Cut(_, Close::Gentle) if self.is_until_close(method) => {
                Some(wire[content_at..sent].to_vec())
            }
            Ending::Cut(_, Close::Reset) | Ending::Hang(_) if self.is_until_close(method) => None,
            Ending::Later(_, Close::Reset) if self.is_until_close(method) => None,
            _ if sent < wire.len() => None,
            Ending::Surplus if self.is_until_close(method) => Some([all, SURPLUS].concat()),
            _ => Some(all.to_vec()),
        }
    }

    /// Checks what a client got of it.
    pub(crate) fn check(&self, ask: &Ask, attempt: u64, got: &Message) {
        assert_eq!(got.status(), self.status, "the status of {}", ask.id);
        let all: &[u8] = if self.has_content(ask.method) { &self.content.bytes } else { &[] };
        let all = [all, SURPLUS].concat();
        assert!(all.starts_with(&got.body), "{}: these bytes were never sent for it", ask.id);
        if !got.is_complete {
            return;
        }
        let meant = self.meant(ask.id, attempt, ask.method);
        let meant =
            meant.unwrap_or_else(|| panic!("{}: a response that was cut looks complete: {self:?}", ask.id));
        assert!(
            got.body == meant,
            "{}: {} bytes instead of {}: {self:?}",
            ask.id,
            got.body.len(),
            meant.len()
        );
        let has_trailers = self.content.has_trailers && self.has_content(ask.method) && !ask.is_http10;
        let trailers: &[_] = if has_trailers { &[("X-Sum".to_string(), "1".to_string())] } else { &[] };
        assert_eq!(got.trailers, trailers, "the trailers of {}", ask.id);
    }
}

impl Content {
    fn framing_line(&self) -> String {
        match self.framing {
            Framed::Length => format!("Content-Length: {}\r\n", self.bytes.len()),
            Framed::Chunked => "Transfer-Encoding: chunked\r\n".into(),
            Framed::Nothing | Framed::UntilClose => String::new(),
        }
    }

    /// The content as it is sent; chunks are cut at random.
    pub(crate) fn wire(&self, rng: &mut Rng) -> Vec<u8> {
        if self.framing != Framed::Chunked {
            return self.bytes.clone();
        }
        let mut wire = Vec::new();
        let mut rest = &self.bytes[..];
        let most = *rng.pick(&[1, 10, 1000, 100_000]).max(&(self.bytes.len() / 50 + 1));
        while !rest.is_empty() {
            let len = rng.between(1, most).min(rest.len());
            let extension = if rng.chance(100) { ";name=\"value\"" } else { "" };
            wire.extend(format!("{len:X}{extension}\r\n").into_bytes());
            wire.extend(&rest[..len]);
            wire.extend(b"\r\n");
            rest = &rest[len..];
        }
        let trailers = if self.has_trailers { "0\r\nX-Sum: 1\r\n\r\n" } else { "0\r\n\r\n" };
        wire.extend(trailers.as_bytes());
        wire
    }
}

/// Whether a raw connection of this number is a request that switched; the others have numbers from
/// [`TUNNEL_FIRST`] on.
pub(crate) fn is_upgrade(id: u64) -> bool {
    id < TUNNEL_FIRST
}

pub(crate) const TUNNEL_FIRST: u64 = 10_000_000;

/// What a response that goes on too long goes on with: it looks like another one.
pub(crate) const SURPLUS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Id: 0\r\n\r\npoison";

pub(crate) fn proxy_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 80).into())
}

pub(crate) fn raw_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 5432).into())
}

pub(crate) fn raw_origin_address() -> Address {
    Address::Tcp(([203, 0, 113, 200], 5432).into())
}

pub(crate) fn origin_address(index: usize) -> Address {
    Address::Tcp(([203, 0, 113, 1 + index as u8], 8080).into())
}
