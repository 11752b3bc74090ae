//! Apps: user code that answers by itself, on the same listeners as proxies.
//!
//! To its shard an app is an upstream in memory: requests reach it through the same exchange, with the same filters,
//! limits and logs, and its answers are relayed like an origin's. Each request is served by a task of its shard.
//!
//! [`HttpApp`] answers requests, [`StreamApp`] serves connections of opaque bytes.

mod http;
mod stream;

pub(crate) use http::proxy;
pub use http::{HttpApp, Incoming, Responder, Writer};
pub use stream::StreamApp;
pub(crate) use stream::stream;
