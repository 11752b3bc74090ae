//! What a server is told to do, as plain data.
//!
//! These types know no file format and hold nothing half-parsed: whoever builds them (the `ringway` binary
//! from KDL, a framework user from code) has already turned words into values. [`Settings::check`] finds
//! contradictions that no single value shows, such as a route to a cluster that does not exist.

use crate::coding::{DecodeLimits, Policy};
use crate::meter::Quota;
pub use ringway_proto::proxy_protocol::Version as ProxyVersion;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything one server process is configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Number of shards; `None` means one per core that this process may use.
    pub workers: Option<usize>,
    /// Where HTTP is accepted.
    pub listeners: Vec<Listener>,
    /// Where raw TCP is accepted and relayed.
    pub tcp: Vec<TcpListener>,
    /// Named sets of interchangeable endpoints.
    pub clusters: Vec<Cluster>,
    /// Which host and path goes where.
    pub sites: Vec<Site>,
    /// Bounds on what peers may make us hold or wait for.
    pub limits: Limits,
    /// The access log.
    pub access_log: AccessLog,
    /// How long running exchanges may take after a graceful stop was asked for. Default 30 s.
    pub drain_timeout: Duration,
    /// Path of the control socket; `None` means there is none.
    pub control: Option<PathBuf>,
    /// What is believed of forwarding fields that peers send.
    pub forwarding: Forwarding,
}

/// A place to listen at or connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port; port 0 asks the kernel for one when listening.
    Tcp(SocketAddr),
    /// A Unix-domain stream socket.
    Unix(PathBuf),
}

/// An HTTP listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where to listen.
    pub address: Address,
    /// File mode of a Unix-domain socket.
    pub mode: Option<u32>,
    /// Whose connections begin with a PROXY header; nobody's where there is none.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// A raw TCP listener: every connection is tunneled to an endpoint of a cluster, or served by an app.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpListener {
    /// Where to listen.
    pub address: Address,
    /// File mode of a Unix-domain socket.
    pub mode: Option<u32>,
    /// Whose connections begin with a PROXY header; nobody's where there is none.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where connections go whose TLS ClientHello asks for one of these hosts (SNI). TLS is not ended: the ClientHello
    /// is the first of what the endpoint gets. Without any, connections are relayed unread. No effect where an app
    /// serves them.
    pub names: Vec<NameRoute>,
    /// Name of the cluster that connections go to that no name sends elsewhere, TLS or not. `None`: they are closed, or
    /// an app serves them. A listener with neither names nor cluster nor app does not start.
    pub cluster: Option<String>,
}

/// Where TLS connections for some hosts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRoute {
    /// `example.com`, or `*.example.com` for any number of labels before that; exact names go before the longest `*.`.
    pub pattern: String,
    /// Name of the cluster.
    pub cluster: String,
}

/// Which connections of a listener begin with a PROXY header, version 1 or 2. Theirs has to be there, complete, within
/// [`Limits::header_timeout`]; the client that it names is the client of whatever follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Those of peers with these addresses.
    pub from: Vec<IpNet>,
    /// Those of peers on a Unix-domain socket.
    pub from_unix: bool,
    /// What becomes of everybody else's.
    pub others: Others,
}

/// What becomes of connections that do not come from the proxies in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// They are served for what they are, a client's own: a PROXY header is bytes like others.
    #[default]
    Serve,
    /// They are closed.
    Refuse,
}

/// A named set of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The name that routes refer to.
    pub name: String,
    /// Its members; never empty.
    pub endpoints: Vec<Endpoint>,
    /// The name of the algorithm that chooses among them: one of [`crate::upstream::balance::ALGORITHMS`], or one that was
    /// registered with [`crate::ServerBuilder::balance`]. Default `round-robin`.
    pub balance: String,
    /// How long to wait for origins.
    pub timeouts: UpstreamTimeouts,
    /// What happens to connections between requests.
    pub keepalive: KeepAlive,
    /// How many further attempts an exchange may have after the first. Default 2.
    pub retries_max: u32,
    /// How its sockets are made.
    pub socket: SocketOptions,
    /// Begins every connection with a PROXY header of this version, which names the client. Such a connection is used
    /// for the requests of one client connection only, and ends with it. `None`, the default: there is none.
    pub send_proxy: Option<ProxyVersion>,
}

/// One address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect; names were resolved before.
    pub address: Address,
    /// Share of the requests relative to the other endpoints; at least 1.
    pub weight: u32,
}

/// How long an exchange waits for its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Establishing a connection. Default 2 s.
    pub connect: Duration,
    /// From the end of our request to the first byte of the answer. Default 30 s.
    pub first_byte: Duration,
    /// Between two receives of a response, its head included. Default 60 s.
    pub between_bytes: Duration,
}

/// How the sockets of upstream connections are made. Nothing is asked of the kernel that is not said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketOptions {
    /// The source address; its port is the kernel's choice where it is 0. Of another family than the endpoint it makes
    /// connecting fail. No effect on Unix-domain sockets, as all of these.
    pub bind: Option<SocketAddr>,
    /// Probes on connections that are silent.
    pub keepalive: Option<TcpKeepAlive>,
    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// `SO_RCVBUF`, in bytes.
    pub receive_buffer: Option<usize>,
    /// The differentiated services code point, 0 to 63 (RFC 2474).
    pub dscp: Option<u8>,
    /// Sends the request along with the connection's first segment where the kernel has a cookie (RFC 7413).
    pub fast_open: bool,
}

/// `SO_KEEPALIVE` and its times, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpKeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without an answer that end the connection.
    pub count: u32,
}

/// What happens to upstream connections between requests. The bounds hold per shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// Idle connections kept for each endpoint; 0 closes every connection after its request. Default 128.
    pub idle_max: usize,
    /// How long a connection may stay idle. Default 60 s.
    pub idle_timeout: Duration,
}

/// The routes of some hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Host patterns: `*`, `example.com`, `*.example.com`; lower case, without port.
    pub hosts: Vec<String>,
    /// The longest matching path wins; of equals the first whose method fits.
    pub routes: Vec<Route>,
    /// How often requests for these hosts may come, all routes together.
    pub rate_limits: Vec<RateLimit>,
    /// How many requests for these hosts may be under way, all routes together.
    pub concurrency_limits: Vec<ConcurrencyLimit>,
}

/// One rule of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; empty means all.
    pub methods: Vec<String>,
    /// Changes to the request's fields before it is forwarded, in order.
    pub request_fields: Vec<FieldEdit>,
    /// Changes to the response's fields before it is sent, in order.
    pub response_fields: Vec<FieldEdit>,
    /// Upgrade tokens that may pass besides `websocket`; lower case. `h2c` never passes.
    pub upgrades: Vec<String>,
    /// What else happens to requests and responses.
    pub filters: Filters,
    /// What to do with a request that matches.
    pub action: RouteAction,
}

/// What happens to the messages of a route: nothing by default. What each does is in [`crate::filter`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// How responses are coded, and decoded for clients that exclude how they were coded.
    pub compression: Option<Compression>,
    /// Decodes responses for whatever looks into them, and what they may become.
    pub decompression: Option<DecodeLimits>,
    /// Bytes of a request's content; more is 413.
    pub request_bytes_max: Option<u64>,
    /// Bytes of a response's content; more is 502.
    pub response_bytes_max: Option<u64>,
    /// How often requests may come.
    pub rate_limits: Vec<RateLimit>,
    /// How many requests may be under way.
    pub concurrency_limits: Vec<ConcurrencyLimit>,
}

/// How responses are coded.
#[derive(Clone, Debug, PartialEq)]
pub struct Compression {
    /// Which, and how.
    pub policy: Policy,
    /// Responses that are coded at a time, on each shard.
    pub streams_max: usize,
}

/// How often requests may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So often, for each key.
    pub quota: Quota,
    /// Whose requests are counted together.
    pub key: LimitKey,
    /// How long a request may wait for its time, before it is refused.
    pub delay_max: Duration,
    /// Keys that are remembered at a time; eight bytes each.
    pub keys: usize,
    /// The name by which responses tell clients of this limit, with `RateLimit-Policy` and `RateLimit`. `None`: they say
    /// nothing of it.
    pub announced: Option<String>,
}

/// How many requests may be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimit {
    /// So many, for each key.
    pub max: u64,
    /// Whose requests are counted together.
    pub key: LimitKey,
}

/// Whose requests a limit counts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// Those of one address.
    Client,
    /// Those with one value of this field; without it, those of one address.
    Header(String),
    /// Those for one host.
    Host,
    /// Those for one path.
    Path,
    /// All.
    All,
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// Exactly this path.
    Exact(String),
    /// This prefix: `/api/` takes `/api/` and everything below it (written `/api/*`).
    Prefix(String),
}

/// One change to a head's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEdit {
    /// Replace every field of this name by one with this value.
    Set(String, String),
    /// Add one more field.
    Add(String, String),
    /// Remove every field of this name.
    Remove(String),
}

/// What a route does.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// Forward to an endpoint of the cluster of this name.
    Proxy {
        /// The cluster.
        cluster: String,
    },
    /// Answer with a `Location`.
    Redirect {
        /// Status: 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// Answer with a fixed body.
    Respond {
        /// Status: 200 to 599.
        status: u16,
        /// The content; its length is announced.
        body: String,
        /// The value of `Content-Type`, `text/plain; charset=utf-8` when absent.
        content_type: Option<String>,
    },
}

/// Bounds on what peers may make us hold or wait for. Every default is safe against known attacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// From the first byte of a request head (or the connection's start) to its last, and as long again for what stands
    /// before the first one: a PROXY header, a ClientHello. Default 10 s.
    pub header_timeout: Duration,
    /// Bytes of one head, start line included; more is 431. Default 64 KiB.
    pub request_head_bytes: usize,
    /// Bytes of a response head; more is 502. Default 64 KiB.
    pub response_head_bytes: usize,
    /// Fields in one head. Default 128.
    pub fields_max: usize,
    /// Bytes of the request target; more is 414. Default 16 KiB.
    pub target_bytes: usize,
    /// Between two receives of a request body. Default 60 s.
    pub body_idle: Duration,
    /// Bytes of a request body; more is 413. `None`, the default, means no bound.
    pub request_body_bytes: Option<u64>,
    /// A connection without a request. Default 75 s.
    pub keepalive_idle: Duration,
    /// Requests on one client connection, after which it is closed. Default 1,000,000.
    pub keepalive_requests: u64,
    /// A send that makes no progress, on either side. Default 60 s.
    pub write_idle: Duration,
    /// A tunnel in which no byte moves. Default 1 h.
    pub tunnel_idle: Duration,
    /// How long a connection that we end, or the rest of a request that was answered early, is still read, so that the
    /// client sees the answer. Default 5 s.
    pub linger: Duration,
    /// From the first byte of the request to the last of the response; `None`, the default, means no bound.
    pub request_timeout: Option<Duration>,
    /// Client connections of the whole process. Default 100,000.
    pub connections: usize,
    /// Request body bytes kept so that a request may be sent again on another connection. Default 64 KiB.
    pub replay_bytes: usize,
    /// How long we wait for the origin's answer to `Expect: 100-continue` before we answer 100 ourselves.
    /// Default 1 s.
    pub expect_timeout: Duration,
    /// How long one hook of an exchange may wait; then the exchange fails with `hook_timeout`. Default 30 s.
    pub hook_timeout: Duration,
    /// Exchanges of each shard that are over and whose `logging` hooks still wait. When there are more, those that have
    /// waited longest are ended where they wait, with a line in the log. Default 4096.
    pub logging_max: usize,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessLog {
    /// Where lines go.
    pub target: LogTarget,
    /// How a line looks.
    pub format: LogFormat,
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// How an access log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// NCSA combined.
    Combined,
}

/// What is believed of forwarding fields that clients send, and what we add.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Forwarding {
    /// Clients whose `X-Forwarded-*` and `Forwarded` are kept and appended to; all others' are replaced, and what they
    /// say with `X-Real-IP` and its like is removed.
    pub trusted: Vec<IpNet>,
    /// Also send the standard `Forwarded` field (RFC 7239).
    pub forwarded: bool,
    /// The name in `Via`; `ringway` when absent.
    pub via: Option<String>,
}

/// A range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    /// Any address of the range.
    pub address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl IpNet {
    /// Whether `address` is in the range. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        use std::net::IpAddr::{V4, V6};
        let bits = |prefix: u8, width: u8| u32::from(width.saturating_sub(prefix.min(width)));
        match (self.address.to_canonical(), address.to_canonical()) {
            (V4(a), V4(b)) => (u64::from(a.to_bits() ^ b.to_bits()) >> bits(self.prefix, 32)) == 0,
            (V6(a), V6(b)) => {
                let shift = bits(self.prefix, 128);
                shift == 128 || (a.to_bits() ^ b.to_bits()) >> shift == 0
            }
            _ => false,
        }
    }
}

impl Default for Settings {
    /// Nothing is listened on and nobody is asked; bounds and times are safe.
    fn default() -> Self {
        Self {
            workers: None,
            listeners: Vec::new(),
            tcp: Vec::new(),
            clusters: Vec::new(),
            sites: Vec::new(),
            limits: Limits::default(),
            access_log: AccessLog::default(),
            drain_timeout: Duration::from_secs(30),
            control: None,
            forwarding: Forwarding::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            request_head_bytes: 64 * 1024,
            response_head_bytes: 64 * 1024,
            fields_max: 128,
            target_bytes: 16 * 1024,
            body_idle: Duration::from_secs(60),
            request_body_bytes: None,
            keepalive_idle: Duration::from_secs(75),
            keepalive_requests: 1_000_000,
            write_idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            linger: Duration::from_secs(5),
            request_timeout: None,
            connections: 100_000,
            replay_bytes: 64 * 1024,
            expect_timeout: Duration::from_secs(1),
            hook_timeout: Duration::from_secs(30),
            logging_max: 4096,
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(60),
        }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle_max: 128, idle_timeout: Duration::from_secs(60) }
    }
}

impl Listener {
    /// A listener with every default.
    pub fn new(address: Address) -> Self {
        Self { address, mode: None, proxy_protocol: None }
    }
}

impl TcpListener {
    /// A listener whose connections all go to the cluster of this name, or to an app.
    pub fn new(address: Address, cluster: Option<String>) -> Self {
        Self { address, mode: None, proxy_protocol: None, names: Vec::new(), cluster }
    }
}

impl ProxyProtocol {
    /// Whether connections of this peer begin with a header; `None` is one on a Unix-domain socket.
    pub fn is_from(&self, peer: Option<std::net::IpAddr>) -> bool {
        peer.map_or(self.from_unix, |peer| self.from.iter().any(|range| range.contains(peer)))
    }
}

impl Cluster {
    /// A cluster with these endpoints and every default.
    pub fn new(name: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            balance: "round-robin".into(),
            timeouts: UpstreamTimeouts::default(),
            keepalive: KeepAlive::default(),
            retries_max: 2,
            socket: SocketOptions::default(),
            send_proxy: None,
        }
    }
}

impl Site {
    /// These routes for these hosts.
    pub fn new(hosts: Vec<String>, routes: Vec<Route>) -> Self {
        Self { hosts, routes, rate_limits: Vec::new(), concurrency_limits: Vec::new() }
    }

    /// Limits that one response tells of have to be told apart by it.
    fn check_announced(&self, errors: &mut Vec<String>) {
        fn names(limits: &[RateLimit]) -> impl Iterator<Item = &str> {
            limits.iter().filter_map(|limit| limit.announced.as_deref())
        }
        let of_routes = self.routes.iter().map(|route| &route.filters.rate_limits);
        // What is wrong with those of all routes is said once.
        for (limits, earlier) in
            of_routes.map(|limits| (limits, &*self.rate_limits)).chain([(&self.rate_limits, &[][..])])
        {
            let mut seen: HashSet<&str> = names(earlier).collect();
            for name in names(limits) {
                if !RateLimit::is_announceable(name) {
                    errors.push(format!(
                        "\"{name}\" is no name for a limit: it has to be printable ASCII without quotes"
                    ));
                } else if !seen.insert(name) {
                    errors.push(format!("the limit \"{name}\" is announced twice"));
                }
            }
        }
    }
}

impl RateLimit {
    /// Whether responses may tell of a limit by this name: printable ASCII without quotes and backslashes, at least one
    /// character (a String of RFC 9651 that needs no escapes).
    pub fn is_announceable(name: &str) -> bool {
        !name.is_empty()
            && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    }
}

impl Route {
    /// A route for `path`, every method, without edits.
    pub fn new(path: PathPattern, action: RouteAction) -> Self {
        Self {
            path,
            methods: Vec::new(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            upgrades: Vec::new(),
            filters: Filters::default(),
            action,
        }
    }
}

impl Settings {
    /// A reverse proxy: every request on `listen` goes to one of `endpoints`.
    pub fn reverse_proxy(listen: Address, endpoints: Vec<Address>) -> Self {
        let endpoints = endpoints.into_iter().map(|address| Endpoint { address, weight: 1 }).collect();
        Self {
            listeners: vec![Listener::new(listen)],
            clusters: vec![Cluster::new("upstream", endpoints)],
            sites: vec![Site::new(
                vec!["*".into()],
                vec![Route::new(PathPattern::Any, RouteAction::Proxy { cluster: "upstream".into() })],
            )],
            ..Self::default()
        }
    }

    /// Finds what is contradictory. Each error is one sentence.
    ///
    /// # Errors
    /// Routes and TCP listeners that name unknown clusters, clusters without endpoints, endpoints without weight, names and
    /// hosts given twice, a name in `Via` that is no token, limits announced by a name that cannot be sent or that another
    /// one of the same requests has.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        for (index, cluster) in self.clusters.iter().enumerate() {
            if cluster.endpoints.is_empty() {
                errors.push(format!("cluster \"{}\" has no endpoint", cluster.name));
            }
            if let Some(endpoint) = cluster.endpoints.iter().find(|endpoint| endpoint.weight == 0) {
                errors.push(format!(
                    "cluster \"{}\": the weight of {} is less than 1",
                    cluster.name, endpoint.address
                ));
            }
            if self.clusters[..index].iter().any(|earlier| earlier.name == cluster.name) {
                errors.push(format!("cluster \"{}\" is given twice", cluster.name));
            }
        }
        errors.extend(self.repeated_hosts().map(|host| format!("host \"{host}\" is given twice")));
        for listener in &self.tcp {
            let repeated = repeated(listener.names.iter().map(|route| &route.pattern));
            errors.extend(repeated.map(|name| format!("name \"{name}\" is given twice")));
        }
        self.sites.iter().for_each(|site| site.check_announced(&mut errors));
        let known = |name: &str| self.clusters.iter().any(|cluster| cluster.name == name);
        let proxied =
            self.sites.iter().flat_map(|site| &site.routes).filter_map(|route| match &route.action {
                RouteAction::Proxy { cluster } => Some(cluster),
                _ => None,
            });
        let tunneled = self
            .tcp
            .iter()
            .flat_map(|listener| listener.names.iter().map(|route| &route.cluster).chain(&listener.cluster));
        for name in proxied.chain(tunneled) {
            if !known(name) {
                errors.push(format!("there is no cluster \"{name}\""));
            }
        }
        if let Some(via) = &self.forwarding.via
            && !ringway_proto::message::fields::is_valid_name(via.as_bytes())
        {
            errors.push(format!("\"{via}\" is no name for Via: it has to be a token"));
        }
        if self.listeners.is_empty() && self.tcp.is_empty() {
            errors.push("there is nothing to listen on".into());
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The hosts that another site, or the same one, has already: only the first would get requests.
    fn repeated_hosts(&self) -> impl Iterator<Item = &String> {
        repeated(self.sites.iter().flat_map(|site| &site.hosts))
    }
}

/// Those patterns of hosts that an earlier one equals.
fn repeated<'a>(hosts: impl Iterator<Item = &'a String>) -> impl Iterator<Item = &'a String> {
    let mut seen = HashSet::new();
    // As requests are matched: without case and last dot.
    let spelled = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    hosts.filter(move |host| !seen.insert(spelled(host)))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(sites: &[&[&str]]) -> Vec<String> {
        let listen = Address::Tcp(([127, 0, 0, 1], 80).into());
        let mut settings = Settings::reverse_proxy(listen.clone(), vec![listen]);
        let site = |hosts: &&[&str]| Site {
            hosts: hosts.iter().map(|host| (*host).into()).collect(),
            ..settings.sites[0].clone()
        };
        settings.sites = sites.iter().map(site).collect();
        settings.check().err().unwrap_or_default()
    }

    #[test]
    fn a_server_of_which_nothing_is_said_drains_as_long_as_the_documents_say() {
        assert_eq!(Settings::default().drain_timeout, Duration::from_secs(30));
        let listen = Address::Tcp(([127, 0, 0, 1], 80).into());
        assert_eq!(
            Settings::reverse_proxy(listen.clone(), vec![listen]).drain_timeout,
            Duration::from_secs(30)
        );
    }

    #[test]
    fn a_host_that_is_given_twice_is_an_error() {
        assert_eq!(errors(&[&["a.example", "*"], &["a.example"]]), ["host \"a.example\" is given twice"]);
        assert_eq!(
            errors(&[&["a.example", "b"], &["c", "A.Example."]]),
            ["host \"A.Example.\" is given twice"]
        );
        assert_eq!(errors(&[&["*.a.example", "*.a.example"]]), ["host \"*.a.example\" is given twice"]);
        assert_eq!(errors(&[&["*"], &["*"]]), ["host \"*\" is given twice"]);
        assert!(errors(&[&["*", "a.example"], &["*.a.example", "b.a.example"]]).is_empty());
    }

    #[test]
    fn limits_that_are_announced_are_told_apart() {
        let listen = Address::Tcp(([127, 0, 0, 1], 80).into());
        let limit = |name: &str| RateLimit {
            quota: Quota::new(1, Duration::from_secs(1)),
            key: LimitKey::All,
            delay_max: Duration::ZERO,
            keys: 8,
            announced: Some(name.into()),
        };
        let errors = |site: &[&str], routes: [&[&str]; 2]| {
            let mut settings = Settings::reverse_proxy(listen.clone(), vec![listen.clone()]);
            let of_site = &mut settings.sites[0];
            of_site.rate_limits = site.iter().map(|name| limit(name)).collect();
            of_site.routes = vec![of_site.routes[0].clone(); 2];
            for (route, names) in of_site.routes.iter_mut().zip(routes) {
                route.filters.rate_limits = names.iter().map(|name| limit(name)).collect();
            }
            settings.check().err().unwrap_or_default()
        };
        assert!(errors(&["a", "b"], [&["c", "d e!"], &["c"]]).is_empty());
        let twice = ["the limit \"a\" is announced twice"];
        assert_eq!(errors(&["a", "a"], [&[], &[]]), twice);
        assert_eq!(errors(&["a"], [&["b"], &["a"]]), twice);
        assert_eq!(errors(&[], [&["a", "a"], &["b"]]), twice);
        for name in ["", "\"", "\\", "é", "\n"] {
            assert_eq!(errors(&[], [&[name], &[]]).len(), 1, "{name}");
        }
    }

    #[test]
    fn an_endpoint_without_weight_is_an_error() {
        let address = Address::Tcp(([127, 0, 0, 1], 80).into());
        let mut settings = Settings::reverse_proxy(address.clone(), vec![address.clone(), address]);
        settings.clusters[0].endpoints[1].weight = 0;
        assert_eq!(
            settings.check(),
            Err(vec!["cluster \"upstream\": the weight of 127.0.0.1:80 is less than 1".into()])
        );
    }
}
