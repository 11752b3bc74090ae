//! A received head on its way to the other side: what the rules change about it, and encoding it.

use super::Case;
use super::vectors::{REQUESTS, RESPONSES};
use ringway_proto::chunk::{Pool, SendQueue};
use ringway_proto::h1::{Codec, CodecLimits};
use ringway_proto::message::{Name, Part, RequestHead, ResponseHead, Version};
use ringway_proto::rules::{forwarded, hop_by_hop};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::LazyLock;

static VIA: LazyLock<forwarded::Via> = LazyLock::new(|| forwarded::Via::new("ringway").expect("a token"));

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["wrk", "chrome"] {
        let bytes = head(REQUESTS, name);
        let make = move || Made::request(bytes);
        cases.push(Case::staged(&format!("rules-request/{name}"), make, |made| {
            forward_request(black_box(made.head.as_mut().expect("made")));
        }));
        let make = move || {
            let mut made = Made::request(bytes);
            made.head.as_mut().map(forward_request);
            made
        };
        cases.push(Case::staged(&format!("encode-request/{name}"), make, |made| {
            made.codec.send_request(made.head.as_ref().expect("made"), &mut made.queue);
            black_box(&made.queue);
        }));
    }
    for name in ["nginx-static", "cdn-response"] {
        let bytes = head(RESPONSES, name);
        let make = move || Made::response(bytes);
        cases.push(Case::staged(&format!("rules-response/{name}"), make, |made| {
            forward_response(black_box(made.head.as_mut().expect("made")));
        }));
        let make = move || {
            let mut made = Made::response(bytes);
            made.head.as_mut().map(forward_response);
            made
        };
        // A response's head is given away, so dropping it is part of sending it.
        cases.push(Case::staged(&format!("encode-response/{name}"), make, |made| {
            made.codec.send(Part::Response(made.head.take().expect("made")), &mut made.queue);
            black_box(&made.queue);
        }));
    }
    cases
}

fn head(heads: &[(&str, &'static str)], name: &str) -> &'static [u8] {
    let found = heads.iter().find(|(other, _)| *other == name);
    found.expect("one of the recorded heads").1.as_bytes()
}

/// A parsed head, and the codec that is about to send it.
struct Made<H> {
    head: Option<H>,
    codec: Codec,
    queue: SendQueue,
}

impl Made<RequestHead> {
    fn request(bytes: &[u8]) -> Self {
        let (limits, pool) = (Rc::new(CodecLimits::default()), Pool::new());
        let mut server = Codec::server(limits.clone(), pool.clone());
        server.on_received(pool.copy(bytes));
        let Some(Part::Request(head)) = server.poll_part() else { panic!("a whole request head") };
        Self { head: Some(head), codec: Codec::client(limits, pool.clone()), queue: warm_queue(pool) }
    }
}

impl Made<ResponseHead> {
    fn response(bytes: &[u8]) -> Self {
        let (limits, pool) = (Rc::new(CodecLimits::default()), Pool::new());
        let asked = Made::request(head(REQUESTS, "wrk"));
        let mut client = Codec::client(limits.clone(), pool.clone());
        client.send_request(asked.head.as_ref().expect("made"), &mut SendQueue::new(pool.clone()));
        client.send(Part::End, &mut SendQueue::new(pool.clone()));
        client.on_received(pool.copy(bytes));
        let Some(Part::Response(response)) = client.poll_part() else { panic!("a whole response head") };
        let mut server = Codec::server(limits, pool.clone());
        server.on_received(pool.copy(head(REQUESTS, "wrk")));
        while server.poll_part().is_some() {}
        Self { head: Some(response), codec: server, queue: warm_queue(pool) }
    }
}

/// A queue that finds a buffer in its pool.
fn warm_queue(pool: Pool) -> SendQueue {
    drop(pool.small());
    SendQueue::new(pool)
}

/// What an exchange does to the head of a request that it forwards.
fn forward_request(head: &mut RequestHead) {
    head.fields.remove(Name::Expect);
    hop_by_hop::strip_request(&mut head.fields).expect("valid");
    let authority = head.authority_chunk();
    let hop = forwarded::Hop {
        client_ip: Some("198.51.100.7"),
        scheme: "http",
        host: &authority,
        is_trusted: false,
    };
    forwarded::set_x_forwarded(&mut head.fields, &hop);
    head.fields.remove(Name::Forwarded);
    VIA.append(&mut head.fields, Version::Http11);
    head.fields.replace(Name::XRequestId, b"0123456789abcdef0123456789abcdef").expect("valid");
}

/// What an exchange does to the head of a response that it forwards.
fn forward_response(head: &mut ResponseHead) {
    hop_by_hop::strip_response(&mut head.fields).expect("valid");
    VIA.append(&mut head.fields, head.version);
}
