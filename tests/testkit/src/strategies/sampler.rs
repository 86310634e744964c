//! For the [model of the ratio sampler](crate::models::sampler).

use proptest::prelude::*;
use spandrel_core::id::TraceId;

use crate::models::sampler::Fraction;

/// All fractions that a float expresses exactly.
pub fn fractions() -> impl Strategy<Value = Fraction> {
    (0..=53_u32).prop_flat_map(|shift| {
        (0..=1_u64 << shift).prop_map(move |numerator| Fraction { numerator, shift })
    })
}

/// Ids close to the threshold of a ratio, where two rules could differ.
pub fn trace_ids_near(ratio: f64) -> impl Strategy<Value = TraceId> {
    let threshold = (ratio * (1_u128 << 64) as f64) as u64;
    (any::<u64>(), -5_000..5_000_i64).prop_map(move |(high, distance)| {
        let low = threshold.saturating_add_signed(distance);
        TraceId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    })
}
