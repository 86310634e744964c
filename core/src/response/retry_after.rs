//! `Retry-After`: seconds, or one of the three date forms of HTTP.
//!
//! A date becomes a pause by comparison with a "now". The response's own `Date` is preferred to the
//! local wall clock, because then a wrong local clock does not matter.

use core::time::Duration;

use super::decode::trim_blank;
use crate::time::{UnixNanos, divide};

/// Returns the pause that a [`Retry-After`](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)
/// header asks for, or `None` if it asks for none that can be understood.
///
/// `value` is delay-seconds or an HTTP-date in any of its
/// [three forms](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7); `date` is the `Date` header
/// of the same response; `wall_now` is the local wall clock, if known. A date in the past is a pause
/// of zero. Negative, fractional, empty and overflowing values are ignored, and so is a date with
/// neither `date` nor `wall_now` to compare it with. The result is not capped: see
/// [`RETRY_AFTER_CAP`](super::RETRY_AFTER_CAP).
///
/// ```
/// use core::time::Duration;
/// use spandrel_core::response::retry_after;
///
/// let sent = Some("Sun, 06 Nov 1994 08:49:30 GMT");
/// let pause = retry_after("Sunday, 06-Nov-94 08:49:37 GMT", sent, None);
/// assert_eq!(pause, Some(Duration::from_secs(7)));
/// assert_eq!(retry_after("1.5", sent, None), None);
/// ```
#[must_use]
pub fn retry_after(
    value: &str,
    date: Option<&str>,
    wall_now: Option<UnixNanos>,
) -> Option<Duration> {
    let value = trim(value);
    if value.first()?.is_ascii_digit() {
        return decimal(value).map(Duration::from_secs);
    }
    let local = wall_now.map(|now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let century = local.map_or(DEFAULT_YEAR, year_of);
    let now = date
        .and_then(|text| http_date(trim(text), century))
        .or(local)?;
    let then = http_date(value, year_of(now))?;
    let seconds = then.saturating_sub(now);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Decides the century of a two-digit year when no clock does.
const DEFAULT_YEAR: i32 = 2020;

fn trim(text: &str) -> &[u8] {
    trim_blank(text.as_bytes())
}

/// All of `text` as digits.
fn decimal(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// The Gregorian year of a Unix time, to within a day around New Year: enough to pick a century.
fn year_of(unix: i64) -> i32 {
    1970 + divide(unix.clamp(0, MAX_UNIX) as u64, 31_556_952).0 as i32
}

/// The last second of the year 9999.
const MAX_UNIX: i64 = 253_402_300_799;

const WEEKDAYS: [(&[u8], &[u8]); 7] = [
    (b"Mon", b"day"),
    (b"Tue", b"sday"),
    (b"Wed", b"nesday"),
    (b"Thu", b"rsday"),
    (b"Fri", b"day"),
    (b"Sat", b"urday"),
    (b"Sun", b"day"),
];

/// A month's name, its length, and the days before it in a common year.
type Month = (&'static [u8], i32, i32);

/// Each month's name, its length, and the days before it in a common year.
const MONTHS: [Month; 12] = [
    (b"Jan", 31, 0),
    (b"Feb", 29, 31),
    (b"Mar", 31, 59),
    (b"Apr", 30, 90),
    (b"May", 31, 120),
    (b"Jun", 30, 151),
    (b"Jul", 31, 181),
    (b"Aug", 31, 212),
    (b"Sep", 30, 243),
    (b"Oct", 31, 273),
    (b"Nov", 30, 304),
    (b"Dec", 31, 334),
];

/// The Unix time of an HTTP-date: IMF-fixdate, RFC 850 or asctime. A two-digit year is the one
/// within 50 years of `near`. The day's name is checked to be one, not to fit the date.
fn http_date(text: &[u8], near: i32) -> Option<i64> {
    let mut cursor = Cursor(text);
    let rest_of_name = cursor.weekday()?;
    let date = if cursor.literal(b" ").is_some() {
        // Sun Nov  6 08:49:37 1994
        let month = cursor.month()?;
        cursor.literal(b" ")?;
        let day = match cursor.literal(b" ") {
            Some(()) => cursor.number(1)?,
            None => cursor.number(2)?,
        };
        cursor.literal(b" ")?;
        let time = cursor.time()?;
        cursor.literal(b" ")?;
        seconds(cursor.number(4)?, month, day, time)?
    } else if cursor.literal(b", ").is_some() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let day = cursor.number(2)?;
        cursor.literal(b" ")?;
        let month = cursor.month()?;
        cursor.literal(b" ")?;
        let year = cursor.number(4)?;
        cursor.literal(b" ")?;
        let time = cursor.time()?;
        cursor.literal(b" GMT")?;
        seconds(year, month, day, time)?
    } else {
        // Sunday, 06-Nov-94 08:49:37 GMT
        cursor.literal(rest_of_name)?;
        cursor.literal(b", ")?;
        let day = cursor.number(2)?;
        cursor.literal(b"-")?;
        let month = cursor.month()?;
        cursor.literal(b"-")?;
        let year = in_century(cursor.number(2)?, near);
        cursor.literal(b" ")?;
        let time = cursor.time()?;
        cursor.literal(b" GMT")?;
        seconds(year, month, day, time)?
    };
    cursor.0.is_empty().then_some(date)
}

/// The year ending in `short` that is at most 50 years after `near` and less than 50 before.
fn in_century(short: i32, near: i32) -> i32 {
    let first = near - 49;
    // All years here are between 1921 and 9999.
    let after = (short - first + 10_000).unsigned_abs();
    first + divide(after.into(), 100).1 as i32
}

/// The Unix time of a date and a time of day, if the date exists.
fn seconds(year: i32, month: &Month, day: i32, time: i32) -> Option<i64> {
    let (_, length, before) = *month;
    if year < 1 {
        return None;
    }
    let past = (year - 1) as u32;
    let leap_year = leap_days(past + 1) > leap_days(past);
    // February has the length of a leap year.
    let length = length - i32::from(length == 29 && !leap_year);
    if day < 1 || day > length {
        return None;
    }
    let leap_days = leap_days(past) as i32 + i32::from(leap_year && before > 31);
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    let days = past as i32 * 365 + leap_days + before + day - 1 - 719_162;
    Some(i64::from(days) * 86_400 + i64::from(time))
}

/// Leap days of the years from 1 to `year`, at most 9999.
fn leap_days(year: u32) -> u32 {
    let centuries = divide(year.into(), 100).0 as u32;
    year / 4 - centuries + centuries / 4
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    #[cfg_attr(target_os = "none", inline(never))]
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn number(&mut self, digits: usize) -> Option<i32> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        decimal(head).and_then(|value| i32::try_from(value).ok())
    }

    /// Takes a day's short name; what its long name adds.
    fn weekday(&mut self) -> Option<&'static [u8]> {
        let (name, rest) = WEEKDAYS.iter().find(|(name, _)| self.0.starts_with(name))?;
        self.literal(name)?;
        Some(rest)
    }

    fn month(&mut self) -> Option<&'static Month> {
        let month = MONTHS.iter().find(|month| self.0.starts_with(month.0))?;
        self.literal(month.0)?;
        Some(month)
    }

    /// `08:49:37` in seconds; a leap second is allowed.
    fn time(&mut self) -> Option<i32> {
        let hours = self.number(2)?;
        self.literal(b":")?;
        let minutes = self.number(2)?;
        self.literal(b":")?;
        let seconds = self.number(2)?;
        let valid = hours < 24 && minutes < 60 && seconds <= 60;
        valid.then_some(hours * 3600 + minutes * 60 + seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH_1994: u64 = 784_111_777;

    fn at(secs: u64) -> Option<UnixNanos> {
        Some(UnixNanos::from_secs(secs))
    }

    fn secs(value: &str) -> Option<u64> {
        retry_after(value, None, None).map(|pause| pause.as_secs())
    }

    // fault S2, spec A-049
    #[test]
    fn seconds_are_read_and_junk_is_ignored() {
        assert_eq!(secs("0"), Some(0));
        assert_eq!(secs("1"), Some(1));
        assert_eq!(secs(" 30\t"), Some(30));
        assert_eq!(secs("86400"), Some(86_400));
        assert_eq!(secs("9223372036854775808"), Some(1 << 63));
        assert_eq!(secs("0000000000000000000000007"), Some(7));
        for junk in [
            "-5",
            "-0",
            "+5",
            "1.5",
            "1e3",
            "",
            " ",
            "abc",
            "5, 7",
            "5 s",
            "0x10",
            "99999999999999999999",
            "18446744073709551616",
            "٣",
        ] {
            assert_eq!(secs(junk), None, "{junk:?}");
        }
    }

    // spec A-047
    #[test]
    fn the_three_date_forms_are_equal() {
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let pause = retry_after(form, None, at(EPOCH_1994 - 7));
            assert_eq!(pause, Some(Duration::from_secs(7)), "{form}");
            assert_eq!(
                http_date(form.as_bytes(), DEFAULT_YEAR),
                Some(EPOCH_1994 as i64)
            );
        }
    }

    // fault S3, spec A-048
    #[test]
    fn the_date_header_beats_the_local_clock_and_without_either_a_date_says_nothing() {
        let value = "Sun, 06 Nov 1994 08:49:37 GMT";
        let date = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        for wrong_clock in [None, at(0), at(EPOCH_1994), at(u64::MAX)] {
            let pause = retry_after(value, date, wrong_clock);
            assert_eq!(pause, Some(Duration::from_secs(30)));
        }
        let unusable = Some("yesterday");
        let pause = retry_after(value, unusable, at(EPOCH_1994 - 5));
        assert_eq!(pause, Some(Duration::from_secs(5)));
        assert_eq!(retry_after(value, unusable, None), None);
        assert_eq!(retry_after(value, None, None), None);
        // The past is a pause of zero.
        let past = retry_after(value, None, at(EPOCH_1994 + 1));
        assert_eq!(past, Some(Duration::ZERO));
    }

    #[test]
    fn a_two_digit_year_is_the_nearest_one() {
        assert_eq!(in_century(94, 2026), 1994);
        assert_eq!(in_century(76, 2026), 2076);
        assert_eq!(in_century(77, 2026), 1977);
        assert_eq!(in_century(26, 2026), 2026);
        assert_eq!(in_century(1, 1999), 2001);
    }

    #[test]
    fn dates_are_placed_on_the_right_day() {
        let unix = |text: &str| http_date(text.as_bytes(), DEFAULT_YEAR);
        assert_eq!(unix("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix("Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(unix("Tue, 29 Feb 2000 12:00:00 GMT"), Some(951_825_600));
        assert_eq!(unix("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
        assert_eq!(unix("Fri, 31 Dec 9999 23:59:59 GMT"), Some(MAX_UNIX));
        // Every day of 400 years follows the one before it.
        let mut expected = unix("Thu, 01 Jan 1970 00:00:00 GMT").unwrap();
        for year in 1970..2370 {
            for month in &MONTHS {
                for day in 1..=31 {
                    if let Some(date) = seconds(year, month, day, 0) {
                        assert_eq!(date, expected);
                        expected += 86_400;
                    }
                }
            }
        }
        assert_eq!(expected / 86_400, 146_097);
    }

    #[test]
    fn dates_that_do_not_exist_or_are_misspelt_are_ignored() {
        for text in [
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 1995 08:49:37 GMT",
            "Thu, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sunny, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "06 Nov 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text.as_bytes(), DEFAULT_YEAR), None, "{text}");
        }
    }

    #[test]
    fn no_prefix_of_a_date_is_a_date_and_none_panics() {
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            for end in 0..form.len() {
                assert_eq!(retry_after(&form[..end], None, at(0)), None, "{end}");
            }
        }
    }
}
