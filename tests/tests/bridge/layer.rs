//! Our layer of `tracing` beside the API: its spans are in the API's context, and it finds parents there.

use opentelemetry_0_33::Context as Theirs;
use opentelemetry_0_33::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use spandrel_core::hosted::layer::{SpanExt as _, layer};
use spandrel_core::hosted::opentelemetry_0_33::BridgeTracer;
use spandrel_core::hosted::testing::Capture;
use tracing::{debug_span, info_span};
use tracing_subscriber::prelude::*;

fn with_layer(test: impl FnOnce(&Capture, &BridgeTracer)) {
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    let bridge = BridgeTracer::from(tracer.clone());
    let subscriber = tracing_subscriber::registry().with(layer(&tracer));
    tracing::subscriber::with_default(subscriber, || test(&capture, &bridge));
}

fn remote() -> Theirs {
    Theirs::new().with_remote_span_context(SpanContext::new(
        TraceId::from(7_u128),
        SpanId::from(9_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

#[test]
fn an_entered_span_is_in_their_context() {
    with_layer(|capture, bridge| {
        let outer = info_span!("outer");
        let context = outer.in_scope(|| {
            drop(bridge.start("theirs"));
            Theirs::current().span().span_context().clone()
        });
        assert!(!Theirs::current().has_active_span());
        drop(outer);
        let outer = capture.spans().one("outer").context;
        assert_eq!(context.span_id().to_bytes(), outer.span_id().to_bytes());
        assert_eq!(context.trace_id().to_bytes(), outer.trace_id().to_bytes());
        assert!(context.is_sampled() && !context.is_remote());
        capture.spans().assert_tree("outer\n└─ theirs");
    });
}

#[test]
fn spans_of_all_kinds_nest() {
    with_layer(|capture, bridge| {
        let outer = bridge.start("theirs");
        let outer = Theirs::current_with_span(outer).attach();
        info_span!("layer").in_scope(|| {
            bridge.in_span("theirs again", |_| {
                debug_span!("layer again").in_scope(|| {
                    capture.tracer("ours").start("ours").end();
                });
            });
        });
        drop(outer);
        capture.spans().assert_tree(
            "
            theirs
            └─ layer
               └─ theirs again
                  └─ layer again
                     └─ ours
            ",
        );
    });
}

#[test]
fn a_span_without_a_parent_takes_the_one_that_is_current_there_when_it_is_entered_first() {
    with_layer(|capture, _| {
        let span = info_span!("request");
        for _ in 0..2 {
            // Around each poll, as instrumentation without this layer's `set_parent` does it.
            let _around = remote().attach();
            span.in_scope(|| info_span!("work").in_scope(|| ()));
        }
        drop(span);
        let spans = capture.spans();
        let request = spans.one("request");
        assert_eq!(request.context.trace_id().to_bytes(), 7_u128.to_be_bytes());
        assert_eq!(
            request.parent_span_id.unwrap().to_bytes(),
            9_u64.to_be_bytes()
        );
        assert_eq!(spans.children(request).count(), 2);
    });
}

#[test]
fn a_span_keeps_the_parent_that_it_has() {
    with_layer(|capture, bridge| {
        let outer = info_span!("outer");
        let child = outer.in_scope(|| info_span!("child"));
        let root = info_span!(parent: None, "root");
        let settled = info_span!("settled");
        let _ = settled.context();
        // One that was entered before anything was current there.
        let entered = info_span!("entered");
        entered.in_scope(|| ());
        // Only the spans of other libraries are taken: these are its own.
        let late = info_span!("late");
        outer.in_scope(|| late.in_scope(|| ()));
        let _around = remote().attach();
        for span in [&child, &root, &settled, &entered] {
            span.in_scope(|| drop(bridge.start("inside")));
        }
        drop((child, root, settled, late, outer));
        let spans = capture.spans();
        let outer = spans.one("outer").context;
        assert_eq!(spans.one("child").parent_span_id, Some(outer.span_id()));
        for name in ["root", "settled", "late"] {
            assert_eq!(spans.one(name).parent_span_id, None, "{name}");
        }
        assert_eq!(spans.named("inside").count(), 4);
        let remote = spans
            .named("inside")
            .filter(|it| it.context.trace_id().to_bytes() == 7_u128.to_be_bytes());
        assert_eq!(
            remote.count(),
            1,
            "that of the span that nothing had happened in"
        );
    });
}

#[test]
fn a_parent_that_is_set_within_the_span_is_seen_there() {
    with_layer(|_, _| {
        let span = info_span!("request");
        span.in_scope(|| {
            let parent = spandrel_core::hosted::opentelemetry_0_33::our_context(&remote());
            span.set_parent(&parent).unwrap();
            let context = Theirs::current().span().span_context().clone();
            assert_eq!(context.trace_id(), TraceId::from(7_u128));
        });
        assert!(!Theirs::current().has_active_span());
    });
}
