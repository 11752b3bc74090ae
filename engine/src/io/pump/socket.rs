//! One connection's socket: what it is watched for, and how it ends.

use super::sys;
use super::watch::Readiness;
use crate::io::{Close, Interest};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// An accepted connection that has no key yet.
#[derive(Debug)]
pub struct Accepted(pub(super) OwnedFd);

/// A socket that a shard and a task share.
pub(super) struct Socket {
    readiness: Readiness,
    interest: Cell<Interest>,
    /// What the task has in flight in the event loop.
    in_flight: Cell<Interest>,
    life: Cell<Life>,
    /// The task, while it waits.
    task: RefCell<Option<Waker>>,
    open: Rc<Cell<usize>>,
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Its task waits for it.
    Waiting,
    /// Its task is in a turn and will look at everything again afterwards.
    InTurn,
    /// It is to be closed as soon as nothing is in flight.
    Closing(Close),
}

/// What a socket's task has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Readable,
    Writable,
    Closed,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, open: Rc<Cell<usize>>) -> io::Result<Self> {
        let readiness = Readiness::new(fd)?;
        open.set(open.get() + 1);
        Ok(Self {
            readiness,
            interest: Cell::default(),
            in_flight: Cell::default(),
            life: Cell::new(Life::Waiting),
            task: RefCell::new(None),
            open,
        })
    }

    #[inline]
    pub(super) fn fd(&self) -> RawFd {
        self.readiness.fd()
    }

    /// What to wait for from now on. An operation that is in flight for something no longer wanted stays; its
    /// completion is ignored.
    pub(super) fn set_interest(&self, interest: Interest) {
        self.interest.set(interest);
        let in_flight = self.in_flight.get();
        let is_missing =
            (interest.readable && !in_flight.readable) || (interest.writable && !in_flight.writable);
        if is_missing && self.life.get() == Life::Waiting {
            self.wake();
        }
    }

    pub(super) fn begin_turn(&self) {
        if self.life.get() == Life::Waiting {
            self.life.set(Life::InTurn);
        }
    }

    pub(super) fn end_turn(&self) {
        if self.life.get() == Life::InTurn {
            self.life.set(Life::Waiting);
        }
    }

    /// Closes the descriptor once nothing is in flight on it: closing it earlier would leave the operation with
    /// a number that may be somebody else's by then. What is in flight is made to complete.
    pub(super) fn close(&self, how: Close) {
        let is_in_turn = self.life.replace(Life::Closing(how)) == Life::InTurn;
        if self.in_flight.get() != Interest::default() {
            match how {
                Close::Gentle => sys::shutdown(self.fd()),
                Close::Reset => sys::reset(self.fd()),
            }
        } else if !is_in_turn {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The next thing that the shard wants to know. `read` and `write` are the operations in flight; they outlive
    /// the call, since an operation that is dropped has to be cancelled and keeps the descriptor until it was.
    pub(super) fn poll_event<R, W>(
        &self,
        cx: &mut Context<'_>,
        mut read: Pin<&mut Option<R>>,
        mut write: Pin<&mut Option<W>>,
        wait: (impl FnOnce() -> R, impl FnOnce() -> W),
    ) -> Poll<Event>
    where
        R: Future<Output = ()>,
        W: Future<Output = ()>,
    {
        self.note_task(cx);
        let (interest, life) = (self.interest.get(), self.life.get());
        let is_closing = matches!(life, Life::Closing(_));
        if interest.readable && read.is_none() && !is_closing {
            read.set(Some(wait.0()));
        }
        if interest.writable && write.is_none() && !is_closing {
            write.set(Some(wait.1()));
        }
        let is_readable = poll_done(cx, read.as_mut());
        let is_writable = poll_done(cx, write.as_mut());
        let in_flight = Interest { readable: read.is_some(), writable: write.is_some() };
        self.in_flight.set(in_flight);
        match life {
            Life::Closing(_) if in_flight == Interest::default() => Poll::Ready(Event::Closed),
            Life::Closing(_) => Poll::Pending,
            _ if is_writable && interest.writable => Poll::Ready(Event::Writable),
            _ if is_readable && interest.readable => Poll::Ready(Event::Readable),
            _ => Poll::Pending,
        }
    }

    pub(super) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    fn note_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        match &*task {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *task = Some(cx.waker().clone()),
        }
    }
}

/// Polls what is in flight and takes it out when it is done.
fn poll_done<F: Future<Output = ()>>(cx: &mut Context<'_>, mut operation: Pin<&mut Option<F>>) -> bool {
    let is_done = operation.as_mut().as_pin_mut().is_some_and(|operation| operation.poll(cx).is_ready());
    if is_done {
        operation.set(None);
    }
    is_done
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
        if self.life.get() == Life::Closing(Close::Reset) {
            sys::set_reset_on_close(self.fd());
        }
    }
}
