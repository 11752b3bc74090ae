//! Request methods.

/// A request method; those that are not listed are found in the head's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Transfer a representation.
    Get,
    /// As GET, without content.
    Head,
    /// Resource-specific processing.
    Post,
    /// Replace the resource.
    Put,
    /// Remove the resource.
    Delete,
    /// Establish a tunnel.
    Connect,
    /// Describe communication options.
    Options,
    /// Loop-back test.
    Trace,
    /// Partial modification (RFC 5789).
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// The method that `token` names. Methods are case-sensitive (RFC 9110 section 9.1).
    #[inline]
    pub fn from_token(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether the same request may be sent twice with the effect of one (RFC 9110 section 9.2.2).
    #[inline]
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}
