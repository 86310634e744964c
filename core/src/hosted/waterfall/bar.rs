//! The time axis and the bars on it, in half columns.

use std::string::String;
use std::vec;
use std::vec::Vec;

use super::text::{cell, round, width_of};
use super::view::SpanView;

/// The time that a trace covers, in nanoseconds.
pub(super) struct Axis {
    pub(super) start: u64,
    end: u64,
}

impl Axis {
    pub(super) fn around<'a>(spans: impl Iterator<Item = &'a SpanView<'a>>) -> Self {
        let mut axis = Self {
            start: u64::MAX,
            end: 0,
        };
        for span in spans {
            axis.start = axis.start.min(span.start);
            axis.end = axis.end.max(span.start).max(span.end);
        }
        axis.start = axis.start.min(axis.end);
        axis
    }

    pub(super) const fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What marks the round times on the axis.
pub(super) const GUIDE: char = '┊';
/// The most round times on an axis.
const MAX_MARKS: u64 = 6;

/// The columns in which bars are drawn, and the round times among them.
pub(super) struct Lane {
    columns: usize,
    marks: Vec<Mark>,
}

/// A round time on the axis.
struct Mark {
    column: usize,
    label: String,
}

impl Lane {
    pub(super) fn new(columns: usize, axis: &Axis) -> Self {
        let mut lane = Self {
            columns,
            marks: Vec::new(),
        };
        let fitting = steps().find_map(|step| lane.marks(axis, step));
        lane.marks = fitting.unwrap_or_else(|| vec![lane.mark(axis, 0)]);
        lane
    }

    /// Marks `step` apart, if they are far enough from each other to be labelled.
    fn marks(&self, axis: &Axis, step: u64) -> Option<Vec<Mark>> {
        let count = axis.length() / step;
        if count >= MAX_MARKS {
            return None;
        }
        let marks: Vec<Mark> = (0..=count).map(|n| self.mark(axis, n * step)).collect();
        let is_apart = |pair: &[Mark]| match pair {
            [left, right] => left.column + width_of(&left.label) + 2 <= right.column,
            _ => true,
        };
        marks.windows(2).all(is_apart).then_some(marks)
    }

    fn mark(&self, axis: &Axis, time: u64) -> Mark {
        Mark {
            column: self.position(axis, axis.start.saturating_add(time)) / 2,
            label: round(time),
        }
    }

    /// Where `time` lies, in half columns from the left.
    fn position(&self, axis: &Axis, time: u64) -> usize {
        let halves = 2 * self.columns as u128;
        let offset = u128::from(time.saturating_sub(axis.start).min(axis.length()));
        let position = (offset * halves).checked_div(axis.length().into());
        usize::try_from(position.unwrap_or(0)).unwrap_or(0)
    }

    /// The labels of the marks.
    pub(super) fn ticks(&self) -> String {
        let mut line = String::new();
        for mark in &self.marks {
            if mark.column + width_of(&mark.label) <= self.columns {
                line = cell(&line, mark.column) + &mark.label;
            }
        }
        line
    }

    /// The bar of a span, with its events, over the marks.
    pub(super) fn bar(&self, axis: &Axis, span: &SpanView<'_>) -> String {
        let last = (2 * self.columns).saturating_sub(1);
        let start = self.position(axis, span.start).min(last);
        let end = self.position(axis, span.end);
        // However short, a span has half a column.
        let covered = start..end.max(start + 1);
        let events: Vec<usize> = span
            .events
            .iter()
            .map(|&(_, time)| self.position(axis, time).min(last) / 2)
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
                    _ if self.marks.iter().any(|mark| mark.column == column) => GUIDE,
                    _ => ' ',
                }
            })
            .collect()
    }
}

/// The distances that marks may have, in nanoseconds: 1, 2 and 5 in every decimal place, and from
/// half a minute up what divides minutes, hours and days.
fn steps() -> impl Iterator<Item = u64> {
    const SECOND: u64 = 1_000_000_000;
    const CLOCK: [u64; 12] = [
        30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    ];
    const DAY: u64 = 86_400 * SECOND;
    let decimal = |unit: u64| {
        (0..).map_while(move |n: u32| {
            let digit = [1, 2, 5][n as usize % 3];
            10_u64
                .checked_pow(n / 3)?
                .checked_mul(digit)?
                .checked_mul(unit)
        })
    };
    decimal(1)
        .take_while(|&step| step < 30 * SECOND)
        .chain(CLOCK.map(|secs| secs * SECOND))
        .chain(decimal(DAY))
}
