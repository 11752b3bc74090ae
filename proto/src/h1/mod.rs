//! HTTP/1: one message after another in each direction of a connection (RFC 9112).
//!
//! [`Codec`] turns received bytes into [`crate::message::Part`]s and parts into bytes, in either role. It
//! decides nothing about proxying: what concerns only the connection (framing, persistence, `Upgrade`) it reads
//! and writes itself, everything else it passes as it came.
//!
//! Read `codec` (the exchange and when the next one may begin), then `body` and `encode`; [`head`],
//! [`chunked`] and `input` are what these stand on.

mod body;
pub mod chunked;
mod codec;
mod encode;
pub mod head;
mod input;
mod request;

pub use codec::{Codec, CodecLimits};
pub use request::request;
