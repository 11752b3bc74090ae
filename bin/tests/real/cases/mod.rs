//! The cases, by what they are about.

mod curl;
mod filters;
mod lifecycle;
mod load;
mod malformed;
mod nginx;
mod proxy_protocol;
mod python;
mod resources;
mod streaming;
mod tls_names;
mod tunnel;
mod unix;
