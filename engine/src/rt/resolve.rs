//! Names to addresses.

use super::local;
use super::offload::{Offload, OffloadError, offload};
use super::timer::{Timeout, timeout};
use crate::limits::RESOLVE_TIMEOUT;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The addresses of a host, as the machine's resolver finds them, in its order; each with `port`. There is at least one.
///
/// An address, IPv6 in brackets or without, is its own result and costs nothing. A name is looked up by
/// [`offload`](super::offload()) and waited for at most [`RESOLVE_TIMEOUT`]. Nothing is kept: whoever asks often keeps
/// the result. In a simulation names are found in the table that [`Local::set_name`](super::Local::set_name) fills.
///
/// ```
/// # ringway_engine::rt::simulate(async {
/// use ringway_engine::rt;
///
/// let addresses = rt::resolve("192.0.2.1", 80).await;
/// assert_eq!(addresses, Ok(vec![([192, 0, 2, 1], 80).into()]));
/// # });
/// ```
///
/// # Panics
/// Outside of a shard.
pub fn resolve(host: &str, port: u16) -> Resolve {
    if let Some(literal) = literal(host) {
        return Resolve(State::Known(Some(Ok(vec![SocketAddr::new(literal, port)]))));
    }
    let host = host.to_owned();
    let found = match local::current().name(&host) {
        Some(simulated) => offload(move || {
            let addresses: Vec<_> = simulated.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            if addresses.is_empty() { Err("nobody has that name".to_owned()) } else { Ok(addresses) }
        }),
        None => offload(move || ask(&host, port)),
    };
    Resolve(State::Asked(timeout(RESOLVE_TIMEOUT, found)))
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => host.parse().ok(),
    }
}

#[expect(clippy::disallowed_methods, reason = "it blocks a thread that is there for it")]
fn ask(host: &str, port: u16) -> Found {
    use std::net::ToSocketAddrs;
    let found = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

type Found = Result<Vec<SocketAddr>, String>;

/// What [`resolve`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Resolve(State);

#[derive(Debug)]
enum State {
    Known(Option<Result<Vec<SocketAddr>, ResolveError>>),
    Asked(Timeout<Offload<Found>>),
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// Too much work that blocks was waiting already.
    Busy,
    /// The resolver took too long.
    TimedOut,
    /// What the resolver says.
    Failed(String),
}

impl Future for Resolve {
    type Output = Result<Vec<SocketAddr>, ResolveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Known(known) => Poll::Ready(known.take().expect("not awaited again after its end")),
            State::Asked(asked) => Pin::new(asked).poll(cx).map(|found| match found {
                Err(_) => Err(ResolveError::TimedOut),
                Ok(Err(OffloadError::Busy)) => Err(ResolveError::Busy),
                Ok(Err(OffloadError::Panicked)) => Err(ResolveError::Failed("the resolver panicked".into())),
                Ok(Ok(found)) => found.map_err(ResolveError::Failed),
            }),
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many names are being looked up"),
            Self::TimedOut => f.write_str("the resolver took too long"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ResolveError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_name() {
        let literals = ["192.0.2.1", "2001:db8::1", "[2001:db8::1]"];
        assert!(literals.iter().all(|host| literal(host).is_some()));
        let names = ["localhost", "[192.0.2.1]", "192.0.2.1.", "[::1", "", "a.example"];
        assert!(names.iter().all(|host| literal(host).is_none()));
    }
}
