//! The ringway proxy engine.

pub mod route;
pub mod settings;
pub mod time;
