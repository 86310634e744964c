//! For the [model of the backoff](crate::models::backoff).

use core::time::Duration;

use proptest::prelude::*;
use spandrel_core::backoff::{BackoffConfig, Jitter};

use crate::models::backoff::Op;

/// Draws, the extremes among them.
pub fn draws() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]
}

/// Operations, weighted towards failing attempts.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        1 => Just(Op::Start),
        6 => draws().prop_map(|draw| Op::Next { draw }),
        1 => (0..600_000_u64, draws()).prop_map(|(millis, draw)| Op::Pause { millis, draw }),
        1 => (0..20_000_u64).prop_map(Op::Exclude),
        3 => (0..5_000_u64).prop_map(Op::Forward),
        1 => (0..5_000_u64).prop_map(Op::Back),
        1 => Just(Op::Reset),
    ];
    prop::collection::vec(op, 0..60)
}

/// Settings, sensible and absurd; the machine clamps the absurd ones.
pub fn configs() -> impl Strategy<Value = BackoffConfig> {
    let duration = || {
        prop_oneof![
            Just(Duration::ZERO),
            (0..5_000_u64).prop_map(Duration::from_millis),
            (0..u64::MAX / 2).prop_map(Duration::from_nanos),
        ]
    };
    let multiplier = prop_oneof![Just(1000), 1000..4000_u32, any::<u32>()];
    let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Equal), Just(Jitter::Full)];
    let retries = prop_oneof![0..10_u32, any::<u32>()];
    let durations = (duration(), duration(), duration(), duration());
    (durations, multiplier, jitter, retries).prop_map(
        |((initial, cap, max_elapsed, floor), multiplier_permille, jitter, max_retries)| {
            BackoffConfig {
                initial,
                multiplier_permille,
                cap,
                max_retries,
                max_elapsed,
                floor,
                jitter,
            }
        },
    )
}
