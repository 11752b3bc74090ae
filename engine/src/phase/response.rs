//! Answers that a hook gives by itself.

use bytes::Bytes;
use ringway_proto::message::{Body, Fields, InvalidField, ResponseHead, Status};
use std::fmt;

/// An answer of our own: a head, and content that is there already.
///
/// `Content-Length` and `Date` are added when it is sent. The response filters run for it as for an origin's answer.
///
/// ```
/// use ringway_engine::phase::Response;
///
/// let response = Response::new(401).header("WWW-Authenticate", "Basic realm=\"app\"").body("Who are you?\n");
/// assert_eq!(response.status(), 401);
/// ```
pub struct Response {
    head: ResponseHead,
    body: Bytes,
    /// Whether all of its fields can be sent.
    has_valid_fields: bool,
}

impl Response {
    /// An answer with this status, without content. A status that is no final one, 200 to 599, makes the answer a
    /// mistake of the hook: the client is answered 500.
    pub fn new(status: u16) -> Self {
        let head = ResponseHead::local(Status(status), Body::Empty);
        Self { head, body: Bytes::new(), has_valid_fields: true }
    }

    /// A redirection: 301, 302, 303, 307 or 308, and where to.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("location", location)
    }

    /// Adds a field. One that cannot be sent (a name that is no token, a value with control characters) makes the
    /// answer a mistake of the hook: the client is answered 500.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let added: Result<(), InvalidField> = self.head.fields.append(name.as_ref(), value.as_ref());
        self.has_valid_fields &= added.is_ok();
        self
    }

    /// Sets the content. Without a `Content-Type` of its own it is `text/plain; charset=utf-8`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status.0
    }

    /// The fields.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.head.fields
    }

    /// Head and content, whether or not they can be sent as a final response.
    pub(crate) fn into_unchecked_parts(self) -> (ResponseHead, Bytes) {
        (self.head, self.body)
    }

    /// The head of a switch to `protocol`, if it is one that can be sent.
    pub(crate) fn into_switch(mut self, protocol: &[u8]) -> Result<ResponseHead, InvalidField> {
        let is_valid = self.has_valid_fields && self.head.status == Status::SWITCHING_PROTOCOLS;
        self.head.upgrade = Some(protocol.into());
        if is_valid { Ok(self.head) } else { Err(InvalidField) }
    }

    /// Head and content, if both can be sent.
    pub(crate) fn into_parts(self) -> Result<(ResponseHead, Bytes), InvalidField> {
        let is_valid = self.has_valid_fields && (200..600).contains(&self.head.status.0);
        if is_valid { Ok((self.head, self.body)) } else { Err(InvalidField) }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.head.status.0, self.body.len())
    }
}
