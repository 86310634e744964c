//! The samplers that configuration can name.

use core::fmt;

use super::{
    AlwaysOff, AlwaysOn, ParentBased, Sampler, SamplingDecision, SamplingParameters,
    SamplingResult, TraceIdRatioBased,
};

/// A sampler chosen at run time among those that configuration can name.
///
/// It is `Copy` and free of dynamic dispatch, so a tracer in a static can hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BuiltinSampler {
    /// `always_on`.
    AlwaysOn,
    /// `always_off`.
    AlwaysOff,
    /// `traceidratio`.
    TraceIdRatio(TraceIdRatioBased),
    /// `parentbased_always_on`, the default.
    #[default]
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`.
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`.
    ParentBasedTraceIdRatio(TraceIdRatioBased),
}

impl Sampler for BuiltinSampler {
    #[inline(always)]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let parent = parameters.parent.span_context;
        let sampled = match self {
            // The five-row table with its defaults: any valid parent is followed.
            Self::ParentBasedAlwaysOn
            | Self::ParentBasedAlwaysOff
            | Self::ParentBasedTraceIdRatio(_)
                if parent.is_valid() =>
            {
                parent.is_sampled()
            }
            Self::AlwaysOn | Self::ParentBasedAlwaysOn => true,
            Self::AlwaysOff | Self::ParentBasedAlwaysOff => false,
            Self::TraceIdRatio(root) | Self::ParentBasedTraceIdRatio(root) => {
                root.samples(parameters.trace_id)
            }
        };
        SamplingResult::new(SamplingDecision::sample_if(sampled), parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlwaysOn => AlwaysOn.description(f),
            Self::AlwaysOff => AlwaysOff.description(f),
            Self::TraceIdRatio(root) => root.description(f),
            Self::ParentBasedAlwaysOn => ParentBased::new(AlwaysOn).description(f),
            Self::ParentBasedAlwaysOff => ParentBased::new(AlwaysOff).description(f),
            Self::ParentBasedTraceIdRatio(root) => ParentBased::new(root).description(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::super::tests::{child, decide, root, trace_id};
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_configurable_samplers_equal_their_composition() {
        let half = TraceIdRatioBased::new(0.5);
        let pairs: [(BuiltinSampler, &dyn Sampler); 6] = [
            (BuiltinSampler::AlwaysOn, &AlwaysOn),
            (BuiltinSampler::AlwaysOff, &AlwaysOff),
            (BuiltinSampler::TraceIdRatio(half), &half),
            (
                BuiltinSampler::ParentBasedAlwaysOn,
                &ParentBased::new(AlwaysOn),
            ),
            (
                BuiltinSampler::ParentBasedAlwaysOff,
                &ParentBased::new(AlwaysOff),
            ),
            (
                BuiltinSampler::ParentBasedTraceIdRatio(half),
                &ParentBased::new(half),
            ),
        ];
        for (builtin, composed) in &pairs {
            assert_eq!(
                Description(builtin).to_string(),
                Description(*composed).to_string()
            );
            let cases = [
                root(trace_id(0)),
                root(trace_id(u64::MAX)),
                child(true, true),
                child(true, false),
                child(false, true),
                child(false, false),
            ];
            for parameters in &cases {
                assert_eq!(decide(builtin, parameters), decide(*composed, parameters));
            }
        }
    }
}
