//! The official span that a view shows.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use spandrel_core::span::finished::{self, Attributes, FinishedSpan};
use spandrel_core::span::{self};

/// Everything that `span` shows, as an official span.
#[must_use]
pub fn official(span: &FinishedSpan<'_>) -> Span {
    let flags = |bits: u8, is_remote| u32::from(bits) | if is_remote { 0x300 } else { 0x100 };
    Span {
        trace_id: span.trace_id().to_bytes().into(),
        span_id: span.span_id().to_bytes().into(),
        trace_state: span.trace_state().into(),
        parent_span_id: span
            .parent_span_id()
            .map(|id| id.to_bytes().into())
            .unwrap_or_default(),
        flags: flags(span.trace_flags().bits(), span.is_parent_remote()),
        name: span.name().into(),
        kind: span.kind() as i32,
        start_time_unix_nano: span.start_nanos(),
        end_time_unix_nano: span.end_nanos(),
        attributes: attributes(span.attributes()),
        dropped_attributes_count: span.dropped_attributes(),
        events: span
            .events()
            .map(|event| Event {
                time_unix_nano: event.nanos(),
                name: event.name().into(),
                attributes: attributes(event.attributes()),
                dropped_attributes_count: event.dropped_attributes(),
            })
            .collect(),
        dropped_events_count: span.dropped_events(),
        links: span
            .links()
            .map(|link| Link {
                trace_id: link.context().trace_id().to_bytes().into(),
                span_id: link.context().span_id().to_bytes().into(),
                trace_state: link.trace_state().into(),
                attributes: attributes(link.attributes()),
                dropped_attributes_count: link.dropped_attributes(),
                flags: flags(
                    link.context().trace_flags().bits(),
                    link.context().is_remote(),
                ),
            })
            .collect(),
        dropped_links_count: span.dropped_links(),
        status: match span.status() {
            span::Status::Unset => None,
            span::Status::Ok => Some(Status {
                message: String::new(),
                code: 1,
            }),
            span::Status::Error { description } => Some(Status {
                message: description.into(),
                code: 2,
            }),
        },
    }
}

fn attributes(attributes: Attributes<'_>) -> Vec<KeyValue> {
    attributes
        .map(|attribute| KeyValue {
            key: attribute.key.into(),
            value: Some(any_value(attribute.value)),
            ..KeyValue::default()
        })
        .collect()
}

fn any_value(value: finished::AnyValue<'_>) -> AnyValue {
    let value = match value {
        finished::AnyValue::String(text) => Any::StringValue(text.into()),
        finished::AnyValue::Bool(value) => Any::BoolValue(value),
        finished::AnyValue::I64(value) => Any::IntValue(value),
        finished::AnyValue::F64(value) => Any::DoubleValue(value),
        finished::AnyValue::Bytes(bytes) => Any::BytesValue(bytes.into()),
        finished::AnyValue::Array(values) => Any::ArrayValue(ArrayValue {
            values: values.map(any_value).collect(),
        }),
        finished::AnyValue::Map(entries) => Any::KvlistValue(KeyValueList {
            values: attributes(entries),
        }),
        _ => return AnyValue { value: None },
    };
    AnyValue { value: Some(value) }
}
