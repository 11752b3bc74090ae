//! Connections of opaque bytes.

use super::{Asked, begin, ended, ended_by};
use crate::error::{Error, Outcome, Result};
use crate::phase::{Peer, Traffic};
use crate::port::Handle;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::Part;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// Makes streams to a peer, from idle ones where there are any.
///
/// Streams to an address that were given back ([`Stream::release`]) are used again by whoever asks for the same address
/// with the same options on the same shard. Streams to a cluster are always dialed.
#[derive(Clone, Debug)]
pub struct Connector {
    peer: Peer,
}

impl Connector {
    /// A connector to `peer`, whose time-outs and socket options hold.
    pub fn new(peer: Peer) -> Self {
        Self { peer }
    }

    /// A stream: an idle one, or one that is dialed.
    ///
    /// # Errors
    /// When it cannot be had: `connect_failed`, `connect_timeout`, `no_endpoint`, `peer_invalid`, `local_resources`.
    pub async fn connect(&self) -> Result<Stream> {
        let handle = begin(Asked::Raw, self.peer.clone())?;
        handle.opened().await.map_err(|_| ended(&handle))?;
        Ok(Stream::of_peer(Rc::new(handle)))
    }
}

/// A connection of opaque bytes, either side. Dropping it ends it in order: what was written is still sent.
#[derive(Clone)]
pub struct Stream(Rc<Shared>);

/// What the clones of a stream have in common.
struct Shared {
    handle: Rc<Handle>,
    traffic: Cell<Traffic>,
    /// What it is that the other side leaves.
    left: Outcome,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever handed the stream out may hold its end, too.
        self.handle.leave();
    }
}

impl Stream {
    /// A stream to a client.
    pub(crate) fn of_client(handle: Rc<Handle>) -> Self {
        Self(Rc::new(Shared { handle, traffic: Cell::default(), left: Outcome::DownstreamClosed }))
    }

    /// A stream to whoever was asked.
    pub(crate) fn of_peer(handle: Rc<Handle>) -> Self {
        Self(Rc::new(Shared { handle, traffic: Cell::default(), left: Outcome::UpstreamClosed }))
    }

    /// Why it broke.
    fn broken(&self) -> Error {
        ended_by(&self.0.handle, self.0.left)
    }

    /// A stream to `peer`; see [`Connector`].
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect(peer: Peer) -> Result<Self> {
        Connector::new(peer).connect().await
    }

    /// The next bytes; `None` when the other side has finished.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn read(&self) -> Result<Option<Chunk>> {
        loop {
            match self.0.handle.part().await {
                Some(Part::Data(chunk)) => {
                    self.count(chunk.len(), 0);
                    return Ok(Some(chunk));
                }
                Some(Part::End) => return Ok(None),
                Some(Part::Reset(_)) => return Err(self.broken()),
                Some(_) => {}
                // Nothing comes behind an end that was told.
                None if self.0.handle.is_told() => return Ok(None),
                None => return Err(self.broken()),
            }
        }
    }

    /// Sends bytes, once there is room for them.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&self, bytes: impl Into<Vec<u8>>) -> Result<()> {
        self.write_chunk(Chunk::from(bytes.into())).await
    }

    /// As [`Stream::write`], without a copy.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write_chunk(&self, chunk: Chunk) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.0.handle.is_ended() {
            return Err(Error::failed("bytes are written behind the end of a stream"));
        }
        let bytes = chunk.len();
        self.0.handle.send(Part::Data(chunk)).await.map_err(|_| self.broken())?;
        self.count(0, bytes);
        Ok(())
    }

    /// Bytes that were read and written until now, by all clones.
    pub fn traffic(&self) -> Traffic {
        self.0.traffic.get()
    }

    fn count(&self, received: usize, sent: usize) {
        let before = self.0.traffic.get();
        let (received, sent) = (before.received + received as u64, before.sent + sent as u64);
        self.0.traffic.set(Traffic { received, sent });
    }

    /// Says that nothing more is written. Reading goes on.
    pub fn finish(&self) {
        self.0.handle.put(Part::End);
    }

    /// Gives the connection back for others to use, if nothing is on its way on it. The other side has to be between two
    /// messages of whatever is spoken. For streams that were connected to an address; others are closed.
    pub fn release(self) {
        self.0.handle.release();
    }
}

/// Relays between two streams until both have finished, and says how many bytes went from `a` to `b` and back.
///
/// # Errors
/// When one of them breaks; then the other is to be dropped. [`Stream::traffic`] has the bytes that moved until then.
pub async fn relay(a: &Stream, b: &Stream) -> Result<(u64, u64)> {
    let there = one_way(a, b);
    let back = one_way(b, a);
    both(there, back).await
}

async fn one_way(from: &Stream, to: &Stream) -> Result<u64> {
    let mut bytes = 0;
    while let Some(chunk) = from.read().await? {
        bytes += chunk.len() as u64;
        to.write_chunk(chunk).await?;
    }
    to.finish();
    Ok(bytes)
}

/// Both results, or the first error.
async fn both<T>(a: impl Future<Output = Result<T>>, b: impl Future<Output = Result<T>>) -> Result<(T, T)> {
    use std::task::Poll;
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut from_a, mut from_b) = (None, None);
    std::future::poll_fn(|context| {
        if from_a.is_none()
            && let Poll::Ready(result) = a.as_mut().poll(context)
        {
            from_a = Some(result?);
        }
        if from_b.is_none()
            && let Poll::Ready(result) = b.as_mut().poll(context)
        {
            from_b = Some(result?);
        }
        match (from_a.take(), from_b.take()) {
            (Some(a), Some(b)) => Poll::Ready(Ok((a, b))),
            (a, b) => {
                (from_a, from_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
