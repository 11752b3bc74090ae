//! Host and port: `uri-host [":" port]` (RFC 9110 section 7.2, RFC 3986 section 3.2).
//!
//! Names are compared in ASCII lower case and never decoded: `%41` and `A` are two names here, so that a
//! route, a cache key and the origin cannot disagree about it.

use super::{Rule, list};
use crate::h1::head::RawRequest;
use crate::message::{Name, TargetForm, Version};

/// Checks that a request names one host, and the same one in every place (RFC 9112 section 3.2).
///
/// Section 3.2.2 has a proxy ignore `Host` where the target names a host. A mismatch is refused here all the
/// same: no client has a reason to send one, and whoever stands behind might read the other name.
///
/// # Errors
/// [`Rule::HostMissing`] (HTTP/1.1 only), [`Rule::HostDuplicate`], [`Rule::HostInvalid`] or
/// [`Rule::HostMismatch`].
#[inline]
pub fn check_request(raw: &RawRequest) -> Result<(), Rule> {
    if !raw.noted.has(Name::Host) {
        return if raw.version == Version::Http10 { Ok(()) } else { Err(Rule::HostMissing) };
    }
    if raw.noted.is_repeated(Name::Host) {
        return Err(Rule::HostDuplicate);
    }
    let host = raw.fields.get(Name::Host).unwrap_or_default();
    parse(host)?;
    match raw.target.form {
        TargetForm::Origin | TargetForm::Asterisk => Ok(()),
        TargetForm::Absolute | TargetForm::Authority => check_same(raw, host),
    }
}

#[cold]
fn check_same(raw: &RawRequest, host: &[u8]) -> Result<(), Rule> {
    let received = &raw.fields.received;
    let authority = raw.target.authority.of(received);
    let default_port = match raw.target.whole.of(received) {
        // CONNECT has no default port, and its Host may lack the one of the target.
        _ if raw.target.form == TargetForm::Authority => parse(authority)?.port.unwrap_or_default(),
        whole if whole.len() > 5 && whole[..5].eq_ignore_ascii_case(b"https") => 443,
        _ => 80,
    };
    if is_same(authority, host, default_port) { Ok(()) } else { Err(Rule::HostMismatch) }
}

/// A host and its port, where one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or address as spelled; an IPv6 address with its brackets.
    pub name: &'a [u8],
    /// The port; `None` also for `host:` (RFC 3986 allows an empty port).
    pub port: Option<u16>,
}

/// Splits and checks the value of a `Host` field or the authority of a target.
///
/// Refused are an empty name (RFC 9110 section 4.2.1), user information (section 4.2.4), a port that is not
/// 1 to 65535, and a comma: the grammar allows it, but two proxies that join and split lists read it differently.
///
/// # Errors
/// [`Rule::HostInvalid`].
#[inline]
pub fn parse(value: &[u8]) -> Result<Host<'_>, Rule> {
    // Nearly always a name and nothing else.
    if !value.is_empty() && value.iter().all(|&byte| IS_NAME_BYTE[byte as usize]) {
        return Ok(Host { name: value, port: None });
    }
    parse_parts(value)
}

fn parse_parts(value: &[u8]) -> Result<Host<'_>, Rule> {
    let (name, port) = split(value);
    let is_valid = match name {
        [b'[', address @ .., b']'] => is_ipv6(address),
        _ => is_name(name),
    };
    if !is_valid {
        return Err(Rule::HostInvalid);
    }
    Ok(Host { name, port: parse_port(port)? })
}

/// The name or address without port, of a value that [`parse`] accepts.
#[inline]
pub fn host_without_port(value: &[u8]) -> &[u8] {
    split(value).0
}

/// Whether two values mean the same host and port, where a missing port is `default_port`.
pub fn is_same(left: &[u8], right: &[u8], default_port: u16) -> bool {
    if left == right {
        return true;
    }
    match (parse(left), parse(right)) {
        (Ok(left), Ok(right)) => {
            left.name.eq_ignore_ascii_case(right.name)
                && left.port.unwrap_or(default_port) == right.port.unwrap_or(default_port)
        }
        _ => false,
    }
}

/// Name and the text behind its colon, unchecked.
#[inline]
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    // The colons of an IPv6 address stand in brackets, so only what is behind them counts.
    let name_end = match value {
        [b'[', rest @ ..] => rest.iter().position(|&byte| byte == b']').map_or(value.len(), |at| at + 2),
        _ => value.iter().position(|&byte| byte == b':').unwrap_or(value.len()),
    };
    match &value[name_end..] {
        [] => (&value[..name_end], b""),
        [b':', port @ ..] => (&value[..name_end], port),
        // `[::1]x`: all of it, which no check accepts.
        _ => (value, b""),
    }
}

fn parse_port(digits: &[u8]) -> Result<Option<u16>, Rule> {
    if digits.is_empty() {
        return Ok(None);
    }
    let port = list::decimal(digits).and_then(|port| u16::try_from(port).ok());
    port.filter(|&port| port != 0).map(Some).ok_or(Rule::HostInvalid)
}

/// Whether `name` is a reg-name or an IPv4 address: unreserved, sub-delims but comma, percent-encoded.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return !name.is_empty(),
            [byte, rest @ ..] if IS_NAME_BYTE[*byte as usize] => rest,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            _ => return false,
        };
    }
}

/// Whether `address` is an IPv6 address (RFC 3986 section 3.2.2), without zone.
fn is_ipv6(address: &[u8]) -> bool {
    let mut groups = 0;
    let mut is_compressed = false;
    let mut rest = address;
    if let [b':', b':', behind @ ..] = rest {
        is_compressed = true;
        rest = behind;
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 || groups >= 8 {
            return false;
        }
        match &rest[digits..] {
            [b'.', ..] => {
                groups += 2;
                return is_ipv4(rest) && is_count(groups, is_compressed);
            }
            _ if digits > 4 => return false,
            [] => rest = b"",
            [b':', b':', _, ..] | [b':', b':'] if is_compressed => return false,
            [b':', b':', behind @ ..] => {
                is_compressed = true;
                rest = behind;
            }
            [b':', behind @ ..] if !behind.is_empty() => rest = behind,
            _ => return false,
        }
        groups += 1;
    }
    is_count(groups, is_compressed)
}

fn is_count(groups: u32, is_compressed: bool) -> bool {
    // `::` stands for at least one group.
    if is_compressed { groups <= 7 } else { groups == 8 }
}

fn is_ipv4(address: &[u8]) -> bool {
    let is_octet =
        |part: &[u8]| (1..=3).contains(&part.len()) && list::decimal(part).is_some_and(|octet| octet <= 255);
    address.split(|&byte| byte == b'.').count() == 4 && address.split(|&byte| byte == b'.').all(is_octet)
}

/// Which bytes stand in a name for themselves.
static IS_NAME_BYTE: [bool; 256] = {
    let mut is_name_byte = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_name_byte[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    is_name_byte
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::h1::head::{HeadLimits, HeadParser};

    fn check(head: &str) -> Result<(), Rule> {
        let mut parser = HeadParser::new();
        let len = parser.on_request_bytes(head.as_bytes(), &HeadLimits::default())?.expect("complete");
        check_request(&parser.take_request(Chunk::from(head.as_bytes()[..len].to_vec())))
    }

    #[test]
    fn a7_a_request_names_one_valid_host() {
        assert_eq!(check("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(()));
        assert_eq!(check("GET / HTTP/1.1\r\n\r\n"), Err(Rule::HostMissing));
        assert_eq!(check("GET / HTTP/1.0\r\n\r\n"), Ok(()));
        for second in ["a", "b", ""] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nhost: {second}\r\n\r\n");
            assert_eq!(check(&head), Err(Rule::HostDuplicate));
        }
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            assert_eq!(check(&format!("GET / {version}\r\nHost: a b\r\n\r\n")), Err(Rule::HostInvalid));
            assert_eq!(check(&format!("GET / {version}\r\nHost:\r\n\r\n")), Err(Rule::HostInvalid));
        }
    }

    #[test]
    fn a8_a9_host_and_target_name_the_same() {
        let absolute =
            |target: &str, host: &str| check(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(absolute("http://a.example/x", "A.example"), Ok(()));
        assert_eq!(absolute("http://a.example:80/", "a.example"), Ok(()));
        assert_eq!(absolute("HTTPS://a.example", "a.example:443"), Ok(()));
        assert_eq!(absolute("https://a.example", "a.example:80"), Err(Rule::HostMismatch));
        assert_eq!(absolute("http://a.example/", "b.example"), Err(Rule::HostMismatch));
        assert_eq!(absolute("http://a.example:81/", "a.example"), Err(Rule::HostMismatch));
        assert_eq!(check("CONNECT a:8443 HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(()));
        assert_eq!(check("CONNECT a:8443 HTTP/1.1\r\nHost: a:8443\r\n\r\n"), Ok(()));
        assert_eq!(check("CONNECT a:8443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), Err(Rule::HostMismatch));
    }

    #[test]
    fn names_addresses_and_ports_are_split() {
        let host = |value: &'static str| parse(value.as_bytes()).unwrap();
        assert_eq!(host("example.com"), Host { name: b"example.com", port: None });
        assert_eq!(host("example.com:8080"), Host { name: b"example.com", port: Some(8080) });
        assert_eq!(host("example.com:"), Host { name: b"example.com", port: None });
        assert_eq!(host("192.0.2.1:1"), Host { name: b"192.0.2.1", port: Some(1) });
        assert_eq!(host("[2001:db8::1]:443"), Host { name: b"[2001:db8::1]", port: Some(443) });
        assert_eq!(host("a%2eb_c~"), Host { name: b"a%2eb_c~", port: None });
        assert_eq!(host_without_port(b"[::1]:80"), b"[::1]");
        assert_eq!(host_without_port(b"a:80"), b"a");
    }

    #[test]
    fn a7_b2_b3_invalid_hosts_are_refused() {
        for bad in [
            "",
            ":80",
            "a b",
            "a,b",
            "user@a",
            "a/b",
            "a\\b",
            "a:b",
            "a:65536",
            "a:0",
            "a:-1",
            "a:+1",
            "a:1:2",
            "a%",
            "a%2",
            "a%zz",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]]",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "a#",
            "a?",
            "\u{e9}",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(Rule::HostInvalid), "{bad:?}");
        }
    }

    #[test]
    fn a_name_of_many_escapes_is_read_however_long_it_is() {
        let long = b"%41".repeat(1_000_000);
        assert!(parse(&long).is_ok());
        assert_eq!(parse(&[&long[..], b"%4"].concat()), Err(Rule::HostInvalid));
        assert_eq!(parse(&[&long[..], b"x%zz"].concat()), Err(Rule::HostInvalid));
    }

    #[test]
    fn ipv6_addresses_agree_with_the_standard_library() {
        let samples = [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::8",
            "2001:db8::ff00:42:8329",
            "::ffff:192.0.2.1",
            "1:2:3:4:5:6:192.0.2.1",
            "64:ff9b::192.0.2.33",
            "1",
            "1:2",
            ":1",
            "1:",
            ":",
            ":::",
            "1:::2",
            "1::2::3",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "12345::",
            "g::",
            "::192.0.2",
            "::192.0.2.256",
            "::192.0.2.1.1",
            "::192.0.2.1:1",
            "1:2:3:4:5:6:7:192.0.2.1",
            "192.0.2.1",
            "::0192.0.2.1",
        ];
        for sample in samples {
            let reference = sample.parse::<core::net::Ipv6Addr>().is_ok();
            assert_eq!(is_ipv6(sample.as_bytes()), reference, "{sample}");
        }
    }

    #[test]
    fn hosts_are_compared_without_case_and_with_the_default_port() {
        assert!(is_same(b"Example.COM", b"example.com:80", 80));
        assert!(is_same(b"a:", b"a", 80));
        assert!(!is_same(b"example.com", b"example.com:443", 80));
        assert!(!is_same(b"a", b"b", 80));
        assert!(!is_same(b"%41", b"a", 80));
    }
}
