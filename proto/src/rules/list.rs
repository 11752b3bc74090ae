//! Comma-separated lists (RFC 9110 section 5.6.1), without quoted strings: of tokens only.

/// The elements of a list, without white space around them; empty ones are skipped (section 5.6.1.2).
#[inline]
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// `value` without the spaces and tabs around it (OWS, RFC 9110 section 5.6.3).
#[inline]
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The number that `digits` spells; `None` when it is empty, has anything but digits, or overflows.
/// No sign, no white space, no `0x`: a second reading of a length is a second message.
#[inline]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b10_empty_elements_are_tolerated_and_white_space_is_trimmed() {
        let all: Vec<&[u8]> = elements(b" ,a ,,\tb c\t, ").collect();
        assert_eq!(all, [b"a".as_slice(), b"b c"]);
        assert_eq!(elements(b"").count(), 0);
    }

    #[test]
    fn b25_a_number_is_digits_only_and_does_not_wrap() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "+5",
            "-0",
            "0x5",
            "5 5",
            " 5",
            "5 ",
            "5,5",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
