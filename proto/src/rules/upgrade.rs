//! `Upgrade` (RFC 9110 section 7.8): which protocol may pass, and whether a 101 is the answer to it.

use super::{hop_by_hop::Connection, list};
use crate::message::{Body, Fields, Method, Name, RequestHead, Version};

/// What passes when nothing else is configured.
pub const WEBSOCKET: &[u8] = b"websocket";

/// The first protocol of the request's `Upgrade` that is in `allowed` and may pass, as spelled.
///
/// `h2c` never passes: the origin would take the rest of the connection as HTTP/2 that no rule here has seen.
/// An upgrade with content never passes: where the content ends and the protocol begins would be a matter of
/// two opinions. HTTP/1.0 cannot upgrade ("MUST ignore"), and `Upgrade` without `Connection: upgrade` was
/// meant for somebody else.
pub fn wanted<'a>(head: &'a RequestHead, allowed: &[&[u8]]) -> Option<&'a [u8]> {
    offered(head).find(|token| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(token)))
}

/// The protocols of the request's `Upgrade` that may pass, in the client's order, as spelled: see [`wanted`].
pub fn offered(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let is_possible = head.version == Version::Http11
        && head.fields.has(Name::Upgrade)
        && head.body() == Body::Empty
        && head.method != Method::Connect
        && Connection::of(&head.fields).is_upgrade();
    let may_pass = |token: &&[u8]| {
        let is_get = head.method == Method::Get || !token.eq_ignore_ascii_case(WEBSOCKET);
        is_get && !is_http2(token)
    };
    let fields = is_possible.then(|| head.fields.get_all(Name::Upgrade));
    fields.into_iter().flatten().flat_map(list::elements).filter(may_pass)
}

/// Whether the fields of a 101 switch to `asked` and nothing else.
pub fn is_answered(fields: &Fields, asked: &[u8]) -> bool {
    let mut tokens = fields.get_all(Name::Upgrade).flat_map(list::elements);
    tokens.next().is_some_and(|token| token.eq_ignore_ascii_case(asked))
        && tokens.next().is_none()
        && Connection::of(fields).is_upgrade()
}

fn is_http2(token: &[u8]) -> bool {
    let name = token.split(|&byte| byte == b'/').next().unwrap_or_default();
    [b"h2c".as_slice(), b"h2", b"http"].iter().any(|http| name.eq_ignore_ascii_case(http))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(line: &str, fields: &str, allowed: &[&str]) -> Option<String> {
        let head = super::super::request(&format!("{line}\r\nHost: a\r\n{fields}\r\n"));
        let allowed: Vec<&[u8]> = allowed.iter().map(|token| token.as_bytes()).collect();
        wanted(&head, &allowed).map(|token| String::from_utf8_lossy(token).into_owned())
    }

    const GET: &str = "GET / HTTP/1.1";

    #[test]
    fn b22_the_first_allowed_protocol_passes() {
        let fields = "Connection: keep-alive, Upgrade\r\nUpgrade: foo/1, WebSocket\r\nUpgrade: bar\r\n";
        assert_eq!(passes(GET, fields, &["websocket"]).unwrap(), "WebSocket");
        assert_eq!(passes(GET, fields, &["bar", "FOO/1"]).unwrap(), "foo/1");
        assert_eq!(passes(GET, fields, &["bar"]).unwrap(), "bar");
        assert_eq!(passes(GET, fields, &[]), None);
    }

    #[test]
    fn h2c_never_passes() {
        for token in ["h2c", "H2C", "h2", "HTTP/2.0", "h2c/1"] {
            let fields =
                format!("Connection: upgrade, HTTP2-Settings\r\nUpgrade: {token}\r\nHTTP2-Settings: AA\r\n");
            assert_eq!(passes(GET, &fields, &[token, "websocket"]), None, "{token}");
        }
    }

    #[test]
    fn b21_upgrade_needs_http11_and_the_connection_option() {
        let fields = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        assert!(passes(GET, fields, &["websocket"]).is_some());
        assert_eq!(passes("GET / HTTP/1.0", fields, &["websocket"]), None);
        assert_eq!(passes(GET, "Upgrade: websocket\r\n", &["websocket"]), None);
        assert_eq!(passes(GET, "Connection: x\r\nUpgrade: websocket\r\n", &["websocket"]), None);
        assert_eq!(passes("POST / HTTP/1.1", fields, &["websocket"]), None);
    }

    #[test]
    fn cve_2026_58055_an_upgrade_with_content_does_not_pass() {
        let fields = "Connection: upgrade\r\nUpgrade: x, websocket\r\n";
        assert!(passes("POST / HTTP/1.1", fields, &["x"]).is_some());
        for framing in ["Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked"] {
            let fields = format!("{fields}{framing}\r\n");
            assert_eq!(passes("POST / HTTP/1.1", &fields, &["x"]), None);
            assert_eq!(passes(GET, &fields, &["websocket"]), None);
        }
    }
}
