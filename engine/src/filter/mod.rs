//! Filters that come along, for any proxy: from code with [`Service::in_front`](crate::service::Service::in_front),
//! [`Service::behind`](crate::service::Service::behind) or [`Session::attach`](crate::phase::Session::attach), from a
//! configuration by the keys of a route or a site.
//!
//! Each is nothing but hooks: what they do, others may do as well. How is in `docs/guide/filters.md`.
//!
//! - [`RequestHeaders`], [`ResponseHeaders`]: set, add and remove fields.
//! - [`Compression`]: content codings, by what clients accept; [`Decompression`]: content as it is, for what looks
//!   into it.
//! - [`RequestLimit`], [`ResponseLimit`]: how long content may be.
//! - [`RateLimit`]: how often a client may ask; [`ConcurrencyLimit`]: how often at a time.
//!
//! Where several are used together the order of the chain decides. The one that makes sense, for a request from the
//! first to the last: limits of rate, limits of requests, compression, changes to responses, changes to requests,
//! decompression, limits of responses. A configured route has them so: a client that is refused costs nothing more, what a
//! route says about a response is there when its coding is decided, and a limit counts what an origin sends.
//!
//! Read `header_edit.rs` first; `compression.rs` is the one that does the most.

pub mod compression;
pub mod concurrency_limit;
pub mod decompression;
pub mod header_edit;
pub mod rate_limit;
pub mod size_limit;

mod key;
mod pace;

pub use compression::Compression;
pub use concurrency_limit::ConcurrencyLimit;
pub use decompression::Decompression;
pub use header_edit::{RequestHeaders, ResponseHeaders};
pub use key::Key;
pub use rate_limit::RateLimit;
pub use size_limit::{RequestLimit, ResponseLimit};
