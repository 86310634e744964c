//! One span on the wire: what the API was told is what the official types read, for any calls,
//! limits and scratch (spec D-035 to D-079, F-001 to F-070).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

use arbitrary::Unstructured;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use spandrel_core::attribute::{KeyValue, Value};
use spandrel_core::buffer::Buffer;
use spandrel_core::exporter::{Exporter, ExporterConfig};
use spandrel_core::id::RandomIdGenerator;
use spandrel_core::limits::SpanLimits;
use spandrel_core::resource::{InstrumentationScope, Registry, Resource, ScopeId};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::span::Status;
use spandrel_core::time::Instant;
use spandrel_core::tracer::{BareTracer, SpanBuilder};
use spandrel_tests::rng::TestRng;
use spandrel_tests::wire_model::{SpanScript, assert_same, decode, pull, record_size};

type Pipeline = Exporter<Vec<u8>, Vec<u8>>;

fn pipeline() -> (Pipeline, ScopeId) {
    let registry = Registry::new(vec![0; 64], &Resource::default()).unwrap();
    let buffer = Buffer::new(vec![0; 64 << 10]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    let scope = exporter.scope(&InstrumentationScope::new("s")).unwrap();
    (exporter, scope)
}

/// The only span of the next request.
fn exported(exporter: &mut Pipeline, chunk: usize) -> Span {
    exporter.force_flush(Instant::ZERO, Instant::MAX);
    let mut transmit = exporter.poll_transmit(Instant::ZERO).unwrap();
    assert_eq!(transmit.spans(), 1);
    let body = pull(exporter, &mut transmit, || chunk);
    exporter.cancel(Instant::ZERO, transmit);
    let mut request = decode(&body);
    let mut scope_spans = request.resource_spans.remove(0).scope_spans.remove(0);
    scope_spans.spans.remove(0)
}

fn script() -> impl Strategy<Value = SpanScript> {
    proptest::collection::vec(any::<u8>(), 0..1500)
        .prop_map(|bytes| Unstructured::new(&bytes).arbitrary().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        max_shrink_iters: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_official_types_read_what_the_api_was_told(
        script in script(), seed: u64, chunk in 1_usize..700,
    ) {
        let (mut exporter, scope) = pipeline();
        let started = script.run(seed, scope, &mut exporter);
        prop_assert_eq!(started.pushed, Ok(()));
        let ledger = exporter.ledger();
        match started.expected {
            None => prop_assert_eq!(ledger.ended, 0, "nothing that is not sampled is exported"),
            Some(expected) => {
                prop_assert_eq!((ledger.ended, ledger.buffered), (1, 1));
                let stored = exporter.buffer().front().unwrap().body.len();
                prop_assert_eq!(stored, record_size(&expected), "bytes of the record");
                prop_assert!(stored <= script.scratch);
                assert_same(&exported(&mut exporter, chunk), &expected, "span");
            }
        }
    }
}

/// A span started in `scratch` bytes, and what is exported of it after `set`.
fn recorded<const N: usize>(
    limits: SpanLimits,
    set: impl FnOnce(&mut spandrel_core::span::BareSpan<[u8; N]>),
) -> Span {
    let (mut exporter, scope) = pipeline();
    let ids = RandomIdGenerator::new(TestRng::new(1));
    let mut tracer = BareTracer::new(AlwaysOn, ids).with_limits(limits);
    let mut span = tracer.start::<N>(SpanBuilder::new("name").scope(scope), Instant::ZERO);
    set(&mut span);
    span.end(Instant::ZERO, &mut exporter).unwrap();
    exported(&mut exporter, 64)
}

/// spec D-063: what goes beyond the limit of an event is counted, for this event too.
#[test]
fn an_exception_obeys_the_attribute_limit_of_events_and_counts_what_it_drops() {
    let extra = ["a", "b", "c"].map(|key| KeyValue::new(key, key));
    for (limit, kept) in [
        (0, &[][..]),
        (1, &["exception.type"]),
        (3, &["exception.type", "exception.message", "a"]),
        (9, &["exception.type", "exception.message", "a", "b", "c"]),
    ] {
        let limits = SpanLimits {
            attribute_per_event_count: limit,
            ..SpanLimits::DEFAULT
        };
        let span = recorded::<512>(limits, |span| {
            span.record_error_with(&std::fmt::Error, &extra, Instant::ZERO);
        });
        let event = &span.events[0];
        let keys: Vec<_> = event.attributes.iter().map(|kv| kv.key.as_str()).collect();
        assert_eq!(keys, kept, "limit {limit}");
        let dropped = 5 - kept.len();
        assert_eq!(event.dropped_attributes_count as usize, dropped);
    }
}

/// The text of a status may fill the scratch, but takes nothing from what is there already.
#[test]
fn values_can_be_replaced_after_a_status_has_filled_the_scratch() {
    let span = recorded::<512>(SpanLimits::DEFAULT, |span| {
        span.set_attribute("k", "old");
        span.set_status(Status::error(&"x".repeat(600)));
        span.set_attribute("k", "new");
        span.update_name("same");
    });
    let value = span.attributes[0].value.clone().unwrap().value.unwrap();
    assert_eq!(value, Any::StringValue("new".into()));
    assert_eq!(span.name, "same");
    assert_eq!(span.dropped_attributes_count, 0);
}

/// fault X126: the last value of a key counts, also where a map is cut: a value that a later entry
/// replaces does not come back, and its length does not keep the rest out.
#[test]
fn x126_a_map_is_cut_without_bringing_replaced_values_back() {
    let numbers = [i64::MAX; 30];
    let long = |key| KeyValue::new(key, Value::I64s(&numbers));
    let cut = |entries: &[KeyValue<'_>]| -> Option<Vec<(String, Any)>> {
        let span = recorded::<512>(SpanLimits::DEFAULT, |span| {
            span.set_attribute("map", Value::Map(entries));
            assert_eq!(span.cut() > 0, span.dropped() == [0; 3]);
        });
        let map = span.attributes.into_iter().next()?.value?.value?;
        let Any::KvlistValue(list) = map else {
            panic!("{map:?}")
        };
        let pairs = list.values.into_iter();
        Some(
            pairs
                .filter_map(|pair| Some((pair.key, pair.value?.value?)))
                .collect(),
        )
    };
    let number = |key: &str, value| (String::from(key), Any::IntValue(value));
    let (b, c) = (KeyValue::new("b", 2), KeyValue::new("c", 3));
    // The long value is replaced.
    let entries = [long("a"), b, KeyValue::new("a", 1), c, long("d")];
    let kept = [number("b", 2), number("a", 1), number("c", 3)];
    assert_eq!(cut(&entries).as_deref(), Some(&kept[..]));
    // The long value replaces: neither it nor what it replaces is kept.
    let entries = [b, c, KeyValue::new("a", 1), long("a")];
    let kept = [number("b", 2), number("c", 3)];
    assert_eq!(cut(&entries).as_deref(), Some(&kept[..]));
    // Nothing can be kept.
    assert_eq!(cut(&[KeyValue::new("a", 1), b, c, long("a")]), None);
}

// spec D-038, D-039, D-041
#[test]
fn a_span_in_place_that_has_ended_records_no_more() {
    let (mut exporter, scope) = pipeline();
    let ids = RandomIdGenerator::new(TestRng::new(1));
    let mut tracer = BareTracer::new(AlwaysOn, ids);
    let mut span = spandrel_core::span::BareSpan::idle([0; 256]);
    assert!(!span.is_recording());
    tracer.start_in_place(
        &mut span,
        SpanBuilder::new("once").scope(scope),
        Instant::ZERO,
    );
    let context = *span.context();
    assert!(span.is_recording());
    span.end_in_place(Instant::from_secs(1), &mut exporter)
        .unwrap();
    assert!(!span.is_recording());
    assert_eq!(*span.context(), context);
    span.set_attribute("too", "late");
    span.update_name("late");
    span.end_in_place(Instant::from_secs(2), &mut exporter)
        .unwrap();
    assert_eq!(exporter.ledger().ended, 1);
    let span = exported(&mut exporter, 64);
    assert_eq!((span.name.as_str(), span.attributes.len()), ("once", 0));
    assert_eq!(span.end_time_unix_nano, 1_000_000_000);
}

/// spec D-059: the default depth of 64 is deeper than the official decoder goes, so the bytes
/// are built from the inside out.
#[test]
fn values_are_kept_down_to_the_sixty_fourth_level() {
    fn wrapped(levels: usize) -> Vec<u8> {
        (0..levels).fold(Vec::new(), |inner, _| {
            let mut item = vec![0x0a];
            prost::encoding::encode_varint(inner.len() as u64, &mut item);
            item.extend(inner);
            let mut array = vec![0x2a];
            prost::encoding::encode_varint(item.len() as u64, &mut array);
            array.extend(item);
            array
        })
    }
    for (levels, kept) in [(63, 63), (64, 64), (65, 64), (80, 64)] {
        let bump = bumpalo::Bump::new();
        let value = (0..levels).fold(Value::Empty, |inner, _| Value::Array(bump.alloc([inner])));
        let (mut exporter, scope) = pipeline();
        let ids = RandomIdGenerator::new(TestRng::new(1));
        let mut tracer = BareTracer::new(AlwaysOn, ids);
        let builder = SpanBuilder::new("n").scope(scope);
        let mut span = tracer.start::<2048>(builder, Instant::ZERO);
        span.set_attribute("k", value);
        span.end(Instant::ZERO, &mut exporter).unwrap();
        let body = exporter.buffer().front().unwrap().body;
        assert!(body.ends_with(&wrapped(kept)), "{levels}");
        assert!(!body.ends_with(&wrapped(kept + 1)), "{levels}");
    }
}
