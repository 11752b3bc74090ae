//! What many requests have in common.

use super::Request;
use crate::phase::Peer;
use std::time::Duration;

/// Makes requests that have something in common: where they go, how long they may take, fields. Holds no connection:
/// those belong to the shard, and all clients of a shard share them.
///
/// ```no_run
/// use ringway_engine::client::Client;
/// use ringway_engine::error::Result;
/// use ringway_engine::phase::Peer;
/// use std::time::Duration;
///
/// /// How much is left, as the service behind the cluster "accounts" says.
/// async fn balance(accounts: &Client, user: &str) -> Result<Vec<u8>> {
///     accounts.get(&format!("http://accounts/balance/{user}")).send().await?.bytes(4096).await
/// }
///
/// let accounts = Client::new().to(Peer::cluster("accounts")).timeout(Duration::from_secs(1));
/// # let _ = (accounts, balance);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client(Options);

/// What a request has besides its target and its content.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) peer: Option<Peer>,
    pub(super) timeout: Option<Duration>,
    /// Names and values.
    pub(super) fields: Vec<[Box<[u8]>; 2]>,
}

impl Options {
    pub(super) fn add_field(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push([name.into(), value.into()]);
    }
}

impl Client {
    /// Without anything in common.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where requests are sent, whatever their URLs say; see [`Request::to`].
    #[must_use]
    pub fn to(mut self, peer: Peer) -> Self {
        self.0.peer = Some(peer);
        self
    }

    /// How long each request may take; see [`Request::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// A field of each request.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.add_field(name.as_ref(), value.as_ref());
        self
    }

    /// A request with GET; see [`Request::new`].
    pub fn get(&self, url: &str) -> Request {
        self.request("GET", url)
    }

    /// A request with POST; see [`Request::new`].
    pub fn post(&self, url: &str) -> Request {
        self.request("POST", url)
    }

    /// A request; see [`Request::new`].
    pub fn request(&self, method: &str, url: &str) -> Request {
        Request::with(self.0.clone(), method, url)
    }
}
