//! What is noted of an exchange along the way: hooks may look at it, log and metrics are made of it.

use crate::observe::{RequestId, RequestIds};
use crate::settings::Address;
use crate::time::Instant;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Name, RequestHead};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// What is known of the client's connection; the same for all its exchanges.
#[derive(Debug)]
pub struct Downstream {
    /// The client's IP address as text, `unix` for a Unix-domain socket. Where a proxy in front of us says for whom it
    /// connects (PROXY protocol), this is what it says.
    pub address: Box<str>,
    /// The client's port; 0 for a Unix-domain socket.
    pub port: u16,
    /// Where the client connected to, as the proxy in front of us says; `None` where there is none.
    pub destination: Option<SocketAddr>,
    /// Whether its forwarding fields are believed.
    pub is_trusted: bool,
    /// `http`, `https`, or `tcp` where bytes are relayed as they are.
    pub scheme: &'static str,
    /// Index of the listener.
    pub listener: usize,
    /// Our end of the connection: of a listener at `0.0.0.0` or `[::]` that of the machine's addresses, of one at a
    /// Unix-domain socket its path, whatever a proxy in front of us says. `None` for who asks from within, by
    /// [`crate::client`].
    pub server_address: Option<Rc<Address>>,
}

impl Downstream {
    /// The client's IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// What was noted of one exchange.
#[derive(Debug)]
pub struct Facts {
    /// The client.
    pub downstream: Rc<Downstream>,
    /// Which request of its connection this is, from 1.
    pub number: u64,
    /// The request id.
    pub id: Id,
    /// The host and port that were asked for, whatever was sent on; empty where none was.
    pub host: Chunk,
    /// When things happened.
    pub times: Times,
    /// How much moved.
    pub traffic: Traffic,
}

/// A request id, made here or taken over from a trusted client.
#[derive(Clone, Debug)]
pub enum Id {
    /// Made here.
    Made(RequestId),
    /// As the client gave it.
    Taken(Box<[u8]>),
}

impl Id {
    /// The id of a request: one that the client gave is kept when it is trusted and can do no harm in a log; else one
    /// is made.
    pub fn of_request(head: &RequestHead, downstream: &Downstream, ids: &mut RequestIds) -> Self {
        match head.fields.get(Name::XRequestId) {
            Some(id) if downstream.is_trusted && crate::observe::is_acceptable(id) => Self::Taken(id.into()),
            _ => Self::Made(ids.make()),
        }
    }
}

impl std::ops::Deref for Id {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Made(id) => id,
            Self::Taken(id) => id,
        }
    }
}

/// When things happened. `None` for what did not.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The first byte of the request came (or the connection's turn to be served).
    pub begun: Instant,
    /// The upstream connection was ready, for the last attempt.
    pub connected: Option<Instant>,
    /// The last attempt began.
    pub attempted: Option<Instant>,
    /// The final response head came.
    pub first_byte: Option<Instant>,
}

impl Times {
    /// Nothing happened but the beginning.
    #[inline]
    pub(crate) fn since(begun: Instant) -> Self {
        Self { begun, connected: None, attempted: None, first_byte: None }
    }
}

/// Bytes that moved: content of an exchange, or all of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Content of the request, or what was read of a stream.
    pub received: u64,
    /// Content of the response that was queued for the client, or what was written to a stream.
    pub sent: u64,
}
