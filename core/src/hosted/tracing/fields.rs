//! The fields of a `tracing` span or event, copied out before any lock is taken.
//!
//! Formatting a field runs code of the program, which may itself use `tracing`. So fields are
//! first written into memory of the thread's own, and what comes of them is applied afterwards.
//! While that memory is in use it is out of its place, and a nested use finds none and makes its
//! own.
//!
//! A panic in a `Debug` ends here. Passed on, it would go through the subscriber's registry, which
//! then never closes the parent of the span that is being made.

use core::cell::Cell;
use core::error::Error;
use core::fmt::{self, Write as _};
use core::ops::Range;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;

use ::tracing::field::{Field, Visit};

use crate::attribute::{KeyValue, Value};
use crate::context::SpanKind;

/// Attributes that are handed on without an allocation.
const INLINE: usize = 32;
/// Bytes of text that are kept for the next use.
const KEPT_BYTES: usize = 16 * 1024;

/// Stands for the rest of a text whose formatting panicked.
const PANICKED: &str = "<panicked>";

/// What a status says, before its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusCode {
    Unset,
    Ok,
    Error,
}

/// A field's value; texts and bytes lie in the memory beside it.
enum Kept {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Static(&'static str),
    Text(Range<usize>),
    Bytes(Range<usize>),
    /// Its text, and the texts of its sources.
    Error(Range<usize>, Range<usize>),
}

/// Which names mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// `otel.*`.
    Span,
    /// `message`.
    Event,
    /// An event that came from the `log` crate: also `log.*`.
    LogEvent,
}

/// The fields of one span or event.
pub(super) struct Fields {
    text: String,
    bytes: Vec<u8>,
    items: Vec<(&'static str, Kept)>,
    name: Option<Range<usize>>,
    target: Option<Range<usize>>,
    description: Option<Range<usize>>,
    pub(super) kind: Option<SpanKind>,
    pub(super) code: Option<StatusCode>,
    /// Nothing longer can be stored, so longer texts are not formatted to their end.
    max_len: usize,
}

std::thread_local! {
    static SPARE: Cell<Option<Box<Fields>>> = const { Cell::new(None) };
}

impl Fields {
    /// Has `record` write fields, then `apply` use them.
    pub(super) fn collect<T>(
        max_len: usize,
        owner: Owner,
        record: impl FnOnce(&mut Visitor<'_>),
        apply: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut fields = spare.unwrap_or_else(|| Box::new(Self::new()));
        fields.max_len = max_len;
        let fields_mut = &mut *fields;
        record(&mut Visitor {
            fields: fields_mut,
            owner,
        });
        let done = apply(&mut fields);
        fields.clear();
        // A nested use may have left some; while the thread ends there is no place for it.
        let _ = SPARE.try_with(|spare| spare.set(Some(fields)));
        done
    }

    const fn new() -> Self {
        Self {
            text: String::new(),
            bytes: Vec::new(),
            items: Vec::new(),
            name: None,
            target: None,
            description: None,
            kind: None,
            code: None,
            max_len: 0,
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.items.clear();
        (self.name, self.target, self.description) = (None, None, None);
        (self.kind, self.code) = (None, None);
    }

    /// Adds an attribute that is no field.
    pub(super) fn push_static(&mut self, key: &'static str, value: &'static str) {
        self.items.push((key, Kept::Static(value)));
    }

    pub(super) fn push_u64(&mut self, key: &'static str, value: u64) {
        self.items.push((key, Kept::U64(value)));
    }

    pub(super) fn push_text(&mut self, key: &'static str, value: &str) {
        let kept = self.keep(value);
        self.items.push((key, Kept::Text(kept)));
    }

    /// What `otel.name` or `message` said.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.clone().map(|range| self.str(range))
    }

    /// What `log.target` said.
    pub(super) fn target(&self) -> Option<&str> {
        self.target.clone().map(|range| self.str(range))
    }

    /// What `otel.status_description` said.
    pub(super) fn description(&self) -> Option<&str> {
        self.description.clone().map(|range| self.str(range))
    }

    /// The text of the field `error`, whatever its type.
    pub(super) fn error_text(&self) -> Option<&str> {
        let (_, kept) = self.items.iter().find(|(key, _)| *key == "error")?;
        match kept {
            Kept::Text(range) | Kept::Error(range, _) => Some(self.str(range.clone())),
            Kept::Static(text) => Some(text),
            _ => None,
        }
    }

    /// The first error's text and that of its sources, if a field is one.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().filter_map(|(_, kept)| match kept {
            Kept::Error(text, sources) => Some((self.str(text.clone()), self.str(sources.clone()))),
            _ => None,
        })
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
        self.items.iter().map(|(key, kept)| KeyValue {
            key,
            value: match kept {
                Kept::Bool(value) => Value::Bool(*value),
                Kept::I64(value) => Value::I64(*value),
                Kept::U64(value) => Value::U64(*value),
                Kept::F64(value) => Value::F64(*value),
                Kept::Static(value) => Value::String(value),
                Kept::Text(range) | Kept::Error(range, _) => Value::String(self.str(range.clone())),
                Kept::Bytes(range) => {
                    Value::Bytes(self.bytes.get(range.clone()).unwrap_or_default())
                }
            },
        })
    }

    fn str(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    fn keep(&mut self, value: &str) -> Range<usize> {
        let start = self.text.len();
        let mut text = Capped::new(self);
        let _ = text.write_str(value);
        start..self.text.len()
    }

    fn keep_formatted(&mut self, value: fmt::Arguments<'_>) -> Range<usize> {
        let start = self.text.len();
        // A text that fails to format, or is too long, ends there.
        let written = catch_unwind(AssertUnwindSafe(|| Capped::new(self).write_fmt(value)));
        if written.is_err() {
            self.text.push_str(PANICKED);
        }
        start..self.text.len()
    }
}

/// Takes text in until it is longer than anything that can be stored.
struct Capped<'a> {
    text: &'a mut String,
    left: usize,
}

impl<'a> Capped<'a> {
    fn new(fields: &'a mut Fields) -> Self {
        Self {
            left: fields.max_len.saturating_add(1),
            text: &mut fields.text,
        }
    }
}

impl fmt::Write for Capped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left {
            self.left -= text.len();
            self.text.push_str(text);
            return Ok(());
        }
        let mut end = self.left;
        while !text.is_char_boundary(end) {
            end += 1;
        }
        self.left = 0;
        self.text.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

/// Writes fields down.
pub(super) struct Visitor<'a> {
    fields: &'a mut Fields,
    owner: Owner,
}

impl Visitor<'_> {
    #[inline]
    fn push(&mut self, field: &Field, kept: Kept) {
        let key = field.name();
        if self.owner == Owner::LogEvent && key.starts_with("log.") {
            return;
        }
        self.fields.items.push((key, kept));
    }

    /// A text that was kept: an attribute, unless its name means more.
    #[inline]
    fn push_text(&mut self, field: &Field, text: Range<usize>) {
        let special = match (self.owner, field.name()) {
            (Owner::Span, key) => match key.strip_prefix("otel.") {
                Some(key) => self.set(key, &text),
                None => false,
            },
            (_, "message") => {
                self.fields.name = Some(text.clone());
                true
            }
            (Owner::LogEvent, "log.target") => {
                self.fields.target = Some(text.clone());
                true
            }
            _ => false,
        };
        if !special {
            self.push(field, Kept::Text(text));
        }
    }

    /// Sets what `otel.{key}` means; `false` when there is no such thing, or `text` says nothing
    /// that is known: then it stays an attribute, where it can be seen.
    fn set(&mut self, key: &str, text: &Range<usize>) -> bool {
        let said = self.fields.str(text.clone());
        match key {
            "name" => self.fields.name = Some(text.clone()),
            "kind" => match kind(said) {
                Some(kind) => self.fields.kind = Some(kind),
                None => return false,
            },
            "status_code" => match status_code(said) {
                Some(code) => self.fields.code = Some(code),
                None => return false,
            },
            "status_description" | "status_message" => {
                self.fields.description = Some(text.clone());
            }
            _ => return false,
        }
        true
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Kept::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Kept::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Kept::U64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Kept::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let kept = self.fields.keep(value);
        self.push_text(field, kept);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let start = self.fields.bytes.len();
        let len = value.len().min(self.fields.max_len.saturating_add(1));
        self.fields
            .bytes
            .extend_from_slice(value.get(..len).unwrap_or_default());
        self.push(field, Kept::Bytes(start..start + len));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let text = self.fields.keep_formatted(format_args!("{value}"));
        let start = self.fields.text.len();
        let mut source = value.source();
        // Bounded, for a source may be a circle.
        for _ in 0..64 {
            let Some(error) = source else { break };
            let line = match self.fields.text.len() == start {
                true => "",
                false => "\n",
            };
            self.fields
                .keep_formatted(format_args!("{line}caused by: {error}"));
            source = error.source();
        }
        let end = self.fields.text.len();
        self.push(field, Kept::Error(text, start..end));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let kept = self.fields.keep_formatted(format_args!("{value:?}"));
        self.push_text(field, kept);
    }
}

fn kind(text: &str) -> Option<SpanKind> {
    [
        ("internal", SpanKind::Internal),
        ("server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ]
    .into_iter()
    .find_map(|(name, kind)| text.eq_ignore_ascii_case(name).then_some(kind))
}

fn status_code(text: &str) -> Option<StatusCode> {
    [
        ("unset", StatusCode::Unset),
        ("ok", StatusCode::Ok),
        ("error", StatusCode::Error),
    ]
    .into_iter()
    .find_map(|(name, code)| text.eq_ignore_ascii_case(name).then_some(code))
}
