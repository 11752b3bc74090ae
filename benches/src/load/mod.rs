//! Loads that `wrk` does not offer: many and idle connections, dribbled bodies, a fixed request rate.

mod held;
mod rate;

pub use held::{Dribbled, Growth, Many, dribble, idle, many};
pub use rate::{Offer, Offered, offer};
