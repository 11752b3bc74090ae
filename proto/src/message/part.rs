//! One unit of a message, whatever version carried it. What can be received can be sent.

use super::{Fields, RequestHead, ResponseHead};
use crate::chunk::Chunk;

/// A unit of a message.
///
/// A request is `Request Data* Trailers? End`; a response is `Response* Response Data* Trailers? End`, where
/// all but the last `Response` are informational (1xx). Either may stop with `Reset` at any point.
#[derive(Debug)]
pub enum Part {
    /// A request begins.
    Request(RequestHead),
    /// A response begins, or an informational one passes.
    Response(ResponseHead),
    /// Some content. Never empty.
    Data(Chunk),
    /// Fields behind the content.
    Trailers(Fields),
    /// The message is complete.
    End,
    /// The message will never be complete.
    Reset(Reset),
}

/// Why a message will never be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The other side closed or reset its connection in the middle.
    Truncated,
    /// The other side closed or reset its connection before the first byte of its response.
    Unanswered,
    /// What came is not HTTP; the rule says which one was broken.
    Malformed(crate::rules::Rule),
    /// It was given up on purpose.
    Cancelled,
}
