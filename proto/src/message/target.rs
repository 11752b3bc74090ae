//! The request target (RFC 9112 section 3.2).

use super::Method;
use crate::rules::Rule;
use crate::rules::host::{self, Host};
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
    /// Path and query. In absolute-form the path may be empty, which means `/` (or `*` for OPTIONS without query).
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
        match (method, whole.of(bytes)) {
            (Method::Connect, text) => match parse_host(text)?.port {
                Some(1..) => Ok(Self::new(TargetForm::Authority, whole, 0, text.len())),
                // RFC 9110 section 9.3.6: a CONNECT with an empty or invalid port is refused.
                _ => Err(Rule::TargetAuthority),
            },
            (_, [b'/', ..]) => Ok(Self::new(TargetForm::Origin, whole, 0, 0)),
            (Method::Options, b"*") => Ok(Self::new(TargetForm::Asterisk, whole, 0, 0)),
            (_, text) => Self::absolute(text, whole),
        }
    }

    fn absolute(text: &[u8], whole: Span) -> Result<Self, Rule> {
        let has_scheme =
            |scheme: &[u8]| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let authority_at = match () {
            () if has_scheme(b"http://") => 7,
            () if has_scheme(b"https://") => 8,
            () => return Err(Rule::TargetForm),
        };
        let rest = &text[authority_at..];
        let authority_len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let authority = &rest[..authority_len];
        parse_host(authority)?;
        Ok(Self::new(TargetForm::Absolute, whole, authority_at, authority_at + authority_len))
    }

    /// A target whose authority begins at `authority_at` in it and ends where its path begins.
    fn new(form: TargetForm, whole: Span, authority_at: usize, path_at: usize) -> Self {
        let [authority_at, path_at] = [authority_at, path_at].map(|at| whole.start as usize + at);
        Self {
            form,
            whole,
            authority: Span::new(authority_at, path_at),
            path: Span::new(path_at, whole.end()),
        }
    }
}

/// RFC 9110 sections 4.2.1 and 4.2.4: no empty host, no user information.
fn parse_host(authority: &[u8]) -> Result<Host<'_>, Rule> {
    host::parse(authority).map_err(|_| Rule::TargetAuthority)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Form, authority and path, or the rule that is broken.
    fn target(method: Method, text: &str) -> Result<(TargetForm, &str, &str), Rule> {
        let target = Target::parse(method, text.as_bytes(), Span::new(0, text.len()))?;
        Ok((target.form, &text[target.authority.range()], &text[target.path.range()]))
    }

    #[test]
    fn a8_the_four_forms_are_known() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        assert_eq!(target(Method::Get, "/a?b"), Ok((Origin, "", "/a?b")));
        assert_eq!(target(Method::Get, "//a"), Ok((Origin, "", "//a")));
        assert_eq!(target(Method::Get, "http://a"), Ok((Absolute, "a", "")));
        assert_eq!(target(Method::Get, "HTTPS://a:8/b?c"), Ok((Absolute, "a:8", "/b?c")));
        assert_eq!(target(Method::Get, "http://a:8?b/c?d"), Ok((Absolute, "a:8", "?b/c?d")));
        assert_eq!(target(Method::Get, "http://a?"), Ok((Absolute, "a", "?")));
        assert_eq!(target(Method::Get, "http://[::1]:8/"), Ok((Absolute, "[::1]:8", "/")));
        assert_eq!(target(Method::Options, "*"), Ok((Asterisk, "", "*")));
        assert_eq!(target(Method::Connect, "a:443"), Ok((Authority, "a:443", "")));
    }

    #[test]
    fn other_forms_are_refused() {
        for (method, bad) in [
            (Method::Get, "*"),
            (Method::Options, "**"),
            (Method::Get, "a:443"),
            (Method::Get, "a/b"),
            (Method::Get, "ftp://a/"),
            (Method::Get, "http:/a"),
        ] {
            assert_eq!(target(method, bad), Err(Rule::TargetForm), "{bad}");
        }
    }

    #[test]
    fn b2_b3_empty_hosts_and_user_information_are_refused() {
        for bad in [
            "http://",
            "http:///a",
            "https://:443/",
            "http://u@a/",
            "http://u:p@a/",
            "http://a,b/",
            "http://a b/",
        ] {
            assert_eq!(target(Method::Get, bad), Err(Rule::TargetAuthority), "{bad}");
        }
    }

    #[test]
    fn b28_connect_with_a_bad_port_is_refused() {
        for bad in
            ["a", "a:", "a:0", "a:65536", "a:x", ":443", "/", "*", "http://a:80", "a:80/", "u@a:80", "::1:80"]
        {
            assert_eq!(target(Method::Connect, bad), Err(Rule::TargetAuthority), "{bad}");
        }
    }
}
