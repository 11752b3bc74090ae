//! The seam between a shard and the kernel.
//!
//! A shard asks for bytes and gives bytes; it never waits. Waiting is the pump's work: it watches the
//! connections that the shard wants watched, and calls the shard's `on_readable`, `on_writable`, `on_accepted`
//! and `on_timeout` when there is something to do. [`pump`] does it with monoio, [`sim`] in memory with virtual
//! time. Only `pump` names monoio.
//!
//! Readiness is waited for on the ring; the bytes themselves move by non-blocking system calls within the turn.
//! That was measured against receives and sends as ring operations (docs/decisions/0001): a sixth less CPU per
//! request, and no buffer is ever owned by the kernel, so nothing is lost or freed too early when a connection
//! ends.

pub mod pump;
pub mod sim;

use crate::keys::ConnKey;
use crate::settings::{Address, SocketOptions};
use ringway_proto::chunk::SendQueue;
use std::io;
use std::net::SocketAddr;

/// What a shard may ask of its sockets. None of these calls waits.
pub trait Io {
    /// An accepted connection that has no key yet.
    type Accepted;

    /// Gives an accepted connection its key. It is not watched yet.
    fn adopt(&mut self, conn: ConnKey, accepted: Self::Accepted);

    /// Begins to connect. The connection becomes writable when that has succeeded or failed; then
    /// [`Io::dialed`] tells which. The shard has to watch it.
    ///
    /// # Errors
    /// When it failed at once: no descriptor, no route, a Unix path that nobody listens on, an option that the kernel
    /// refuses.
    fn dial(&mut self, conn: ConnKey, address: &Address, options: &SocketOptions) -> io::Result<()>;

    /// How a dial ended.
    ///
    /// # Errors
    /// Why it failed.
    fn dialed(&mut self, conn: ConnKey) -> io::Result<()>;

    /// Receives what is there. 0 means that the peer finished sending.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; anything else ends the connection.
    fn receive(&mut self, conn: ConnKey, into: &mut [u8]) -> io::Result<usize>;

    /// Sends from the front of `queue` what the socket takes, and says how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; anything else ends the connection.
    fn transmit(&mut self, conn: ConnKey, queue: &SendQueue) -> io::Result<usize>;

    /// What the shard wants to be told about this connection from now on.
    fn watch(&mut self, conn: ConnKey, interest: Interest);

    /// Half-close: the peer sees that nothing more comes.
    fn finish(&mut self, conn: ConnKey);

    /// Ends the connection. The key is dead for this `Io` from now on.
    fn close(&mut self, conn: ConnKey, how: Close);
}

/// What to watch a connection for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Bytes, or the end of them.
    pub readable: bool,
    /// Room to send.
    pub writable: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// In order: what was sent is delivered.
    Gentle,
    /// With a reset: what was sent must not be taken for complete.
    Reset,
}

/// Who is at the other end of an accepted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An IP peer.
    Ip(SocketAddr),
    /// A peer on a Unix-domain socket; it has no name.
    Unix,
}
