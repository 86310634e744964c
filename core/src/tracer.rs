//! The tracer: asks the sampler, draws the ids, starts the span (checklist D-035).
//!
//! ```
//! use spandrel_core::context::ParentContext;
//! use spandrel_core::span::SpanKind;
//! use spandrel_core::time::Instant;
//! use spandrel_core::tracer::{SpanBuilder, Tracer};
//! # use spandrel_core::{id::RandomIdGenerator, sampler::AlwaysOn, test_support::TestRng};
//!
//! let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
//! let root = tracer.start::<256>(SpanBuilder::new("wake"), Instant::ZERO);
//! let child = tracer.start::<256>(
//!     SpanBuilder::new("radio.send").kind(SpanKind::Client).parent(*root.context()),
//!     Instant::from_millis(1),
//! );
//! assert_eq!(child.context().trace_id(), root.context().trace_id());
//! ```

use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags};
use crate::id::IdGenerator;
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::sampler::{Sampler, SamplingDecision, SamplingParameters};
use crate::span::{Log, MIN_SCRATCH_BYTES, Span};
use crate::time::Instant;

/// What a span is started with. Give attributes and links here rather than later when a sampler
/// may want to see them (checklist D-031).
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until a tracer starts it"]
pub struct SpanBuilder<'a> {
    name: &'a str,
    scope: ScopeId,
    kind: SpanKind,
    parent: ParentContext<'a>,
    attributes: &'a [KeyValue<'a>],
    links: &'a [Link<'a>],
}

impl<'a> SpanBuilder<'a> {
    /// A root span of kind internal, named `name`.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            scope: ScopeId(0),
            kind: SpanKind::Internal,
            parent: ParentContext::ROOT,
            attributes: &[],
            links: &[],
        }
    }

    /// Makes the span a child of `parent`; an invalid context makes it a root (checklist D-032).
    pub fn parent(mut self, parent: impl Into<ParentContext<'a>>) -> Self {
        self.parent = parent.into();
        self
    }

    /// Sets the kind.
    pub const fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    /// The parent that was set.
    #[must_use]
    pub const fn parent_context(&self) -> &ParentContext<'a> {
        &self.parent
    }

    /// Sets the instrumentation scope; without this it is the first of the registry.
    pub const fn scope(mut self, scope: ScopeId) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the initial attributes.
    pub const fn attributes(mut self, attributes: &'a [KeyValue<'a>]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets the links.
    pub const fn links(mut self, links: &'a [Link<'a>]) -> Self {
        self.links = links;
        self
    }
}

/// How many spans a tracer has started, by the sampler's decision (checklist G-017).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Started {
    /// Recorded and to be exported.
    pub recorded: u64,
    /// Recorded only.
    pub record_only: u64,
    /// Not recorded: the sampler said drop.
    pub not_sampled: u64,
}

/// Starts spans: a sampler, a generator of ids, and limits.
#[derive(Clone, Debug)]
pub struct Tracer<S, G> {
    sampler: S,
    ids: G,
    limits: SpanLimits,
    started: Started,
}

impl<S: Sampler, G: IdGenerator> Tracer<S, G> {
    /// A tracer with the specification's limits.
    pub const fn new(sampler: S, ids: G) -> Self {
        Self {
            sampler,
            ids,
            limits: SpanLimits::DEFAULT,
            started: Started {
                recorded: 0,
                record_only: 0,
                not_sampled: 0,
            },
        }
    }

    /// The same tracer with other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: SpanLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts a span at `now` with `N` bytes of scratch inside it; at least
    /// [`MIN_SCRATCH_BYTES`], which is checked when this is compiled.
    #[inline]
    pub fn start<const N: usize>(
        &mut self,
        builder: SpanBuilder<'_>,
        now: Instant,
    ) -> Span<[u8; N]> {
        const { assert!(N >= MIN_SCRATCH_BYTES, "the scratch of a span is too small") };
        self.start_in(builder, now, || [0; N])
    }

    /// Starts a span at `now` in the memory that `scratch` makes, which is asked for only when
    /// there is something to keep. In less than [`MIN_SCRATCH_BYTES`] nothing is recorded, and
    /// the span counts as not sampled.
    #[inline]
    pub fn start_in<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        builder: SpanBuilder<'_>,
        now: Instant,
        scratch: impl FnOnce() -> B,
    ) -> Span<B> {
        let Self {
            sampler,
            ids,
            limits,
            started,
        } = self;
        start_span(sampler, ids, limits, started, builder, || now, scratch)
    }

    /// What has been started so far.
    #[must_use]
    pub const fn started(&self) -> Started {
        self.started
    }

    /// The sampler.
    #[must_use]
    pub const fn sampler(&self) -> &S {
        &self.sampler
    }
}

/// The steps of starting a span, over parts that may live in different places: on a host the
/// sampler and the limits are shared by all threads and the ids belong to each. The clock is read
/// only for a span that is kept, and late, so that a span measures its work and not its start.
#[inline(always)]
pub(crate) fn start_span<S, G, B>(
    sampler: &S,
    ids: &mut G,
    limits: &SpanLimits,
    started: &mut Started,
    builder: SpanBuilder<'_>,
    now: impl FnOnce() -> Instant,
    scratch: impl FnOnce() -> B,
) -> Span<B>
where
    S: Sampler + ?Sized,
    G: IdGenerator,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut parent = builder.parent;
    let (trace_id, flags) = if parent.span_context.is_valid() {
        let inherited = parent.span_context.trace_flags().is_random();
        (
            parent.span_context.trace_id(),
            TraceFlags::NONE.with_random(inherited),
        )
    } else {
        parent = ParentContext::ROOT;
        (ids.trace_id(), TraceFlags::NONE.with_random(G::RANDOM))
    };
    let sampling = sampler.should_sample(&SamplingParameters {
        parent,
        trace_id,
        name: builder.name,
        kind: builder.kind,
        attributes: builder.attributes,
        links: builder.links,
    });
    let sampled = sampling.decision == SamplingDecision::RecordAndSample;
    let recording = sampling.decision != SamplingDecision::Drop;
    let context = SpanContext::new(trace_id, ids.span_id(), flags.with_sampled(sampled));
    parent.trace_state = sampling.trace_state;
    if !recording && parent.trace_state.is_empty() {
        started.not_sampled = started.not_sampled.wrapping_add(1);
        return Span::non_recording(context);
    }
    let mut scratch = scratch();
    let bytes = scratch.as_mut();
    let log = Log::begin(
        bytes,
        limits,
        &context,
        &parent,
        builder.name,
        builder.kind,
        now(),
    );
    let Some(mut log) = log else {
        started.not_sampled = started.not_sampled.wrapping_add(1);
        return Span::non_recording(SpanContext::new(trace_id, context.span_id(), flags));
    };
    let counter = match (recording, sampled) {
        (true, true) => &mut started.recorded,
        (true, false) => &mut started.record_only,
        (false, _) => &mut started.not_sampled,
    };
    *counter = counter.wrapping_add(1);
    if recording {
        for attribute in builder.attributes.iter().chain(sampling.attributes) {
            log.set_attribute(bytes, attribute.key, &attribute.value);
        }
        for link in builder.links {
            log.add_link(bytes, link);
        }
    }
    Span::new(context, builder.scope, recording, scratch, log)
}
