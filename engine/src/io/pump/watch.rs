//! Waiting for a descriptor, and the task that does so for one connection.

use super::Core;
use super::socket::{Event, Socket};
use crate::keys::ConnKey;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// A descriptor that monoio waits for. monoio does so through its socket types; nothing of theirs but readiness
/// is used, so one type serves TCP, Unix-domain, listening, timer and event descriptors alike.
pub(super) struct Readiness(Option<monoio::net::TcpStream>);

impl Readiness {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        monoio::net::TcpStream::from_std(TcpStream::from(fd)).map(|stream| Self(Some(stream)))
    }

    #[inline]
    pub(super) fn fd(&self) -> RawFd {
        self.stream().as_raw_fd()
    }

    /// Until there is something to read, or the other end is gone. An error of the wait itself counts as ready:
    /// the system call that follows tells what is wrong.
    pub(super) async fn readable(&self) {
        let _ = self.stream().readable(false).await;
    }

    /// Until there is room to write, or the connection broke.
    pub(super) async fn writable(&self) {
        let _ = self.stream().writable(false).await;
    }

    fn stream(&self) -> &monoio::net::TcpStream {
        self.0.as_ref().expect("present until dropped")
    }
}

impl Drop for Readiness {
    /// Closes the descriptor with one system call; monoio would queue two operations and a box.
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            super::sys::close(stream.into_raw_fd());
        }
    }
}

/// Waits for one connection's socket and tells the shard, until the connection is closed.
pub(super) async fn watch(core: Rc<Core>, socket: Rc<Socket>, conn: ConnKey) {
    until_closed(&core, &socket, conn).await;
    drop(socket);
    core.on_closed();
}

async fn until_closed(core: &Core, socket: &Socket, conn: ConnKey) {
    let mut read = pin!(None);
    let mut write = pin!(None);
    let readiness = socket.readiness();
    loop {
        let mut is_next_turn = false;
        let event = poll_fn(|cx| {
            let wait = (|| readiness.readable(), || readiness.writable());
            let event = socket.poll_event(cx, read.as_mut(), write.as_mut(), wait);
            if is_next_turn || matches!(event, Poll::Pending | Poll::Ready(Event::Closed)) {
                is_next_turn = true;
                return event;
            }
            // Ready without a wait: epoll can tell at once. Others go first, or a busy peer would have the shard for
            // itself; what is ready now is ready then.
            is_next_turn = true;
            core.rear.wake_behind_others(cx.waker());
            Poll::Pending
        })
        .await;
        socket.begin_turn();
        match event {
            Event::Readable => core.on_readable(conn),
            Event::Writable => _ = core.turn(Some(conn), |shard, now| shard.on_writable(now, conn)),
            Event::Closed => return,
        }
        socket.end_turn();
    }
}
