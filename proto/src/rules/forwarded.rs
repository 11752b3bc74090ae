//! What an intermediary tells about the path a message took: `X-Forwarded-*`, `Forwarded` (RFC 7239) and
//! `Via` (RFC 9110 section 7.6.3).
//!
//! Addresses come as text: nothing here knows sockets.

use super::list;
use crate::message::{Fields, InvalidField, Line, Name, Version};

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

/// Writes `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. Other fields of that kind, which this proxy
/// does not write (`X-Real-IP`, `X-Forwarded-Port`, ...), pass only when the peer is trusted: an origin that believes
/// them would believe every client.
pub fn set_x_forwarded(fields: &mut Fields, hop: &Hop<'_>) {
    if !hop.is_trusted {
        fields.remove_hearsay();
    }
    let client = hop.client_ip.unwrap_or("unknown").as_bytes();
    continue_list(fields, Name::XForwardedFor, client, hop.is_trusted);
    if !hop.is_trusted || !fields.has(Name::XForwardedProto) {
        fields.remove(Name::XForwardedProto);
        match hop.scheme {
            "http" => fields.append_line(&PROTO_HTTP),
            "https" => fields.append_line(&PROTO_HTTPS),
            other => push(fields, Name::XForwardedProto, other.as_bytes()),
        }
    }
    if !hop.is_trusted || !fields.has(Name::XForwardedHost) {
        fields.remove(Name::XForwardedHost);
        // An HTTP/1.0 request may be for no host: then nothing is said, since an empty name is one to somebody.
        if !hop.host.is_empty() {
            push(fields, Name::XForwardedHost, hop.host);
        }
    }
}

static PROTO_HTTP: Line = Line::fixed(Name::XForwardedProto, b"x-forwarded-proto: http\r\n");
static PROTO_HTTPS: Line = Line::fixed(Name::XForwardedProto, b"x-forwarded-proto: https\r\n");

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

/// What a proxy of one name says in `Via`: the version a message was received with, and the name.
#[derive(Clone, Debug)]
pub struct Via {
    name: Box<str>,
    http10: Line,
    http11: Line,
    http2: Line,
}

impl Via {
    /// What a proxy called `name` says.
    ///
    /// # Errors
    /// When the name cannot stand in a field.
    pub fn new(name: &str) -> Result<Self, InvalidField> {
        let line = |version: &str| Line::new(b"via", format!("{version} {name}").as_bytes());
        Ok(Self { name: name.into(), http10: line("1.0")?, http11: line("1.1")?, http2: line("2.0")? })
    }

    /// Appends it. What is there stays, whoever wrote it: `Via` finds loops, it proves nothing.
    #[inline]
    pub fn append(&self, fields: &mut Fields, received: Version) {
        fields.append_line(match received {
            Version::Http10 => &self.http10,
            Version::Http11 => &self.http11,
            Version::Http2 => &self.http2,
        });
    }

    /// How often a message came through a proxy of this name already; see [`passes`].
    #[inline]
    pub fn passes(&self, fields: &Fields) -> usize {
        if fields.has(Name::Via) { passes(fields, &self.name) } else { 0 }
    }
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
    push(fields, id, value);
}

/// The value is ours or comes from a checked head: an address, a scheme, a host.
fn push(fields: &mut Fields, id: Name, value: &[u8]) {
    debug_assert!(crate::message::fields::is_valid_value(value), "{id:?}");
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
        Via::new("edge-1").unwrap().append(&mut said, Version::Http11);
        Via::new("edge-2").unwrap().append(&mut said, Version::Http2);
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
