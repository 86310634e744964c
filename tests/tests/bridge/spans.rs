//! Facts about spans and contexts that the API crate's own tests and its SDK's establish, here with
//! this pipeline behind the API: 36 of their cases. One is different on purpose: a parent that is not
//! valid makes a root, which the sampler decides about, and not a span that is never sampled.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry_0_33::trace::{
    Event, Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _, get_active_span,
    mark_span_as_active,
};
use opentelemetry_0_33::{Array, Context as Theirs, InstrumentationScope, KeyValue, Value};
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::export::SpanData;
use spandrel_core::hosted::opentelemetry_0_33::{BridgeProvider, BridgeTracer};
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::limits::SpanLimits;

fn fixture() -> (Capture, BridgeTracer) {
    let capture = Capture::new();
    let tracer = capture.tracer("test").into();
    (capture, tracer)
}

fn remote(flags: TraceFlags, state: &str) -> SpanContext {
    let (trace, span) = (TraceId::from(128_u128), SpanId::from(64_u64));
    SpanContext::new(trace, span, flags, true, state.parse().unwrap())
}

fn only(capture: &Capture) -> SpanData {
    let spans = capture.spans();
    assert_eq!(spans.len(), 1);
    spans[0].clone()
}

/// Noop: an invalid span by default; a valid parent from the current, an explicit and a remote context
/// goes on.
#[test]
fn a_tracer_that_records_nothing_passes_on_valid_parents() {
    let tracer = BridgeTracer::from(Tracer::disabled());
    assert!(!tracer.start("none").span_context().is_valid());
    let context = remote(TraceFlags::SAMPLED, "foo=bar");
    let parent = Theirs::new().with_remote_span_context(context.clone());
    let span = tracer.start_with_context("explicit", &parent);
    assert_eq!(
        (span.span_context(), span.is_recording()),
        (&context, false)
    );
    let _inside = parent.attach();
    assert_eq!(tracer.start("current").span_context(), &context);
    let built = tracer.build(tracer.span_builder("builder"));
    assert_eq!(built.span_context(), &context);
}

/// Status: ok over error over unset; an error does not replace ok, and the last error counts.
#[test]
fn a_status_follows_its_ranks() {
    type Expected = Option<Result<(), &'static str>>;
    let cases: [(&[Status], Expected); 4] = [
        (&[Status::Unset], None),
        (&[Status::Ok, Status::error("late")], Some(Ok(()))),
        (&[Status::error("first"), Status::Ok], Some(Ok(()))),
        (
            &[Status::error("first"), Status::error("last")],
            Some(Err("last")),
        ),
    ];
    for (given, expected) in cases {
        let (capture, tracer) = fixture();
        let mut span = tracer.start("span");
        given
            .iter()
            .for_each(|status| span.set_status(status.clone()));
        drop(span);
        let status = only(&capture).status;
        assert_eq!(
            status,
            expected.map(|it| it.map_err(str::to_owned)),
            "{given:?}"
        );
    }
}

/// Events: now and at a time, with attributes; `record_error` makes an event `exception`.
#[test]
fn events_have_names_times_and_attributes() {
    let (capture, tracer) = fixture();
    let mut span = tracer.start("span");
    let before = SystemTime::now();
    span.add_event("now", vec![KeyValue::new("k", "v")]);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    span.add_event_with_timestamp("then", at, vec![]);
    span.record_error(&std::fmt::Error);
    drop(span);
    let events = only(&capture).events;
    assert_eq!(events.len(), 3);
    assert_eq!(
        (events[0].name.as_str(), events[1].name.as_str()),
        ("now", "then")
    );
    assert_eq!(events[0].attributes.len(), 1);
    let slack = Duration::from_micros(100);
    assert!(events[0].time + slack >= before && events[0].time <= SystemTime::now() + slack);
    assert!(events[1].time + slack >= at && events[1].time <= at + slack);
    assert_eq!(events[2].name, "exception");
}

/// Attributes: one, several, the last of a key; every kind of value.
#[test]
fn attributes_keep_their_types_and_the_last_counts() {
    let (capture, tracer) = fixture();
    let builder = tracer.span_builder("span");
    let mut span = tracer.build(builder.with_attributes([KeyValue::new("first", 1)]));
    span.set_attributes((0..12).map(|n| KeyValue::new(format!("many.{n}"), n)));
    span.set_attribute(KeyValue::new("first", 2));
    span.set_attribute(KeyValue::new("bool", true));
    span.set_attribute(KeyValue::new("float", 1.5));
    span.set_attribute(KeyValue::new("text", "x"));
    let arrays = [
        Array::Bool(vec![true, false]),
        Array::I64(vec![1, 2]),
        Array::F64(vec![0.5]),
        Array::String(vec!["a".into(), "b".into()]),
    ];
    for (number, array) in arrays.into_iter().enumerate() {
        span.set_attribute(KeyValue::new(
            format!("array.{number}"),
            Value::Array(array),
        ));
    }
    drop(span);
    let span = only(&capture);
    span.assert_attribute("first", 2)
        .assert_attribute("bool", true);
    span.assert_attribute("float", 1.5)
        .assert_attribute("text", "x");
    span.assert_attribute("many.11", 11);
    let shown = |key: &str| format!("{:?}", span.attribute(key).unwrap());
    for (key, parts) in [
        ("array.0", ["true", "false"]),
        ("array.1", ["1", "2"]),
        ("array.2", ["0.5", "0.5"]),
        ("array.3", ["\"a\"", "\"b\""]),
    ] {
        assert!(
            parts.iter().all(|part| shown(key).contains(part)),
            "{}",
            shown(key)
        );
    }
}

/// The end: at a time; only once; nothing after it; the context stays; recording before and not after.
#[test]
fn a_span_ends_once_and_for_all() {
    let (capture, tracer) = fixture();
    let start = SystemTime::now() - Duration::from_secs(60);
    let builder = tracer.span_builder("span").with_start_time(start);
    let mut span = tracer.build(builder);
    let context = span.span_context().clone();
    assert!(span.is_recording());
    span.end_with_timestamp(start + Duration::from_micros(7));
    assert!(!span.is_recording());
    span.end();
    span.end_with_timestamp(SystemTime::now());
    span.add_event("late", vec![]);
    span.set_attribute(KeyValue::new("late", true));
    span.set_status(Status::Ok);
    span.update_name("late");
    span.add_link(context.clone(), vec![]);
    assert_eq!(span.span_context(), &context);
    drop(span);
    let span = only(&capture);
    let lasted = span.end_time.duration_since(span.start_time).unwrap();
    assert_eq!(
        (span.name.as_str(), lasted),
        ("span", Duration::from_micros(7))
    );
    assert!(span.events.is_empty() && span.attributes.is_empty() && span.links.is_empty());
}

/// A span that is dropped ends; its name can be changed until then.
#[test]
fn a_dropped_span_ends_under_its_last_name() {
    let (capture, tracer) = fixture();
    let mut span = tracer.start(Cow::from("first".to_owned()));
    span.update_name("last");
    drop(span);
    assert_eq!(only(&capture).name, "last");
}

/// The builder: kind, attributes, events and links; links to nothing are left out.
#[test]
fn what_is_in_the_builder_is_in_the_span() {
    let (capture, tracer) = fixture();
    let kinds = [
        (SpanKind::Client, "Client"),
        (SpanKind::Server, "Server"),
        (SpanKind::Producer, "Producer"),
        (SpanKind::Consumer, "Consumer"),
        (SpanKind::Internal, "Internal"),
    ];
    for (kind, name) in kinds {
        let linked = Link::new(
            remote(TraceFlags::SAMPLED, "foo=bar"),
            vec![KeyValue::new("k", "v")],
            0,
        );
        let nothing = Link::new(SpanContext::NONE, vec![], 0);
        let event = Event::new("event", SystemTime::now(), vec![KeyValue::new("n", 1)], 0);
        let builder = tracer.span_builder(name).with_kind(kind);
        let builder = builder
            .with_links(vec![linked, nothing])
            .with_events(vec![event]);
        tracer.build(builder).end();
        let spans = capture.spans();
        let span = spans.one(name);
        assert_eq!(format!("{:?}", span.kind), name);
        assert_eq!((span.links.len(), span.events.len()), (1, 1));
        assert_eq!(span.links[0].trace_state, "foo=bar");
        assert_eq!(span.links[0].attributes.len(), 1);
    }
}

/// Limits: attributes, events and links beyond them are left out and counted.
#[test]
fn limits_hold() {
    let limits = SpanLimits {
        attribute_count: 2,
        event_count: 2,
        link_count: 2,
        ..SpanLimits::DEFAULT
    };
    let config = Config {
        limits: Some(limits),
        ..Config::default()
    };
    let capture = Capture::with(&config).unwrap();
    let tracer = BridgeTracer::from(capture.tracer("test"));
    let mut span = tracer.start("span");
    for n in 0..3 {
        span.set_attribute(KeyValue::new(format!("key.{n}"), n));
        span.add_event(format!("event.{n}"), vec![]);
        span.add_link(remote(TraceFlags::SAMPLED, ""), vec![]);
    }
    drop(span);
    let span = only(&capture);
    let counts = (span.attributes.len(), span.events.len(), span.links.len());
    assert_eq!(counts, (2, 2, 2));
}

/// Parents: explicit and current contexts, `in_span` and its relatives; the closure's value comes back.
#[test]
fn every_way_to_start_a_span_finds_its_parent() {
    let (capture, tracer) = fixture();
    let parent = Theirs::current_with_span(tracer.start("parent"));
    let value = tracer.in_span_with_context("in span with context", &parent, |inside| {
        assert!(inside.has_active_span());
        "value"
    });
    assert_eq!(value, "value");
    let builder = tracer.span_builder("with builder and context");
    tracer.in_span_with_builder_and_context(builder, &parent, |_| ());
    drop(tracer.start_with_context("start with context", &parent));
    drop(
        tracer
            .span_builder("builder")
            .start_with_context(&tracer, &parent),
    );
    let inside = parent.clone().attach();
    tracer.in_span("in span", |_| ());
    tracer.in_span_with_builder(tracer.span_builder("with builder"), |_| ());
    drop(tracer.start("start"));
    drop(tracer.span_builder("builder of current").start(&tracer));
    get_active_span(|span| {
        span.set_attribute(KeyValue::new("seen", true));
        drop(tracer.start("in active span"));
    });
    drop(inside);
    parent.span().end();
    let spans = capture.spans();
    let parent = spans.one("parent");
    parent.assert_attribute("seen", true);
    assert_eq!((spans.len(), spans.children(parent).count()), (10, 9));
}

/// An active span is changed through the context, and ends with the last of them.
#[test]
fn an_active_span_is_reached_through_its_context() {
    let (capture, tracer) = fixture();
    let active = mark_span_as_active(tracer.start("active"));
    let context = Theirs::current();
    context.span().add_event("event", vec![]);
    context.span().set_status(Status::error("failed"));
    assert!(context.span().is_recording());
    // One that a helper of this crate makes lands in the same span.
    spandrel_core::hosted::active::active_span().set_attribute("helper", true);
    drop(active);
    assert!(capture.spans().is_empty(), "a context holds it");
    drop(context);
    let span = only(&capture);
    span.assert_attribute("helper", true);
    assert_eq!(span.events.len(), 1);
}

/// An invalid parent makes a root; a remote one that is not sampled is followed.
#[test]
fn parents_decide_about_sampling() {
    let (_capture, tracer) = fixture();
    let nothing = Theirs::new().with_remote_span_context(SpanContext::NONE);
    assert!(
        tracer
            .start_with_context("root", &nothing)
            .span_context()
            .is_sampled()
    );
    let dropped = Theirs::new().with_remote_span_context(remote(TraceFlags::default(), "a=b"));
    let child = tracer.start_with_context("child", &dropped);
    let context = child.span_context();
    assert!(!context.is_sampled() && !child.is_recording());
    assert_eq!(context.trace_id(), TraceId::from(128_u128));
    assert_eq!(
        context.trace_state().get("a"),
        Some("b"),
        "also of a dropped span"
    );
}

/// The tracestate of the parent is the span's.
#[test]
fn the_tracestate_goes_from_parent_to_child() {
    let (capture, tracer) = fixture();
    let parent = remote(TraceFlags::SAMPLED, "foo=bar,vendor=1");
    let parent = Theirs::new().with_remote_span_context(parent);
    let child = Theirs::new().with_span(tracer.start_with_context("child", &parent));
    let state = TraceState::from_key_value([("foo", "bar"), ("vendor", "1")]).unwrap();
    assert_eq!(child.span().span_context().trace_state(), &state);
    drop(tracer.start_with_context("grandchild", &child));
    drop(child);
    for span in capture.spans() {
        assert_eq!(span.trace_state, "foo=bar,vendor=1");
    }
}

/// Baggage and span live side by side in a context.
#[test]
fn a_span_leaves_the_baggage_as_it_is() {
    use opentelemetry_0_33::baggage::BaggageExt as _;
    let (_capture, tracer) = fixture();
    let context = Theirs::new().with_baggage([KeyValue::new("tenant", "acme")]);
    let context = context.with_span(tracer.start_with_context("span", &context));
    assert_eq!(context.baggage().get("tenant").unwrap().as_str(), "acme");
    assert!(context.has_active_span());
    assert!(context.with_cleared_baggage().baggage().is_empty());
}

/// The scope of a tracer: name, version, schema URL and attributes.
#[test]
fn a_tracer_has_its_scope() {
    let capture = Capture::new();
    let scope = InstrumentationScope::builder("library")
        .with_version("1.2.3")
        .with_schema_url("https://opentelemetry.io/schemas/1.30.0")
        .with_attributes([KeyValue::new("k", "v")])
        .build();
    let provider = BridgeProvider::new(capture.provider());
    drop(provider.tracer_with_scope(scope).start("span"));
    let span = only(&capture);
    let shown = format!("{span:?}");
    for part in ["library", "1.2.3"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

/// Values in a context may use contexts when they are dropped, in order and out of order.
#[test]
fn values_may_use_contexts_when_they_are_dropped() {
    struct Late(BridgeTracer);
    impl Drop for Late {
        fn drop(&mut self) {
            let _inside = Theirs::current().attach();
            drop(self.0.start("late"));
        }
    }
    let (capture, tracer) = fixture();
    let first = Theirs::current_with_value(Late(tracer.clone())).attach();
    let second = Theirs::new().attach();
    drop(first);
    drop(second);
    let third = Theirs::current_with_value(Late(tracer)).attach();
    let ours = capture.tracer("test").start("ours");
    let entered = ours.enter();
    drop(third);
    drop(entered);
    drop(ours);
    assert_eq!(capture.spans().named("late").count(), 2);
}
