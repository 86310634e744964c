//! Fields copied out, to be applied under a lock.
//!
//! Formatting a field runs code of the program, which may itself use `tracing`, so it cannot be
//! done while a span of the table is locked. The copies lie in memory of the thread. While that is
//! in use, a nested use finds none and makes its own.

use core::cell::Cell;
use core::ops::Range;
use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use super::visit::{FieldSink, Special, Visitor, special};
use crate::attribute::{KeyValue, Value};
use crate::context::SpanKind;

/// The most attributes that are handed on without an allocation.
const INLINE: usize = 32;
/// The most bytes that are kept for the next use.
const KEPT_BYTES: usize = 16 * 1024;

/// The value of a field; text and bytes lie in the memory beside it.
enum Kept {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(Range<usize>),
    Bytes(Range<usize>),
    /// The text of an error, and the texts of its sources.
    Error(Range<usize>, Range<usize>),
}

/// The owner of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Span,
    /// `message` is no attribute.
    Event,
    /// An event that came from the `log` crate: neither is `log.*`.
    LogEvent,
}

/// The fields of one span or event.
pub(super) struct StoredFields {
    text: String,
    bytes: Vec<u8>,
    items: Vec<(&'static str, Kept)>,
    owner: Owner,
    message: Option<Range<usize>>,
    target: Option<Range<usize>>,
    max_len: usize,
}

std::thread_local! {
    static SPARE: Cell<Option<Box<StoredFields>>> = const { Cell::new(None) };
}

impl StoredFields {
    /// Lets `record` write the fields, then `apply` use them.
    pub(super) fn collect<T>(
        max_len: usize,
        owner: Owner,
        record: impl FnOnce(&mut Visitor<'_, Self>),
        apply: impl FnOnce(&Self) -> T,
    ) -> T {
        let fields = Self::collected(max_len, owner, record);
        let done = apply(&fields);
        fields.give_back();
        done
    }

    /// Lets `record` write the fields.
    pub(super) fn collected(
        max_len: usize,
        owner: Owner,
        record: impl FnOnce(&mut Visitor<'_, Self>),
    ) -> Box<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut fields = spare.unwrap_or_else(|| Box::new(Self::new()));
        fields.owner = owner;
        fields.max_len = max_len;
        record(&mut Visitor {
            sink: &mut *fields,
            max_len,
        });
        fields
    }

    /// Keeps the memory for the next use.
    pub(super) fn give_back(mut self: Box<Self>) {
        self.clear();
        // While the thread ends there is no place for it.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    const fn new() -> Self {
        Self {
            text: String::new(),
            bytes: Vec::new(),
            items: Vec::new(),
            owner: Owner::Span,
            message: None,
            target: None,
            max_len: 0,
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.items.clear();
        (self.message, self.target) = (None, None);
    }

    /// The message of an event.
    pub(super) fn message(&self) -> Option<&str> {
        self.message.clone().map(|range| self.str(range))
    }

    /// The value of the field `log.target`.
    pub(super) fn target(&self) -> Option<&str> {
        self.target.clone().map(|range| self.str(range))
    }

    /// The value of the field `otel.name`.
    pub(super) fn name(&self) -> Option<&str> {
        let mut texts = self.texts();
        let name = texts.find(|(key, text)| special(key, text) == Some(Special::Name));
        name.map(|(_, text)| text)
    }

    /// The value of the field `otel.kind`.
    pub(super) fn kind(&self) -> Option<SpanKind> {
        self.texts()
            .find_map(|(key, text)| match special(key, text)? {
                Special::Kind(kind) => Some(kind),
                _ => None,
            })
    }

    /// The text of the field `error`, whatever its type.
    pub(super) fn error_text(&self) -> Option<&str> {
        let mut texts = self.texts();
        texts.find(|(key, _)| *key == "error").map(|(_, text)| text)
    }

    /// The text of the field `error`, if there is no other field and no message: what
    /// `#[instrument(err)]` makes of a returned error.
    pub(super) fn lone_error(&self) -> Option<&str> {
        match (self.items.len(), &self.message) {
            (1, None) => self.error_text(),
            _ => None,
        }
    }

    /// The text of the first error, and the texts of its sources.
    pub(super) fn error(&self) -> Option<(&str, &str)> {
        self.items.iter().find_map(|(_, kept)| match kept {
            Kept::Error(text, sources) => Some((self.str(text.clone()), self.str(sources.clone()))),
            _ => None,
        })
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.items.iter().filter_map(|(key, kept)| match kept {
            Kept::Text(range) | Kept::Error(range, _) => Some((*key, self.str(range.clone()))),
            _ => None,
        })
    }

    /// Hands the fields to another sink.
    pub(super) fn replay(&self, sink: &mut impl FieldSink) {
        for (key, kept) in &self.items {
            match kept {
                Kept::Text(range) => sink.text(key, self.str(range.clone())),
                Kept::Error(text, sources) => {
                    sink.error(key, self.str(text.clone()), self.str(sources.clone()));
                }
                kept => sink.value(key, self.value(kept)),
            }
        }
    }

    /// Hands the fields that are attributes to `take`, behind `first`.
    pub(super) fn with_attributes<'a, T>(
        &'a self,
        first: &[KeyValue<'a>],
        take: impl FnOnce(&[KeyValue<'_>]) -> T,
    ) -> T {
        let attributes = first.iter().copied().chain(self.attributes());
        if first.len() + self.items.len() <= INLINE {
            let mut inline = heapless::Vec::<_, INLINE>::new();
            for attribute in attributes {
                // There is room for all, as was just found.
                let _ = inline.push(attribute);
            }
            take(&inline)
        } else {
            take(&attributes.collect::<Vec<_>>())
        }
    }

    fn attributes(&self) -> impl Iterator<Item = KeyValue<'_>> {
        self.items.iter().filter_map(|(key, kept)| {
            let value = self.value(kept);
            match (self.owner, value) {
                (Owner::Span, Value::String(text)) if special(key, text).is_some() => None,
                _ => Some(KeyValue { key, value }),
            }
        })
    }

    fn value(&self, kept: &Kept) -> Value<'_> {
        match kept {
            Kept::Bool(value) => Value::Bool(*value),
            Kept::I64(value) => Value::I64(*value),
            Kept::U64(value) => Value::U64(*value),
            Kept::F64(value) => Value::F64(*value),
            Kept::Text(range) | Kept::Error(range, _) => Value::String(self.str(range.clone())),
            Kept::Bytes(range) => Value::Bytes(self.bytes.get(range.clone()).unwrap_or_default()),
        }
    }

    fn str(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// Copies a text; of one that cannot be stored anyway no more than shows that.
    fn keep(&mut self, text: &str) -> Range<usize> {
        let mut end = text.len().min(self.max_len.saturating_add(1));
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let start = self.text.len();
        self.text.push_str(text.get(..end).unwrap_or_default());
        start..self.text.len()
    }
}

impl FieldSink for StoredFields {
    fn value(&mut self, key: &'static str, value: Value<'_>) {
        if self.owner == Owner::LogEvent && key.starts_with("log.") {
            return;
        }
        let kept = match value {
            Value::Bool(value) => Kept::Bool(value),
            Value::I64(value) => Kept::I64(value),
            Value::U64(value) => Kept::U64(value),
            Value::F64(value) => Kept::F64(value),
            Value::Bytes(bytes) => {
                let len = bytes.len().min(self.max_len.saturating_add(1));
                let start = self.bytes.len();
                self.bytes
                    .extend_from_slice(bytes.get(..len).unwrap_or_default());
                Kept::Bytes(start..start + len)
            }
            // No field has a value of another kind.
            _ => return,
        };
        self.items.push((key, kept));
    }

    fn text(&mut self, key: &'static str, text: &str) {
        let kept = self.keep(text);
        match (self.owner, key) {
            (Owner::Event | Owner::LogEvent, "message") => self.message = Some(kept),
            (Owner::LogEvent, "log.target") => self.target = Some(kept),
            (Owner::LogEvent, key) if key.starts_with("log.") => {}
            _ => self.items.push((key, Kept::Text(kept))),
        }
    }

    fn error(&mut self, key: &'static str, text: &str, sources: &str) {
        let (text, sources) = (self.keep(text), self.keep(sources));
        self.items.push((key, Kept::Error(text, sources)));
    }
}
