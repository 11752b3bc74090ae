//! Which site a host belongs to: exact names first, then the longest `*.suffix`, then `*`.

use std::borrow::Cow;

/// A name is at most 253 bytes long (RFC 1035 section 3.1); a longer host can only belong to `*`. This also
/// bounds how many suffixes are looked up.
const HOST_BYTES_MAX: usize = 253;

/// The host patterns of all sites.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    exact: Names,
    /// What stands behind `*.`.
    suffixes: Names,
    /// The site of `*`.
    any: Option<usize>,
}

/// Names in order, each with its site.
type Names = Vec<(Box<[u8]>, usize)>;

impl Hosts {
    /// Adds a pattern: `*`, `*.example.com` (any number of labels before the suffix, at least one) or
    /// `example.com`. Of equal patterns the first stays.
    pub fn insert(&mut self, pattern: &str, site: usize) {
        if pattern == "*" {
            self.any.get_or_insert(site);
            return;
        }
        let (names, name) = match pattern.strip_prefix("*.") {
            Some(suffix) => (&mut self.suffixes, suffix),
            None => (&mut self.exact, pattern),
        };
        let name = lower_case(without_last_dot(name.as_bytes()));
        if let Err(place) = position(names, &name) {
            names.insert(place, (name.into(), site));
        }
    }

    /// The site of `authority`: a host in any case, with or without port and last dot.
    #[inline]
    pub fn find(&self, authority: &[u8]) -> Option<usize> {
        if self.exact.is_empty() && self.suffixes.is_empty() {
            return self.any;
        }
        let host = without_last_dot(without_port(authority));
        if host.len() > HOST_BYTES_MAX {
            return self.any;
        }
        let host = lower_case(host);
        get(&self.exact, &host).or_else(|| self.find_suffix(&host)).or(self.any)
    }

    /// The longest suffix that follows a dot of `host`. A dot in front of everything follows no label.
    fn find_suffix(&self, host: &[u8]) -> Option<usize> {
        if self.suffixes.is_empty() {
            return None;
        }
        let dots = host.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'.');
        dots.map(|(at, _)| &host[at + 1..]).find_map(|suffix| get(&self.suffixes, suffix))
    }
}

fn position(names: &Names, name: &[u8]) -> Result<usize, usize> {
    names.binary_search_by(|(other, _)| (**other).cmp(name))
}

fn get(names: &Names, name: &[u8]) -> Option<usize> {
    position(names, name).ok().map(|at| names[at].1)
}

/// The host of `host[:port]`. The colons of an IPv6 address stand in brackets (RFC 3986 section 3.2.2).
fn without_port(authority: &[u8]) -> &[u8] {
    let closed =
        if authority.starts_with(b"[") { authority.iter().position(|&byte| byte == b']') } else { None };
    let from = closed.unwrap_or(0);
    match authority[from..].iter().position(|&byte| byte == b':') {
        Some(colon) => &authority[..from + colon],
        None => authority,
    }
}

/// `example.com.` is `example.com`, spelled as fully qualified.
fn without_last_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// Clients send lower case, so this copies nearly never.
fn lower_case(host: &[u8]) -> Cow<'_, [u8]> {
    if host.iter().any(u8::is_ascii_uppercase) { host.to_ascii_lowercase().into() } else { host.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(patterns: &[&str]) -> Hosts {
        let mut hosts = Hosts::default();
        for (site, pattern) in patterns.iter().enumerate() {
            hosts.insert(pattern, site);
        }
        hosts
    }

    #[test]
    fn an_exact_name_goes_before_the_longest_suffix_before_any() {
        let hosts = hosts(&["*", "*.example.com", "*.eu.example.com", "a.example.com", "example.com"]);
        for (host, site) in [
            ("example.com", 4),
            ("a.example.com", 3),
            ("b.example.com", 1),
            ("x.y.example.com", 1),
            ("x.eu.example.com", 2),
            ("eu.example.com", 1),
            ("example.org", 0),
            ("badexample.com", 0),
            (".example.com", 0),
            ("", 0),
        ] {
            assert_eq!(hosts.find(host.as_bytes()), Some(site), "{host}");
        }
    }

    #[test]
    fn case_port_and_last_dot_do_not_matter() {
        let hosts = hosts(&["Example.COM", "[::1]", "*.example.org."]);
        for (host, site) in [
            ("EXAMPLE.com:8080", 0),
            ("example.com.", 0),
            ("example.com.:80", 0),
            ("example.com:", 0),
            ("[::1]:8443", 1),
            ("[::1]", 1),
            ("a.Example.Org.:1", 2),
        ] {
            assert_eq!(hosts.find(host.as_bytes()), Some(site), "{host}");
        }
        for host in ["[::1", "[::2]", "example.com..", "example.org", ":80", "..", "[", ""] {
            assert_eq!(hosts.find(host.as_bytes()), None, "{host}");
        }
    }

    #[test]
    fn a_host_longer_than_any_name_belongs_to_any() {
        let mut hosts = hosts(&["*.a"]);
        let long = "a.".repeat(4096);
        assert_eq!(hosts.find(long.as_bytes()), None);
        hosts.insert("*", 7);
        assert_eq!(hosts.find(long.as_bytes()), Some(7));
    }

    #[test]
    fn of_equal_patterns_the_first_stays() {
        let hosts = hosts(&["a.example", "A.example.", "*.example", "*.example", "*", "*"]);
        assert_eq!(hosts.find(b"a.example"), Some(0));
        assert_eq!(hosts.find(b"b.example"), Some(2));
        assert_eq!(hosts.find(b"c"), Some(4));
    }
}
