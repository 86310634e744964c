//! The tracer, and the builder of a span.

use core::fmt;
use std::sync::Arc;

use super::inner::ProviderInner;
use super::late::Late;
use super::recorder::WHILE_UNWINDING;
use super::span::Span;
use super::thread::{self, ThreadState};
use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanKind};
use crate::hosted::clock::SpanTime;
use crate::hosted::config::HostedSampler;
use crate::hosted::rng::ThreadRng;
use crate::hosted::{clock, current};
use crate::id::RandomIdGenerator;
use crate::resource::{InstrumentationScope, ScopeId};
use crate::sampler::SamplingDecision;
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
        match current::current_without_trace_state() {
            Ok(None) => begin_in(inner, &builder(), None),
            Ok(Some(parent)) => begin_in(inner, &builder().parent(parent), None),
            Err(parent) => begin_slowly(inner, builder().parent(parent.as_parent()), None),
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
        let parent = *builder.parent_context();
        return Span::standing_for(&parent);
    };
    let plan = Plan::new(sampler, &mut state.ready().ids, builder);
    let span = state.begin_counted(&plan, inner, builder, at);
    thread::give_back(state);
    span
}

/// Starts a span under a parent with a tracestate, or with the application's sampler, which may
/// start spans itself.
#[inline(never)]
fn begin_slowly(inner: &Arc<ProviderInner>, builder: SpanBuilder<'_>, at: Option<Instant>) -> Span {
    if !inner.is_open() {
        return Span::standing_for(builder.parent_context());
    }
    let mut ids = RandomIdGenerator::new(ThreadRng);
    let plan = Plan::new(&inner.sampler, &mut ids, &builder);
    let mut state = thread::state_for(inner);
    let span = state.begin_counted(&plan, inner, &builder, at);
    thread::give_back(state);
    span
}

impl ThreadState {
    #[inline(always)]
    fn begin_counted(
        &mut self,
        plan: &Plan<'_>,
        inner: &ProviderInner,
        builder: &SpanBuilder<'_>,
        at: Option<Instant>,
    ) -> Span {
        if !plan.is_kept() {
            self.shard.count(SamplingDecision::Drop);
            return Span::non_recording(plan.context);
        }
        let Some(span) = self.begin(plan, inner, builder, at) else {
            self.shard.count(SamplingDecision::Drop);
            return Span::non_recording(plan.unsampled());
        };
        self.shard.count(plan.decision());
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
        if plan.begin(&mut *recorder, &inner.limits, builder, now) {
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
    start_time: Option<Instant>,
}

impl<'a> SpanStart<'a> {
    /// Sets the parent: a [`Span`], a [`Context`](current::Context), a
    /// [`SpanContext`](crate::context::SpanContext), or the context extracted from a request. An
    /// invalid one makes a root.
    pub fn parent(mut self, parent: impl Into<ParentContext<'a>>) -> Self {
        self.builder = self.builder.parent(parent);
        self.parent_given = true;
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
            Some(inner) => self.start_in(inner),
            None => self.start_otherwise(),
        }
    }

    /// Starts the span of a tracer that is late, or one that stands for its parent.
    #[cold]
    #[inline(never)]
    fn start_otherwise(mut self) -> Span {
        if let (Some((inner, scope)), false) = (self.tracer.provider(), current::is_suppressed()) {
            self.builder = self.builder.scope(scope);
            return self.start_in(inner);
        }
        match self.parent_given {
            true => Span::standing_for(self.builder.parent_context()),
            false => Span::of_current(),
        }
    }

    #[inline(always)]
    fn start_in(&mut self, inner: &Arc<ProviderInner>) -> Span {
        if !self.parent_given {
            // Most current spans carry no tracestate; then their context is a plain copy.
            match current::current_without_trace_state() {
                Ok(None) => {}
                Ok(Some(parent)) => self.builder.set_parent(parent.into()),
                Err(parent) => {
                    let builder = self.builder.parent(parent.as_parent());
                    return begin_slowly(inner, builder, self.start_time);
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
