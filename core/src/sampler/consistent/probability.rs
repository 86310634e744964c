//! A share of all traces, chosen consistently.

use core::fmt::{self, Write as _};

use heapless::String;

use super::ot::{OtelTraceState, with_threshold};
use super::{Randomness, Threshold};
use crate::sampler::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};

/// Samples a fixed share of all traces, consistently with all services that follow W3C Trace Context
/// level 2. The specification's
/// [`ProbabilitySampler`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#probabilitysampler), the
/// successor of `TraceIdRatioBased`.
///
/// Its threshold travels as `th` in the tracestate of the spans that it keeps. It ignores the
/// parent's decision; put it in a [`ParentBased`](crate::sampler::ParentBased) to follow that, or use
/// a [`ComposableParentThreshold`](super::ComposableParentThreshold).
///
/// ```
/// use spandrel_core::sampler::{ProbabilitySampler, Sampler, SamplingParameters, SamplingScratch};
///
/// let sampler = ProbabilitySampler::new(0.25).unwrap();
/// let scratch = SamplingScratch::new();
/// let id = "5b8efff798038103d2c0000000000000".parse()?;
/// let result = sampler.should_sample(&SamplingParameters::new(id, "checkout", &scratch));
/// assert!(result.decision.is_sampled());
/// assert_eq!(result.trace_state, "ot=th:c");
/// # Ok::<(), spandrel_core::id::ParseIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProbabilitySampler {
    ratio: f64,
    threshold: Threshold,
    /// The tracestate of a root span, ready to be borrowed.
    own: String<24, u8>,
}

impl ProbabilitySampler {
    /// Samples `ratio` of all traces, from 2^-56 to 1. `None` for another ratio; to sample nothing
    /// use [`AlwaysOff`](crate::sampler::AlwaysOff).
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        Self::with_precision(ratio, Threshold::DEFAULT_PRECISION)
    }

    /// The same with 1 to 14 significant hexadecimal digits in `th` instead of four.
    #[must_use]
    pub fn with_precision(ratio: f64, precision: u32) -> Option<Self> {
        let threshold = Threshold::from_ratio_with_precision(ratio, precision)?;
        let mut own = String::new();
        // At most 21 characters.
        write!(own, "ot=th:{threshold}").ok()?;
        Some(Self {
            ratio,
            threshold,
            own,
        })
    }

    /// Returns the threshold that goes into the tracestate.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        self.threshold
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for ProbabilitySampler {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "ProbabilitySampler({} {})", self.ratio, self.threshold);
    }
}

impl Sampler for ProbabilitySampler {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let kept = self.threshold.keeps(randomness(parameters));
        let mut result = SamplingResult::new(SamplingDecision::sample_if(kept), parameters);
        let state = result.trace_state;
        result.trace_state = match kept {
            // Roots, and the children of spans that this sampler kept.
            true if state.is_empty() || state == self.own => &self.own,
            _ => settled(
                parameters,
                state,
                OtelTraceState::of(state),
                kept.then_some(self.threshold),
            ),
        };
        result
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProbabilitySampler{{{}}}", self.ratio)
    }
}

/// The randomness of the trace: the explicit one, or the end of the trace id.
pub(super) fn randomness(parameters: &SamplingParameters<'_>) -> Randomness {
    OtelTraceState::of(parameters.parent.trace_state)
        .randomness()
        .unwrap_or_else(|| Randomness::of_trace_id(parameters.trace_id))
}

/// The text `state` with the items of `ot`, and with `threshold` or none. If there is no room for
/// that, it stays as it is.
pub(in crate::sampler) fn settled<'a>(
    parameters: &SamplingParameters<'a>,
    state: &'a str,
    ot: OtelTraceState<'_>,
    threshold: Option<Threshold>,
) -> &'a str {
    let old = OtelTraceState::of(state);
    if old == ot && old.has_threshold() == threshold.is_some() && old.threshold() == threshold {
        return state;
    }
    with_threshold(state, ot, threshold)
        .and_then(|state| parameters.scratch.keep_trace_state(state))
        .unwrap_or(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{ParentContext, SpanContext, TraceFlags};
    use crate::id::{SpanId, TraceId};
    use crate::sampler::{Description, SamplingScratch};
    use std::string::ToString;

    /// A trace id that ends in 56 bits.
    fn id(tail: u64) -> TraceId {
        TraceId::from_bytes((0xab_u128 << 120 | u128::from(tail)).to_be_bytes())
    }

    fn decide(sampler: &ProbabilitySampler, tail: u64, state: &str) -> (bool, std::string::String) {
        let scratch = SamplingScratch::new();
        let mut parameters = SamplingParameters::new(id(tail), "name", &scratch);
        let span_context =
            SpanContext::remote(id(tail), SpanId::from_bytes([1; 8]), TraceFlags::NONE);
        parameters.parent = ParentContext {
            span_context,
            trace_state: state,
        };
        let result = sampler.should_sample(&parameters);
        (result.decision.is_sampled(), result.trace_state.into())
    }

    #[test]
    fn a_trace_is_sampled_from_the_threshold_on_whatever_the_parent_says() {
        let quarter = ProbabilitySampler::new(0.25).unwrap();
        for (tail, state, kept, after) in [
            (0xc0_0000_0000_0000, "", true, "ot=th:c"),
            (0xbf_ffff_ffff_ffff, "", false, ""),
            // The explicit randomness wins over the id's.
            (0, "ot=rv:c0000000000000", true, "ot=th:c;rv:c0000000000000"),
            (
                u64::MAX >> 8,
                "ot=rv:bfffffffffffff",
                false,
                "ot=rv:bfffffffffffff",
            ),
            (0, "ot=rv:c000000000000", false, "ot=rv:c000000000000"),
            // What a parent was sampled with is replaced, or goes.
            (u64::MAX >> 8, "ot=th:8;x:1,a=b", true, "ot=th:c;x:1,a=b"),
            (0, "a=b,ot=th:0", false, "a=b"),
            (0, "a=b,ot=th:ZZ;x:1", false, "ot=x:1,a=b"),
            (u64::MAX >> 8, "ot=th:c", true, "ot=th:c"),
            (u64::MAX >> 8, "a=b,ot=th:c", true, "a=b,ot=th:c"),
            (0, "a=b", false, "a=b"),
        ] {
            assert_eq!(
                decide(&quarter, tail, state),
                (kept, after.into()),
                "{tail:x} {state}"
            );
        }
    }

    #[test]
    fn a_member_without_room_for_the_threshold_stays_as_it_is() {
        let full = std::format!("ot=x:{}", "1".repeat(254));
        let quarter = ProbabilitySampler::new(0.25).unwrap();
        assert_eq!(decide(&quarter, u64::MAX >> 8, &full), (true, full.clone()));
    }

    #[test]
    fn a_ratio_that_is_no_probability_is_refused() {
        for ratio in [0.0, 1.5, f64::NAN, (-57_f64).exp2()] {
            assert_eq!(ProbabilitySampler::new(ratio), None, "{ratio}");
        }
        let least = ProbabilitySampler::new((-56_f64).exp2()).unwrap();
        assert_eq!(least.threshold().to_string(), "ffffffffffffff");
        let tenth = ProbabilitySampler::with_precision(0.1, 5).unwrap();
        assert_eq!(tenth.threshold().to_string(), "e6666");
        assert_eq!(Description(&tenth).to_string(), "ProbabilitySampler{0.1}");
    }
}
