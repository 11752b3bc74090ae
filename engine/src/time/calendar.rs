//! Dates and times of day, in UTC, as text. No time zones, no leap seconds: what HTTP and logs need.

/// A date and a time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Day of the week, 0 is Monday.
    pub weekday: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl Civil {
    /// The moment `unix_s` seconds after 1970-01-01T00:00:00Z.
    pub fn from_unix(unix_s: u64) -> Self {
        let (days, second_of_day) = (unix_s / 86_400, unix_s % 86_400);
        // Counted from 0000-03-01, a leap day ends its year, and 400 years are always 146,097 days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // The months from March on have 31, 30, 31, 30, 31 days, again and again: 153 days in five.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: small(month),
            day: small(day_of_year - (153 * month_from_march + 2) / 5 + 1),
            // 1970-01-01 was a Thursday.
            weekday: small((days + 3) % 7),
            hour: small(second_of_day / 3_600),
            minute: small(second_of_day / 60 % 60),
            second: small(second_of_day % 60),
        }
    }

    /// `Mon`, `Tue`, …
    pub const fn weekday_name(&self) -> &'static str {
        WEEKDAYS[self.weekday as usize]
    }

    /// `Jan`, `Feb`, …
    pub const fn month_name(&self) -> &'static str {
        MONTHS[self.month as usize - 1]
    }
}

/// The text of a `Date` field.
///
/// RFC 9110 section 5.6.7: IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Debug)]
pub struct HttpDate {
    text: [u8; Self::BYTES],
}

impl HttpDate {
    /// Length of every IMF-fixdate.
    pub const BYTES: usize = 29;

    /// The date of that second.
    pub fn new(unix_s: u64) -> Self {
        let civil = Civil::from_unix(unix_s);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[0..3].copy_from_slice(civil.weekday_name().as_bytes());
        digits(&mut text[5..7], u64::from(civil.day));
        text[8..11].copy_from_slice(civil.month_name().as_bytes());
        digits(&mut text[12..16], civil.year);
        digits(&mut text[17..19], u64::from(civil.hour));
        digits(&mut text[20..22], u64::from(civil.minute));
        digits(&mut text[23..25], u64::from(civil.second));
        Self { text }
    }

    /// The field's value.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.text
    }
}

/// Fills `place` with the last digits of `number`, zeros in front.
fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + small(number % 10);
        number /= 10;
    }
}

fn small(number: u64) -> u8 {
    u8::try_from(number).expect("calendar parts are below 100")
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_s: u64) -> String {
        String::from_utf8(HttpDate::new(unix_s).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_9110_comes_out() {
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn leap_days_centuries_and_the_epoch_are_right() {
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 GMT");
        assert_eq!(text(1_709_251_200), "Fri, 01 Mar 2024 00:00:00 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(text(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(text(253_402_300_799), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_day_before() {
        let is_leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day, mut weekday) = (1970, 1, 1, 3);
        for days in 0..146_097 * 2 {
            let civil = Civil::from_unix(days * 86_400 + 43_200);
            assert_eq!((civil.year, civil.month, civil.day, civil.weekday), (year, month, day, weekday));
            let in_month = match month {
                2 => 28 + u8::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            weekday = (weekday + 1) % 7;
            day += 1;
            if day > in_month {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_date_is_as_long_as_ever_at_any_time() {
        assert_eq!(HttpDate::new(784_111_777).as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(HttpDate::new(784_111_783).as_bytes(), b"Sun, 06 Nov 1994 08:49:43 GMT");
        assert_eq!(HttpDate::new(u64::MAX).as_bytes().len(), HttpDate::BYTES);
    }
}
