//! Helpers that record on the active span without a reference to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::hosted::active::{ActiveSpan, active_span, lost_updates};
use spandrel_core::hosted::current::{self, ContextFutureExt as _};
use spandrel_core::hosted::processor::SpanFate;
use spandrel_core::span::Status;
use spandrel_transport_std::layer::SpanExt as _;
use tracing::info_span;

use crate::processors::rig::{Notes, Rig, at_end, at_ending, text_of};
use crate::tracing_layer::rig::Rig as LayerRig;

/// What a helper does deep in the call tree.
fn help() {
    let span = active_span();
    assert!(span.is_recording());
    span.set_attribute("helper", "was here");
    span.add_event("helped", &[]);
    span.record_error(&std::fmt::Error);
}

#[track_caller]
fn was_helped(span: &Received) {
    assert_eq!(text_of(span, "helper"), Some("was here"), "{}", span.name);
    let events: Vec<_> = span.events.iter().map(|event| &event.name).collect();
    assert_eq!(events, ["helped", "exception"], "{}", span.name);
}

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

// spec D-015, H-009, H-013
#[test]
fn a_helper_records_on_the_span_that_is_current() {
    for rig in Rig::of_both(|_| ()) {
        let tracer = rig.tracer();
        let mut outer = tracer.start("outer");
        outer.in_scope(|_| {
            let mut inner = tracer.start("inner");
            inner.set_attribute("own", "yes");
            inner.in_scope(|_| help());
            inner.set_attribute("later", "yes");
            inner.end();
            tracer.start("beside").end();
        });
        outer.end();
        let received = rig.received();
        was_helped(named(&received, "inner"));
        assert_eq!(text_of(named(&received, "inner"), "own"), Some("yes"));
        assert_eq!(text_of(named(&received, "inner"), "later"), Some("yes"));
        for other in ["outer", "beside"] {
            assert!(named(&received, other).attributes.is_empty());
        }
    }
}

#[test]
fn a_helper_in_a_future_records_wherever_that_is_polled() {
    let rig = Rig::new(vec![]);
    let tracer = rig.tracer();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let tracer = tracer.clone();
                tokio::spawn(async move {
                    let span = tracer.start(&format!("task {n}"));
                    let work = async {
                        for step in 0..5_i64 {
                            active_span().set_attribute(&format!("step {step}"), n);
                            tokio::task::yield_now().await;
                        }
                        help();
                    };
                    work.in_span(&span).await;
                    tokio::task::yield_now().await;
                    span.end();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let received = rig.received();
    assert_eq!(received.len(), 50);
    for span in &received {
        was_helped(span);
        assert_eq!(span.attributes.len(), 6, "{}", span.name);
    }
}

#[test]
fn a_span_can_be_recorded_on_from_another_thread_while_it_is_open() {
    let rig = Rig::new(vec![]);
    let span = rig.tracer().start("open");
    let shared = ActiveSpan::from(*span.context());
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || shared.set_attribute(&format!("thread {n}"), "there"));
        }
    });
    span.end();
    assert_eq!(rig.received()[0].attributes.len(), 4);
}

#[test]
fn a_helper_records_on_a_span_of_the_layer() {
    let rig = LayerRig::new();
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            info_span!("inner", own = 1).in_scope(help);
            rig.tracer.start("plain").in_scope(|_| help());
        });
        let late = info_span!("late");
        late.in_scope(|| active_span().fail("of a helper"));
        late.set_attribute("after", 1);
    });
    was_helped(spans.named("inner"));
    was_helped(spans.named("plain"));
    assert!(spans.named("outer").attributes.is_empty());
    let late = spans.named("late");
    assert_eq!(late.status.as_ref().unwrap().message, "of a helper");
    assert_eq!(late.attributes.len(), 1);
}

#[test]
fn processors_see_what_a_helper_recorded() {
    let notes = Notes::default();
    let (ending, end) = (notes.clone(), notes.clone());
    let rig = Rig::with(|config| {
        config.processors = vec![
            at_ending(move |span| {
                let view = span.view().unwrap();
                ending.add(format!("{:?}", view.attributes()));
                span.set_attribute("helper", "(removed)");
            }),
            at_end(move |span| {
                end.add(format!("{:?} {}", span.attributes(), span.events().count()));
                SpanFate::Keep
            }),
        ];
    });
    let mut span = rig.tracer().start("work");
    span.in_scope(|_| help());
    span.end();
    assert_eq!(
        notes.take(),
        ["{helper=\"was here\"}", "{helper=\"(removed)\"} 2",]
    );
    assert_eq!(text_of(&rig.received()[0], "helper"), Some("(removed)"));
}

/// Of two values of a key the helper's counts; the status follows its ranks.
#[test]
fn owner_and_helper_agree_by_fixed_rules() {
    let rig = Rig::new(vec![]);
    let tracer = rig.tracer();
    let mut span = tracer.start("both");
    span.in_scope(|_| {
        active_span().set_attribute("k", "helper");
        active_span().set_status(Status::error("helper"));
        active_span().update_name("renamed");
    });
    span.set_attribute("k", "owner");
    span.set_error("owner");
    span.end();
    let mut fine = tracer.start("fine");
    fine.in_scope(|_| active_span().set_status(Status::error("helper")));
    fine.set_status(Status::Ok);
    fine.end();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut span = tracer.start("panicking");
        span.in_scope(|_| {
            active_span().set_status(Status::error("before the panic"));
            panic!("the program's own");
        })
    }));
    assert!(unwound.is_err());
    let received = rig.received();
    let status = |name| named(&received, name).status.as_ref().unwrap();
    assert_eq!(text_of(named(&received, "renamed"), "k"), Some("helper"));
    assert_eq!(status("renamed").message, "helper");
    assert_eq!(
        (status("fine").code, status("fine").message.as_str()),
        (1, "")
    );
    assert_eq!(status("panicking").message, "before the panic");
}

#[test]
fn what_comes_too_late_or_reaches_no_span_does_no_harm() {
    let rig = Rig::new(vec![]);
    active_span().set_attribute("nothing", "is current");
    let span = rig.tracer().start("ended");
    let context = span.to_context();
    span.end();
    let before = lost_updates();
    {
        let _attached = current::attach(context);
        assert!(!active_span().is_recording());
        active_span().set_attribute("too", "late");
        active_span().fail("too late");
    }
    assert!(lost_updates() >= before + 3);
    assert!(rig.received()[0].attributes.is_empty());

    let unsampled = Rig::with(|config| config.sample_rate = Some(0.0));
    let mut span = unsampled.tracer().start("unsampled");
    span.in_scope(|_| {
        assert!(!active_span().is_recording());
        active_span().set_attribute("k", "v");
    });
    span.end();
    assert_eq!(unsampled.names(), [""; 0]);
}

/// Values whose conversion or text is the program's code may use helpers themselves.
#[test]
fn an_error_that_records_while_it_is_formatted_does_not_hang() {
    struct Recording;
    impl std::fmt::Display for Recording {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            active_span().set_attribute("formatted", "yes");
            f.write_str("text")
        }
    }
    let rig = Rig::new(vec![]);
    let mut span = rig.tracer().start("work");
    span.in_scope(|_| active_span().fail(&Recording));
    span.end();
    let received = rig.received();
    assert_eq!(text_of(&received[0], "formatted"), Some("yes"));
    assert_eq!(received[0].status.as_ref().unwrap().message, "text");
}

/// Limits are the pipeline's, as for what the owner sets.
#[test]
fn the_limits_of_the_pipeline_apply_to_a_helper() {
    let rig = Rig::with(|config| {
        let mut limits = spandrel_core::limits::SpanLimits::DEFAULT;
        limits.value.length = 3;
        limits.attribute_count = 2;
        config.limits = Some(limits);
    });
    let mut span = rig.tracer().start("work");
    span.in_scope(|_| {
        active_span().set_attribute("text", "abcdef");
        active_span().set_attribute("list", &["abcdef"]);
        active_span().set_attribute("more", 1);
    });
    span.end();
    let received = rig.received();
    assert_eq!(text_of(&received[0], "text"), Some("abc"));
    assert_eq!(received[0].attributes.len(), 2);
    assert_eq!(received[0].dropped_attributes_count, 1);
    assert_eq!(rig.counts().incomplete, 1);
}
