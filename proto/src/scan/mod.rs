//! Byte classes of HTTP/1, scanned fast.
//!
//! A scan tells how many bytes at the front of a slice belong to a class; it never reads past the slice.

/// Which bytes may stand where; one bit per class.
static CLASSES: [u8; 256] = classes();

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if is_token_byte(b) {
            classes[byte] |= TOKEN;
        }
        if is_value_byte(b) {
            classes[byte] |= VALUE;
        }
        if is_target_byte(b) {
            classes[byte] |= TARGET;
        }
        byte += 1;
    }
    classes
}

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether `byte` may stand in a field value: HTAB, SP, visible ASCII, obs-text (RFC 9110 section 5.5).
#[inline]
pub const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// Whether `byte` may stand in a request target: visible ASCII without `#`, which never goes on the wire
/// (RFC 9110 section 7.1), and 0x80 to 0xff, since clients send UTF-8 without escaping it.
#[inline]
pub const fn is_target_byte(byte: u8) -> bool {
    byte > 0x20 && byte != 0x7f && byte != b'#'
}

/// Number of token bytes at the front.
#[inline]
pub fn token(bytes: &[u8]) -> usize {
    prefix(bytes, TOKEN)
}

/// Number of field value bytes at the front.
#[inline]
pub fn value(bytes: &[u8]) -> usize {
    prefix(bytes, VALUE)
}

/// Number of request target bytes at the front.
#[inline]
pub fn target(bytes: &[u8]) -> usize {
    prefix(bytes, TARGET)
}

#[inline]
fn prefix(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| CLASSES[byte as usize] & class == 0).unwrap_or(bytes.len())
}
