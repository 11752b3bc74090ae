//! Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 5000 80`, and the end of a line.

use super::{Endpoints, Facts, Header, Rule, aligned};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::Write;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Rule> {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|&byte| byte == b'\r' || byte == b'\n') else {
        return if line.len() == LINE_BYTES_MAX { Err(Rule::Line) } else { Ok(None) };
    };
    match line[end..] {
        [b'\r', b'\n', ..] => {
            let endpoints = endpoints(line.get(OPENING.len()..end).ok_or(Rule::Words)?)?;
            Ok(Some((Header { endpoints, facts: Facts::default() }, end + 2)))
        }
        [b'\r'] if line.len() < LINE_BYTES_MAX => Ok(None),
        _ => Err(Rule::Line),
    }
}

/// What stands behind `PROXY `.
fn endpoints(words: &[u8]) -> Result<Endpoints<'static>, Rule> {
    let words = str::from_utf8(words).map_err(|_| Rule::Words)?;
    // "When the protocol is unknown, the rest of the line before the CRLF may be omitted … and the receiver must
    // ignore anything presented before the CRLF is found."
    if words == UNKNOWN || words.strip_prefix(UNKNOWN).is_some_and(|rest| rest.starts_with(' ')) {
        return Ok(Endpoints::Unknown);
    }
    let mut words = words.split(' ');
    let mut word = || words.next().ok_or(Rule::Words);
    let address: fn(&str) -> Result<IpAddr, Rule> = match word()? {
        "TCP4" => |word| word.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Rule::Address),
        "TCP6" => |word| word.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Rule::Address),
        _ => return Err(Rule::Words),
    };
    let (source, destination) = (address(word()?)?, address(word()?)?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    match words.next() {
        None => Ok(Endpoints::Ip {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        }),
        Some(_) => Err(Rule::Words),
    }
}

/// A decimal number without a sign and without leading zeros.
fn port(word: &str) -> Result<u16, Rule> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { word.parse().map_err(|_| Rule::Port) } else { Err(Rule::Port) }
}

pub(super) fn encode(header: &Header<'_>, out: &mut Vec<u8>) {
    let Endpoints::Ip { source, destination } = header.endpoints else {
        return out.extend_from_slice(b"PROXY UNKNOWN\r\n");
    };
    let (source, destination) = aligned(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let written = write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    written.expect("a vector takes everything");
}

pub(super) const OPENING: &[u8] = b"PROXY ";
const UNKNOWN: &str = "UNKNOWN";
/// The longest line, its end included.
pub(super) const LINE_BYTES_MAX: usize = 107;
