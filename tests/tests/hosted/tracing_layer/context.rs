//! What is current, in both worlds: nesting, threads, futures, filters.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread;

use spandrel_core::context::SpanContext;
use spandrel_core::hosted::current;
use spandrel_core::propagation::TraceContextPropagator;
use spandrel_transport_std::layer::{SpanExt as _, layer};
use tracing::{Instrument as _, Level, debug_span, info, info_span, trace_span};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::rig::{Rig, attributes, text};

fn current_span() -> Option<SpanContext> {
    current::current_span_context()
}

#[test]
fn spans_of_both_worlds_nest_in_each_other() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let mut native = rig.tracer.start("native outer");
        native.in_scope(|_| {
            info_span!("middle").in_scope(|| {
                rig.tracer.start("native inner").in_scope(|_| {
                    drop(info_span!("innermost"));
                });
                drop(info_span!("beside"));
            });
        });
        drop(info_span!("after"));
    });
    spans.is_root("native outer");
    spans.is_child("middle", "native outer");
    spans.is_child("native inner", "middle");
    spans.is_child("innermost", "native inner");
    spans.is_child("beside", "middle");
    spans.is_root("after");
    assert_eq!(current_span(), None);
}

#[test]
fn parents_can_be_given_and_refused() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let given = info_span!("given");
        info_span!("current").in_scope(|| {
            drop(info_span!(parent: &given, "of given"));
            drop(info_span!(parent: given.id(), "of its id"));
            drop(info_span!(parent: None, "of none"));
        });
    });
    spans.is_child("of given", "given");
    spans.is_child("of its id", "given");
    for root in ["given", "current", "of none"] {
        spans.is_root(root);
    }
}

#[test]
fn what_is_injected_is_the_span_that_was_entered() {
    let rig = Rig::new();
    let mut header = String::new();
    let spans = rig.trace(|| {
        let span = info_span!("request");
        let context = span.context().expect("recorded");
        span.in_scope(|| {
            assert_eq!(current::current(), Some(context.clone()));
            let mut carrier = |name: &str, value: &str| {
                if name == "traceparent" {
                    header = value.into();
                }
            };
            let current = current::current().unwrap();
            TraceContextPropagator.inject(current.as_parent(), &mut carrier);
        });
    });
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let span = spans.named("request");
    assert!(header.contains(&hex(&span.trace_id)), "{header}");
    assert!(header.contains(&hex(&span.span_id)), "{header}");
}

#[test]
fn spans_are_left_in_any_order() {
    let rig = Rig::new();
    rig.run(|| {
        let (a, b) = (info_span!("a"), info_span!("b"));
        let ids = [&a, &b].map(|span| span.context().unwrap().span_context());
        let in_a = a.enter();
        let in_b = b.enter();
        drop(in_a);
        assert_eq!(current_span(), Some(ids[1]));
        let again = b.enter();
        drop(in_b);
        assert_eq!(current_span(), Some(ids[1]));
        drop(again);
        assert_eq!(current_span(), None);
    });
    assert_eq!(rig.received().names(), ["a", "b"]);
    rig.assert_none_live();
}

#[test]
fn a_span_may_be_in_several_threads_at_a_time() {
    let rig = Rig::new();
    rig.run(|| {
        let span = info_span!("shared");
        let inside = span.enter();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    tracing::dispatcher::with_default(&rig.dispatch, || {
                        assert_eq!(current_span(), None);
                        let context = span.context().unwrap().span_context();
                        span.in_scope(|| {
                            assert_eq!(current_span(), Some(context));
                            drop(info_span!("child"));
                            info!("event");
                        });
                        assert_eq!(current_span(), None);
                    });
                });
            }
        });
        drop(inside);
    });
    let spans = rig.received();
    let shared = spans.named("shared");
    assert_eq!(shared.events.len(), 4);
    let children = spans.0.iter().filter(|span| span.name == "child");
    let parents: Vec<_> = children.map(|child| &child.parent_span_id).collect();
    assert_eq!(parents, [&shared.span_id; 4]);
    rig.assert_none_live();
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_future_is_in_its_span_on_whatever_thread_polls_it() {
    let rig = Rig::new();
    let mut polls = 0;
    let work = async move {
        std::future::poll_fn(|task: &mut Task<'_>| {
            polls += 1;
            drop(info_span!("step", polls));
            task.waker().wake_by_ref();
            if polls < 4 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    };
    let mut future = Box::pin(rig.run(|| work.instrument(info_span!("task"))));
    for _ in 0..4 {
        // A thread of its own for every poll.
        future = thread::scope(|scope| {
            let polled = scope.spawn(|| {
                rig.run(|| {
                    let waker = Waker::from(Arc::new(Nothing));
                    let _ = pin!(&mut future)
                        .as_mut()
                        .poll(&mut Task::from_waker(&waker));
                    assert_eq!(current_span(), None);
                });
                future
            });
            polled.join().unwrap()
        });
    }
    rig.run(|| drop(future));
    let spans = rig.received();
    let task = spans.named("task").span_id.clone();
    let steps: Vec<_> = spans.0.iter().filter(|span| span.name == "step").collect();
    assert_eq!(steps.len(), 4);
    assert!(steps.iter().all(|step| step.parent_span_id == task));
}

#[test]
fn a_span_ends_when_it_was_left_last_though_its_child_lives_on() {
    let rig = Rig::new();
    let mut child = None;
    rig.run(|| {
        let request = info_span!("request");
        request.in_scope(|| child = Some(info_span!("background")));
        drop(request);
        thread::sleep(std::time::Duration::from_millis(20));
        child.take();
    });
    let spans = rig.received();
    let (request, child) = (spans.named("request"), spans.named("background"));
    let millis = |from: u64, to: u64| (to - from) / 1_000_000;
    assert!(millis(request.end_time_unix_nano, child.end_time_unix_nano) >= 19);
}

/// Fault X69: what happens to a span after its last exit is not later than its end.
#[test]
fn x69_a_span_ends_with_its_last_use() {
    type Use = fn(&Rig, &tracing::Span);
    const USES: [(&str, Use); 6] = [
        ("event", |_, span| info!(parent: span, "late")),
        ("record", |_, span| {
            span.record("later", 1);
        }),
        ("SpanExt", |_, span| span.add_event("late", &[])),
        ("child", |_, span| {
            let child = info_span!(parent: span, "late");
            thread::sleep(PAUSE);
            child.in_scope(|| ());
        }),
        ("child that is never entered", |_, span| {
            let child = info_span!(parent: span, "late");
            thread::sleep(PAUSE);
            drop(child);
        }),
        ("native child", |rig, span| {
            let context = span.context().unwrap();
            let child = rig.tracer.span("late").parent(&context).start();
            thread::sleep(PAUSE);
            child.end();
        }),
    ];
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
    for (name, late) in USES {
        let rig = Rig::new();
        rig.run(|| {
            let span = info_span!("left", later = tracing::field::Empty);
            span.in_scope(|| ());
            thread::sleep(PAUSE);
            late(&rig, &span);
            if name != "native child" {
                thread::sleep(PAUSE);
            }
        });
        let spans = rig.received();
        let left = spans.named("left");
        let end = left.end_time_unix_nano;
        let length = std::time::Duration::from_nanos(end - left.start_time_unix_nano);
        assert!(length >= PAUSE, "{name}: {length:?}");
        assert!(
            left.events.iter().all(|event| event.time_unix_nano <= end),
            "{name}"
        );
        for child in spans.0.iter().filter(|span| span.name == "late") {
            assert!(child.end_time_unix_nano <= end, "{name}");
        }
    }
}

#[test]
fn followed_spans_are_links() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let (cause, effect) = (info_span!("cause"), info_span!("effect"));
        effect.follows_from(&cause);
        effect.follows_from(cause.id());
        let closed = info_span!("closed").id();
        effect.follows_from(closed);
    });
    let (cause, effect) = (spans.named("cause"), spans.named("effect"));
    assert_eq!(effect.links.len(), 2);
    for link in &effect.links {
        assert_eq!(
            (&link.trace_id, &link.span_id),
            (&cause.trace_id, &cause.span_id)
        );
    }
    assert!(cause.links.is_empty());
}

#[test]
fn the_extension_says_what_the_macros_cannot() {
    use spandrel_transport_std::{KeyValue, Link, Status};
    let rig = Rig::new();
    let linked = *rig.tracer.start("linked").context();
    let spans = rig.trace(|| {
        let span = info_span!("before");
        span.set_attribute(&format!("key.{}", 1), "one");
        span.update_name("after");
        span.add_link(&Link::from(linked));
        span.add_event("happened", &[KeyValue::new("times", 2)]);
        span.record_error(&std::fmt::Error);
        span.set_status(Status::error("no"));
    });
    let span = spans.named("after");
    assert_eq!(
        attributes(&span.attributes),
        [("key.1", text("one"))].into()
    );
    assert_eq!(span.links[0].span_id, linked.span_id().to_bytes());
    let names: Vec<_> = span
        .events
        .iter()
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(names, ["happened", "exception"]);
    assert_eq!(
        attributes(&span.events[1].attributes)["exception.type"],
        text("core::fmt::Error")
    );
    assert_eq!(span.status.as_ref().unwrap().message, "no");
}

#[test]
fn without_the_layer_the_extension_does_nothing() {
    let span = info_span!("nobody sees this");
    span.set_attribute("key", 1);
    span.add_event("event", &[]);
    assert_eq!(span.context(), None);
    tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        let span = info_span!("only the registry does");
        span.record_error(&std::fmt::Error);
        assert_eq!(span.context(), None);
    });
}

#[test]
fn a_filter_of_the_layer_hides_spans_from_it_and_from_nobody_else() {
    let rig = Rig::subscribed(
        |_| (),
        |tracer| {
            tracing_subscriber::registry()
                .with(tracing_subscriber::fmt::layer().with_writer(std::io::sink))
                .with(layer(tracer).with_filter(filter_fn(|meta| *meta.level() <= Level::INFO)))
                .into()
        },
    );
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            let hidden = debug_span!("hidden");
            assert!(!hidden.is_disabled());
            assert_eq!(hidden.context(), None);
            let _inside = hidden.enter();
            hidden.record("nothing", 1);
            drop(info_span!("inner"));
            drop(info_span!(parent: &hidden, "given"));
            info!("event");
        });
    });
    assert_eq!(spans.names(), ["given", "inner", "outer"]);
    spans.is_child("inner", "outer");
    spans.is_child("given", "outer");
    assert_eq!(spans.named("outer").events.len(), 1);
}

#[test]
fn it_goes_together_with_other_layers_in_any_order() {
    let rig = Rig::subscribed(
        |_| (),
        |tracer| {
            let boxed = layer(tracer).boxed();
            tracing_subscriber::registry()
                .with(EnvFilter::new("info,noise=off"))
                .with(
                    tracing_subscriber::fmt::layer()
                        .with_writer(std::io::sink)
                        .with_filter(LevelFilter::WARN),
                )
                .with(Some(boxed).with_filter(Targets::new().with_default(Level::TRACE)))
                .with(tracing_subscriber::fmt::layer().with_writer(std::io::sink))
                .into()
        },
    );
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            trace_span!("filtered").in_scope(|| drop(info_span!("inner")));
            drop(info_span!(target: "noise", "noise"));
            let span = info_span!("extended");
            span.set_attribute("key", "value");
        });
    });
    assert_eq!(spans.names(), ["extended", "inner", "outer"]);
    spans.is_child("inner", "outer");
    assert_eq!(
        attributes(&spans.named("extended").attributes)["key"],
        text("value")
    );
}
