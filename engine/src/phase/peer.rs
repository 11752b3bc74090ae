//! Where a request goes, and how it gets there.

use super::facts::Downstream;
use crate::port::Handle;
use crate::settings::{Address, KeepAlive, SocketOptions, UpstreamTimeouts};
use crate::upstream::{Place, Speaks};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// The upstream of one attempt: what `upstream_peer` answers with.
///
/// Either a cluster, whose balancing, pools, time-outs and retries then hold, or an address of the hook's own choice.
/// Connections to an address are pooled, too: two peers share idle connections when everything that shapes a
/// connection is equal (address, socket options, keep-alive, group).
///
/// ```
/// use ringway_engine::phase::Peer;
/// use std::time::Duration;
///
/// let peer = Peer::cluster("app").first_byte_timeout(Duration::from_secs(2));
/// let other = Peer::address(([127, 0, 0, 1], 9001)).retries(1).group(7);
/// # let _ = (peer, other);
/// ```
#[derive(Clone, Debug)]
pub struct Peer {
    pub(crate) target: Target,
    pub(crate) options: Option<Box<Options>>,
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The cluster of this name.
    Named(Box<str>),
    /// The cluster with this index.
    Cluster(usize),
    /// A place of the hook's own choice.
    Address(Box<Place>),
    /// User code in this process.
    App(App),
}

/// User code that takes the place of an origin.
#[derive(Clone)]
pub struct App(Rc<dyn Serve>);

/// Serves one exchange, or one stream, from beginning to end.
pub trait Serve {
    /// Makes the task that does it.
    fn serve(&self, handle: Handle, client: &Rc<Downstream>) -> Pin<Box<dyn Future<Output = ()>>>;
}

impl App {
    /// As `serve` serves.
    pub fn new(serve: impl Serve + 'static) -> Self {
        Self(Rc::new(serve))
    }

    /// Makes the task that serves the exchange at the other end of `handle`.
    pub fn serve(&self, handle: Handle, client: &Rc<Downstream>) -> Pin<Box<dyn Future<Output = ()>>> {
        self.0.serve(handle, client)
    }
}

impl PartialEq for App {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for App {}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

/// What is spoken to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, as ALPN finds.
    Http2,
    /// HTTP/2 in clear, as is known before.
    Http2Clear,
    /// The best that ALPN finds.
    Auto,
}

/// How TLS is spoken to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name that is asked for (SNI) and that the certificate has to be for.
    pub server_name: Box<str>,
    /// Another name that the certificate may be for.
    pub alternative_name: Option<Box<str>>,
    /// Whether the certificate's chain is verified.
    pub verifies_chain: bool,
    /// Whether the certificate's name is verified.
    pub verifies_name: bool,
    /// Certificates of authorities, PEM, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// As is safe: chain and name are verified against the system's authorities.
    pub fn new(server_name: impl Into<Box<str>>) -> Self {
        Self {
            server_name: server_name.into(),
            alternative_name: None,
            verifies_chain: true,
            verifies_name: true,
            authorities: None,
            certificate: None,
        }
    }
}

impl From<&str> for Tls {
    /// As is safe, for this server name.
    fn from(server_name: &str) -> Self {
        Self::new(server_name)
    }
}

/// What differs from the defaults for this attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) is_fresh: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) protocol: Protocol,
    /// What a cluster balances by.
    pub(crate) balance_key: Option<Box<[u8]>>,
    /// An option that this target does not have.
    pub(crate) misuse: Option<&'static str>,
}

impl Peer {
    /// An endpoint of the cluster of this name, as its balancing finds. An unknown name fails the exchange with
    /// `peer_invalid`.
    pub fn cluster(name: impl Into<Box<str>>) -> Self {
        Self { target: Target::Named(name.into()), options: None }
    }

    /// The cluster with this index in the settings. One that is not there fails the exchange with `peer_invalid`.
    #[inline]
    pub fn cluster_at(index: usize) -> Self {
        Self { target: Target::Cluster(index), options: None }
    }

    /// An IP address and port.
    pub fn address(address: impl Into<SocketAddr>) -> Self {
        Self::place(Address::Tcp(address.into()))
    }

    /// A Unix-domain stream socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::place(Address::Unix(path.into()))
    }

    /// User code in this process: see [`crate::app`].
    pub fn app(app: App) -> Self {
        Self { target: Target::App(app), options: None }
    }

    fn place(address: Address) -> Self {
        let place = Place {
            address,
            socket: SocketOptions::default(),
            keepalive: KeepAlive::default(),
            group: 0,
            speaks: Speaks::Http,
        };
        Self { target: Target::Address(Box::new(place)), options: None }
    }

    /// How long connecting may take. Default: the cluster's, 2 s for an address.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options().connect = Some(timeout);
        self
    }

    /// From the end of the request to the first byte of the answer. Default: the cluster's, 30 s for an address.
    #[must_use]
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.options().first_byte = Some(timeout);
        self
    }

    /// Between two receives of the answer. Default: the cluster's, 60 s for an address.
    #[must_use]
    pub fn between_bytes_timeout(mut self, timeout: Duration) -> Self {
        self.options().between_bytes = Some(timeout);
        self
    }

    /// How many further attempts may follow a failure by themselves. Default: the cluster's, none for an address but
    /// the one behind a reused connection that closed unanswered. A hook may allow more, see
    /// [`crate::error::Error::set_retry`].
    #[must_use]
    pub fn retries(mut self, max: u32) -> Self {
        self.options().retries = Some(max);
        self
    }

    /// Dials, even where an idle connection is in the pool.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.options().is_fresh = true;
        self
    }

    /// How sockets to an address are made. The sockets of a cluster are made as its settings say: with one of those
    /// this is a mistake of the hook, `peer_invalid`.
    #[must_use]
    pub fn socket(mut self, socket: SocketOptions) -> Self {
        match &mut self.target {
            Target::Address(place) => place.socket = socket,
            Target::Named(_) | Target::Cluster(_) | Target::App(_) => self.misuse(OF_ADDRESSES),
        }
        self
    }

    /// What happens to connections to an address between requests: how many are kept, on each shard, and for how long.
    /// Default: [`KeepAlive::default`], 128 for 60 s. Peers with different ones do not share connections. With a cluster
    /// this is a mistake of the hook, `peer_invalid`: its settings say it.
    #[must_use]
    pub fn keepalive(mut self, keepalive: KeepAlive) -> Self {
        match &mut self.target {
            Target::Address(place) => place.keepalive = keepalive,
            Target::Named(_) | Target::Cluster(_) | Target::App(_) => self.misuse(OF_ADDRESSES),
        }
        self
    }

    /// Keeps idle connections of one group apart from those of others: tenants, identities. Default 0. With a cluster
    /// this is a mistake of the hook, `peer_invalid`.
    #[must_use]
    pub fn group(mut self, group: u64) -> Self {
        match &mut self.target {
            Target::Address(place) => place.group = group,
            Target::Named(_) | Target::Cluster(_) | Target::App(_) => self.misuse(OF_ADDRESSES),
        }
        self
    }

    /// What the cluster's algorithm may balance by: requests that belong together have equal keys. Round robin does not
    /// look at it. Without a cluster this is a mistake of the hook, `peer_invalid`.
    #[must_use]
    pub fn balance_key(mut self, key: impl Into<Box<[u8]>>) -> Self {
        match &self.target {
            Target::Named(_) | Target::Cluster(_) => self.options().balance_key = Some(key.into()),
            Target::Address(_) | Target::App(_) => {
                self.misuse("only a cluster is balanced, by a key or otherwise")
            }
        }
        self
    }

    fn misuse(&mut self, why: &'static str) {
        self.options().misuse = Some(why);
    }

    /// Speaks TLS to it. That cannot be had yet: the exchange fails with `peer_invalid`, since to send in clear what was
    /// meant to be secret would be worse.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.options().tls = Some(tls.into());
        self
    }

    /// What is spoken to it. Default: HTTP/1.1. Another version cannot be had yet: the exchange fails with
    /// `peer_invalid`.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.options().protocol = protocol;
        self
    }

    fn options(&mut self) -> &mut Options {
        self.options.get_or_insert_default()
    }

    /// Why it cannot be used, where the reason is in itself.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let options = self.options.as_ref()?;
        if options.tls.is_some() {
            return Some("TLS to a peer is not there yet");
        }
        if options.protocol != Protocol::Http1 {
            return Some("HTTP/2 to a peer is not there yet");
        }
        options.misuse
    }
}

const OF_ADDRESSES: &str = "sockets, keep-alive and groups of a cluster are as its settings say";

impl Options {
    /// The time-outs of an attempt at something whose own are `timeouts`.
    pub(crate) fn timeouts(&self, timeouts: UpstreamTimeouts) -> UpstreamTimeouts {
        UpstreamTimeouts {
            connect: self.connect.unwrap_or(timeouts.connect),
            first_byte: self.first_byte.unwrap_or(timeouts.first_byte),
            between_bytes: self.between_bytes.unwrap_or(timeouts.between_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_said() {
        let address = || Peer::address(([127, 0, 0, 1], 80));
        assert_eq!(address().socket(SocketOptions::default()).group(1).mistake(), None);
        assert!(Peer::cluster("a").group(1).mistake().is_some());
        assert_eq!(Peer::cluster("a").balance_key(*b"a").mistake(), None);
        assert!(address().balance_key(*b"a").mistake().is_some());
        assert!(Peer::cluster("a").keepalive(KeepAlive::default()).mistake().is_some());
        assert!(Peer::cluster_at(0).socket(SocketOptions::default()).mistake().is_some());
        assert!(address().tls("example.com").mistake().is_some());
        assert!(address().protocol(Protocol::Http2).mistake().is_some());
    }
}
