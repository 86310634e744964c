//! Where events and children land when filters and wrappers stand between a program and the layer.

use std::thread;

use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::hosted::current;
use spandrel_transport_std::layer::{SpanExt as _, TracingLayer, layer};
use spandrel_transport_std::{KeyValue, Link, SpanKind, Status, Tracer};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, info, info_span, trace_span};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::{Registry, registry, reload};

use super::rig::{Rig, Spans, attributes, int};

/// With spans below the level debug hidden from our layer alone.
fn filtered() -> Rig {
    Rig::subscribed(
        |_| (),
        |tracer| {
            let ours = layer(tracer).with_filter(LevelFilter::DEBUG);
            registry().with(ours).into()
        },
    )
}

fn happens() {
    info!("event");
    drop(info_span!("child"));
}

/// Ways into a span that the filter hides; each ends in [`happens`].
type Way = fn(&Rig, &tracing::Span);

const WAYS: [(&str, Way); 8] = [
    ("explicit", |_, parent| {
        let hidden = trace_span!(parent: parent, "hidden");
        info!(parent: &hidden, "event");
        drop(info_span!(parent: &hidden, "child"));
    }),
    ("explicit, two deep", |_, parent| {
        let hidden = trace_span!(parent: parent, "hidden");
        let deeper = trace_span!(parent: &hidden, "hidden");
        drop(hidden);
        info!(parent: &deeper, "event");
        drop(info_span!(parent: &deeper, "child"));
    }),
    ("contextual", |_, parent| {
        parent.in_scope(|| trace_span!("hidden").in_scope(happens));
    }),
    ("contextual, parent not entered", |_, parent| {
        trace_span!(parent: parent, "hidden").in_scope(happens);
    }),
    ("contextual, in another span", |_, parent| {
        let hidden = trace_span!(parent: parent, "hidden");
        info_span!("unrelated").in_scope(|| hidden.in_scope(happens));
    }),
    ("contextual, two deep", |_, parent| {
        let hidden = trace_span!(parent: parent, "hidden");
        hidden.in_scope(|| trace_span!("hidden").in_scope(happens));
    }),
    ("on another thread", |rig, parent| {
        let hidden = trace_span!(parent: parent, "hidden");
        thread::scope(|scope| {
            scope.spawn(|| rig.run(|| hidden.in_scope(happens)));
        });
    }),
    ("on another thread, in another span", |rig, parent| {
        let hidden = parent.in_scope(|| trace_span!("hidden"));
        thread::scope(|scope| {
            scope.spawn(|| {
                rig.run(|| info_span!("unrelated").in_scope(|| hidden.in_scope(happens)));
            });
        });
    }),
];

/// Fault X66: the nearest ancestor that records gets what happens in a hidden span.
#[test]
fn x66_what_happens_in_a_hidden_span_lands_at_its_nearest_recorded_ancestor() {
    for (name, way) in WAYS {
        let rig = filtered();
        let spans = rig.trace(|| way(&rig, &info_span!("parent")));
        assert_eq!(spans.named("parent").events.len(), 1, "{name}");
        spans.is_child("child", "parent");
        rig.assert_none_live();
    }
}

#[test]
fn a_hidden_root_takes_nothing_and_hides_no_native_span() {
    let rig = filtered();
    let spans = rig.trace(|| {
        let hidden = trace_span!(parent: None, "hidden");
        hidden.in_scope(happens);
        let mut native = rig.tracer.start("native");
        native.in_scope(|_| hidden.in_scope(|| drop(info_span!("of native"))));
    });
    spans.is_root("child");
    spans.is_child("of native", "native");
}

/// Fault X65 at a hidden span: the function that failed is not the ancestor.
#[test]
fn an_error_that_a_hidden_function_returns_is_not_its_ancestors_outcome() {
    #[tracing::instrument(err, level = "trace")]
    fn hidden() -> Result<(), String> {
        Err("why".into())
    }
    let rig = filtered();
    let spans = rig.trace(|| info_span!("parent").in_scope(|| drop(hidden())));
    let parent = spans.named("parent");
    assert_eq!(parent.events.len(), 1);
    assert!(parent.status.is_none());
}

/// Ways to put the layer into a subscriber.
type Wrapping = fn(&Tracer) -> Dispatch;

fn slot() -> (
    reload::Layer<Option<TracingLayer>, Registry>,
    reload::Handle<Option<TracingLayer>, Registry>,
) {
    reload::Layer::new(None)
}

const WRAPPINGS: [(&str, Wrapping); 9] = [
    ("plain", |tracer| registry().with(layer(tracer)).into()),
    ("Option", |tracer| {
        registry().with(Some(layer(tracer))).into()
    }),
    ("Box", |tracer| {
        registry().with(layer(tracer).boxed()).into()
    }),
    ("Vec of boxes", |tracer| {
        let nothing = tracing_subscriber::layer::Identity::new().boxed();
        registry().with(vec![nothing, layer(tracer).boxed()]).into()
    }),
    ("filter", |tracer| {
        registry()
            .with(layer(tracer).with_filter(LevelFilter::INFO))
            .into()
    }),
    ("reload, filled at once", |tracer| {
        let (slot, handle) = reload::Layer::new(Some(layer(tracer)));
        std::mem::forget(handle);
        registry().with(slot).into()
    }),
    ("reload, filled later", |tracer| {
        let (slot, handle) = slot();
        let dispatch = registry().with(slot).into();
        handle.reload(Some(layer(tracer))).unwrap();
        dispatch
    }),
    ("reload, filled twice", |tracer| {
        let (slot, handle) = slot();
        let dispatch = registry().with(slot).into();
        handle.reload(Some(layer(&Tracer::disabled()))).unwrap();
        handle.reload(Some(layer(tracer))).unwrap();
        dispatch
    }),
    ("reload of a box", |tracer| {
        let (slot, handle) = reload::Layer::new(layer(tracer).boxed());
        std::mem::forget(handle);
        registry().with(slot).into()
    }),
];

fn remote() -> SpanContext {
    SpanContext::remote(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        TraceFlags::SAMPLED,
    )
}

/// Fault X67: `SpanExt` finds the layer whatever is wrapped around it.
#[test]
fn x67_span_ext_works_through_every_wrapping() {
    for (name, wrap) in WRAPPINGS {
        let rig = Rig::subscribed(|_| (), wrap);
        let spans: Spans = rig.trace(|| {
            let span = info_span!("request", otel.kind = "server");
            span.in_scope(|| {
                assert_eq!(span.set_parent(remote()), Ok(()), "{name}");
                let context = span.context().expect(name);
                assert_eq!(context.span_context().trace_id(), remote().trace_id());
                assert_eq!(current::current(), Some(context));
                info!("event");
                drop(info_span!("child"));
            });
            span.set_attribute("key", 7);
            span.add_event("second", &[KeyValue::new("n", 1)]);
            span.record_error("third");
            span.add_link(&Link {
                span_context: remote(),
                trace_state: "",
                attributes: &[],
            });
            span.set_status(Status::error("why"));
            span.update_name("renamed");
        });
        let span = spans.named("renamed");
        assert_eq!(span.parent_span_id, remote().span_id().to_bytes(), "{name}");
        assert_eq!(attributes(&span.attributes), [("key", int(7))].into());
        assert_eq!((span.events.len(), span.links.len()), (3, 1), "{name}");
        assert_eq!(span.status.as_ref().unwrap().message, "why");
        assert_eq!(span.kind, SpanKind::Server as i32);
        spans.is_child("child", "renamed");
        rig.assert_none_live();
    }
}

/// Two subscribers whose spans have equal ids.
#[test]
fn layers_behind_reload_are_not_mistaken_for_each_other() {
    let rigs = [
        Rig::subscribed(|_| (), WRAPPINGS[6].1),
        Rig::subscribed(|_| (), WRAPPINGS[6].1),
    ];
    let [first, second] = rigs.each_ref().map(|rig| rig.run(|| info_span!("request")));
    assert_eq!(first.id(), second.id());
    first.set_attribute("of", 1);
    second.set_attribute("of", 2);
    drop((first, second));
    for (rig, number) in rigs.iter().zip([1, 2]) {
        let spans = rig.received();
        let found = attributes(&spans.named("request").attributes)["of"].clone();
        assert_eq!(found, int(number));
    }
}

/// Fault X67: the layer is replaced while the thread is in one of its spans.
#[test]
fn x67_a_layer_that_is_replaced_leaves_nothing_current() {
    let rig = Rig::new();
    let (slot, handle) = slot();
    let subscriber = registry().with(slot);
    handle.reload(Some(layer(&rig.tracer))).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let old = info_span!("old");
        old.in_scope(|| {
            assert!(current::current().is_some());
            handle.reload(Some(layer(&rig.tracer))).unwrap();
        });
        assert_eq!(current::current(), None);
        assert_eq!(old.context(), None);
        info_span!("new").in_scope(|| info!("event"));
    });
    let spans = rig.received();
    assert_eq!(spans.names(), ["new", "old"]);
    spans.is_root("new");
    rig.assert_none_live();
}

/// Fault X67: the slot of the layer is emptied by a thread that is in one of its spans.
#[test]
fn x67_a_layer_that_is_taken_away_leaves_nothing_current() {
    let rig = Rig::new();
    let (slot, handle) = slot();
    let subscriber = registry().with(slot);
    handle.reload(Some(layer(&rig.tracer))).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let outer = info_span!("outer");
        outer.in_scope(|| {
            let inner = info_span!("inner");
            inner.in_scope(|| {
                let mut native = rig.tracer.start("native");
                native.in_scope(|_| {
                    handle.reload(None).unwrap();
                    assert!(current::current().is_some(), "the native span stays");
                });
                assert_eq!(current::current(), None);
                drop(rig.tracer.start("later"));
            });
        });
        assert_eq!(current::current(), None);
    });
    let spans = rig.received();
    spans.is_root("later");
    spans.is_child("native", "inner");
    rig.assert_none_live();
}
