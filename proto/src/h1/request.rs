//! Heads of requests of our own.

use super::head::{HeadLimits, HeadParser};
use crate::chunk::Chunk;
use crate::message::{Body, RequestHead};
use crate::rules::framing::FramingChecked;
use crate::rules::{Rule, host};

/// The head of a request of our own: one that is parsed like any other, so that nothing can be made here that would be
/// refused elsewhere. `host` is what stands in `Host`.
///
/// # Errors
/// The rule that it would break.
pub fn request(method: &[u8], target: &[u8], host_and_port: &[u8], body: Body) -> Result<RequestHead, Rule> {
    let text = [method, b" ", target, b" HTTP/1.1\r\nHost: ", host_and_port, b"\r\n\r\n"].concat();
    let mut parser = HeadParser::new();
    let limits = HeadLimits { bytes: text.len(), fields: 1, target: text.len() };
    match parser.on_request_bytes(&text, &limits)? {
        Some(len) if len == text.len() => {}
        // A line end in one of the pieces would be another head.
        _ => return Err(Rule::TargetForm),
    }
    let raw = parser.take_request(Chunk::from(text));
    host::check_request(&raw)?;
    Ok(raw.into_head(FramingChecked::for_local(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_what_would_be_received() {
        let head = request(b"GET", b"/a?b", b"example.com:81", Body::Empty).unwrap();
        assert_eq!((head.method_bytes(), head.path()), (&b"GET"[..], &b"/a"[..]));
        assert_eq!(head.authority(), b"example.com:81");
    }

    #[test]
    fn nothing_is_smuggled_in() {
        for (method, target, host) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", "/", "a"),
            ("GET", "/ HTTP/1.1\r\nA: b", "a"),
            ("GET", "/", "a\r\nA: b"),
            ("GET", "/", "a\r\n\r\nGET / HTTP/1.1"),
            ("", "/", "a"),
            ("GET", "", "a"),
            ("GET", "/", "a b"),
        ] {
            let made = request(method.as_bytes(), target.as_bytes(), host.as_bytes(), Body::Empty);
            assert!(made.is_err(), "{method:?} {target:?} {host:?}");
        }
    }
}
