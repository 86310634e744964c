//! Paired measurement: every contestant runs once in every round, so that a noisy minute of the
//! machine hits all of them, and ratios are taken round by round.
//!
//! A turn is short (a thousand operations at a time), which keeps every queue below its limit:
//! between them, untimed, each contestant delivers what it holds. The minimum over many rounds is
//! the cost without disturbance; the median of the ratios compares under equal conditions. This is
//! why the harness is not criterion or divan, which run one contestant after the other.
//!
//! What those two tell is the cost of an operation among thousands of its kind. In turns, each
//! contestant finds caches and predictors full of the others, as in a service that has other work
//! to do. Both are measured where a case asks for it:
//!
//! ```text
//! others' turns │ cold  │ the rest  │ settle │ before    │ warm  │ settle │ others' turns
//!               │ timed │ not timed │        │ not timed │ timed │        │
//!               └ so many operations┘        └ so many again ────┘
//! ```
//!
//! What is not timed brings all that the contestant touches back into the caches, its queue's memory
//! too, and lets its threads come to rest after settling.

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
    /// Operations so far.
    done: u64,
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
            done: 0,
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

    /// Nanoseconds of `ops` operations together.
    fn time(&mut self, ops: u32) -> u64 {
        self.done += u64::from(ops);
        (self.run)(ops)
    }

    fn turn(&mut self, ops: u32, parts: Option<Parts>) -> Turn {
        let Some(Parts { cold, warm }) = parts else {
            let warm = self.time_each(ops);
            (self.settle)();
            return Turn { warm, cold: None };
        };
        let cold_time = self.time_each(cold);
        self.time(ops - cold);
        (self.settle)();
        self.time(ops - warm);
        let warm = self.time_each(warm);
        (self.settle)();
        Turn {
            warm,
            cold: Some(cold_time),
        }
    }

    fn time_each(&mut self, ops: u32) -> f64 {
        self.time(ops) as f64 / f64::from(ops)
    }
}

/// Nanoseconds of one operation in one round.
#[derive(Clone, Copy, Debug)]
struct Turn {
    warm: f64,
    cold: Option<f64>,
}

/// What is timed of a turn of two times as many operations as a case has.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// At the beginning of the first time.
    pub cold: u32,
    /// At the end of the second.
    pub warm: u32,
}

/// A case: the same work for several contestants, ours first.
pub struct Case {
    /// Operations at a time.
    pub ops: u32,
    /// Without, all of them are timed, once in a turn.
    pub parts: Option<Parts>,
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
    /// Where it was asked for: the median round of what is timed as cold, and the median ratio.
    pub cold: Option<(f64, f64)>,
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
    /// A case of which everything is timed.
    #[must_use]
    pub fn new(ops: u32, entries: Vec<Entry>) -> Self {
        Self {
            ops,
            parts: None,
            entries,
        }
    }

    /// Measures all contestants in turns. One that panics is out from there on, and the others go
    /// on.
    pub fn measure(&mut self, rounds: usize) -> Vec<Measured> {
        let count = self.entries.len();
        let mut turns = vec![Vec::with_capacity(rounds); count];
        let mut failed: Vec<Option<String>> = vec![None; count];
        for round in 0..WARM_UP + rounds {
            for at in order(round, count) {
                if failed[at].is_none() {
                    let entry = &mut self.entries[at];
                    let ops = entry.ops.unwrap_or(self.ops);
                    match attempt(|| entry.turn(ops, self.parts)) {
                        Ok(turn) if round >= WARM_UP => turns[at].push(turn),
                        Ok(_) => {}
                        Err(error) => failed[at] = Some(error),
                    }
                }
            }
        }
        let first = turns.first().cloned().unwrap_or_default();
        let entries = self.entries.iter_mut().zip(&turns).zip(failed);
        entries
            .map(|((entry, turns), failed)| Measured {
                subject: entry.subject,
                figures: match failed {
                    Some(error) => Err(error),
                    None => {
                        let ops = entry.ops.unwrap_or(self.ops);
                        attempt(|| figures(entry, ops, turns, &first))
                    }
                },
            })
            .collect()
    }
}

fn figures(entry: &mut Entry, ops: u32, turns: &[Turn], first: &[Turn]) -> Figures {
    let Allocations { count, bytes, .. } = measure(|| {
        entry.time(ops);
    });
    (entry.settle)();
    let made = entry.done;
    let lost = entry.delivered.as_mut().map(|(spans, delivered)| {
        let made = made * *spans;
        (made.saturating_sub(delivered()), made)
    });
    let warm = |turn: &Turn| Some(turn.warm);
    let cold = |turn: &Turn| turn.cold;
    let warm_times = turns.iter().filter_map(warm);
    Figures {
        min: warm_times.fold(f64::INFINITY, f64::min),
        median: median(turns.iter().filter_map(warm).collect()),
        ratio: ratio(turns, first, warm),
        cold: turns.iter().any(|turn| turn.cold.is_some()).then(|| {
            let times = turns.iter().filter_map(cold).collect();
            (median(times), ratio(turns, first, cold))
        }),
        allocs: count as f64 / f64::from(ops),
        bytes: bytes as f64 / f64::from(ops),
        lost,
    }
}

/// The median of the ratios round by round.
fn ratio(turns: &[Turn], first: &[Turn], of: impl Fn(&Turn) -> Option<f64>) -> f64 {
    let pairs = turns.iter().zip(first);
    median(pairs.filter_map(|(a, b)| Some(of(a)? / of(b)?)).collect())
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
    use std::cell::{Cell, RefCell};
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
        let mut case = Case::new(
            1,
            vec![
                Entry::timed("good", |_| 10),
                Entry::timed("bad", move |_| {
                    counter.set(counter.get() + 1);
                    assert!(counter.get() < 6, "had enough");
                    20
                }),
                Entry::timed("slow", |_| 30),
            ],
        );
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
        let mut case = Case::new(10, vec![entry]);
        // 3 rounds of warm-up, 4 that count, 1 for allocations; 10 operations of 2 spans each.
        let lost = case.measure(4)[0].figures.clone().expect("figures").lost;
        assert_eq!(lost, Some((70, 160)));
    }

    #[test]
    fn a_turn_begins_cold_and_goes_on_warm() {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let entry = |subject, cold: u64, warm: u64| {
            let (runs, settles) = (Rc::clone(&steps), Rc::clone(&steps));
            let run = move |n: u32| {
                runs.borrow_mut().push(n);
                u64::from(n) * if n == 10 { cold } else { warm }
            };
            Entry::timed(subject, run).settle(move || settles.borrow_mut().push(0))
        };
        let mut case = Case::new(100, vec![entry("first", 4, 2), entry("second", 20, 6)]);
        case.parts = Some(Parts { cold: 10, warm: 60 });
        let measured = case.measure(5);
        let turn = [10, 90, 0, 40, 60, 0];
        assert_eq!(steps.borrow()[..12], [turn, turn].concat());
        let figures = measured[1].figures.clone().expect("figures");
        assert_eq!(
            (figures.min, figures.median, figures.ratio),
            (6.0, 6.0, 3.0)
        );
        assert_eq!(figures.cold, Some((20.0, 5.0)));
    }

    #[test]
    fn everything_that_was_made_counts_cold_or_not() {
        let entry = Entry::timed("leaky", |_| 1).delivers(1, || 1000);
        let mut case = Case::new(100, vec![entry]);
        case.parts = Some(Parts { cold: 10, warm: 50 });
        // 3 rounds of warm-up and 4 that count, twice 100 each, and 100 for allocations.
        let lost = case.measure(4)[0].figures.clone().expect("figures").lost;
        assert_eq!(lost, Some((500, 1500)));
    }
}
