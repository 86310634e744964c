//! Sampling by the trace id alone.

use core::fmt;

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use crate::id::TraceId;

/// Samples a fixed share of all traces, chosen by the trace id alone. The specification's
/// [`TraceIdRatioBased`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased).
///
/// A trace is sampled if `(low 64 bits of its id) >> 1 < ratio · 2^63`. The Go and Rust SDKs have
/// the same rule, so services with the same ratio keep the same traces, and a service with a higher
/// ratio keeps a superset. The decision is one integer comparison. The only floating-point
/// operation is the multiplication in [`TraceIdRatioBased::new`], which a `const` moves to compile
/// time.
///
/// It ignores the parent. Put it in a [`ParentBased`](super::ParentBased) to follow decisions that
/// were made before.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TraceIdRatioBased {
    /// From 0 to 1; kept for the description only.
    ratio: f64,
    threshold: u64,
}

impl TraceIdRatioBased {
    /// Samples `ratio` of all traces.
    ///
    /// 1 or more samples all of them, 0 or less none. NaN samples none: it means that a computation
    /// went wrong, and sampling all could overload the receiver.
    #[must_use]
    pub const fn new(ratio: f64) -> Self {
        const ONE: u64 = 1 << 63;
        // Not `clamp`, which lets NaN through.
        let ratio = if ratio >= 1.0 {
            1.0
        } else if ratio > 0.0 {
            ratio
        } else {
            0.0
        };
        Self {
            ratio,
            // Exact: a multiplication by a power of two does not round, and every id shifted by one
            // is below the 2^63 that 1.0 gives.
            threshold: (ratio * ONE as f64) as u64,
        }
    }

    /// Returns the share of traces that is sampled, from 0 to 1.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Returns true if the trace of this id is sampled.
    #[inline]
    #[must_use]
    pub const fn samples(&self, trace_id: TraceId) -> bool {
        trace_id.low_u64() >> 1 < self.threshold
    }
}

impl Sampler for TraceIdRatioBased {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let decision = SamplingDecision::sample_if(self.samples(parameters.trace_id));
        SamplingResult::new(decision, parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Display` of a float is its shortest exact decimal form, so any two ratios differ.
        write!(f, "TraceIdRatioBased{{{}}}", self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::super::tests::{child, decide, trace_id};
    use super::*;
    use SamplingDecision::{Drop, RecordAndSample};
    use std::string::ToString;

    #[test]
    fn the_ratio_is_compared_exactly_at_its_boundary() {
        let half = TraceIdRatioBased::new(0.5);
        assert!(half.samples(trace_id(0x7fff_ffff_ffff_ffff)));
        assert!(!half.samples(trace_id(0x8000_0000_0000_0000)));
        // The lowest bit is shifted out, so ids differ in pairs.
        let quarter = TraceIdRatioBased::new(0.25);
        assert!(quarter.samples(trace_id(0x3fff_ffff_ffff_ffff)));
        assert!(!quarter.samples(trace_id(0x4000_0000_0000_0000)));
        // 2^-63 is the smallest ratio that can sample anything: exactly two ids.
        let least = TraceIdRatioBased::new(1.0 / (1_u64 << 63) as f64);
        assert!(least.samples(trace_id(0)) && least.samples(trace_id(1)));
        assert!(!least.samples(trace_id(2)));
        assert!(!TraceIdRatioBased::new(f64::MIN_POSITIVE).samples(trace_id(0)));
        // The largest ratio below one leaves out the last 2^11 ids.
        let most = TraceIdRatioBased::new(1.0_f64.next_down());
        assert!(most.samples(trace_id(u64::MAX - 2_048)));
        assert!(!most.samples(trace_id(u64::MAX - 2_047)));
    }

    #[test]
    fn one_samples_all_and_zero_and_nonsense_sample_none() {
        for ratio in [1.0, 1.5, f64::INFINITY] {
            let all = TraceIdRatioBased::new(ratio);
            assert!(all.samples(trace_id(u64::MAX)), "{ratio}");
            assert_eq!(all.ratio(), 1.0);
        }
        for ratio in [0.0, -0.0, -1.0, f64::NEG_INFINITY, f64::NAN] {
            let none = TraceIdRatioBased::new(ratio);
            assert!(!none.samples(trace_id(0)), "{ratio}");
            assert_eq!(Description(&none).to_string(), "TraceIdRatioBased{0}");
        }
    }

    #[test]
    fn the_ratio_sampler_ignores_the_parent() {
        let half = TraceIdRatioBased::new(0.5);
        assert_eq!(decide(&half, &child(true, true)), Drop);
        assert_eq!(decide(&half, &child(false, false)), RecordAndSample);
    }
}
