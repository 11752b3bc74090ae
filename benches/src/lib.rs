//! Load tools: what the programs in `src/bin` share.
//!
//! Programs, in the order a measurement needs them:
//!
//! - `origin`: the light HTTP/1 server behind every proxy.
//! - `bare_relay`: the leanest relay possible on one ring; the floor a real proxy is compared with.
//! - `load`: idle connections, many connections, dribbled bodies, a fixed request rate.
//! - `compare`: runs contenders in turn and writes the table; `scripts/bench` builds everything and calls it.
//! - `micro`: times and instruction counts of the proxy's own pieces, without a socket; `scripts/bench --micro`.
//!
//! Nothing here is part of the proxy, and the proxy depends on nothing here. Read `sys` (sockets, limits,
//! pinning), `client`, `load`, then `compare`; `micro` stands alone.

pub mod args;
pub mod client;
pub mod compare;
pub mod load;
pub mod micro;
pub mod procfs;
pub mod sys;
