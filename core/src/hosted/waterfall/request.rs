//! The spans of an encoded request.

use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::text::hex;
use super::view::SpanView;
use crate::wire::{FieldValue, Fields};

/// Values nested deeper are left out. Limits of spans allow no more.
const DEPTH: u8 = 64;

/// The spans of an
/// [`ExportTraceServiceRequest`](https://opentelemetry.io/docs/specs/otlp/). What cannot be read is
/// left out.
pub(super) fn spans(request: &[u8]) -> Vec<SpanView<'_>> {
    let mut spans = Vec::new();
    for resource_spans in messages(request, 1) {
        let service = messages(resource_spans, 1)
            .flat_map(|resource| messages(resource, 1))
            .find(|attribute| key(attribute) == "service.name")
            .and_then(|attribute| messages(attribute, 2).last())
            .and_then(|value| messages(value, 1).last())
            .map_or("", text);
        let scopes = messages(resource_spans, 2);
        spans.extend(scopes.flat_map(|scope| messages(scope, 2)).map(|message| {
            let mut span = span(message);
            span.service = service;
            span
        }));
    }
    spans
}

fn span(message: &[u8]) -> SpanView<'_> {
    let mut span = SpanView::default();
    for field in fields(message) {
        match field {
            (1, FieldValue::Bytes(id)) => span.trace_id = id,
            (2, FieldValue::Bytes(id)) => span.span_id = id,
            (4, FieldValue::Bytes(id)) => span.parent_span_id = id,
            (5, FieldValue::Bytes(name)) => span.name = text(name),
            (6, FieldValue::Varint(kind)) => span.kind = kind as i32,
            (7, FieldValue::Fixed64(time)) => span.start = time,
            (8, FieldValue::Fixed64(time)) => span.end = time,
            (9, FieldValue::Bytes(attribute)) => {
                let value = messages(attribute, 2).last().unwrap_or_default();
                let value = value_text(value, DEPTH).into_owned();
                span.attributes.push((key(attribute), value));
            }
            (11, FieldValue::Bytes(event)) => span.events.push(self::event(event)),
            (15, FieldValue::Bytes(status)) => {
                for field in fields(status) {
                    match field {
                        (2, FieldValue::Bytes(message)) => span.message = text(message),
                        (3, FieldValue::Varint(code)) => span.status = code as i32,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    span
}

fn event(message: &[u8]) -> (&str, u64) {
    let mut event = ("", 0);
    for field in fields(message) {
        match field {
            (1, FieldValue::Fixed64(time)) => event.1 = time,
            (2, FieldValue::Bytes(name)) => event.0 = text(name),
            _ => {}
        }
    }
    event
}

/// An `AnyValue` as text.
fn value_text(value: &[u8], depth: u8) -> Cow<'_, str> {
    let Some((number, value)) = fields(value).last() else {
        return "null".into();
    };
    match (number, value) {
        (1, FieldValue::Bytes(value)) => text(value).into(),
        (2, FieldValue::Varint(value)) => (value != 0).to_string().into(),
        (3, FieldValue::Varint(value)) => value.cast_signed().to_string().into(),
        (4, FieldValue::Fixed64(value)) => format!("{:?}", f64::from_bits(value)).into(),
        (5 | 6, FieldValue::Bytes(_)) if depth == 0 => "…".into(),
        (5, FieldValue::Bytes(array)) => {
            let values: Vec<_> = messages(array, 1)
                .map(|value| value_text(value, depth - 1))
                .collect();
            format!("[{}]", values.join(", ")).into()
        }
        (6, FieldValue::Bytes(list)) => {
            let entries: Vec<String> = messages(list, 1)
                .map(|entry| {
                    let value = messages(entry, 2).last().unwrap_or_default();
                    format!("{}={}", key(entry), value_text(value, depth - 1))
                })
                .collect();
            format!("{{{}}}", entries.join(", ")).into()
        }
        (7, FieldValue::Bytes(bytes)) => format!("0x{}", hex(bytes)).into(),
        _ => "null".into(),
    }
}

/// The key of a `KeyValue`.
fn key(attribute: &[u8]) -> &str {
    messages(attribute, 1).last().map_or("", text)
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("?")
}

fn fields(message: &[u8]) -> impl Iterator<Item = (u32, FieldValue<'_>)> {
    Fields::new(message).map_while(Result::ok)
}

/// The contents of all fields `number`.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |field| match field {
        (found, FieldValue::Bytes(content)) if found == number => Some(content),
        _ => None,
    })
}
