//! What the compression filter costs: exchanges whose responses are coded, at the default levels, and such that it leaves
//! as they are.
//!
//! `plain` has no filter. `left` has it, for a client that accepts every coding and content that is not coded: the
//! negotiation alone. The others are coded. Each with 1 KiB of text and with 10: what a KiB costs is a ninth of the
//! difference, what is left of the shorter is the coder's beginning and end.

use super::Case;
use super::exchange::OnWire;
use ringway_engine::coding::{Coding, Policy};
use ringway_engine::filter::Compression;
use ringway_engine::prelude::*;
use ringway_engine::service::Services;

pub(super) fn cases() -> Vec<Case> {
    let of = |kibibytes: usize| {
        let case = |name: &str, content_type: &str, services: Services| {
            let answer = answer(content_type, kibibytes * 1024);
            let on_wire = OnWire::new(REQUEST, &answer, None, &services);
            Case { name: format!("compress/{name}-{kibibytes}k"), work: Box::new(on_wire) }
        };
        let coded = |coding: Coding| case(coding.token(), "text/plain", services(Some(coding)));
        [
            case("plain", "text/plain", services(None)),
            case("left", "image/png", services(Some(Coding::Gzip))),
            coded(Coding::Gzip),
            coded(Coding::Zstd),
            coded(Coding::Brotli),
        ]
    };
    [of(1), of(10)].into_iter().flatten().collect()
}

fn services(coding: Option<Coding>) -> Services {
    let service = Service::proxy(|| Nothing);
    let service = match coding {
        Some(coding) => {
            let policy = Policy { offered: vec![coding], ..Policy::default() };
            service.in_front(move || Compression::new(policy.clone()))
        }
        None => service,
    };
    Services::new(vec![Some(service)])
}

/// Only what has to be written.
struct Nothing;

impl Proxy for Nothing {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster_at(0))
    }
}

/// A client that accepts every coding.
const REQUEST: &str =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n";

fn answer(content_type: &str, bytes: usize) -> String {
    let content = text(bytes);
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {bytes}\r\n\r\n{content}")
}

/// English, always the same.
fn text(bytes: usize) -> String {
    let text = &include_str!("../../../LICENSE-APACHE")[..bytes - 1];
    // As the others, it ends so.
    format!("{text}x")
}
