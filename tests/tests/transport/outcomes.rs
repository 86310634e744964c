//! The outcome of a span, from results with all kinds of errors.

use std::error::Error;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::hosted::trace::Span;
use spandrel_tests::fault_server::Script;

use crate::harness::Rig;

/// The span that arrives after `work` on one.
fn delivered(work: impl FnOnce(&mut Span)) -> Received {
    let rig = Rig::new(Script::new());
    let mut span = rig.tracer().start("work");
    work(&mut span);
    rig.end(span);
    assert!(rig.flush().is_success());
    let span = rig.server.requests()[0].spans().next().unwrap().clone();
    rig.close().is(1, &[]);
    span
}

/// Code and message of the status.
fn status(span: &Received) -> (i32, &str) {
    let status = span.status.as_ref();
    status.map_or((0, ""), |status| (status.code, status.message.as_str()))
}

/// Type and message of the only event, an exception.
fn exception(span: &Received) -> [&str; 2] {
    assert_eq!(span.events.len(), 1);
    let event = &span.events[0];
    assert_eq!(event.name, "exception");
    ["exception.type", "exception.message"].map(|key| {
        let found = event.attributes.iter().find(|it| it.key == key);
        match found.and_then(|it| it.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(text)) => text.as_str(),
            _ => "",
        }
    })
}

#[test]
fn success_is_ok_without_an_event() {
    let span = delivered(|span| span.set_outcome(&anyhow::Ok(7)));
    assert_eq!(status(&span), (1, ""));
    assert!(span.events.is_empty());
}

#[test]
fn an_error_of_a_known_type_fails_the_span_with_its_text() {
    let span = delivered(|span| span.set_outcome(&"three".parse::<u32>()));
    let text = "invalid digit found in string";
    assert_eq!(status(&span), (2, text));
    let type_name = std::any::type_name::<std::num::ParseIntError>();
    assert_eq!(exception(&span), [type_name, text]);
}

#[test]
fn an_error_behind_a_pointer_fails_the_span_as_well() {
    let boxed: Result<(), Box<dyn Error>> = Err("no space left".into());
    let sent: Result<(), Box<dyn Error + Send + Sync>> = Err("no space left".into());
    for span in [
        delivered(|span| span.set_outcome(&boxed)),
        delivered(|span| span.set_outcome(&sent)),
    ] {
        assert_eq!(status(&span), (2, "no space left"));
        assert_eq!(exception(&span)[1], "no space left");
    }
}

#[test]
fn an_error_with_context_fails_the_span_with_the_outermost_text() {
    let read: anyhow::Result<()> = Err(anyhow::anyhow!("no space left"));
    let read = anyhow::Context::context(read, "the order was not stored");
    let span = delivered(|span| span.set_outcome(&read));
    assert_eq!(status(&span), (2, "the order was not stored"));
    let expected = ["anyhow::Error", "the order was not stored"];
    assert_eq!(exception(&span), expected);
}

#[test]
fn an_error_that_is_only_recorded_leaves_the_status_alone() {
    let error = anyhow::anyhow!("a replica is away");
    let span = delivered(|span| span.record_error(&error));
    assert_eq!(status(&span), (0, ""));
    assert_eq!(exception(&span)[1], "a replica is away");
}

#[test]
fn a_scope_that_may_fail_sets_the_outcome_and_returns_the_result() {
    for (text, code) in [("7", 1), ("seven", 2)] {
        let rig = Rig::new(Script::new());
        let start = rig.tracer().span("work");
        let result = start.try_in_scope(|span| {
            let ids = *span.context();
            let oracle = rig.server.oracle();
            oracle.issue(ids.trace_id().to_bytes(), ids.span_id().to_bytes());
            text.parse::<u32>()
        });
        assert_eq!(result.is_ok(), code == 1);
        assert!(rig.flush().is_success());
        let span = rig.server.requests()[0].spans().next().unwrap().clone();
        assert_eq!(
            (status(&span).0, span.events.len()),
            (code, usize::from(code == 2))
        );
        rig.close().is(1, &[]);
    }
}
