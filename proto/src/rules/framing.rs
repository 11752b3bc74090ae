//! How long a message is (RFC 9112 section 6).

use crate::message::Body;

/// The proof that a head's framing was checked, with what was found. Only the rules here make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingChecked {
    body: Body,
}

impl FramingChecked {
    /// What content follows the head.
    #[inline]
    pub fn body(self) -> Body {
        self.body
    }

    /// For a message of our own: we say how long it is.
    pub fn for_local(body: Body) -> Self {
        Self { body }
    }
}
