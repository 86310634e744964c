//! Processors and the `tracing` layer.

use std::sync::Arc;

use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::span::finished::FinishedSpan;
use spandrel_transport_std::layer::SpanExt as _;
use tracing::{info, info_span};

use super::rig::{Notes, Noting};
use crate::tracing_layer::rig::{Rig, attributes, text};

fn remote(flags: TraceFlags) -> SpanContext {
    SpanContext::remote(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([8; 8]),
        flags,
    )
}

fn rig(sample_rate: f64, processors: Vec<Arc<dyn SpanProcessor>>) -> Rig {
    Rig::with(
        |config| {
            config.sample_rate = Some(sample_rate);
            config.processors = processors;
        },
        |layer| layer,
    )
}

#[test]
fn spans_of_the_layer_are_shown_like_others() {
    struct Changing(Notes);
    impl SpanProcessor for Changing {
        fn on_start(&self, span: &mut LiveSpan<'_>, parent: &Context) {
            let view = span.view().expect("it records");
            let field = view.attribute("field").and_then(|value| value.as_i64());
            assert_eq!(field, Some(1), "the fields are there");
            self.0.add(format!(
                "{} {}",
                view.name(),
                parent.span_context().is_valid()
            ));
            span.set_attribute("started", "yes");
        }

        fn on_ending(&self, span: &mut LiveSpan<'_>) {
            span.set_attribute("secret", "(removed)");
        }

        fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
            assert_eq!(span.scope().map(|scope| scope.name()), Some("layer"));
            match span.name() {
                "noise" => SpanFate::Drop,
                _ => SpanFate::Keep,
            }
        }
    }
    let notes = Notes::default();
    let rig = rig(1.0, vec![Arc::new(Changing(notes.clone()))]);
    let spans = rig.trace(|| {
        let outer = info_span!("outer", field = 1, secret = "hunter2");
        outer.in_scope(|| {
            info_span!("inner", field = 1).in_scope(|| info!("within"));
            info_span!("noise", field = 1).in_scope(|| ());
        });
    });
    assert_eq!(notes.take(), ["outer false", "inner true", "noise true"]);
    assert_eq!(spans.names(), ["inner", "outer"]);
    spans.is_child("inner", "outer");
    let outer = attributes(&spans.named("outer").attributes);
    assert_eq!(outer["secret"], text("(removed)"));
    assert_eq!(outer["started"], text("yes"));
    rig.assert_none_live();
}

/// The processors of spans whose parent is set when they have started.
#[test]
fn a_late_parent_decides_whether_a_span_is_shown() {
    let notes = Notes::default();
    let rig = rig(0.0, vec![Noting::arc("a", &notes)]);
    rig.run(|| {
        // Recorded for the sake of a late parent only, which does not come.
        info_span!("unsampled").in_scope(|| ());
        assert_eq!(notes.take(), [""; 0]);

        let span = info_span!("late");
        assert_eq!(notes.take(), [""; 0]);
        span.set_parent(remote(TraceFlags::SAMPLED))
            .expect("in time");
        span.in_scope(|| ());
        drop(span);
        assert_eq!(
            notes.take(),
            ["a start late", "a ending late", "a end late"]
        );
    });
    assert_eq!(rig.received().names(), ["late"]);

    let rig = super::layer::rig(1.0, vec![Noting::arc("a", &notes)]);
    rig.run(|| {
        notes.take();
        let span = info_span!("given up");
        span.set_parent(remote(TraceFlags::NONE)).expect("in time");
        drop(span);
        assert_eq!(notes.take(), ["a start given up"]);
    });
    rig.assert_none_live();
}

/// Uses the macros in every method.
struct Logging;

impl SpanProcessor for Logging {
    fn on_start(&self, _: &mut LiveSpan<'_>, _: &Context) {
        info!("in start");
        info_span!("of start").in_scope(|| info!("there"));
    }

    fn on_ending(&self, _: &mut LiveSpan<'_>) {
        info!("in ending");
        info_span!("of ending").in_scope(|| info!("there"));
    }

    fn on_end(&self, _: &FinishedSpan<'_>) -> SpanFate {
        info!("in end");
        info_span!("of end").in_scope(|| info!("there"));
        SpanFate::Keep
    }
}

#[test]
fn a_processor_may_use_the_macros() {
    let notes = Notes::default();
    let rig = rig(1.0, vec![Noting::arc("a", &notes), Arc::new(Logging)]);
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            info_span!("inner").in_scope(|| ());
            rig.tracer.start("plain").end();
        });
    });
    let mut seen = notes.take();
    seen.retain(|note| note.starts_with("a end "));
    assert_eq!(seen, ["a end inner", "a end plain", "a end outer"]);
    // Spans are made for spans of a tracer alone: in others the subscriber is at work.
    assert_eq!(
        spans.names(),
        ["inner", "of end", "of ending", "of start", "outer", "plain"]
    );
    for name in ["of end", "of ending", "of start"] {
        assert_eq!(spans.named(name).events.len(), 1);
        spans.is_child(name, "outer");
    }
    let events = spans.named("outer").events.iter().map(|event| &event.name);
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            "in ending",
            "there",
            "in end",
            "there",
            "in start",
            "in ending",
            "in end"
        ],
        "the end of `inner`, then all of `plain`"
    );
    rig.assert_none_live();
}
