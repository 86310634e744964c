//! Paired measurement: every contestant runs once in every round, so that a noisy minute of the
//! machine hits all of them, and ratios are taken round by round.
//!
//! A round is short (a few hundred operations), which keeps every queue below its limit: between
//! rounds, untimed, each contestant delivers what it holds. The minimum over many rounds is the
//! cost without disturbance; the median of the ratios compares under equal conditions. This is
//! why the harness is not criterion or divan, which run one contestant after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use spandrel_alloc_counter::{Allocations, measure};

/// One contestant of a case.
pub struct Entry {
    /// Who.
    pub subject: &'static str,
    /// Performs the operation so many times; returns how many nanoseconds that took.
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
        Self::timed(subject, move |n| {
            let start = Instant::now();
            for _ in 0..n {
                op();
            }
            start.elapsed().as_nanos() as u64
        })
    }

    /// Operations that are timed by themselves.
    pub fn timed(subject: &'static str, run: impl FnMut(u32) -> u64 + 'static) -> Self {
        Self {
            subject,
            run: Box::new(run),
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
    /// Or what it panicked with.
    pub figures: Result<Figures, String>,
}

/// The figures of one contestant.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
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

/// Rounds before those that are measured.
const WARM_UP: usize = 3;

impl Case {
    /// Measures all contestants in turns. One that panics is out from there on, and the others go
    /// on.
    pub fn measure(&mut self, rounds: usize) -> Vec<Measured> {
        let count = self.entries.len();
        let mut times = vec![Vec::with_capacity(rounds); count];
        let mut failed: Vec<Option<String>> = vec![None; count];
        for round in 0..WARM_UP + rounds {
            for at in order(round, count) {
                if failed[at].is_none() {
                    let entry = &mut self.entries[at];
                    let ops = entry.ops.unwrap_or(self.ops);
                    let nanos = attempt(|| {
                        let nanos = (entry.run)(ops);
                        (entry.settle)();
                        nanos
                    });
                    match nanos {
                        Ok(nanos) if round >= WARM_UP => {
                            times[at].push(nanos as f64 / f64::from(ops));
                        }
                        Ok(_) => {}
                        Err(error) => failed[at] = Some(error),
                    }
                }
            }
        }
        let first = times.first().cloned().unwrap_or_default();
        let entries = self.entries.iter_mut().zip(&times).zip(failed);
        entries
            .map(|((entry, times), failed)| Measured {
                subject: entry.subject,
                figures: match failed {
                    Some(error) => Err(error),
                    None => {
                        let ops = entry.ops.unwrap_or(self.ops);
                        attempt(|| figures(entry, ops, times, &first))
                    }
                },
            })
            .collect()
    }
}

fn figures(entry: &mut Entry, ops: u32, times: &[f64], first: &[f64]) -> Figures {
    let Allocations { count, bytes } = measure(|| {
        (entry.run)(ops);
    });
    (entry.settle)();
    // The warm-up, the rounds, and the one above.
    let made = u64::from(ops) * (WARM_UP + times.len() + 1) as u64;
    let lost = entry.delivered.as_mut().map(|(spans, delivered)| {
        let made = made * *spans;
        (made.saturating_sub(delivered()), made)
    });
    Figures {
        min: times.iter().copied().fold(f64::INFINITY, f64::min),
        median: median(times.to_vec()),
        ratio: median(times.iter().zip(first).map(|(a, b)| a / b).collect()),
        allocs: count as f64 / f64::from(ops),
        bytes: bytes as f64 / f64::from(ops),
        lost,
    }
}

/// The turns of a round. Who begins changes, and every other round runs backwards, so that nobody
/// always comes after the same neighbour, whose caches and threads it would inherit.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| {
        let turn = if round.is_multiple_of(2) {
            turn
        } else {
            count - 1 - turn
        };
        (round / 2 + turn) % count
    })
}

/// The result, or what a panic said.
///
/// # Errors
///
/// The message of the panic.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").into()
    })
}

/// The middle value.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    #[test]
    fn everyone_has_one_turn_in_each_round_and_begins_as_often_as_the_others() {
        let mut firsts = vec![0; 5];
        for round in 0..20 {
            let turns: Vec<_> = order(round, 5).collect();
            assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 5);
            firsts[turns[0]] += 1;
        }
        assert_eq!(firsts, [4; 5]);
    }

    #[test]
    fn one_that_panics_is_reported_and_the_others_are_measured() {
        let turns = Rc::new(Cell::new(0));
        let counter = Rc::clone(&turns);
        let mut case = Case {
            ops: 1,
            entries: vec![
                Entry::timed("good", |_| 10),
                Entry::timed("bad", move |_| {
                    counter.set(counter.get() + 1);
                    assert!(counter.get() < 6, "had enough");
                    20
                }),
                Entry::timed("slow", |_| 30),
            ],
        };
        let measured = case.measure(8);
        let figures = |at: usize| measured[at].figures.clone();
        assert_eq!(figures(0).expect("figures").ratio, 1.0);
        assert_eq!(figures(1).expect_err("a panic"), "had enough");
        assert_eq!(figures(2).expect("figures").ratio, 3.0);
        assert_eq!(turns.get(), 6, "it is not asked again");
    }

    #[test]
    fn losses_are_counted_against_everything_that_was_made() {
        let entry = Entry::timed("leaky", |_| 1).delivers(2, || 90);
        let mut case = Case {
            ops: 10,
            entries: vec![entry],
        };
        // 3 rounds of warm-up, 4 that count, 1 for allocations; 10 operations of 2 spans each.
        let lost = case.measure(4)[0].figures.clone().expect("figures").lost;
        assert_eq!(lost, Some((70, 160)));
    }
}
