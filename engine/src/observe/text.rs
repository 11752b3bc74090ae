//! Numbers and untrusted bytes as text that can neither break a line nor a quoted value.

/// Appends `number` in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = DIGITS[usize::try_from(number % 10).expect("one digit")];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends `number` with two digits; it is below 100.
pub(crate) fn two_digits(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
}

/// Appends `"name":` to a JSON object, with the comma if it is not the first. The name is one of ours.
pub(crate) fn json_key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a member with a number to a JSON object.
pub(crate) fn json_number(out: &mut Vec<u8>, name: &str, number: u64) {
    json_key(out, name);
    decimal(out, number);
}

/// Appends a member with a string to a JSON object.
pub(crate) fn json_string(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    json_key(out, name);
    out.push(b'"');
    json_escaped(out, value);
    out.push(b'"');
}

/// Appends the inside of a JSON string (RFC 8259 section 7). Bytes that are not UTF-8 appear as the code point
/// of the same number, so that the line stays valid JSON and shows what was sent.
pub(crate) fn json_escaped(out: &mut Vec<u8>, value: &[u8]) {
    // Nearly every value is all plain.
    match value.iter().position(|byte| !is_plain(*byte)) {
        None => out.extend_from_slice(value),
        Some(at) => {
            out.extend_from_slice(&value[..at]);
            json_escaped_slowly(out, &value[at..]);
        }
    }
}

#[cold]
fn json_escaped_slowly(out: &mut Vec<u8>, value: &[u8]) {
    for piece in value.utf8_chunks() {
        let mut rest = piece.valid();
        while let Some(at) = rest.find(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
            let (plain, special) = rest.split_at(at);
            out.extend_from_slice(plain.as_bytes());
            let special = special.chars().next().expect("it was found");
            match special {
                '"' | '\\' => out.extend_from_slice(&[b'\\', special as u8]),
                // All control characters are below U+00A0. DEL and the second set are legal in JSON, but a
                // terminal that shows the log would obey them.
                _ => json_code_point(out, special as u8),
            }
            rest = &rest[at + special.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
        piece.invalid().iter().for_each(|byte| json_code_point(out, *byte));
    }
}

fn json_code_point(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&hex(byte));
}

/// Appends bytes with everything but plain ASCII as `\xHH`, quotes and backslashes too: as nginx does in its
/// combined format.
pub(crate) fn x_escaped(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\\x");
        out.extend_from_slice(&hex(rest[at]).map(|digit| digit.to_ascii_uppercase()));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// ASCII that stands for itself in both formats.
const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

/// The two digits of a byte, in lower case.
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};
const HEX: &[u8; 16] = b"0123456789abcdef";
const DIGITS: &[u8; 10] = b"0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_of_every_length_come_out() {
        for number in [0, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            assert_eq!(made(|out| decimal(out, number)), number.to_string());
        }
    }

    #[test]
    fn json_escapes_what_would_end_a_string_or_steer_a_terminal() {
        let escaped = |value: &[u8]| made(|out| json_escaped(out, value));
        assert_eq!(escaped(b"plain /path?x=1"), "plain /path?x=1");
        assert_eq!(escaped(b"a\"b\\c"), r#"a\"b\\c"#);
        assert_eq!(escaped(b"\r\n\t\0\x1b[31m\x7f"), r"\u000d\u000a\u0009\u0000\u001b[31m\u007f");
        assert_eq!(escaped("grün \u{9b}31m ☃".as_bytes()), r"grün \u009b31m ☃");
    }

    #[test]
    fn json_shows_bytes_that_are_not_utf_8() {
        let escaped = |value: &[u8]| made(|out| json_escaped(out, value));
        assert_eq!(escaped(b"a\xffb"), r"a\u00ffb");
        assert_eq!(escaped(b"\xe2\x98"), r"\u00e2\u0098");
        assert_eq!(escaped(b"\xc0\xaf\xed\xa0\x80"), r"\u00c0\u00af\u00ed\u00a0\u0080");
    }

    #[test]
    fn combined_escapes_as_nginx_does() {
        let escaped = |value: &[u8]| made(|out| x_escaped(out, value));
        assert_eq!(escaped(b"GET /a b"), "GET /a b");
        assert_eq!(escaped(b"\"\\\n\x1b\x7f\xff~ "), r"\x22\x5C\x0A\x1B\x7F\xFF~ ");
    }
}
