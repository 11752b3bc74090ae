//! The answer to a request of our own.

use super::{Stream, ended};
use crate::error::{Error, Outcome, Result};
use crate::port::{Handle, Reader, Unread};
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Fields, Part, ResponseHead, Status};
use std::fmt;
use std::rc::Rc;

/// An answer: its head, and content that is on its way. Dropped before its end it ends the exchange; read to the end it
/// leaves the connection for others.
pub struct Answer {
    head: ResponseHead,
    content: Reader,
}

impl Answer {
    /// Waits for the final head. Interim ones are passed over.
    pub(super) async fn wait(handle: Rc<Handle>) -> Result<Self> {
        loop {
            match handle.part().await {
                Some(Part::Response(head))
                    if head.status.is_informational() && head.status != Status::SWITCHING_PROTOCOLS => {}
                Some(Part::Response(head)) => {
                    return Ok(Self { head, content: Reader::new(handle) });
                }
                _ => return Err(ended(&handle)),
            }
        }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status.0
    }

    /// The head.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The first field of this name; case does not matter.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.head.fields.find(name.as_ref())
    }

    /// The next piece of the content; `None` at its end.
    ///
    /// # Errors
    /// When the answer breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>> {
        let chunk = self.content.chunk().await;
        chunk.map_err(|_| ended(self.content.handle()))
    }

    /// All of the content.
    ///
    /// # Errors
    /// When the answer breaks off; `upstream_too_large` when it is longer than `bytes_max`.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>> {
        let bytes = self.content.bytes(bytes_max).await;
        bytes.map_err(|unread| match unread {
            Unread::Broken => ended(self.content.handle()),
            Unread::TooLong => Error::new(Outcome::UpstreamTooLarge),
        })
    }

    /// The connection, as the protocol that [`Request::upgrade`](super::Request::upgrade) asked for. What came right
    /// behind the head is the first that is read.
    ///
    /// # Errors
    /// When the peer answered something else than 101.
    pub fn upgrade(self) -> Result<Stream> {
        if self.head.status != Status::SWITCHING_PROTOCOLS {
            let what = format!("the peer answered {} where it was to switch protocols", self.head.status.0);
            return Err(Error::failed(what).into_upstream());
        }
        Ok(Stream::of_peer(Rc::clone(self.content.handle())))
    }

    /// The fields behind the content, once that was read.
    pub fn trailers(&self) -> Option<&Fields> {
        self.content.trailers()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.head.status.0)
    }
}
