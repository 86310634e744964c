//! Events of `tracing` become events of their span.

use std::error::Error;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spandrel_core::limits::SpanLimits;
use spandrel_transport_std::Status;
use spandrel_transport_std::layer::SpanExt as _;
use tracing::{Span, error, info, info_span, trace, warn};

use super::fields::{Inner, Outer};
use super::rig::{Rig, attributes, int, text};

/// The only event of a program in a span.
fn event(program: impl FnOnce()) -> Event {
    event_of(&Rig::new(), program)
}

fn event_of(rig: &Rig, program: impl FnOnce()) -> Event {
    let spans = rig.trace(|| info_span!("owner").in_scope(program));
    let span = spans.named("owner");
    assert_eq!(span.events.len(), 1, "{:?}", span.events);
    let event = span.events[0].clone();
    let during = span.start_time_unix_nano..=span.end_time_unix_nano;
    assert!(during.contains(&event.time_unix_nano));
    event
}

#[test]
fn the_message_is_the_name_and_the_fields_are_attributes() {
    let event =
        event(|| info!(target: "shop", hits = 3, ratio = 0.5, key = "k", "cache {}", "miss"));
    assert_eq!(event.name, "cache miss");
    let expected = [
        ("level", text("INFO")),
        ("target", text("shop")),
        ("hits", int(3)),
        ("ratio", Value::DoubleValue(0.5)),
        ("key", text("k")),
    ];
    assert_eq!(attributes(&event.attributes), expected.into());
}

#[test]
fn a_name_that_was_given_wins_and_the_message_stays() {
    let event = event(|| info!(name: "cache.miss", target: "shop", "no {}", "luck"));
    assert_eq!(event.name, "cache.miss");
    let expected = [
        ("level", text("INFO")),
        ("target", text("shop")),
        ("message", text("no luck")),
    ];
    assert_eq!(attributes(&event.attributes), expected.into());
}

/// As `tracing-log` makes them.
#[test]
fn a_record_of_the_log_crate_looks_like_any_other_event() {
    let event = event(|| {
        tracing::event!(
            name: "log event",
            target: "log",
            tracing::Level::INFO,
            {
                log.target = "hyper::proto",
                log.module_path = "hyper::proto::h1",
                log.line = 7_u64
            },
            "connection closed"
        );
    });
    assert_eq!(event.name, "connection closed");
    let expected = [("level", text("INFO")), ("target", text("hyper::proto"))];
    assert_eq!(attributes(&event.attributes), expected.into());
}

#[test]
fn an_event_without_a_message_is_named_by_its_place() {
    let event = event(|| trace!(hits = 1));
    assert!(event.name.starts_with("event "), "{}", event.name);
    assert!(event.name.contains("events.rs:"), "{}", event.name);
}

#[test]
fn an_event_belongs_to_its_span_and_without_one_to_nothing() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        info!("outside");
        let outer = info_span!("outer");
        let inner = info_span!(parent: &outer, "inner");
        outer.in_scope(|| {
            info!("in outer");
            inner.in_scope(|| info!("in inner"));
            info!(parent: &inner, "given to inner");
            info!(parent: None, "given to none");
            // A span of the other world is current, but the event is of this one.
            rig.tracer
                .start("native")
                .in_scope(|_| info!("in outer too"));
        });
    });
    let names = |span: &str| -> Vec<String> {
        let events = &spans.named(span).events;
        events.iter().map(|event| event.name.clone()).collect()
    };
    assert_eq!(names("outer"), ["in outer", "in outer too"]);
    assert_eq!(names("inner"), ["in inner", "given to inner"]);
    assert!(names("native").is_empty());
}

#[test]
fn an_error_in_an_event_brings_the_attributes_of_an_exception() {
    let chained = Outer(Some(Inner));
    let cause = &chained as &(dyn Error + 'static);
    let with_message = event(|| error!(error = cause, "gave up"));
    let alone = event(|| error!(error = cause));
    assert_eq!(with_message.name, "gave up");
    assert_eq!(alone.name, "exception");
    for event in [with_message, alone] {
        let found = attributes(&event.attributes);
        assert_eq!(found["exception.message"], text("outer failed"));
        assert_eq!(
            found["exception.stacktrace"],
            text("caused by: inner failed")
        );
        assert_eq!(found["error"], text("outer failed"));
    }
}

#[test]
fn an_instrumented_function_that_fails_records_an_exception() {
    #[tracing::instrument(err)]
    fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
        text.parse()
    }
    let rig = Rig::new();
    let spans = rig.trace(|| assert!(parse("three").is_err()));
    let span = spans.named("parse");
    assert_eq!(
        attributes(&span.attributes),
        [("text", text("three"))].into()
    );
    assert_eq!(span.events.len(), 1);
    assert_eq!(span.events[0].name, "exception");
    let message = &attributes(&span.events[0].attributes)["exception.message"];
    assert_eq!(*message, text("invalid digit found in string"));
    let status = span.status.clone().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    assert_eq!(status.message, "invalid digit found in string");
}

/// Fault X65: an error that a function returns is the outcome of its span.
#[test]
fn x65_a_returned_error_is_the_outcome_of_the_span_and_a_logged_one_is_not() {
    #[tracing::instrument(err, name = "f")]
    fn displayed() -> Result<(), String> {
        Err("why".into())
    }
    #[tracing::instrument(err(Debug), name = "f")]
    fn debugged() -> Result<(), String> {
        Err("why".into())
    }
    #[tracing::instrument(err(level = "info"), name = "f")]
    fn quiet() -> Result<(), String> {
        Err("why".into())
    }
    #[tracing::instrument(err, ret, name = "f", fields(id = 7))]
    async fn asynchronous() -> Result<(), String> {
        Err("why".into())
    }
    #[tracing::instrument(err, name = "f")]
    fn described() -> Result<(), String> {
        Span::current().set_status(Status::error("out of stock"));
        Err("why".into())
    }
    #[tracing::instrument(err, name = "f")]
    fn said_to_be_fine() -> Result<(), String> {
        Span::current().set_status(Status::Ok);
        Err("why".into())
    }
    fn logged(program: fn()) {
        info_span!("f").in_scope(program);
    }
    let run = |on: bool, program: fn()| {
        let rig = Rig::layer(|layer| layer.with_returned_errors_as_status(on));
        let spans = rig.trace(program);
        let span = spans.named("f");
        assert_eq!(span.events.len(), 1, "the event is there in any case");
        let status = span.status.clone()?;
        Some((status.code(), status.message))
    };
    let error = |text: &str| Some((StatusCode::Error, text.to_owned()));
    assert_eq!(run(true, || drop(displayed())), error("why"));
    assert_eq!(run(true, || drop(debugged())), error("\"why\""));
    assert_eq!(run(true, || drop(quiet())), error("why"));
    let poll = || {
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(asynchronous()).poll(&mut task).is_ready());
    };
    assert_eq!(run(true, poll), error("why"));
    assert_eq!(run(true, || drop(described())), error("out of stock"));
    let fine = Some((StatusCode::Ok, String::new()));
    assert_eq!(run(true, || drop(said_to_be_fine())), fine);
    assert_eq!(
        run(true, || logged(|| error!(error = %"why"))),
        error("why")
    );
    // Logged, and perhaps dealt with.
    assert_eq!(run(true, || logged(|| warn!(error = %"why"))), None);
    assert_eq!(
        run(true, || logged(|| error!(error = %"why", "tried"))),
        None
    );
    assert_eq!(run(true, || logged(|| error!(error = %"why", n = 1))), None);
    assert_eq!(run(false, || drop(displayed())), None);
    assert_eq!(run(false, || drop(quiet())), None);
}

#[test]
fn error_events_set_the_status_only_when_asked_for() {
    let status = |on: bool, program: fn()| {
        let rig = Rig::layer(|layer| layer.with_error_events_as_status(on));
        let spans = rig.trace(|| info_span!("owner").in_scope(program));
        let status = spans.named("owner").status.clone()?;
        Some((status.code(), status.message))
    };
    let error = |text: &str| Some((StatusCode::Error, text.to_owned()));
    assert_eq!(status(false, || error!("broken")), None);
    assert_eq!(status(true, || error!("broken")), error("broken"));
    assert_eq!(
        status(true, || error!(error = %"why", "broken")),
        error("why")
    );
    assert_eq!(status(true, || warn!("nearly broken")), None);
}

#[test]
fn locations_are_told_when_asked_for() {
    let rig = Rig::layer(|layer| layer.with_location(true));
    let line = i64::from(line!()) + 1;
    let event = event_of(&rig, || info!("here"));
    let found = attributes(&event.attributes);
    assert_eq!(found["code.file.path"], text(file!()));
    assert_eq!(found["code.line.number"], int(line));
    assert_eq!(found["code.module.name"], text(module_path!()));
}

/// Fault X251: what users of `tracing-opentelemetry` expect is there in one call.
#[test]
fn x251_the_defaults_of_tracing_opentelemetry_are_one_call() {
    let rig = Rig::layer(|layer| layer.with_defaults_of_tracing_opentelemetry());
    let spans = rig.trace(|| {
        info_span!("well").in_scope(|| info!("fine"));
        info_span!("ill").in_scope(|| error!("broken"));
    });
    let span = spans.named("well");
    let names = [
        "code.file.path",
        "code.line.number",
        "code.module.name",
        "target",
        "thread.id",
        "thread.name",
    ];
    let found = attributes(&span.attributes);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), names);
    assert_eq!(span.status, None);
    let status = spans.named("ill").status.clone().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    let event = attributes(&span.events[0].attributes);
    assert!(names[..4].iter().all(|name| event.contains_key(name)));
}

#[test]
fn more_events_than_the_limit_are_counted() {
    let limits = SpanLimits {
        event_count: 3,
        ..SpanLimits::DEFAULT
    };
    let rig = Rig::with(|config| config.limits = Some(limits), |layer| layer);
    let spans = rig.trace(|| {
        info_span!("owner").in_scope(|| (0..5).for_each(|n| info!(n, "again")));
    });
    let span = spans.named("owner");
    assert_eq!((span.events.len(), span.dropped_events_count), (3, 2));
}
