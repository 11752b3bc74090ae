//! The canonical copy of a path, which routes are matched on, and what makes a path doubtful.
//!
//! Most published holes in the routing of proxies are two readings of one path: the proxy matched `/public/..%2fadmin`
//! and the origin served `/admin`. So escapes that mean nothing are decoded, dot segments are removed
//! (RFC 3986 section 6.2.2), and what origins are known to read differently is reported as a [`Doubt`].

use std::borrow::Cow;

/// Why a path can be read in more than one way. Such a request is 400 where routes depend on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// `%2f`: a separator for origins that decode before they split.
    EncodedSlash,
    /// `%5c` or `\`: a separator for origins that stand on Windows, and for browsers.
    Backslash,
    /// `%00` or NUL: the end of the path for origins that use C strings.
    Nul,
    /// `#`: the end of the path for origins that split off a fragment (HAProxy CVE-2023-45539).
    Fragment,
    /// `%` without two hexadecimal digits. Some origins refuse it, some keep it, some drop it; and decoding around
    /// it can make an escape that was not there (`%%34%31` would become `%41`), so no single pass settles it.
    BadEscape,
    /// `.;x` or `..;x`: a dot segment for origins that cut parameters off before they resolve (Tomcat, Jetty).
    DotParameter,
    /// Dot segments that climb above `/`.
    AboveRoot,
}

impl Doubt {
    /// The word that logs and metrics use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::Nul => "nul",
            Self::Fragment => "fragment",
            Self::BadEscape => "bad_escape",
            Self::DotParameter => "dot_parameter",
            Self::AboveRoot => "above_root",
        }
    }
}

/// The canonical form of `path`, which begins with `/` and has no query: unreserved escapes decoded, other escapes
/// in upper case, bytes beyond ASCII escaped, dot segments removed, `//` kept. Allocates only what differs.
///
/// # Errors
/// When an origin may read it differently.
#[inline]
pub fn canonical(path: &[u8]) -> Result<Cow<'_, [u8]>, Doubt> {
    if is_canonical(path) {
        return Ok(path.into());
    }
    match read(path) {
        Reading { doubt: Some(doubt), .. } => Err(doubt),
        Reading { path, .. } => Ok(path.into()),
    }
}

/// A path read in one way, and the first reason to read it otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) path: Vec<u8>,
    pub(super) doubt: Option<Doubt>,
}

/// Reads `path` as RFC 3986 does: a separator is `/`, and what is doubtful stands for itself.
#[cold]
pub(super) fn read(path: &[u8]) -> Reading {
    let mut copy = Vec::with_capacity(path.len());
    let mut doubt = None;
    copy.push(b'/');
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let start = copy.len();
        doubt = doubt.or(spell(segment, &mut copy));
        match &copy[start..] {
            b"." => copy.truncate(start),
            b".." => {
                copy.truncate(start - 1);
                match copy.iter().rposition(|&byte| byte == b'/') {
                    Some(slash) => copy.truncate(slash + 1),
                    None => {
                        copy.push(b'/');
                        doubt = doubt.or(Some(Doubt::AboveRoot));
                    }
                }
            }
            named => {
                if named.starts_with(b".;") || named.starts_with(b"..;") {
                    doubt = doubt.or(Some(Doubt::DotParameter));
                }
                if segments.peek().is_some() {
                    copy.push(b'/');
                }
            }
        }
    }
    Reading { path: copy, doubt }
}

/// Reads `path` as an origin does that takes every kind of slash for a separator, cuts parameters off and ends at
/// NUL or `#`.
#[cold]
pub(super) fn read_loosely(path: &[u8]) -> Vec<u8> {
    let mut loose = Vec::with_capacity(path.len());
    let mut is_parameter = false;
    let mut rest = path;
    while let [byte, ..] = *rest {
        let (byte, len) = match escape(rest) {
            Some(value @ (b'/' | b'\\' | 0)) => (value, 3),
            _ => (byte, 1),
        };
        is_parameter = byte == b';' || is_parameter && !matches!(byte, b'/' | b'\\');
        match byte {
            0 | b'#' => break,
            b'\\' => loose.push(b'/'),
            byte if !is_parameter => loose.push(byte),
            _ => {}
        }
        rest = &rest[len..];
    }
    read(&loose).path
}

/// The canonical spelling of a pattern: as a path's, but its dot segments stay (and match nothing).
pub(super) fn spell_pattern(text: &str) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(text.len());
    spell(text.as_bytes(), &mut spelled);
    spelled
}

/// Appends `text` with its escapes in canonical form. Returns the first doubt.
fn spell(text: &[u8], out: &mut Vec<u8>) -> Option<Doubt> {
    let mut doubt = None;
    let mut rest = text;
    while let [byte, ..] = *rest {
        doubt = doubt.or(doubt_of(rest));
        match escape(rest) {
            Some(value) if is_unreserved(value) => out.push(value),
            Some(value) => push_escaped(value, out),
            None if byte >= 0x80 => push_escaped(byte, out),
            None => out.push(byte),
        }
        rest = &rest[if escape(rest).is_some() { 3 } else { 1 }..];
    }
    doubt
}

fn doubt_of(rest: &[u8]) -> Option<Doubt> {
    match (rest[0], escape(rest)) {
        (_, Some(b'/')) => Some(Doubt::EncodedSlash),
        (b'\\', _) | (_, Some(b'\\')) => Some(Doubt::Backslash),
        (0, _) | (_, Some(0)) => Some(Doubt::Nul),
        (b'#', _) => Some(Doubt::Fragment),
        (b'%', None) => Some(Doubt::BadEscape),
        _ => None,
    }
}

/// Whether `path` is its own canonical form. May deny it for paths with odd dots; never affirms it wrongly.
#[inline]
fn is_canonical(path: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = path[from..].iter().position(|&byte| SUSPECT[byte as usize]) {
        let at = from + at;
        let settled = match path[at] {
            b'%' => is_settled_escape(&path[at..]),
            b'.' if path[..at].ends_with(b"/") => {
                !matches!(path.get(at + 1), None | Some(b'/' | b'.' | b';' | b'%'))
            }
            b'.' => true,
            _ => false,
        };
        if !settled {
            return false;
        }
        from = at + 1;
    }
    true
}

/// An escape that stays as it is and means nothing but itself.
fn is_settled_escape(rest: &[u8]) -> bool {
    match escape(rest) {
        Some(b'/' | b'\\' | 0) | None => false,
        Some(value) => !is_unreserved(value) && !rest[1..3].iter().any(u8::is_ascii_lowercase),
    }
}

/// The value of the escape that `rest` begins with.
fn escape(rest: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *rest else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

fn push_escaped(value: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(value >> 4)], DIGITS[usize::from(value & 15)]]);
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that a canonical path has only in some places, or nowhere.
const SUSPECT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x80;
    while byte < table.len() {
        table[byte] = true;
        byte += 1;
    }
    table[0] = true;
    table[b'%' as usize] = true;
    table[b'.' as usize] = true;
    table[b'#' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same in other words: escapes first, then RFC 3986 section 5.2.4 on a list of segments.
    fn reference(path: &str) -> Result<String, ()> {
        let mut plain = String::new();
        let mut rest = path;
        while let Some(first) = rest.chars().next() {
            let len = if first == '%' {
                let value = rest.get(1..3).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let value = u8::from_str_radix(value.ok_or(())?, 16).expect("two hexadecimal digits");
                match value {
                    b'/' | b'\\' | 0 => return Err(()),
                    b'-' | b'.' | b'_' | b'~' => plain.push(value.into()),
                    _ if value.is_ascii_alphanumeric() => plain.push(value.into()),
                    _ => plain.push_str(&format!("%{value:02X}")),
                }
                3
            } else {
                match first {
                    '\\' | '\0' | '#' => return Err(()),
                    first if first.is_ascii() => plain.push(first),
                    first => {
                        first.to_string().bytes().for_each(|byte| plain.push_str(&format!("%{byte:02X}")))
                    }
                }
                first.len_utf8()
            };
            rest = &rest[len..];
        }
        let segments: Vec<&str> = plain[1..].split('/').collect();
        let mut kept = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let is_last = index + 1 == segments.len();
            match *segment {
                ".." if kept.pop().is_none() => return Err(()),
                "." | ".." if is_last => kept.push(""),
                "." | ".." => {}
                name if name.starts_with(".;") || name.starts_with("..;") => return Err(()),
                name => kept.push(name),
            }
        }
        Ok(format!("/{}", kept.join("/")))
    }

    /// Paths made of what makes paths difficult.
    fn paths() -> impl Strategy<Value = String> {
        let pieces = [
            "/", "/", "/", ".", ".", "..", "a", "B", "~", ";", "%", "%2e", "%2E", "%2f", "%2F", "%5c", "%00",
            "%41", "%2", "%25", "%20", "%c3%a9", "%C3", "é", "\\", "#", "?", "-", "*", "%%34%31",
        ];
        let piece = proptest::sample::select(pieces.to_vec());
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_what_the_reference_says(path in paths()) {
            let ours = canonical(path.as_bytes()).map(|path| String::from_utf8(path.into_owned()).unwrap());
            prop_assert_eq!(ours.map_err(|_| ()), reference(&path));
        }

        #[test]
        fn canonical_is_idempotent_and_needs_no_second_copy(path in paths()) {
            if let Ok(once) = canonical(path.as_bytes()) {
                let twice = canonical(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                let has_odd_dots = once.windows(2).any(|pair| pair == b"/.");
                prop_assert!(has_odd_dots || matches!(twice, Ok(Cow::Borrowed(_))));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = [b"/", &bytes[..]].concat();
            if let Ok(path) = canonical(&path) {
                prop_assert!(path.starts_with(b"/") && path.is_ascii());
            }
            prop_assert!(read_loosely(&path).starts_with(b"/"));
            prop_assert!(read_loosely(&bytes).starts_with(b"/"));
            let _ = canonical(&bytes);
        }
    }

    #[test]
    fn paths_are_normalised_as_rfc_3986_does() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/./b", "/a/b"),
            ("/./admin", "/admin"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2E/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a//../b", "/a/b"),
            ("/a//b", "/a//b"),
            ("//admin", "//admin"),
            ("/%61dmin", "/admin"),
            ("/a%252fb", "/a%252fb"),
            ("/a;p=1/b;q", "/a;p=1/b;q"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/.../..a/.well-known", "/.../..a/.well-known"),
        ] {
            assert_eq!(canonical(path.as_bytes()).as_deref(), Ok(expected.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_origins_read_differently_is_doubtful() {
        for (path, doubt) in [
            ("/static/..%2fadmin", Doubt::EncodedSlash),
            ("/static%2F..%2Fadmin", Doubt::EncodedSlash),
            ("/static/..%5cadmin", Doubt::Backslash),
            ("/static/..\\admin", Doubt::Backslash),
            ("/admin%00", Doubt::Nul),
            ("/admin%00/../public", Doubt::Nul),
            ("/admin#/../public", Doubt::Fragment),
            ("/..", Doubt::AboveRoot),
            ("/a/../../admin", Doubt::AboveRoot),
            ("/%2e%2e/admin", Doubt::AboveRoot),
            ("/static/..;/admin", Doubt::DotParameter),
            ("/admin/.;x/y", Doubt::DotParameter),
            ("/static/%2e%2e;/admin", Doubt::DotParameter),
            ("/100%", Doubt::BadEscape),
            ("/%zz", Doubt::BadEscape),
            ("/%%34%31", Doubt::BadEscape),
        ] {
            assert_eq!(canonical(path.as_bytes()), Err(doubt), "{path}");
        }
    }

    #[test]
    fn a_path_that_needs_no_change_is_not_copied() {
        for path in ["/", "/a/b.c/d.tar.gz", "/.well-known/x", "/a%20b%C3%A9", "/a/b;c=1//", "/a?b"] {
            assert!(matches!(canonical(path.as_bytes()), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    #[test]
    fn the_loose_reading_is_the_most_daring_one() {
        for (path, expected) in [
            ("/static/..%2fadmin", "/admin"),
            ("/static/..%5C..\\admin", "/admin"),
            ("/api/a%2fb", "/api/a/b"),
            ("/admin%00/../x", "/admin"),
            ("/admin#x", "/admin"),
            ("/static/..;x=1/admin;y", "/admin"),
            ("/a;x%2f..%2fb", "/b"),
            ("/100%", "/100%"),
        ] {
            assert_eq!(read_loosely(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
