//! [Samplers]: which spans are recorded and which of them are exported.
//!
//! Nearly all samplers here are pure functions: no state, no clock, no randomness. The same trace id
//! gets the same decision on every thread and in every service, so traces stay whole. Only
//! [`RateLimited`] counts.
//!
//! [Samplers]: https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling
//!
//! [`ParentBased`] follows the parent if there is one, and asks its root sampler otherwise:
//!
//! | parent | sampled flag | asks | by default |
//! |---|---|---|---|
//! | none, or not valid | - | `root` | the argument of `new` |
//! | remote | set | `remote_parent_sampled` | [`AlwaysOn`] |
//! | remote | clear | `remote_parent_not_sampled` | [`AlwaysOff`] |
//! | local | set | `local_parent_sampled` | [`AlwaysOn`] |
//! | local | clear | `local_parent_not_sampled` | [`AlwaysOff`] |
//!
//! ```
//! use spandrel_core::sampler::*;
//!
//! let sampler = ParentBased::new(TraceIdRatioBased::new(0.5));
//! let scratch = SamplingScratch::new();
//! let id = "5b8efff798038103d269b633813fc60c".parse()?;
//! let root = SamplingParameters::new(id, "auto.workflow", &scratch);
//! // The id ends in d269…, which is above one half.
//! assert_eq!(sampler.should_sample(&root).decision, SamplingDecision::Drop);
//! # Ok::<(), spandrel_core::id::ParseIdError>(())
//! ```
//!
//! # A sampler of your own
//!
//! A [`SamplingResult`] borrows. A tracestate or attributes that a sampler computes are kept in the
//! scratch that comes with the question:
//!
//! ```
//! use core::fmt;
//! use spandrel_core::attribute::KeyValue;
//! use spandrel_core::context::TraceState;
//! use spandrel_core::sampler::*;
//!
//! /// Samples everything and writes down the length of the name.
//! struct Measuring;
//!
//! impl Sampler for Measuring {
//!     fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
//!         let mut result = SamplingResult::new(SamplingDecision::RecordAndSample, parameters);
//!         let length = KeyValue::i64("name.length", parameters.name.len() as i64);
//!         let scratch = parameters.scratch;
//!         result.attributes = scratch.keep_attributes([length]).unwrap_or_default();
//!         let state: TraceState = parameters.parent.trace_state.parse().unwrap_or_default();
//!         if let Ok(state) = state.insert("measured", "yes") {
//!             result.trace_state = scratch.keep_trace_state(state).unwrap_or_default();
//!         }
//!         result
//!     }
//!
//!     fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         f.write_str("Measuring")
//!     }
//! }
//! ```

mod builtin;
mod consistent;
mod parent_based;
pub(crate) mod rate;
mod ratio;
mod scratch;

pub use builtin::BuiltinSampler;
pub use consistent::{
    ComposableAlwaysOff, ComposableAlwaysOn, ComposableAnnotating, ComposableParentThreshold,
    ComposableProbability, ComposableRuleBased, ComposableSampler, CompositeSampler, Condition,
    IntentParameters, OtelTraceState, ParseSamplingValueError, ProbabilitySampler, Randomness,
    Rule, SamplingIntent, Threshold, TraceStateProvider,
};
pub use parent_based::ParentBased;
pub use rate::{RateLimited, TokenBucket};
pub use ratio::TraceIdRatioBased;
pub use scratch::SamplingScratch;

use core::any::Any;
use core::fmt;

use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanKind};
use crate::id::TraceId;
use crate::resource::InstrumentationScope;

/// The decision about a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SamplingDecision {
    /// Not recording, sampled flag clear.
    Drop,
    /// Recording, sampled flag clear. The span is not exported, and this pipeline has no span
    /// processors that would read it: it differs from a dropped one only in `is_recording` and in
    /// the counts.
    RecordOnly,
    /// Recording, sampled flag set.
    RecordAndSample,
}

impl SamplingDecision {
    /// Returns true if the span records what is set on it.
    #[must_use]
    pub const fn is_recording(self) -> bool {
        !matches!(self, Self::Drop)
    }

    /// Returns true if the span carries the sampled flag.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        matches!(self, Self::RecordAndSample)
    }

    const fn sample_if(sampled: bool) -> Self {
        if sampled {
            Self::RecordAndSample
        } else {
            Self::Drop
        }
    }
}

/// What surrounds the start of a span, beside its parent. A tracer that knows more than the span
/// itself gives it to the sampler, which asks only if it needs it.
pub trait SamplingContext {
    /// Returns the instrumentation scope of the span, if it is known.
    fn scope(&self) -> Option<InstrumentationScope<'_>>;

    /// Returns the context that the span is started in; on a host it is a `Context`.
    fn context(&self) -> Option<&dyn Any>;
}

/// The input of a sampler.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct SamplingParameters<'a> {
    /// The parent, or [`ParentContext::ROOT`].
    pub parent: ParentContext<'a>,
    /// The trace id of the new span, which is a valid parent's.
    pub trace_id: TraceId,
    /// The name of the new span.
    pub name: &'a str,
    /// The kind of the new span.
    pub kind: SpanKind,
    /// The attributes given at its start.
    pub attributes: &'a [KeyValue<'a>],
    /// The links given at its start.
    pub links: &'a [Link<'a>],
    /// Whatever else surrounds the start; `None` on devices.
    pub surroundings: Option<&'a (dyn SamplingContext + 'a)>,
    /// Memory for what the sampler computes.
    pub scratch: &'a SamplingScratch<'a>,
}

impl<'a> SamplingParameters<'a> {
    /// A root span of kind internal, without attributes and links.
    #[inline]
    #[must_use]
    pub const fn new(trace_id: TraceId, name: &'a str, scratch: &'a SamplingScratch<'a>) -> Self {
        Self {
            parent: ParentContext::ROOT,
            trace_id,
            name,
            kind: SpanKind::Internal,
            attributes: &[],
            links: &[],
            surroundings: None,
            scratch,
        }
    }

    /// Returns the instrumentation scope of the new span: name, version and schema URL. `None` on
    /// devices, whose tracers know it by number.
    #[must_use]
    pub fn scope(&self) -> Option<InstrumentationScope<'a>> {
        self.surroundings?.scope()
    }

    /// Returns the context that the span is started in, if it is a `C`.
    ///
    /// On a host `C` is `hosted::current::Context`, with all values beside the parent. It is `None`
    /// if there is nothing but the parent's span context and tracestate.
    #[must_use]
    pub fn context<C: 'static>(&self) -> Option<&'a C> {
        self.surroundings?.context()?.downcast_ref()
    }
}

impl fmt::Debug for SamplingParameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamplingParameters")
            .field("parent", &self.parent)
            .field("trace_id", &self.trace_id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("attributes", &self.attributes)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SamplingParameters<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "SamplingParameters({=str} {} of {} under {})",
            self.name,
            self.kind,
            self.trace_id,
            self.parent
        );
    }
}

/// The answer of a sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SamplingResult<'a> {
    /// The decision.
    pub decision: SamplingDecision,
    /// Attributes to add to the span. [`SamplingScratch::keep_attributes`] keeps computed ones.
    pub attributes: &'a [KeyValue<'a>],
    /// The tracestate of the span. Empty clears it, so the samplers of this module pass the
    /// parent's through, its `ot` entry included. One that is not valid, or longer than 512 bytes, is
    /// replaced by the parent's. [`SamplingScratch::keep_trace_state`] keeps a computed one.
    pub trace_state: &'a str,
}

impl<'a> SamplingResult<'a> {
    /// `decision` without attributes and with the parent's tracestate.
    #[must_use]
    pub const fn new(decision: SamplingDecision, parameters: &SamplingParameters<'a>) -> Self {
        Self {
            decision,
            attributes: &[],
            trace_state: parameters.parent.trace_state,
        }
    }
}

/// Decides about a span before it exists.
///
/// It is called once per span, from many threads at a time if the tracer is shared. An
/// implementation with state then needs `Sync` and must be quick.
pub trait Sampler {
    /// Decides about the span that `parameters` describe.
    ///
    /// The result may borrow from the parameters, their scratch, and the sampler.
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a>;

    /// Writes the sampler's name and settings in the
    /// [specification](https://opentelemetry.io/docs/specs/otel/trace/sdk/#getdescription)'s form.
    /// [`Description`] displays it.
    ///
    /// # Errors
    ///
    /// The formatter failed.
    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Ends the sampler's work: it may stop what it runs beside the application.
    ///
    /// A hosted pipeline calls it once, when it is [shut
    /// down](https://opentelemetry.io/docs/specs/otel/trace/sdk/#shutdown). Questions that come later
    /// may still be asked. The default does nothing.
    fn shutdown(&self) {}
}

macro_rules! impl_for_pointer {
    ($($(#[$attribute:meta])* $pointer:ty),+) => {$(
        $(#[$attribute])*
        impl<S: Sampler + ?Sized> Sampler for $pointer {
            #[inline]
            fn should_sample<'a>(
                &'a self,
                parameters: &SamplingParameters<'a>,
            ) -> SamplingResult<'a> {
                (**self).should_sample(parameters)
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
    &S,
    #[cfg(feature = "std")]
    std::boxed::Box<S>,
    #[cfg(feature = "std")]
    std::sync::Arc<S>
);

/// Displays the description of a sampler.
///
/// ```
/// use spandrel_core::sampler::{Description, TraceIdRatioBased};
///
/// let sampler = TraceIdRatioBased::new(0.25);
/// assert_eq!(Description(&sampler).to_string(), "TraceIdRatioBased{0.25}");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Description<'a, S: ?Sized>(pub &'a S);

impl<S: Sampler + ?Sized> fmt::Display for Description<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.description(f)
    }
}

/// Samples every span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AlwaysOn;

impl Sampler for AlwaysOn {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult::new(SamplingDecision::RecordAndSample, parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlwaysOnSampler")
    }
}

/// Drops every span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AlwaysOff;

impl Sampler for AlwaysOff {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult::new(SamplingDecision::Drop, parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlwaysOffSampler")
    }
}

/// Records spans that its sampler would drop, without exporting them:
/// [`AlwaysRecord`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#alwaysrecord).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AlwaysRecord<S> {
    sampler: S,
}

impl<S> AlwaysRecord<S> {
    /// Turns each `Drop` of `sampler` into `RecordOnly`.
    #[must_use]
    pub const fn new(sampler: S) -> Self {
        Self { sampler }
    }
}

impl<S: Sampler> Sampler for AlwaysRecord<S> {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let mut result = self.sampler.should_sample(parameters);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlwaysRecord{{{}}}", Description(&self.sampler))
    }

    fn shutdown(&self) {
        self.sampler.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{SpanContext, TraceFlags};
    use crate::id::SpanId;
    use std::string::ToString;

    pub(super) fn trace_id(low: u64) -> TraceId {
        TraceId::from_bytes((1_u128 << 64 | u128::from(low)).to_be_bytes())
    }

    pub(super) fn root<'a>(trace_id: TraceId) -> SamplingParameters<'a> {
        let scratch = std::boxed::Box::leak(std::boxed::Box::default());
        SamplingParameters::new(trace_id, "name", scratch)
    }

    pub(super) fn child<'a>(remote: bool, sampled: bool) -> SamplingParameters<'a> {
        let flags = TraceFlags::from_bits(0).with_sampled(sampled);
        // Ratio 0.5 would decide the opposite of the parent's flag.
        let id = trace_id(if sampled { u64::MAX } else { 0 });
        let make = if remote {
            SpanContext::remote
        } else {
            SpanContext::new
        };
        let mut parameters = root(id);
        parameters.parent = ParentContext {
            span_context: make(id, SpanId::from_bytes([7; 8]), flags),
            trace_state: "ot=th:8;rv:0123456789abcd,a=b",
        };
        parameters
    }

    pub(super) fn decide<'a>(
        sampler: &'a dyn Sampler,
        parameters: &SamplingParameters<'a>,
    ) -> SamplingDecision {
        sampler.should_sample(parameters).decision
    }

    /// Answers with a fixed decision and an attribute.
    pub(super) struct Fixed(SamplingDecision, [KeyValue<'static>; 1]);

    impl Fixed {
        pub(super) fn new(decision: SamplingDecision) -> Self {
            Self(decision, [KeyValue::new("rule", "fixed")])
        }
    }

    impl Sampler for Fixed {
        fn should_sample<'a>(&'a self, _: &SamplingParameters<'a>) -> SamplingResult<'a> {
            SamplingResult {
                decision: self.0,
                attributes: &self.1,
                trace_state: "own=1",
            }
        }

        fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Fixed")
        }
    }

    use SamplingDecision::{Drop, RecordAndSample, RecordOnly};

    #[test]
    fn decisions_follow_the_table_of_d_077() {
        let rows = [
            (Drop, false, false),
            (RecordOnly, true, false),
            (RecordAndSample, true, true),
        ];
        for (decision, recording, sampled) in rows {
            assert_eq!(decision.is_recording(), recording);
            assert_eq!(decision.is_sampled(), sampled);
        }
    }

    #[test]
    fn always_record_turns_drop_into_record_only() {
        let rows = [
            (Drop, RecordOnly),
            (RecordOnly, RecordOnly),
            (RecordAndSample, RecordAndSample),
        ];
        for (inner, expected) in rows {
            let sampler = AlwaysRecord::new(Fixed::new(inner));
            let parameters = root(trace_id(1));
            let result = sampler.should_sample(&parameters);
            assert_eq!(result.decision, expected);
            assert_eq!(result.trace_state, "own=1");
            assert_eq!(result.attributes.len(), 1);
        }
    }

    #[test]
    fn built_in_samplers_pass_the_tracestate_through() {
        let half = TraceIdRatioBased::new(0.5);
        let samplers: [&dyn Sampler; 6] = [
            &AlwaysOn,
            &AlwaysOff,
            &half,
            &ParentBased::new(half),
            &AlwaysRecord::new(AlwaysOff),
            &BuiltinSampler::default(),
        ];
        let parameters = child(true, true);
        for sampler in samplers {
            let result = sampler.should_sample(&parameters);
            assert_eq!(result.trace_state, "ot=th:8;rv:0123456789abcd,a=b");
            assert!(result.attributes.is_empty());
        }
    }

    #[test]
    fn descriptions_are_worded_as_specified() {
        assert_eq!(Description(&AlwaysOn).to_string(), "AlwaysOnSampler");
        assert_eq!(Description(&AlwaysOff).to_string(), "AlwaysOffSampler");
        assert_eq!(
            Description(&TraceIdRatioBased::new(1e-4)).to_string(),
            "TraceIdRatioBased{0.0001}"
        );
        assert_eq!(
            Description(&BuiltinSampler::default()).to_string(),
            "ParentBased{root:AlwaysOnSampler,remoteParentSampled:AlwaysOnSampler,\
             remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,\
             localParentNotSampled:AlwaysOffSampler}"
        );
    }
}
