//! Which route of which site takes a request.
//!
//! A [`Table`] is built once from the settings and answers by host, path and method. It decides on a canonical
//! copy of the path ([`canonical`]), made only where the received path is not canonical already; the received
//! bytes are what is forwarded. It deliberately edits nothing and knows no action: the answer is a pair of
//! indices into the settings it was built from.
//!
//! Read [`table`], then [`path`], then [`host`].

pub mod host;
pub mod path;
pub mod table;

pub use host::Hosts;
pub use path::{Doubt, canonical};
pub use table::{NoRoute, RouteIndex, Table};
