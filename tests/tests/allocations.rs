//! Alone in its process: it installs the counting allocator.
//!
//! The core never allocates (design promise 2): every operation, measured.
//!
//! The crate is `no_std` without `alloc`, so it could not; this keeps a future feature or
//! dependency from changing that unseen.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use core::fmt;
use std::hint::black_box;

use spandrel_core::context::TraceState;
use spandrel_core::env;
use spandrel_core::json;
use spandrel_core::prelude::*;
use spandrel_core::propagation::{TextMapPropagator, TraceContextPropagator};
use spandrel_core::span::MIN_SCRATCH_BYTES;
use spandrel_core::wire::Fields;
use spandrel_tests::alloc::{CountingAllocator, measure};
use spandrel_tests::rng::TestRng;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[track_caller]
fn assert_free(body: impl FnOnce()) {
    let made = measure(body);
    assert_eq!((made.count, made.bytes), (0, 0));
}

type Ids = RandomIdGenerator<TestRng>;
type Pipeline = Exporter<[u8; 8192], [u8; 256]>;

fn tracer() -> BareTracer<ParentBased<TraceIdRatioBased>, Ids> {
    let sampler = ParentBased::new(TraceIdRatioBased::new(1.0));
    BareTracer::new(sampler, RandomIdGenerator::new(TestRng::new(1)))
}

fn pipeline() -> Pipeline {
    let attributes = [KeyValue::new("service.name", "test")];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "https://opentelemetry.io/schemas/1.44.0",
    };
    let registry = Registry::new([0; 256], &resource).unwrap();
    let buffer = Buffer::new([0; 8192]).with_overflow(Overflow::DropOldest);
    Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap()
}

/// A span with one of everything.
fn record(tracer: &mut BareTracer<impl Sampler, Ids>, sink: &mut Pipeline, scope: ScopeId) {
    let texts = ["a", "b"];
    let map = [KeyValue::new("k", texts.as_slice())];
    let attributes = [
        KeyValue::new("method", "GET"),
        KeyValue::new("map", map.as_slice()),
    ];
    let parent = SpanContext::remote(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([2; 8]),
        TraceFlags::SAMPLED,
    );
    let parent = ParentContext {
        span_context: parent,
        trace_state: "a=b",
    };
    let link = Link {
        attributes: &attributes,
        ..Link::from(parent.span_context)
    };
    let links = [link];
    let builder = SpanBuilder::new("request")
        .kind(SpanKind::Server)
        .scope(scope)
        .parent(parent)
        .attributes(&attributes)
        .links(&links);
    let mut span = tracer.start::<1024>(builder, Instant::from_secs(1));
    for value in 0..20_u64 {
        span.set_attribute("counter", u64::MAX - value);
    }
    span.set_attribute("text", "äöü");
    span.set_attributes(&attributes);
    span.add_event("event", &attributes, Instant::from_secs(1));
    span.add_link(&link);
    span.record_error_with(&fmt::Error, &attributes, Instant::from_secs(1));
    span.set_status(Status::error("failed"));
    span.update_name("GET /");
    black_box(span.trace_state());
    // Refused only while everything is leased.
    let _ = black_box(span.end(Instant::from_secs(2), sink));
}

#[test]
fn recording() {
    let (mut tracer, mut exporter) = (tracer(), pipeline());
    assert_free(|| {
        let scope = InstrumentationScope::new("http").with_version("1");
        let scope = exporter.scope(&scope).unwrap();
        for _ in 0..100 {
            record(&mut tracer, &mut exporter, scope);
        }
    });
    let ledger = exporter.ledger();
    assert!(
        ledger.dropped(DropReason::QueueFull) > 0,
        "the ring went round"
    );
}

#[test]
fn recording_too_much_for_the_scratch_and_for_the_limits() {
    let limits = SpanLimits {
        attribute_count: 2,
        ..SpanLimits::DEFAULT
    };
    let (mut tracer, mut exporter) = (tracer().with_limits(limits), pipeline());
    assert_free(|| {
        let builder = SpanBuilder::new("a name that is longer than the scratch");
        let mut span = tracer.start::<MIN_SCRATCH_BYTES>(builder, Instant::ZERO);
        span.set_attribute("does not", "fit");
        span.set_status(Status::error("does not fit either"));
        span.end(Instant::ZERO, &mut exporter).unwrap();
        let mut span = tracer.start::<512>(SpanBuilder::new("n"), Instant::ZERO);
        for key in ["a", "b", "c"] {
            span.set_attribute(key, 1_i64);
        }
        assert_eq!(span.dropped(), [1, 0, 0]);
        span.end(Instant::ZERO, &mut exporter).unwrap();
    });
}

#[test]
fn spans_that_are_not_sampled() {
    let mut tracer = BareTracer::new(AlwaysOff, RandomIdGenerator::new(TestRng::new(1)));
    let mut exporter = pipeline();
    assert_free(|| record(&mut tracer, &mut exporter, ScopeId::default()));
    assert_eq!(exporter.ledger().ended, 0);
}

#[test]
fn delivery_with_answers_of_every_kind() {
    let (mut tracer, mut exporter) = (tracer(), pipeline());
    let partial = Response {
        content_type: Some("application/x-protobuf"),
        body: Some(b"\x0a\x0b\x08\x05\x12\x07too old"),
        ..Response::new(200)
    };
    let throttled = Response {
        retry_after: Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        date: Some("Sun, 06 Nov 1994 08:49:30 GMT"),
        ..Response::new(429)
    };
    let refused = Response {
        content_type: Some("application/json"),
        body: Some(br#"{"code":3,"message":"no \u00e4"}"#),
        ..Response::new(400)
    };
    let outcomes = [
        Outcome::Response(partial),
        Outcome::Response(throttled),
        Outcome::Response(refused),
        Outcome::Response(Response::new(413)),
        Outcome::ResponseTooLarge { status: 503 },
        Outcome::Failed(TransportError::Connect),
        Outcome::Failed(TransportError::Reset { body_sent: true }),
        Outcome::Failed(TransportError::Stale),
        Outcome::Failed(TransportError::Cancelled),
    ];
    const DOWN: Outcome<'_> = Outcome::Failed(TransportError::Connect);
    let mut body = [0; 100];
    let mut events = 0;
    assert_free(|| {
        let mut now = Instant::from_secs(10);
        for (round, outcome) in outcomes.iter().cycle().take(200).enumerate() {
            record(&mut tracer, &mut exporter, ScopeId::default());
            let is_down = (100..120).contains(&round);
            let outcome = if is_down { &DOWN } else { outcome };
            if round == 50 {
                let unix = UnixNanos::from_secs(1_700_000_000);
                exporter.set_wall_clock(Some(WallClock::from_pair(now, unix)));
            }
            let flush = exporter.force_flush(now, now);
            now = now.max(exporter.poll_timeout().unwrap_or(now));
            if let Some(mut transmit) = exporter.poll_transmit(now) {
                while exporter.read_body(&mut transmit, &mut body) > 0 {}
                exporter.handle_response(now, transmit, outcome);
            }
            black_box(exporter.poll_flush(&flush, now));
            black_box((
                exporter.ledger(),
                exporter.stats(),
                exporter.server_message().len(),
            ));
            while let Some(event) = exporter.poll_event() {
                black_box(event);
                events += 1;
            }
        }
        exporter.shutdown(now, now.saturating_add(core::time::Duration::from_secs(1)));
        exporter.handle_timeout(Instant::MAX);
        black_box(exporter.poll_shutdown());
    });
    assert!(exporter.stats().circuit_opened > 0 && events > 100);
    assert!(exporter.ledger().is_closed());
}

/// Text into a fixed buffer.
struct Text {
    bytes: [u8; 4096],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let target = self.bytes.get_mut(self.len..).unwrap_or_default();
        let target = target.get_mut(..text.len()).ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

fn text() -> Text {
    Text {
        bytes: [0; 4096],
        len: 0,
    }
}

#[test]
fn json_into_a_fixed_buffer() {
    let (mut tracer, mut exporter) = (tracer(), pipeline());
    record(&mut tracer, &mut exporter, ScopeId::default());
    let body = exporter.buffer().front().unwrap().body;
    let mut out = text();
    assert_free(|| json::span(body, &mut out).unwrap());
    assert!(out.len > 500);
}

#[test]
fn reading_protobuf() {
    let (mut tracer, mut exporter) = (tracer(), pipeline());
    record(&mut tracer, &mut exporter, ScopeId::default());
    let body = exporter.buffer().front().unwrap().body;
    assert_free(|| assert!(Fields::new(body).all(|field| field.is_ok())));
}

#[test]
fn configuration_and_its_diagnostics() {
    let variables = [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://user:secret@host:1/p?q",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c,broken,=x,d=%zz"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a%2Cb,k=v"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_PROPAGATORS", "tracecontext,unheard-of"),
    ];
    let mut out = text();
    assert_free(|| {
        use fmt::Write as _;
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        let (env, diagnostics) = env::from_lookup(lookup);
        for diagnostic in &diagnostics {
            write!(out, "{diagnostic}").unwrap();
        }
        env.endpoint.unwrap().write_url(&mut out).unwrap();
        for (key, value) in env.headers.unwrap().iter() {
            write!(out, "{key}{value}").unwrap();
        }
        for (key, value) in env.resource_attributes.unwrap().iter() {
            write!(out, "{key}{value}").unwrap();
        }
    });
    assert!(out.len > 100);
}

#[test]
fn propagation() {
    let headers = [
        (
            "traceparent",
            "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-03",
        ),
        ("tracestate", "vendor=1,ot=th:c"),
        ("tracestate", " other=2 , vendor=3"),
    ];
    let mut out = text();
    assert_free(|| {
        use fmt::Write as _;
        let extracted = TraceContextPropagator.extract(&headers).unwrap();
        let state: TraceState = extracted
            .trace_state
            .insert("mine", "4")
            .unwrap()
            .delete("ot");
        let parent = ParentContext {
            span_context: extracted.span_context,
            trace_state: state.as_str(),
        };
        let mut carrier = |name: &str, value: &str| write!(out, "{name}: {value}").unwrap();
        TraceContextPropagator.inject(parent, &mut carrier);
    });
    assert!(out.len > 90);
}
