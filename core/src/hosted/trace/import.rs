//! Spans that another library has finished.

use core::mem::ManuallyDrop;

use super::span::Span;
use super::thread;
use super::tracer::Tracer;
use crate::attribute::KeyValue;
use crate::context::{ParentContext, SpanContext, SpanKind};
use crate::id::{IdGenerator, SpanId, TraceId};
use crate::sampler::{AlwaysOn, SamplingScratch};
use crate::time::Instant;
use crate::tracer::{Plan, SpanBuilder};

/// A finished span, up to what [`Span`] takes.
pub(in crate::hosted) struct ImportedSpan<'a> {
    pub(in crate::hosted) context: SpanContext,
    /// Its span id is the parent's; zero for a root.
    pub(in crate::hosted) parent: ParentContext<'a>,
    pub(in crate::hosted) name: &'a str,
    pub(in crate::hosted) kind: SpanKind,
    pub(in crate::hosted) attributes: &'a [KeyValue<'a>],
    pub(in crate::hosted) start: Instant,
}

/// The ids that the span has.
struct GivenIds(SpanContext);

impl IdGenerator for GivenIds {
    const RANDOM: bool = false;

    fn is_random(&self) -> bool {
        self.0.trace_flags().is_random()
    }

    fn trace_id(&mut self) -> TraceId {
        self.0.trace_id()
    }

    fn span_id(&mut self) -> SpanId {
        self.0.span_id()
    }
}

impl Tracer {
    /// A span with the ids and the start of `span`, whatever the sampler says; it is to be given the rest
    /// and its end. `None` if nothing is recorded now.
    pub(in crate::hosted) fn import(&self, span: &ImportedSpan<'_>) -> Option<Span> {
        let (inner, scope) = self.provider()?;
        if !inner.is_open() {
            return None;
        }
        let builder = SpanBuilder::new(span.name)
            .scope(scope)
            .kind(span.kind)
            .parent(span.parent)
            .attributes(span.attributes);
        // The sampler keeps nothing there.
        let memory = ManuallyDrop::new(SamplingScratch::new());
        let mut ids = GivenIds(span.context);
        let plan = Plan::new(&AlwaysOn, &mut ids, &builder, None, &memory);
        let mut state = thread::state_for(inner);
        let started = state.begin_counted(&plan, inner, &builder, Some(span.start));
        thread::give_back(state);
        Some(started)
    }
}
