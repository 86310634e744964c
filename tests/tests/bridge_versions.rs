//! Three versions of the API in one process: one pipeline, one trace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

use spandrel_core::hosted::baggage::Baggage;
use spandrel_core::hosted::current::{self, suppress};
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;

/// What differs between the versions is the crate.
macro_rules! version {
    ($module:ident, $api:ident) => {
        mod $module {
            use spandrel_core::hosted::$api::BridgeTracer;
            use $api::baggage::BaggageExt as _;
            use $api::trace::{TraceContextExt as _, Tracer as _};

            pub(crate) fn tracer(tracer: &super::Tracer) -> BridgeTracer {
                tracer.clone().into()
            }

            /// A span that is current until the guard is dropped; it ends then.
            pub(crate) fn enter(tracer: &super::Tracer, name: &str) -> $api::ContextGuard {
                let span = self::tracer(tracer).start(name.to_owned());
                $api::Context::current_with_span(span).attach()
            }

            pub(crate) fn start(tracer: &super::Tracer, name: &str) -> [u8; 8] {
                use $api::trace::Span as _;
                let span = self::tracer(tracer).start(name.to_owned());
                span.span_context().span_id().to_bytes()
            }

            pub(crate) fn seen() -> [u8; 8] {
                $api::Context::current()
                    .span()
                    .span_context()
                    .span_id()
                    .to_bytes()
            }

            pub(crate) fn quiet() -> $api::ContextGuard {
                $api::Context::enter_telemetry_suppressed_scope()
            }

            pub(crate) fn is_quiet() -> bool {
                $api::Context::is_current_telemetry_suppressed()
            }

            pub(crate) fn tenant() -> Option<String> {
                let context = $api::Context::current();
                context
                    .baggage()
                    .get("tenant")
                    .map(|value| value.as_str().to_owned())
            }
        }
    };
}

version!(oldest, opentelemetry_0_31);
version!(middle, opentelemetry_0_32);
version!(newest, opentelemetry_0_33);

enum Held {
    Ours(#[allow(dead_code, reason = "it is dropped")] current::Guard),
    Oldest(#[allow(dead_code, reason = "it is dropped")] opentelemetry_0_31::ContextGuard),
    Middle(#[allow(dead_code, reason = "it is dropped")] opentelemetry_0_32::ContextGuard),
    Newest(#[allow(dead_code, reason = "it is dropped")] opentelemetry_0_33::ContextGuard),
}

fn enter(side: usize, tracer: &Tracer, name: &str) -> Held {
    match side {
        0 => Held::Ours(tracer.start(name).enter()),
        1 => Held::Oldest(oldest::enter(tracer, name)),
        2 => Held::Middle(middle::enter(tracer, name)),
        _ => Held::Newest(newest::enter(tracer, name)),
    }
}

/// What each side says is current for spans that start there.
fn parents(capture: &Capture, tracer: &Tracer) -> Vec<Option<[u8; 8]>> {
    tracer.start("child of ours").end();
    oldest::start(tracer, "child of oldest");
    middle::start(tracer, "child of middle");
    newest::start(tracer, "child of newest");
    let spans = capture.spans();
    let names = [
        "child of ours",
        "child of oldest",
        "child of middle",
        "child of newest",
    ];
    let parent = |name: &str| spans.named(name).last().unwrap().parent_span_id;
    names
        .iter()
        .map(|name| parent(name).map(|id| id.to_bytes()))
        .collect()
}

#[test]
fn spans_of_all_versions_make_one_trace() {
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    let a = newest::enter(&tracer, "newest");
    let b = oldest::enter(&tracer, "oldest");
    let ours = tracer.start("ours");
    let c = ours.enter();
    let d = middle::enter(&tracer, "middle");
    let e = newest::enter(&tracer, "newest again");
    tracer.start("innermost").end();
    drop((e, d, c, ours, b, a));
    capture.spans().assert_tree(
        "
        newest
        └─ oldest
           └─ ours
              └─ middle
                 └─ newest again
                    └─ innermost
        ",
    );
}

#[test]
fn every_nesting_of_four_sides_and_every_order_of_guards_finds_the_right_parent() {
    for kinds in 0..256_usize {
        let capture = Capture::new();
        let tracer = capture.tracer("test");
        for order in [0, 9, 14, 23] {
            let mut held = Vec::new();
            for at in 0..4 {
                let side = kinds >> (2 * at) & 3;
                let guard = enter(side, &tracer, "entered");
                let id = current::current_span_context()
                    .unwrap()
                    .span_id()
                    .to_bytes();
                held.push((id, guard));
            }
            let mut choice = order;
            loop {
                let expected = held.last().map(|(id, _)| *id);
                let seen = parents(&capture, &tracer);
                assert_eq!(
                    seen,
                    [expected; 4],
                    "{kinds:#x}, {order}, {} left",
                    held.len()
                );
                if held.is_empty() {
                    break;
                }
                let at = choice % held.len();
                choice /= held.len();
                drop(held.remove(at));
            }
            capture.reset();
        }
    }
}

#[test]
fn our_context_is_current_in_all_versions() {
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    // Bridges to all of them.
    parents(&capture, &tracer);
    let span = tracer.start("ours");
    let _tenant = Baggage::new().with("tenant", "acme").attach();
    let _inside = span.enter();
    let id = span.context().span_id().to_bytes();
    assert_eq!([oldest::seen(), middle::seen(), newest::seen()], [id; 3]);
    for tenant in [oldest::tenant(), middle::tenant(), newest::tenant()] {
        assert_eq!(tenant.as_deref(), Some("acme"));
    }
}

#[test]
fn suppression_on_one_side_holds_on_all() {
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    let record = || {
        tracer.start("ours").end();
        oldest::start(&tracer, "oldest");
        middle::start(&tracer, "middle");
        newest::start(&tracer, "newest");
    };
    let quiet = suppress();
    assert!(oldest::is_quiet() && middle::is_quiet() && newest::is_quiet());
    record();
    drop(quiet);
    let quiet = oldest::quiet();
    record();
    drop(quiet);
    let quiet = middle::quiet();
    record();
    drop(quiet);
    let quiet = newest::quiet();
    record();
    drop(quiet);
    assert!(capture.spans().is_empty());
    assert!(!oldest::is_quiet() && !middle::is_quiet() && !newest::is_quiet());
    record();
    assert_eq!(capture.spans().len(), 4);
}

/// Contexts that are made current between two looks, as by nested futures.
#[test]
fn contexts_that_were_not_seen_to_come_are_ordered_by_the_starts_of_their_spans() {
    use opentelemetry_0_31::trace::{TraceContextExt as _, Tracer as _};
    use opentelemetry_0_33::trace::{TraceContextExt as _, Tracer as _};
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    let outer =
        opentelemetry_0_33::Context::current_with_span(newest::tracer(&tracer).start("outer"));
    let inner = {
        let _inside = outer.clone().attach();
        opentelemetry_0_31::Context::current_with_span(oldest::tracer(&tracer).start("inner"))
    };
    for _ in 0..3 {
        let first = outer.clone().attach();
        let second = inner.clone().attach();
        let seen = current::current_span_context()
            .unwrap()
            .span_id()
            .to_bytes();
        assert_eq!(seen, inner.span().span_context().span_id().to_bytes());
        drop((second, first));
        assert!(current::current_span_context().is_none_or(|span| !span.is_valid()));
    }
}
