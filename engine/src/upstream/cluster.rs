//! Clusters and their endpoints, as one shard sees them.

use super::balance::{ALGORITHMS, Balance};
use super::pool::IdlePool;
use crate::keys::ConnKey;
use crate::settings::{self, Address, KeepAlive, ProxyVersion, SocketOptions, UpstreamTimeouts};
use std::collections::{HashMap, VecDeque};
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
    /// How many of them were configured; the others are places.
    configured: usize,
    /// Places that were connected to: each is a cluster of one endpoint.
    places: HashMap<Place, usize>,
    /// Places without a connection, the longest unused in front.
    vacant: VecDeque<usize>,
}

/// Somewhere to connect that is not configured. Connections to equal places are shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where.
    pub address: Address,
    /// How its sockets are made.
    pub socket: SocketOptions,
    /// Keeps connections apart that are equal otherwise.
    pub group: u64,
    /// What is spoken on its connections.
    pub speaks: Speaks,
}

/// What is spoken on connections to a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speaks {
    /// HTTP/1.
    #[default]
    Http,
    /// Whatever user code speaks.
    Bytes,
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
    /// How its sockets are made.
    pub socket: SocketOptions,
    /// Begins its connections with a PROXY header.
    pub send_proxy: Option<ProxyVersion>,
    /// Connections of all its endpoints, idle ones included.
    connections: usize,
    /// Whether it stands in the list of those without one.
    is_vacant: bool,
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
        let clusters: Vec<Cluster> = clusters.iter().map(Cluster::new).collect();
        Self { configured: clusters.len(), clusters, places: HashMap::new(), vacant: VecDeque::new() }
    }

    /// The endpoint at this place. `None` when there are [`PLACES_MAX`] others, with a connection each.
    pub fn at(&mut self, place: &Place) -> Option<EndpointId> {
        let cluster = match self.places.get(place) {
            Some(&cluster) => cluster,
            None => self.make_room_for(place)?,
        };
        Some(EndpointId { cluster, endpoint: 0 })
    }

    fn make_room_for(&mut self, place: &Place) -> Option<usize> {
        let endpoint = settings::Endpoint { address: place.address.clone(), weight: 1 };
        let mut settings = settings::Cluster::new("", vec![endpoint]);
        settings.socket = place.socket.clone();
        let cluster = Cluster::new(&settings);
        let index = if self.places.len() < PLACES_MAX {
            self.clusters.push(cluster);
            self.clusters.len() - 1
        } else {
            let index = self.next_vacant()?;
            self.clusters[index] = cluster;
            self.places.retain(|_, other| *other != index);
            index
        };
        self.places.insert(place.clone(), index);
        Some(index)
    }

    fn next_vacant(&mut self) -> Option<usize> {
        while let Some(index) = self.vacant.pop_front() {
            self.clusters[index].is_vacant = false;
            if self.clusters[index].connections == 0 {
                return Some(index);
            }
        }
        None
    }

    /// A connection to this endpoint begins.
    pub fn on_connection(&mut self, id: EndpointId) {
        self.clusters[id.cluster].connections += 1;
    }

    /// A connection to this endpoint is gone.
    pub fn on_connection_gone(&mut self, id: EndpointId) {
        let cluster = &mut self.clusters[id.cluster];
        cluster.connections -= 1;
        if cluster.connections == 0 && id.cluster >= self.configured && !cluster.is_vacant {
            cluster.is_vacant = true;
            self.vacant.push_back(id.cluster);
        }
    }

    /// Where an endpoint is, and how its sockets are made.
    pub fn way_to(&self, id: EndpointId) -> (&Address, &SocketOptions) {
        let cluster = &self.clusters[id.cluster];
        (&cluster.endpoints[id.endpoint].address, &cluster.socket)
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

    /// The idle connections that belong to one client each.
    pub fn idle_of_clients(&self) -> impl Iterator<Item = ConnKey> {
        let announced = self.clusters.iter().filter(|cluster| cluster.send_proxy.is_some());
        announced.flat_map(|cluster| &cluster.endpoints).flat_map(|endpoint| endpoint.idle.iter())
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
            socket: settings.socket.clone(),
            send_proxy: settings.send_proxy,
            connections: 0,
            is_vacant: false,
            balance: make(endpoints.len()),
            endpoints,
        }
    }

    #[cfg(test)]
    pub(crate) fn into_endpoints_for_tests(self) -> Vec<Endpoint> {
        self.endpoints
    }
}

/// Places of one shard: a proxy that goes wherever its clients say has to forget some.
pub const PLACES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_forgotten_only_without_connections() {
        let place = |port: u16, group| Place {
            address: Address::Tcp(([127, 0, 0, 1], port).into()),
            socket: SocketOptions::default(),
            group,
            speaks: Speaks::Http,
        };
        let mut upstreams = Upstreams::new(&[]);
        let first = upstreams.at(&place(1, 0)).unwrap();
        assert_eq!(upstreams.at(&place(1, 0)), Some(first));
        assert_ne!(upstreams.at(&place(1, 1)), Some(first));
        upstreams.on_connection(first);
        for group in 2..PLACES_MAX as u64 {
            upstreams.at(&place(1, group)).unwrap();
        }
        // All others were never connected to, so none of them is known to be vacant.
        assert_eq!(upstreams.at(&place(2, 0)), None);
        upstreams.on_connection_gone(first);
        assert_eq!(upstreams.at(&place(2, 0)), Some(first));
        let again = upstreams.at(&place(1, 0));
        assert_eq!(again, None);
    }

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
