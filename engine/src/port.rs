//! A connection in memory: user code on one end, an exchange on the other.
//!
//! To its shard it is a connection like any other, of which it gets parts and to which it sends parts; only that no
//! bytes are encoded and no socket is behind it. So whoever answers requests in this process is an upstream, whoever
//! asks from within is a client, and there is one relay for all. What has not been taken yet counts as queued: a side
//! that does not take is not sent more.
//!
//! [`Port`] is the shard's end, [`Handle`] the user's.

use crate::limits::{QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES};
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Fields, Part, Reset, Status};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What speaks on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Messages.
    Http,
    /// Opaque bytes, from the beginning or since a switch of protocols.
    Raw,
}

/// The shard's end.
pub struct Port(Rc<RefCell<Shared>>);

/// The user's end. Dropping it ends the connection: in order behind what was sent where bytes are opaque, else as
/// broken off unless the message was complete.
pub struct Handle(Rc<RefCell<Shared>>);

struct Shared {
    speech: Speech,
    to_user: Lane,
    to_shard: Lane,
    /// Whether the user's end is there.
    is_held: bool,
    /// Set once the shard's end is gone: the number of the outcome that says why.
    closed: Option<u8>,
    /// Asked for by the user: the connection behind it is to be kept for others.
    is_released: bool,
    /// Whether the other end of a stream was reached.
    is_open: bool,
    /// Has the shard look.
    ringer: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Parts on their way one way.
#[derive(Default)]
struct Lane {
    parts: VecDeque<Part>,
    bytes: usize,
    is_ended: bool,
    has_answered: bool,
}

impl Lane {
    fn push(&mut self, part: Part) {
        let part = match part {
            // A byte must not hold a buffer.
            Part::Data(chunk) if chunk.held_bytes() > 2 * chunk.len() => {
                Part::Data(Chunk::from(chunk.to_vec()))
            }
            part => part,
        };
        self.bytes += held_bytes(&part);
        self.is_ended |= matches!(part, Part::End | Part::Reset(_));
        self.has_answered |= matches!(&part, Part::Response(head)
            if !head.status.is_informational() || head.status == Status::SWITCHING_PROTOCOLS);
        self.parts.push_back(part);
    }

    fn pop(&mut self) -> Option<Part> {
        let part = self.parts.pop_front()?;
        self.bytes -= held_bytes(&part);
        Some(part)
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.bytes = 0;
    }
}

/// What a part that waits holds, itself included: many small ones count, too.
fn held_bytes(part: &Part) -> usize {
    match part {
        Part::Data(chunk) => chunk.held_bytes() + size_of::<Part>(),
        _ => 0,
    }
}

/// Both ends of a new connection.
pub fn pair(speech: Speech) -> (Port, Handle) {
    let shared = Rc::new(RefCell::new(Shared {
        speech,
        to_user: Lane::default(),
        to_shard: Lane::default(),
        is_held: true,
        closed: None,
        is_released: false,
        is_open: false,
        ringer: None,
        reader: None,
        writer: None,
    }));
    (Port(Rc::clone(&shared)), Handle(shared))
}

impl Port {
    /// Who is to be woken when the user's end did something.
    pub fn set_ringer(&self, ringer: Waker) {
        self.0.borrow_mut().ringer = Some(ringer);
    }

    /// The next part from the user.
    pub fn poll_part(&self) -> Option<Part> {
        let mut shared = self.0.borrow_mut();
        let part = shared.to_shard.pop();
        let writer = if shared.to_shard.bytes <= QUEUE_LOW_BYTES { shared.writer.take() } else { None };
        drop(shared);
        wake(writer);
        part
    }

    /// A part for the user. Nobody gets it when the user's end is gone.
    pub fn send(&self, part: Part) {
        let mut shared = self.0.borrow_mut();
        if shared.is_held {
            shared.to_user.push(part);
        }
        let reader = shared.reader.take();
        drop(shared);
        wake(reader);
    }

    /// Bytes held that the user has not taken.
    pub fn held_bytes(&self) -> usize {
        self.0.borrow().to_user.bytes
    }

    /// Bytes from the user that were not polled.
    pub fn waiting_bytes(&self) -> usize {
        let shared = self.0.borrow();
        // Parts without bytes have to be polled, too.
        shared.to_shard.bytes.max(shared.to_shard.parts.len())
    }

    /// Whether the user's end is gone.
    pub fn is_left(&self) -> bool {
        !self.0.borrow().is_held
    }

    /// Whether the user sent its last part.
    pub fn is_ended(&self) -> bool {
        let shared = self.0.borrow();
        shared.to_shard.is_ended && shared.to_shard.parts.is_empty()
    }

    /// Whether the user wants the connection behind it kept for others, and nothing is on its way.
    pub fn is_released(&self) -> bool {
        let shared = self.0.borrow();
        shared.is_released && shared.to_shard.parts.is_empty()
    }

    /// Whether the user deals with the other end: waits for it, or is in the middle of sending to it.
    pub fn is_attended(&self) -> bool {
        let shared = self.0.borrow();
        let is_waiting = shared.reader.is_some() || shared.writer.is_some();
        is_waiting || shared.to_shard.has_answered || shared.speech == Speech::Raw
    }

    /// What speaks on it now.
    pub fn speech(&self) -> Speech {
        self.0.borrow().speech
    }

    /// From now on bytes are opaque.
    pub fn switch(&self) {
        let mut shared = self.0.borrow_mut();
        shared.speech = Speech::Raw;
        shared.to_shard.is_ended = false;
        shared.to_user.is_ended = false;
    }

    /// The other end of a stream was reached.
    pub fn open(&self) {
        let mut shared = self.0.borrow_mut();
        shared.is_open = true;
        let reader = shared.reader.take();
        drop(shared);
        wake(reader);
    }

    /// The shard's end is gone, for the reason with this number. The user still gets what was sent before.
    pub fn close(&self, why: u8) {
        let mut shared = self.0.borrow_mut();
        shared.closed.get_or_insert(why);
        shared.to_shard.clear();
        let wakers = [shared.reader.take(), shared.writer.take(), shared.ringer.take()];
        drop(shared);
        let [reader, writer, ringer] = wakers;
        drop(ringer);
        wake(reader);
        wake(writer);
    }
}

impl Handle {
    /// The next part; `None` when nothing more comes: behind an end, or because the shard's end is gone.
    pub async fn part(&self) -> Option<Part> {
        poll_fn(|context| self.poll_part(context)).await
    }

    /// As [`Handle::part`].
    pub fn poll_part(&self, context: &mut Context<'_>) -> Poll<Option<Part>> {
        let mut shared = self.0.borrow_mut();
        let part = shared.to_user.pop();
        if part.is_none() && shared.closed.is_none() && !shared.to_user.is_ended {
            shared.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        // Whoever is paused on the other side goes on.
        let is_room = part.is_some() && shared.to_user.bytes <= QUEUE_LOW_BYTES;
        let ringer = if is_room { shared.ringer.clone() } else { None };
        drop(shared);
        wake(ringer);
        Poll::Ready(part)
    }

    /// Sends a part, once there is room for it.
    ///
    /// # Errors
    /// When the shard's end is gone.
    pub async fn send(&self, part: Part) -> Result<(), Gone> {
        self.ready().await?;
        self.put(part);
        Ok(())
    }

    /// Waits until the other end of a stream is reached, or the switch of protocols that was sent is done.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn opened(&self) -> Result<(), Gone> {
        poll_fn(|context| {
            let mut shared = self.0.borrow_mut();
            match (shared.is_open, shared.closed) {
                (true, _) => Poll::Ready(Ok(())),
                (false, Some(_)) => Poll::Ready(Err(Gone)),
                (false, None) => {
                    shared.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for room.
    ///
    /// # Errors
    /// When the shard's end is gone.
    pub async fn ready(&self) -> Result<(), Gone> {
        poll_fn(|context| {
            let mut shared = self.0.borrow_mut();
            if shared.closed.is_some() {
                return Poll::Ready(Err(Gone));
            }
            if shared.to_shard.bytes >= QUEUE_HIGH_BYTES {
                shared.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends a part whether there is room or not. Behind an end nothing is sent.
    pub fn put(&self, part: Part) {
        let mut shared = self.0.borrow_mut();
        if shared.closed.is_some() || shared.to_shard.is_ended {
            return;
        }
        shared.to_shard.push(part);
        let ringer = shared.ringer.clone();
        drop(shared);
        wake(ringer);
    }

    /// Says that the connection behind it may be kept for others.
    pub fn release(&self) {
        self.0.borrow_mut().is_released = true;
    }

    /// Why the shard's end is gone, by number; `None` while it is there.
    pub fn closed(&self) -> Option<u8> {
        self.0.borrow().closed
    }

    /// Whether the user sent its last part.
    pub fn is_ended(&self) -> bool {
        self.0.borrow().to_shard.is_ended
    }

    /// Whether the user sent a final response head, or switched protocols.
    pub fn has_answered(&self) -> bool {
        self.0.borrow().to_shard.has_answered
    }

    /// Whether the end that came from the shard was taken.
    pub fn is_told(&self) -> bool {
        let shared = self.0.borrow();
        shared.to_user.is_ended && shared.to_user.parts.is_empty()
    }
}

impl Handle {
    /// Ends the connection as dropping the handle does.
    pub fn leave(&self) {
        let mut shared = self.0.borrow_mut();
        if !std::mem::replace(&mut shared.is_held, false) {
            return;
        }
        shared.to_user.clear();
        if shared.closed.is_none() && !shared.to_shard.is_ended && !shared.is_released {
            let end = match shared.speech {
                Speech::Raw => Part::End,
                Speech::Http => Part::Reset(Reset::Cancelled),
            };
            shared.to_shard.push(end);
        }
        let wakers = (shared.reader.take(), shared.writer.take(), shared.ringer.clone());
        drop(shared);
        wake(wakers.2);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Content that is sent piece by piece: within the length that was announced, and in front of its end.
#[derive(Debug)]
pub struct Announced {
    /// Bytes that may still come; `None` where that was not said.
    left: Cell<Option<u64>>,
}

/// Why content may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// It is more than was announced.
    TooLong,
    /// It is less than was announced.
    TooShort,
    /// It comes behind the end.
    Ended,
    /// The shard's end is gone.
    Gone,
}

impl Announced {
    /// So many bytes, or as many as will come.
    pub fn new(length: Option<u64>) -> Self {
        Self { left: Cell::new(length) }
    }

    /// Sends a piece on `handle`, once there is room for it.
    ///
    /// # Errors
    /// When it may not be sent.
    pub async fn send(&self, handle: &Handle, chunk: Chunk) -> Result<(), Unsendable> {
        if handle.is_ended() {
            return Err(Unsendable::Ended);
        }
        if let Some(left) = self.left.get() {
            let left = left.checked_sub(chunk.len() as u64).ok_or(Unsendable::TooLong)?;
            self.left.set(Some(left));
        }
        handle.send(Part::Data(chunk)).await.map_err(|Gone| Unsendable::Gone)
    }

    /// Ends the content: what is shorter than announced breaks off.
    pub fn end(&self, handle: &Handle) {
        handle.put(if self.is_short() { Part::Reset(Reset::Cancelled) } else { Part::End });
    }

    /// Whether more was announced than came.
    pub fn is_short(&self) -> bool {
        self.left.get().is_some_and(|left| left > 0)
    }
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "there is more content than was announced",
            Self::TooShort => "there is less content than was announced",
            Self::Ended => "there is content behind the end",
            Self::Gone => "the other end is gone",
        })
    }
}

impl std::error::Error for Unsendable {}

/// Reads the content of a message behind its head.
#[derive(Debug)]
pub struct Reader {
    handle: Rc<Handle>,
    trailers: Option<Fields>,
    is_complete: bool,
}

/// Why content could not be read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It broke off.
    Broken,
    /// It is longer than it may be.
    TooLong,
}

impl Reader {
    /// Of the message whose head was taken from `handle`.
    pub fn new(handle: Rc<Handle>) -> Self {
        Self { handle, trailers: None, is_complete: false }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>, Gone> {
        while !self.is_complete {
            match self.handle.part().await {
                Some(Part::Data(chunk)) => return Ok(Some(chunk)),
                Some(Part::Trailers(fields)) => self.trailers = Some(fields),
                Some(Part::End) => self.is_complete = true,
                Some(Part::Request(_) | Part::Response(_)) => {}
                Some(Part::Reset(_)) | None => return Err(Gone),
            }
        }
        Ok(None)
    }

    /// All of it.
    ///
    /// # Errors
    /// When it breaks off, or is longer than `bytes_max`.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>, Unread> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await.map_err(|Gone| Unread::Broken)? {
            if all.len() + chunk.len() > bytes_max {
                return Err(Unread::TooLong);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// The fields behind the content, once that was read.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// The end that it reads from.
    pub fn handle(&self) -> &Rc<Handle> {
        &self.handle
    }
}

/// The shard's end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other end is gone")
    }
}

impl std::error::Error for Gone {}

/// Outside of any borrow: what is woken may look at once.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("held_bytes", &self.held_bytes()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn data(len: usize) -> Part {
        Part::Data(Chunk::from(vec![b'x'; len]))
    }

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn parts_pass_both_ways_in_order() {
        let (port, handle) = pair(Speech::Http);
        assert!(poll(handle.part()).is_pending());
        port.send(data(1));
        port.send(Part::End);
        assert!(matches!(poll(handle.part()), Poll::Ready(Some(Part::Data(_)))));
        assert!(matches!(poll(handle.part()), Poll::Ready(Some(Part::End))));
        assert!(matches!(poll(handle.part()), Poll::Ready(None)));
        assert_eq!(poll(handle.send(data(3))), Poll::Ready(Ok(())));
        assert!(matches!(port.poll_part(), Some(Part::Data(chunk)) if chunk.len() == 3));
        assert!(port.poll_part().is_none());
    }

    #[test]
    fn who_does_not_take_is_not_sent_more() {
        let (port, handle) = pair(Speech::Raw);
        assert_eq!(poll(handle.send(data(QUEUE_HIGH_BYTES))), Poll::Ready(Ok(())));
        assert!(poll(handle.send(data(1))).is_pending());
        assert!(port.poll_part().is_some());
        assert_eq!(poll(handle.send(data(1))), Poll::Ready(Ok(())));
        port.send(data(QUEUE_HIGH_BYTES));
        assert!(port.held_bytes() >= QUEUE_HIGH_BYTES);
        assert!(poll(handle.part()).is_ready());
        assert_eq!(port.held_bytes(), 0);
    }

    #[test]
    fn a_user_that_leaves_breaks_off_a_message_and_ends_a_stream() {
        let (port, handle) = pair(Speech::Http);
        handle.put(data(1));
        drop(handle);
        assert!(port.is_left());
        assert!(matches!(port.poll_part(), Some(Part::Data(_))));
        assert!(matches!(port.poll_part(), Some(Part::Reset(Reset::Cancelled))));
        let (port, handle) = pair(Speech::Raw);
        drop(handle);
        assert!(matches!(port.poll_part(), Some(Part::End)));
        let (port, handle) = pair(Speech::Http);
        handle.put(Part::End);
        drop(handle);
        assert!(matches!(port.poll_part(), Some(Part::End)));
        assert!(port.poll_part().is_none());
    }

    #[test]
    fn a_shard_that_leaves_lets_the_user_have_what_was_sent() {
        let (port, handle) = pair(Speech::Http);
        port.send(data(1));
        port.close(7);
        port.close(8);
        assert!(matches!(poll(handle.part()), Poll::Ready(Some(Part::Data(_)))));
        assert!(matches!(poll(handle.part()), Poll::Ready(None)));
        assert_eq!(handle.closed(), Some(7));
        assert_eq!(poll(handle.send(data(1))), Poll::Ready(Err(Gone)));
    }
}
