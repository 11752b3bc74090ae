//! Who serves a listener's requests, as it is told to every shard.
//!
//! A proxy need not be `Send`, and each shard has one of its own. What crosses to a shard's thread is how to make it.

use crate::phase::{Filter, LinkPool, Proxy, Rooms};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// The services of a server's listeners, by the listener's index in the settings. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Services(Arc<Vec<Option<Service>>>);

/// Who takes part in the exchanges of a listener: a proxy, with filters in front of it and behind it.
#[derive(Clone, Default)]
pub struct Service {
    /// In the order in which a request meets them.
    members: Vec<Maker>,
}

/// Makes a member of the chain on a shard.
type Maker = Arc<dyn Fn(&Rooms) -> Rc<LinkPool> + Send + Sync>;

impl Service {
    /// A proxy; `make` is called once on each shard.
    pub fn proxy<P: Proxy>(make: impl Fn() -> P + Send + Sync + 'static) -> Self {
        Self::default().then(move |rooms| LinkPool::of_proxy(Rc::new(make()), rooms))
    }

    /// A filter in front of everything that is there: the first to see a request, the last to see its response.
    #[must_use]
    pub fn in_front<F: Filter>(mut self, make: impl Fn() -> F + Send + Sync + 'static) -> Self {
        self.members.insert(0, Arc::new(move |rooms| LinkPool::of_filter(Rc::new(make()), rooms)));
        self
    }

    /// A filter behind everything that is there: the last to see a request, the first to see its response.
    #[must_use]
    pub fn behind<F: Filter>(self, make: impl Fn() -> F + Send + Sync + 'static) -> Self {
        self.then(move |rooms| LinkPool::of_filter(Rc::new(make()), rooms))
    }

    fn then(mut self, make: impl Fn(&Rooms) -> Rc<LinkPool> + Send + Sync + 'static) -> Self {
        self.members.push(Arc::new(make));
        self
    }
}

impl Services {
    /// Services by listener; `None` serves the sites of the settings.
    pub fn new(services: Vec<Option<Service>>) -> Self {
        Self(Arc::new(services))
    }

    /// Makes the members of a listener's chain for this shard.
    pub(crate) fn members(&self, listener: usize, rooms: &Rooms) -> Option<Vec<Rc<LinkPool>>> {
        let service = self.0.get(listener)?.as_ref()?;
        Some(service.members.iter().map(|make| make(rooms)).collect())
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({} members)", self.members.len())
    }
}
