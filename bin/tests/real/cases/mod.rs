//! The cases, by what they are about.

mod curl;
mod filters;
mod lifecycle;
mod load;
mod malformed;
mod nginx;
mod python;
mod resources;
mod streaming;
mod tunnel;
mod unix;
