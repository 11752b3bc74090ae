//! Where to listen and where to connect, as people write it.
//!
//! A listener is an IP address and a port, because a name could mean several interfaces. An endpoint may be a
//! name, which is resolved once, when the process starts: a shard must never wait for DNS.

use crate::settings::Address;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// What is wrong with an address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, where there is something to say.
    pub help: Option<String>,
}

impl AddressError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, ": {help}"))
    }
}

impl Error for AddressError {}

/// Turns a name and a port into addresses. A function of its own so that tests need no DNS.
pub type Resolve = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// The resolver of the system. It may block for seconds.
///
/// # Errors
/// The resolver's.
#[expect(clippy::disallowed_methods, reason = "runs before the server starts")]
pub fn resolve_by_system(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((name, port).to_socket_addrs()?.collect())
}

/// `127.0.0.1:8080`, `[::1]:8080` or `unix:PATH`. Port 0 asks the kernel for one.
///
/// # Errors
/// What is no such address; one line for people.
pub fn parse_listen(text: &str) -> Result<Address, AddressError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_socket_path(path).map(Address::Unix);
    }
    let expected =
        "write an IP address and a port like \"127.0.0.1:8080\" or \"[::]:8080\", or \"unix:PATH\"";
    text.parse().map(Address::Tcp).map_err(|_| {
        let port = text.trim_start_matches([':', '*']).parse::<u16>();
        let help =
            port.map(|port| format!("for every interface write \"0.0.0.0:{port}\" or \"[::]:{port}\""));
        let message = format!("`{text}` is not an address to listen at");
        AddressError::new(message).with_help(help.unwrap_or_else(|_| expected.into()))
    })
}

/// `host:port`, `127.0.0.1:8080`, `[::1]:8080` or `unix:PATH`, with every address of a name.
///
/// # Errors
/// What is no such address; one line for people.
pub fn parse_endpoint(text: &str, resolve: Resolve) -> Result<Vec<Address>, AddressError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![Address::Unix(parse_socket_path(path)?)]);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        check_port(text, address.port())?;
        return Ok(vec![Address::Tcp(address)]);
    }
    let expected = "write \"host:port\", \"[::1]:port\" or \"unix:PATH\"";
    let malformed = || AddressError::new(format!("`{text}` is not an endpoint")).with_help(expected);
    let (name, port) = text.rsplit_once(':').ok_or_else(|| no_port(text))?;
    let port = port.parse::<u16>().map_err(|_| malformed())?;
    check_port(text, port)?;
    if !is_host_name(name) {
        return Err(malformed());
    }
    resolve_name(name, port, resolve)
}

/// A path that fits into a socket address.
///
/// # Errors
/// What is no such address; one line for people.
pub fn parse_socket_path(text: &str) -> Result<PathBuf, AddressError> {
    if text.is_empty() || text.len() > SOCKET_PATH_BYTES_MAX || text.contains('\0') {
        let message = format!("`{text}` is not a path of 1 to {SOCKET_PATH_BYTES_MAX} bytes for a socket");
        return Err(AddressError::new(message));
    }
    Ok(Path::new(text).to_owned())
}

fn resolve_name(name: &str, port: u16, resolve: Resolve) -> Result<Vec<Address>, AddressError> {
    let found = resolve(name, port)
        .map_err(|error| AddressError::new(format!("cannot resolve `{name}`: {error}")))?;
    let mut addresses: Vec<Address> = Vec::new();
    for address in found.into_iter().map(Address::Tcp) {
        // One answer a protocol is usual; the same address twice would get twice its share.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(AddressError::new(format!("`{name}` has no address"))),
        false => Ok(addresses),
    }
}

fn no_port(text: &str) -> AddressError {
    let host = if text.is_empty() { "host" } else { text };
    AddressError::new(format!("`{text}` has no port")).with_help(format!("write \"{host}:80\" for example"))
}

fn check_port(text: &str, port: u16) -> Result<(), AddressError> {
    match port {
        0 => Err(AddressError::new(format!("`{text}`: nothing can be connected to at port 0"))),
        _ => Ok(()),
    }
}

/// Letters, digits, hyphens and underscores in labels, as resolvers take them. What looks like a broken IP
/// address is not a name: `127.0.0.999` must not be asked of DNS.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last_is_number =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && !last_is_number && name.parse::<IpAddr>().is_err() && name.split('.').all(is_label)
}

/// `sun_path` has 108 bytes, the last of which is the NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows two names and no others.
    fn resolve_for_tests(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let v4 = SocketAddr::from(([127, 0, 0, 1], port));
        match name {
            "localhost" => Ok(vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)), v4, v4]),
            "origin.test" => Ok(vec![v4]),
            "empty.test" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn written(result: Result<Vec<Address>, AddressError>) -> String {
        match result {
            Ok(addresses) => addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_listener_is_an_ip_address_or_a_unix_socket() {
        for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:80", "unix:/run/a.sock", "unix:a.sock"] {
            assert_eq!(parse_listen(text).expect(text).to_string(), text);
        }
        for text in
            ["", "8080", ":8080", "*:8080", "localhost:8080", "127.0.0.1", "::1:80", "1.2.3.4:65536", "unix:"]
        {
            parse_listen(text).expect_err(text);
        }
        assert!(parse_listen(":8080").unwrap_err().to_string().contains("\"[::]:8080\""));
        parse_listen(&format!("unix:/{}", "x".repeat(107))).unwrap_err();
    }

    #[test]
    fn every_address_of_a_name_becomes_an_endpoint_once() {
        let parse = |text| written(parse_endpoint(text, resolve_for_tests));
        assert_eq!(parse("localhost:9001"), "[::1]:9001 127.0.0.1:9001");
        assert_eq!(parse("127.0.0.1:9001"), "127.0.0.1:9001");
        assert_eq!(parse("[::1]:9001"), "[::1]:9001");
        assert_eq!(parse("unix:/a"), "unix:/a");
        assert!(parse("empty.test:1").contains("`empty.test` has no address"));
        assert!(parse("gone.test:1").contains("cannot resolve `gone.test`: no such name"));
        assert!(parse("origin.test").contains("has no port"));
        for text in
            [":80", "a b:80", "1.2.3.999:80", "::1:80", "a:b:80", "a:http", "a:70000", "a..b:80", "é:80"]
        {
            assert!(parse(text).contains("is not an endpoint"), "{text}");
        }
        assert!(parse("origin.test:0").contains("port 0"));
        assert!(parse("127.0.0.1:0").contains("port 0"));
    }
}
