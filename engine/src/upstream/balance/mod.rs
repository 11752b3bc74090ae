//! Which endpoint is next. One file per algorithm; [`ALGORITHMS`] is where each is registered.

mod round_robin;

use super::Endpoint;

/// A balancing algorithm with the state it keeps for one cluster on one shard.
pub trait Balance: std::fmt::Debug {
    /// Picks one of the endpoints that `is_usable` allows, by index; `None` when it allows none.
    fn pick(&mut self, endpoints: &[Endpoint], is_usable: &dyn Fn(usize) -> bool) -> Option<usize>;
}

/// An algorithm's name in configurations and how it is made for a cluster of so many endpoints.
pub type Algorithm = (&'static str, fn(usize) -> Box<dyn Balance>);

/// Every algorithm. The first is the default.
pub const ALGORITHMS: &[Algorithm] = &[("round-robin", |len| Box::new(round_robin::RoundRobin::new(len)))];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{self, Address};
    use crate::upstream::Cluster;

    fn cluster(weights: &[u32]) -> Vec<Endpoint> {
        let endpoints = weights
            .iter()
            .enumerate()
            .map(|(n, &weight)| settings::Endpoint {
                address: Address::Tcp(([127, 0, 0, 1], 9000 + n as u16).into()),
                weight,
            })
            .collect();
        Cluster::new(&settings::Cluster::new("test", endpoints)).into_endpoints_for_tests()
    }

    #[test]
    fn every_algorithm_picks_only_what_is_usable() {
        let endpoints = cluster(&[1, 5, 1]);
        for (name, make) in ALGORITHMS {
            let mut balance = make(endpoints.len());
            for _ in 0..20 {
                assert_eq!(balance.pick(&endpoints, &|index| index == 2), Some(2), "{name}");
            }
            assert_eq!(balance.pick(&endpoints, &|_| false), None, "{name}");
            assert_eq!(balance.pick(&[], &|_| true), None, "{name}");
        }
    }
}
