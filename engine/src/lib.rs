//! The ringway proxy engine.

pub mod route;
pub mod observe;
pub mod settings;
pub mod time;
