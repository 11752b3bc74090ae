//! Names to addresses.

use super::local;
use super::offload::{Offload, OffloadError, look_up};
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
/// threads that do nothing else, [`LOOKUP_THREADS`](crate::limits::LOOKUP_THREADS) for the process, and waited for at most
/// [`RESOLVE_TIMEOUT`]. Where [`LOOKUP_QUEUE`](crate::limits::LOOKUP_QUEUE) names wait for them already it is
/// [`ResolveError::Busy`]. Nothing is kept: whoever asks often keeps the result. In a simulation names are found in the table that [`Local::set_name`](super::Local::set_name) fills.
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
        Some(simulated) => look_up(move || {
            let addresses: Vec<_> = simulated.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            if addresses.is_empty() { Err("nobody has that name".to_owned()) } else { Ok(addresses) }
        }),
        None => look_up(move || ask(&host, port)),
    };
    Resolve::of(found)
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

impl Resolve {
    /// What is being looked up, as long as it is waited for.
    fn of(found: Offload<Found>) -> Self {
        Self(State::Asked(timeout(RESOLVE_TIMEOUT, found)))
    }
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// Too many names were waiting already.
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
    use super::super::offload::{Pool, offload_to};
    use super::super::{Local, Wakee, offload};
    use super::*;
    use crate::observe::Counters;
    use crate::time::Instant;
    use crossbeam_channel::bounded;
    use std::sync::Arc;
    use std::time::Duration;

    /// What a name server does that answers as soon as the other end of the channel is dropped.
    fn hang(released: &crossbeam_channel::Receiver<()>) -> Found {
        _ = released.recv();
        Err("too late".to_owned())
    }

    #[test]
    fn a_resolver_that_hangs_is_waited_for_so_long_and_holds_up_nothing_else() {
        let (rung, rings) = bounded(64);
        let local = Local::new(Arc::new(Counters::new(&[])), move || _ = rung.try_send(()));
        let turn = |now: Duration| {
            local.enter(Instant::ZERO + now);
            local.on_timeout(Instant::ZERO + now);
            local.answer();
            while let Some(wakee) = local.poll_woken() {
                if let Wakee::Task(key) = wakee {
                    local.run(key);
                }
            }
        };
        turn(Duration::ZERO);
        let lookups = Pool::new("test", 1, 1);
        let (release, released) = bounded::<()>(0);
        let (begin, begun) = bounded(1);
        let look_up = |begin: Option<crossbeam_channel::Sender<()>>| {
            let released = released.clone();
            let work = move || {
                begin.map(|begin| begin.send(()));
                hang(&released)
            };
            local.spawn(Resolve::of(offload_to(|| &lookups, work)))
        };
        let running = look_up(Some(begin));
        begun.recv().unwrap();
        let (waiting, refused) = (look_up(None), look_up(None));
        let other = local.spawn(offload(|| 1 + 1));
        turn(Duration::ZERO);
        let result = |task: &crate::rt::JoinHandle<_>| task.packet().take();
        assert_eq!(result(&refused), Some(Ok(Err(ResolveError::Busy))));
        while !other.is_finished() {
            rings.recv_timeout(Duration::from_secs(10)).expect("other work is done all the same");
            turn(Duration::ZERO);
        }
        assert_eq!(other.packet().take(), Some(Ok(Ok(2))));
        turn(RESOLVE_TIMEOUT - Duration::from_millis(1));
        assert!(!running.is_finished() && !waiting.is_finished());
        turn(RESOLVE_TIMEOUT);
        assert_eq!(result(&running), Some(Ok(Err(ResolveError::TimedOut))));
        assert_eq!(result(&waiting), Some(Ok(Err(ResolveError::TimedOut))));
        drop(release);
    }

    #[test]
    fn an_address_is_no_name() {
        let literals = ["192.0.2.1", "2001:db8::1", "[2001:db8::1]"];
        assert!(literals.iter().all(|host| literal(host).is_some()));
        let names = ["localhost", "[192.0.2.1]", "192.0.2.1.", "[::1", "", "a.example"];
        assert!(names.iter().all(|host| literal(host).is_none()));
    }
}
