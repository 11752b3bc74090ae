//! Request and response heads.

use super::{Fields, Method, Status, Target, TargetForm};
use crate::chunk::{Chunk, Pool};
use crate::rules::framing::FramingChecked;
use crate::span::Span;

/// The version that a message was received with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1 (and any later minor version of 1).
    Http11,
    /// HTTP/2.
    Http2,
}

/// What content follows a head, independent of the version that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// Exactly this many bytes; 0 where a length of 0 was announced.
    Length(u64),
    /// Until its end is marked (chunked, END_STREAM).
    Streamed,
    /// Until the connection closes: HTTP/1 responses only.
    UntilClose,
}

/// The head of a request: the received bytes, where its elements are, and what was changed.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// That of [`RequestHead::method_bytes`], or requests and answers would be told apart otherwise than they are sent.
    pub(crate) method: Method,
    /// The version it came with.
    pub version: Version,
    /// The target.
    pub target: Target,
    /// The fields.
    pub fields: Fields,
    pub(crate) method_span: Span,
    pub(crate) framing: FramingChecked,
    /// A method that replaces the received one.
    pub(crate) new_method: Option<Box<[u8]>>,
    /// A target that replaces the received one.
    pub(crate) new_target: Option<Box<[u8]>>,
    /// The protocol to ask for with `Upgrade`, where it may pass: set by whoever forwards the head, never by a
    /// codec. `Upgrade` itself goes hop by hop (RFC 9110 section 7.8).
    pub upgrade: Option<Box<[u8]>>,
}

/// What was read of a request that breaks a rule: for the log. Nothing can make a request of it.
#[derive(Clone, Debug)]
pub struct RefusedRequest {
    /// The method.
    pub method: Method,
    /// The version it came with.
    pub version: Version,
    /// The fields; none when the rule was broken before the head was complete.
    pub fields: Fields,
    pub(crate) method_span: Span,
    pub(crate) target: Target,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// The version it came with.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    pub(crate) reason: Span,
    pub(crate) framing: FramingChecked,
    /// The protocol that a 101 switches to; set by whoever forwards the head, never by a codec.
    pub upgrade: Option<Box<[u8]>>,
}

impl RequestHead {
    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it will be forwarded: as received, unless it was replaced.
    #[inline]
    pub fn method_bytes(&self) -> &[u8] {
        match &self.new_method {
            Some(method) => method,
            None => self.received_method(),
        }
    }

    /// The method as received, whatever it was replaced by.
    #[inline]
    pub fn received_method(&self) -> &[u8] {
        self.method_span.of(&self.fields.received)
    }

    /// Replaces the method that will be forwarded.
    ///
    /// # Errors
    /// When it is no token, or CONNECT: what follows that is no message.
    pub fn set_method(&mut self, method: &[u8]) -> Result<(), super::InvalidField> {
        if method == b"CONNECT" || !super::fields::is_valid_name(method) {
            return Err(super::InvalidField);
        }
        self.method = Method::from_token(method);
        self.new_method = Some(method.into());
        Ok(())
    }

    /// The target as it will be forwarded: as received, unless it was replaced.
    #[inline]
    pub fn target_bytes(&self) -> &[u8] {
        match &self.new_target {
            Some(target) => target,
            None => self.target.whole.of(&self.fields.received),
        }
    }

    /// The target as received, whatever it was replaced by.
    #[inline]
    pub fn received_target(&self) -> &[u8] {
        self.target.whole.of(&self.fields.received)
    }

    /// Replaces the target that will be forwarded; what was received is still what is routed and logged by.
    ///
    /// # Errors
    /// When it is empty or has a byte that no target may have: white space, a control character, `#`.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), super::InvalidField> {
        if target.is_empty() || !target.iter().all(|&byte| crate::scan::is_target_byte(byte)) {
            return Err(super::InvalidField);
        }
        self.new_target = Some(target.into());
        Ok(())
    }

    /// Path and query as received: `/` where absolute-form has neither, `*` in asterisk-form. Where absolute-form has a
    /// query only, it begins with `?`.
    #[inline]
    pub fn path_and_query(&self) -> &[u8] {
        match self.target.form {
            TargetForm::Authority => b"",
            _ if self.target.path.len == 0 => b"/",
            _ => self.target.path.of(&self.fields.received),
        }
    }

    /// Path without query.
    #[inline]
    pub fn path(&self) -> &[u8] {
        let all = self.path_and_query();
        match all.iter().position(|&byte| byte == b'?') {
            // `http://host?query`: an empty path is `/` (RFC 9110 section 4.2.3).
            Some(0) => b"/",
            Some(at) => &all[..at],
            None => all,
        }
    }

    /// The authority of an absolute- or authority-form target.
    #[inline]
    pub fn target_authority(&self) -> Option<&[u8]> {
        match self.target.form {
            TargetForm::Absolute | TargetForm::Authority => {
                Some(self.target.authority.of(&self.fields.received))
            }
            TargetForm::Origin | TargetForm::Asterisk => None,
        }
    }

    /// The host and port that the request is for: of an absolute-form target, else of `Host`
    /// (RFC 9112 section 3.2.2: a target's host goes before the field).
    #[inline]
    pub fn authority(&self) -> &[u8] {
        self.target_authority().or_else(|| self.fields.get(super::Name::Host)).unwrap_or_default()
    }

    /// As [`RequestHead::authority`], as bytes that outlive a change of the head.
    pub fn authority_chunk(&self) -> Chunk {
        authority_chunk(self.target, &self.fields)
    }

    /// What content follows.
    #[inline]
    pub fn body(&self) -> Body {
        self.framing.body()
    }

    /// The proof that framing was checked, with what it found.
    #[inline]
    pub fn framing(&self) -> FramingChecked {
        self.framing
    }

    /// Becomes a copy of `other`, in the memory that is there.
    #[inline]
    pub fn copy_from(&mut self, other: &Self) {
        let Self { method, version, target, fields, method_span, framing, new_method, new_target, upgrade } =
            other;
        self.method = *method;
        self.version = *version;
        self.target = *target;
        self.fields.copy_from(fields);
        self.method_span = *method_span;
        self.framing = *framing;
        // Nearly always there is none of these, nor was.
        if self.new_method.is_some() || new_method.is_some() {
            self.new_method.clone_from(new_method);
        }
        if self.new_target.is_some() || new_target.is_some() {
            self.new_target.clone_from(new_target);
        }
        if self.upgrade.is_some() || upgrade.is_some() {
            self.upgrade.clone_from(upgrade);
        }
    }

    /// Lets go of what it holds, but not of the memory for the next [`RequestHead::copy_from`].
    pub fn release(&mut self) {
        self.fields.release();
        self.new_method = None;
        self.new_target = None;
        self.upgrade = None;
    }

    /// Says anew what content follows: whoever changes the content has to.
    pub fn set_body(&mut self, body: Body) {
        self.fields.remove(super::Name::ContentLength);
        self.framing = FramingChecked::for_local(body);
    }

    /// All received bytes of the head.
    #[inline]
    pub fn received(&self) -> &[u8] {
        &self.fields.received
    }

    /// Makes the head safe to keep beyond this turn.
    pub fn retain(&mut self, pool: &Pool) {
        let received = core::mem::take(&mut self.fields.received);
        self.fields.received = received.retain(pool);
    }
}

impl RefusedRequest {
    /// The method as spelled.
    pub fn method_bytes(&self) -> &[u8] {
        self.method_span.of(&self.fields.received)
    }

    /// The target as received.
    pub fn received_target(&self) -> &[u8] {
        self.target.whole.of(&self.fields.received)
    }

    /// The host and port that the request is for, as [`RequestHead::authority_chunk`] has it.
    pub fn authority_chunk(&self) -> Chunk {
        authority_chunk(self.target, &self.fields)
    }
}

/// The host and port that a request is for, as bytes that outlive a change of its fields.
#[inline]
fn authority_chunk(target: Target, fields: &Fields) -> Chunk {
    match target.form {
        TargetForm::Absolute | TargetForm::Authority => fields.received.slice(target.authority.range()),
        TargetForm::Origin | TargetForm::Asterisk => fields.get_chunk(super::Name::Host).unwrap_or_default(),
    }
}

impl ResponseHead {
    /// A response of our own.
    pub fn local(status: Status, body: Body) -> Self {
        Self {
            status,
            version: Version::Http11,
            fields: Fields::default(),
            reason: Span::default(),
            framing: FramingChecked::for_local(body),
            upgrade: None,
        }
    }

    /// The reason phrase as received, or the usual one for a response of our own.
    #[inline]
    pub fn reason_bytes(&self) -> &[u8] {
        if self.fields.received.is_empty() {
            self.status.reason().as_bytes()
        } else {
            self.reason.of(&self.fields.received)
        }
    }

    /// What content follows, as the response's own fields say. A response to HEAD has none all the same.
    #[inline]
    pub fn body(&self) -> Body {
        self.framing.body()
    }

    /// The proof that framing was checked, with what it found.
    #[inline]
    pub fn framing(&self) -> FramingChecked {
        self.framing
    }

    /// Says anew what content follows: whoever changes the content has to.
    pub fn set_body(&mut self, body: Body) {
        self.fields.remove(super::Name::ContentLength);
        self.framing = FramingChecked::for_local(body);
    }

    /// Makes the head safe to keep beyond this turn: copied where it would pin a much larger buffer.
    #[inline]
    pub fn retain(&mut self, pool: &Pool) {
        if self.fields.received.is_pinning() {
            let received = core::mem::take(&mut self.fields.received);
            self.fields.received = received.retain(pool);
        }
    }

    /// All received bytes of the head; empty for a response of our own.
    #[inline]
    pub fn received(&self) -> &Chunk {
        &self.fields.received
    }
}
