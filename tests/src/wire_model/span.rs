//! The model of one recording span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use spandrel_core::context::SpanContext;
use spandrel_core::limits::SpanLimits;
use spandrel_core::time::WallClock;

use super::script::{LinkScript, Op, ScriptError, SpanScript};
use super::size::{self, field};
use super::value::{Attributes, ModelValue, key_value, last_of_each};

/// Bytes held back for three dropped counts, and for a status without text while there is none.
const FOR_COUNTS: usize = 18;
const FOR_STATUS: usize = 4;

/// A span in the making, as the official struct.
#[derive(Clone, Debug)]
pub struct SpanModel {
    span: Span,
    limits: SpanLimits,
    capacity: usize,
}

impl SpanModel {
    /// A span as `script` starts it, under the ids of `context`, in `capacity` bytes. `added` are
    /// the attributes of the sampler, `trace_state` the state that it chose.
    #[must_use]
    pub fn start(
        script: &SpanScript,
        context: &SpanContext,
        trace_state: &str,
        added: &Attributes,
    ) -> Self {
        let parent = script.parent.context();
        let parent_span_id = if parent.is_valid() {
            parent.span_id().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let mut model = Self {
            span: Span {
                trace_id: context.trace_id().as_bytes().to_vec(),
                span_id: context.span_id().as_bytes().to_vec(),
                parent_span_id,
                kind: script.kind as i32,
                start_time_unix_nano: script.start,
                flags: flags(context, parent.is_valid() && parent.is_remote()),
                ..Span::default()
            },
            limits: script.limits,
            capacity: script.scratch,
        };
        // A name of ten bytes goes before a long tracestate. The empty name counts two already.
        if field(trace_state.len()) + field(10) <= model.room() + field(0) {
            model.span.trace_state = trace_state.into();
        }
        model.span.name = fitting(&script.name, model.room() + field(0));
        for (key, value) in script.attributes.iter().chain(added) {
            model.set_attribute(key, value);
        }
        for link in &script.links {
            model.add_link(link);
        }
        model
    }

    /// Applies one call.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::SetAttribute(key, value) => self.set_attribute(key, value),
            Op::SetAttributes(attributes) => {
                for (key, value) in attributes {
                    self.set_attribute(key, value);
                }
            }
            Op::AddEvent(name, attributes, time) => self.add_event(name, attributes, *time),
            Op::AddLink(link) => self.add_link(link),
            Op::StatusUnset => {}
            Op::StatusOk => self.set_status(1, ""),
            Op::StatusError(description) => self.set_status(2, description),
            Op::UpdateName(name) => {
                self.span.name = fitting(name, self.room() + field(self.span.name.len()));
            }
            Op::RecordError(error, attributes, time) => {
                self.record_error(error, attributes, *time);
            }
        }
    }

    /// The span, ended at `end`, in the time of the recording.
    #[must_use]
    pub fn end(mut self, end: u64) -> Span {
        self.span.end_time_unix_nano = end.max(self.span.start_time_unix_nano);
        self.span
    }

    /// The dropped counts: attributes, events, links.
    #[must_use]
    pub const fn dropped(&self) -> [u32; 3] {
        [
            self.span.dropped_attributes_count,
            self.span.dropped_events_count,
            self.span.dropped_links_count,
        ]
    }

    /// `span` with wall-clock times instead of monotonic ones, those of its events included.
    #[must_use]
    pub fn dated(mut span: Span, clock: Option<WallClock>) -> Span {
        let Some(clock) = clock else { return span };
        let date = |time: &mut u64| {
            let instant = spandrel_core::time::Instant::from_nanos(*time);
            *time = clock.to_unix(instant).as_nanos();
        };
        date(&mut span.start_time_unix_nano);
        date(&mut span.end_time_unix_nano);
        for event in &mut span.events {
            date(&mut event.time_unix_nano);
        }
        span
    }

    /// Bytes left for more, the reserves taken off.
    fn room(&self) -> usize {
        let reserve = if self.span.status.is_some() {
            FOR_COUNTS
        } else {
            FOR_COUNTS + FOR_STATUS
        };
        let used = size::without_counts(&self.span) + reserve;
        assert!(used <= self.capacity, "the model has overrun its scratch");
        self.capacity - used
    }

    fn set_attribute(&mut self, key: &str, value: &ModelValue) {
        if key.is_empty() {
            return;
        }
        let new = key_value(key, value, self.limits.value);
        let room = self.room();
        let full = self.span.attributes.len() >= usize::from(self.limits.attribute_count);
        let old = self.span.attributes.iter_mut().find(|old| old.key == key);
        match old {
            Some(old) if size::attribute(&new) <= room + size::attribute(old) => *old = new,
            None if !full && size::attribute(&new) <= room => self.span.attributes.push(new),
            _ => self.span.dropped_attributes_count += 1,
        }
    }

    fn add_event(&mut self, name: &str, attributes: &Attributes, time: u64) {
        let (attributes, dropped) = self.limited(attributes, self.limits.attribute_per_event_count);
        self.push_event(Event {
            time_unix_nano: time,
            name: name.into(),
            attributes,
            dropped_attributes_count: dropped,
        });
    }

    fn record_error(&mut self, error: &ScriptError, extra: &Attributes, time: u64) {
        let mut all: Attributes = vec![
            ("exception.type".into(), error.type_name().into()),
            (
                "exception.message".into(),
                error.to_string().as_str().into(),
            ),
        ];
        all.retain(|(key, _)| extra.iter().all(|(other, _)| other != key));
        all.extend(extra.iter().cloned());
        self.add_event("exception", &all, time);
    }

    fn push_event(&mut self, event: Event) {
        let full = self.span.events.len() >= usize::from(self.limits.event_count);
        if full || size::event(&event) > self.room() {
            self.span.dropped_events_count += 1;
        } else {
            self.span.events.push(event);
        }
    }

    fn add_link(&mut self, link: &LinkScript) {
        let context = link.context.context();
        if !context.is_valid() && link.attributes.is_empty() && link.trace_state.is_empty() {
            return;
        }
        let limit = self.limits.attribute_per_link_count;
        let (attributes, dropped) = self.limited(&link.attributes, limit);
        let link = Link {
            trace_id: context.trace_id().as_bytes().to_vec(),
            span_id: context.span_id().as_bytes().to_vec(),
            trace_state: link.trace_state.clone(),
            attributes,
            dropped_attributes_count: dropped,
            flags: flags(&context, context.is_remote()),
        };
        let full = self.span.links.len() >= usize::from(self.limits.link_count);
        if full || size::link(&link) > self.room() {
            self.span.dropped_links_count += 1;
        } else {
            self.span.links.push(link);
        }
    }

    /// `Unset < Error < Ok`; `Ok` is final, of two errors the later one counts.
    fn set_status(&mut self, code: i32, description: &str) {
        if self.span.status.as_ref().is_some_and(|old| old.code == 1) {
            return;
        }
        self.span.status = None;
        let room = self.room() + FOR_STATUS;
        self.span.status = Some(Status {
            message: fitting(description, room.saturating_sub(8)),
            code,
        });
    }

    /// Unique keys, the last value of each, at most `limit` of them; and how many are left out.
    fn limited(&self, attributes: &Attributes, limit: u16) -> (Vec<KeyValue>, u32) {
        let mut kept: Vec<KeyValue> = last_of_each(attributes)
            .into_iter()
            .filter(|(key, _)| !key.is_empty())
            .map(|(key, value)| key_value(key, value, self.limits.value))
            .collect();
        let dropped = kept.len().saturating_sub(limit.into());
        kept.truncate(limit.into());
        (kept, dropped as u32)
    }
}

impl From<&str> for ModelValue {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

/// The flags of OTLP: those of W3C that are known, that it is known whether the context is remote,
/// and whether it is (spec F-045, F-055).
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let known = u32::from(context.trace_flags().bits()) & 0b11;
    known | 0x100 | if is_remote { 0x200 } else { 0 }
}

/// As many whole characters as a field of `room` bytes surely holds: a text that is cut pays for
/// its length prefix as if it filled the room.
fn fitting(text: &str, room: usize) -> String {
    if field(text.len()) <= room {
        return text.into();
    }
    let prefix = field(room) - room;
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len() + c.len_utf8() + prefix > room {
            break;
        }
        kept.push(c);
    }
    kept
}
