//! Sizes and times as people write them: a whole number and its unit.
//!
//! A bare number is refused: whether `30` means seconds or milliseconds is what every reader of a configuration
//! gets wrong once. Fractions and sums (`1.5s`, `1m30s`) are refused too: each value has one way to be written.

use super::diagnose::Problem;
use ringway_engine::meter::Quota;
use std::time::Duration;

/// A time: `500ms`, `30s`, `2m`, `1h`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, Problem> {
    let (count, unit) = split(text, &TIME)?;
    let multiple = TIME.units.iter().find(|(name, _)| *name == unit).map(|(_, multiple)| *multiple);
    let milliseconds = multiple.and_then(|multiple| count.checked_mul(multiple));
    milliseconds
        .filter(|milliseconds| *milliseconds <= TIME_MAX_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| Problem::new(format!("`{text}` is longer than a year")))
}

/// A size: `512B`, `16KiB`, `1MiB`, `2GiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, Problem> {
    let (count, unit) = split(text, &SIZE)?;
    let multiple = SIZE.units.iter().find(|(name, _)| *name == unit).map(|(_, multiple)| *multiple);
    multiple
        .and_then(|multiple| count.checked_mul(multiple))
        .ok_or_else(|| Problem::new(format!("`{text}` is more than this program can count")))
}

/// So many in so much time: `100/s`, `10/m`, `1/500ms`.
pub(crate) fn parse_rate(text: &str) -> Result<Quota, Problem> {
    let malformed = || {
        Problem::new(format!("`{text}`: a rate is a whole number, a slash and a time"))
            .with_help(r#"for example "100/s", "10/m" or "1/500ms""#)
    };
    let (events, per) = text.split_once('/').ok_or_else(malformed)?;
    let events: u32 = match events.parse() {
        Ok(events @ 1..=RATE_MAX) => events,
        Ok(0) => return Err(Problem::new("a rate of nothing would refuse everything")),
        Ok(_) => return Err(Problem::new(format!("`{text}` is more than {RATE_MAX}"))),
        Err(_) => return Err(malformed()),
    };
    // A unit alone is one of it.
    let time = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    let per = parse_time(&time).map_err(|_| malformed())?;
    if per.is_zero() { Err(malformed()) } else { Ok(Quota::new(events, per)) }
}

/// The largest unit that shows `bytes` without a long fraction.
pub(crate) fn format_size(bytes: u64) -> String {
    let fits = |(_, multiple): &&(&str, u64)| bytes >= *multiple;
    let (unit, multiple) = *SIZE.units.iter().rev().find(fits).unwrap_or(&SIZE.units[0]);
    match bytes % multiple {
        0 => format!("{} {unit}", bytes / multiple),
        _ => format!("{:.1} {unit}", bytes as f64 / multiple as f64),
    }
}

/// What the refusal of a bare number says.
pub(crate) fn unit_missing(text: &str, quantity: &Quantity) -> Problem {
    Problem::new(format!("`{text}` has no unit: {}", quantity.rule))
        .with_help(format!("write {}", quantity.examples))
}

/// A kind of value that carries a unit.
pub(crate) struct Quantity {
    rule: &'static str,
    examples: &'static str,
    units: &'static [(&'static str, u64)],
    /// Units that people know from elsewhere, and ours.
    mistaken: &'static [(&'static str, &'static str)],
}

pub(crate) static TIME: Quantity = Quantity {
    rule: "a time is a whole number with ms, s, m or h",
    examples: r#"for example "500ms", "30s", "2m" or "1h""#,
    units: &[("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 3600 * 1000)],
    mistaken: &[
        ("sec", "s"),
        ("secs", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("minutes", "m"),
        ("msec", "ms"),
    ],
};

pub(crate) static SIZE: Quantity = Quantity {
    rule: "a size is a whole number with B, KiB, MiB or GiB",
    examples: r#"for example "512B", "16KiB", "1MiB" or "2GiB""#,
    units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
    mistaken: &[
        ("b", "B"),
        ("k", "KiB"),
        ("kb", "KiB"),
        ("m", "MiB"),
        ("mb", "MiB"),
        ("g", "GiB"),
        ("gb", "GiB"),
    ],
};

/// Separates the number from a unit that `quantity` has.
fn split<'a>(text: &'a str, quantity: &Quantity) -> Result<(u64, &'a str), Problem> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let malformed = || {
        Problem::new(format!("`{text}`: {}", quantity.rule)).with_help(format!("write {}", quantity.examples))
    };
    if number.is_empty() {
        return Err(malformed());
    }
    if unit.is_empty() {
        return Err(unit_missing(text, quantity));
    }
    if !quantity.units.iter().any(|(name, _)| *name == unit) {
        let spelt = |(wrong, _): &&(&str, &str)| unit.eq_ignore_ascii_case(wrong);
        let same = quantity.units.iter().map(|(name, _)| *name).find(|name| unit.eq_ignore_ascii_case(name));
        let meant = same.or(quantity.mistaken.iter().find(spelt).map(|(_, ours)| *ours));
        return Err(meant.map_or_else(malformed, |ours| {
            Problem::new(format!("`{unit}` is not a unit here: {}", quantity.rule))
                .with_help(format!("did you mean \"{number}{ours}\"?"))
        }));
    }
    let count =
        number.parse().map_err(|_| Problem::new(format!("`{text}` is more than this program can count")))?;
    Ok((count, unit))
}

/// Requests in the time of a rate: one a nanosecond in the shortest time would be as many.
const RATE_MAX: u32 = 1_000_000;
/// A year: what is longer was not meant, and sums of times must not overflow.
const TIME_MAX_MS: u64 = 366 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn times_and_sizes_are_whole_numbers_with_a_unit() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_time("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_time("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_size("512B"), Ok(512));
        assert_eq!(parse_size("16KiB"), Ok(16 << 10));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
    }

    #[test]
    fn a_bare_number_is_told_about_units() {
        assert!(refusal(parse_time("30")).contains("`30` has no unit"));
        assert!(refusal(parse_time("30")).contains("\"30s\""));
        assert!(refusal(parse_size("16")).contains("\"16KiB\""));
    }

    #[test]
    fn foreign_units_are_translated() {
        assert!(refusal(parse_size("64k")).contains("did you mean \"64KiB\"?"));
        assert!(refusal(parse_size("1MB")).contains("did you mean \"1MiB\"?"));
        assert!(refusal(parse_size("1mib")).contains("did you mean \"1MiB\"?"));
        assert!(refusal(parse_time("30sec")).contains("did you mean \"30s\"?"));
        assert!(refusal(parse_time("30S")).contains("did you mean \"30s\"?"));
    }

    #[test]
    fn anything_else_is_refused_without_a_panic() {
        for text in
            ["", "s", "-1s", "+1s", "1.5s", "1m30s", " 1s", "1 s", "1é", "９s", "99999999999999999999s"]
        {
            parse_time(text).expect_err(text);
        }
        assert!(refusal(parse_time("9000h")).contains("longer than a year"));
        assert!(refusal(parse_size("99999999999GiB")).contains("more than"));
    }

    #[test]
    fn sizes_are_shown_in_their_largest_unit() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(2048), "2 KiB");
        assert_eq!(format_size(1536), "1.5 KiB");
        assert_eq!(format_size(3 << 30), "3 GiB");
    }
}
