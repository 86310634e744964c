//! Beginning and end: disabled, suppressed, shut down, panicking, deep and wide.

use std::cell::RefCell;
use std::fmt;
use std::panic::catch_unwind;
use std::thread;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spandrel_core::hosted::current;
use spandrel_transport_std::Tracer;
use spandrel_transport_std::layer::{SpanExt as _, layer};
use tracing::level_filters::LevelFilter;
use tracing::{Span, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::rig::{PATIENCE, Rig, attributes, int, text};

#[test]
fn a_disabled_tracer_makes_a_layer_that_records_nothing() {
    let subscriber = tracing_subscriber::registry().with(layer(&Tracer::disabled()));
    tracing::subscriber::with_default(subscriber, || {
        let span = info_span!("nothing", field = 1);
        span.in_scope(|| {
            info!("nothing");
            span.record("field", 2);
            assert_eq!(current::current_span_context(), None);
        });
        assert_eq!(span.context(), None);
    });
    let none = Tracer::disabled();
    let none = none.enabled().then(|| layer(&none));
    let subscriber = tracing_subscriber::registry().with(none);
    let hint = tracing::Subscriber::max_level_hint(&subscriber);
    assert_eq!(hint, Some(LevelFilter::OFF), "no span is even made");
}

#[test]
fn nothing_is_recorded_where_it_is_suppressed() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let outer = info_span!("outer");
        outer.in_scope(|| {
            let _exporting = current::suppress();
            info!("suppressed");
            let span = info_span!("suppressed");
            assert_eq!(span.context(), outer.context(), "it stands for its parent");
            span.in_scope(|| drop(info_span!("suppressed")));
        });
        outer.in_scope(|| info!("seen"));
    });
    assert_eq!(spans.names(), ["outer"]);
    assert_eq!(spans.named("outer").events.len(), 1);
    rig.assert_none_live();
}

#[test]
fn spans_that_close_after_the_shutdown_are_counted() {
    let rig = Rig::new();
    rig.run(|| {
        let open = info_span!("open");
        let inside = open.enter();
        drop(info_span!("closed"));
        assert!(rig.telemetry.shutdown(PATIENCE).is_success());
        info!("late event");
        let late = info_span!("late");
        assert_eq!(late.context(), open.context(), "it stands for its parent");
        drop(late);
        drop(inside);
        drop(open);
    });
    let ledger = rig.ledger();
    assert!(ledger.is_closed(), "{ledger}");
    assert_eq!((ledger.ended, ledger.exported), (2, 1), "{ledger}");
    rig.assert_none_live();
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half a ")?;
        panic!("a panic in a Debug");
    }
}

#[test]
fn a_debug_that_panics_is_told_and_breaks_nothing() {
    for late in [true, false] {
        let rig = Rig::layer(|layer| layer.with_late_parents(late));
        let spans = rig.trace(|| {
            let span = info_span!("survivor", later = tracing::field::Empty);
            span.in_scope(|| {
                drop(info_span!("child", a = 1, field = ?Panics, z = 2));
                info!(field = ?Panics, "event");
                span.record("later", tracing::field::debug(Panics));
            });
        });
        let (survivor, child) = (spans.named("survivor"), spans.named("child"));
        assert_eq!(
            attributes(&survivor.attributes)["later"],
            text("half a <panicked>")
        );
        assert_eq!(
            attributes(&survivor.events[0].attributes)["field"],
            text("half a <panicked>")
        );
        let expected = [
            ("a", int(1)),
            ("field", text("half a <panicked>")),
            ("z", int(2)),
        ];
        assert_eq!(attributes(&child.attributes), expected.into());
        assert!(survivor.status.is_none() && child.status.is_none());
        rig.assert_none_live();
    }
}

#[test]
fn a_panic_through_a_span_is_its_error() {
    let rig = Rig::new();
    rig.run(|| {
        let work = || {
            let _inside = info_span!("fails").entered();
            panic!("in the work");
        };
        assert!(catch_unwind(work).is_err());
        assert_eq!(current::current_span_context(), None);
    });
    let spans = rig.received();
    let status = spans.named("fails").status.clone().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (StatusCode::Error, "panicked")
    );
}

/// Makes spans in each other, and drops the only handle: that of the innermost.
fn deep_tree(depth: usize) {
    let mut leaf = info_span!("level");
    for _ in 1..depth {
        leaf = leaf.in_scope(|| info_span!("level"));
    }
    drop(leaf);
}

#[test]
fn a_deep_tree_closes_from_its_leaf() {
    const DEPTH: usize = 1_500;
    let rig = Rig::new();
    thread::scope(|scope| {
        // The registry closes a parent from within the close of its child.
        let thread = thread::Builder::new().stack_size(64 << 20);
        let thread = thread.spawn_scoped(scope, || rig.run(|| deep_tree(DEPTH)));
        thread.unwrap().join().unwrap();
    });
    assert_eq!(rig.received().0.len(), DEPTH);
    rig.assert_none_live();
}

#[test]
fn spans_close_on_other_threads_than_they_were_made_on() {
    const SPANS: usize = 400;
    let rig = Rig::new();
    let made: Vec<Span> = rig.run(|| (0..SPANS).map(|n| info_span!("moved", n)).collect());
    let mut parts: Vec<Vec<Span>> = (0..4).map(|_| Vec::new()).collect();
    for (n, span) in made.into_iter().enumerate() {
        parts[n % 4].push(span);
    }
    thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                for span in part {
                    span.in_scope(|| info!("here"));
                }
            });
        }
    });
    let spans = rig.received();
    assert_eq!(spans.0.len(), SPANS);
    assert_eq!(rig.ledger().exported, SPANS as u64);
    rig.assert_none_live();
}

#[test]
fn a_forgotten_stay_ends_with_the_thread() {
    let rig = Rig::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            rig.run(|| {
                std::mem::forget(info_span!("forgotten").entered());
                drop(info_span!("child"));
            });
        });
    });
    assert_eq!(rig.received().names(), ["child"]);
    assert_eq!(
        rig.telemetry.counts().live,
        1,
        "it was never closed, and that shows"
    );
}

#[test]
fn locals_that_use_tracing_may_outlive_those_of_the_layer() {
    struct AtExit<'a>(&'a Rig, Option<Span>);
    impl Drop for AtExit<'_> {
        fn drop(&mut self) {
            self.0.run(|| {
                let Some(span) = self.1.take() else { return };
                // To enter it there is beyond the registry, which panics.
                span.record("late", tracing::field::debug(1));
                span.add_event("late event", &[]);
                assert!(span.context().is_some());
                assert_eq!(current::current(), None);
            });
        }
    }
    std::thread_local! {
        static LATE: RefCell<Option<AtExit<'static>>> = const { RefCell::new(None) };
    }
    let rig: &'static Rig = Box::leak(Box::new(Rig::new()));
    let thread = thread::spawn(|| {
        // The first local of the thread that has something to drop, so the last to be dropped.
        LATE.set(None);
        rig.run(|| {
            let span = info_span!("held", late = tracing::field::Empty);
            span.in_scope(|| info!(field = ?1, "in time"));
            LATE.set(Some(AtExit(rig, Some(span))));
        });
    });
    thread.join().unwrap();
    let spans = rig.received();
    assert_eq!(spans.named("held").events.len(), 2);
    assert_eq!(spans.named("held").attributes.len(), 1);
    rig.assert_none_live();
}
