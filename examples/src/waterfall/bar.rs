//! The time axis and the bars on it, in half columns.

use opentelemetry_proto::tonic::trace::v1::Span;

use super::text::{cell, duration, width_of};

/// The time that a trace covers, in nanoseconds.
pub(super) struct Axis {
    pub(super) start: u64,
    end: u64,
}

impl Axis {
    pub(super) fn around<'a>(spans: impl Iterator<Item = &'a Span>) -> Self {
        let mut axis = Self {
            start: u64::MAX,
            end: 0,
        };
        for span in spans {
            let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
            axis.start = axis.start.min(start);
            axis.end = axis.end.max(start).max(end);
        }
        axis.start = axis.start.min(axis.end);
        axis
    }

    pub(super) const fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What marks the quarters of the axis.
pub(super) const GUIDE: char = '┊';

/// The columns in which bars are drawn.
pub(super) struct Lane {
    columns: usize,
}

impl Lane {
    /// The axis is divided in quarters.
    const PARTS: usize = 4;

    pub(super) const fn new(columns: usize) -> Self {
        Self { columns }
    }

    /// Where `time` lies, in half columns from the left.
    fn position(&self, axis: &Axis, time: u64) -> usize {
        let halves = 2 * self.columns as u128;
        let offset = u128::from(time.saturating_sub(axis.start).min(axis.length()));
        let position = (offset * halves).checked_div(axis.length().into());
        usize::try_from(position.unwrap_or(0)).unwrap_or(0)
    }

    /// The column of the guide that begins quarter `part`.
    const fn guide(&self, part: usize) -> usize {
        self.columns * part / Self::PARTS
    }

    /// The times at the guides.
    pub(super) fn ticks(&self, axis: &Axis) -> String {
        let mut line = String::new();
        for part in 0..Self::PARTS {
            let time = u128::from(axis.length()) * part as u128 / Self::PARTS as u128;
            let time = match part {
                0 => "0".to_owned(),
                _ => duration(i128::try_from(time).unwrap_or(i128::MAX)),
            };
            let room = self.guide(part + 1) - self.guide(part);
            if width_of(&time) < room && axis.length() > 0 || part == 0 {
                line.push_str(&cell(&time, room));
            } else {
                line.push_str(&cell("", room));
            }
        }
        line
    }

    /// The bar of a span, with its events, over the guides.
    pub(super) fn bar(&self, axis: &Axis, span: &Span) -> String {
        let last = (2 * self.columns).saturating_sub(1);
        let start = self.position(axis, span.start_time_unix_nano).min(last);
        let end = self.position(axis, span.end_time_unix_nano);
        // However short, a span has half a column.
        let covered = start..end.max(start + 1);
        let events: Vec<usize> = span
            .events
            .iter()
            .map(|event| self.position(axis, event.time_unix_nano).min(last) / 2)
            .collect();
        (0..self.columns)
            .map(|column| {
                let left = covered.contains(&(2 * column));
                let right = covered.contains(&(2 * column + 1));
                match (left, right) {
                    _ if events.contains(&column) => '◆',
                    (true, true) => '━',
                    (true, false) => '╸',
                    (false, true) => '╺',
                    _ if (0..Self::PARTS).any(|part| self.guide(part) == column) => GUIDE,
                    _ => ' ',
                }
            })
            .collect()
    }
}
