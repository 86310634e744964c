//! Processors that use tracers themselves.

use std::sync::{Arc, Mutex, OnceLock};

use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::hosted::trace::{Span, Tracer};
use spandrel_core::span::finished::FinishedSpan;

use super::rig::{Notes, Noting, Rig, at_end};

/// Starts and ends a span in each method, with a lock held that a call within a call would wait for.
struct Starting {
    tracer: OnceLock<Tracer>,
    lock: Mutex<()>,
}

impl Starting {
    fn start(&self, name: &str) {
        let _lock = self.lock.try_lock().expect("no call is within another");
        let tracer = self.tracer.get().expect("it was set");
        let mut span = tracer.start(name);
        assert!(span.is_recording());
        span.in_scope(|_| tracer.start("its child").end());
    }
}

impl SpanProcessor for Starting {
    fn on_start(&self, _: &mut LiveSpan<'_>, _: &Context) {
        self.start("in start");
    }

    fn on_ending(&self, _: &mut LiveSpan<'_>) {
        self.start("in ending");
    }

    fn on_end(&self, _: &FinishedSpan<'_>) -> SpanFate {
        self.start("in end");
        SpanFate::Keep
    }
}

#[test]
fn spans_that_a_processor_starts_are_exported_and_shown_to_none() {
    let notes = Notes::default();
    let starting = Arc::new(Starting {
        tracer: OnceLock::new(),
        lock: Mutex::default(),
    });
    let rig = Rig::new(vec![Noting::arc("a", &notes), Arc::clone(&starting) as _]);
    starting.tracer.set(rig.tracer()).expect("once");
    rig.tracer().start("work").end();
    assert_eq!(
        notes.take(),
        ["a start work", "a ending work", "a end work"]
    );
    assert_eq!(
        rig.names(),
        [
            "in end",
            "in ending",
            "in start",
            "its child",
            "its child",
            "its child",
            "work"
        ]
    );
    let counts = rig.counts();
    assert_eq!((counts.ended, counts.live), (7, 0));
    assert_eq!(counts.processor_panics, 0);
}

/// Keeps spans and ends one of them at the end of each other one.
#[test]
fn spans_that_end_within_a_processor_are_shown_when_it_has_returned() {
    const KEPT: usize = 50_000;
    let kept = Arc::new(Mutex::new(Vec::<Span>::new()));
    let notes = Notes::default();
    let ending = Arc::clone(&kept);
    let depth = Mutex::new(());
    let rig = Rig::with(|config| {
        config.shard_bytes = Some(16 << 20);
        config.max_queue_size = Some(100_000);
        config.buffer_bytes = Some(32 << 20);
        config.max_span_bytes = Some(256);
        config.processors = vec![
            at_end(move |_| {
                let _alone = depth.try_lock().expect("no call is within another");
                // One after the other, however many there are.
                let next = ending.lock().unwrap().pop();
                drop(next);
                SpanFate::Keep
            }),
            Noting::arc("b", &notes),
        ];
    });
    let tracer = rig.tracer();
    let spans = (0..KEPT).map(|_| tracer.start("kept"));
    *kept.lock().unwrap() = spans.collect();
    notes.take();
    tracer.start("first").end();
    let mut ends = notes.take();
    ends.retain(|note| note.starts_with("b end "));
    assert_eq!(ends.len(), KEPT + 1);
    assert_eq!(ends[0], "b end first");
    let counts = rig.counts();
    assert_eq!((counts.ended, counts.live), (KEPT as u64 + 1, 0));
    assert_eq!(counts.processor_panics, 0);
}
