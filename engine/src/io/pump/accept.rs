//! Accepting connections from one listening socket.

use super::socket::Accepted;
use super::watch::Readiness;
use super::{Core, Phase, sys};
use crate::io::PeerAddress;
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_TURN};
use crate::settings::Address;
use crate::shard::{ListenerKind, ListenerSocket};
use socket2::{SockAddr, SockRef};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// A listening socket of a shard.
pub(super) struct Listener {
    readiness: Readiness,
    kind: ListenerKind,
    /// Where it is bound.
    address: Rc<Address>,
}

/// What a round of accepting ended with.
enum Round {
    /// The queue is empty.
    Empty,
    /// There may be more; others go first.
    More,
    /// No descriptor or no memory, or the limit is reached: a pause, during which what runs goes on.
    Exhausted,
}

/// Accepts until the shard drains.
pub(super) fn accept(core: Rc<Core>, listener: ListenerSocket) -> io::Result<impl Future<Output = ()>> {
    let address = Rc::new(address(&listener.socket.local_addr()?));
    let readiness = Readiness::new(OwnedFd::from(listener.socket))?;
    let listener = Rc::new(Listener { readiness, kind: listener.kind, address });
    core.listeners.borrow_mut().push(Rc::clone(&listener));
    let pause = Pause::new()?;
    Ok(async move {
        while core.phase.get() == Phase::Serving {
            listener.readiness.readable().await;
            match round(&core, &listener) {
                Round::Empty => {}
                // The listener is then waited for in the event loop, which is ready at once: what else has happened
                // meanwhile is seen before more is accepted. (epoll alone would not do: what it knows to be ready it
                // does not wait for.)
                Round::More => core.rear.others_first().await,
                Round::Exhausted => pause.wait().await,
            }
        }
    })
}

/// Accepts what is in the queue already, then ends listening; the task wakes up and closes the descriptor.
pub(super) fn finish(core: &Core, listener: &Listener) {
    while let Round::More = round(core, listener) {}
    sys::shutdown(listener.readiness.fd());
}

fn round(core: &Core, listener: &Listener) -> Round {
    for _ in 0..ACCEPTS_PER_TURN {
        if !core.shard.borrow().has_room() {
            core.shard.borrow().count_accept_backoff();
            return Round::Exhausted;
        }
        let (fd, address) = match sys::accept(listener.readiness.fd()) {
            Ok(accepted) => accepted,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => return Round::Empty,
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    core.shard.borrow().count_accept_backoff();
                    return Round::Exhausted;
                }
                // The listener is shut down.
                Some(libc::EINVAL | libc::EBADF) => return Round::Empty,
                // The connection failed before it was accepted; the next one need not.
                _ => continue,
            },
        };
        let peer = address.as_socket().map_or(PeerAddress::Unix, PeerAddress::Ip);
        let local = listener.local_address(&fd);
        core.turn(None, |shard, now| shard.on_accepted(now, listener.kind, Accepted(fd), peer, local));
    }
    Round::More
}

impl Listener {
    /// Where an accepted connection ends: where the listener is bound, and only where that is every address of the
    /// machine the kernel has to be asked.
    fn local_address(&self, accepted: &OwnedFd) -> Rc<Address> {
        match &*self.address {
            Address::Tcp(bound) if bound.ip().is_unspecified() => SockRef::from(accepted)
                .local_addr()
                .map_or_else(|_| Rc::clone(&self.address), |local| Rc::new(address(&local))),
            _ => Rc::clone(&self.address),
        }
    }
}

fn address(of: &SockAddr) -> Address {
    match of.as_socket() {
        Some(address) => Address::Tcp((address.ip().to_canonical(), address.port()).into()),
        None => Address::Unix(of.as_pathname().map(Into::into).unwrap_or_default()),
    }
}

/// A pause of fixed length.
struct Pause(Readiness);

impl Pause {
    fn new() -> io::Result<Self> {
        Readiness::new(sys::timer()?).map(Self)
    }

    async fn wait(&self) {
        sys::set_timer(self.0.fd(), Duration::from_millis(ACCEPT_BACKOFF_MS));
        self.0.readable().await;
        sys::drain(self.0.fd());
    }
}
