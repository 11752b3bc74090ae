//! Clusters and their endpoints, as one shard sees them.

use super::balance::{ALGORITHMS, Balance};
use super::pool::IdlePool;
use crate::settings::{self, Address, KeepAlive, UpstreamTimeouts};
use std::rc::Rc;

/// One endpoint of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId {
    /// Index of the cluster.
    pub cluster: usize,
    /// Index of the endpoint in it.
    pub endpoint: usize,
}

/// All clusters of one shard.
#[derive(Debug)]
pub struct Upstreams {
    clusters: Vec<Cluster>,
}

/// A named set of interchangeable endpoints, and which is next.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: Rc<str>,
    /// How long to wait for its origins.
    pub timeouts: UpstreamTimeouts,
    /// What happens to connections between requests.
    pub keepalive: KeepAlive,
    /// Further attempts after the first.
    pub retries_max: u32,
    endpoints: Vec<Endpoint>,
    balance: Box<dyn Balance>,
}

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: Address,
    /// The address as logs show it.
    pub text: Rc<str>,
    /// Its share relative to the others.
    pub weight: u32,
    /// Its idle connections.
    pub idle: IdlePool,
}

impl Upstreams {
    /// The clusters of a configuration; a cluster's index is its place there.
    pub fn new(clusters: &[settings::Cluster]) -> Self {
        Self { clusters: clusters.iter().map(Cluster::new).collect() }
    }

    /// The cluster with this index.
    #[inline]
    pub fn cluster(&self, index: usize) -> &Cluster {
        &self.clusters[index]
    }

    /// The endpoint with this id.
    #[inline]
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.clusters[id.cluster].endpoints[id.endpoint]
    }

    /// The endpoint with this id.
    #[inline]
    pub fn endpoint_mut(&mut self, id: EndpointId) -> &mut Endpoint {
        &mut self.clusters[id.cluster].endpoints[id.endpoint]
    }

    /// The endpoint for the next attempt: one that was not tried yet, as long as there is one.
    pub fn select(&mut self, cluster: usize, tried: &[usize]) -> Option<EndpointId> {
        let Cluster { endpoints, balance, .. } = &mut self.clusters[cluster];
        let endpoint = match endpoints.len() {
            1 => Some(0),
            _ if tried.is_empty() => balance.pick(endpoints, &|_| true),
            _ => balance
                .pick(endpoints, &|index| !tried.contains(&index))
                .or_else(|| balance.pick(endpoints, &|_| true)),
        };
        endpoint.map(|endpoint| EndpointId { cluster, endpoint })
    }

    /// How many connections are idle in all pools.
    pub fn idle_len(&self) -> usize {
        self.clusters.iter().flat_map(|cluster| &cluster.endpoints).map(|endpoint| endpoint.idle.len()).sum()
    }
}

impl Cluster {
    /// A cluster as configured.
    pub fn new(settings: &settings::Cluster) -> Self {
        let endpoints: Vec<Endpoint> = settings
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                address: endpoint.address.clone(),
                text: endpoint.address.to_string().into(),
                weight: endpoint.weight,
                idle: IdlePool::new(settings.keepalive.idle_max),
            })
            .collect();
        let (_, make) = ALGORITHMS[0];
        Self {
            name: settings.name.as_str().into(),
            timeouts: settings.timeouts,
            keepalive: settings.keepalive,
            retries_max: settings.retries_max,
            balance: make(endpoints.len()),
            endpoints,
        }
    }

    #[cfg(test)]
    pub(crate) fn into_endpoints_for_tests(self) -> Vec<Endpoint> {
        self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_attempt_goes_elsewhere_while_there_is_an_elsewhere() {
        let endpoint =
            |n: u16| settings::Endpoint { address: Address::Tcp(([127, 0, 0, 1], n).into()), weight: 1 };
        let mut upstreams = Upstreams::new(&[settings::Cluster::new("app", vec![endpoint(1), endpoint(2)])]);
        let first = upstreams.select(0, &[]).unwrap().endpoint;
        let second = upstreams.select(0, &[first]).unwrap().endpoint;
        assert_ne!(first, second);
        assert!(upstreams.select(0, &[first, second]).is_some());
    }
}
