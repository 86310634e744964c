//! Which processors are called, when, in which order, and with what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::current::{self, Context, ContextKey};
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::resource::InstrumentationScope;
use spandrel_core::sampler::{AlwaysOff, AlwaysRecord};
use spandrel_core::span::finished::FinishedSpan;

use super::rig::{Notes, Noting, Rig, at_end, text_of};

// spec D-115, D-116, D-118
#[test]
fn processors_are_called_in_order_and_all_may_change_a_span_before_one_sees_its_end() {
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| {
        config.processors = vec![Noting::arc("a", &notes), Noting::arc("b", &notes)];
    });
    for rig in rigs {
        notes.take();
        let span = rig.tracer().start("work");
        assert_eq!(notes.take(), ["a start work", "b start work"]);
        span.end();
        assert_eq!(
            notes.take(),
            ["a ending work", "b ending work", "a end work", "b end work"]
        );
        assert_eq!(rig.names(), ["work"]);
        assert_eq!(notes.take(), ["a flush ", "b flush "]);
    }
}

static TENANT: ContextKey<&str> = ContextKey::new("tenant");

/// Copies a value of the context onto the span.
struct Copying;

impl SpanProcessor for Copying {
    fn on_start(&self, span: &mut LiveSpan<'_>, parent: &Context) {
        if let Some(tenant) = parent.value(&TENANT) {
            span.set_attribute("tenant", *tenant);
        }
    }
}

#[test]
fn values_of_the_context_can_be_copied_onto_every_span() {
    let rig = Rig::new(vec![Arc::new(Copying)]);
    let tracer = rig.tracer();
    let mut outer = tracer.start("outside");
    {
        let _attached = current::attach(Context::new().with_value(&TENANT, "acme"));
        tracer.start("root").end();
        tracer.span("explicit").parent(&outer).start().end();
        outer.in_scope(|_| tracer.start("child").end());
    }
    outer.end();
    for span in rig.received() {
        let expected = (span.name != "outside").then_some("acme");
        assert_eq!(text_of(&span, "tenant"), expected, "{}", span.name);
    }
}

/// Notes the parent that each span starts under.
struct Parents(Notes);

impl SpanProcessor for Parents {
    fn on_start(&self, span: &mut LiveSpan<'_>, parent: &Context) {
        let parent = ParentContext::from(parent);
        let child = span.view().expect("it records");
        let expected = child.parent().map(|parent| parent.span_id());
        let given = parent.span_context;
        assert_eq!(expected, given.is_valid().then_some(given.span_id()));
        self.0.add(format!(
            "{}: {} {} {:?}",
            child.name(),
            given.span_id(),
            given.is_remote(),
            parent.trace_state
        ));
    }
}

// spec D-115, H-024
#[test]
fn a_start_comes_with_the_context_of_the_parent() {
    let notes = Notes::default();
    let rig = Rig::new(vec![Arc::new(Parents(notes.clone()))]);
    let tracer = rig.tracer();
    let none = SpanId::default();
    tracer.start("root").end();
    assert_eq!(notes.take(), [format!("root: {none} false \"\"")]);

    let mut outer = tracer.start("outer");
    let id = outer.context().span_id();
    notes.take();
    outer.in_scope(|_| {
        tracer.start("current").end();
        tracer.span("new root").root().start().end();
    });
    tracer.span("explicit").parent(&outer).start().end();
    assert_eq!(
        notes.take(),
        [
            format!("current: {id} false \"\""),
            format!("new root: {none} false \"\""),
            format!("explicit: {id} false \"\""),
        ]
    );

    let remote = ParentContext {
        span_context: SpanContext::remote(
            TraceId::from_bytes([1; 16]),
            SpanId::from_bytes([2; 8]),
            TraceFlags::SAMPLED,
        ),
        trace_state: "vendor=value",
    };
    let id = remote.span_context.span_id();
    let _attached = current::attach(remote.into());
    tracer.start("remote").end();
    assert_eq!(
        notes.take(),
        [format!("remote: {id} true \"vendor=value\"")]
    );
}

// spec H-064, D-116
#[test]
fn a_span_that_is_only_recorded_is_shown_and_not_exported() {
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| {
        let seen = notes.clone();
        config.sampler = Some(Arc::new(AlwaysRecord::new(AlwaysOff)));
        config.processors = vec![
            Noting::arc("a", &notes),
            at_end(move |span| {
                assert!(!span.is_sampled());
                let value = span.attribute("k").and_then(|value| value.as_i64());
                seen.add(format!("{value:?} {:?}", span.duration().is_zero()));
                SpanFate::Drop
            }),
        ];
    });
    for rig in rigs {
        notes.take();
        let mut span = rig.tracer().start("recorded");
        span.set_attribute("k", 7);
        std::hint::black_box(&span);
        let start = std::time::Instant::now();
        while start.elapsed().as_micros() < 5 {}
        span.end();
        assert_eq!(
            notes.take(),
            [
                "a start recorded",
                "a ending recorded",
                "a end recorded",
                "Some(7) false"
            ]
        );
        let counts = rig.counts();
        assert_eq!((counts.started.record_only, counts.live), (1, 0));
        assert_eq!(rig.names(), [""; 0]);
        assert_eq!(rig.ledger().ended, 0, "it is in no ledger");
        notes.take();
    }
}

#[test]
fn a_span_that_is_not_recorded_is_not_shown() {
    let notes = Notes::default();
    let rig = Rig::with(|config| {
        config.sample_rate = Some(0.0);
        config.processors = vec![Noting::arc("a", &notes)];
    });
    rig.tracer().start("unsampled").end();
    {
        let _suppressed = current::suppress();
        rig.tracer().start("suppressed").end();
    }
    assert_eq!(notes.take(), [""; 0]);
}

// spec D-119, H-061
#[test]
fn the_end_is_shown_with_scope_and_resource_also_of_a_late_tracer() {
    let notes = Notes::default();
    let seen = notes.clone();
    let rig = Rig::new(vec![at_end(move |span: &FinishedSpan<'_>| {
        let (scope, resource) = (span.scope(), span.resource());
        let service = resource.and_then(|it| it.attributes().value("service.name"));
        seen.add(format!(
            "{:?} {:?} {:?} {}",
            scope.map(|scope| scope.name()),
            scope.map(|scope| scope.version()),
            service,
            span.end_time() > span.start_time(),
        ));
        SpanFate::Keep
    })]);
    rig.tracer().start("early").end();
    let scope = InstrumentationScope::new("late").with_version("2");
    rig.provider().tracer_with(&scope).start("late").end();
    assert_eq!(
        notes.take(),
        [
            "Some(\"rig\") Some(\"\") Some(\"processors\") true",
            "Some(\"late\") Some(\"2\") Some(\"processors\") true",
        ]
    );
}

#[test]
fn every_span_of_many_threads_is_shown_once() {
    const EACH: u64 = 200;
    let (starts, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    struct Counting(Arc<AtomicU64>, Arc<AtomicU64>);
    impl SpanProcessor for Counting {
        fn on_start(&self, _: &mut LiveSpan<'_>, _: &Context) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
            let n = self.1.fetch_add(1, Ordering::Relaxed);
            assert_eq!(span.name(), "work");
            if n.is_multiple_of(2) {
                SpanFate::Drop
            } else {
                SpanFate::Keep
            }
        }
    }
    let rig = Rig::new(vec![Arc::new(Counting(
        Arc::clone(&starts),
        Arc::clone(&ends),
    ))]);
    let tracer = rig.tracer();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    // Some end on another thread than they started on.
                    let here = tracer.start("work");
                    let there = tracer.start("work");
                    std::thread::scope(|scope| {
                        scope.spawn(move || drop(there));
                    });
                    here.end();
                }
            });
        }
    });
    let all = 2 * 8 * EACH;
    assert_eq!(starts.load(Ordering::Relaxed), all);
    assert_eq!(ends.load(Ordering::Relaxed), all);
    assert_eq!(rig.received().len() as u64, all / 2);
    let counts = rig.counts();
    assert_eq!((counts.ended, counts.live), (all, 0));
}
