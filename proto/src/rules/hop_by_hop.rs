//! What concerns one connection only and is never forwarded (RFC 9110 section 7.6.1).

use super::{Rule, list};
use crate::message::fields::{Entry, Place};
use crate::message::{Fields, Name};
use crate::scan::is_token_byte;

/// Fields that one message may nominate in `Connection`: each costs a pass over the fields.
pub const NOMINATIONS_MAX: usize = 16;
/// Bytes of `Connection` values in one message.
pub const CONNECTION_BYTES_MAX: usize = 1024;

/// The connection options of a message: the tokens of `Connection` that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection(u8);

impl Connection {
    const CLOSE: u8 = 1;
    const KEEP_ALIVE: u8 = 2;
    const UPGRADE: u8 = 4;
    const TE: u8 = 8;

    /// The options that `fields` carry. Never fails: an element that is no option says nothing here.
    #[inline]
    pub fn of(fields: &Fields) -> Self {
        let mut options = 0;
        for value in fields.get_all(Name::Connection) {
            for element in list::elements(value) {
                options |= Self::option(element);
            }
        }
        Self(options)
    }

    /// The connection ends after this exchange (RFC 9112 section 9.6).
    #[inline]
    pub fn is_close(self) -> bool {
        self.0 & Self::CLOSE != 0
    }

    /// An HTTP/1.0 peer asks to keep the connection (RFC 9112 section 9.3).
    #[inline]
    pub fn is_keep_alive(self) -> bool {
        self.0 & Self::KEEP_ALIVE != 0
    }

    /// `Upgrade` is meant for this hop (RFC 9110 section 7.8).
    #[inline]
    pub fn is_upgrade(self) -> bool {
        self.0 & Self::UPGRADE != 0
    }

    /// `TE` is meant for this hop (RFC 9110 section 10.1.4).
    #[inline]
    pub fn is_te(self) -> bool {
        self.0 & Self::TE != 0
    }

    fn option(token: &[u8]) -> u8 {
        let is = |option: &[u8]| token.eq_ignore_ascii_case(option);
        match token.len() {
            5 if is(b"close") => Self::CLOSE,
            10 if is(b"keep-alive") => Self::KEEP_ALIVE,
            7 if is(b"upgrade") => Self::UPGRADE,
            2 if is(b"te") => Self::TE,
            _ => 0,
        }
    }
}

/// Removes what concerns the connection from the fields of a request, with everything that `Connection`
/// nominates, and says what `Connection` said.
///
/// A nomination is a wish of the sender that a field be lost on the way. Where framing, routing or identity
/// hang on that field the request is refused instead ([`Name::is_protected`]).
///
/// `Upgrade` goes too: ask [`super::upgrade::wanted`] before.
///
/// # Errors
/// [`Rule::ConnectionNomination`]: a protected field, a malformed element, or too much of it.
pub fn strip_request(fields: &mut Fields) -> Result<Connection, Rule> {
    strip(fields, Protected::Refused)
}

/// As [`strip_request`], for the fields of a response. A response that nominates a protected field loses
/// nothing by it, and malformed elements are skipped: the origin harms nobody with them but itself.
///
/// # Errors
/// [`Rule::ConnectionNomination`]: more nominations than the limit.
pub fn strip_response(fields: &mut Fields) -> Result<Connection, Rule> {
    strip(fields, Protected::Kept)
}

/// Removes what may not stand in a trailer section: framing, routing, connection management and what decides
/// about the message before its content is read (RFC 9110 section 6.5.1).
pub fn strip_trailers(fields: &mut Fields) {
    fields.remove_known(is_forbidden_in_trailers);
}

/// Whether a field of this name is dropped from a trailer section.
#[inline]
pub fn is_forbidden_in_trailers(id: Name) -> bool {
    id.is_hop_by_hop()
        || id.is_protected()
        || matches!(
            id,
            Name::Expect
                | Name::Range
                | Name::ContentEncoding
                | Name::ContentRange
                | Name::Trailer
                | Name::TransferEncoding
        )
}

/// Whether the sender of `fields` takes trailers: `TE: trailers`, meant for this hop
/// (RFC 9110 sections 6.5.1 and 10.1.4). Ask before the fields are stripped.
pub fn takes_trailers(fields: &Fields) -> bool {
    let is_trailers = |token: &[u8]| token.eq_ignore_ascii_case(b"trailers");
    fields.get_all(Name::Te).any(|value| list::elements(value).any(is_trailers))
}

/// The names that the `Connection` fields of a head nominate, so that they can be removed from its trailers as well
/// (RFC 9110 section 7.6.1). No more than the limit: a head with more is refused where it is stripped.
#[cold]
pub fn nominated(fields: &Fields) -> Box<[Box<[u8]>]> {
    let elements = fields.get_all(Name::Connection).flat_map(list::elements);
    let names = elements.filter(|element| Connection::option(element) == 0);
    names.take(NOMINATIONS_MAX).map(Into::into).collect()
}

/// Removes from a trailer section what its head nominated.
pub fn strip_nominated(fields: &mut Fields, names: &[Box<[u8]>]) {
    names.iter().for_each(|name| fields.remove_named(name));
}

/// What happens to a nominated field that is protected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protected {
    Refused,
    Kept,
}

fn strip(fields: &mut Fields, protected: Protected) -> Result<Connection, Rule> {
    let mut connection = Ok(Connection::default());
    if !fields.may_have_hop_by_hop() {
        return connection;
    }
    if fields.has(Name::Connection) {
        // Taken out, so that entries can be marked while the text they point into is read.
        let mut list = core::mem::take(&mut fields.list);
        connection = remove_nominated(&mut list, fields, protected);
        fields.list = list;
    }
    fields.remove_known(Name::is_hop_by_hop);
    connection
}

fn remove_nominated(list: &mut [Entry], text: &Fields, protected: Protected) -> Result<Connection, Rule> {
    let mut options = 0;
    let mut bytes = 0;
    let mut nominations = 0;
    for index in 0..list.len() {
        let Some(value) = connection_value(&list[index], text) else { continue };
        bytes += value.len();
        if bytes > CONNECTION_BYTES_MAX {
            return Err(Rule::ConnectionNomination);
        }
        for element in list::elements(value) {
            let option = Connection::option(element);
            options |= option;
            if option == 0 {
                nominations += 1;
                remove_one(list, text, element, protected)?;
            }
            if nominations > NOMINATIONS_MAX {
                return Err(Rule::ConnectionNomination);
            }
        }
    }
    Ok(Connection(options))
}

fn connection_value<'a>(entry: &Entry, text: &'a Fields) -> Option<&'a [u8]> {
    match entry.place {
        _ if entry.id != Name::Connection => None,
        Place::Received => Some(entry.value.of(&text.received)),
        Place::Added => Some(entry.value.of(&text.added)),
        Place::Removed => None,
    }
}

/// Removes the fields of a nominated name, unless it is protected.
fn remove_one(list: &mut [Entry], text: &Fields, name: &[u8], protected: Protected) -> Result<(), Rule> {
    let id = Name::classify(name);
    let is_removable = name.iter().all(|&byte| is_token_byte(byte)) && !id.is_protected();
    if !is_removable && protected == Protected::Refused {
        return Err(Rule::ConnectionNomination);
    }
    // Hop-by-hop fields go anyway, and `Connection` is still being read.
    if !is_removable || id.is_hop_by_hop() {
        return Ok(());
    }
    for entry in list {
        let spelled: &[u8] = match entry.place {
            Place::Received => entry.name.of(&text.received),
            Place::Added => entry.name.of(&text.added),
            Place::Removed => continue,
        };
        if entry.id == id && spelled.eq_ignore_ascii_case(name) {
            entry.remove();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        fields
    }

    fn names(fields: &Fields) -> Vec<String> {
        fields.iter().map(|field| String::from_utf8_lossy(field.name).into_owned()).collect()
    }

    #[test]
    fn b13_b15_hop_by_hop_and_nominated_fields_are_removed() {
        let mut all = fields(&[
            ("Host", "a"),
            ("Connection", "X-One, close ,, x-TWO"),
            ("Keep-Alive", "timeout=5"),
            ("X-One", "1"),
            ("Proxy-Connection", "keep-alive"),
            ("x-two", "2"),
            ("X-One", "again"),
            ("TE", "trailers"),
            ("Upgrade", "websocket"),
            ("HTTP2-Settings", "AAA"),
            ("X-Three", "3"),
        ]);
        let connection = strip_request(&mut all).unwrap();
        assert_eq!(names(&all), ["Host", "X-Three"]);
        assert!(connection.is_close() && !connection.is_keep_alive() && !connection.is_upgrade());
    }

    #[test]
    fn b5_unknown_fields_stay() {
        let mut all = fields(&[("X-Unknown", "1"), ("Keep-Alive-Not", "2")]);
        strip_request(&mut all).unwrap();
        assert_eq!(names(&all), ["X-Unknown", "Keep-Alive-Not"]);
    }

    #[test]
    fn b16_a_request_cannot_nominate_what_framing_routing_or_identity_hang_on() {
        let protected =
            ["Content-Length", "transfer-encoding", "Host", "Cookie", "authorization", "X-Forwarded-For"];
        for name in protected {
            let mut all = fields(&[("Connection", name), (name, "1")]);
            assert_eq!(strip_request(&mut all), Err(Rule::ConnectionNomination), "{name}");
        }
    }

    #[test]
    fn b16_a_response_that_nominates_a_protected_field_keeps_it() {
        let mut all =
            fields(&[("Connection", "content-length, x-a, (bad)"), ("Content-Length", "1"), ("X-A", "")]);
        strip_response(&mut all).unwrap();
        assert_eq!(names(&all), ["Content-Length"]);
    }

    #[test]
    fn b15_malformed_or_too_many_nominations_are_refused() {
        let refused = |value: &str| strip_request(&mut fields(&[("Connection", value)])).is_err();
        assert!(refused("a b"));
        assert!(refused("\"close\""));
        assert!(refused("a;q=1"));
        assert!(!refused(""));
        assert!(!refused(", ,"));
        let many = |count: usize| (0..count).map(|n| format!("x{n}")).collect::<Vec<_>>().join(",");
        assert!(!refused(&many(NOMINATIONS_MAX)));
        assert!(refused(&many(NOMINATIONS_MAX + 1)));
        assert!(refused(&"x".repeat(CONNECTION_BYTES_MAX + 1)));
        assert!(refused(&"close,".repeat(CONNECTION_BYTES_MAX)));
    }

    #[test]
    fn b15_a_nomination_of_connection_itself_hides_no_other() {
        let mut all =
            fields(&[("Connection", "connection, close"), ("Connection", "x-a"), ("X-A", "1"), ("B", "2")]);
        assert!(strip_request(&mut all).unwrap().is_close());
        assert_eq!(names(&all), ["B"]);
    }

    #[test]
    fn options_are_read_without_case_and_from_several_lines() {
        let all = fields(&[("Connection", "Keep-Alive"), ("connection", "x,UPGRADE,tE")]);
        let connection = Connection::of(&all);
        assert!(connection.is_keep_alive() && connection.is_upgrade() && connection.is_te());
        assert!(!connection.is_close());
    }

    #[test]
    fn b11_a34_trailers_lose_framing_routing_and_hop_by_hop_fields() {
        let mut all = fields(&[
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Host", "a"),
            ("Connection", "close"),
            ("Trailer", "x"),
            ("Authorization", "x"),
            ("Set-Cookie", "x"),
            ("X-Checksum", "ok"),
            ("grpc-status", "0"),
        ]);
        strip_trailers(&mut all);
        assert_eq!(names(&all), ["X-Checksum", "grpc-status"]);
    }

    #[test]
    fn b15_nominated_trailers_are_removed() {
        let head = fields(&[("Connection", "TE, X-Sum"), ("connection", "close,Other")]);
        let mut all = fields(&[("x-sum", "1"), ("X-Time", "2"), ("OTHER", "3"), ("X-Sum", "4")]);
        strip_nominated(&mut all, &nominated(&head));
        assert_eq!(names(&all), ["X-Time"]);
        assert!(nominated(&fields(&[("Connection", "close, keep-alive, TE")])).is_empty());
        let many = (0..2 * NOMINATIONS_MAX).map(|n| format!("x{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(nominated(&fields(&[("Connection", &many)])).len(), NOMINATIONS_MAX);
    }

    #[test]
    fn a35_trailers_are_taken_when_te_says_so() {
        assert!(takes_trailers(&fields(&[("TE", "gzip;q=0.5, Trailers")])));
        assert!(!takes_trailers(&fields(&[("TE", "gzip")])));
    }
}
