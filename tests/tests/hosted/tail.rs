//! The decision about finished traces: the machine beside a naive model, and in a pipeline.

use std::collections::VecDeque;
use std::time::Duration;

use spandrel_core::hosted::config::Keep;
use spandrel_core::time::Instant;
use spandrel_tests::models::Draws;
use spandrel_tests::models::tail::{TailRun, TailSpan};

/// As many as a release build runs through in a few seconds.
const TRACES: u64 = if cfg!(debug_assertions) {
    60_000
} else {
    1_000_000
};
/// The traces whose spans come mixed.
const AT_A_TIME: usize = 40;

/// The spans of a trace in the order of their ends, some out of order and some after the root.
fn trace(number: u64, draws: &mut Draws) -> VecDeque<TailSpan> {
    let children = draws.below(7);
    let is_failed = draws.below(20) == 0;
    let span = |id: u64, parent, millis, is_error| TailSpan {
        trace: number,
        id,
        parent,
        is_error,
        millis,
    };
    let mut spans: Vec<TailSpan> = (0..children)
        .map(|n| span(n + 2, 1 + draws.below(n + 1), 1 + draws.below(50), false))
        .collect();
    spans.reverse();
    if let Some(last) = spans.last_mut() {
        last.is_error = is_failed;
    }
    let remote = 99 * draws.below(2);
    spans.push(span(
        1,
        remote,
        1 + draws.below(120),
        is_failed && children == 0,
    ));
    if draws.below(4) == 0 {
        let (a, b) = (
            draws.below(spans.len() as u64),
            draws.below(spans.len() as u64),
        );
        spans.swap(a as usize, b as usize);
    }
    spans.into()
}

/// Runs many traces through a machine that keeps as `keep` says. Returns how many were kept.
fn run(keep: Keep, seed: u64, exactly: bool) -> (TailRun, u64) {
    let mut draws = Draws::new(seed);
    let mut run = TailRun::new(keep);
    let mut open: Vec<VecDeque<TailSpan>> = Vec::new();
    let (mut next, mut retired, mut kept, mut steps) = (0, 0, 0, 0_u64);
    run.begin_pass();
    while next < TRACES || !open.is_empty() {
        while open.len() < AT_A_TIME && next < TRACES {
            open.push(trace(next, &mut draws));
            next += 1;
        }
        let which = draws.below(open.len() as u64) as usize;
        let now = Instant::from_millis(steps);
        if let Some(&span) = open[which].front() {
            if run.push(span, now) {
                open[which].pop_front();
            } else {
                run.take(20);
            }
        }
        if open[which].is_empty() {
            open.swap_remove(which);
        }
        steps += 1;
        if steps.is_multiple_of(64) {
            run.end_pass(draws.below(4) != 0);
            run.begin_pass();
            run.take(50);
        }
        if steps.is_multiple_of(1 << 14) {
            run.check();
            // What began long ago has come whole, but for what is open.
            let oldest = open
                .iter()
                .filter_map(|spans| Some(spans.front()?.trace))
                .min();
            for _ in 0..2 {
                run.end_pass(true);
                run.begin_pass();
            }
            run.take(usize::MAX);
            let until = oldest.unwrap_or(next);
            if run.tail.has_due() {
                continue;
            }
            kept += run.retire(retired..until, exactly);
            retired = until;
        }
    }
    run.end_pass(true);
    run.begin_pass();
    run.end_pass(true);
    run.finish();
    run.take(usize::MAX);
    run.check_end(exactly);
    kept += run.retire(retired..next, exactly);
    (run, kept)
}

#[test]
fn every_kept_trace_is_whole_and_those_are_kept_that_should() {
    let keep = Keep {
        slower_than: Some(Duration::from_millis(110)),
        share: 0.1,
        max_bytes: usize::MAX,
        max_trace_spans: usize::MAX,
        ..Keep::default()
    };
    let (run, kept) = run(keep, 1, true);
    let share = kept as f64 / TRACES as f64;
    // One in ten, one in twenty of the rest, and one in twelve of that.
    assert!((0.18..0.26).contains(&share), "{share}");
    assert_eq!(run.tail.counts().early, 0);
}

#[test]
fn every_kept_trace_is_whole_in_too_little_memory() {
    let keep = Keep {
        share: 0.5,
        max_bytes: 8 << 10,
        max_trace_spans: 4,
        ..Keep::default()
    };
    let (run, kept) = run(keep, 2, false);
    assert!(kept > TRACES / 4, "{kept}");
    assert!(
        run.tail.counts().early > TRACES / 20,
        "{:?}",
        run.tail.counts()
    );
}
