//! OTLP/JSON against the official types: the same message, written by them and by us.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

use std::collections::{BTreeMap, VecDeque};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use spandrel_core::json::{self as otlp_json, JsonError};
use spandrel_core::wire::{FieldValue, Fields};

fn export_request(bytes: &[u8]) -> Result<String, JsonError> {
    let mut text = String::new();
    otlp_json::export_request(bytes, &mut text).map(|()| text)
}

fn span_json(bytes: &[u8]) -> Result<String, JsonError> {
    let mut text = String::new();
    otlp_json::span(bytes, &mut text).map(|()| text)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

// ---- messages -------------------------------------------------------------------------------

/// Any text; proptest's own `String` leaves out the control characters.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..8).prop_map(String::from_iter)
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    let leaf = prop_oneof![
        Just(None),
        text().prop_map(|v| Some(Any::StringValue(v))),
        any::<bool>().prop_map(|v| Some(Any::BoolValue(v))),
        any::<i64>().prop_map(|v| Some(Any::IntValue(v))),
        (NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE).prop_map(|v| Some(Any::DoubleValue(v))),
        vec(any::<u8>(), 0..9).prop_map(|v| Some(Any::BytesValue(v))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            vec((text(), option::of(inner)), 0..4).prop_map(|entries| {
                let values = entries.into_iter().map(key_value).collect();
                Any::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn key_value((key, value): (String, Option<AnyValue>)) -> KeyValue {
    KeyValue {
        key,
        value,
        ..KeyValue::default()
    }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), option::of(any_value())).prop_map(key_value), 0..4)
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => Just(Vec::new()), 4 => vec(any::<u8>(), len)]
}

prop_compose! {
    fn event()(
        time_unix_nano: u64, name in text(), attributes in attributes(),
        dropped_attributes_count: u32,
    ) -> Event {
        Event { time_unix_nano, name, attributes, dropped_attributes_count }
    }
}

prop_compose! {
    fn link()(
        trace_id in id(16), span_id in id(8), trace_state in text(), attributes in attributes(),
        dropped_attributes_count: u32, flags: u32,
    ) -> Link {
        Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }
    }
}

prop_compose! {
    fn span()(
        (trace_id, span_id, parent_span_id) in (id(16), id(8), id(8)),
        (trace_state, name) in (text(), text()),
        (flags, kind) in (any::<u32>(), 0..6_i32),
        (start_time_unix_nano, end_time_unix_nano) in any::<(u64, u64)>(),
        (attributes, events, links) in (attributes(), vec(event(), 0..3), vec(link(), 0..3)),
        (dropped_attributes_count, dropped_events_count) in any::<(u32, u32)>(),
        dropped_links_count: u32,
        status in option::of((text(), 0..3_i32)),
    ) -> Span {
        let status = status.map(|(message, code)| Status { message, code });
        Span {
            trace_id, span_id, parent_span_id, trace_state, name, flags, kind,
            start_time_unix_nano, end_time_unix_nano, attributes, events, links,
            dropped_attributes_count, dropped_events_count, dropped_links_count, status,
        }
    }
}

prop_compose! {
    fn scope_spans()(
        scope in option::of((text(), text(), attributes(), any::<u32>())),
        spans in vec(span(), 0..3), schema_url in text(),
    ) -> ScopeSpans {
        let scope = scope.map(|(name, version, attributes, dropped_attributes_count)| {
            InstrumentationScope { name, version, attributes, dropped_attributes_count }
        });
        ScopeSpans { scope, spans, schema_url }
    }
}

prop_compose! {
    fn resource_spans()(
        resource in option::of((attributes(), any::<u32>())),
        scope_spans in vec(scope_spans(), 0..3), schema_url in text(),
    ) -> ResourceSpans {
        let resource = resource.map(|(attributes, dropped_attributes_count)| Resource {
            attributes, dropped_attributes_count, ..Resource::default()
        });
        ResourceSpans { resource, scope_spans, schema_url }
    }
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    vec(resource_spans(), 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// The fields of `message` in another order, each repeated field keeping its own.
///
/// `keys` decides: the fields are sorted by them.
fn interleaved(message: &[u8], keys: &[u8]) -> Vec<u8> {
    let mut segments = BTreeMap::<u32, VecDeque<&[u8]>>::new();
    let mut numbers = Vec::new();
    let mut fields = Fields::new(message);
    loop {
        let before = fields.rest();
        let Some(field) = fields.next() else { break };
        let (number, _) = field.unwrap();
        let segment = &before[..before.len() - fields.rest().len()];
        segments.entry(number).or_default().push_back(segment);
        numbers.push(number);
    }
    let mut order: Vec<(u8, u32)> = keys.iter().copied().cycle().zip(numbers).collect();
    order.sort();
    order
        .iter()
        .filter_map(|(_, number)| segments.get_mut(number)?.pop_front())
        .flatten()
        .copied()
        .collect()
}

// ---- what the official types write and read differently ----------------------------------------

/// The member names of an `AnyValue`, which are written zero or not.
const CHOSEN: [&str; 7] = [
    "stringValue",
    "boolValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "bytesValue",
];

/// Takes out what proto3 JSON leaves out and the official types write: zeros, nulls, empty lists.
fn without_zeros(value: Value) -> Value {
    let is_zero = |name: &str, value: &Value| {
        let zeros = [json!(null), json!(""), json!(0), json!([])];
        zeros.contains(value) || name.ends_with("UnixNano") && value == "0"
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, value)| CHOSEN.contains(&name.as_str()) || !is_zero(name, value))
            .map(|(name, value)| (name, without_zeros(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_zeros).collect(),
        other => other,
    }
}

/// Puts in what the official types cannot do without, although proto3 JSON leaves it out: the
/// key of an entry, the list of an array or a map.
fn with_required(value: Value) -> Value {
    let fill = |(name, value): (String, Value)| {
        let mut value = with_required(value);
        match (name.as_str(), &mut value) {
            ("arrayValue" | "kvlistValue", Value::Object(list)) => {
                list.entry("values").or_insert(json!([]));
            }
            // The items of an array have no key, and the official types ignore one there.
            ("attributes" | "values", Value::Array(entries)) => {
                for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
                    entry.entry("key").or_insert(json!(""));
                }
            }
            _ => {}
        }
        (name, value)
    };
    match value {
        Value::Object(fields) => fields.into_iter().map(fill).collect(),
        Value::Array(items) => items.into_iter().map(with_required).collect(),
        other => other,
    }
}

// ---- properties -----------------------------------------------------------------------------

proptest! {
    #[test]
    fn ours_is_what_the_official_types_write_without_the_zeros(message in request()) {
        let ours = parsed(&export_request(&message.encode_to_vec()).unwrap());
        let theirs = without_zeros(serde_json::to_value(&message).unwrap());
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn the_official_types_read_the_same_message_back(message in span()) {
        let text = span_json(&message.encode_to_vec()).unwrap();
        let back: Span = serde_json::from_value(with_required(parsed(&text))).unwrap();
        prop_assert_eq!(back, message);
    }

    #[test]
    fn the_order_of_fields_on_the_wire_does_not_show(
        message in span(), keys in vec(any::<u8>(), 1..12),
    ) {
        let bytes = message.encode_to_vec();
        let shuffled = interleaved(&bytes, &keys);
        prop_assert_eq!(shuffled.len(), bytes.len());
        prop_assert_eq!(span_json(&shuffled), span_json(&bytes));
    }

    #[test]
    fn one_line_without_control_characters(message in request()) {
        let text = export_request(&message.encode_to_vec()).unwrap();
        prop_assert!(!text.contains(|c| c < ' '));
    }

    #[test]
    fn any_bytes_give_json_or_an_error(bytes in vec(any::<u8>(), 0..64)) {
        for text in [span_json(&bytes), export_request(&bytes)].into_iter().flatten() {
            parsed(&text);
        }
    }

    #[test]
    fn a_damaged_message_gives_json_or_an_error(
        message in request(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let ours = export_request(&bytes);
        if let Ok(text) = &ours {
            parsed(text);
        }
        // What the official decoder takes, we take. (The reverse does not hold: it refuses a
        // known field with the wrong wire type and broken UTF-8, which are skipped and mended
        // here.)
        if ExportTraceServiceRequest::decode(&*bytes).is_ok() {
            prop_assert!(ours.is_ok(), "{:?}", ours);
        }
    }
}

#[test]
fn interleaving_really_reorders_and_keeps_every_field() {
    let message = Span {
        name: "n".into(),
        attributes: vec![key_value(("a".into(), None)), key_value(("b".into(), None))],
        events: vec![Event::default(), Event::default()],
        ..Span::default()
    };
    let shuffled = interleaved(&message.encode_to_vec(), &[3, 1, 5, 2, 4]);
    let numbers: Vec<u32> = Fields::new(&shuffled)
        .map(|field| field.unwrap().0)
        .collect();
    assert_eq!(numbers, [9, 11, 5, 11, 9]);
    let first = Fields::new(&shuffled).next().unwrap().unwrap();
    assert_eq!(first, (9, FieldValue::Bytes(b"\x0a\x01a")));
}

#[test]
fn numbers_that_json_lacks_are_text() {
    for (value, expected) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        let value = Some(AnyValue {
            value: Some(Any::DoubleValue(value)),
        });
        let message = Span {
            attributes: vec![key_value(("d".into(), value))],
            ..Span::default()
        };
        let ours = parsed(&span_json(&message.encode_to_vec()).unwrap());
        assert_eq!(ours["attributes"][0]["value"]["doubleValue"], expected);
    }
}

/// The example of the protocol's own repository: upper-case ids in, 214 bytes of protobuf, the
/// same document with lower-case ids out (spec A-066).
#[test]
fn the_official_example_survives_the_round_trip() {
    let example = include_str!("../../fixtures/otlp-trace.json");
    let message: ExportTraceServiceRequest = serde_json::from_str(example).unwrap();
    let bytes = message.encode_to_vec();
    assert_eq!(bytes.len(), 214);
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest,
        "f4a74a852b721589fbbfad2a3d27df3d4a40101624da607f37cad73ca5ebbce7"
    );

    let mut expected = parsed(example);
    let span = &mut expected["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    for id in ["traceId", "spanId", "parentSpanId"] {
        span[id] = span[id].as_str().unwrap().to_lowercase().into();
    }
    assert_eq!(parsed(&export_request(&bytes).unwrap()), expected);
}
