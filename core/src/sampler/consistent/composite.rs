//! A sampler made of parts.

use core::fmt;

use super::ot::OtelTraceState;
use super::probability::{randomness, settled};
use super::{Randomness, Threshold};
use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanKind};
use crate::resource::InstrumentationScope;
use crate::sampler::{
    Sampler, SamplingDecision, SamplingParameters, SamplingResult, SamplingScratch,
};

/// The input of a [`ComposableSampler`]: a sampler's, without the trace id, and with what the
/// parent's tracestate says.
#[derive(Clone, Copy, Debug)]
pub struct IntentParameters<'a> {
    parameters: SamplingParameters<'a>,
    parent_threshold: Option<Threshold>,
}

impl<'a> IntentParameters<'a> {
    pub(super) fn new(parameters: &SamplingParameters<'a>, randomness: Randomness) -> Self {
        let parent = parameters.parent;
        let is_sampled = parent.span_context.is_sampled();
        // A threshold that does not explain the parent's decision is no longer true.
        let threshold = OtelTraceState::of(parent.trace_state)
            .threshold()
            .filter(|threshold| threshold.keeps(randomness) == is_sampled);
        Self {
            parameters: *parameters,
            parent_threshold: threshold.filter(|_| parent.span_context.is_valid()),
        }
    }

    /// Returns the parent, or [`ParentContext::ROOT`].
    #[must_use]
    pub const fn parent(&self) -> ParentContext<'a> {
        self.parameters.parent
    }

    /// Returns the threshold that the parent was sampled with. A threshold that contradicts the
    /// parent's sampled flag counts as absent.
    #[must_use]
    pub const fn parent_threshold(&self) -> Option<Threshold> {
        self.parent_threshold
    }

    /// Returns the name of the new span.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.parameters.name
    }

    /// Returns the kind of the new span.
    #[must_use]
    pub const fn kind(&self) -> SpanKind {
        self.parameters.kind
    }

    /// Returns the attributes given at its start.
    #[must_use]
    pub const fn attributes(&self) -> &'a [KeyValue<'a>] {
        self.parameters.attributes
    }

    /// Returns the links given at its start.
    #[must_use]
    pub const fn links(&self) -> &'a [Link<'a>] {
        self.parameters.links
    }

    /// Returns the memory for what a part computes.
    #[must_use]
    pub const fn scratch(&self) -> &'a SamplingScratch<'a> {
        self.parameters.scratch
    }

    /// See [`SamplingParameters::scope`].
    #[must_use]
    pub fn scope(&self) -> Option<InstrumentationScope<'a>> {
        self.parameters.scope()
    }

    /// See [`SamplingParameters::context`].
    #[must_use]
    pub fn context<C: 'static>(&self) -> Option<&'a C> {
        self.parameters.context()
    }
}

/// A part's wish about a span, from which the [`CompositeSampler`] makes the decision.
#[derive(Clone, Copy)]
pub struct SamplingIntent<'a> {
    /// The span is kept if the randomness of its trace is not below this; `None` drops it.
    pub threshold: Option<Threshold>,
    /// The threshold is a probability: it may go into the tracestate, and spans may be counted with
    /// it.
    pub adjusted_count_reliable: bool,
    /// Attributes for the span if it is kept.
    pub attributes: &'a [KeyValue<'a>],
    /// Changes the tracestate, but for its `ot` member, which belongs to the composite sampler.
    pub trace_state: Option<&'a (dyn TraceStateProvider + 'a)>,
}

impl SamplingIntent<'_> {
    /// Drops the span.
    pub const DROP: Self = Self {
        threshold: None,
        adjusted_count_reliable: false,
        attributes: &[],
        trace_state: None,
    };

    /// Keeps the share of all traces that `threshold` stands for.
    #[must_use]
    pub const fn keep(threshold: Threshold) -> Self {
        Self {
            threshold: Some(threshold),
            adjusted_count_reliable: true,
            attributes: &[],
            trace_state: None,
        }
    }
}

impl fmt::Debug for SamplingIntent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamplingIntent")
            .field("threshold", &self.threshold)
            .field("adjusted_count_reliable", &self.adjusted_count_reliable)
            .field("attributes", &self.attributes)
            .field("trace_state", &self.trace_state.is_some())
            .finish()
    }
}

/// Gives a span another tracestate than its parent's.
pub trait TraceStateProvider {
    /// Returns the new tracestate. `is_sampled` tells the decision; `scratch` keeps what is computed.
    ///
    /// Changes of the `ot` member have no effect.
    fn trace_state<'a>(
        &'a self,
        parent: &'a str,
        is_sampled: bool,
        scratch: &'a SamplingScratch<'a>,
    ) -> &'a str;
}

/// A part of a [`CompositeSampler`]: says what it wishes and leaves the decision to that. The
/// specification's
/// [`ComposableSampler`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#composablesampler).
///
/// It does not see the trace id, because a threshold that depends on it would not be a probability.
pub trait ComposableSampler {
    /// Says what to do with the span that `parameters` describe.
    fn sampling_intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a>;

    /// Writes the part's name and settings.
    ///
    /// # Errors
    ///
    /// The formatter failed.
    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// See [`Sampler::shutdown`].
    fn shutdown(&self) {}
}

macro_rules! impl_for_pointer {
    ($($(#[$attribute:meta])* $pointer:ty),+) => {$(
        $(#[$attribute])*
        impl<C: ComposableSampler + ?Sized> ComposableSampler for $pointer {
            fn sampling_intent<'a>(
                &'a self,
                parameters: &IntentParameters<'a>,
            ) -> SamplingIntent<'a> {
                (**self).sampling_intent(parameters)
            }

            fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).description(f)
            }

            fn shutdown(&self) {
                (**self).shutdown();
            }
        }
    )+};
}

impl_for_pointer!(
    &C,
    #[cfg(feature = "std")]
    std::boxed::Box<C>,
    #[cfg(feature = "std")]
    std::sync::Arc<C>
);

/// Displays the description of a part.
pub(super) struct Described<'a, C: ?Sized>(pub(super) &'a C);

impl<C: ComposableSampler + ?Sized> fmt::Display for Described<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.description(f)
    }
}

/// Makes a [`Sampler`] of a [`ComposableSampler`]. The specification's
/// [`CompositeSampler`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#compositesampler).
///
/// It compares the threshold that the part wishes with the randomness of the trace, and writes the
/// threshold of a kept span into its tracestate if it is reliable. For one that is not reliable it
/// takes other randomness: bits mixed from the trace id, the parent's span id and the name, which are
/// independent of the trace's.
///
/// ```
/// use spandrel_core::sampler::*;
///
/// // Health checks never, checkouts always, a tenth of the rest, and children as their parents.
/// let tenth = ComposableProbability::new(0.1).unwrap();
/// let rules = [
///     Rule::new(Condition::Name("GET /health"), &ComposableAlwaysOff as &dyn ComposableSampler),
///     Rule::new(Condition::Name("POST /checkout"), &ComposableAlwaysOn),
///     Rule::new(Condition::Any, &tenth),
/// ];
/// let sampler = CompositeSampler::new(ComposableParentThreshold::new(ComposableRuleBased::new(rules)));
///
/// let scratch = SamplingScratch::new();
/// let id = "5b8efff798038103d269b633813fc60c".parse()?;
/// let health = SamplingParameters::new(id, "GET /health", &scratch);
/// assert_eq!(sampler.should_sample(&health).decision, SamplingDecision::Drop);
/// let checkout = SamplingParameters::new(id, "POST /checkout", &scratch);
/// assert_eq!(sampler.should_sample(&checkout).trace_state, "ot=th:0");
/// # Ok::<(), spandrel_core::id::ParseIdError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CompositeSampler<C> {
    delegate: C,
}

impl<C: ComposableSampler> CompositeSampler<C> {
    /// Decides as `delegate` wishes.
    #[must_use]
    pub const fn new(delegate: C) -> Self {
        Self { delegate }
    }
}

impl<C: ComposableSampler> Sampler for CompositeSampler<C> {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let shared = randomness(parameters);
        let intent = self
            .delegate
            .sampling_intent(&IntentParameters::new(parameters, shared));
        let reliable = intent.adjusted_count_reliable;
        let kept = intent.threshold.is_some_and(|threshold| {
            threshold.keeps(match reliable {
                true => shared,
                false => independent(parameters),
            })
        });
        let parent = parameters.parent.trace_state;
        let state = match intent.trace_state {
            Some(provider) => provider.trace_state(parent, kept, parameters.scratch),
            None => parent,
        };
        let threshold = intent.threshold.filter(|_| kept && reliable);
        SamplingResult {
            decision: SamplingDecision::sample_if(kept),
            attributes: if kept { intent.attributes } else { &[] },
            trace_state: settled(parameters, state, OtelTraceState::of(parent), threshold),
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompositeSampler{{{}}}", Described(&self.delegate))
    }

    fn shutdown(&self) {
        self.delegate.shutdown();
    }
}

/// Bits that do not depend on the randomness of the trace alone.
fn independent(parameters: &SamplingParameters<'_>) -> Randomness {
    let id = u128::from_be_bytes(parameters.trace_id.to_bytes());
    let parent = u64::from_be_bytes(parameters.parent.span_context.span_id().to_bytes());
    let name = parameters.name.bytes().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(0x100_0000_01b3).wrapping_add(byte.into())
    });
    let parts = [id as u64, (id >> 64) as u64, parent, name];
    Randomness::from_bits(parts.into_iter().fold(0, |sum, part| mixed(sum ^ part)))
}

/// The finalizer of `SplitMix64`: every bit depends on every bit.
const fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
