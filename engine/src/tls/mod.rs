//! TLS as one more layer of a connection: records in, plain bytes out; plain bytes in, records out. No socket, no clock,
//! and no name of the library outside of [`backend`].
//!
//! A [`Session`] is one TLS connection. Received chunks are cut at the borders of records ([`records`]), of which the
//! library is handed whole ones only: so a peer that sends five bytes and stops holds five bytes, not a read buffer, and
//! the library is never asked in vain. What it writes is collected in large buffers ([`wire`]), several records to a
//! send. Why it is built this way, and what the ways cost that were not taken, is in `docs/decisions/0008-tls.md`.

mod backend;
mod failure;
mod records;
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub use backend::{Context, ContextBuilder, Identity};
pub use failure::Failure;
pub use session::{Facts, Session, State};
