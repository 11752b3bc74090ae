//! What a client accepts: `Accept-Encoding` (RFC 9110 section 12.5.3).

use super::Coding;
use ringway_proto::rules::list;

/// Members of all `Accept-Encoding` fields that are read; browsers send four. Who sends more gets no coding, so that a
/// long list costs nobody anything.
pub const MEMBERS_MAX: usize = 64;

/// A quality in thousandths: 0 is "not acceptable", 1000 the most wanted (RFC 9110 section 12.4.2).
type Quality = u16;
const QUALITY_MAX: Quality = 1000;

/// The `Accept-Encoding` fields of one request, as read. [`Accepted::default`] is what a client without the field
/// accepts: anything, though nothing is chosen for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Accepted {
    is_present: bool,
    /// In the order of [`Coding::ALL`].
    listed: [Option<Quality>; Coding::ALL.len()],
    identity: Option<Quality>,
    /// Of `*`.
    any_other: Option<Quality>,
}

/// What one of several offered codings, if any, suits a client best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The coding to use; `None` is "as it is".
    pub coding: Option<Coding>,
    /// Whether the client takes content without a coding. Where it does not and `coding` is `None`, there is nothing
    /// that suits it: RFC 9110 section 12.5.3 lets a server send what it has all the same, or answer 406.
    pub is_identity_acceptable: bool,
}

/// Chooses among `offered`, of which those that stand first are preferred where the client has no preference.
///
/// `values` are the values of all `Accept-Encoding` fields in order. Without any, nothing is chosen: RFC 9110 calls
/// every coding acceptable then, but programs that do not send the field mostly cannot decode.
pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>, offered: &[Coding]) -> Negotiated {
    Accepted::parse(values).choose(offered)
}

impl Accepted {
    /// Reads the values of all `Accept-Encoding` fields, in order.
    ///
    /// A member that does not follow the grammar is left out, as is a coding that is not known here. Of a coding that
    /// is listed twice the lower quality holds: what a client excludes once is not sent to it. Of more than
    /// [`MEMBERS_MAX`] members, none holds.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut accepted = Self::default();
        let mut members = 0;
        for value in values {
            accepted.is_present = true;
            for member in list::elements(value) {
                members += 1;
                if members > MEMBERS_MAX {
                    return Self { is_present: true, ..Self::default() };
                }
                accepted.add(member);
            }
        }
        accepted
    }

    fn add(&mut self, member: &[u8]) {
        let Some((token, quality)) = parse_member(member) else { return };
        let slot = if token == b"*" {
            &mut self.any_other
        } else if token.eq_ignore_ascii_case(b"identity") {
            &mut self.identity
        } else if let Some(coding) = Coding::from_token(token) {
            &mut self.listed[coding as usize]
        } else {
            return;
        };
        *slot = Some(slot.map_or(quality, |before| before.min(quality)));
    }

    /// How much the client wants this coding: 0 to 1000.
    fn quality(&self, coding: Coding) -> Quality {
        // Absent, the field excludes nothing; present, it excludes what it does not name.
        let unnamed = if self.is_present { 0 } else { QUALITY_MAX };
        self.listed[coding as usize].or(self.any_other).unwrap_or(unnamed)
    }

    /// Whether the client can be sent this coding.
    pub fn accepts(&self, coding: Coding) -> bool {
        self.quality(coding) > 0
    }

    /// Whether the client can be sent content as it is: always, unless `identity;q=0` or `*;q=0` says otherwise.
    pub fn accepts_identity(&self) -> bool {
        self.identity.or(self.any_other) != Some(0)
    }

    /// The coding of `offered` that the client wants most; of several, the first. None where the client wants none
    /// of them, wants `identity` more, or has not said what it wants.
    pub fn choose(&self, offered: &[Coding]) -> Negotiated {
        let mut best: Option<(Coding, Quality)> = None;
        for &coding in if self.is_present { offered } else { &[] } {
            let quality = self.quality(coding);
            if quality > best.map_or(0, |(_, quality)| quality) {
                best = Some((coding, quality));
            }
        }
        // Identity that is not listed is acceptable but not asked for: whatever is listed goes before it.
        let wanted = best.filter(|(_, quality)| self.identity.is_none_or(|identity| identity <= *quality));
        Negotiated {
            coding: wanted.map(|(coding, _)| coding),
            is_identity_acceptable: self.accepts_identity(),
        }
    }
}

/// `codings [ OWS ";" OWS "q=" qvalue ]`; `None` where that is not what it says.
fn parse_member(member: &[u8]) -> Option<(&[u8], Quality)> {
    let Some(semicolon) = member.iter().position(|&byte| byte == b';') else {
        return Some((member, QUALITY_MAX));
    };
    let [b'q' | b'Q', b'=', value @ ..] = list::trim(&member[semicolon + 1..]) else { return None };
    Some((list::trim(&member[..semicolon]), parse_quality(value)?))
}

/// `0` to `1` with at most three decimals (RFC 9110 section 12.4.2), in thousandths.
fn parse_quality(value: &[u8]) -> Option<Quality> {
    let (whole, decimals) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| decimals.get(at).map_or(0, |digit| Quality::from(digit - b'0'));
    let thousandths = Quality::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (thousandths <= QUALITY_MAX).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    const OFFERED: &[Coding] = &[Zstd, Gzip, Brotli];

    fn chosen(values: &[&str]) -> (Option<Coding>, bool) {
        let negotiated = negotiate(values.iter().map(|value| value.as_bytes()), OFFERED);
        (negotiated.coding, negotiated.is_identity_acceptable)
    }

    #[test]
    fn the_wanted_coding_is_chosen() {
        for (value, coding, identity) in [
            // The field of RFC 9110 section 12.5.3, and of browsers.
            ("compress, gzip", Some(Gzip), true),
            ("", None, true),
            ("*", Some(Zstd), true),
            ("compress;q=0.5, gzip;q=1.0", Some(Gzip), true),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", Some(Gzip), true),
            ("gzip, deflate, br, zstd", Some(Zstd), true),
            ("gzip, deflate, br", Some(Gzip), true),
            ("gzip, deflate", Some(Gzip), true),
            // Names.
            ("x-gzip", Some(Gzip), true),
            ("GZIP", Some(Gzip), true),
            ("Br", Some(Brotli), true),
            ("deflate", None, true),
            ("dcb, dcz", None, true),
            ("gzipped", None, true),
            // The client's preference goes before ours.
            ("zstd;q=0.5, br;q=0.8, gzip;q=0.7", Some(Brotli), true),
            ("zstd;q=0.001, gzip;q=0.002", Some(Gzip), true),
            ("br;q=0.9, *;q=0.1", Some(Brotli), true),
            ("br;q=0.1, *;q=0.9", Some(Zstd), true),
            ("zstd;q=0, *", Some(Gzip), true),
            // Exclusion.
            ("gzip;q=0", None, true),
            ("gzip;q=0.000", None, true),
            ("zstd;q=0, br;q=0, gzip;q=0", None, true),
            ("*;q=0", None, false),
            ("gzip, *;q=0", Some(Gzip), false),
            ("gzip, identity;q=0", Some(Gzip), false),
            ("identity;q=0", None, false),
            ("identity;q=0, *", Some(Zstd), false),
            ("*;q=0, identity", None, true),
            ("*;q=0, identity;q=0.1", None, true),
            ("*;q=0.5, identity;q=0", Some(Zstd), false),
            // Identity that is wanted more, and as much.
            ("identity", None, true),
            ("identity;q=1, gzip;q=0.5", None, true),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), true),
            ("identity, gzip", Some(Gzip), true),
            ("identity, *;q=0.5", None, true),
            // Twice: the lower holds.
            ("gzip, gzip;q=0", None, true),
            ("gzip;q=0, gzip", None, true),
            ("x-gzip;q=0, gzip", None, true),
            // White space, empty members, case of the parameter.
            (" gzip ;\tQ=0.5 ,, , br;q=0.4", Some(Gzip), true),
            (",,,", None, true),
            // Bounds of the number.
            ("gzip;q=1", Some(Gzip), true),
            ("gzip;q=1.", Some(Gzip), true),
            ("gzip;q=1.000", Some(Gzip), true),
            ("gzip;q=0.", None, true),
            ("gzip;q=0.001", Some(Gzip), true),
            // What does not follow the grammar is left out.
            ("gzip;q=1.001", None, true),
            ("gzip;q=2", None, true),
            ("gzip;q=0.0001", None, true),
            ("gzip;q=.5", None, true),
            ("gzip;q=-1", None, true),
            ("gzip;q=+1", None, true),
            ("gzip;q=", None, true),
            ("gzip;q", None, true),
            ("gzip;", None, true),
            ("gzip;level=9", None, true),
            ("gzip;q=1;q=1", None, true),
            ("gzip;q= 1", None, true),
            ("gzip;q =1", None, true),
            ("gzip br", None, true),
            (";q=1", None, true),
            ("gzip;q=1e0, br;q=\u{661}, zstd;q=1x, br", Some(Brotli), true),
        ] {
            assert_eq!(chosen(&[value]), (coding, identity), "{value:?}");
        }
    }

    #[test]
    fn a_client_that_does_not_say_gets_no_coding_though_it_accepts_all() {
        assert_eq!(chosen(&[]), (None, true));
        let accepted = Accepted::parse([]);
        assert!(Coding::ALL.iter().all(|&coding| accepted.accepts(coding)));
        let accepted = Accepted::parse([b"".as_slice()]);
        assert!(!Coding::ALL.iter().any(|&coding| accepted.accepts(coding)));
    }

    #[test]
    fn several_fields_are_one_list() {
        assert_eq!(chosen(&["gzip;q=0.5", "br"]), (Some(Brotli), true));
        assert_eq!(chosen(&["gzip", "*;q=0"]), (Some(Gzip), false));
        assert_eq!(chosen(&["", "gzip"]), (Some(Gzip), true));
    }

    #[test]
    fn our_order_breaks_ties() {
        let all = [b"gzip, br, zstd".as_slice()];
        for offered in [[Gzip, Brotli, Zstd], [Brotli, Zstd, Gzip], [Zstd, Gzip, Brotli]] {
            assert_eq!(negotiate(all, &offered).coding, Some(offered[0]));
        }
        assert_eq!(negotiate(all, &[]).coding, None);
    }

    #[test]
    fn a_list_that_nobody_means_well_by_gets_no_coding() {
        let value = |members: usize| vec!["gzip"; members].join(",");
        assert_eq!(chosen(&[&value(MEMBERS_MAX)]), (Some(Gzip), true));
        assert_eq!(chosen(&[&value(MEMBERS_MAX + 1)]), (None, true));
        assert_eq!(chosen(&[&value(MEMBERS_MAX / 2), &value(MEMBERS_MAX / 2), "br"]), (None, true));
        assert_eq!(chosen(&["identity;q=0", &value(100_000)]), (None, true));
    }

    #[test]
    fn any_bytes_can_be_read() {
        let mut seed = 9_u64;
        for len in 0..400 {
            let value: Vec<u8> = (0..len)
                .map(|_| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    b"gzipbr*;q=01.5, \t\xff\0"[(seed >> 33) as usize % 19]
                })
                .collect();
            negotiate([value.as_slice()], OFFERED);
        }
    }
}
