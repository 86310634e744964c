//! Spans whose parent is not final: what the `tracing` layer starts.
//!
//! A `tracing` span exists before the program can say that its parent is in another process, and
//! only the parent tells whether it is sampled. So a draft records even if the sampler drops it,
//! and is not counted, until [`Tracer::settle`] makes the decision final.

use std::sync::Arc;

use super::inner::ProviderInner;
use super::span::Span;
use super::thread;
use super::tracer::Tracer;
use crate::attribute::KeyValue;
use crate::context::{ParentContext, SpanContext, SpanKind, TraceFlags};
use crate::hosted::config::HostedSampler;
use crate::hosted::rng::ThreadRng;
use crate::id::{IdGenerator, RandomIdGenerator, TraceId};
use crate::sampler::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use crate::tracer::{Plan, SpanBuilder};

/// A span about which not everything is decided.
pub(in crate::hosted) struct Undecided {
    pub(in crate::hosted) span: Span,
    decision: SamplingDecision,
    /// Whether the span carries a tracestate, if there was room for it.
    pub(in crate::hosted) has_trace_state: bool,
}

/// What a draft starts with.
pub(in crate::hosted) struct UndecidedStart<'a> {
    pub(in crate::hosted) name: &'a str,
    pub(in crate::hosted) kind: SpanKind,
    pub(in crate::hosted) parent: ParentContext<'a>,
    pub(in crate::hosted) attributes: &'a [KeyValue<'a>],
    /// Record even what the sampler drops, until the draft is settled.
    pub(in crate::hosted) keep: bool,
}

impl Tracer {
    /// Starts a draft; `None` when this tracer records nothing.
    #[inline(never)]
    pub(in crate::hosted) fn start_undecided(
        &self,
        start: &UndecidedStart<'_>,
    ) -> Option<Undecided> {
        self.start_undecided_inline(start)
    }

    /// The same as a part of the caller: a draft that is moved on as soon as it has been written in
    /// parts costs a processor more than all these parts.
    #[inline(always)]
    pub(in crate::hosted) fn start_undecided_inline(
        &self,
        start: &UndecidedStart<'_>,
    ) -> Option<Undecided> {
        let inner = self.inner.as_ref()?;
        let builder = SpanBuilder::new(start.name)
            .scope(self.scope)
            .kind(start.kind)
            .parent(start.parent)
            .attributes(start.attributes);
        let mut plan;
        let mut state;
        match &inner.sampler {
            HostedSampler::Builtin(sampler) => {
                // No foreign code runs while the thread's entry is out.
                state = thread::state_for(inner);
                plan = Plan::new(sampler, &mut state.ready().ids, &builder);
            }
            HostedSampler::Custom(sampler) => {
                let mut ids = RandomIdGenerator::new(ThreadRng);
                plan = Plan::new(&**sampler, &mut ids, &builder);
                state = thread::state_for(inner);
            }
        }
        let decision = plan.decision();
        let has_trace_state = plan.has_trace_state();
        if start.keep {
            plan.keep();
        }
        let span = match plan.is_kept() {
            true => state.begin(&plan, inner, &builder, None),
            false => None,
        };
        thread::give_back(state);
        Some(Undecided {
            span: span.unwrap_or_else(|| Span::non_recording(plan.unsampled())),
            decision,
            has_trace_state,
        })
    }

    /// Asks the sampler about a draft of `name` and `kind` under another parent, and hands the
    /// answer to `apply`. No lock may be held: the sampler may be the program's.
    pub(in crate::hosted) fn decide_again<'a, T>(
        &'a self,
        name: &'a str,
        kind: SpanKind,
        mut parent: ParentContext<'a>,
        apply: impl FnOnce(&Decision<'a>) -> T,
    ) -> Option<T> {
        let inner = self.inner.as_ref()?;
        let (trace_id, flags) = if parent.span_context.is_valid() {
            let flags = parent.span_context.trace_flags();
            (parent.span_context.trace_id(), flags.is_random())
        } else {
            parent = ParentContext::ROOT;
            new_trace_id(inner)
        };
        let sampling = inner.sampler.should_sample(&SamplingParameters {
            parent,
            trace_id,
            name,
            kind,
            attributes: &[],
            links: &[],
        });
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

    /// Makes a draft final: it is counted, and one that is dropped records no more.
    pub(in crate::hosted) fn settle(&self, draft: &mut Undecided) {
        let Some(inner) = &self.inner else { return };
        let state = thread::state_for(inner);
        let kept = draft.span.is_recording();
        state.shard.count(match draft.decision {
            decision if kept => decision,
            _ => SamplingDecision::Drop,
        });
        thread::give_back(state);
        if draft.decision == SamplingDecision::Drop {
            // What is replaced is not sampled: only its memory goes back.
            draft.span = Span::non_recording(*draft.span.context());
        }
    }

    /// Whether the sampler is the program's, and so may look at the attributes.
    pub(in crate::hosted) fn has_custom_sampler(&self) -> bool {
        let inner = self.inner.as_deref();
        inner.is_some_and(|inner| matches!(inner.sampler, HostedSampler::Custom(_)))
    }

    /// The most bytes of a span, so of anything in it.
    pub(in crate::hosted) fn max_span_bytes(&self) -> usize {
        self.inner
            .as_deref()
            .map_or(0, ProviderInner::max_span_bytes)
    }
}

fn new_trace_id(inner: &Arc<ProviderInner>) -> (TraceId, bool) {
    fn random<G: IdGenerator>(_: &G) -> bool {
        G::RANDOM
    }
    let mut state = thread::state_for(inner);
    let ids = &mut state.ready().ids;
    let id = (ids.trace_id(), random(ids));
    thread::give_back(state);
    id
}

impl Undecided {
    /// Puts the draft into another trace, as decided; `false`, and no change, when it is too full
    /// for that.
    pub(in crate::hosted) fn reparent(&mut self, decision: &Decision<'_>) -> bool {
        let span_id = self.span.context().span_id();
        let context = SpanContext::new(decision.trace_id, span_id, decision.flags);
        if !self.span.reparent(context, &decision.parent) {
            return false;
        }
        self.decision = decision.sampling.decision;
        self.has_trace_state = !decision.parent.trace_state.is_empty();
        self.span.set_attributes(decision.sampling.attributes);
        true
    }
}

/// What the sampler said about a draft under another parent.
pub(in crate::hosted) struct Decision<'a> {
    trace_id: TraceId,
    flags: TraceFlags,
    parent: ParentContext<'a>,
    sampling: SamplingResult<'a>,
}
