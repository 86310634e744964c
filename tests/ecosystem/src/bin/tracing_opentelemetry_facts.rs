//! Facts that the tests of tracing-opentelemetry 0.34 establish with opentelemetry_sdk, here with this
//! pipeline under its layer: 29 facts, those about events, options and parents with and without
//! `context_activation`, as its tests have it.

use std::fmt;

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use spandrel_core::hosted::export::SpanData;
use spandrel_core::hosted::opentelemetry_0_33::BridgeTracer;
use spandrel_core::hosted::testing::{Capture, Spans};
use spandrel_ecosystem::fail;
use tracing::field::Empty;
use tracing::{Level, Span, debug_span, error, info, info_span, span};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

type Layer = OpenTelemetryLayer<Registry, BridgeTracer>;

/// The spans that `work` leaves under the layer that `change` makes.
fn under(change: impl FnOnce(Layer) -> Layer, work: impl FnOnce()) -> Spans {
    let capture = Capture::new();
    let tracer = BridgeTracer::from(capture.tracer("test"));
    let layer = change(tracing_opentelemetry::layer().with_tracer(tracer));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, work);
    if capture.counts().live != 0 {
        fail("a span was not ended");
    }
    capture.spans()
}

fn check(fact: &str, holds: bool) {
    if !holds {
        fail(&format!("it does not hold that {fact}"));
    }
    println!("{fact}");
}

fn has(span: &SpanData, key: &str) -> bool {
    span.attribute(key).is_some()
}

fn remote(flags: TraceFlags) -> SpanContext {
    let (trace, span) = (TraceId::from(42_u128), SpanId::from(1_u64));
    let state = TraceState::from_key_value([("vendor", "1")]).unwrap_or_default();
    SpanContext::new(trace, span, flags, true, state)
}

fn is_42(span: &SpanData) -> bool {
    span.context.trace_id().to_bytes() == 42_u128.to_be_bytes()
}

#[derive(Debug)]
struct Failure(Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "outer" } else { "inner" })
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|it| it as _)
    }
}

fn fields() {
    let spans = under(
        |it| it,
        || {
            let name = String::from("GET http://example.com");
            drop(debug_span!("static", otel.name = name.as_str()));
        },
    );
    check(
        "a name may be dynamic",
        spans[0].name == "GET http://example.com",
    );
    let spans = under(
        |it| it,
        || drop(debug_span!("request", otel.kind = "server")),
    );
    check(
        "a field gives the kind",
        format!("{:?}", spans[0].kind) == "Server",
    );
    let spans = under(
        |it| it,
        || {
            drop(debug_span!("request", otel.status_code = ?Status::Ok));
        },
    );
    check("a field gives the status", spans[0].status == Some(Ok(())));
    let spans = under(
        |it| it,
        || {
            drop(debug_span!("request", otel.status_description = "message"));
        },
    );
    check(
        "a description is an error",
        spans[0].status == Some(Err("message".into())),
    );
}

fn options(activation: bool) {
    let with = |change: fn(Layer) -> Layer| {
        under(
            |layer| change(layer.with_context_activation(activation)),
            || {
                let _entered = debug_span!("request").entered();
            },
        )
    };
    let timed = with(|it| it.with_tracked_inactivity(true));
    check(
        "times are included",
        has(&timed[0], "busy_ns") && has(&timed[0], "idle_ns"),
    );
    for (is_on, located, threaded, leveled) in [
        (
            true,
            with(|it| it.with_location(true)),
            with(|it| it.with_threads(true)),
            with(|it| it.with_level(true)),
        ),
        (
            false,
            with(|it| it.with_location(false)),
            with(|it| it.with_threads(false)),
            with(|it| it.with_level(false)),
        ),
    ] {
        check(
            "the location is there as asked",
            has(&located[0], "code.file.path") == is_on,
        );
        check(
            "the thread is there as asked",
            has(&threaded[0], "thread.id") == is_on,
        );
        check(
            "the level is there as asked",
            has(&leveled[0], "level") == is_on,
        );
    }
    let targeted = with(|it| it.with_target(true));
    check("the target is there as asked", has(&targeted[0], "target"));
}

fn events(activation: bool) {
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            info_span!("request").in_scope(|| {
                info!("named by its message");
                let failure = Failure(Some(Box::new(Failure(None))));
                error!(
                    error = &failure as &(dyn std::error::Error + 'static),
                    "failed"
                );
            });
        },
    );
    let events = &spans[0].events;
    check("events are named", events[0].name == "named by its message");
    let shown = format!("{:?}", events[1].attributes);
    check(
        "errors have their sources",
        shown.contains("outer") && shown.contains("inner"),
    );
    check(
        "an error event fails the span",
        matches!(spans[0].status, Some(Err(_))),
    );
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let span = info_span!("request", late = Empty);
            span.in_scope(|| {
                Span::current().record("late", "there");
            });
            span.record("late", "again");
            let links = [info_span!("first"), info_span!("second")];
            links.iter().for_each(|link| {
                span.follows_from(link);
            });
        },
    );
    let request = spans.one("request");
    check(
        "a field may be recorded late",
        *request.attribute("late").unwrap_or_else(|| fail("late")) == "again",
    );
    check("what is followed is linked", request.links.len() == 2);
}

fn parents(activation: bool) {
    let around = Context::new().with_remote_span_context(remote(TraceFlags::SAMPLED));
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let _inside = around.clone().attach();
            info_span!("root").in_scope(|| drop(info_span!("child")));
        },
    );
    let (root, child) = (spans.one("root"), spans.one("child"));
    check(
        "a context that is current is the parent",
        is_42(root) && is_42(child),
    );
    check("its tracestate goes on", child.trace_state == "vendor=1");
    check(
        "children are children",
        child.parent_span_id == Some(root.context.span_id()),
    );
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let span = info_span!("root");
            if span.set_parent(around.clone()).is_err() {
                fail("set_parent");
            }
            span.in_scope(|| drop(info_span!("child")));
            let seen = span.context().span().span_context().trace_id();
            check("the context is the span's", seen == TraceId::from(42_u128));
        },
    );
    check(
        "a context that was set is the parent",
        is_42(spans.one("child")),
    );
    let dropped = Context::new().with_remote_span_context(remote(TraceFlags::default()));
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let span = info_span!("root");
            let _ = span.set_parent(dropped);
            span.in_scope(|| drop(info_span!("child")));
        },
    );
    check("the new parent's sampling decides", spans.is_empty());
    let nothing = Context::new().with_remote_span_context(SpanContext::NONE);
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let span = info_span!("root");
            let _ = span.set_parent(nothing);
            span.in_scope(|| drop(info_span!("child")));
        },
    );
    check(
        "an invalid parent makes a root",
        spans.one("root").parent_span_id.is_none(),
    );
    let spans = under(
        |it| it.with_context_activation(activation),
        || {
            let outer = info_span!("outer");
            let explicit = span!(parent: &outer, Level::INFO, "explicit");
            std::thread::scope(|threads| {
                let dispatch = tracing::dispatcher::get_default(Clone::clone);
                threads.spawn(move || {
                    let _default = tracing::dispatcher::set_default(&dispatch);
                    explicit.in_scope(|| drop(info_span!("elsewhere")));
                });
            });
        },
    );
    let (outer, explicit) = (spans.one("outer"), spans.one("explicit"));
    check(
        "parents may be given",
        explicit.parent_span_id == Some(outer.context.span_id()),
    );
    check(
        "spans go to other threads",
        spans.one("elsewhere").parent_span_id == Some(explicit.context.span_id()),
    );
}

fn extension() {
    let spans = under(
        |it| it,
        || {
            let span = info_span!("root");
            span.set_attribute("key", 3);
            span.set_status(Status::error("failed"));
            span.add_event("event", vec![KeyValue::new("k", "v")]);
            span.add_link(remote(TraceFlags::SAMPLED));
        },
    );
    let span = &spans[0];
    check(
        "attributes may be set",
        *span.attribute("key").unwrap_or_else(|| fail("key")) == 3,
    );
    check(
        "the status may be set",
        span.status == Some(Err("failed".into())),
    );
    check("events may be added", span.events.len() == 1);
    check("links may be added", span.links.len() == 1);
    let spans = under(
        |it| it,
        || {
            let span = info_span!("root");
            let _entered = span.enter();
            let late = Context::new().with_remote_span_context(remote(TraceFlags::SAMPLED));
            check(
                "a parent of an entered span is refused",
                span.set_parent(late).is_err(),
            );
        },
    );
    check("it stays a root", spans[0].parent_span_id.is_none());
}

fn main() {
    fields();
    extension();
    for activation in [true, false] {
        options(activation);
        events(activation);
        parents(activation);
    }
}
