//! The ringway proxy engine.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests stand outside of the machine"
    )
)]

pub mod app;
pub mod client;
pub mod coding;
pub mod conn;
pub mod error;
pub mod exchange;
pub mod io;
pub mod keys;
pub mod lifecycle;
pub mod limits;
pub mod meter;
pub mod observe;
pub mod phase;
pub mod port;
pub mod route;
pub mod rt;
pub mod service;
pub mod settings;
pub mod shard;
pub mod site;
pub mod snapshot;
pub mod time;
pub mod upstream;
