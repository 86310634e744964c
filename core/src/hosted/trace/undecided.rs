//! Undecided spans, whose parent may still change: what the `tracing` layer starts.
//!
//! A `tracing` span exists before the program can give it a parent from another process, and the
//! parent decides whether it is sampled. So an undecided span records even if the sampler drops it,
//! and is not counted, until [`Tracer::settle`] makes the decision final.

use core::mem::ManuallyDrop;
use std::boxed::Box;
use std::string::String;
use std::sync::Arc;

use super::inner::ProviderInner;
use super::span::Span;
use super::surroundings::Surroundings;
use super::thread::{self, ThreadState};
use super::tracer::Tracer;
use crate::attribute::KeyValue;
use crate::context::{ParentContext, SpanContext, SpanKind, TraceFlags};
use crate::hosted::config::HostedSampler;
use crate::hosted::current::{self, Context};
use crate::id::{IdGenerator, TraceId};
use crate::resource::ScopeId;
use crate::sampler::{
    Sampler, SamplingDecision, SamplingParameters, SamplingResult, SamplingScratch,
};
use crate::tracer::{Origin, Plan, SpanBuilder};

/// A span whose parent and sampling decision may still change.
pub(in crate::hosted) struct Undecided {
    pub(in crate::hosted) span: Span,
    /// `None` if the span stands for its parent, so that there is nothing to decide.
    decision: Option<(SamplingDecision, Origin)>,
    /// The span has a tracestate, if there was room for it.
    pub(in crate::hosted) has_trace_state: bool,
}

/// The description of an undecided span.
pub(in crate::hosted) struct UndecidedStart<'a> {
    pub(in crate::hosted) name: &'a str,
    pub(in crate::hosted) kind: SpanKind,
    pub(in crate::hosted) parent: ParentContext<'a>,
    /// The context that the parent is from, for samplers that read its values.
    pub(in crate::hosted) context: Option<&'a Context>,
    pub(in crate::hosted) attributes: &'a [KeyValue<'a>],
    /// Record even if the sampler drops the span, until it is settled.
    pub(in crate::hosted) keep: bool,
}

impl<'a> UndecidedStart<'a> {
    #[inline(always)]
    fn builder(&self, scope: ScopeId) -> SpanBuilder<'a> {
        SpanBuilder::new(self.name)
            .scope(scope)
            .kind(self.kind)
            .parent(self.parent)
            .attributes(self.attributes)
    }

    /// Begins the span with code of the program, which may start spans itself. One that stands for
    /// its parent after the shutdown.
    #[inline(never)]
    fn ask_and_begin(&self, inner: &Arc<ProviderInner>, scope: ScopeId) -> Undecided {
        if !inner.is_open() {
            return Undecided::standing_for(&self.parent);
        }
        let builder = self.builder(scope);
        let surroundings = Surroundings::new(inner, scope, self.context);
        let memory = SamplingScratch::new();
        let plan = Plan::new(
            &inner.sampler,
            &mut inner.ids(),
            &builder,
            Some(&surroundings),
            &memory,
        );
        self.begin(plan, thread::state_for(inner), inner, &builder)
    }

    #[inline(always)]
    fn begin(
        &self,
        mut plan: Plan<'_>,
        mut state: Box<ThreadState>,
        inner: &ProviderInner,
        builder: &SpanBuilder<'_>,
    ) -> Undecided {
        let decision = plan.decision();
        let has_trace_state = plan.has_trace_state();
        if self.keep {
            plan.keep();
        }
        let span = match plan.is_kept() {
            true => state.begin(&plan, inner, builder, None),
            false => None,
        };
        thread::give_back(state);
        Undecided {
            span: span.unwrap_or_else(|| Span::non_recording(plan.unsampled())),
            decision: Some((decision, plan.origin())),
            has_trace_state,
        }
    }
}

/// The provider of a tracer and the number of its scope there, looked up once for a new span.
#[derive(Clone, Copy)]
pub(in crate::hosted) struct ScopeInProvider<'a>(Option<(&'a Arc<ProviderInner>, ScopeId)>);

impl ScopeInProvider<'_> {
    /// Starts an undecided span; one that stands for its parent if the tracer records nothing now.
    #[inline(never)]
    pub(in crate::hosted) fn start_undecided(self, start: &UndecidedStart<'_>) -> Undecided {
        self.start_undecided_inline(start)
    }

    /// The same, inlined: moving a span that was just written in parts would stall the processor
    /// for longer than writing it takes.
    #[inline(always)]
    pub(in crate::hosted) fn start_undecided_inline(self, start: &UndecidedStart<'_>) -> Undecided {
        let Some((inner, scope)) = self.0.filter(|_| !current::is_suppressed()) else {
            return Undecided::standing_for(&start.parent);
        };
        // No foreign code runs while the thread's state is taken out.
        if let HostedSampler::Builtin(sampler) = &inner.sampler {
            if let Some(mut state) = thread::open_state_for(inner) {
                let builder = start.builder(scope);
                // It keeps nothing there, so there is nothing to look for at the end.
                let unused = ManuallyDrop::new(SamplingScratch::new());
                let plan = Plan::new(sampler, &mut state.ready().ids, &builder, None, &unused);
                return start.begin(plan, state, inner, &builder);
            }
        }
        start.ask_and_begin(inner, scope)
    }

    /// Returns true if the sampler is the program's, which may read the attributes.
    #[inline(always)]
    pub(in crate::hosted) fn has_custom_sampler(self) -> bool {
        self.0
            .is_some_and(|(inner, _)| matches!(inner.sampler, HostedSampler::Custom(_)))
    }

    /// Returns true if there are processors.
    #[inline(always)]
    pub(in crate::hosted) fn has_processors(self) -> bool {
        self.0.is_some_and(|(inner, _)| inner.hooks.is_some())
    }

    /// Shows a span to the processors, if there are any. One that the sampler would drop under its
    /// present parent is shown when it ends, if it still records then. No lock may be held: the
    /// processors are the program's.
    #[cold]
    #[inline(never)]
    pub(in crate::hosted) fn show_start(self, undecided: &mut Undecided, parent: &Context) {
        let Some((inner, _)) = self.0 else {
            return;
        };
        let decision = undecided.decision;
        let context = *undecided.span.context();
        if let (Some(recorder), Some((decision, _))) = (undecided.span.recorder_mut(), decision) {
            match decision {
                SamplingDecision::Drop => thread::show_start_later(inner, recorder),
                _ => thread::show_start(inner, context, recorder, parent),
            }
        }
    }

    /// The most bytes of a span, and so of anything in it.
    #[inline(always)]
    pub(in crate::hosted) fn max_span_bytes(self) -> usize {
        self.0.map_or(0, |(inner, _)| inner.max_span_bytes())
    }
}

impl Tracer {
    #[inline(always)]
    pub(in crate::hosted) fn in_provider(&self) -> ScopeInProvider<'_> {
        ScopeInProvider(self.provider())
    }

    /// Asks the sampler about a span under another parent, and hands the decision to `apply`. No lock
    /// may be held: the sampler may be the program's.
    pub(in crate::hosted) fn decide_again<T>(
        &self,
        start: &UndecidedStart<'_>,
        apply: impl FnOnce(&Decision<'_>) -> T,
    ) -> Option<T> {
        let (inner, scope) = self.provider()?;
        let mut parent = start.parent;
        let (trace_id, flags) = if parent.span_context.is_valid() {
            let flags = parent.span_context.trace_flags();
            (parent.span_context.trace_id(), flags.is_random())
        } else {
            parent = ParentContext::ROOT;
            let mut ids = inner.ids();
            (ids.trace_id(), ids.is_random())
        };
        let surroundings = Surroundings::new(inner, scope, start.context);
        let memory = SamplingScratch::new();
        let mut parameters = SamplingParameters::new(trace_id, start.name, &memory);
        parameters.parent = parent;
        parameters.kind = start.kind;
        parameters.surroundings = Some(&surroundings);
        parameters.attributes = start.attributes;
        let sampling = inner.sampler.should_sample(&parameters);
        parent.trace_state = sampling.trace_state;
        Some(apply(&Decision {
            trace_id,
            flags: TraceFlags::NONE
                .with_random(flags)
                .with_sampled(sampling.decision == SamplingDecision::RecordAndSample),
            parent,
            sampling,
        }))
    }

    /// Makes the decision final: the span is counted, and one that the sampler dropped stops
    /// recording.
    pub(in crate::hosted) fn settle(&self, span: &mut Undecided) {
        let (Some((inner, _)), Some((decision, origin))) = (self.provider(), span.decision) else {
            return;
        };
        let state = thread::state_for(inner);
        let kept = span.span.is_recording();
        let counted = match kept {
            true => decision,
            false => SamplingDecision::Drop,
        };
        state.shard.count(counted, origin);
        thread::give_back(state);
        if decision == SamplingDecision::Drop {
            // The replaced span is not counted, so only its memory goes back.
            span.span.stop_recording();
            span.span = Span::non_recording(*span.span.context());
        }
    }

    /// The entries of baggage that spans get as attributes.
    pub(in crate::hosted) fn baggage_attributes(&self) -> &[String] {
        self.provider()
            .map_or(&[], |(inner, _)| &inner.baggage_attributes)
    }

    /// The most bytes of a span, and so of anything in it.
    pub(in crate::hosted) fn max_span_bytes(&self) -> usize {
        self.in_provider().max_span_bytes()
    }
}

impl Undecided {
    /// A span that stands for `parent`.
    #[cold]
    fn standing_for(parent: &ParentContext<'_>) -> Self {
        Self {
            span: Span::standing_for(parent),
            decision: None,
            has_trace_state: !parent.trace_state.is_empty(),
        }
    }

    /// Returns true if the span stands for its parent.
    pub(in crate::hosted) const fn stands_for_parent(&self) -> bool {
        self.decision.is_none()
    }

    /// Makes a span that stands for its parent stand for another one. Returns true if it does.
    pub(in crate::hosted) fn stand_for(&mut self, parent: &ParentContext<'_>) -> bool {
        let stands = self.stands_for_parent();
        if stands {
            *self = Self::standing_for(parent);
        }
        stands
    }

    /// Moves the span into another trace, as decided; `false`, and no change, if it is too full for
    /// that.
    pub(in crate::hosted) fn reparent(&mut self, decision: &Decision<'_>) -> bool {
        let span_id = self.span.context().span_id();
        let context = SpanContext::new(decision.trace_id, span_id, decision.flags);
        if !self.span.reparent(context, &decision.parent) {
            return false;
        }
        let origin = Origin::of(&decision.parent.span_context);
        self.decision = Some((decision.sampling.decision, origin));
        self.has_trace_state = !decision.parent.trace_state.is_empty();
        self.span.set_attributes(decision.sampling.attributes);
        true
    }
}

/// The sampler's decision about a span under another parent.
pub(in crate::hosted) struct Decision<'a> {
    trace_id: TraceId,
    flags: TraceFlags,
    parent: ParentContext<'a>,
    sampling: SamplingResult<'a>,
}
