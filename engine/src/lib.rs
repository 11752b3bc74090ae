//! The ringway proxy engine, and the framework on it.
//!
//! Somebody who builds a proxy implements [`Proxy`], of which only the choice of the upstream has to be written, and
//! starts it with [`Server::builder`]. The guide in `docs/guide` begins there; `examples` has whole programs.
//! Everything that takes part in that is in [`prelude`]:
//!
//! - [`phase`]: the hooks, what they get and what they give;
//! - [`error`]: errors that say whose fault they are;
//! - [`rt`]: time, tasks and blocking work on a shard;
//! - [`client`]: asking others from within; [`app`]: answering by oneself;
//! - [`upstream::balance`]: which endpoint of a cluster is next;
//! - [`filter`]: filters that come along; [`meter`]: rates, limits and numbers in flight; [`coding`]: content codings;
//! - [`published`]: values that one thread publishes and every shard reads;
//! - [`service`], [`settings`], [`lifecycle`]: what is listened to, with whom, and for how long.
//!
//! The rest is the engine below: it is public so that tests and tools can drive it, and changes as it likes.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests stand outside of the machine"
    )
)]

/// Heads, fields and content of messages.
pub mod http {
    pub use bytes::Bytes;
    pub use ringway_proto::chunk::Chunk;
    pub use ringway_proto::message::{
        Body, Field, Fields, InvalidField, Method, Name, RequestHead, ResponseHead, Status, Version,
    };
}

/// What a proxy, a filter or an app is written with.
pub mod prelude {
    pub use crate::app::{HttpApp, Incoming, Responder, StreamApp, Writer};
    pub use crate::client::{self, Client, Connector, Stream};
    pub use crate::error::{Context, Error, Fault, Outcome, Result};
    pub use crate::http::{Bytes, Fields, Method, Name, RequestHead, ResponseHead, Status};
    pub use crate::lifecycle::{
        Background, BackgroundService, Failure, Listen, Ready, Restart, Server, ServerHandle, Shutdown,
        StartError, Stop,
    };
    pub use crate::phase::{
        Attachable, Connected, Content, ContentUse, Downstream, Filter, Flow, Peer, Proxy, Response, Session,
        Traffic,
    };
    pub use crate::published::{Published, Reader};
    pub use crate::rt;
    pub use crate::service::{Service, StreamService};
    pub use crate::settings::{Address, Cluster, Endpoint, KeepAlive, Limits, SocketOptions};
    pub use crate::upstream::{Balance, Candidates};
}

pub use error::{Error, Result};
pub use lifecycle::{Server, ServerBuilder, StartError};
pub use phase::{Filter, Proxy};

pub mod app;
pub mod client;
pub mod coding;
pub mod conn;
pub mod error;
pub mod exchange;
pub mod filter;
pub mod io;
pub mod keys;
pub mod lifecycle;
pub mod limits;
pub mod meter;
pub mod observe;
pub mod phase;
pub mod port;
pub mod published;
pub mod route;
pub mod rt;
pub mod service;
pub mod settings;
pub mod shard;
pub mod site;
pub mod snapshot;
pub mod time;
#[cfg(feature = "system-openssl")]
pub mod tls;
pub mod upstream;

/// The guide: its examples compile, and those that do not need a network run.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide/apps.md")]
    struct Apps;
    #[doc = include_str!("../../docs/guide/clients.md")]
    struct Clients;
    #[doc = include_str!("../../docs/guide/connection-pooling.md")]
    struct ConnectionPooling;
    #[doc = include_str!("../../docs/guide/error-handling.md")]
    struct ErrorHandling;
    #[doc = include_str!("../../docs/guide/failover.md")]
    struct Failover;
    #[doc = include_str!("../../docs/guide/filters.md")]
    struct Filters;
    #[doc = include_str!("../../docs/guide/from-pingora.md")]
    struct FromPingora;
    #[doc = include_str!("../../docs/guide/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../docs/guide/index.md")]
    struct Index;
    #[doc = include_str!("../../docs/guide/peers.md")]
    struct Peers;
    #[doc = include_str!("../../docs/guide/testing.md")]
    struct Testing;
}
