//! Accepting connections from one listening socket.

use super::socket::Accepted;
use super::watch::Readiness;
use super::{Core, Phase, sys};
use crate::io::PeerAddress;
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_TURN};
use crate::shard::{ListenerKind, ListenerSocket};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

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
    let kind = listener.kind;
    let readiness = Rc::new(Readiness::new(OwnedFd::from(listener.socket))?);
    core.listeners.borrow_mut().push((Rc::clone(&readiness), kind));
    let pause = Pause::new()?;
    Ok(async move {
        while core.phase.get() == Phase::Serving {
            readiness.readable().await;
            match round(&core, &readiness, kind) {
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
pub(super) fn finish(core: &Core, listener: &Readiness, kind: ListenerKind) {
    while let Round::More = round(core, listener, kind) {}
    sys::shutdown(listener.fd());
}

fn round(core: &Core, listener: &Readiness, kind: ListenerKind) -> Round {
    for _ in 0..ACCEPTS_PER_TURN {
        if !core.shard.borrow().has_room() {
            core.shard.borrow().count_accept_backoff();
            return Round::Exhausted;
        }
        let (fd, address) = match sys::accept(listener.fd()) {
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
        core.turn(None, |shard, now| shard.on_accepted(now, kind, Accepted(fd), peer));
    }
    Round::More
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
