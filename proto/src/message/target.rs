//! The request target (RFC 9112 section 3.2).

use super::Method;
use crate::rules::Rule;
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

impl Target {
    /// The target that `whole` is of `bytes`, all of which [`crate::scan::is_target_byte`] allows
    /// (RFC 9112 section 3.2).
    pub(crate) fn parse(method: Method, bytes: &[u8], whole: Span) -> Result<Self, Rule> {
        let text = whole.of(bytes);
        match (method, text) {
            (Method::Connect, _) => match Authority::parse(text)?.port {
                Some(_) => {
                    Ok(Self { form: TargetForm::Authority, whole, authority: whole, path: Span::default() })
                }
                // RFC 9110 section 9.3.6: a CONNECT without a valid port is refused.
                None => Err(Rule::TargetAuthority),
            },
            (_, [b'/', ..]) => {
                Ok(Self { form: TargetForm::Origin, whole, authority: Span::default(), path: whole })
            }
            (Method::Options, b"*") => {
                Ok(Self { form: TargetForm::Asterisk, whole, authority: Span::default(), path: whole })
            }
            _ => Self::absolute(text, whole),
        }
    }

    fn absolute(text: &[u8], whole: Span) -> Result<Self, Rule> {
        let starts_with =
            |scheme: &[u8]| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let authority_at = match () {
            () if starts_with(b"http://") => 7,
            () if starts_with(b"https://") => 8,
            () => return Err(Rule::TargetForm),
        };
        let rest = &text[authority_at..];
        let path_at =
            authority_at + rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        Authority::parse(&text[authority_at..path_at])?;
        // `http://host?query` has no path to forward; clients send `/` there (RFC 9112 section 3.2.1).
        if text.get(path_at) == Some(&b'?') {
            return Err(Rule::TargetForm);
        }
        let start = whole.start as usize;
        let authority = Span::new(start + authority_at, start + path_at);
        Ok(Self {
            form: TargetForm::Absolute,
            whole,
            authority,
            path: Span::new(start + path_at, whole.end()),
        })
    }
}

/// A host and, when one is named, its port (RFC 3986 section 3.2), as in a target's authority and in `Host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Authority {
    port: Option<u16>,
}

impl Authority {
    /// A comma, which RFC 3986 allows in a host, is refused: readers of lists would see two hosts.
    ///
    /// # Errors
    /// [`Rule::TargetAuthority`] for user information, an empty host, and what cannot be in a host or port
    /// (RFC 9110 sections 4.2.1 and 4.2.4).
    fn parse(text: &[u8]) -> Result<Self, Rule> {
        let host_len = match text {
            [b'[', rest @ ..] => match rest.iter().position(|&byte| byte == b']') {
                Some(len) if is_ip_literal(&rest[..len]) => len + 2,
                _ => return Err(Rule::TargetAuthority),
            },
            _ => text.iter().position(|&byte| byte == b':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(host_len);
        if host.is_empty() || !(host[0] == b'[' || is_reg_name(host)) {
            return Err(Rule::TargetAuthority);
        }
        let port = match port {
            b"" | b":" => None,
            [b':', digits @ ..] => Some(parse_port(digits).ok_or(Rule::TargetAuthority)?),
            _ => return Err(Rule::TargetAuthority),
        };
        Ok(Self { port })
    }
}

/// IPv6 addresses look like this; whether it is one, whoever dials it finds out.
fn is_ip_literal(text: &[u8]) -> bool {
    let colons = text.iter().filter(|&&byte| byte == b':').count();
    (2..=45).contains(&text.len())
        && (2..=8).contains(&colons)
        && text.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// RFC 3986 section 3.2.2, without the comma.
fn is_reg_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = match (byte, behind) {
            (b'%', [a, b, behind @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => behind,
            (b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~', _) => behind,
            (b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=', _) => behind,
            _ => return false,
        };
    }
    true
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = digits.iter().fold(0, |port: u32, digit| port * 10 + u32::from(digit - b'0'));
    u16::try_from(port).ok().filter(|&port| port != 0)
}
