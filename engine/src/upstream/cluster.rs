//! Clusters and their endpoints, as one shard sees them.

use super::balance::{Algorithms, Balance, Candidates};
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
    /// What happens to its connections between exchanges.
    pub keepalive: KeepAlive,
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
    /// Whether it stands in the list of those without one.
    is_vacant: bool,
    endpoints: Vec<Endpoint>,
    /// `None` where there is one endpoint, and an algorithm of ours would have to pick it.
    balance: Option<Box<dyn Balance>>,
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
    /// All its connections, those included that are idle or not established yet.
    connections: usize,
}

impl Upstreams {
    /// The clusters of a configuration, which was checked against these algorithms; a cluster's index is its place there.
    pub fn new(clusters: &[settings::Cluster], algorithms: &Algorithms) -> Self {
        let clusters: Vec<Cluster> =
            clusters.iter().map(|cluster| Cluster::new(cluster, algorithms)).collect();
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
        settings.keepalive = place.keepalive;
        let cluster = Cluster::new(&settings, &Algorithms::default());
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
            if !self.clusters[index].is_connected() {
                return Some(index);
            }
        }
        None
    }

    /// A connection to this endpoint begins.
    pub fn on_connection(&mut self, id: EndpointId) {
        self.endpoint_mut(id).connections += 1;
    }

    /// A connection to this endpoint is gone.
    pub fn on_connection_gone(&mut self, id: EndpointId) {
        self.endpoint_mut(id).connections -= 1;
        let cluster = &mut self.clusters[id.cluster];
        if id.cluster >= self.configured && !cluster.is_vacant && !cluster.is_connected() {
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

    /// The endpoint for the next attempt of a request with this key: one that was not tried yet, as long as there is one.
    pub fn select(&mut self, cluster: usize, tried: &[usize], key: Option<&[u8]>) -> Option<EndpointId> {
        let Cluster { endpoints, balance, .. } = &mut self.clusters[cluster];
        let Some(balance) = balance else { return Some(EndpointId { cluster, endpoint: 0 }) };
        let all = Candidates::new(endpoints).for_key(key);
        let mut pick = |candidates: Candidates<'_>| {
            balance.pick(&candidates).filter(|&index| candidates.is_usable(index))
        };
        let endpoint = match tried {
            [] => pick(all),
            _ => pick(all.without(tried)).or_else(|| pick(all)),
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
    /// A cluster as configured, balanced by one of these algorithms.
    ///
    /// # Panics
    /// When its algorithm is none of these.
    pub fn new(settings: &settings::Cluster, algorithms: &Algorithms) -> Self {
        let idle_max = settings.keepalive.idle_max;
        let endpoint = |endpoint: &settings::Endpoint| Endpoint {
            idle: IdlePool::new(idle_max),
            ..Endpoint::new(endpoint.address.clone(), endpoint.weight)
        };
        let endpoints: Vec<Endpoint> = settings.endpoints.iter().map(endpoint).collect();
        let balance = algorithms.make(&settings.balance, &endpoints).expect("the settings were checked");
        let has_choice = endpoints.len() != 1 || !Algorithms::is_built_in(&settings.balance);
        Self {
            name: settings.name.as_str().into(),
            timeouts: settings.timeouts,
            keepalive: settings.keepalive,
            socket: settings.socket.clone(),
            send_proxy: settings.send_proxy,
            is_vacant: false,
            balance: has_choice.then_some(balance),
            endpoints,
        }
    }

    fn is_connected(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.connections > 0)
    }
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(address: Address, weight: u32) -> Self {
        let text = address.to_string().into();
        Self { address, text, weight, idle: IdlePool::new(KeepAlive::default().idle_max), connections: 0 }
    }

    /// How many of this shard's connections to it are in use or being established: the requests and tunnels that are
    /// under way.
    #[inline]
    pub fn busy(&self) -> usize {
        self.connections - self.idle.len()
    }
}

/// Places of one shard: a proxy that goes wherever its clients say has to forget some.
pub const PLACES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::balance::Algorithm;
    use super::*;
    use crate::keys::Slab;

    #[test]
    fn places_are_forgotten_only_without_connections() {
        let place = |port: u16, group| Place {
            address: Address::Tcp(([127, 0, 0, 1], port).into()),
            socket: SocketOptions::default(),
            keepalive: KeepAlive::default(),
            group,
            speaks: Speaks::Http,
        };
        let mut upstreams = Upstreams::new(&[], &Algorithms::default());
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
    fn a_place_keeps_connections_as_it_says() {
        let place = |idle_max| Place {
            address: Address::Unix("/a".into()),
            socket: SocketOptions::default(),
            keepalive: KeepAlive { idle_max, ..KeepAlive::default() },
            group: 0,
            speaks: Speaks::Http,
        };
        let mut upstreams = Upstreams::new(&[], &Algorithms::default());
        let [none, one] = [0, 1].map(|idle_max| upstreams.at(&place(idle_max)).unwrap());
        assert_ne!(none, one);
        let conn: ConnKey = Slab::default().insert(());
        assert_eq!(upstreams.endpoint_mut(none).idle.check_in(conn), Some(conn));
        assert_eq!(upstreams.endpoint_mut(one).idle.check_in(conn), None);
    }

    #[test]
    fn an_algorithm_is_held_to_what_is_usable() {
        /// Picks what the key says, and nothing without one.
        struct AsSaid;

        impl Balance for AsSaid {
            fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
                candidates.key().map(|key| usize::from(key[0]))
            }
        }

        let endpoint =
            |n: u16| settings::Endpoint { address: Address::Tcp(([127, 0, 0, 1], n).into()), weight: 1 };
        let mut cluster = settings::Cluster::new("app", vec![endpoint(1), endpoint(2)]);
        cluster.balance = "as-said".into();
        let algorithms = Algorithms::with(vec![Algorithm::new("as-said", |_| AsSaid)]);
        let mut upstreams = Upstreams::new(&[cluster], &algorithms);
        let mut select = |tried: &[usize], key: Option<u8>| {
            Some(upstreams.select(0, tried, key.as_ref().map(std::slice::from_ref))?.endpoint)
        };
        assert_eq!(select(&[], Some(1)), Some(1));
        // There is no other word on an endpoint that failed: then that is it.
        assert_eq!(select(&[1], Some(1)), Some(1));
        assert_eq!(select(&[], Some(2)), None);
        assert_eq!(select(&[0, 1], Some(255)), None);
        assert_eq!(select(&[], None), None);
    }

    #[test]
    fn an_endpoint_is_as_busy_as_its_connections() {
        let mut upstreams = Upstreams::new(
            &[settings::Cluster::new(
                "app",
                vec![settings::Endpoint { address: Address::Unix("/a".into()), weight: 1 }],
            )],
            &Algorithms::default(),
        );
        let id = upstreams.select(0, &[], None).unwrap();
        let conn: ConnKey = Slab::default().insert(());
        upstreams.on_connection(id);
        upstreams.on_connection(id);
        assert_eq!(upstreams.endpoint(id).busy(), 2);
        assert_eq!(upstreams.endpoint_mut(id).idle.check_in(conn), None);
        assert_eq!(upstreams.endpoint(id).busy(), 1);
        upstreams.on_connection_gone(id);
        assert_eq!(upstreams.endpoint(id).busy(), 0);
    }

    #[test]
    fn a_further_attempt_goes_elsewhere_while_there_is_an_elsewhere() {
        let endpoint =
            |n: u16| settings::Endpoint { address: Address::Tcp(([127, 0, 0, 1], n).into()), weight: 1 };
        let cluster = settings::Cluster::new("app", vec![endpoint(1), endpoint(2)]);
        let mut upstreams = Upstreams::new(&[cluster], &Algorithms::default());
        let first = upstreams.select(0, &[], None).unwrap().endpoint;
        let second = upstreams.select(0, &[first], None).unwrap().endpoint;
        assert_ne!(first, second);
        assert!(upstreams.select(0, &[first, second], None).is_some());
    }
}
