//! Shards on a network in memory, in virtual time, from a seed.
//!
//! The other half of [`Io`](super::Io) besides the monoio pump: for the engine's own tests, and for whoever
//! builds a proxy with the framework and wants to see it meet origins that hang, clients that vanish, and
//! time-outs of hours, in milliseconds. The same seed gives the same run.
//!
//! ```
//! use ringway_engine::io::sim::{Conditions, Notice, Simulation, Step};
//! use ringway_engine::settings::{Address, Settings};
//!
//! let proxy = Address::Tcp("192.0.2.1:80".parse().unwrap());
//! let origin = Address::Tcp("192.0.2.2:80".parse().unwrap());
//! let settings = Settings::reverse_proxy(proxy.clone(), vec![origin.clone()]);
//! let mut simulation = Simulation::new(settings, Conditions::calm(), 1);
//! let network = simulation.network();
//! network.listen(&origin);
//! let client = network.connect(simulation.peer(), &proxy);
//! let (mut is_asked, mut answer) = (false, Vec::new());
//! loop {
//!     let mut buffer = [0; 4096];
//!     match simulation.step() {
//!         Step::Notice(Notice::Ready(socket)) if socket == client && !is_asked => {
//!             network.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
//!             is_asked = true;
//!         }
//!         Step::Notice(Notice::Ready(socket)) if socket == client => {
//!             let len = network.receive(client, &mut buffer).unwrap();
//!             answer.extend_from_slice(&buffer[..len]);
//!             break;
//!         }
//!         Step::Notice(Notice::Ready(socket)) => {
//!             let len = network.receive(socket, &mut buffer).unwrap();
//!             assert!(buffer[..len].starts_with(b"GET / HTTP/1.1\r\n"));
//!             network.send(socket, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
//!         }
//!         Step::Notice(_) | Step::Turn => {}
//!         Step::Quiet => panic!("nothing more happens"),
//!     }
//! }
//! assert!(answer.starts_with(b"HTTP/1.1 204 No Content\r\n"));
//! ```
//!
//! It deliberately knows no HTTP: what clients and origins say is the test's affair.
//!
//! Read `conditions.rs` (what can go wrong), `socket.rs` (what Linux makes of it), `network.rs` (what happens
//! when), `shard_io.rs` (the shard's calls), `simulation.rs` (who is called next).

mod conditions;
mod network;
mod rng;
mod shard_io;
mod simulation;
mod socket;

pub use conditions::Conditions;
pub use network::{Call, Network, Welcome};
pub use rng::Rng;
pub use shard_io::SimIo;
pub use simulation::{Simulation, Step};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    index: u32,
    generation: u32,
}

/// A place that connections come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(usize);

/// A connection that a shard is about to be given.
#[derive(Debug)]
pub struct Accepted(SocketId);

/// What scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Somebody connected to a listener of theirs.
    Accepted {
        /// Which listener.
        listener: ListenerId,
        /// The new connection.
        socket: SocketId,
    },
    /// Something about a socket of theirs has changed: it is connected or was refused, there is something to
    /// receive, there is room to send after there was too little, or it broke.
    Ready(SocketId),
    /// The time of [`Network::set_alarm`] has come.
    Alarm(u64),
}

impl std::fmt::Display for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s{}.{}", self.index, self.generation)
    }
}
