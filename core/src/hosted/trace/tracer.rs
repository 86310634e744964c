//! The tracer, and the builder of a span.

use core::fmt;
use core::mem::ManuallyDrop;
use std::sync::Arc;

use super::inner::ProviderInner;
use super::late::Late;
use super::parent::{Parent, take_over};
use super::recorder::WHILE_UNWINDING;
use super::span::Span;
use super::surroundings::Surroundings;
use super::thread::{self, ThreadState};
use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanKind};
use crate::hosted::clock::SpanTime;
use crate::hosted::config::HostedSampler;
use crate::hosted::current::Context;
use crate::hosted::rng::ThreadRng;
use crate::hosted::{clock, current};
use crate::id::RandomIdGenerator;
use crate::resource::{InstrumentationScope, ScopeId};
use crate::sampler::{SamplingDecision, SamplingScratch};
use crate::time::Instant;
use crate::tracer::{Plan, SpanBuilder};

/// Starts spans of one scope. Cheap to clone; share it freely between threads.
///
/// Without a pipeline that is running, its spans record nothing and stand for their parents, so that
/// what came with a request goes on unchanged: while tracing is disabled or suppressed, before `init`
/// (see [`tracer`](super::tracer)), and after the shutdown.
#[derive(Clone, Debug)]
pub struct Tracer {
    source: Source,
    scope: ScopeId,
}

#[derive(Clone, Debug)]
enum Source {
    Nothing,
    Provider(Arc<ProviderInner>),
    Late(Arc<Late>),
}

impl Tracer {
    /// A tracer whose spans are never recorded.
    #[must_use]
    pub const fn disabled() -> Self {
        Self {
            source: Source::Nothing,
            scope: ScopeId(0),
        }
    }

    pub(super) const fn new(inner: Arc<ProviderInner>, scope: ScopeId) -> Self {
        Self {
            source: Source::Provider(inner),
            scope,
        }
    }

    /// A tracer of the process-wide provider, as soon as there is one.
    pub(super) fn late(scope: &InstrumentationScope<'_>) -> Self {
        Self {
            source: Source::Late(Arc::new(Late::new(scope))),
            scope: ScopeId(0),
        }
    }

    /// The provider, and the number of the scope there.
    #[inline(always)]
    pub(super) fn provider(&self) -> Option<(&Arc<ProviderInner>, ScopeId)> {
        match &self.source {
            Source::Provider(inner) => Some((inner, self.scope)),
            Source::Nothing => None,
            Source::Late(late) => late.provider(),
        }
    }

    /// Returns true if a span of this tracer could be recorded. Ask before costly preparations.
    #[must_use]
    pub fn enabled(&self) -> bool {
        let provider = self.provider();
        provider.is_some_and(|(inner, _)| inner.is_open()) && !current::is_suppressed()
    }

    /// Starts a span of kind internal, a child of the thread's current span.
    #[inline]
    pub fn start(&self, name: &str) -> Span {
        // Only this much is inlined into the application, so disabled tracing is a few stores.
        if matches!(self.source, Source::Nothing) {
            return Span::of_current();
        }
        self.start_enabled(name)
    }

    /// Describes a span with a kind, a parent, attributes or links, to be started with
    /// [`SpanStart::start`].
    #[inline]
    pub const fn span<'a>(&'a self, name: &'a str) -> SpanStart<'a> {
        SpanStart {
            tracer: self,
            builder: SpanBuilder::new(name).scope(self.scope),
            parent_given: false,
            context: None,
            start_time: None,
        }
    }

    /// The present time of the clock that times spans.
    #[must_use]
    pub fn now(&self) -> Instant {
        match self.provider() {
            Some((inner, _)) => inner.clock.now(),
            None => Instant::ZERO,
        }
    }

    #[inline(never)]
    fn start_enabled(&self, name: &str) -> Span {
        let Some(inner) = self.recording() else {
            return self.start_unusual(name);
        };
        // Built in each case, so that it stays in registers: most of it is known here.
        let builder = || SpanBuilder::new(name).scope(self.scope);
        match current::current_in_short() {
            Ok(None) => begin_in(inner, &builder(), None),
            Ok(Some(parent)) => begin_in(inner, &builder().parent(parent), None),
            Err(parent) => {
                let builder = builder().parent(parent.as_parent());
                begin_within(inner, builder, None, &parent)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn start_unusual(&self, name: &str) -> Span {
        self.span(name).start_otherwise()
    }

    /// The provider, in the usual case: the tracer came from it, and nothing is suppressed here.
    #[inline(always)]
    fn recording(&self) -> Option<&Arc<ProviderInner>> {
        match &self.source {
            Source::Provider(inner) if !current::is_suppressed() => Some(inner),
            _ => None,
        }
    }
}

#[inline(always)]
fn begin_in(inner: &Arc<ProviderInner>, builder: &SpanBuilder<'_>, at: Option<Instant>) -> Span {
    let HostedSampler::Builtin(sampler) = &inner.sampler else {
        return begin_slowly(inner, *builder, at);
    };
    // No foreign code runs while the thread's state is taken out.
    let Some(mut state) = thread::open_state_for(inner) else {
        // A copy, so that the builder need not be in memory.
        return begin_slowly(inner, *builder, at);
    };
    // A built-in sampler keeps nothing in it, so there is nothing to look for at the end.
    let memory = ManuallyDrop::new(SamplingScratch::new());
    let plan = Plan::new(sampler, &mut state.ready().ids, builder, None, &memory);
    let span = state.begin_counted(&plan, inner, builder, at);
    thread::give_back(state);
    span
}

/// Starts a span under a context with more than a span.
#[inline(never)]
fn begin_within(
    inner: &Arc<ProviderInner>,
    builder: SpanBuilder<'_>,
    at: Option<Instant>,
    context: &Context,
) -> Span {
    begin_with(inner, builder, at, Some(context))
}

/// Starts a span under a parent with a tracestate, or with code of the program: its sampler, its
/// generator of ids and its processors may start spans themselves. One that stands for its parent
/// after the shutdown.
#[inline(never)]
fn begin_slowly(inner: &Arc<ProviderInner>, builder: SpanBuilder<'_>, at: Option<Instant>) -> Span {
    begin_with(inner, builder, at, None)
}

fn begin_with(
    inner: &Arc<ProviderInner>,
    builder: SpanBuilder<'_>,
    at: Option<Instant>,
    context: Option<&Context>,
) -> Span {
    if !inner.is_open() {
        let mut span = Span::standing_for(builder.parent_context());
        if let Some(context) = context {
            take_over(&mut span, context, &inner.baggage_attributes);
        }
        return span;
    }
    let (surroundings, memory);
    let unused = ManuallyDrop::new(SamplingScratch::new());
    let plan = match &inner.sampler {
        // Then the ids are random ones, too.
        HostedSampler::Builtin(sampler) => {
            let mut ids = RandomIdGenerator::new(ThreadRng);
            Plan::new(sampler, &mut ids, &builder, None, &unused)
        }
        // By way of `HostedSampler`, which checks what it gives.
        sampler @ HostedSampler::Custom(_) => {
            surroundings = Surroundings::new(inner, builder.scope_id(), context);
            memory = SamplingScratch::new();
            let mut ids = inner.ids();
            Plan::new(sampler, &mut ids, &builder, Some(&surroundings), &memory)
        }
    };
    let mut state = thread::state_for(inner);
    let mut span = state.begin_counted(&plan, inner, &builder, at);
    thread::give_back(state);
    if let Some(context) = context {
        take_over(&mut span, context, &inner.baggage_attributes);
    }
    if inner.hooks.is_some() {
        let span_context = *span.context();
        if let Some(recorder) = span.recorder_mut() {
            let parent = match context {
                Some(context) => context.clone(),
                None => current::context_of(*builder.parent_context()),
            };
            thread::show_start(inner, span_context, recorder, &parent);
        }
    }
    span
}

impl ThreadState {
    #[inline(always)]
    pub(super) fn begin_counted(
        &mut self,
        plan: &Plan<'_>,
        inner: &ProviderInner,
        builder: &SpanBuilder<'_>,
        at: Option<Instant>,
    ) -> Span {
        if !plan.is_kept() {
            self.shard.count(SamplingDecision::Drop, plan.origin());
            return Span::non_recording(plan.context);
        }
        let Some(span) = self.begin(plan, inner, builder, at) else {
            self.shard.count(SamplingDecision::Drop, plan.origin());
            return Span::non_recording(plan.unsampled());
        };
        self.shard.count(plan.decision(), plan.origin());
        span
    }

    /// Begins a span that is recorded; `None` if the recorder is too small for its fixed fields.
    /// The clock is read late, so that a span does not measure its own start.
    #[inline(always)]
    pub(super) fn begin(
        &mut self,
        plan: &Plan<'_>,
        inner: &ProviderInner,
        builder: &SpanBuilder<'_>,
        at: Option<Instant>,
    ) -> Option<Span> {
        let mut recorder = self.pool.take();
        if std::thread::panicking() {
            recorder.provider |= WHILE_UNWINDING;
        }
        let now = at.unwrap_or_else(clock::now);
        if plan.begin(&mut recorder.recording, &inner.limits, builder, now) {
            return Some(Span::of(plan.context, recorder));
        }
        recorder.provider &= !WHILE_UNWINDING;
        self.pool.put(recorder);
        None
    }
}

/// A span about to be started.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is started before `start`"]
pub struct SpanStart<'a> {
    tracer: &'a Tracer,
    builder: SpanBuilder<'a>,
    parent_given: bool,
    /// The parent's, if there is more in it than the parent.
    context: Option<&'a Context>,
    start_time: Option<Instant>,
}

impl<'a> SpanStart<'a> {
    /// Sets the parent: a [`Span`], a [`Context`], a [`SpanContext`](crate::context::SpanContext), or
    /// what was extracted from a request. An invalid one makes a root. The values of a context become
    /// current when the span is entered.
    pub fn parent(mut self, parent: impl Into<Parent<'a>>) -> Self {
        let parent = parent.into();
        self.builder = self.builder.parent(parent.span);
        self.parent_given = true;
        self.context = parent.context;
        self
    }

    /// Makes a root, whatever span is current.
    pub fn root(self) -> Self {
        self.parent(ParentContext::ROOT)
    }

    /// Sets the kind.
    pub const fn kind(mut self, kind: SpanKind) -> Self {
        self.builder = self.builder.kind(kind);
        self
    }

    /// Sets the initial attributes, which samplers see.
    pub const fn attributes(mut self, attributes: &'a [KeyValue<'a>]) -> Self {
        self.builder = self.builder.attributes(attributes);
        self
    }

    /// Sets the links, which samplers see.
    pub const fn links(mut self, links: &'a [Link<'a>]) -> Self {
        self.builder = self.builder.links(links);
        self
    }

    /// Sets the start time: a `SystemTime`, a `std::time::Instant` or another [`SpanTime`], also one
    /// long ago.
    pub fn start_time(mut self, at: impl Into<SpanTime>) -> Self {
        self.start_time = Some(at.into().to_instant());
        self
    }

    /// Starts the span. It does not become current.
    pub fn start(mut self) -> Span {
        let tracer = self.tracer;
        match tracer.recording() {
            Some(inner) if self.context.is_none() => self.start_in(inner),
            _ => self.start_otherwise(),
        }
    }

    /// Starts the span of a tracer that is late, one under a context with values, or one that stands
    /// for its parent.
    #[cold]
    #[inline(never)]
    fn start_otherwise(mut self) -> Span {
        let provider = self.tracer.provider();
        let mut span = match provider.filter(|_| !current::is_suppressed()) {
            Some((inner, scope)) => {
                self.builder = self.builder.scope(scope);
                match self.context {
                    Some(context) => begin_within(inner, self.builder, self.start_time, context),
                    None => self.start_in(inner),
                }
            }
            None if self.parent_given => Span::standing_for(self.builder.parent_context()),
            None => Span::of_current(),
        };
        if let Some(context) = self.context {
            span.carry(context);
        }
        span
    }

    #[inline(always)]
    fn start_in(&mut self, inner: &Arc<ProviderInner>) -> Span {
        if !self.parent_given {
            // Beside most current spans there is nothing; then their context is a plain copy.
            match current::current_in_short() {
                Ok(None) => {}
                Ok(Some(parent)) => self.builder.set_parent(parent.into()),
                Err(parent) => {
                    let builder = self.builder.parent(parent.as_parent());
                    return begin_within(inner, builder, self.start_time, &parent);
                }
            }
        }
        begin_in(inner, &self.builder, self.start_time)
    }

    /// Starts the span, runs `work` with it current, and ends it.
    pub fn in_scope<T>(self, work: impl FnOnce(&mut Span) -> T) -> T {
        let mut span = self.start();
        let _current = span.enter();
        work(&mut span)
    }

    /// Starts the span, runs `work` with it current, sets the status from the result as
    /// [`Span::set_outcome`] does, and ends the span.
    ///
    /// ```
    /// # use spandrel_core::hosted::trace::TracerProvider;
    /// # let tracer = TracerProvider::disabled().tracer("shop");
    /// let quantity = tracer.span("quantity.parse").try_in_scope(|span| {
    ///     span.set_attribute("text", "three");
    ///     "three".parse::<u32>()
    /// });
    /// assert!(quantity.is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `work`.
    pub fn try_in_scope<T, E: fmt::Display>(
        self,
        work: impl FnOnce(&mut Span) -> Result<T, E>,
    ) -> Result<T, E> {
        self.in_scope(|span| {
            let outcome = work(span);
            span.set_outcome(&outcome);
            outcome
        })
    }
}
