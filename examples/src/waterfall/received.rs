//! Spans that the collector of this crate received, as the drawing sees them.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::SpanView;
use crate::ReceivedSpan;

impl<'a> From<&'a ReceivedSpan> for SpanView<'a> {
    fn from(received: &'a ReceivedSpan) -> Self {
        let span = &received.span;
        let attributes = span.attributes.iter();
        let events = span.events.iter();
        Self {
            service: received.service(),
            trace_id: &span.trace_id,
            span_id: &span.span_id,
            parent_span_id: &span.parent_span_id,
            name: &span.name,
            kind: span.kind,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            status: span.status.as_ref().map_or(0, |status| status.code),
            message: span.status.as_ref().map_or("", |status| &status.message),
            attributes: attributes
                .map(|attribute| (&*attribute.key, text_of(attribute.value.as_ref())))
                .collect(),
            events: events
                .map(|event| (&*event.name, event.time_unix_nano))
                .collect(),
        }
    }
}

fn text_of(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => "null".into(),
        Some(Value::StringValue(v)) => v.clone(),
        Some(Value::BoolValue(v)) => v.to_string(),
        Some(Value::IntValue(v)) => v.to_string(),
        Some(Value::DoubleValue(v)) => format!("{v:?}"),
        Some(Value::BytesValue(v)) => {
            let digits: Vec<String> = v.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{}", digits.concat())
        }
        Some(Value::ArrayValue(v)) => {
            let values: Vec<String> = v.values.iter().map(|value| text_of(Some(value))).collect();
            format!("[{}]", values.join(", "))
        }
        Some(Value::KvlistValue(v)) => {
            let entries = v.values.iter();
            let entries: Vec<String> = entries
                .map(|entry| format!("{}={}", entry.key, text_of(entry.value.as_ref())))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
