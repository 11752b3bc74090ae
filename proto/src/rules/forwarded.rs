//! What an intermediary tells about the path a message took: `X-Forwarded-*`, `Forwarded` (RFC 7239) and
//! `Via` (RFC 9110 section 7.6.3).
//!
//! Addresses come as text: nothing here knows sockets.

use super::list;
use crate::message::{Fields, Name, Version};

/// The hop that a request came over.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The peer's address as text, without port and brackets; `None` where it has none (Unix sockets).
    pub client_ip: Option<&'a str>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port that the request is for.
    pub host: &'a [u8],
    /// Whether the peer is a proxy of ours: what it says is continued. What anybody else says is replaced,
    /// or every client could choose its own address.
    pub is_trusted: bool,
}

/// Writes `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
pub fn set_x_forwarded(fields: &mut Fields, hop: &Hop<'_>) {
    let client = hop.client_ip.unwrap_or("unknown").as_bytes();
    continue_list(fields, Name::XForwardedFor, client, hop.is_trusted);
    for (name, value) in [(Name::XForwardedProto, hop.scheme.as_bytes()), (Name::XForwardedHost, hop.host)] {
        if hop.is_trusted && fields.has(name) {
            continue;
        }
        fields.remove(name);
        // An HTTP/1.0 request may be for no host: then nothing is said, since an empty name is one to somebody.
        if !value.is_empty() {
            push(fields, name, &[value]);
        }
    }
}

/// Writes `Forwarded` (RFC 7239 section 4): one element for this hop.
pub fn set_forwarded(fields: &mut Fields, hop: &Hop<'_>) {
    let mut element = b"for=".to_vec();
    match hop.client_ip {
        // Section 6: an IPv6 address stands in brackets, and so in quotes.
        Some(ip) if ip.contains(':') => element.extend_from_slice(format!("\"[{ip}]\"").as_bytes()),
        Some(ip) => element.extend_from_slice(ip.as_bytes()),
        None => element.extend_from_slice(b"unknown"),
    }
    if !hop.host.is_empty() {
        element.extend_from_slice(b";host=");
        put_value(&mut element, hop.host);
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(hop.scheme.as_bytes());
    continue_list(fields, Name::Forwarded, &element, hop.is_trusted);
}

/// Appends `Via`: the version the message was received with and `name` of this proxy. What is there stays,
/// whoever wrote it: `Via` finds loops, it proves nothing.
pub fn append_via(fields: &mut Fields, received: Version, name: &str) {
    let version = match received {
        Version::Http10 => "1.0 ",
        Version::Http11 => "1.1 ",
        Version::Http2 => "2.0 ",
    };
    push(fields, Name::Via, &[version.as_bytes(), name.as_bytes()]);
}

/// How often `Via` says that the message came through a proxy of this name already: what ends an endless loop
/// (RFC 9110 section 7.6).
pub fn passes(fields: &Fields, name: &str) -> usize {
    let is_us = |element: &&[u8]| {
        let mut words = element.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|received_by| received_by.eq_ignore_ascii_case(name.as_bytes()))
    };
    fields.get_all(Name::Via).map(|value| list::elements(value).filter(is_us).count()).sum()
}

/// Appends `element` to the list that is there, all lines joined, or replaces it.
fn continue_list(fields: &mut Fields, id: Name, element: &[u8], is_trusted: bool) {
    if !is_trusted || !fields.has(id) {
        return replace(fields, id, element);
    }
    let mut value = Vec::new();
    for line in fields.get_all(id).filter(|line| !line.is_empty()) {
        value.extend_from_slice(line);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(element);
    replace(fields, id, &value);
}

fn replace(fields: &mut Fields, id: Name, value: &[u8]) {
    fields.remove(id);
    push(fields, id, &[value]);
}

/// The pieces are ours or come from a checked head: an address, a scheme, a host, a configured name.
fn push(fields: &mut Fields, id: Name, value: &[&[u8]]) {
    debug_assert!(value.iter().all(|piece| crate::message::fields::is_valid_value(piece)), "{id:?}");
    fields.push(id, id.text().as_bytes(), value);
}

/// `value` as a token or a quoted string (RFC 9110 section 5.6.4).
fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    if value.iter().all(|&byte| crate::scan::is_token_byte(byte)) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop<'_> =
        Hop { client_ip: Some("192.0.2.1"), scheme: "https", host: b"example.com:8443", is_trusted: false };

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        fields
    }

    fn all(fields: &Fields, id: Name) -> Vec<String> {
        fields.get_all(id).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn what_a_stranger_says_about_the_path_is_replaced() {
        let mut said = fields(&[
            ("X-Forwarded-For", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil"),
            ("Forwarded", "for=10.0.0.1"),
        ]);
        set_x_forwarded(&mut said, &HOP);
        set_forwarded(&mut said, &HOP);
        assert_eq!(all(&said, Name::XForwardedFor), ["192.0.2.1"]);
        assert_eq!(all(&said, Name::XForwardedProto), ["https"]);
        assert_eq!(all(&said, Name::XForwardedHost), ["example.com:8443"]);
        assert_eq!(all(&said, Name::Forwarded), ["for=192.0.2.1;host=\"example.com:8443\";proto=https"]);
    }

    #[test]
    fn what_a_proxy_of_ours_says_is_continued_in_one_line() {
        let mut said = fields(&[
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-For", "10.0.0.2"),
            ("X-Forwarded-Proto", "http"),
            ("Forwarded", "for=10.0.0.1"),
        ]);
        let hop = Hop { is_trusted: true, client_ip: Some("2001:db8::1"), host: b"example.com", ..HOP };
        set_x_forwarded(&mut said, &hop);
        set_forwarded(&mut said, &hop);
        assert_eq!(all(&said, Name::XForwardedFor), ["10.0.0.1, 10.0.0.2, 2001:db8::1"]);
        assert_eq!(all(&said, Name::XForwardedProto), ["http"]);
        assert_eq!(all(&said, Name::XForwardedHost), ["example.com"]);
        assert_eq!(
            all(&said, Name::Forwarded),
            ["for=10.0.0.1, for=\"[2001:db8::1]\";host=example.com;proto=https"]
        );
    }

    #[test]
    fn a_client_without_an_address_is_unknown() {
        let mut said = Fields::default();
        let hop = Hop { client_ip: None, host: b"", ..HOP };
        set_x_forwarded(&mut said, &hop);
        set_forwarded(&mut said, &hop);
        assert_eq!(all(&said, Name::XForwardedFor), ["unknown"]);
        assert!(!said.has(Name::XForwardedHost));
        assert_eq!(all(&said, Name::Forwarded), ["for=unknown;proto=https"]);
    }

    #[test]
    fn b18_via_is_appended_behind_what_is_there() {
        let mut said = fields(&[("Via", "1.0 fred")]);
        append_via(&mut said, Version::Http11, "edge-1");
        append_via(&mut said, Version::Http2, "edge-2");
        assert_eq!(all(&said, Name::Via), ["1.0 fred", "1.1 edge-1", "2.0 edge-2"]);
    }

    #[test]
    fn b14_a_loop_is_seen_in_via() {
        let said =
            fields(&[("Via", "1.0 fred, HTTP/1.1  Edge-1 (comment)"), ("Via", "2.0 p.example.net:80")]);
        assert_eq!(passes(&said, "edge-1"), 1);
        assert_eq!(passes(&said, "p.example.net:80"), 1);
        assert_eq!(passes(&said, "edge"), 0);
        assert_eq!(passes(&Fields::default(), "edge-1"), 0);
    }
}
