//! Paired measurement: every contestant runs once in every round, so that a noisy minute of the
//! machine hits all of them, and ratios are taken round by round.
//!
//! A round is short (a few hundred operations), which keeps every queue below its limit: between
//! rounds, untimed, each contestant delivers what it holds. The minimum over many rounds is the
//! cost without disturbance; the median of the ratios compares under equal conditions.

use std::time::Instant;

use crate::alloc::{self, Allocations};

/// One contestant of a case.
pub struct Entry {
    /// Who.
    pub subject: &'static str,
    /// Performs the operation so many times; returns how long that took.
    pub run: Box<dyn FnMut(u32) -> u64>,
    /// Makes room for the next round.
    pub settle: Box<dyn FnMut()>,
    /// Overrides the operations of a round.
    pub ops: Option<u32>,
    /// Spans that one operation makes, and how many reached the exporter so far.
    pub delivered: Option<(u64, Box<dyn FnMut() -> u64>)>,
}

impl Entry {
    /// An operation on this thread.
    pub fn new(subject: &'static str, mut op: impl FnMut() + 'static) -> Self {
        Self {
            subject,
            run: Box::new(move |n| {
                let start = Instant::now();
                for _ in 0..n {
                    op();
                }
                start.elapsed().as_nanos() as u64
            }),
            settle: Box::new(|| ()),
            ops: None,
            delivered: None,
        }
    }

    /// What to do between rounds.
    #[must_use]
    pub fn settle(mut self, settle: impl FnMut() + 'static) -> Self {
        self.settle = Box::new(settle);
        self
    }

    /// Each operation makes `spans`; `delivered` tells how many have arrived.
    #[must_use]
    pub fn delivers(mut self, spans: u64, delivered: impl FnMut() -> u64 + 'static) -> Self {
        self.delivered = Some((spans, Box::new(delivered)));
        self
    }

    /// Cheap operations need more of them for the clock to see.
    #[must_use]
    pub fn ops(mut self, ops: u32) -> Self {
        self.ops = Some(ops);
        self
    }
}

/// A case: the same work for several contestants, ours first.
pub struct Case {
    /// A line of the table.
    pub name: &'static str,
    /// Operations of a round.
    pub ops: u32,
    /// Ours first.
    pub entries: Vec<Entry>,
}

/// What was measured for one contestant.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Who.
    pub subject: &'static str,
    /// Nanoseconds of an operation: the fastest round.
    pub min: f64,
    /// The median round.
    pub median: f64,
    /// The median over rounds of this one's time divided by the first one's.
    pub ratio: f64,
    /// Per operation, on the calling thread.
    pub allocs: f64,
    /// Per operation, on the calling thread.
    pub bytes: f64,
    /// Spans that were made and did not arrive, of those made, where that can be told.
    pub lost: Option<(u64, u64)>,
}

impl Case {
    /// Measures all contestants in turns.
    pub fn measure(&mut self, rounds: usize) -> Vec<Measured> {
        let count = self.entries.len();
        let mut times = vec![Vec::with_capacity(rounds); count];
        for entry in &mut self.entries {
            for _ in 0..3 {
                (entry.run)(entry.ops.unwrap_or(self.ops));
                (entry.settle)();
            }
        }
        let ops_of = |entry: &Entry| u64::from(entry.ops.unwrap_or(self.ops));
        let made: Vec<_> = self
            .entries
            .iter()
            .map(|e| ops_of(e) * (rounds as u64 + 4))
            .collect();
        for round in 0..rounds {
            for turn in 0..count {
                let at = (round + turn) % count;
                let entry = &mut self.entries[at];
                let ops = entry.ops.unwrap_or(self.ops);
                let nanos = (entry.run)(ops);
                (entry.settle)();
                times[at].push(nanos as f64 / f64::from(ops));
            }
        }
        let first = times[0].clone();
        let mut measured = Vec::new();
        for ((entry, times), made) in self.entries.iter_mut().zip(&times).zip(made) {
            let ops = entry.ops.unwrap_or(self.ops);
            let Allocations { calls, bytes } = alloc::measure(|| {
                (entry.run)(ops);
            });
            (entry.settle)();
            let ratios = times.iter().zip(&first).map(|(a, b)| a / b).collect();
            let lost = entry.delivered.as_mut().map(|(spans, delivered)| {
                let made = made * *spans;
                (made.saturating_sub(delivered()), made)
            });
            measured.push(Measured {
                subject: entry.subject,
                min: times.iter().copied().fold(f64::INFINITY, f64::min),
                median: median(times.clone()),
                ratio: median(ratios),
                allocs: calls as f64 / f64::from(ops),
                bytes: bytes as f64 / f64::from(ops),
                lost,
            });
        }
        measured
    }
}

/// The middle value.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
