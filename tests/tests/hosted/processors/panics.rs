//! A processor that panics does no harm.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;

use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::diagnostics;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::span::finished::FinishedSpan;

use super::rig::{Notes, Noting, Rig, text_of};

/// Panics in every method, after it has changed the span.
struct Panicking;

impl SpanProcessor for Panicking {
    fn on_start(&self, span: &mut LiveSpan<'_>, _: &Context) {
        span.set_attribute("start", "set");
        panic!("the start of processor 77");
    }

    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        span.set_attribute("ending", "set");
        panic!("the ending of processor 77");
    }

    fn on_end(&self, _: &FinishedSpan<'_>) -> SpanFate {
        /// Panics again when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        panic_any(Bomb);
    }
}

#[test]
fn a_panic_is_caught_reported_once_and_counted_and_others_are_called() {
    let said = Notes::default();
    let heard = said.clone();
    diagnostics::set_handler(Box::new(move |report| heard.add(report.to_string())));
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| {
        config.processors = vec![Arc::new(Panicking), Noting::arc("b", &notes)];
    });
    for rig in rigs {
        notes.take();
        for _ in 0..3 {
            rig.tracer().start("work").end();
            assert_eq!(
                notes.take(),
                ["b start work", "b ending work", "b end work"]
            );
        }
        assert_eq!(rig.counts().processor_panics, 9);
        let received = rig.received();
        assert_eq!(received.len(), 3);
        for span in &received {
            assert_eq!(text_of(span, "start"), Some("set"));
            assert_eq!(text_of(span, "ending"), Some("set"));
        }
        notes.take();
    }
    let mut said = said.take();
    said.retain(|line| line.contains("processor 77"));
    // Once for each rig, unless the reports are limited, which they are by kind.
    assert!((1..=2).contains(&said.len()), "{said:?}");
    assert!(said[0].contains("span processor 1 of 2 panicked in on_start"));
}

#[test]
fn spans_that_a_panic_ends_are_shown_and_their_processors_may_panic_too() {
    let notes = Notes::default();
    let rig = Rig::new(vec![Noting::arc("a", &notes), Arc::new(Panicking)]);
    let tracer = rig.tracer();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _outer = tracer.start("outer");
        /// Starts a span while its thread unwinds.
        struct Cleaner<'a>(&'a spandrel_core::hosted::trace::Tracer);
        impl Drop for Cleaner<'_> {
            fn drop(&mut self) {
                self.0.start("cleanup").end();
            }
        }
        let _cleaner = Cleaner(&tracer);
        panic!("the program's own");
    }));
    assert!(unwound.is_err());
    let mut ends = notes.take();
    ends.retain(|note| note.starts_with("a end "));
    assert_eq!(ends, ["a end cleanup", "a end outer"]);
    let received = rig.received();
    let messages: Vec<_> = received
        .iter()
        .map(|span| span.status.as_ref().map_or("", |status| &status.message))
        .collect();
    assert_eq!(messages, ["", "panicked"]);
}

/// A span that starts while its thread unwinds may be too full, too.
#[test]
fn a_full_span_of_an_unwinding_thread_is_counted() {
    for processors in [vec![], vec![Noting::arc("a", &Notes::default())]] {
        let rig = Rig::with(|config| {
            config.max_span_bytes = Some(512);
            config.processors = processors;
        });
        let tracer = rig.tracer();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            struct Cleaner<'a>(&'a spandrel_core::hosted::trace::Tracer);
            impl Drop for Cleaner<'_> {
                fn drop(&mut self) {
                    let mut span = self.0.start("cleanup");
                    span.set_attribute("long", "x".repeat(600).as_str());
                }
            }
            let _cleaner = Cleaner(&tracer);
            panic!("the program's own");
        }));
        assert!(unwound.is_err());
        assert_eq!(rig.counts().incomplete, 1);
        assert_eq!(rig.names(), ["cleanup"]);
    }
}
