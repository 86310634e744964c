//! Spans that `opentelemetry_sdk` has finished, through this pipeline.

use std::time::{Duration, SystemTime};

use opentelemetry_0_33::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry_0_33::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk_0_33::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider};
use spandrel_core::hosted::export::SpanData;
use spandrel_core::hosted::opentelemetry_sdk_0_33::BridgeProcessor;
use spandrel_core::hosted::testing::Capture;

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

#[test]
fn a_finished_span_arrives_as_the_sdk_has_it() {
    let capture = Capture::new();
    let exporter = InMemorySpanExporter::default();
    let sdk = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .with_span_processor(BridgeProcessor::new(capture.provider()))
        .build();
    let scope = InstrumentationScope::builder("library")
        .with_version("1.2.3")
        .build();
    let tracer = sdk.tracer_with_scope(scope);
    let remote = SpanContext::new(
        TraceId::from(7_u128),
        SpanId::from(9_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::from_key_value([("vendor", "1")]).unwrap(),
    );
    let parent = Context::new().with_remote_span_context(remote.clone());
    let start = SystemTime::now() - Duration::from_secs(60);
    let builder = tracer
        .span_builder("server")
        .with_kind(SpanKind::Server)
        .with_start_time(start)
        .with_attributes([
            KeyValue::new("http.route", "/orders"),
            KeyValue::new("n", 3),
        ])
        .with_links(vec![Link::new(remote, vec![KeyValue::new("k", "v")], 0)]);
    let mut server = tracer.build_with_context(builder, &parent);
    server.add_event_with_timestamp("event", start, vec![KeyValue::new("e", true)]);
    server.set_status(Status::error("failed"));
    server.end_with_timestamp(start + Duration::from_micros(1234));
    let root = Context::new().with_span(tracer.start_with_context("root", &Context::new()));
    drop(tracer.start_with_context("child", &root));
    root.span().end();

    let theirs = exporter.get_finished_spans().unwrap();
    let ours = capture.spans();
    assert_eq!((theirs.len(), ours.len()), (3, 3));
    for their in &theirs {
        let our: &SpanData = ours.one(&their.name);
        let context = &their.span_context;
        assert_eq!(
            our.context.trace_id().to_bytes(),
            context.trace_id().to_bytes()
        );
        assert_eq!(
            our.context.span_id().to_bytes(),
            context.span_id().to_bytes()
        );
        let parent = our.parent_span_id.map_or([0; 8], |id| id.to_bytes());
        assert_eq!(parent, their.parent_span_id.to_bytes());
        assert_eq!(our.is_parent_remote, their.parent_span_is_remote);
        assert_eq!(our.trace_state, context.trace_state().header());
        let lasted = |start, end| nanos(end) - nanos(start);
        assert_eq!(
            lasted(our.start_time, our.end_time),
            lasted(their.start_time, their.end_time)
        );
        assert!(nanos(our.start_time).abs_diff(nanos(their.start_time)) <= 100_000);
        assert_eq!(our.attributes.len(), their.attributes.len());
        assert_eq!(
            (our.events.len(), our.links.len()),
            (their.events.len(), their.links.len())
        );
        assert_eq!(
            (our.scope_name.as_str(), our.scope_version.as_str()),
            ("library", "1.2.3")
        );
    }
    let server = ours.one("server");
    assert_eq!(server.status, Some(Err("failed".to_owned())));
    server
        .assert_attribute("n", 3)
        .assert_attribute("http.route", "/orders");
    assert_eq!(server.links[0].trace_state, "vendor=1");
    let ledger = capture.ledger();
    assert_eq!((ledger.ended, ledger.exported), (3, 3));
    assert_eq!(capture.counts().live, 0);
}

#[test]
fn what_the_sdk_does_not_sample_is_not_sent() {
    let capture = Capture::new();
    let sdk = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOff)
        .with_span_processor(BridgeProcessor::new(capture.provider()))
        .build();
    drop(sdk.tracer("test").start("dropped"));
    assert!(capture.spans().is_empty());
}

#[test]
fn the_sdks_flush_and_shutdown_are_as_honest_as_the_function_they_call() {
    for is_sent in [true, false] {
        let capture = Capture::new();
        let processor = BridgeProcessor::new(capture.provider()).with_flush(move |_| is_sent);
        let sdk = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        assert_eq!(sdk.force_flush().is_ok(), is_sent);
        assert_eq!(
            sdk.shutdown_with_timeout(Duration::from_secs(1)).is_ok(),
            is_sent
        );
        // Nothing comes after the shutdown.
        drop(sdk.tracer("test").start("late"));
        assert!(capture.spans().is_empty());
    }
}
