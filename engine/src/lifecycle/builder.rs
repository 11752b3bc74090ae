//! A server that is put together in code.

use super::address::{AddressError, parse_endpoint, parse_listen, resolve_by_system};
use super::background::Background;
use super::crew::Crew;
use super::handle::ServerHandle;
use super::listen::Bound;
use super::server::{Extras, Launch, Server, StartError, Stopped};
use super::shards::Program;
use crate::service::{Service, Services, ShardTask, StreamService};
use crate::settings::{
    AccessLog, Address, Cluster, Endpoint, Limits, Listener, ProxyProtocol, Settings, TcpListener,
};
use crate::shard::{self, Start};
use crate::upstream::balance::{self, Algorithm, Balance};
use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A server that is not started yet: [`Server::builder`].
///
/// What is wrong with its parts is found at the start, all of it at once; nothing here panics.
///
/// ```no_run
/// use ringway_engine::error::Result;
/// use ringway_engine::phase::{Peer, Proxy, Session};
/// use ringway_engine::service::Service;
/// use ringway_engine::Server;
///
/// struct Balancer;
///
/// impl Proxy for Balancer {
///     type Ctx = ();
///
///     fn new_ctx(&self) {}
///
///     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
///         Ok(Peer::cluster("app"))
///     }
/// }
///
/// let stopped = Server::builder()
///     .cluster("app", ["127.0.0.1:9001", "127.0.0.1:9002"])
///     .listen("127.0.0.1:8080", Service::proxy(|| Balancer))
///     .announce()
///     .run()?;
/// # let _ = stopped;
/// # Ok::<(), ringway_engine::StartError>(())
/// ```
#[must_use = "a server that is not started does nothing"]
pub struct ServerBuilder {
    settings: Settings,
    clusters: Vec<NamedCluster>,
    listeners: Vec<Placed>,
    background: Vec<Background>,
    tasks: Vec<ShardTask>,
    algorithms: Vec<Algorithm>,
    mistakes: Vec<String>,
    announces: bool,
    launch: Launch,
    program: Program,
}

/// Where to listen: an address as text or as a value, and for a Unix-domain socket its file's mode.
///
/// As text: `127.0.0.1:8080`, `[::1]:8080` or `unix:PATH`. Port 0 asks the kernel for one.
///
/// ```
/// use ringway_engine::lifecycle::Listen;
///
/// let everywhere: Listen = "[::]:8080".into();
/// let group_only = Listen::unix("/run/app.sock").mode(0o660);
/// # let _ = (everywhere, group_only);
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    address: Result<Address, AddressError>,
    mode: Option<u32>,
    proxy_protocol: Option<ProxyProtocol>,
}

/// A cluster whose endpoints are still words.
struct NamedCluster {
    cluster: Cluster,
    endpoints: Vec<String>,
}

/// A listener and who serves it.
#[derive(Debug)]
struct Placed {
    listen: Listen,
    serves: Serves,
}

#[derive(Debug)]
enum Serves {
    /// Requests, to a proxy.
    Http(Service),
    /// Bytes, to a cluster.
    Relay { cluster: String },
    /// Bytes, to an app.
    Stream(StreamService),
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        let program = Program { main: Arc::new(shard::run), outcome_labels: Start::OUTCOME_LABELS };
        Self::with_program(program)
    }

    pub(super) fn with_program(program: Program) -> Self {
        Self {
            settings: Settings::default(),
            clusters: Vec::new(),
            listeners: Vec::new(),
            background: Vec::new(),
            tasks: Vec::new(),
            algorithms: Vec::new(),
            mistakes: Vec::new(),
            announces: false,
            launch: Launch::new(),
            program,
        }
    }

    /// How many shards; by default one for each core that this process may use. None is an error at the start.
    pub fn workers(mut self, workers: usize) -> Self {
        if workers == 0 {
            self.mistakes.push("a server needs at least one worker".into());
        }
        self.settings.workers = Some(workers);
        self
    }

    /// A named set of interchangeable endpoints, each `host:port`, `[::1]:port` or `unix:PATH`.
    ///
    /// Names are resolved once, at the start and not on a shard; each address of a name is an endpoint.
    pub fn cluster<T: Into<String>>(
        self,
        name: impl Into<String>,
        endpoints: impl IntoIterator<Item = T>,
    ) -> Self {
        self.cluster_with(name, endpoints, |_| {})
    }

    /// As [`ServerBuilder::cluster`], with more than its defaults.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = ringway_engine::Server::builder().cluster_with("app", ["app.internal:80"], |cluster| {
    ///     cluster.retries_max = 0;
    ///     cluster.timeouts.first_byte = Duration::from_secs(5);
    /// });
    /// # let _ = builder;
    /// ```
    pub fn cluster_with<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        endpoints: impl IntoIterator<Item = T>,
        change: impl FnOnce(&mut Cluster),
    ) -> Self {
        let mut cluster = Cluster::new(name, Vec::new());
        change(&mut cluster);
        self.clusters
            .push(NamedCluster { cluster, endpoints: endpoints.into_iter().map(Into::into).collect() });
        self
    }

    /// A cluster as plain data.
    pub fn cluster_of(mut self, cluster: Cluster) -> Self {
        self.clusters.push(NamedCluster { cluster, endpoints: Vec::new() });
        self
    }

    /// A balancing algorithm for the clusters whose [`balance`](Cluster::balance) is this name: see [`Balance`].
    ///
    /// `make` is called with the cluster's endpoints, once for each of these clusters on each shard, and again where a
    /// failed shard starts again.
    pub fn balance<B: Balance + 'static>(
        mut self,
        name: impl Into<Cow<'static, str>>,
        make: impl Fn(&[balance::Endpoint]) -> B + Send + Sync + 'static,
    ) -> Self {
        self.algorithms.push(Algorithm::new(name, make));
        self
    }

    /// Accepts HTTP there, for `service`. May be called for several places, each with a service of its own; a service
    /// may be cloned for several places.
    pub fn listen(mut self, at: impl Into<Listen>, service: Service) -> Self {
        self.listeners.push(Placed { listen: at.into(), serves: Serves::Http(service) });
        self
    }

    /// Accepts raw TCP there and relays every connection to an endpoint of the cluster of this name.
    pub fn tcp(mut self, at: impl Into<Listen>, cluster: impl Into<String>) -> Self {
        let serves = Serves::Relay { cluster: cluster.into() };
        self.listeners.push(Placed { listen: at.into(), serves });
        self
    }

    /// Accepts raw TCP there, for an app of bytes.
    ///
    /// ```
    /// use ringway_engine::prelude::*;
    ///
    /// struct Echo;
    ///
    /// impl StreamApp for Echo {
    ///     async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
    ///         while let Some(chunk) = stream.read().await? {
    ///             stream.write_chunk(chunk).await?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let builder = Server::builder().stream("127.0.0.1:7", StreamService::app(|| Echo));
    /// # let _ = builder;
    /// ```
    pub fn stream(mut self, at: impl Into<Listen>, service: StreamService) -> Self {
        self.listeners.push(Placed { listen: at.into(), serves: Serves::Stream(service) });
        self
    }

    /// Bounds on what peers may make the server hold or wait for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The access log; by default there is none.
    pub fn access_log(mut self, access_log: AccessLog) -> Self {
        self.settings.access_log = access_log;
        self
    }

    /// How long exchanges and background services may take to end after a graceful stop was asked for. Default 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// Path of the control socket, which `ringway status` and `ringway stop` talk to; by default there is none.
    pub fn control(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.control = Some(path.into());
        self
    }

    /// Changes the settings themselves, for what has no method here. Listeners that it adds serve the sites of the
    /// settings. What [`ServerBuilder::listen`], [`ServerBuilder::tcp`], [`ServerBuilder::stream`] and the clusters of the builder say is not in
    /// there yet: it is added at the start.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Work beside requests: a [`BackgroundService`](super::BackgroundService), or a [`Background`] that also says when
    /// it starts.
    pub fn background(mut self, service: impl Into<Background>) -> Self {
        self.background.push(service.into());
        self
    }

    /// A task that every shard runs from its start. It runs between requests on the shard's own thread: it need not be
    /// `Send`, may use all of [`rt`](crate::rt), and must not block. What has to be done when the server stops waits for
    /// [`rt::shutdown`](crate::rt::shutdown).
    ///
    /// `make` is called once on each shard, and again where a failed shard starts again. A task that panics is over,
    /// and everything else goes on.
    ///
    /// ```
    /// use ringway_engine::published::Published;
    ///
    /// let flags = Published::new(Vec::<String>::new());
    /// let published = flags.clone();
    /// let builder = ringway_engine::Server::builder().on_each_shard(move || {
    ///     let flags = published.reader();
    ///     async move {
    ///         loop {
    ///             println!("flags now: {:?}", flags.changed().await);
    ///         }
    ///     }
    /// });
    /// # let _ = builder;
    /// ```
    pub fn on_each_shard<F: Future<Output = ()> + 'static>(
        mut self,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.tasks.push(ShardTask::new(make));
        self
    }

    /// [`ServerBuilder::run`] prints `listening on ADDRESS (SCHEME)` on standard error for each listener, when it
    /// accepts.
    pub fn announce(mut self) -> Self {
        self.announces = true;
        self
    }

    /// Stops and watches the server that this becomes: for hooks and background services, which are made before it.
    pub fn handle(&self) -> ServerHandle {
        self.launch.handle.clone()
    }

    /// Starts the server. When this returns, every listener of every shard accepts, and every background service that
    /// something depends on is ready. Installs no signal handlers.
    ///
    /// # Errors
    /// What is wrong with the parts, all at once; or something that cannot be had.
    pub fn start(self) -> Result<Server, StartError> {
        let (settings, services, mut mistakes) = assemble(self.settings, self.clusters, self.listeners);
        let services = services.with_tasks(self.tasks).with_algorithms(self.algorithms);
        mistakes.splice(0..0, self.mistakes);
        mistakes.extend(settings.check().err().unwrap_or_default());
        mistakes.extend(services.check(&settings).err().unwrap_or_default());
        let crew = Crew::new(self.background).map_err(|errors| mistakes.extend(errors)).ok();
        let Some(crew) = crew.filter(|_| mistakes.is_empty()) else {
            return Err(StartError::Settings(mistakes));
        };
        let extras = Extras { services, crew };
        self.launch.start(settings, extras, self.program)
    }

    /// Starts the server and waits until it has stopped: by a signal, which it handles as
    /// [`Server::handle_signals`] says, by a [`ServerHandle`], or by its control socket.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    pub fn run(self) -> Result<Stopped, StartError> {
        let announces = self.announces;
        let server = self.start()?;
        // Whoever reads the next lines may signal at once.
        server.handle_signals();
        if announces {
            for Bound { address, scheme } in server.bound() {
                // Nobody reads it: then nobody misses it.
                _ = writeln!(std::io::stderr(), "listening on {address} ({scheme})");
            }
        }
        Ok(server.wait())
    }
}

/// Puts words and parts together; what is wrong with the words, each in a sentence.
fn assemble(
    mut settings: Settings,
    clusters: Vec<NamedCluster>,
    listeners: Vec<Placed>,
) -> (Settings, Services, Vec<String>) {
    let mut mistakes = Vec::new();
    for NamedCluster { mut cluster, endpoints } in clusters {
        for text in endpoints {
            match parse_endpoint(&text, resolve_by_system) {
                Ok(addresses) => {
                    let endpoints = addresses.into_iter().map(|address| Endpoint { address, weight: 1 });
                    cluster.endpoints.extend(endpoints);
                }
                Err(error) => mistakes.push(format!("cluster \"{}\": {error}", cluster.name)),
            }
        }
        settings.clusters.push(cluster);
    }
    // Listeners that were in the settings before serve their sites.
    let mut services: Vec<Option<Service>> = settings.listeners.iter().map(|_| None).collect();
    let mut streams: Vec<Option<StreamService>> = settings.tcp.iter().map(|_| None).collect();
    let mut places: Vec<Address> = Vec::new();
    for Placed { listen: Listen { address, mode, proxy_protocol }, serves } in listeners {
        let address = match address {
            Ok(address) => address,
            Err(error) => {
                mistakes.push(error.to_string());
                // It stands for the listener in the checks of the whole.
                Address::Tcp(([127, 0, 0, 1], 0).into())
            }
        };
        if mode.is_some() && matches!(address, Address::Tcp(_)) {
            mistakes.push(format!("{address} is no file and has no mode"));
        }
        let asks_for_port = matches!(address, Address::Tcp(address) if address.port() == 0);
        if !asks_for_port && places.contains(&address) {
            mistakes.push(format!("{address} is listened at twice"));
        }
        places.push(address.clone());
        match serves {
            Serves::Http(service) => {
                settings.listeners.push(Listener { mode, proxy_protocol, ..Listener::new(address) });
                services.push(Some(service));
            }
            Serves::Relay { cluster } => {
                settings.tcp.push(TcpListener {
                    mode,
                    proxy_protocol,
                    ..TcpListener::new(address, Some(cluster))
                });
                streams.push(None);
            }
            Serves::Stream(service) => {
                settings.tcp.push(TcpListener { mode, proxy_protocol, ..TcpListener::new(address, None) });
                streams.push(Some(service));
            }
        }
    }
    (settings, Services::new(services).with_streams(streams), mistakes)
}

impl Listen {
    /// A Unix-domain socket. A file that a server left behind is replaced.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Address::Unix(path.into()).into()
    }

    /// Lets these proxies say with a PROXY header for whom they connect: `Session::client` is who they say.
    #[must_use]
    pub fn proxy_protocol(mut self, proxies: ProxyProtocol) -> Self {
        self.proxy_protocol = Some(proxies);
        self
    }

    /// The mode of the socket's file, exactly; by default what the umask leaves.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        Self { address: Ok(address), mode: None, proxy_protocol: None }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address).into()
    }
}

impl From<&str> for Listen {
    fn from(text: &str) -> Self {
        Self { address: parse_listen(text), mode: None, proxy_protocol: None }
    }
}

impl From<String> for Listen {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listeners", &self.listeners)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}
