//! The library. Each backend has the same items; exactly one is built.
//!
//! Only here are the library's types named. What a backend must have: [`Context`], [`ContextBuilder`], [`Identity`],
//! [`Stream`], and the functions below it.

mod openssl;
mod openssl_ffi;

pub use openssl::{Context, ContextBuilder, Identity};
pub(super) use openssl::{
    Stream, accept, connect, facts, finish, pending, read, shake, wire, wire_mut, write,
};

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes of content.
    Content(usize),
    /// The peer said that nothing more comes.
    End,
    /// There is none without more of the peer's records.
    WantsMore,
}
