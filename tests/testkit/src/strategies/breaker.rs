//! For the [model of the circuit breaker](crate::models::breaker).

use core::time::Duration;

use proptest::prelude::*;
use spandrel_core::breaker::{BreakerConfig, OpenInterval, Verdict};

use super::backoff::draws;
use crate::models::breaker::Op;

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        2 => Just(Verdict::Success),
        4 => Just(Verdict::Failure),
        1 => Just(Verdict::Cancelled),
    ]
}

/// Operations, weighted towards attempts.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let millis = || prop_oneof![8 => 0..40_000_u64, 1 => any::<u64>()];
    let report =
        (any::<usize>(), verdicts(), draws()).prop_map(|(which, verdict, draw)| Op::Report {
            which,
            verdict,
            draw,
        });
    let op = prop_oneof![
        4 => draws().prop_map(|draw| Op::Acquire { draw }),
        1 => draws().prop_map(|draw| Op::Force { draw }),
        4 => report,
        1 => any::<usize>().prop_map(|which| Op::Lose { which }),
        6 => verdicts().prop_map(|verdict| Op::Attempt { verdict }),
        1 => Just(Op::Timeout),
        3 => millis().prop_map(Op::Forward),
        2 => Just(Op::Sleep),
        1 => millis().prop_map(Op::Back),
        1 => millis().prop_map(Op::Hold),
        1 => millis().prop_map(Op::Trip),
        1 => Just(Op::Reset),
    ];
    prop::collection::vec(op, 0..80)
}

/// Valid settings, small thresholds preferred.
pub fn configs() -> impl Strategy<Value = BreakerConfig> {
    let millis = || (1..60_000_u64).prop_map(Duration::from_millis);
    let open = prop_oneof![
        millis().prop_map(OpenInterval::Fixed),
        (millis(), 1..40_u32).prop_map(|(initial, times)| OpenInterval::Growing {
            initial,
            cap: initial * times,
        }),
        (millis(), 1..40_u32).prop_map(|(initial, times)| OpenInterval::Prompt {
            initial,
            cap: initial * times,
            filling_cap: initial,
        }),
    ];
    (1..6_u32, open, millis(), 0..=100_u8).prop_map(
        |(failure_threshold, open, probe_lease, jitter_percent)| BreakerConfig {
            failure_threshold,
            open,
            probe_lease,
            jitter_percent,
        },
    )
}
