//! How many bytes a stored span takes, counted from the official structs.
//!
//! Not `encoded_len`: a stored span writes its times, its name and the keys of maps even when they
//! are zero or empty.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

/// Ids, times, flags and kind.
const FIXED: usize = 18 + 10 + 9 + 9 + 6 + 2;

fn varint(mut value: u64) -> usize {
    let mut len = 1;
    while value > 127 {
        value >>= 7;
        len += 1;
    }
    len
}

/// A length-prefixed field with `content` bytes in it.
#[must_use]
pub fn field(content: usize) -> usize {
    1 + varint(content as u64) + content
}

fn unless_empty(content: usize) -> usize {
    if content == 0 { 0 } else { field(content) }
}

fn unless_zero(count: u32) -> usize {
    if count == 0 {
        0
    } else {
        1 + varint(count.into())
    }
}

fn any_value(value: &AnyValue) -> usize {
    match &value.value {
        None => 0,
        Some(Any::StringValue(v)) => field(v.len()),
        Some(Any::BytesValue(v)) => field(v.len()),
        Some(Any::BoolValue(_)) => 2,
        Some(Any::IntValue(v)) => 1 + varint(*v as u64),
        Some(Any::DoubleValue(_)) => 9,
        Some(Any::ArrayValue(v)) => field(v.values.iter().map(|v| field(any_value(v))).sum()),
        Some(Any::KvlistValue(v)) => field(key_values(&v.values)),
        Some(Any::StringValueStrindex(v)) => 1 + varint(*v as u64),
    }
}

fn key_values(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(attribute).sum()
}

/// One attribute, its tag and length included.
pub(super) fn attribute(attribute: &KeyValue) -> usize {
    let value = attribute.value.as_ref().map_or(0, any_value);
    field(field(attribute.key.len()) + field(value))
}

pub(super) fn event(event: &Event) -> usize {
    let dropped = unless_zero(event.dropped_attributes_count);
    field(9 + field(event.name.len()) + key_values(&event.attributes) + dropped)
}

pub(super) fn link(link: &Link) -> usize {
    let ids_and_flags = 18 + 10 + 5;
    let dropped = unless_zero(link.dropped_attributes_count);
    let state = unless_empty(link.trace_state.len());
    field(ids_and_flags + state + key_values(&link.attributes) + dropped)
}

pub(super) fn status(status: Option<&Status>) -> usize {
    status.map_or(0, |status| field(unless_empty(status.message.len()) + 2))
}

/// A span without its dropped counts.
pub(super) fn without_counts(span: &Span) -> usize {
    let parent = unless_empty(span.parent_span_id.len());
    FIXED
        + parent
        + unless_empty(span.trace_state.len())
        + field(span.name.len())
        + key_values(&span.attributes)
        + span.events.iter().map(event).sum::<usize>()
        + span.links.iter().map(link).sum::<usize>()
        + status(span.status.as_ref())
}

/// The bytes of a whole stored span.
#[must_use]
pub fn record_size(span: &Span) -> usize {
    without_counts(span)
        + unless_zero(span.dropped_attributes_count)
        + unless_zero(span.dropped_events_count)
        + unless_zero(span.dropped_links_count)
}
