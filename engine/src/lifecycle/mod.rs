//! A server's life: its threads, listening sockets, signals and control socket, from start to stop.
//!
//! One thread supervises: it starts the shards, restarts one that panicked, counts down a graceful stop and
//! answers questions about all of them. It is never part of a request. What happens to connections is the
//! shards' business; nothing here knows HTTP.
//!
//! Read `builder.rs` (what users write) and `server.rs` (what they hold), `supervisor.rs` (the loop behind it),
//! `listen.rs` (sockets and their files), `background.rs` and `crew.rs` (work beside requests), then as needed
//! `shards.rs`, `handle.rs`, `life.rs`, `control.rs`, `signals.rs`, `resources.rs`, `status.rs`, `address.rs`.

pub mod address;
mod background;
mod builder;
mod control;
mod crew;
mod handle;
mod life;
mod listen;
mod resources;
mod server;
mod shards;
mod signals;
mod status;
mod supervisor;

pub use background::{Background, BackgroundService, Failure, Ready, Restart, Shutdown};
pub use builder::{Listen, ServerBuilder};
pub use handle::ServerHandle;
pub use life::{Life, LifeWatch};
pub use listen::Bound;
pub use resources::default_workers;
pub use server::{Server, StartError, Stop, Stopped};
pub use status::{ServiceStatus, ShardStatus, Status};

/// What the guide shows has to compile.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/server.md")]
    struct InCode;
    #[doc = include_str!("../../../docs/guide/background-services.md")]
    struct Background;
}

#[cfg(test)]
mod tests;
