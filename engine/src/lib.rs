//! The ringway proxy engine.

pub mod settings;
pub mod time;
