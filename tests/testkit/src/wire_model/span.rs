//! The model of one recording span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use spandrel_core::attribute::ValueLimits;
use spandrel_core::context::SpanContext;
use spandrel_core::limits::SpanLimits;
use spandrel_core::time::WallClock;

use super::script::{LinkScript, Op, ScriptError, SpanScript};
use super::size::{self, field};
use super::value::{Attributes, ModelValue, key_value, last_of_each};

/// Bytes held back for three dropped counts, and for a status without text while there is none.
const FOR_COUNTS: usize = 18;
const FOR_STATUS: usize = 4;

/// An item of so many bytes is kept whole if it fits, whatever its share.
const SMALL: usize = 129;
/// Texts are not cut to fewer characters than this.
const LEAST_TEXT: usize = 24;

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
        model.span.name = model.name(&script.name, field(0));
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
                self.span.name = self.name(name, field(self.span.name.len()));
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

    /// What is kept for small attributes, the name and the status.
    const fn kept(&self) -> usize {
        self.capacity / 16
    }

    /// The most bytes of a larger item where `room` are free.
    const fn share(&self, room: usize) -> usize {
        room.saturating_sub(self.kept()) / 2
    }

    const fn takes(&self, room: usize, len: usize) -> bool {
        len <= room && (len <= SMALL || len <= self.share(room))
    }

    fn name(&self, name: &str, old: usize) -> String {
        let room = self.room() + old;
        if self.takes(room, field(name.len())) {
            return name.into();
        }
        fitting(name, self.share(room).max(12).min(room))
    }

    fn set_attribute(&mut self, key: &str, value: &ModelValue) {
        if key.is_empty() {
            return;
        }
        let old = self.span.attributes.iter().position(|old| old.key == key);
        let full = self.span.attributes.len() >= usize::from(self.limits.attribute_count);
        let room = self.room() + old.map_or(0, |at| size::attribute(&self.span.attributes[at]));
        let whole = key_value(key, value, self.limits.value);
        let new = if self.takes(room, size::attribute(&whole)) {
            Some(whole)
        } else {
            let share = self.share(room);
            self.cut(share, value.elements(), |limits, elements, _| {
                let first = value.first(elements);
                let new = key_value(key, &first, limits);
                let is_emptied = first.elements() == 0 && value.elements() > 0;
                (size::attribute(&new), (!is_emptied).then_some(new))
            })
            .and_then(|(new, _)| new)
        };
        match (old, new) {
            (Some(old), Some(new)) => self.span.attributes[old] = new,
            (None, Some(new)) if !full => self.span.attributes.push(new),
            _ => self.span.dropped_attributes_count += 1,
        }
    }

    /// The item with the longest texts that takes at most `share` bytes, else with the shortest ones
    /// and the most of `elements`; and how many those are. `make` gives an item and its size.
    fn cut<T>(
        &self,
        share: usize,
        elements: usize,
        make: impl Fn(ValueLimits, usize, usize) -> (usize, T),
    ) -> Option<(T, usize)> {
        let try_one = |length: usize, elements| {
            let limits = ValueLimits {
                length: self.limits.value.length.min(length as u32),
                ..self.limits.value
            };
            let (size, item) = make(limits, elements, length);
            (size <= share).then_some((item, elements))
        };
        let mut lengths = (LEAST_TEXT..=share.max(LEAST_TEXT)).rev();
        lengths
            .find_map(|length| try_one(length, elements))
            .or_else(|| (0..elements).rev().find_map(|n| try_one(LEAST_TEXT, n)))
    }

    fn add_event(&mut self, name: &str, attributes: &Attributes, time: u64) {
        self.push_event(Some(name), attributes, 0, time);
    }

    /// Adds an event; without a name, an exception, whose first attributes are `generated`.
    fn push_event(
        &mut self,
        name: Option<&str>,
        attributes: &Attributes,
        generated: usize,
        time: u64,
    ) {
        if self.span.events.len() >= usize::from(self.limits.event_count) {
            self.span.dropped_events_count += 1;
            return;
        }
        let most = self.limits.attribute_per_event_count;
        let make = |limits, most, length| {
            let (attributes, dropped) = limited(attributes, most, limits);
            let event = Event {
                time_unix_nano: time,
                name: match name {
                    Some(name) => name.chars().take(length).collect(),
                    None => "exception".into(),
                },
                attributes,
                dropped_attributes_count: dropped,
            };
            (size::event(&event), event)
        };
        let (size, whole) = make(self.limits.value, most, usize::MAX);
        let room = self.room();
        let event = if self.takes(room, size) && size + self.kept() <= room {
            Some(whole)
        } else {
            let generated = generated.min(usize::from(most));
            let items = attributes.len().min(usize::from(most)) - generated;
            self.cut(self.share(room), items, |limits, n, length| {
                make(limits, (generated + n) as u16, length)
            })
            .map(|(event, _)| event)
        };
        match event {
            Some(event) => self.span.events.push(event),
            None => self.span.dropped_events_count += 1,
        }
    }

    fn record_error(&mut self, error: &ScriptError, extra: &Attributes, time: u64) {
        let mut all = Attributes::new();
        if let Some(name) = error.type_name() {
            all.push(("exception.type".into(), name.into()));
        }
        let text = error.to_string();
        all.push(("exception.message".into(), text.as_str().into()));
        all.retain(|(key, _)| extra.iter().all(|(other, _)| other != key));
        let generated = all.len();
        all.extend(extra.iter().cloned());
        self.push_event(None, &all, generated, time);
    }

    fn add_link(&mut self, link: &LinkScript) {
        let context = link.context.context();
        if !context.is_valid() && link.attributes.is_empty() && link.trace_state.is_empty() {
            return;
        }
        if self.span.links.len() >= usize::from(self.limits.link_count) {
            self.span.dropped_links_count += 1;
            return;
        }
        let most = self.limits.attribute_per_link_count;
        let make = |limits, most| {
            let (attributes, dropped) = limited(&link.attributes, most, limits);
            let link = Link {
                trace_id: context.trace_id().as_bytes().to_vec(),
                span_id: context.span_id().as_bytes().to_vec(),
                trace_state: if link.trace_state.len() > 512 {
                    String::new()
                } else {
                    link.trace_state.clone()
                },
                attributes,
                dropped_attributes_count: dropped,
                flags: flags(&context, context.is_remote()),
            };
            (size::link(&link), link)
        };
        let (size, whole) = make(self.limits.value, most);
        let room = self.room();
        let new = if self.takes(room, size) && size + self.kept() <= room {
            Some(whole)
        } else {
            let items = link.attributes.len().min(usize::from(most));
            self.cut(self.share(room), items, |limits, n, _| {
                make(limits, n as u16)
            })
            .map(|(link, _)| link)
        };
        match new {
            Some(link) => self.span.links.push(link),
            None => self.span.dropped_links_count += 1,
        }
    }

    /// `Unset < Error < Ok`; `Ok` is final, of two errors the later one counts.
    fn set_status(&mut self, code: i32, description: &str) {
        if self.span.status.as_ref().is_some_and(|old| old.code == 1) {
            return;
        }
        self.span.status = None;
        let room = self.room() + FOR_STATUS;
        let limit = match self.takes(room, field(description.len()) + 8) {
            true => room,
            false => self.share(room),
        };
        self.span.status = Some(Status {
            message: fitting(description, limit.saturating_sub(8)),
            code,
        });
    }
}

/// Unique keys, the last value of each, at most `limit` of them; and how many are left out.
fn limited(attributes: &Attributes, limit: u16, values: ValueLimits) -> (Vec<KeyValue>, u32) {
    let mut kept: Vec<KeyValue> = last_of_each(attributes)
        .into_iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| key_value(key, value, values))
        .collect();
    let dropped = kept.len().saturating_sub(limit.into());
    kept.truncate(limit.into());
    (kept, dropped as u32)
}

impl From<&str> for ModelValue {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

/// The flags of OTLP: those of W3C that are known, that it is known whether the context is remote,
/// and whether it is.
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
