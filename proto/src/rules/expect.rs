//! `Expect` (RFC 9110 section 10.1.1).

use super::{Rule, list};
use crate::message::{Body, Name, RequestHead, Version};

/// What a request waits for before it sends its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// A 100 (Continue).
    Continue,
}

/// What `head` expects.
///
/// Nothing is expected by HTTP/1.0 ("MUST ignore") and by a request without content: it has nothing to hold
/// back, and two 100s or an early answer to it have desynchronised proxies. Anything but one `100-continue`
/// is refused: an expectation that one side reads and the other does not is how the two fall out of step.
///
/// # Errors
/// [`Rule::Expectation`].
pub fn check(head: &RequestHead) -> Result<Expectation, Rule> {
    if head.version == Version::Http10 || !head.fields.has(Name::Expect) {
        return Ok(Expectation::None);
    }
    let mut elements = head.fields.get_all(Name::Expect).flat_map(list::elements);
    let is_continue = elements.next().is_some_and(|first| first.eq_ignore_ascii_case(b"100-continue"));
    if !is_continue || elements.next().is_some() {
        return Err(Rule::Expectation);
    }
    match head.body() {
        Body::Empty | Body::Length(0) => Ok(Expectation::None),
        Body::Length(_) | Body::Streamed | Body::UntilClose => Ok(Expectation::Continue),
    }
}
