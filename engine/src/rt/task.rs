//! What a spawned task leaves to whoever waits for it.

use super::Local;
use crate::keys::TaskKey;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// A spawned task: await it for what it returns, or drop it to let the task go on alone.
///
/// Awaiting by reference may be cancelled and begun again.
pub struct JoinHandle<T> {
    packet: Rc<Packet<T>>,
    task: Option<(Weak<Local>, TaskKey)>,
}

/// Why a task returned nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It was aborted, or its shard stopped.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(packet: Rc<Packet<T>>, task: Option<(Weak<Local>, TaskKey)>) -> Self {
        Self { packet, task }
    }

    pub(super) fn packet(&self) -> &Rc<Packet<T>> {
        &self.packet
    }

    /// Ends the task where it waits, now. One that has ended keeps what it returned; one that aborts itself ends when it
    /// next waits.
    pub fn abort(&self) {
        Joined::cancel(&*self.packet);
        if let Some((local, key)) = &self.task
            && let Some(local) = local.upgrade()
        {
            local.abort(*key);
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.packet.0.borrow(), State::Running(_))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.packet.poll(cx.waker())
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the task was cancelled",
            Self::Panicked => "the task panicked",
        })
    }
}

impl std::error::Error for JoinError {}

/// What a task and its handle share.
pub(super) struct Packet<T>(RefCell<State<T>>);

enum State<T> {
    /// And who waits for the end.
    Running(Option<Waker>),
    Ended(Result<T, JoinError>),
    Taken,
}

/// A [`Packet`] for those who do not know its type.
pub(super) trait Joined {
    /// The task ended early, if it had not ended before.
    fn cancel(&self);
    /// The task panicked.
    fn panic(&self);
}

impl<T> Default for Packet<T> {
    fn default() -> Self {
        Self(RefCell::new(State::Running(None)))
    }
}

impl<T> Packet<T> {
    pub(super) fn finish(&self, value: T) {
        self.end(Ok(value));
    }

    /// What the task came to, once.
    pub(super) fn take(&self) -> Option<Result<T, JoinError>> {
        let mut state = self.0.borrow_mut();
        if !matches!(*state, State::Ended(_)) {
            return None;
        }
        match mem::replace(&mut *state, State::Taken) {
            State::Ended(result) => Some(result),
            State::Running(_) | State::Taken => None,
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        if let Some(result) = self.take() {
            return Poll::Ready(result);
        }
        let mut state = self.0.borrow_mut();
        let State::Running(waiting) = &mut *state else { panic!("a task was awaited again after its end") };
        let old = match waiting {
            Some(known) if known.will_wake(waker) => None,
            _ => waiting.replace(waker.clone()),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn end(&self, result: Result<T, JoinError>) {
        let mut state = self.0.borrow_mut();
        let State::Running(waiting) = &mut *state else { return };
        let waker = waiting.take();
        *state = State::Ended(result);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Joined for Packet<T> {
    fn cancel(&self) {
        self.end(Err(JoinError::Cancelled));
    }

    fn panic(&self) {
        self.end(Err(JoinError::Panicked));
    }
}
