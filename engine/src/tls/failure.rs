//! What goes wrong in TLS, in words of our own.

use std::fmt;

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer's certificate is not one that is accepted: why.
    Certificate(Box<str>),
    /// The peer gave up with this alert (RFC 8446 section 6).
    Alert(u8),
    /// What the peer sent is not TLS, or breaks its rules, or nothing can be agreed upon: what.
    Protocol(Box<str>),
    /// Nothing the peer did: what.
    Internal(Box<str>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(reason) => write!(f, "certificate: {reason}"),
            Self::Alert(code) => match alert(*code) {
                Some(name) => write!(f, "the peer's alert: {name}"),
                None => write!(f, "the peer's alert: {code}"),
            },
            Self::Protocol(reason) | Self::Internal(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Failure {}

/// The name of an alert.
fn alert(code: u8) -> Option<&'static str> {
    let name = match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    };
    Some(name)
}
