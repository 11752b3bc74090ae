//! Smooth weighted round robin: each endpoint in proportion to its weight, spread evenly, never in bursts.

use super::{Balance, Candidates};

/// Each pick adds every endpoint's weight to its credit, takes the endpoint with the most credit, and takes the
/// sum of the weights off it.
#[derive(Debug)]
pub(super) struct RoundRobin {
    credits: Vec<i64>,
}

impl RoundRobin {
    pub(super) fn new(len: usize) -> Self {
        Self { credits: vec![0; len] }
    }
}

impl Balance for RoundRobin {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, endpoint) in candidates.usable() {
            let weight = i64::from(endpoint.weight);
            total += weight;
            self.credits[index] += weight;
            if best.is_none_or(|best| self.credits[index] > self.credits[best]) {
                best = Some(index);
            }
        }
        let best = best?;
        self.credits[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Address;
    use crate::upstream::Endpoint;

    #[test]
    fn picks_follow_the_weights_without_bursts() {
        let endpoint = |n: u16, weight| Endpoint::new(Address::Tcp(([127, 0, 0, 1], n).into()), weight);
        let endpoints = [endpoint(1, 3), endpoint(2, 1)];
        let mut balance = RoundRobin::new(2);
        let picks: Vec<usize> = (0..8).map(|_| balance.pick(&Candidates::new(&endpoints)).unwrap()).collect();
        assert_eq!(picks, [0, 0, 1, 0, 0, 0, 1, 0]);
    }
}
