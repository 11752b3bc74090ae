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
    let is_possible = head.version == Version::Http11
        && head.fields.has(Name::Upgrade)
        && head.body() == Body::Empty
        && head.method != Method::Connect
        && Connection::of(&head.fields).is_upgrade();
    if !is_possible {
        return None;
    }
    let may_pass = |token: &&[u8]| {
        let is_get = head.method == Method::Get || !token.eq_ignore_ascii_case(WEBSOCKET);
        is_get && !is_http2(token) && allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(token))
    };
    head.fields.get_all(Name::Upgrade).flat_map(list::elements).find(may_pass)
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
