//! Sans-IO HTTP: bytes in, message parts out, and back.
//!
//! Nothing here owns a socket, reads a clock or runs a task. Bytes arrive as [`chunk::Chunk`]s, leave through
//! a [`chunk::SendQueue`], and in between are [`message::Part`]s, the same for every version of HTTP.
//!
//! Read [`span`] and [`chunk`], then [`message`], then [`rules`], then [`h1`]. What stands before a protocol on its
//! connection, or shows which it is, is in [`proxy_protocol`] and
//! [`tls_hello`].

pub mod chunk;
pub mod h1;
mod input;
pub mod message;
pub mod proxy_protocol;
pub mod raw;
pub mod rules;
pub mod scan;
pub mod span;
pub mod tls_hello;
