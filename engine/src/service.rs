//! Who serves a listener's requests, and what runs beside them, as it is told to every shard.
//!
//! A proxy need not be `Send`, and each shard has one of its own. What crosses to a shard's thread is how to make it.

use crate::app::{self, HttpApp, StreamApp};
use crate::phase::{App, Filter, LinkPool, Proxy, Rooms};
use crate::settings::Settings;
use crate::site::Shared;
use crate::upstream::balance::{Algorithm, Algorithms};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The services of a server's listeners, by the listener's index in the settings, the tasks beside them, what clusters can
/// be balanced by, and what all its shards have in common. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Services {
    http: Arc<Vec<Option<Service>>>,
    streams: Arc<Vec<Option<StreamService>>>,
    tasks: Arc<Vec<ShardTask>>,
    algorithms: Algorithms,
    shared: Arc<OnceLock<Shared>>,
}

/// Who serves the connections of a TCP listener: see [`StreamApp`].
#[derive(Clone)]
pub struct StreamService(Arc<dyn Fn() -> App + Send + Sync>);

/// Who takes part in the exchanges of a listener: a proxy, with filters in front of it and behind it.
///
/// ```
/// use ringway_engine::prelude::*;
///
/// struct Hello;
///
/// impl HttpApp for Hello {
///     async fn serve(&self, _: Incoming, responder: Responder) -> Result<()> {
///         responder.send(Response::new(200).body("hello\n")).await
///     }
/// }
///
/// /// Has browsers believe the content's type.
/// struct NoSniff;
///
/// impl Filter for NoSniff {
///     type Ctx = ();
///
///     fn new_ctx(&self) {}
///
///     async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, _: &mut ()) -> Result<()> {
///         Ok(response.fields.set("x-content-type-options", "nosniff")?)
///     }
/// }
///
/// let service = Service::app(|| Hello).in_front(|| NoSniff);
/// # let _ = service;
/// ```
#[derive(Clone, Default)]
pub struct Service {
    /// In the order in which a request meets them.
    members: Vec<Maker>,
}

/// Makes a member of the chain on a shard.
type Maker = Arc<dyn Fn(&Rooms) -> Rc<LinkPool> + Send + Sync>;

/// What every shard runs beside its connections, from its start on.
#[derive(Clone)]
pub struct ShardTask(Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>);

impl Service {
    /// A proxy; `make` is called once on each shard, where it may begin tasks ([`crate::rt`]).
    pub fn proxy<P: Proxy>(make: impl Fn() -> P + Send + Sync + 'static) -> Self {
        Self::default().then(move |rooms| LinkPool::of_proxy(Rc::new(make()), rooms))
    }

    /// An app that answers by itself; `make` is called once on each shard.
    pub fn app<A: HttpApp>(make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::proxy(move || app::proxy(make()))
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

impl StreamService {
    /// An app; `make` is called once on each shard.
    pub fn app<A: StreamApp>(make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || app::stream(make())))
    }
}

impl Services {
    /// Services by listener; `None` serves the sites of the settings.
    pub fn new(http: Vec<Option<Service>>) -> Self {
        Self { http: Arc::new(http), ..Self::default() }
    }

    /// Services by TCP listener; `None` relays to the cluster of the settings.
    #[must_use]
    pub fn with_streams(mut self, streams: Vec<Option<StreamService>>) -> Self {
        self.streams = Arc::new(streams);
        self
    }

    /// Tasks that each shard runs from its start, whatever runs the shard.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Vec<ShardTask>) -> Self {
        self.tasks = Arc::new(tasks);
        self
    }

    /// Balancing algorithms besides those that come along.
    #[must_use]
    pub fn with_algorithms(mut self, own: Vec<Algorithm>) -> Self {
        self.algorithms = Algorithms::with(own);
        self
    }

    /// What clusters can be balanced by.
    pub(crate) fn algorithms(&self) -> &Algorithms {
        &self.algorithms
    }

    /// The futures of the tasks, for one shard. Each is made when it is polled first, so that a panic there is its own.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = impl Future<Output = ()> + 'static> {
        self.tasks.iter().cloned().map(|task| async move { (task.0)().await })
    }

    /// Finds what `settings` ask for and nobody provides. Each error is one sentence.
    ///
    /// # Errors
    /// TCP listeners that have neither a cluster nor an app, clusters with a balancing algorithm that is not there, names
    /// that two algorithms have.
    pub fn check(&self, settings: &Settings) -> Result<(), Vec<String>> {
        let is_served = |index: usize| matches!(self.streams.get(index), Some(Some(_)));
        let unserved = (settings.tcp.iter().enumerate())
            .filter(|(index, listener)| {
                listener.cluster.is_none() && listener.names.is_empty() && !is_served(*index)
            })
            .map(|(_, listener)| {
                format!("{} leads nowhere: it has neither a cluster nor an app", listener.address)
            });
        let errors: Vec<String> = unserved.chain(self.algorithms.mistakes(&settings.clusters)).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// What the sites of all shards have in common; made by the shard that asks first.
    pub(crate) fn shared(&self, settings: &Settings) -> &Shared {
        self.shared.get_or_init(|| Shared::new(settings))
    }

    /// Makes the members of a listener's chain for this shard.
    pub(crate) fn members(&self, listener: usize, rooms: &Rooms) -> Option<Vec<Rc<LinkPool>>> {
        let service = self.http.get(listener)?.as_ref()?;
        Some(service.members.iter().map(|make| make(rooms)).collect())
    }

    /// Makes the app of a TCP listener for this shard.
    pub(crate) fn stream(&self, listener: usize) -> Option<App> {
        self.streams.get(listener)?.as_ref().map(|service| (service.0)())
    }
}

impl ShardTask {
    /// A task; `make` is called once on each shard, when the task runs for the first time.
    pub fn new<F: Future<Output = ()> + 'static>(make: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::pin(make())))
    }
}

impl fmt::Debug for ShardTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardTask")
    }
}

impl fmt::Debug for StreamService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamService")
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({} members)", self.members.len())
    }
}
