//! Content that a hook reads before it is known where the request goes. It is kept, within a bound, and relayed later.

use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::message::Part;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll};

/// The content of one request, as far as a hook asked for it. Shared by the hook, which waits, and its exchange, which
/// goes on taking content meanwhile.
#[derive(Default)]
pub(crate) struct Intake(RefCell<State>);

#[derive(Default)]
struct State {
    /// Bytes that may come; `None` until somebody asks.
    bytes_max: Option<usize>,
    parts: VecDeque<Part>,
    bytes: usize,
    end: Option<End>,
    waker: Option<std::task::Waker>,
}

/// How far content came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is there.
    Complete,
    /// There is more than may come.
    TooLong,
}

impl Intake {
    /// Asks for the content, which may have so many bytes, until it is there or known to be longer.
    pub(crate) fn poll(&self, bytes_max: usize, context: &mut Context<'_>) -> Poll<End> {
        let mut state = self.0.borrow_mut();
        if state.end.is_some_and(|end| end == End::Complete || state.bytes > bytes_max) {
            return Poll::Ready(if state.bytes > bytes_max { End::TooLong } else { End::Complete });
        }
        state.end = None;
        if state.bytes > bytes_max {
            // What came for a read that was given up is too much for this one.
            state.bytes_max = None;
            return Poll::Ready(End::TooLong);
        }
        if state.bytes_max != Some(bytes_max) {
            state.bytes_max = Some(bytes_max);
            // The exchange is looked at anew, and takes content from now on.
            context.waker().wake_by_ref();
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// What is there, as one piece.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let state = self.0.borrow();
        let chunks = state.parts.iter().filter_map(|part| match part {
            Part::Data(chunk) => Some(&**chunk),
            _ => None,
        });
        chunks.flatten().copied().collect()
    }

    /// Whether somebody waits for more.
    pub(crate) fn is_wanted(&self) -> bool {
        let state = self.0.borrow();
        state.bytes_max.is_some() && state.end.is_none()
    }

    /// More came.
    pub(crate) fn push(&self, part: Part, pool: &Pool) {
        let mut state = self.0.borrow_mut();
        match part {
            Part::Data(chunk) => {
                state.bytes += chunk.len();
                state.parts.push_back(Part::Data(kept(chunk, pool)));
                if state.bytes_max.is_some_and(|max| state.bytes > max) {
                    state.end = Some(End::TooLong);
                }
            }
            Part::End => {
                state.end = Some(End::Complete);
                state.parts.push_back(Part::End);
            }
            part => state.parts.push_back(part),
        }
        let waker = if state.end.is_some() { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes that came and were not relayed.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.0.borrow();
        let bytes = state.parts.iter().map(|part| if let Part::Data(chunk) = part { chunk.len() } else { 0 });
        bytes.sum::<usize>() as u64
    }

    /// The next part to be relayed.
    pub(crate) fn pop(&self) -> Option<Part> {
        self.0.borrow_mut().parts.pop_front()
    }
}

/// A chunk for keeping: copied where it would hold much more memory than it has bytes.
fn kept(chunk: Chunk, pool: &Pool) -> Chunk {
    if chunk.held_bytes() > 2 * chunk.len() { Chunk::from(chunk.to_vec()) } else { chunk.retain(pool) }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
