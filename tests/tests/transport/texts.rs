//! Long texts: what fits of them, and what they must leave room for.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::context::Link;
use spandrel_core::sampler::{AlwaysOff, AlwaysRecord};
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::{KeyValue, Span};

use crate::child::Process;
use crate::harness::Rig;

/// What arrives of a span named `name` after `set`.
fn arrived(name: &str, set: impl FnOnce(&mut Span)) -> Received {
    let rig = Rig::new(Script::new());
    let mut span = rig.tracer().start(name);
    set(&mut span);
    rig.end(span);
    assert!(rig.flush().is_success());
    let received = rig.server.requests()[0].spans().next().unwrap().clone();
    rig.close().is(1, &[]);
    received
}

fn attribute<'a>(span: &'a Received, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|it| it.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

#[track_caller]
fn is_start_of(text: &str, whole: &str, range: core::ops::Range<usize>) {
    assert!(whole.starts_with(text), "{:.40}", text);
    assert!(range.contains(&text.len()), "{} bytes", text.len());
}

/// The small things that an error in a service is looked for by.
fn set_small_things(span: &mut Span) {
    span.set_attribute("http.response.status_code", 500);
    span.set_attribute("level", "error");
    span.add_event("retried", &[KeyValue::new("attempt", 2)]);
}

#[track_caller]
fn has_small_things(span: &Received) {
    let code = attribute(span, "http.response.status_code");
    assert_eq!(
        code,
        Some(&Value::IntValue(500)),
        "{:.100?}",
        span.attributes
    );
    assert!(attribute(span, "level").is_some());
    assert!(span.events.iter().any(|event| event.name == "retried"));
    assert_eq!(span.dropped_attributes_count, 0);
}

#[test]
fn x80_a_long_description_or_name_leaves_room_for_what_comes_later() {
    let long = "ä".repeat(20_000);
    let span = arrived("described", |span| {
        span.set_error(&long);
        set_small_things(span);
    });
    let status = span.status.as_ref().unwrap();
    assert_eq!(status.code, 2);
    is_start_of(&status.message, &long, 6000..9000);
    has_small_things(&span);

    let span = arrived(&long, set_small_things);
    is_start_of(&span.name, &long, 6000..9000);
    has_small_things(&span);

    let span = arrived("renamed", |span| {
        span.update_name(&long);
        span.fail(&long);
        set_small_things(span);
        span.set_error(&long);
    });
    is_start_of(&span.name, &long, 6000..9000);
    let message = &span.status.as_ref().unwrap().message;
    is_start_of(message, &long, 1000..9000);
    has_small_things(&span);
}

#[test]
fn x81_values_longer_than_a_span_are_cut_and_what_is_small_is_kept() {
    let prompt = "a prompt of 25 kB; ".repeat(1316);
    let huge = "x".repeat(1 << 20);
    let (bytes, texts) = (vec![7_u8; 100_000], vec![&*prompt; 3]);
    let numbers: Vec<i64> = (0..50_000).collect();
    let span = arrived("values", |span| {
        span.set_attribute("gen_ai.prompt", &prompt);
        span.set_attribute("huge", &huge);
        span.set_attribute("bytes", bytes.as_slice());
        span.set_attribute("texts", texts.as_slice());
        span.set_attribute("numbers", numbers.as_slice());
        let context = *span.context();
        span.add_link(&Link {
            span_context: context,
            trace_state: "",
            attributes: &[KeyValue::new("why", &prompt)],
        });
        set_small_things(span);
        // The whole takes the place of what was cut.
        span.set_attribute("huge", "short");
    });
    let Some(Value::StringValue(text)) = attribute(&span, "gen_ai.prompt") else {
        panic!("{:.100?}", span.attributes);
    };
    is_start_of(text, &prompt, 6000..9000);
    assert_eq!(
        attribute(&span, "huge"),
        Some(&Value::StringValue("short".into()))
    );
    let Some(Value::BytesValue(kept)) = attribute(&span, "bytes") else {
        panic!("{:.100?}", span.attributes);
    };
    assert!(
        bytes.starts_with(kept) && kept.len() > 1000,
        "{}",
        kept.len()
    );
    let Some(Value::ArrayValue(kept)) = attribute(&span, "texts") else {
        panic!("{:.100?}", span.attributes);
    };
    assert_eq!(kept.values.len(), 3);
    for value in &kept.values {
        let Some(Value::StringValue(text)) = &value.value else {
            panic!()
        };
        is_start_of(text, &prompt, 100..2000);
    }
    let Some(Value::ArrayValue(kept)) = attribute(&span, "numbers") else {
        panic!("{:.100?}", span.attributes);
    };
    assert!(
        (50..500).contains(&kept.values.len()),
        "{}",
        kept.values.len()
    );
    assert_eq!(span.links[0].attributes[0].key, "why");
    has_small_things(&span);
}

#[test]
fn x82_many_events_or_long_ones_leave_room_for_attributes() {
    for len in [50, 110, 200, 3000, 40_000] {
        let text = "e".repeat(len);
        let span = arrived("events", |span| {
            span.add_event("retried", &[]);
            for _ in 0..127 {
                span.add_event("work", &[KeyValue::new("text", text.as_str())]);
            }
            span.set_attribute("http.response.status_code", 500);
            span.set_attribute("level", "error");
            span.set_error("out of stock");
        });
        has_small_things(&span);
        assert_eq!(span.status.as_ref().unwrap().message, "out of stock");
        let lost = span.dropped_events_count as usize;
        assert_eq!(span.events.len() + lost, 128, "{len}");
        assert!(lost == 0 || len > 50, "{len}: {lost}");
        assert!(span.events.len() > 4, "{len}: {lost}");
    }
}

/// Writes megabytes, and counts how often it is asked to.
struct Megabytes(Arc<AtomicUsize>);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for _ in 0..1 << 20 {
            self.0.fetch_add(1, Ordering::Relaxed);
            f.write_str("0123456789abcdef")?;
        }
        Ok(())
    }
}

#[test]
fn x83_errors_of_megabytes_are_formatted_no_further_than_they_can_be_stored() {
    let parts = Arc::new(AtomicUsize::new(0));
    let error = Megabytes(parts.clone());
    let span = arrived("fails", |span| {
        span.fail(&error);
        span.record_error(&error);
        set_small_things(span);
    });
    has_small_things(&span);
    assert_eq!(span.events[0].name, "exception");
    assert_eq!(span.events[0].attributes.len(), 2);
    assert!(span.status.as_ref().unwrap().message.len() > 1000);
    // Each is measured some dozen times at most, up to 16 KiB.
    let written = parts.load(Ordering::Relaxed);
    assert!(written < 64 * 1024, "{written} parts were written");
}

#[test]
fn x83_the_type_of_a_trait_object_is_not_exported() {
    let boxed: Box<dyn std::error::Error> = "no space left".into();
    let known = std::io::Error::other("no space left");
    let span = arrived("errors", |span| {
        span.record_error(&*boxed);
        span.record_error(&boxed);
        span.record_error(&known);
    });
    let keys: Vec<Vec<_>> = (span.events.iter())
        .map(|event| event.attributes.iter().map(|it| it.key.as_str()).collect())
        .collect();
    let message = "exception.message";
    assert_eq!(
        keys,
        [
            vec![message],
            vec![message],
            vec!["exception.type", message]
        ]
    );
}

#[test]
fn x84_what_a_span_lacks_is_said_once_with_the_setting_that_helps() {
    let server = FaultServer::start(Script::new());
    let mut lines = Process::start("incomplete", &server.url(), 0, None).lines();
    lines.retain(|line| line.contains("SpanIncomplete") || line.starts_with("incomplete"));
    assert_eq!(
        lines,
        [
            "Warn SpanIncomplete: span \"long\" lacks some of what was set on it: 2 cut; \
             0 attributes, 1 events and 0 links left out; raise max_span_bytes (now 16384), or cut \
             long values evenly by limits.value.length (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT); \
             raise limits.event_count if that is too few; this is said once",
            "incomplete 4",
        ]
    );
}

#[test]
fn x85_spans_that_are_only_recorded_are_live_until_they_end() {
    let rig = Rig::with(Script::new(), |config| {
        config.sampler = Some(Arc::new(AlwaysRecord::new(AlwaysOff)));
    });
    let span = rig.tracer().start("recorded");
    assert!(span.is_recording() && !span.context().is_sampled());
    let counts = rig.telemetry.counts();
    assert_eq!((counts.live, counts.ended), (1, 0), "{counts:?}");
    drop(span);
    let counts = rig.telemetry.counts();
    assert_eq!(
        (counts.live, counts.started.record_only),
        (0, 1),
        "{counts:?}"
    );
    rig.close().is(0, &[]);
}
