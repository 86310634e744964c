//! The parts that a composite sampler is made of.

use core::fmt;

use super::Threshold;
use super::composite::{ComposableSampler, Described, IntentParameters, SamplingIntent};
use crate::attribute::KeyValue;

/// Keeps every span, with threshold 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComposableAlwaysOn;

impl ComposableSampler for ComposableAlwaysOn {
    fn sampling_intent<'a>(&'a self, _: &IntentParameters<'a>) -> SamplingIntent<'a> {
        SamplingIntent::keep(Threshold::ALWAYS)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComposableAlwaysOn")
    }
}

/// Drops every span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComposableAlwaysOff;

impl ComposableSampler for ComposableAlwaysOff {
    fn sampling_intent<'a>(&'a self, _: &IntentParameters<'a>) -> SamplingIntent<'a> {
        SamplingIntent::DROP
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComposableAlwaysOff")
    }
}

/// Keeps a fixed share of all traces.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComposableProbability {
    ratio: f64,
    threshold: Threshold,
}

impl ComposableProbability {
    /// Keeps `ratio` of all traces, from 2^-56 to 1. `None` for another ratio; to keep nothing use
    /// [`ComposableAlwaysOff`].
    #[must_use]
    pub const fn new(ratio: f64) -> Option<Self> {
        match Threshold::from_ratio(ratio) {
            Some(threshold) => Some(Self { ratio, threshold }),
            None => None,
        }
    }
}

impl ComposableSampler for ComposableProbability {
    fn sampling_intent<'a>(&'a self, _: &IntentParameters<'a>) -> SamplingIntent<'a> {
        SamplingIntent::keep(self.threshold)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComposableProbability{{{}}}", self.ratio)
    }
}

/// Follows the parent's decision with the parent's threshold, and asks `root` about spans without a
/// parent.
///
/// A parent that was sampled without a threshold has its children kept without one, as nobody knows
/// how many spans they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComposableParentThreshold<R> {
    root: R,
}

impl<R: ComposableSampler> ComposableParentThreshold<R> {
    /// Asks `root` about spans without a parent.
    #[must_use]
    pub const fn new(root: R) -> Self {
        Self { root }
    }
}

impl<R: ComposableSampler> ComposableSampler for ComposableParentThreshold<R> {
    fn sampling_intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a> {
        let parent = parameters.parent().span_context;
        if !parent.is_valid() {
            return self.root.sampling_intent(parameters);
        }
        match parameters.parent_threshold() {
            Some(threshold) => SamplingIntent::keep(threshold),
            None if parent.is_sampled() => SamplingIntent {
                adjusted_count_reliable: false,
                ..SamplingIntent::keep(Threshold::ALWAYS)
            },
            None => SamplingIntent::DROP,
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ComposableParentThreshold{{root:{}}}",
            Described(&self.root)
        )
    }

    fn shutdown(&self) {
        self.root.shutdown();
    }
}

/// Adds attributes to the spans that another part keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComposableAnnotating<'v, D> {
    attributes: &'v [KeyValue<'v>],
    delegate: D,
}

impl<'v, D: ComposableSampler> ComposableAnnotating<'v, D> {
    /// Adds `attributes` to what `delegate` keeps.
    #[must_use]
    pub const fn new(attributes: &'v [KeyValue<'v>], delegate: D) -> Self {
        Self {
            attributes,
            delegate,
        }
    }
}

impl<D: ComposableSampler> ComposableSampler for ComposableAnnotating<'_, D> {
    fn sampling_intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a> {
        let mut intent = self.delegate.sampling_intent(parameters);
        let inner = intent.attributes;
        intent.attributes = match inner {
            [] => self.attributes,
            // Nested ones are rare. Without room the outer attributes are left out.
            _ if intent.threshold.is_some() => parameters
                .scratch()
                .keep_attributes(inner.iter().chain(self.attributes).copied())
                .unwrap_or(inner),
            _ => inner,
        };
        intent
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComposableAnnotating{{{}}}", Described(&self.delegate))
    }

    fn shutdown(&self) {
        self.delegate.shutdown();
    }
}
