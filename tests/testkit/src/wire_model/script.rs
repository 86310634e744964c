//! The calls made on one span, as data.

use std::fmt;

use crate::rng::TestRng;
use arbitrary::{Arbitrary, Result, Unstructured};
use bumpalo::Bump;
use opentelemetry_proto::tonic::trace::v1;
use spandrel_core::attribute::{KeyValue, ValueLimits};
use spandrel_core::buffer::{PushError, RecordSink};
use spandrel_core::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags, TraceState};
use spandrel_core::id::{IdGenerator, RandomIdGenerator, SpanId, TraceId};
use spandrel_core::limits::SpanLimits;
use spandrel_core::resource::ScopeId;
use spandrel_core::sampler::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use spandrel_core::span::{BareSpan, MIN_SCRATCH_BYTES, Status};
use spandrel_core::time::Instant;
use spandrel_core::tracer::{BareTracer, SpanBuilder};

use super::gen_text::text;
use super::span::SpanModel;
use super::value::{Attributes, ModelValue, attributes, borrow, few};

/// A parent, or the target of a link.
#[derive(Clone, Copy, Debug)]
pub struct ParentScript {
    /// Bytes of the trace id; zero makes the context invalid.
    pub trace_id: u128,
    /// Bytes of the span id; zero makes the context invalid.
    pub span_id: u64,
    /// All eight bits of the flags.
    pub flags: u8,
    /// It comes from another process.
    pub is_remote: bool,
}

impl ParentScript {
    /// The span context.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        let make = if self.is_remote {
            SpanContext::remote
        } else {
            SpanContext::new
        };
        make(
            TraceId::from_bytes(self.trace_id.to_be_bytes()),
            SpanId::from_bytes(self.span_id.to_be_bytes()),
            TraceFlags::from_bits(self.flags),
        )
    }
}

impl<'a> Arbitrary<'a> for ParentScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let choice: u8 = u.int_in_range(0..=7)?;
        Ok(Self {
            trace_id: if choice & 3 == 0 { 0 } else { u.arbitrary()? },
            span_id: if choice == 1 { 0 } else { u.arbitrary()? },
            flags: u.arbitrary()?,
            is_remote: u.arbitrary()?,
        })
    }
}

/// A link.
#[derive(Clone, Debug)]
pub struct LinkScript {
    /// The span pointed to.
    pub context: ParentScript,
    /// Its tracestate.
    pub trace_state: String,
    /// What it means.
    pub attributes: Attributes,
}

impl LinkScript {
    fn borrow<'b>(&'b self, bump: &'b Bump) -> Link<'b> {
        Link {
            span_context: self.context.context(),
            trace_state: &self.trace_state,
            attributes: borrow(bump, &self.attributes),
        }
    }
}

impl<'a> Arbitrary<'a> for LinkScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            context: u.arbitrary()?,
            trace_state: trace_state(u)?,
            attributes: attributes(u)?,
        })
    }
}

/// An error that prints its parts one by one.
#[derive(Clone, Debug)]
pub struct ScriptError {
    /// What it prints.
    pub parts: Vec<String>,
    /// It is recorded as a `dyn Error`.
    pub is_dyn: bool,
}

impl ScriptError {
    /// The type as `exception.type` has it; the type of a trait object is not known.
    #[must_use]
    pub fn type_name(&self) -> Option<&'static str> {
        (!self.is_dyn).then(std::any::type_name::<Self>)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| f.write_str(part))
    }
}

impl std::error::Error for ScriptError {}

/// One call on a span.
#[derive(Clone, Debug)]
pub enum Op {
    /// `set_attribute`.
    SetAttribute(String, ModelValue),
    /// `set_attributes`.
    SetAttributes(Attributes),
    /// `add_event`, with its time.
    AddEvent(String, Attributes, u64),
    /// `add_link`.
    AddLink(LinkScript),
    /// `set_status(Unset)`.
    StatusUnset,
    /// `set_status(Ok)`.
    StatusOk,
    /// `set_status(Error)`.
    StatusError(String),
    /// `update_name`.
    UpdateName(String),
    /// `record_error_with`, with its time.
    RecordError(ScriptError, Attributes, u64),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=13)? {
            0..=4 => Self::SetAttribute(super::key(u)?, u.arbitrary()?),
            5 => Self::SetAttributes(attributes(u)?),
            6 | 7 => Self::AddEvent(text(u)?, attributes(u)?, time(u)?),
            8 => Self::AddLink(u.arbitrary()?),
            9 => Self::StatusUnset,
            10 => Self::StatusOk,
            11 => Self::StatusError(text(u)?),
            12 => Self::UpdateName(text(u)?),
            _ => Self::RecordError(
                ScriptError {
                    parts: few(u, text)?,
                    is_dyn: u.arbitrary()?,
                },
                attributes(u)?,
                time(u)?,
            ),
        })
    }
}

impl Op {
    fn run(&self, span: &mut BareSpan<Vec<u8>>) {
        let bump = Bump::new();
        match self {
            Self::SetAttribute(key, value) => span.set_attribute(key, value.borrow(&bump)),
            Self::SetAttributes(attributes) => span.set_attributes(borrow(&bump, attributes)),
            Self::AddEvent(name, attributes, time) => {
                let now = Instant::from_nanos(*time);
                span.add_event(name, borrow(&bump, attributes), now);
            }
            Self::AddLink(link) => span.add_link(&link.borrow(&bump)),
            Self::StatusUnset => span.set_status(Status::Unset),
            Self::StatusOk => span.set_status(Status::Ok),
            Self::StatusError(description) => span.set_status(Status::error(description)),
            Self::UpdateName(name) => span.update_name(name),
            Self::RecordError(error, attributes, time) => {
                let now = Instant::from_nanos(*time);
                let attributes = borrow(&bump, attributes);
                if error.is_dyn {
                    let error: &dyn std::error::Error = error;
                    span.record_error_with(error, attributes, now);
                } else {
                    span.record_error_with(error, attributes, now);
                }
            }
        }
    }
}

/// What the sampler answers.
#[derive(Clone, Debug)]
pub struct SamplerScript {
    /// The decision.
    pub decision: SamplingDecision,
    /// Attributes that it adds.
    pub attributes: Attributes,
    /// Its tracestate; `None` passes that of the parent on.
    pub trace_state: Option<String>,
}

impl<'a> Arbitrary<'a> for SamplerScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            decision: match u.int_in_range(0..=7)? {
                0 => SamplingDecision::Drop,
                1 => SamplingDecision::RecordOnly,
                _ => SamplingDecision::RecordAndSample,
            },
            attributes: if u.ratio(1, 4)? {
                attributes(u)?
            } else {
                Vec::new()
            },
            trace_state: if u.ratio(1, 4)? {
                Some(trace_state(u)?)
            } else {
                None
            },
        })
    }
}

struct ScriptSampler<'b> {
    script: &'b SamplerScript,
    attributes: &'b [KeyValue<'b>],
}

impl Sampler for ScriptSampler<'_> {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult {
            decision: self.script.decision,
            attributes: self.attributes,
            trace_state: match &self.script.trace_state {
                Some(state) => state,
                None => parameters.parent.trace_state,
            },
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptSampler")
    }
}

/// The whole life of one span.
#[derive(Clone, Debug)]
pub struct SpanScript {
    /// Its first name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Its scope, by number.
    pub scope: usize,
    /// Its parent; not valid makes it a root.
    pub parent: ParentScript,
    /// The tracestate of the parent.
    pub trace_state: String,
    /// The sampler.
    pub sampler: SamplerScript,
    /// Initial attributes.
    pub attributes: Attributes,
    /// Initial links.
    pub links: Vec<LinkScript>,
    /// The limits of the tracer.
    pub limits: SpanLimits,
    /// Bytes of scratch.
    pub scratch: usize,
    /// When it starts, in nanoseconds.
    pub start: u64,
    /// What is called on it.
    pub ops: Vec<Op>,
    /// When it ends; maybe before its start.
    pub end: u64,
}

impl<'a> Arbitrary<'a> for SpanScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        use SpanKind::{Client, Consumer, Internal, Producer, Server};
        Ok(Self {
            name: text(u)?,
            kind: *u.choose(&[Internal, Server, Client, Producer, Consumer])?,
            scope: u.int_in_range(0..=4)?,
            parent: u.arbitrary()?,
            trace_state: trace_state(u)?,
            sampler: u.arbitrary()?,
            attributes: attributes(u)?,
            links: if u.ratio(1, 4)? {
                few(u, |u| u.arbitrary())?
            } else {
                Vec::new()
            },
            limits: limits(u)?,
            scratch: match u.int_in_range(0..=5)? {
                0 => u.int_in_range(0..=2 * MIN_SCRATCH_BYTES)?,
                1 => u.int_in_range(MIN_SCRATCH_BYTES..=500)?,
                _ => 8192,
            },
            start: time(u)?,
            ops: {
                let count = u.int_in_range(0..=16)?;
                (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?
            },
            end: time(u)?,
        })
    }
}

/// What became of a script.
#[derive(Debug)]
pub struct Started {
    /// What must be on the wire, in monotonic time; `None` when the span is not exported.
    pub expected: Option<v1::Span>,
    /// What the sink said.
    pub pushed: std::result::Result<(), PushError>,
}

impl SpanScript {
    /// Runs the script against the tracer and the model side by side, and ends into `sink`.
    ///
    /// `seed` makes the ids; `scope` is the registered scope of number [`SpanScript::scope`].
    ///
    /// # Panics
    ///
    /// When the tracer breaks a rule that shows before the wire.
    pub fn run(&self, seed: u64, scope: ScopeId, sink: &mut impl RecordSink) -> Started {
        let bump = Bump::new();
        let sampler = ScriptSampler {
            script: &self.sampler,
            attributes: borrow(&bump, &self.sampler.attributes),
        };
        let ids = RandomIdGenerator::new(TestRng::new(seed));
        let mut tracer = BareTracer::new(sampler, ids).with_limits(self.limits);
        let links = bump.alloc_slice_fill_iter(self.links.iter().map(|link| link.borrow(&bump)));
        let parent = ParentContext {
            span_context: self.parent.context(),
            trace_state: &self.trace_state,
        };
        let builder = SpanBuilder::new(&self.name)
            .kind(self.kind)
            .scope(scope)
            .parent(parent)
            .attributes(borrow(&bump, &self.attributes))
            .links(links);
        // Old content of the scratch must not show through.
        let mut span = tracer.start_in(builder, Instant::from_nanos(self.start), || {
            vec![0xa5; self.scratch]
        });
        let context = *span.context();
        let trace_state = self.expected_trace_state();
        self.check_context(seed, &context, &span);

        let mut model = (span.is_recording())
            .then(|| SpanModel::start(self, &context, trace_state, &self.sampler.attributes));
        for op in &self.ops {
            op.run(&mut span);
            if let Some(model) = &mut model {
                model.apply(op);
                assert_eq!(span.dropped(), model.dropped(), "after {op:?}");
            }
        }
        assert_eq!(*span.context(), context, "a context never changes");
        let expected = model
            .filter(|_| context.is_sampled())
            .map(|model| model.end(self.end));
        if let Some(expected) = &expected {
            assert_eq!(span.trace_state(), expected.trace_state);
        }
        let pushed = span.end(Instant::from_nanos(self.end), sink);
        Started { expected, pushed }
    }

    /// The state of the parent is that of a valid parent only; the sampler has the last word, unless
    /// what it says is not valid.
    fn expected_trace_state(&self) -> &str {
        let is_valid = |state: &str| {
            state
                .parse::<TraceState>()
                .is_ok_and(|state| !state.is_empty())
        };
        let inherited = match self.parent.context().is_valid() && is_valid(&self.trace_state) {
            true => &*self.trace_state,
            false => "",
        };
        match &self.sampler.trace_state {
            Some(state) if state.is_empty() || is_valid(state) => state,
            _ => inherited,
        }
    }

    // spec D-032, D-033, D-035, D-039, D-040, D-077
    fn check_context<B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        seed: u64,
        context: &SpanContext,
        span: &BareSpan<B>,
    ) {
        // Fresh ids are what an equal generator draws next. That they differ from the parent's is
        // no rule: a fuzzer finds the parent that has the id which is about to be drawn.
        let mut ids = RandomIdGenerator::new(TestRng::new(seed));
        let parent = self.parent.context();
        assert!(context.is_valid() && !context.is_remote());
        if parent.is_valid() {
            assert_eq!(context.trace_id(), parent.trace_id());
            let random = parent.trace_flags().is_random();
            assert_eq!(context.trace_flags().is_random(), random);
        } else {
            assert_eq!(context.trace_id(), ids.trace_id());
            assert!(context.trace_flags().is_random());
        }
        assert_eq!(context.span_id(), ids.span_id());
        let fits = self.scratch >= MIN_SCRATCH_BYTES;
        let decision = self.sampler.decision;
        assert_eq!(span.is_recording(), decision.is_recording() && fits);
        assert_eq!(context.is_sampled(), decision.is_sampled() && fits);
        assert_eq!(context.trace_flags().known(), context.trace_flags());
    }
}

fn trace_state(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=5)? {
        0 => "ot=th:c".into(),
        1 => "a=b,vendor=1".into(),
        2 => format!("long={}", "x".repeat(u.int_in_range(0..=250)?)),
        _ => String::new(),
    })
}

/// Zero, small, usual, and out of any range.
fn time(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=5)? {
        0 => 0,
        1 => u.arbitrary()?,
        _ => u.int_in_range(0..=1 << 40)?,
    })
}

fn limits(u: &mut Unstructured<'_>) -> Result<SpanLimits> {
    let count = |u: &mut Unstructured<'_>| {
        Ok(match u.int_in_range(0..=3)? {
            0 => u.int_in_range(0..=4)?,
            _ => 128,
        })
    };
    Ok(SpanLimits {
        attribute_count: count(u)?,
        event_count: count(u)?,
        link_count: count(u)?,
        attribute_per_event_count: count(u)?,
        attribute_per_link_count: count(u)?,
        value: ValueLimits {
            length: match u.int_in_range(0..=2)? {
                0 => u.int_in_range(0..=130)?,
                _ => u32::MAX,
            },
            depth: match u.int_in_range(0..=2)? {
                0 => u.int_in_range(0..=4)?,
                _ => 64,
            },
        },
    })
}
