//! What each scenario of the firmware must deliver.

use std::io::Read;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use prost::Message;

use super::board::images;

const MILLI: u64 = 1_000_000;
const SAMPLED: u32 = 1;
/// "The flag that says whether the context is remote is known": bit 8; "it is": bit 9.
const REMOTE_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// The generator of the firmware counts, so a start of a root takes two numbers.
fn trace_id(number: u32) -> Vec<u8> {
    let mut id = vec![0x54, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    id.extend(number.to_be_bytes());
    id
}

pub(crate) fn span_id(number: u32) -> Vec<u8> {
    let mut id = vec![0x53, 0, 0, 0];
    id.extend(number.to_be_bytes());
    id
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

pub(crate) fn root(trace: u32, name: &str, start: u64, end: u64) -> Span {
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(trace + 1),
        name: name.into(),
        kind: SpanKind::Internal.into(),
        flags: SAMPLED | REMOTE_KNOWN,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

pub(crate) fn numbered(
    trace: u32,
    name: &str,
    key: &str,
    number: u32,
    start: u64,
    end: u64,
) -> Span {
    Span {
        attributes: vec![attribute(key, Value::IntValue(number.into()))],
        ..root(trace, name, start, end)
    }
}

#[test]
fn a_tree_recorded_before_the_date_was_known_arrives_whole_and_dated() {
    for image in images() {
        let run = image.run("tree");
        let requests = run.requests();
        let [request] = &requests[..] else {
            panic!("one request");
        };
        let [of_resource] = &request.resource_spans[..] else {
            panic!("one resource");
        };
        assert_eq!(
            of_resource.resource.as_ref().unwrap().attributes,
            [
                attribute("service.name", text("firmware")),
                attribute("device.model.name", text(image.board.name)),
            ]
        );
        let [of_scope] = &of_resource.scope_spans[..] else {
            panic!("one scope");
        };
        let scope = of_scope.scope.as_ref().unwrap();
        assert_eq!(
            (&scope.name[..], &scope.version[..]),
            ("spandrel-firmware", "1")
        );

        // 1,700,000,000 s is five seconds after the start of the device.
        let at = |millis: u64| (1_700_000_000_000 - 5_000 + millis) * MILLI;
        let strings = ["bme280", "scd41"].map(|s| AnyValue {
            value: Some(text(s)),
        });
        let boot = Span {
            attributes: vec![
                attribute("reset.reason", text("watchdog")),
                attribute("reset.count", Value::IntValue(7)),
                attribute("supply.volts", Value::DoubleValue(3.25)),
                attribute("battery", Value::BoolValue(true)),
                attribute("serial", Value::BytesValue(vec![0xde, 0xad])),
                attribute(
                    "sensors",
                    Value::ArrayValue(ArrayValue {
                        values: strings.into(),
                    }),
                ),
            ],
            status: Some(Status {
                code: StatusCode::Ok.into(),
                message: String::new(),
            }),
            ..root(1, "boot", at(1), at(10))
        };
        let read = Span {
            span_id: span_id(3),
            parent_span_id: span_id(2),
            events: vec![Event {
                time_unix_nano: at(3),
                name: "bus.retry".into(),
                attributes: vec![attribute("attempt", Value::IntValue(1))],
                dropped_attributes_count: 0,
            }],
            status: Some(Status {
                code: StatusCode::Error.into(),
                message: "no answer".into(),
            }),
            ..root(1, "sensor.read", at(2), at(5))
        };
        let send = Span {
            span_id: span_id(4),
            parent_span_id: span_id(2),
            kind: SpanKind::Client.into(),
            links: vec![Link {
                trace_id: vec![0xab; 16],
                span_id: vec![0xcd; 8],
                flags: SAMPLED | REMOTE_KNOWN | REMOTE,
                ..Link::default()
            }],
            ..root(1, "radio.send", at(6), at(9))
        };
        assert_eq!(of_scope.spans, [read, send, boot], "{}", image.board.name);
        run.assert_ledger(3, 3, 0);
    }
}

#[test]
fn what_a_full_buffer_loses_is_counted_exactly_and_told_in_band() {
    for image in images() {
        let run = image.run("overflow");
        let spans = run.spans();
        // 1,024 bytes hold twelve of them, the first ones, and the hundred-and-first comes after.
        let mut expected: Vec<_> = (0..12)
            .map(|i| {
                let at = u64::from(i) * MILLI;
                numbered(2 * i + 1, "work", "number", i, at, at)
            })
            .collect();
        let end = spans.last().unwrap().end_time_unix_nano;
        expected.push(numbered(201, "work", "number", 100, end, end));
        expected.push(numbered(203, "telemetry.loss", "spans", 88, end, end));
        assert_eq!(spans, expected, "{}", image.board.name);
        assert_eq!(run.number("refused"), 88);
        run.assert_ledger(102, 14, 88);
    }
}

/// What the interrupt handler (or the main program) records under `number`.
fn by_recorder(recorder: &str, number: u32) -> Span {
    let start = u64::from(number) * MILLI;
    let (first, micros) = match recorder {
        "interrupt" => (101, 1),
        _ => (1, 2),
    };
    let end = start + micros * 1_000;
    numbered(first + 2 * number, recorder, "number", number, start, end)
}

#[test]
fn an_interrupt_handler_records_beside_the_main_program() {
    for image in images() {
        let name = image.board.name;
        let run = image.run("interrupt");
        let spans = run.spans();
        for recorder in ["interrupt", "main"] {
            let found: Vec<_> = spans.iter().filter(|span| span.name == recorder).collect();
            let expected: Vec<_> = (0..12)
                .map(|number| by_recorder(recorder, number))
                .collect();
            assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(run.number("shared.dropped"), 0, "{name}");
        assert_eq!(run.number("shared.held"), 0, "{name}");
        run.assert_ledger(24, 24, 0);
    }
}

#[test]
fn what_handler_and_main_program_cannot_keep_is_counted_exactly() {
    for image in images() {
        let name = image.board.name;
        let run = image.run("flood");
        let spans = run.spans();
        for span in &spans {
            let number = match span.attributes[0].value.as_ref().unwrap().value {
                Some(Value::IntValue(number)) => u32::try_from(number).unwrap(),
                _ => panic!("{name}: {span:?}"),
            };
            assert_eq!(
                span,
                &by_recorder(&span.name, number),
                "{name}: torn or mixed"
            );
        }
        let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
        ids.sort();
        ids.dedup();
        let kept = spans.len() as u64;
        assert_eq!(ids.len() as u64, kept, "{name}: each once");
        // 1,280 bytes hold about fifteen of the forty.
        assert!((14..=16).contains(&kept), "{name}: {kept}");
        assert_eq!(run.number("shared.queue_full"), 40 - kept, "{name}");
        assert_eq!(run.number("shared.dropped"), 40 - kept, "{name}");
        run.assert_ledger(kept, kept, 0);
    }
}

#[test]
fn an_outage_opens_the_circuit_and_loses_nothing() {
    for image in images() {
        let name = image.board.name;
        let run = image.run("outage");
        assert_eq!(run.bodies.len(), 6, "{name}");
        assert!(
            run.bodies.iter().all(|body| *body == run.bodies[0]),
            "{name}: a retry differs"
        );
        let first = &run.spans()[..3];
        let expected: Vec<_> = (0..3)
            .map(|i| {
                let at = u64::from(i) * MILLI;
                numbered(2 * i + 1, "measure", "number", i, at, at)
            })
            .collect();
        assert_eq!(first, expected, "{name}");
        assert_eq!(run.number("stats.attempts"), 6, "{name}");
        assert_eq!(run.number("stats.circuit_opened"), 1, "{name}");
        // Five seconds of gathering, the pause of seven that was asked for, retries, and an
        // open circuit of thirty.
        let took = run.number("took.seconds");
        assert!((41..=45).contains(&took), "{name}: {took} s");
        run.assert_ledger(3, 3, 0);
    }
}

#[test]
fn spans_in_retained_memory_are_delivered_after_a_reset() {
    for image in images() {
        let run = image.run("reset");
        let recovered: Vec<_> = run
            .numbers()
            .iter()
            .filter(|(name, _)| name == "recovered")
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(recovered, [0, 4], "{}: two starts", image.board.name);
        assert_eq!(run.number("in_flight"), 4);
        let at = |millis: u64| (1_700_000_000_000 + millis) * MILLI;
        let expected: Vec<_> = (0..5)
            .map(|i| {
                // The last one was recorded a millisecond after the latest that was found.
                let at = at(i.into());
                numbered(2 * i + 1, "work", "number", i, at, at)
            })
            .collect();
        assert_eq!(run.spans(), expected, "{}", image.board.name);
        run.assert_ledger(5, 5, 0);
    }
}

#[test]
fn a_device_compresses_its_request() {
    for image in images() {
        let name = image.board.name;
        let run = image.run("gzip");
        let mut body = Vec::new();
        GzDecoder::new(&run.compressed[..])
            .read_to_end(&mut body)
            .unwrap();
        assert_eq!(body.len() as u64, run.number("gzip.raw"), "{name}");
        assert_eq!(
            run.compressed.len() as u64,
            run.number("gzip.packed"),
            "{name}"
        );
        assert!(
            run.compressed.len() < body.len() * 2 / 5,
            "{name}: {}",
            run.compressed.len()
        );
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        let expected: Vec<_> = (0..24)
            .map(|i| {
                let at = u64::from(i) * MILLI;
                let mut span = numbered(2 * i + 1, "sensor.read", "number", i, at, at);
                span.attributes
                    .insert(0, attribute("sensor.kind", text("temperature")));
                span
            })
            .collect();
        assert_eq!(
            request.resource_spans[0].scope_spans[0].spans, expected,
            "{name}"
        );
        run.assert_ledger(24, 24, 0);
    }
}
