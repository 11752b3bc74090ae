//! Which endpoint is next. One file per algorithm; [`ALGORITHMS`] is where each is registered.
//!
//! Those of a server's user are registered with [`ServerBuilder::balance`](crate::ServerBuilder::balance), and are from
//! then on no different from those that come along.

mod round_robin;

pub use super::Endpoint;

use crate::settings;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A balancing algorithm with the state it keeps for one cluster on one shard: it needs neither locks nor atomics.
///
/// It is asked once for each attempt, on the way of a request: it must not block. What has to wait belongs into
/// `upstream_peer`. An algorithm that panics ends the exchange for which it was asked.
///
/// ```
/// use ringway_engine::prelude::*;
///
/// /// Whoever has least to do.
/// struct LeastBusy;
///
/// impl Balance for LeastBusy {
///     fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
///         let (index, _) = candidates.usable().min_by_key(|(_, endpoint)| endpoint.busy())?;
///         Some(index)
///     }
/// }
///
/// let builder = Server::builder()
///     .balance("least-busy", |_| LeastBusy)
///     .cluster_with("app", ["127.0.0.1:9001", "127.0.0.1:9002"], |cluster| cluster.balance = "least-busy".into());
/// # let _ = builder;
/// ```
pub trait Balance {
    /// Picks one of the usable endpoints, by its index; `None` refuses the attempt, which fails with `no_endpoint` (503).
    ///
    /// An index that is not usable counts as `None`. When nothing usable is picked in the place of endpoints that failed in
    /// this exchange, it is asked again, and all are usable.
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize>;
}

/// Among what an algorithm picks, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    endpoints: &'a [Endpoint],
    /// Those that must not be picked.
    unusable: &'a [usize],
    key: Option<&'a [u8]>,
}

impl<'a> Candidates<'a> {
    /// All of these, for a request without a key.
    pub fn new(endpoints: &'a [Endpoint]) -> Self {
        Self { endpoints, unusable: &[], key: None }
    }

    /// Without those of these indices.
    #[must_use]
    pub fn without(self, unusable: &'a [usize]) -> Self {
        Self { unusable, ..self }
    }

    /// For a request with this key.
    #[must_use]
    pub fn for_key(self, key: Option<&'a [u8]>) -> Self {
        Self { key, ..self }
    }

    /// All endpoints of the cluster in the order of its settings, those that are not usable included. They are the same
    /// as long as the algorithm lives.
    pub fn endpoints(&self) -> &'a [Endpoint] {
        self.endpoints
    }

    /// Whether there is an endpoint with this index, and it may be picked.
    #[inline]
    pub fn is_usable(&self, index: usize) -> bool {
        index < self.endpoints.len() && !self.unusable.contains(&index)
    }

    /// The endpoints that may be picked, with their indices.
    #[inline]
    pub fn usable(&self) -> impl Iterator<Item = (usize, &'a Endpoint)> {
        let Self { endpoints, unusable, .. } = *self;
        endpoints.iter().enumerate().filter(move |(index, _)| !unusable.contains(index))
    }

    /// What the request is balanced by, where `upstream_peer` said so:
    /// [`Peer::balance_key`](crate::phase::Peer::balance_key). Requests that belong together have equal keys.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }
}

/// An algorithm that comes along: its name in settings, and how it is made for the endpoints of a cluster.
pub type BuiltIn = (&'static str, fn(&[Endpoint]) -> Box<dyn Balance>);

/// Every algorithm that comes along. The first is the default.
pub const ALGORITHMS: &[BuiltIn] =
    &[("round-robin", |endpoints| Box::new(round_robin::RoundRobin::new(endpoints.len())))];

/// An algorithm of a server's user: its name in settings, and how it is made.
#[derive(Clone)]
pub struct Algorithm {
    name: Cow<'static, str>,
    make: Arc<Make>,
}

/// Makes an algorithm for a cluster of these endpoints.
type Make = dyn Fn(&[Endpoint]) -> Box<dyn Balance> + Send + Sync;

impl Algorithm {
    /// An algorithm; `make` is called on each shard for each cluster that is balanced by it, with its endpoints.
    pub fn new<B: Balance + 'static>(
        name: impl Into<Cow<'static, str>>,
        make: impl Fn(&[Endpoint]) -> B + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), make: Arc::new(move |endpoints| Box::new(make(endpoints))) }
    }
}

/// What clusters can be balanced by: [`ALGORITHMS`], and those of a server's user. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Algorithms {
    own: Arc<Vec<Algorithm>>,
}

impl Algorithms {
    /// Those that come along, and these.
    pub fn with(own: Vec<Algorithm>) -> Self {
        Self { own: Arc::new(own) }
    }

    /// Their names, those that come along first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        ALGORITHMS.iter().map(|(name, _)| *name).chain(self.own.iter().map(|algorithm| &*algorithm.name))
    }

    /// Whether the algorithm of this name comes along.
    pub fn is_built_in(name: &str) -> bool {
        ALGORITHMS.iter().any(|(known, _)| *known == name)
    }

    /// The algorithm of this name, for a cluster of these endpoints.
    pub fn make(&self, name: &str, endpoints: &[Endpoint]) -> Option<Box<dyn Balance>> {
        if let Some((_, make)) = ALGORITHMS.iter().find(|(known, _)| *known == name) {
            return Some(make(endpoints));
        }
        self.own.iter().find(|algorithm| algorithm.name == name).map(|algorithm| (algorithm.make)(endpoints))
    }

    /// Finds names that two algorithms have, and clusters that are balanced by none. Each error is one sentence.
    pub fn mistakes(&self, clusters: &[settings::Cluster]) -> Vec<String> {
        let names: Vec<&str> = self.names().collect();
        let twice = (names.iter().enumerate())
            .filter(|(index, name)| names[..*index].contains(name))
            .map(|(_, name)| format!("the balancing algorithm \"{name}\" is given twice"));
        let unknown = clusters.iter().filter(|cluster| !names.contains(&&*cluster.balance)).map(|cluster| {
            let settings::Cluster { name, balance, .. } = cluster;
            format!("cluster \"{name}\": there is no balancing algorithm \"{balance}\"")
        });
        twice.chain(unknown).collect()
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Algorithm({:?})", self.name)
    }
}

impl fmt::Debug for dyn Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Balance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Address;

    fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
        let endpoint =
            |(port, weight): (u16, &u32)| Endpoint::new(Address::Tcp(([127, 0, 0, 1], port).into()), *weight);
        (9000..).zip(weights).map(endpoint).collect()
    }

    struct Last;

    impl Balance for Last {
        fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
            candidates.usable().last().map(|(index, _)| index)
        }
    }

    #[test]
    fn every_algorithm_picks_only_what_is_usable() {
        let endpoints = endpoints(&[1, 5, 1]);
        let all = Candidates::new(&endpoints);
        for (name, make) in ALGORITHMS {
            let mut balance = make(&endpoints);
            for key in [None, Some(&b"key"[..])] {
                for _ in 0..20 {
                    assert_eq!(balance.pick(&all.for_key(key).without(&[0, 1])), Some(2), "{name}");
                }
                assert_eq!(balance.pick(&all.for_key(key).without(&[0, 1, 2])), None, "{name}");
                assert_eq!(balance.pick(&Candidates::new(&[]).for_key(key)), None, "{name}");
            }
        }
    }

    #[test]
    fn the_default_is_the_first() {
        assert_eq!(settings::Cluster::new("app", Vec::new()).balance, ALGORITHMS[0].0);
    }

    #[test]
    fn what_is_not_usable_is_not_shown() {
        let endpoints = endpoints(&[1, 2, 3]);
        let candidates = Candidates::new(&endpoints).without(&[1]);
        let shown: Vec<_> = candidates.usable().map(|(index, endpoint)| (index, endpoint.weight)).collect();
        assert_eq!(shown, [(0, 1), (2, 3)]);
        assert_eq!([0, 1, 2, 3].map(|index| candidates.is_usable(index)), [true, false, true, false]);
    }

    #[test]
    fn algorithms_are_found_by_their_names() {
        let last = Algorithm::new("last", |_| Last);
        let algorithms = Algorithms::with(vec![last.clone()]);
        let endpoints = endpoints(&[1, 1]);
        let pick = |name| Some(algorithms.make(name, &endpoints)?.pick(&Candidates::new(&endpoints)));
        assert_eq!(pick("last"), Some(Some(1)));
        assert_eq!(pick("round-robin"), Some(Some(0)));
        assert_eq!(pick("Last"), None);

        let mut cluster = settings::Cluster::new("app", Vec::new());
        assert!(algorithms.mistakes(std::slice::from_ref(&cluster)).is_empty());
        cluster.balance = "first".into();
        assert_eq!(
            algorithms.mistakes(&[cluster]),
            ["cluster \"app\": there is no balancing algorithm \"first\""]
        );
        let own = ["last", "round-robin", "last"].map(|name| Algorithm::new(name, |_| Last));
        assert_eq!(
            Algorithms::with(own.into()).mistakes(&[]),
            ["round-robin", "last"].map(|name| format!("the balancing algorithm \"{name}\" is given twice"))
        );
    }
}
