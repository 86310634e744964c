//! Parents from other processes, and what is sampled under them.

use std::thread;

use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::current;
use spandrel_core::sampler::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use spandrel_transport_std::layer::{SetParentError, SpanExt as _};
use tracing::{info, info_span};

use super::rig::{Rig, attributes, int};

fn remote(sampled: bool) -> SpanContext {
    let flags = TraceFlags::NONE.with_sampled(sampled);
    SpanContext::remote(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        flags,
    )
}

#[track_caller]
fn is_under_remote(span: &opentelemetry_proto::tonic::trace::v1::Span) {
    assert_eq!(span.parent_span_id, remote(true).span_id().to_bytes());
    assert_eq!(span.trace_id, remote(true).trace_id().to_bytes());
    assert_eq!(span.flags & 0x300, 0x300, "the parent is remote");
}

/// Everything that may come before the parent, under every sample rate.
#[test]
fn the_parent_decides_and_nothing_that_was_recorded_is_lost() {
    for rate in [1.0, 0.0] {
        let rig = Rig::sampling(rate);
        let spans = rig.trace(|| {
            let span = info_span!("request", http.route = "/", later = tracing::field::Empty);
            span.record("later", 1);
            span.set_attribute("key", 2);
            let _inside = span.enter();
            assert_eq!(span.set_parent(remote(true)), Ok(()));
            assert_eq!(
                current::current_span_context(),
                span.context().map(|c| c.span_context())
            );
            span.record("later", 3);
            drop(info_span!("child"));
            rig.tracer.start("native").end();
            info!("event");
        });
        let span = spans.named("request");
        is_under_remote(span);
        let attributes = attributes(&span.attributes);
        assert_eq!(attributes.len(), 3);
        assert_eq!(
            (&attributes["later"], &attributes["key"]),
            (&int(3), &int(2))
        );
        assert_eq!(span.events.len(), 1);
        spans.is_child("child", "request");
        spans.is_child("native", "request");
        rig.assert_none_live();
    }
}

#[test]
fn an_unsampled_parent_takes_the_whole_trace_away() {
    let rig = Rig::sampling(1.0);
    let program = || {
        let span = info_span!("request");
        assert_eq!(span.set_parent(remote(false)), Ok(()));
        span.in_scope(|| {
            drop(info_span!("child"));
            rig.tracer.start("native").end();
            info!("event");
            assert!(!current::current_span_context().unwrap().is_sampled());
        });
    };
    // Counts are complete when a thread has ended.
    thread::scope(|scope| scope.spawn(|| rig.run(program)).join().unwrap());
    let spans = rig.received();
    assert!(spans.0.is_empty(), "{spans:?}");
    assert_eq!(rig.ledger().ended, 0);
    rig.assert_none_live();
    assert_eq!(rig.telemetry.counts().started.not_sampled, 3);
}

#[test]
fn a_parent_may_be_set_again_and_taken_away() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            let twice = info_span!("twice");
            let native = *rig.tracer.start("native").context();
            assert_eq!(twice.set_parent(native), Ok(()));
            assert_eq!(twice.set_parent(remote(true)), Ok(()));
            let root = info_span!("root", key = 1);
            assert_eq!(root.set_parent(ParentContext::ROOT), Ok(()));
        });
    });
    is_under_remote(spans.named("twice"));
    spans.is_root("root");
    assert_eq!(spans.named("root").attributes.len(), 1);
    assert_ne!(spans.named("root").trace_id, spans.named("outer").trace_id);
}

#[test]
fn the_tracestate_travels_along() {
    let rig = Rig::new();
    let parent = ParentContext {
        span_context: remote(true),
        trace_state: "vendor=value",
    };
    let spans = rig.trace(|| {
        let span = info_span!("request", key = "value");
        assert_eq!(span.set_parent(parent), Ok(()));
        span.in_scope(|| {
            let current = current::current().unwrap();
            assert_eq!(current.as_parent().trace_state, "vendor=value");
            drop(info_span!("child"));
        });
        let stripped = info_span!("stripped");
        assert_eq!(stripped.set_parent(parent), Ok(()));
        assert_eq!(stripped.set_parent(remote(true)), Ok(()));
    });
    for (name, state) in [
        ("request", "vendor=value"),
        ("child", "vendor=value"),
        ("stripped", ""),
    ] {
        assert_eq!(spans.named(name).trace_state, state, "{name}");
    }
    is_under_remote(spans.named("request"));
    assert_eq!(spans.named("request").attributes.len(), 1);
}

#[test]
fn a_parent_comes_too_late_when_something_has_happened() {
    let late = Err(SetParentError::TooLate);
    let rig = Rig::new();
    rig.run(|| {
        let with_child = info_span!("with child");
        with_child.in_scope(|| drop(info_span!("child")));
        assert_eq!(with_child.set_parent(remote(true)), late);

        let with_given_child = info_span!("with given child");
        drop(info_span!(parent: &with_given_child, "given child"));
        assert_eq!(with_given_child.set_parent(remote(true)), late);

        let with_event = info_span!("with event");
        with_event.in_scope(|| info!("event"));
        assert_eq!(with_event.set_parent(remote(true)), late);

        let looked_at = info_span!("looked at");
        assert!(looked_at.context().is_some());
        assert_eq!(looked_at.set_parent(remote(true)), late);

        let elsewhere = info_span!("elsewhere");
        thread::scope(|scope| {
            let inside = elsewhere.enter();
            let set = || elsewhere.set_parent(remote(true));
            assert_eq!(scope.spawn(set).join().unwrap(), late);
            drop(inside);
            assert_eq!(scope.spawn(set).join().unwrap(), Ok(()));
        });
    });
    let spans = rig.received();
    assert_eq!(spans.0.len(), 7);
    for span in &spans.0 {
        let remote = span.trace_id == remote(true).trace_id().to_bytes();
        assert_eq!(remote, span.name == "elsewhere", "{}", span.name);
    }
}

#[test]
fn nothing_to_set_a_parent_on_is_said() {
    let gone = Err(SetParentError::NotRecorded);
    assert_eq!(tracing::Span::none().set_parent(remote(true)), gone);
    assert_eq!(info_span!("no subscriber").set_parent(remote(true)), gone);
}

#[test]
fn without_late_parents_they_are_refused_and_unsampled_fields_not_formatted() {
    struct Unsampled;
    impl std::fmt::Debug for Unsampled {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("nobody wants to see it");
        }
    }
    for rate in [0.0, 1.0] {
        let rig = Rig::with(
            |config| config.sample_rate = Some(rate),
            |layer| layer.with_late_parents(false),
        );
        let spans = rig.trace(|| {
            if rate == 0.0 {
                drop(info_span!("unsampled", field = ?Unsampled));
            }
            let span = info_span!(
                "sampled",
                key = 1,
                otel.name = "renamed",
                otel.kind = "client"
            );
            assert_eq!(span.set_parent(remote(true)), Err(SetParentError::TooLate));
        });
        if rate == 1.0 {
            let span = spans.named("renamed");
            assert_eq!(attributes(&span.attributes), [("key", int(1))].into());
            assert_eq!(span.kind, 3);
        } else {
            assert!(spans.0.is_empty());
        }
        rig.assert_none_live();
    }
}

/// Drops by attribute, by name, and by the kind; and uses `tracing` itself.
struct Rules;

impl Sampler for Rules {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let _own = info_span!(parent: None, "ignored");
        let dropped = parameters.name == "ignored"
            || parameters.kind == spandrel_core::context::SpanKind::Producer
            || parameters
                .attributes
                .iter()
                .any(|attribute| attribute.key == "health");
        let decision = match dropped {
            true => SamplingDecision::Drop,
            false => SamplingDecision::RecordAndSample,
        };
        SamplingResult::new(decision, parameters)
    }

    fn description(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rules")
    }
}

#[test]
fn a_sampler_of_the_program_sees_name_kind_and_fields() {
    for late in [true, false] {
        let rig = Rig::with(
            |config| config.sampler = Some(std::sync::Arc::new(Rules)),
            |layer| layer.with_late_parents(late),
        );
        let spans = rig.trace(|| {
            drop(info_span!("kept", otel.name = "kept by its name"));
            drop(info_span!("dropped", health = true));
            drop(info_span!("dropped", otel.name = "ignored"));
            drop(info_span!("dropped", otel.kind = "producer"));
            let span = info_span!("request", health = true);
            if late {
                // Asked again, it sees the same.
                assert_eq!(span.set_parent(remote(true)), Ok(()));
            }
        });
        assert_eq!(spans.names(), ["kept by its name"]);
        rig.assert_none_live();
    }
}

/// Writes down what it is asked.
#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<(String, String)>>);

impl Sampler for Notes {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let SamplingParameters {
            name,
            kind,
            attributes,
            links,
            ..
        } = parameters;
        let asked = format!("{name} {kind:?} {attributes:?} {links:?}");
        let parent = parameters.parent.span_context.is_valid();
        self.0.lock().unwrap().push((asked, format!("{parent}")));
        SamplingResult::new(SamplingDecision::RecordAndSample, parameters)
    }

    fn description(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

/// Fault X68: the second question is the first, but for the parent.
#[test]
fn x68_set_parent_asks_the_sampler_what_the_start_asked() {
    let notes = std::sync::Arc::new(Notes::default());
    let sampler = std::sync::Arc::clone(&notes);
    let rig = Rig::with(|config| config.sampler = Some(sampler), |layer| layer);
    rig.trace(|| {
        let plain = info_span!("plain");
        assert_eq!(plain.set_parent(remote(true)), Ok(()));
        let full = info_span!(
            "GET",
            otel.name = "GET /x",
            otel.kind = "server",
            http.route = "/x",
            n = 7,
            debug = ?[1, 2],
        );
        let _inside = full.enter();
        assert_eq!(full.set_parent(remote(true)), Ok(()));
        assert_eq!(full.set_parent(remote(false)), Ok(()));
    });
    let notes = notes.0.lock().unwrap();
    let asked: Vec<_> = notes.iter().map(|(asked, _)| asked.as_str()).collect();
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0], asked[1]);
    assert!(asked[2].starts_with("GET /x Server [") && asked[2].contains("http.route"));
    assert_eq!((asked[2], asked[2]), (asked[3], asked[4]));
    let parents: Vec<_> = notes.iter().map(|(_, parent)| parent.as_str()).collect();
    assert_eq!(parents, ["false", "true", "false", "true", "true"]);
}
