//! Version 2: a signature, command, family and length, the addresses, then facts of a type and a length each.

use super::{Endpoints, Facts, Header, HeaderLimits, Rule, Tls, aligned, crc32c};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn parse<'a>(bytes: &'a [u8], limits: &HeaderLimits) -> Result<Option<(Header<'a>, usize)>, Rule> {
    // What is wrong shows with the first byte that is: a peer that waits for our answer sends no more.
    let command = bytes.get(SIGNATURE.len()).map(|&byte| match byte {
        LOCAL => Ok(Command::Local),
        PROXY => Ok(Command::Proxy),
        _ => Err(Rule::Command),
    });
    let command = command.transpose()?;
    let family = bytes.get(SIGNATURE.len() + 1).map(|&byte| match byte {
        0x00 => Ok(Family::Unspecified),
        0x11 | 0x12 => Ok(Family::Ipv4),
        0x21 | 0x22 => Ok(Family::Ipv6),
        0x31 | 0x32 => Ok(Family::Unix),
        // "… including the address family, which is ignored."
        _ if command == Some(Command::Local) => Ok(Family::Unspecified),
        _ => Err(Rule::Family),
    });
    let family = family.transpose()?;
    let (Some(command), Some(family), Some(len)) = (command, family, bytes.get(LEN_AT..FIXED_BYTES)) else {
        return Ok(None);
    };
    let end = FIXED_BYTES + usize::from(u16::from_be_bytes([len[0], len[1]]));
    if end > limits.v2_bytes {
        return Err(Rule::TooLarge);
    }
    // What a proxy says of itself is discarded, and so is what stands behind no address.
    if command == Command::Local || family == Family::Unspecified {
        let endpoints = if command == Command::Local { Endpoints::Local } else { Endpoints::Unknown };
        return Ok((bytes.len() >= end).then_some((Header { endpoints, facts: Facts::default() }, end)));
    }
    if end < FIXED_BYTES + family.address_bytes() {
        return Err(Rule::Length);
    }
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    let (addresses, facts) = header[FIXED_BYTES..].split_at(family.address_bytes());
    let facts = read_facts(facts, header)?;
    Ok(Some((Header { endpoints: read_endpoints(family, addresses), facts }, end)))
}

#[derive(Clone, Copy, PartialEq)]
enum Command {
    Local,
    Proxy,
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Unspecified,
    Ipv4,
    Ipv6,
    Unix,
}

impl Family {
    /// Of both addresses, with their ports.
    const fn address_bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Ipv4 => 2 * (4 + 2),
            Self::Ipv6 => 2 * (16 + 2),
            Self::Unix => 2 * UNIX_BYTES,
        }
    }
}

/// The addresses, of which there are as many bytes as their family has.
fn read_endpoints(family: Family, bytes: &[u8]) -> Endpoints<'_> {
    let ports = |at: usize| {
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        (port(at), port(at + 2))
    };
    let ip = |source: IpAddr, destination: IpAddr, (from, to): (u16, u16)| Endpoints::Ip {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    };
    match family {
        Family::Unspecified => Endpoints::Unknown,
        Family::Ipv4 => {
            let of =
                |at: usize| Ipv4Addr::from(*bytes[at..].first_chunk::<4>().expect("address_bytes")).into();
            ip(of(0), of(4), ports(8))
        }
        Family::Ipv6 => {
            let of =
                |at: usize| Ipv6Addr::from(*bytes[at..].first_chunk::<16>().expect("address_bytes")).into();
            ip(of(0), of(16), ports(32))
        }
        Family::Unix => {
            let (source, destination) = bytes.split_at(UNIX_BYTES);
            Endpoints::Unix { source: trimmed(source), destination: trimmed(destination) }
        }
    }
}

/// Without the zeros at the end. Those in front are part of an abstract socket's name.
fn trimmed(path: &[u8]) -> &[u8] {
    let len = path.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &path[..len]
}

fn read_facts<'a>(mut bytes: &'a [u8], header: &[u8]) -> Result<Facts<'a>, Rule> {
    let mut facts = Facts::default();
    while !bytes.is_empty() {
        let before = bytes.len();
        let (kind, value) = next_fact(&mut bytes)?;
        match kind {
            kind::ALPN => facts.alpn = Some(value),
            kind::AUTHORITY => facts.authority = Some(value),
            kind::UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(Rule::Fact),
            kind::UNIQUE_ID => facts.unique_id = Some(value),
            kind::TLS => facts.tls = Some(read_tls(value)?),
            kind::NETWORK_NAMESPACE => facts.network_namespace = Some(value),
            kind::CHECKSUM => {
                let said = value.first_chunk().filter(|_| value.len() == 4 && !facts.has_checksum);
                let said = u32::from_be_bytes(*said.ok_or(Rule::Fact)?);
                check(header, header.len() - before + FACT_HEADER_BYTES, said)?;
                facts.has_checksum = true;
            }
            // NOOP, and what is not known here.
            _ => {}
        }
    }
    Ok(facts)
}

fn next_fact<'a>(bytes: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Rule> {
    let [kind, a, b, rest @ ..] = *bytes else { return Err(Rule::Fact) };
    let len = usize::from(u16::from_be_bytes([*a, *b]));
    let (value, rest) = rest.split_at_checked(len).ok_or(Rule::Fact)?;
    *bytes = rest;
    Ok((*kind, value))
}

fn read_tls(value: &[u8]) -> Result<Tls<'_>, Rule> {
    let [client, a, b, c, d, rest @ ..] = value else { return Err(Rule::Fact) };
    let mut tls = Tls {
        is_secured: client & CLIENT_TLS != 0,
        has_certificate: client & CLIENT_CERTIFICATE != 0,
        had_certificate: client & CLIENT_CERTIFICATE_BEFORE != 0,
        is_verified: [a, b, c, d] == [&0; 4],
        ..Tls::default()
    };
    let mut rest = rest;
    while !rest.is_empty() {
        let (kind, value) = next_fact(&mut rest)?;
        match kind {
            kind::TLS_VERSION => tls.version = Some(value),
            kind::TLS_CIPHER => tls.cipher = Some(value),
            kind::TLS_COMMON_NAME => tls.common_name = Some(value),
            kind::TLS_SIGNATURE_ALGORITHM => tls.signature_algorithm = Some(value),
            kind::TLS_KEY_ALGORITHM => tls.key_algorithm = Some(value),
            _ => {}
        }
    }
    Ok(tls)
}

/// The checksum is that of the header with zeros in its own place.
fn check(header: &[u8], at: usize, said: u32) -> Result<(), Rule> {
    if checksum(header, at) == said { Ok(()) } else { Err(Rule::Checksum) }
}

fn checksum(header: &[u8], at: usize) -> u32 {
    let before = crc32c::add(crc32c::START, &header[..at]);
    !crc32c::add(crc32c::add(before, &[0; 4]), &header[at + 4..])
}

pub(super) fn encode(header: &Header<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    let command = if header.endpoints == Endpoints::Local { LOCAL } else { PROXY };
    out.extend_from_slice(&[command, 0, 0, 0]);
    out[start + SIGNATURE.len() + 1] = write_endpoints(&header.endpoints, out);
    let checksum_at = match header.endpoints {
        // Nobody reads further.
        Endpoints::Local | Endpoints::Unknown => None,
        Endpoints::Ip { .. } | Endpoints::Unix { .. } => write_facts(&header.facts, out),
    };
    let len = u16::try_from(out.len() - start - FIXED_BYTES).expect("every fact is cut to its share");
    out[start + LEN_AT..start + FIXED_BYTES].copy_from_slice(&len.to_be_bytes());
    if let Some(at) = checksum_at {
        let sum = checksum(&out[start..], at - start);
        out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Writes the addresses, and says of which family and transport they are.
fn write_endpoints(endpoints: &Endpoints<'_>, out: &mut Vec<u8>) -> u8 {
    match *endpoints {
        Endpoints::Local | Endpoints::Unknown => 0x00,
        Endpoints::Ip { source, destination } => {
            let (source, destination) = aligned(source, destination);
            for address in [source.ip(), destination.ip()] {
                match address {
                    IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                    IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
            if source.is_ipv4() { 0x11 } else { 0x21 }
        }
        Endpoints::Unix { source, destination } => {
            for path in [source, destination] {
                let end = out.len() + UNIX_BYTES;
                out.extend_from_slice(&path[..path.len().min(UNIX_BYTES)]);
                out.resize(end, 0);
            }
            0x31
        }
    }
}

/// Writes what is known, and says where the checksum is to be put.
fn write_facts(facts: &Facts<'_>, out: &mut Vec<u8>) -> Option<usize> {
    let checksum_at = facts.has_checksum.then(|| {
        write_fact(kind::CHECKSUM, &[0; 4], out);
        out.len() - 4
    });
    let mut write = |kind, value: Option<&[u8]>| {
        if let Some(value) = value {
            write_fact(kind, &value[..value.len().min(FACT_BYTES_MAX)], out);
        }
    };
    write(kind::ALPN, facts.alpn);
    write(kind::AUTHORITY, facts.authority);
    write(kind::UNIQUE_ID, facts.unique_id.map(|id| &id[..id.len().min(UNIQUE_ID_BYTES_MAX)]));
    write(kind::NETWORK_NAMESPACE, facts.network_namespace);
    if let Some(tls) = &facts.tls {
        write_tls(tls, out);
    }
    checksum_at
}

fn write_tls(tls: &Tls<'_>, out: &mut Vec<u8>) {
    let flags = [
        (tls.is_secured, CLIENT_TLS),
        (tls.has_certificate, CLIENT_CERTIFICATE),
        (tls.had_certificate, CLIENT_CERTIFICATE_BEFORE),
    ];
    let mut value = vec![flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum::<u8>()];
    value.extend_from_slice(&u32::from(!tls.is_verified).to_be_bytes());
    for (kind, text) in [
        (kind::TLS_VERSION, tls.version),
        (kind::TLS_COMMON_NAME, tls.common_name),
        (kind::TLS_CIPHER, tls.cipher),
        (kind::TLS_SIGNATURE_ALGORITHM, tls.signature_algorithm),
        (kind::TLS_KEY_ALGORITHM, tls.key_algorithm),
    ] {
        if let Some(text) = text {
            write_fact(kind, &text[..text.len().min(FACT_BYTES_MAX)], &mut value);
        }
    }
    write_fact(kind::TLS, &value, out);
}

/// `value` is no longer than what its length can say.
fn write_fact(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(value.len()).expect("cut before");
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

/// Types of facts.
mod kind {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CHECKSUM: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const TLS: u8 = 0x20;
    pub(super) const TLS_VERSION: u8 = 0x21;
    pub(super) const TLS_COMMON_NAME: u8 = 0x22;
    pub(super) const TLS_CIPHER: u8 = 0x23;
    pub(super) const TLS_SIGNATURE_ALGORITHM: u8 = 0x24;
    pub(super) const TLS_KEY_ALGORITHM: u8 = 0x25;
    pub(super) const NETWORK_NAMESPACE: u8 = 0x30;
}

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const CLIENT_TLS: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02;
const CLIENT_CERTIFICATE_BEFORE: u8 = 0x04;
const LEN_AT: usize = 14;
/// Everything in front of the addresses.
const FIXED_BYTES: usize = 16;
const FACT_HEADER_BYTES: usize = 3;
/// The field of a path.
const UNIX_BYTES: usize = 108;
const UNIQUE_ID_BYTES_MAX: usize = 128;
/// What is written of one fact at most: all together are shorter than what the header's length can say.
const FACT_BYTES_MAX: usize = 4096;

const _: () = assert!(2 * UNIX_BYTES + 12 * (FACT_BYTES_MAX + FACT_HEADER_BYTES) < u16::MAX as usize);
