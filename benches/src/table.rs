//! Markdown, and the lines from which the chart is drawn.

use std::fmt::Write as _;

use crate::harness::{Figures, Measured};

/// A number with as many digits as are worth reading.
#[must_use]
pub fn digits(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".into(),
        v if v >= 100.0 => thousands(v.round() as u64),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// A whole number with separators.
#[must_use]
pub fn thousands(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The table head of [`rows`].
pub const HEAD: &str = "| operation | who | ns, fastest | ns, median | x ours | ns cold, median | x ours, cold \
                        | allocs | bytes | lost |\n\
                        |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";

/// The lines of one case.
#[must_use]
pub fn rows(name: &str, measured: &[Measured]) -> String {
    let mut text = String::new();
    for (at, m) in measured.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        let _ = match &m.figures {
            Ok(figures) => writeln!(text, "| {name} | {} | {} |", m.subject, cells_of(figures)),
            Err(error) => writeln!(
                text,
                "| {name} | {} | failed: {} |{}",
                m.subject,
                one_line(error),
                " - |".repeat(7)
            ),
        };
    }
    text
}

fn cells_of(figures: &Figures) -> String {
    let lost = match figures.lost {
        Some((0, _)) => "0".into(),
        Some((lost, made)) => format!("{:.1} %", lost as f64 * 100.0 / made as f64),
        None => "-".into(),
    };
    let (cold, cold_ratio) = match figures.cold {
        Some((median, ratio)) => (digits(median), digits(ratio)),
        None => ("-".into(), "-".into()),
    };
    format!(
        "{} | {} | {} | {cold} | {cold_ratio} | {} | {} | {lost}",
        digits(figures.min),
        digits(figures.median),
        digits(figures.ratio),
        round(figures.allocs),
        round(figures.bytes),
    )
}

/// Text that fits into a cell.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.replace(['|', '\n'], " ")
}

/// Two places at most.
#[must_use]
pub fn round(value: f64) -> String {
    if value < 0.005 {
        "0".into()
    } else {
        format!("{value:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .into()
    }
}
