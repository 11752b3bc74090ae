//! Where to listen and where to connect, as people write it: what the engine reads of it, and URLs of upstreams.

use super::diagnose::Problem;
use ringway_engine::lifecycle::address;
use ringway_engine::settings::Address;
use std::path::PathBuf;

pub(crate) use ringway_engine::lifecycle::address::{Resolve, resolve_by_system};

/// `127.0.0.1:8080`, `[::1]:8080` or `unix:PATH`. Port 0 asks the kernel for one.
pub(crate) fn parse_listen(text: &str) -> Result<Address, Problem> {
    Ok(address::parse_listen(text)?)
}

/// `host:port`, `127.0.0.1:8080`, `[::1]:8080` or `unix:PATH`, with every address of a name.
pub(crate) fn parse_endpoint(text: &str, resolve: Resolve) -> Result<Vec<Address>, Problem> {
    Ok(address::parse_endpoint(text, resolve)?)
}

/// A path that fits into a socket address.
pub(crate) fn parse_socket_path(text: &str) -> Result<PathBuf, Problem> {
    Ok(address::parse_socket_path(text)?)
}

/// What `ringway proxy` takes: an endpoint, or an `http://` URL of one without a path.
pub(crate) fn parse_upstream(text: &str, resolve: Resolve) -> Result<Vec<Address>, Problem> {
    let Some((scheme, rest)) = text.split_once("://") else { return parse_endpoint(text, resolve) };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => {
            return Err(Problem::new(format!("`{text}`: TLS to upstreams is not available in this version")));
        }
        _ => return Err(Problem::new(format!("`{text}`: `{scheme}` is not a protocol of upstreams"))),
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        let message = format!("`{text}` has more than a host and a port");
        return Err(Problem::new(message).with_help("requests keep their own path"));
    }
    let is_bare = !authority.contains(':') || authority.ends_with(']');
    let endpoint = if is_bare { format!("{authority}:80") } else { authority.to_owned() };
    parse_endpoint(&endpoint, resolve)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io;
    use std::net::SocketAddr;

    /// Knows two names and no others.
    pub(crate) fn resolve_for_tests(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let v4 = SocketAddr::from(([127, 0, 0, 1], port));
        match name {
            "localhost" => Ok(vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)), v4, v4]),
            "origin.test" => Ok(vec![v4]),
            "empty.test" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn written(result: Result<Vec<Address>, Problem>) -> String {
        match result {
            Ok(addresses) => addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(" "),
            Err(problem) => format!("error: {problem}"),
        }
    }

    #[test]
    fn an_upstream_may_be_a_url_without_a_path() {
        let parse = |text| written(parse_upstream(text, resolve_for_tests));
        assert_eq!(parse("http://origin.test"), "127.0.0.1:80");
        assert_eq!(parse("HTTP://origin.test:81/"), "127.0.0.1:81");
        assert_eq!(parse("http://[::1]"), "[::1]:80");
        assert_eq!(parse("http://[::1]:81"), "[::1]:81");
        assert_eq!(parse("origin.test:82"), "127.0.0.1:82");
        assert!(parse("https://origin.test").contains("TLS to upstreams is not available in this version"));
        assert!(parse("ftp://origin.test").contains("`ftp` is not a protocol"));
        assert!(parse("http://origin.test/a").contains("more than a host and a port"));
        assert!(parse("http://u@origin.test").contains("more than a host and a port"));
        assert!(parse("http://").contains("error"));
    }
}
