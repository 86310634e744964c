//! The tracer: asks the sampler, draws the ids, and starts the span.
//!
//! ```
//! use spandrel_core::context::ParentContext;
//! use spandrel_core::span::SpanKind;
//! use spandrel_core::time::Instant;
//! use spandrel_core::tracer::{BareTracer, SpanBuilder};
//! # use spandrel_core::{id::RandomIdGenerator, sampler::AlwaysOn};
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let root = tracer.start::<256>(SpanBuilder::new("wake"), Instant::ZERO);
//! let child = tracer.start::<256>(
//!     SpanBuilder::new("radio.send").kind(SpanKind::Client).parent(*root.context()),
//!     Instant::from_millis(1),
//! );
//! assert_eq!(child.context().trace_id(), root.context().trace_id());
//! ```

use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags};
use crate::id::{IdGenerator, SpanId, TraceId};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::sampler::{
    Sampler, SamplingContext, SamplingDecision, SamplingParameters, SamplingScratch,
};
use crate::span::{BareSpan, Begin, Beginning, Log, MIN_SCRATCH_BYTES, PutLink, Recording};
use crate::time::Instant;

/// Name, parent and attributes of a new span. Set attributes and links here rather than later if a
/// sampler looks at them.
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until a tracer starts it"]
pub struct SpanBuilder<'a> {
    name: &'a str,
    scope: ScopeId,
    kind: SpanKind,
    parent: ParentContext<'a>,
    attributes: &'a [KeyValue<'a>],
    links: &'a [Link<'a>],
    /// A function pointer, so that firmware whose spans have no links does not contain the code.
    put_link: Option<PutLink>,
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
            put_link: None,
        }
    }

    /// Makes the span a child of `parent`. An invalid context makes it a root.
    pub fn parent(mut self, parent: impl Into<ParentContext<'a>>) -> Self {
        self.set_parent(parent.into());
        self
    }

    /// Sets the kind.
    pub const fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the parent that was set.
    #[must_use]
    pub const fn parent_context(&self) -> &ParentContext<'a> {
        &self.parent
    }

    /// Like [`SpanBuilder::parent`], in place.
    #[inline(always)]
    pub(crate) const fn set_parent(&mut self, parent: ParentContext<'a>) {
        self.parent = parent;
    }

    /// Sets the instrumentation scope; the default is the registry's first.
    pub const fn scope(mut self, scope: ScopeId) -> Self {
        self.scope = scope;
        self
    }

    /// The scope that was set.
    #[cfg(feature = "std")]
    pub(crate) const fn scope_id(&self) -> ScopeId {
        self.scope
    }

    /// Sets the initial attributes.
    pub const fn attributes(mut self, attributes: &'a [KeyValue<'a>]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets the links.
    pub const fn links(mut self, links: &'a [Link<'a>]) -> Self {
        self.links = links;
        self.put_link = Some(Log::add_link);
        self
    }
}

/// The numbers of spans that a tracer has started, by the sampler's decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Started {
    /// Recorded, and exported at their end.
    pub recorded: u64,
    /// Recorded, and not exported.
    pub record_only: u64,
    /// Not recorded: the sampler said drop, there was too little scratch, or the [generator of
    /// ids](IdGenerator) gave no valid id.
    pub not_sampled: u64,
}

impl Started {
    #[inline(always)]
    pub(crate) const fn count_not_sampled(&mut self) {
        self.not_sampled = self.not_sampled.wrapping_add(1);
    }
}

/// Starts spans: a sampler, a generator of ids, and limits.
///
/// It is bare: it has no clock, no thread and no global state, so times are arguments and spans
/// go to a sink of the caller. It is for firmware and for programs that drive everything
/// themselves; applications use `hosted::trace::Tracer`.
#[derive(Clone, Debug)]
pub struct BareTracer<S, G> {
    sampler: S,
    ids: G,
    limits: SpanLimits,
    started: Started,
}

impl<S: Sampler, G: IdGenerator> BareTracer<S, G> {
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

    /// Returns the same tracer with other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: SpanLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts a span at `now` with `N` bytes of scratch inside it. Less than [`MIN_SCRATCH_BYTES`]
    /// does not compile.
    #[inline]
    pub fn start<const N: usize>(
        &mut self,
        builder: SpanBuilder<'_>,
        now: Instant,
    ) -> BareSpan<[u8; N]> {
        const { assert!(N >= MIN_SCRATCH_BYTES, "the scratch of a span is too small") };
        self.start_in(builder, now, || [0; N])
    }

    /// Starts a span at `now` in memory from `scratch`, which is called only if there is something
    /// to keep. In less than [`MIN_SCRATCH_BYTES`] nothing is recorded, and the span counts as not
    /// sampled.
    #[inline]
    pub fn start_in<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        builder: SpanBuilder<'_>,
        now: Instant,
        scratch: impl FnOnce() -> B,
    ) -> BareSpan<B> {
        let memory = SamplingScratch::new();
        let plan = Plan::new(&self.sampler, &mut self.ids, &builder, None, &memory);
        // Built where it is returned: a move of the scratch costs more than all else.
        let mut span = BareSpan::non_recording(plan.context);
        let mut begun = false;
        if plan.is_kept() {
            let live = span.live.insert(Recording::idle(scratch()));
            begun = plan.begin(live, &self.limits, &builder, now);
        }
        if begun {
            plan.count(&mut self.started);
        } else {
            span.live = None;
            span.context = plan.unsampled();
            self.started.count_not_sampled();
        }
        span
    }

    /// Starts a span in place: one that [waits](BareSpan::idle), or that was [ended in
    /// place](BareSpan::end_in_place). A span that was started and not ended is lost, as if it was
    /// dropped. With less than [`MIN_SCRATCH_BYTES`] nothing is recorded, and the span counts as
    /// not sampled.
    ///
    /// A span of an array is large. [`BareTracer::start`] clears it and moves it into its place;
    /// this does neither, which saves a small processor most of the work.
    ///
    /// ```
    /// use spandrel_core::prelude::*;
    /// # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
    ///
    /// # let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
    /// let mut tracer = BareTracer::new(AlwaysOn, ids);
    /// let mut buffer = Buffer::new([0; 1024]);
    /// let mut span = BareSpan::idle([0; 192]);
    /// for second in 0..3 {
    ///     let now = Instant::from_secs(second);
    ///     tracer.start_in_place(&mut span, SpanBuilder::new("sensor.read"), now);
    ///     span.set_attribute("celsius", 21.5);
    ///     span.end_in_place(now, &mut buffer)?;
    /// }
    /// assert_eq!(buffer.len(), 3);
    /// # Ok::<(), spandrel_core::buffer::PushError>(())
    /// ```
    pub fn start_in_place<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        span: &mut BareSpan<B>,
        builder: SpanBuilder<'_>,
        now: Instant,
    ) {
        let memory = SamplingScratch::new();
        let plan = Plan::new(&self.sampler, &mut self.ids, &builder, None, &memory);
        span.context = plan.context;
        let mut begun = false;
        if let Some(live) = &mut span.live {
            live.clear();
            begun = plan.is_kept() && plan.begin(live, &self.limits, &builder, now);
        }
        if begun {
            plan.count(&mut self.started);
        } else {
            span.context = plan.unsampled();
            self.started.count_not_sampled();
        }
    }

    /// Returns the numbers of spans started so far.
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

/// Where a parent came from.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is none.
    None,
    Local,
    Remote,
}

#[cfg(feature = "tracing")]
impl Origin {
    #[inline(always)]
    pub(crate) fn of(parent: &SpanContext) -> Self {
        match parent {
            parent if !parent.is_valid() => Self::None,
            parent if parent.is_remote() => Self::Remote,
            _ => Self::Local,
        }
    }
}

/// The start of a span before anything is written. Its steps take the parts of a tracer one by one:
/// on a host all threads share the sampler and the limits, and each has its own ids.
pub(crate) struct Plan<'a> {
    pub(crate) context: SpanContext,
    /// The parent, if there is one.
    parent: Option<&'a SpanContext>,
    /// The tracestate that the span gets.
    trace_state: &'a str,
    decision: SamplingDecision,
    /// The sampler's, besides the builder's.
    attributes: &'a [KeyValue<'a>],
}

impl<'a> Plan<'a> {
    /// Asks the sampler and draws the ids.
    #[inline(always)]
    pub(crate) fn new<S: Sampler + ?Sized, G: IdGenerator>(
        sampler: &'a S,
        ids: &mut G,
        builder: &'a SpanBuilder<'a>,
        surroundings: Option<&'a (dyn SamplingContext + 'a)>,
        scratch: &'a SamplingScratch<'a>,
    ) -> Self {
        let parent = &builder.parent.span_context;
        let parent = parent.is_valid().then_some(parent);
        let (trace_id, is_random) = match parent {
            Some(parent) => (
                parent.trace_id().to_word(),
                parent.trace_flags().is_random(),
            ),
            None => (valid_trace_id(ids).to_word(), ids.is_random()),
        };
        let trace_id = TraceId::from_word(trace_id);
        let flags = TraceFlags::NONE.with_random(is_random);
        let sampling = sampler.should_sample(&SamplingParameters {
            parent: match parent {
                Some(_) => builder.parent,
                None => ParentContext::ROOT,
            },
            trace_id,
            name: builder.name,
            kind: builder.kind,
            attributes: builder.attributes,
            links: builder.links,
            surroundings,
            scratch,
        });
        let is_sampled = sampling.decision == SamplingDecision::RecordAndSample;
        let span_id = valid_span_id(ids);
        // A span without ids could not be told from others, so it is not recorded.
        let has_ids = G::NEVER_ZERO || (trace_id.is_valid() && span_id.is_valid());
        Self {
            context: SpanContext::new(trace_id, span_id, flags.with_sampled(is_sampled)),
            parent,
            trace_state: if has_ids { sampling.trace_state } else { "" },
            decision: match has_ids {
                true => sampling.decision,
                false => SamplingDecision::Drop,
            },
            attributes: sampling.attributes,
        }
    }

    /// Where the parent came from.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn origin(&self) -> Origin {
        match self.parent {
            None => Origin::None,
            Some(parent) if parent.is_remote() => Origin::Remote,
            Some(_) => Origin::Local,
        }
    }

    /// Returns the sampler's decision.
    #[inline(always)]
    pub(crate) const fn decision(&self) -> SamplingDecision {
        self.decision
    }

    /// Returns true if the span gets a tracestate, provided that there is room.
    #[cfg(feature = "tracing")]
    pub(crate) const fn has_trace_state(&self) -> bool {
        !self.trace_state.is_empty()
    }

    /// Has the span recorded, for the time being, even if the sampler drops it.
    #[cfg(feature = "tracing")]
    pub(crate) fn keep(&mut self) {
        if self.decision == SamplingDecision::Drop {
            self.decision = SamplingDecision::RecordOnly;
        }
    }

    #[inline(always)]
    const fn is_recording(&self) -> bool {
        !matches!(self.decision(), SamplingDecision::Drop)
    }

    /// Returns true if there is anything to keep besides the context: a record, or a tracestate to
    /// carry.
    #[inline(always)]
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_recording() || !self.trace_state.is_empty()
    }

    /// The context of a span that is not recorded, by the sampler's choice or for lack of scratch.
    /// Without a valid id it stands for its parent.
    #[inline]
    pub(crate) fn unsampled(&self) -> SpanContext {
        if let (Some(parent), false) = (self.parent, self.context.is_valid()) {
            return *parent;
        }
        let flags = self.context.trace_flags().with_sampled(false);
        SpanContext::new(self.context.trace_id(), self.context.span_id(), flags)
    }

    /// Begins the span in `recording`. Returns false if that has too little scratch.
    #[inline(always)]
    pub(crate) fn begin(
        &self,
        recording: &mut impl Begin,
        limits: &SpanLimits,
        builder: &SpanBuilder<'_>,
        now: Instant,
    ) -> bool {
        let begun = recording.begin(&Beginning {
            limits,
            context: &self.context,
            parent: self.parent,
            trace_state: self.trace_state,
            inherited_state: builder.parent.trace_state,
            name: builder.name,
            kind: builder.kind,
            scope: builder.scope,
            start: now,
            is_recording: self.is_recording(),
        });
        if !(builder.attributes.is_empty() && self.attributes.is_empty()) {
            recording.set_attributes(builder.attributes);
            recording.set_attributes(self.attributes);
        }
        for link in builder.links {
            recording.add_link_by(builder.put_link, link);
        }
        begun
    }

    /// Counts the span that was begun.
    #[inline(always)]
    pub(crate) const fn count(&self, started: &mut Started) {
        let counter = match self.decision {
            SamplingDecision::RecordAndSample => &mut started.recorded,
            SamplingDecision::RecordOnly => &mut started.record_only,
            SamplingDecision::Drop => &mut started.not_sampled,
        };
        *counter = counter.wrapping_add(1);
    }
}

/// How often an id that is not valid is drawn again.
const REDRAWS: usize = 3;

#[inline(always)]
fn valid_trace_id<G: IdGenerator>(ids: &mut G) -> TraceId {
    let id = ids.trace_id();
    if G::NEVER_ZERO || id.is_valid() {
        return id;
    }
    let mut others = (0..REDRAWS).map(|_| ids.trace_id());
    others.find(|id| id.is_valid()).unwrap_or_default()
}

#[inline(always)]
fn valid_span_id<G: IdGenerator>(ids: &mut G) -> SpanId {
    let id = ids.span_id();
    if G::NEVER_ZERO || id.is_valid() {
        return id;
    }
    let mut others = (0..REDRAWS).map(|_| ids.span_id());
    others.find(|id| id.is_valid()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::id::RandomIdGenerator;
    use crate::sampler::{AlwaysOff, AlwaysOn, ParentBased};
    use crate::span::Status;
    use crate::test_support::TestRng;
    use std::vec::Vec;

    fn tracer<S: Sampler>(sampler: S) -> BareTracer<S, RandomIdGenerator<TestRng>> {
        BareTracer::new(sampler, RandomIdGenerator::new(TestRng::new(1)))
    }

    fn bodies(buffer: &mut Buffer<[u8; 1024]>) -> Vec<Vec<u8>> {
        let lease = buffer.lease(&mut |_| true).unwrap();
        buffer.records(&lease).map(|r| r.body.to_vec()).collect()
    }

    #[test]
    fn a_span_in_place_is_recorded_as_one_that_is_returned_and_nothing_is_left_of_the_one_before() {
        let remote = SpanContext::remote(
            TraceId::from_bytes([1; 16]),
            SpanId::from_bytes([2; 8]),
            TraceFlags::SAMPLED,
        );
        let parent = ParentContext {
            span_context: remote,
            trace_state: "a=b",
        };
        let builders = [
            SpanBuilder::new("a name that is longer than the next").parent(parent),
            SpanBuilder::new("short"),
        ];
        let (mut returned, mut in_place) = (Buffer::new([0; 1024]), Buffer::new([0; 1024]));
        let (mut one, mut other) = (tracer(AlwaysOn), tracer(AlwaysOn));
        let mut place = BareSpan::idle([0xff; 192]);
        for (i, builder) in builders.into_iter().enumerate() {
            let now = Instant::from_secs(i as u64);
            let mut span = one.start::<192>(builder, now);
            other.start_in_place(&mut place, builder, now);
            assert_eq!(place.context(), span.context());
            assert_eq!(place.trace_state(), span.trace_state());
            if i == 0 {
                for span in [&mut span, &mut place] {
                    span.set_attribute("k", 1_i64);
                    span.set_status(Status::Ok);
                }
            }
            span.end(now, &mut returned).unwrap();
            place.end_in_place(now, &mut in_place).unwrap();
            // The second end finds nothing to do.
            place.end_in_place(now, &mut in_place).unwrap();
        }
        assert_eq!(one.started(), other.started());
        assert_eq!(bodies(&mut in_place), bodies(&mut returned));
    }

    #[test]
    fn a_span_in_place_that_is_not_recorded_ends_without_a_record() {
        let mut buffer = Buffer::new([0; 1024]);
        let mut place = BareSpan::idle([0; 192]);
        place.set_attribute("k", 1_i64);
        place.end_in_place(Instant::ZERO, &mut buffer).unwrap();
        tracer(AlwaysOn).start_in_place(&mut place, SpanBuilder::new("a"), Instant::ZERO);
        tracer(ParentBased::new(AlwaysOff)).start_in_place(
            &mut place,
            SpanBuilder::new("b"),
            Instant::ZERO,
        );
        assert!(place.context().is_valid() && !place.is_recording());
        place.end_in_place(Instant::ZERO, &mut buffer).unwrap();
        assert!(buffer.is_empty());
    }

    #[test]
    fn scratch_below_the_least_counts_as_not_sampled() {
        let mut tracer = tracer(AlwaysOn);
        let mut place = BareSpan::idle([0; MIN_SCRATCH_BYTES - 1]);
        tracer.start_in_place(&mut place, SpanBuilder::new("a"), Instant::ZERO);
        assert!(!place.context().is_sampled() && !place.is_recording());
        assert_eq!(tracer.started().not_sampled, 1);
    }
}
