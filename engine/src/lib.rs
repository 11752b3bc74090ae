//! The ringway proxy engine.

pub mod conn;
pub mod exchange;
pub mod io;
pub mod keys;
pub mod lifecycle;
pub mod limits;
pub mod observe;
pub mod phase;
pub mod route;
pub mod settings;
pub mod shard;
pub mod snapshot;
pub mod time;
pub mod upstream;
