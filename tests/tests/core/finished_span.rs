//! The view of a finished span shows what was recorded, and reads any bytes without harm.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use arbitrary::Unstructured;
use proptest::prelude::*;
use spandrel_core::attribute::{KeyValue, Value};
use spandrel_core::buffer::{Buffer, Record, RecordFlags};
use spandrel_core::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags};
use spandrel_core::id::{RandomIdGenerator, SpanId, TraceId};
use spandrel_core::resource::{InstrumentationScope, Registry, Resource, ScopeId};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::span::Status;
use spandrel_core::span::finished::{AnyValue, FinishedSpan};
use spandrel_core::time::{Instant, UnixNanos, WallClock};
use spandrel_core::tracer::{BareTracer, SpanBuilder};
use spandrel_tests::fuzz::finished_span;
use spandrel_tests::rng::TestRng;
use spandrel_tests::wire_model::{SpanScript, assert_same, official};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        max_shrink_iters: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // spec D-119
    #[test]
    fn the_view_shows_what_the_api_was_told(
        bytes in proptest::collection::vec(any::<u8>(), 0..1500), seed: u64,
    ) {
        let script: SpanScript = Unstructured::new(&bytes).arbitrary().unwrap();
        let mut buffer = Buffer::new(vec![0; 64 << 10]);
        let started = script.run(seed, ScopeId::default(), &mut buffer);
        if let Some(expected) = started.expected {
            let record = buffer.front().unwrap();
            let span = FinishedSpan::new(&record).unwrap();
            assert_same(&official(&span), &expected, "view");
            prop_assert_eq!(span.is_local_root(), expected.parent_span_id.is_empty()
                || expected.flags & 0x200 != 0);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        finished_span::run(&bytes);
    }
}

/// A span with everything, in `buffer`.
fn record_full(buffer: &mut Buffer<Vec<u8>>, scope: ScopeId) -> SpanContext {
    let ids = RandomIdGenerator::new(TestRng::new(1));
    let mut tracer = BareTracer::new(AlwaysOn, ids);
    let remote = SpanContext::remote(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([2; 8]),
        TraceFlags::SAMPLED,
    );
    let parent = ParentContext {
        span_context: remote,
        trace_state: "vendor=value",
    };
    let builder = SpanBuilder::new("checkout")
        .kind(SpanKind::Server)
        .scope(scope)
        .parent(parent);
    let mut span = tracer.start::<1024>(builder, Instant::from_millis(10));
    let nested = [KeyValue::new("k", 1_i64), KeyValue::new("k", 2_i64)];
    let mixed = [Value::Bool(true), Value::String("x")];
    span.set_attributes(&[
        KeyValue::new("text", "a"),
        KeyValue::new("max", u64::MAX),
        KeyValue::new("list", &["a", "b"]),
        KeyValue::new("mixed", &mixed),
        KeyValue::new("map", &nested),
        KeyValue::new("none", Value::Empty),
    ]);
    span.add_event(
        "half",
        &[KeyValue::f64("done", 0.5)],
        Instant::from_millis(11),
    );
    span.add_link(&Link::from(remote));
    span.set_status(Status::error("no stock"));
    let context = *span.context();
    span.end(Instant::from_millis(14), buffer).unwrap();
    context
}

// spec D-119, H-061
#[test]
fn a_view_with_a_registry_knows_scope_and_resource() {
    let attributes = [KeyValue::new("service.name", "shop")];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "https://resource",
    };
    let mut registry = Registry::new(vec![0; 512], &resource).unwrap();
    registry.scope(&InstrumentationScope::new("other")).unwrap();
    let scope_attributes = [KeyValue::new("team", "checkout")];
    let scope = registry
        .scope(&InstrumentationScope {
            name: "orders",
            version: "1.2",
            schema_url: "https://scope",
            attributes: &scope_attributes,
        })
        .unwrap();
    let mut buffer = Buffer::new(vec![0; 4096]);
    let context = record_full(&mut buffer, scope);
    let record = buffer.front().unwrap();
    let bare = FinishedSpan::new(&record).unwrap();
    assert!(bare.scope().is_none() && bare.resource().is_none());

    let span = bare.with_registry(&registry);
    let scope = span.scope().unwrap();
    assert_eq!(
        (scope.name(), scope.version(), scope.schema_url()),
        ("orders", "1.2", "https://scope")
    );
    assert!(scope.attributes().eq(scope_attributes));
    let resource = span.resource().unwrap();
    assert!(resource.attributes().eq(attributes));
    assert_eq!(resource.schema_url(), "https://resource");

    assert_eq!(span.context(), context);
    assert_eq!(span.parent_span_id(), Some(SpanId::from_bytes([2; 8])));
    assert!(span.parent().unwrap().is_remote() && span.is_local_root());
    assert_eq!(span.trace_state(), "vendor=value");
    assert_eq!((span.name(), span.kind()), ("checkout", SpanKind::Server));
    assert_eq!(span.duration().as_millis(), 4);
    assert_eq!(span.status(), Status::error("no stock"));
    assert_eq!(span.links().count(), 1);
    assert!(format!("{span:?}").contains("name: \"checkout\""));
}

#[test]
fn values_compare_with_what_they_were_set_from() {
    let mut buffer = Buffer::new(vec![0; 4096]);
    record_full(&mut buffer, ScopeId::default());
    let record = buffer.front().unwrap();
    let span = FinishedSpan::new(&record).unwrap();
    let mixed = [Value::Bool(true), Value::String("x")];
    let map = [KeyValue::new("k", 2_i64)];
    let set = [
        KeyValue::new("text", "a"),
        KeyValue::new("max", u64::MAX),
        KeyValue::new("list", &["a", "b"]),
        KeyValue::new("mixed", &mixed),
        KeyValue::new("map", &map),
        KeyValue::new("none", Value::Empty),
    ];
    assert!(span.attributes().eq(set));
    assert_eq!(span.attribute("missing"), None);
    assert_eq!(span.attribute("text").unwrap().as_str(), Some("a"));
    assert_ne!(span.attribute("list").unwrap(), Value::Strings(&["a"]));
    assert_ne!(
        span.attribute("list").unwrap(),
        Value::Strings(&["a", "b", "c"])
    );
    let shown: Vec<_> = span.attributes().map(|a| format!("{a:?}")).collect();
    assert_eq!(
        shown.join(" "),
        "text=\"a\" max=\"18446744073709551615\" list=[\"a\", \"b\"] mixed=[true, \"x\"] map={k=2} \
         none=empty"
    );
}

#[test]
fn times_are_dates_as_soon_as_the_date_is_known() {
    let mut buffer = Buffer::new(vec![0; 4096]);
    record_full(&mut buffer, ScopeId::default());
    let record = buffer.front().unwrap();
    let span = FinishedSpan::new(&record).unwrap();
    assert!(!span.is_dated() && span.start_time().is_none());
    assert_eq!(span.start_nanos(), 10_000_000);
    let clock = WallClock::from_pair(Instant::ZERO, UnixNanos::from_secs(100));
    let span = span.with_clock(clock);
    assert_eq!(
        span.end_time(),
        Some(UnixNanos::from_nanos(100_014_000_000))
    );
    let event = span.events().next().unwrap();
    assert_eq!(event.time(), Some(UnixNanos::from_nanos(100_011_000_000)));
    assert_eq!(
        event.attributes().value("done").unwrap().as_f64(),
        Some(0.5)
    );

    let dated = Record {
        flags: record.flags.with(RecordFlags::DATED),
        ..record
    };
    let span = FinishedSpan::new(&dated).unwrap();
    assert_eq!(span.start_time(), Some(UnixNanos::from_nanos(10_000_000)));
}

#[test]
fn bytes_that_are_no_span_have_no_view_and_bad_text_ends_early() {
    let mut buffer = Buffer::new(vec![0; 4096]);
    record_full(&mut buffer, ScopeId::default());
    let record = buffer.front().unwrap();
    let body = |body| Record { body, ..record };
    assert!(FinishedSpan::new(&body(&record.body[..20])).is_none());
    assert!(FinishedSpan::new(&body(&record.body[1..])).is_none());

    let fixed = &record.body[..54];
    let bad_name = [fixed, b"\x2a\x04ab\xffc"].concat();
    let bad_name = body(&bad_name);
    assert_eq!(FinishedSpan::new(&bad_name).unwrap().name(), "ab");
    // A value of the wrong type is none, and what follows it is read.
    let wrong = [fixed, b"\x4a\x05\x0a\x01k\x12\x00\x28\x07\x4a\x00"].concat();
    let wrong = body(&wrong);
    let span = FinishedSpan::new(&wrong).unwrap();
    let values: Vec<_> = span.attributes().map(|a| a.value).collect();
    assert_eq!(values, [AnyValue::Empty, AnyValue::Empty]);
    assert_eq!(span.name(), "");
}
