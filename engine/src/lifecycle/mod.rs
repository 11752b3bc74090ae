//! A server's life: its threads, listening sockets, signals and control socket, from start to stop.
//!
//! One thread supervises: it starts the shards, restarts one that panicked, counts down a graceful stop and
//! answers questions about all of them. It is never part of a request. What happens to connections is the
//! shards' business; nothing here knows HTTP.
//!
//! Read `server.rs` (what users hold), `supervisor.rs` (the loop behind it), `listen.rs` (sockets and their
//! files), then as needed `shards.rs`, `control.rs`, `signals.rs`, `resources.rs`, `status.rs`,
//! `address.rs`.

pub mod address;
mod control;
mod listen;
mod resources;
mod server;
mod shards;
mod signals;
mod status;
mod supervisor;

pub use listen::Bound;
pub use resources::default_workers;
pub use server::{Server, StartError, Stop, Stopped};
pub use status::{ShardStatus, Status};

#[cfg(test)]
mod tests;
