//! Words and numbers in a given number of terminal columns.

use core::fmt::Write;
use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The most columns of one attribute's value.
const MAX_VALUE: usize = 32;
/// The most lines of one span's attributes, and of its message.
const MAX_LINES: usize = 3;

/// The columns that `text` takes in a terminal.
pub(super) fn width_of(text: &str) -> usize {
    text.width()
}

/// `text` with a visible stand-in for every control character.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect()
}

/// `text`, or as much of its beginning as fits into `columns` with an ellipsis.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width_of(text) <= columns {
        return text.to_owned();
    }
    let mut cut: String = within(text.chars(), columns.saturating_sub(1)).collect();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// `text`, or as much of its end as fits into `columns` with an ellipsis.
pub(super) fn fit_end(text: &str, columns: usize) -> String {
    if width_of(text) <= columns {
        return text.to_owned();
    }
    let tail: Vec<char> = within(text.chars().rev(), columns.saturating_sub(1)).collect();
    std::iter::once('…')
        .chain(tail.into_iter().rev())
        .take(columns)
        .collect()
}

fn within(chars: impl Iterator<Item = char>, columns: usize) -> impl Iterator<Item = char> {
    let mut left = columns;
    chars.map_while(move |c| {
        left = left.checked_sub(c.width().unwrap_or(0))?;
        Some(c)
    })
}

/// `text` filled up with blanks to `columns`.
pub(super) fn cell(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width_of(text));
    format!("{text}{:blanks$}", "")
}

/// `text` with blanks before it, up to `columns`.
pub(super) fn right(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width_of(text));
    format!("{:blanks$}{text}", "")
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `text` on lines of at most `columns`, broken between words.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width_of(line) + 1 + width_of(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, columns)),
        }
    }
    lines
}

/// [`wrap`] on at most [`MAX_LINES`] lines, the last of which ends in an ellipsis if there is more.
/// Nothing if there is no text.
pub(super) fn paragraph(text: &str, columns: usize) -> Vec<String> {
    let mut lines = match text {
        "" => Vec::new(),
        text => wrap(text, columns),
    };
    let rest = lines.split_off(lines.len().min(MAX_LINES)).join(" ");
    if let Some(last) = lines.last_mut().filter(|_| !rest.is_empty()) {
        *last = fit(&format!("{last} {rest}"), columns);
    }
    lines
}

/// `text` in ASCII, in as many columns: the characters of a drawing become similar ones, all
/// others question marks.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(match c {
            '\0'..='\x7f' => c,
            '━' => '=',
            '╸' | '╺' | '·' | '─' => '-',
            '┊' => ':',
            '│' | '├' => '|',
            '└' => '`',
            '╌' => '?',
            '✓' => '+',
            '✗' => 'x',
            '•' => 'o',
            '◆' => '*',
            '…' => '~',
            'µ' => 'u',
            _ => {
                out.extend(std::iter::repeat_n('?', c.width().unwrap_or(0)));
                continue;
            }
        });
    }
    out
}

/// Nanoseconds with three digits and a unit: `850 ns`, `1.20 s`, `2m05s`.
pub(super) fn duration(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (unit, name) = match nanos {
        0 => return "0".into(),
        1..1_000 => return format!("{sign}{nanos} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => (1_000_000_000, "s"),
        _ => {
            let secs = nanos / 1_000_000_000;
            return match secs / 3600 {
                0 => format!("{sign}{}m{:02}s", secs / 60, secs % 60),
                hours @ 1..1_000 => format!("{sign}{hours}h{:02}m", secs / 60 % 60),
                hours => format!("{sign}{}d", hours / 24),
            };
        }
    };
    // Cut, not rounded: 999.9 ms must not become 1000 ms.
    let (whole, part) = (nanos / unit, nanos % unit * 100 / unit);
    match whole {
        100.. => format!("{sign}{whole} {name}"),
        10..100 => format!("{sign}{whole}.{} {name}", part / 10),
        _ => format!("{sign}{whole}.{part:02} {name}"),
    }
}

/// A round number of nanoseconds, without zeros at the end: `0`, `500 ms`, `1.5 s`, `1m30s`, `2h`.
pub(super) fn round(nanos: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    if nanos < 60_000_000_000 {
        let unit = UNITS.into_iter().find(|&(unit, _)| nanos >= unit);
        return match unit {
            None if nanos == 0 => "0".into(),
            None => format!("{nanos} ns"),
            Some((unit, name)) => {
                let digits = unit.ilog10() as usize;
                let part = format!("{:0digits$}", nanos % unit);
                let number = format!("{}.{part}", nanos / unit);
                let number = number.trim_end_matches('0').trim_end_matches('.');
                format!("{number} {name}")
            }
        };
    }
    let secs = nanos / 1_000_000_000;
    let (days, hours) = (secs / 86_400, secs / 3_600 % 24);
    let parts = match (days, hours, secs / 60 % 60, secs % 60) {
        (0, 0, minutes, secs) => [(minutes, "m"), (secs, "s")],
        (0, hours, minutes, _) => [(hours, "h"), (minutes, "m")],
        (days, hours, ..) => [(days, "d"), (hours, "h")],
    };
    match parts {
        [(first, unit), (0, _)] => format!("{first}{unit}"),
        [(first, unit), (second, small)] => format!("{first}{unit}{second:02}{small}"),
    }
}

/// `key=value` pairs on at most [`MAX_LINES`] lines, and how many there are more.
pub(super) fn attributes(attributes: &[(&str, String)], columns: usize) -> Vec<String> {
    let pairs = attributes.iter().map(|(key, value)| {
        let value = match fit(&clean(value), MAX_VALUE) {
            empty if empty.is_empty() => "\"\"".to_owned(),
            value => value,
        };
        format!("{}={value}", clean(key))
    });
    let mut left: Vec<String> = pairs.collect();
    let mut lines = Vec::new();
    while lines.len() + 1 < MAX_LINES && !left.is_empty() {
        let mut used = 0;
        let fits = |pair: &&String| -> bool {
            used += width_of(pair) + 2;
            used <= columns + 2
        };
        let count = left.iter().take_while(fits).count().max(1);
        let line = left.drain(..count);
        lines.push(joined(line, columns));
    }
    if !left.is_empty() {
        lines.push(joined(left.into_iter(), columns));
    }
    lines
}

/// `parts` on one line, as many as fit into `columns`, and how many there are more.
pub(super) fn joined(parts: impl Iterator<Item = String>, columns: usize) -> String {
    let parts: Vec<String> = parts.collect();
    let mut line = String::new();
    for (shown, part) in parts.iter().enumerate() {
        let left = parts.len() - shown - 1;
        // Room for the rest's number, unless this is the last.
        let reserve = if left == 0 { 0 } else { "  +999".len() };
        let gap = if line.is_empty() { "" } else { "  " };
        if width_of(&line) + gap.len() + width_of(part) + reserve > columns {
            if shown == 0 {
                return fit(part, columns);
            }
            let _ = write!(line, "  +{}", left + 1);
            return line;
        }
        line.push_str(gap);
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (nanos, expected) in [
            (0, "0"),
            (1, "1 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_999_999, "999 ms"),
            (1_204_000_000, "1.20 s"),
            (59_999_999_999, "59.9 s"),
            (125_000_000_000, "2m05s"),
            (3_725_000_000_000, "1h02m"),
            (i128::from(u64::MAX), "213503d"),
            (-5_000_000, "-5.00 ms"),
        ] {
            assert_eq!(duration(nanos), expected);
        }
    }

    #[test]
    fn round_numbers_have_no_needless_digits() {
        const SECOND: u64 = 1_000_000_000;
        for (nanos, expected) in [
            (0, "0"),
            (500, "500 ns"),
            (20_000, "20 µs"),
            (1_500, "1.5 µs"),
            (500_000_000, "500 ms"),
            (SECOND, "1 s"),
            (1_200_000_000, "1.2 s"),
            (10 * SECOND, "10 s"),
            (60 * SECOND, "1m"),
            (90 * SECOND, "1m30s"),
            (5_400 * SECOND, "1h30m"),
            (7_200 * SECOND, "2h"),
            (129_600 * SECOND, "1d12h"),
            (100 * 86_400 * SECOND, "100d"),
        ] {
            assert_eq!(round(nanos), expected);
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 20), ["one two three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("three", 4), ["thr…"]);
    }

    #[test]
    fn a_paragraph_has_three_lines_at_most() {
        assert!(paragraph("", 9).is_empty());
        assert_eq!(paragraph("one two three", 7), ["one two", "three"]);
        let long = paragraph("one two three four five six", 5);
        assert_eq!(long, ["one", "two", "thre…"]);
        let long = paragraph("one two three four five six", 9);
        assert_eq!(long, ["one two", "three", "four fiv…"]);
        assert_eq!(paragraph("a b c d e f g", 3), ["a b", "c d", "e …"]);
    }

    #[test]
    fn ascii_takes_as_many_columns() {
        for (text, expected) in [
            ("└─✗ a… 1.2 µs", "`-x a~ 1.2 us"),
            ("日本 é", "???? ?"),
            ("e\u{301}", "e"),
        ] {
            assert_eq!(ascii(text), expected);
            assert_eq!(width_of(text), expected.len());
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_characters() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("ab", 0), "");
        assert_eq!(fit_end("│ │ └─", 4), "… └─");
        assert_eq!(cell("日", 4), "日  ");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let parts = || ["aaaa", "bbbb", "cccc"].map(String::from).into_iter();
        assert_eq!(joined(parts(), 16), "aaaa  bbbb  cccc");
        assert_eq!(joined(parts(), 15), "aaaa  +2");
        assert_eq!(joined(parts(), 3), "aa…");
        assert_eq!(joined(parts().take(0), 3), "");
    }
}
