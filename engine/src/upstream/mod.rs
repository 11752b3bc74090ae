//! Where requests go: clusters of endpoints, which of them is next, and the idle connections to each.
//!
//! All of it belongs to one shard; nothing is shared. It knows neither HTTP nor sockets: connections are keys.
//!
//! Read [`cluster`], then [`balance`] (one file per algorithm), then [`pool`].

pub mod balance;
pub mod cluster;
pub mod pool;

pub use balance::{Algorithm, Algorithms, Balance, Candidates};
pub use cluster::{Cluster, Endpoint, EndpointId, Place, Speaks, Upstreams};
pub use pool::IdlePool;
