//! What processors change, and what they drop.

use std::sync::Arc;

use spandrel_core::attribute::KeyValue;
use spandrel_core::context::Link;
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::response::DropReason;
use spandrel_core::span::Status;
use spandrel_core::span::finished::FinishedSpan;

use super::rig::{Notes, Noting, Rig, at_end, at_ending, text_of};

/// Adds an attribute at the start and replaces a secret at the end.
struct Redacting;

impl SpanProcessor for Redacting {
    fn on_start(&self, span: &mut LiveSpan<'_>, _: &Context) {
        span.set_attribute("region", "north");
        span.set_attribute("late", "early");
    }

    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        let has_secret = span
            .view()
            .is_some_and(|span| span.attribute("password").is_some());
        if has_secret {
            span.set_attribute("password", "(removed)");
        }
        span.set_attributes(&[KeyValue::new("a", "b")]);
        span.add_event("ending", &[]);
        let link = Link::from(*span.context());
        span.add_link(&link);
        span.record_error(&std::fmt::Error);
        span.set_status(Status::error("changed"));
        span.update_name("renamed");
    }
}

// spec D-118, H-036
#[test]
fn what_a_processor_sets_is_exported() {
    for rig in Rig::of_both(|config| config.processors = vec![Arc::new(Redacting)]) {
        let mut span = rig.tracer().start("login");
        span.set_attribute("password", "hunter2");
        span.set_attribute("late", "late");
        span.end();
        let received = rig.received();
        let [span] = &received[..] else {
            panic!("{received:?}");
        };
        assert_eq!(span.name, "renamed");
        assert_eq!(text_of(span, "region"), Some("north"));
        assert_eq!(text_of(span, "password"), Some("(removed)"));
        assert_eq!(text_of(span, "late"), Some("late"), "the span came later");
        assert_eq!(text_of(span, "a"), Some("b"));
        let events: Vec<_> = span.events.iter().map(|event| &event.name).collect();
        assert_eq!(events, ["ending", "exception"]);
        assert_eq!(span.links.len(), 1);
        let status = span.status.as_ref().map(|status| status.message.as_str());
        assert_eq!(status, Some("changed"));
    }
}

/// The end of a span is when it ended, however long its processors take.
#[test]
fn the_end_is_fixed_before_a_processor_sees_it() {
    let notes = Notes::default();
    let (first, last) = (notes.clone(), notes.clone());
    let rig = Rig::new(vec![
        at_ending(move |span| {
            let end = span.view().map_or(0, |span| span.end_nanos());
            first.add(end.to_string());
            let start = std::time::Instant::now();
            while start.elapsed().as_millis() < 2 {}
        }),
        at_end(move |span| {
            last.add(span.end_nanos().to_string());
            SpanFate::Keep
        }),
    ]);
    rig.tracer().start("work").end();
    let ends = notes.take();
    assert_eq!(ends[0], ends[1]);
    assert_ne!(ends[0], "0");
    let received = rig.received();
    let took = received[0].end_time_unix_nano - received[0].start_time_unix_nano;
    assert!(took < 2_000_000, "{took}");
}

#[test]
fn what_is_dropped_is_counted_and_no_loss_and_later_processors_do_not_see_it() {
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| {
        config.processors = vec![
            at_end(|span| match span.name() {
                "health" => SpanFate::Drop,
                _ => SpanFate::Keep,
            }),
            Noting::arc("b", &notes),
        ];
    });
    for rig in rigs {
        notes.take();
        for name in ["health", "work", "health"] {
            rig.tracer().start(name).end();
        }
        let mut seen = notes.take();
        seen.retain(|note| note.starts_with("b end "));
        assert_eq!(seen, ["b end work"]);
        assert_eq!(rig.names(), ["work"]);
        let ledger = rig.ledger();
        assert_eq!((ledger.ended, ledger.exported), (3, 1));
        assert_eq!(ledger.dropped(DropReason::Filtered), 2);
        assert_eq!((ledger.dropped_total(), ledger.lost_total()), (2, 0));
        let counts = rig.counts();
        assert_eq!((counts.ended, counts.live), (3, 0));
        let report = rig.shutdown();
        assert!(report.is_success(), "{report:?}");
        assert_eq!((report.dropped, report.lost, report.reason), (0, 0, None));
        notes.take();
    }
}

/// A processor may set more than a span can hold.
#[test]
fn a_span_that_a_processor_fills_is_counted_as_incomplete() {
    let rig = Rig::with(|config| {
        config.max_span_bytes = Some(512);
        config.processors = vec![
            at_ending(|span| {
                for n in 0..200 {
                    span.set_attribute(&format!("key.{n}"), "a value of some length");
                }
            }),
            at_end(|span: &FinishedSpan<'_>| {
                assert!(span.dropped_attributes() > 0);
                SpanFate::Keep
            }),
        ];
    });
    rig.tracer().start("full").end();
    let received = rig.received();
    let kept = received[0].attributes.len();
    assert_eq!(kept as u32 + received[0].dropped_attributes_count, 200);
    assert_eq!(rig.counts().incomplete, 1);
    rig.tracer().start("again").end();
    assert_eq!(rig.counts().incomplete, 2);
}
