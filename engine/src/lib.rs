//! The ringway proxy engine.

pub mod settings;
