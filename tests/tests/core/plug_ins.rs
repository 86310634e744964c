//! What a program's own generator of ids, sampler or propagator may give, and what becomes of it.

use std::fmt;

use spandrel_core::buffer::Buffer;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::sampler::{
    AlwaysOn, Sampler, SamplingDecision, SamplingParameters, SamplingResult,
};
use spandrel_core::time::Instant;
use spandrel_core::tracer::{BareTracer, SpanBuilder};

/// Gives so many zero ids of each kind before a valid one.
struct Zeros {
    trace: usize,
    span: usize,
}

impl IdGenerator for Zeros {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        let valid = self.trace == 0;
        self.trace = self.trace.saturating_sub(1);
        TraceId::from_bytes([u8::from(valid); 16])
    }

    fn span_id(&mut self) -> SpanId {
        let valid = self.span == 0;
        self.span = self.span.saturating_sub(1);
        SpanId::from_bytes([u8::from(valid); 8])
    }
}

fn parent() -> SpanContext {
    SpanContext::remote(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([8; 8]),
        TraceFlags::SAMPLED,
    )
}

// spec D-024, F-007
#[test]
fn x88_zero_ids_of_a_generator_are_drawn_again_and_never_exported() {
    for zeros in 0..10 {
        let mut buffer = Buffer::new([0; 1024]);
        for (trace, span) in [(zeros, 0), (0, zeros), (zeros, zeros)] {
            let mut tracer = BareTracer::new(AlwaysOn, Zeros { trace, span });
            let root = tracer.start::<256>(SpanBuilder::new("root"), Instant::ZERO);
            let is_kept = zeros <= 3;
            assert_eq!(root.context().is_valid(), is_kept, "{zeros}");
            assert_eq!(root.is_recording(), is_kept);
            let started = tracer.started();
            assert_eq!(started.recorded, u64::from(is_kept));
            assert_eq!(started.not_sampled, u64::from(!is_kept));
            let before = buffer.len();
            root.end(Instant::ZERO, &mut buffer).unwrap();
            assert_eq!(buffer.len() - before, usize::from(is_kept));
        }
    }
}

/// A span that has no id of its own stands for its parent, whose trace goes on.
#[test]
fn x88_a_child_without_a_valid_id_stands_for_its_parent() {
    let zeros = Zeros { trace: 9, span: 9 };
    let mut tracer = BareTracer::new(AlwaysOn, zeros);
    let builder = SpanBuilder::new("child").parent(parent());
    let child = tracer.start::<256>(builder, Instant::ZERO);
    assert_eq!(*child.context(), parent());
    assert!(!child.is_recording());
    let mut place = spandrel_core::span::BareSpan::idle([0; 256]);
    tracer.start_in_place(&mut place, builder, Instant::ZERO);
    assert_eq!(*place.context(), parent());
    let mut buffer = Buffer::new([0; 1024]);
    place.end_in_place(Instant::ZERO, &mut buffer).unwrap();
    child.end(Instant::ZERO, &mut buffer).unwrap();
    assert_eq!(buffer.len(), 0);
}

struct Stating<'s>(&'s str);

impl Sampler for Stating<'_> {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult {
            trace_state: self.0,
            ..SamplingResult::new(SamplingDecision::RecordAndSample, parameters)
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stating")
    }
}

/// The tracestate of a span under a parent with `inherited`, of a sampler that gives `stated`.
fn state_of(stated: &str, inherited: &str) -> String {
    let zeros = Zeros { trace: 0, span: 0 };
    let mut tracer = BareTracer::new(Stating(stated), zeros);
    let builder = SpanBuilder::new("stated").parent(ParentContext {
        span_context: parent(),
        trace_state: inherited,
    });
    let span = tracer.start::<1024>(builder, Instant::ZERO);
    assert!(span.is_recording());
    span.trace_state().into()
}

// spec D-079
#[test]
fn x89_a_tracestate_that_is_not_valid_gives_way_to_the_parents() {
    let long = format!("a={}", "x".repeat(600));
    let bad = [
        "a",
        "a=b\r\nx: y",
        "A=b",
        "a=",
        "=b",
        "ä=b",
        "a=b,a",
        " ",
        ",",
        &long,
    ];
    for bad in bad {
        assert_eq!(state_of(bad, "vendor=1"), "vendor=1", "{bad:?}");
        // A propagator of the program may give the parent anything, too.
        assert_eq!(state_of(bad, bad), "", "{bad:?}");
        assert_eq!(state_of("ot=th:c", bad), "ot=th:c", "{bad:?}");
    }
    assert_eq!(state_of("ot=th:c", "vendor=1"), "ot=th:c");
    assert_eq!(state_of("", "vendor=1"), "");
}

/// Links come from queues of other programs.
#[test]
fn x89_an_endless_tracestate_of_a_link_is_left_out_and_counted() {
    let long = format!("a={}", "x".repeat(10_000));
    let mut tracer = BareTracer::new(AlwaysOn, Zeros { trace: 0, span: 0 });
    let mut span = tracer.start::<1024>(SpanBuilder::new("linked"), Instant::ZERO);
    span.add_link(&spandrel_core::context::Link {
        span_context: parent(),
        trace_state: &long,
        attributes: &[],
    });
    assert_eq!((span.dropped(), span.cut()), ([0, 0, 0], 1));
}
