//! The request target (RFC 9112 section 3.2).

use crate::span::Span;

/// The target of a request: its form and where its elements are in the head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Which of the four forms it has.
    pub form: TargetForm,
    /// All of it, as received.
    pub whole: Span,
    /// `host[:port]` in absolute- and authority-form, else empty.
    pub authority: Span,
    /// Path and query. In absolute-form it may be empty, which means `/` (or `*` for OPTIONS).
    pub path: Span,
}

/// The four forms of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `host:port`, of CONNECT only.
    Authority,
    /// `*`, of OPTIONS only.
    Asterisk,
}
