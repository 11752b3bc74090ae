//! The answer to a request of our own.

use super::ended;
use crate::error::{Error, Outcome, Result};
use crate::port::Handle;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Fields, Part, ResponseHead};
use std::fmt;
use std::rc::Rc;

/// An answer: its head, and content that is on its way. Dropped before its end it ends the exchange; read to the end it
/// leaves the connection for others.
pub struct Answer {
    head: ResponseHead,
    trailers: Option<Fields>,
    is_complete: bool,
    handle: Rc<Handle>,
}

impl Answer {
    /// Waits for the final head. Interim ones are passed over.
    pub(super) async fn wait(handle: Rc<Handle>) -> Result<Self> {
        loop {
            match handle.part().await {
                Some(Part::Response(head)) if head.status.is_informational() => {}
                Some(Part::Response(head)) => {
                    return Ok(Self { head, trailers: None, is_complete: false, handle });
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
        while !self.is_complete {
            match self.handle.part().await {
                Some(Part::Data(chunk)) => return Ok(Some(chunk)),
                Some(Part::Trailers(fields)) => self.trailers = Some(fields),
                Some(Part::End) => self.is_complete = true,
                Some(Part::Reset(_)) | None => return Err(ended(&self.handle)),
                Some(Part::Request(_) | Part::Response(_)) => {}
            }
        }
        Ok(None)
    }

    /// All of the content.
    ///
    /// # Errors
    /// When the answer breaks off, or is longer than `bytes_max`.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > bytes_max {
                return Err(Error::new(Outcome::UpstreamMalformed).context("the answer is too long"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// The fields behind the content, once that was read.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.head.status.0)
    }
}
