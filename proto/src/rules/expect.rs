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

#[cfg(test)]
mod tests {
    use super::*;

    fn expects(version: &str, fields: &str) -> Result<Expectation, Rule> {
        check(&super::super::request(&format!("POST / {version}\r\nHost: a\r\n{fields}\r\n")))
    }

    #[test]
    fn b30_a_request_with_content_may_wait_for_100() {
        let length = "Content-Length: 5\r\n";
        assert_eq!(expects("HTTP/1.1", length), Ok(Expectation::None));
        let expect = format!("{length}Expect: 100-Continue\r\n");
        assert_eq!(expects("HTTP/1.1", &expect), Ok(Expectation::Continue));
        assert_eq!(expects("HTTP/1.0", &expect), Ok(Expectation::None));
        let chunked = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
        assert_eq!(expects("HTTP/1.1", chunked), Ok(Expectation::Continue));
    }

    #[test]
    fn http1_must_die_2025_an_obfuscated_expectation_is_refused() {
        for bad in [
            "",
            "100",
            "100-continue, 100-continue",
            "100-continue\r\nExpect: 100-continue",
            "y 100-continue",
            "100-continue;q=1",
            "\"100-continue\"",
            "100-continue x",
            "x",
        ] {
            let fields = format!("Content-Length: 5\r\nExpect: {bad}\r\n");
            assert_eq!(expects("HTTP/1.1", &fields), Err(Rule::Expectation), "{bad:?}");
        }
        assert_eq!(Rule::Expectation.status(), 417);
    }

    #[test]
    fn http1_must_die_2025_a_request_without_content_waits_for_nothing() {
        assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\n"), Ok(Expectation::None));
        assert_eq!(
            expects("HTTP/1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n"),
            Ok(Expectation::None)
        );
    }
}
