//! The fields of a `tracing` span or event, one by one, as attributes.
//!
//! A panic in a `Debug` is caught here. Otherwise it would unwind through the subscriber's
//! registry, which would then never close the parent of the span that is being made.

use core::cell::Cell;
use core::error::Error;
use core::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

use ::tracing::field::{Field, Visit};

use crate::attribute::Value;
use crate::context::SpanKind;
use crate::hosted::text::Capped;

/// Replaces the rest of a text whose formatting panicked.
const PANICKED: &str = "<panicked>";
/// The most sources of an error that are followed: they may form a circle.
const MAX_SOURCES: usize = 64;
/// The most bytes of text that are kept for the next use.
const KEPT_BYTES: usize = 16 * 1024;

/// Takes fields.
pub(super) trait FieldSink {
    /// Takes a value that is no text.
    fn value(&mut self, key: &'static str, value: Value<'_>);

    /// Takes a text, whose key may have a special meaning.
    fn text(&mut self, key: &'static str, text: &str);

    /// Takes an error, with a line for each of its sources.
    fn error(&mut self, key: &'static str, text: &str, sources: &str);
}

/// The special meaning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Name,
    Kind(SpanKind),
    /// The status but for its description.
    Status(StatusCode),
    Description,
}

/// A status without its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusCode {
    Unset,
    Ok,
    Error,
}

/// The special meaning of a field of a span; `None` if the key has none, or the text is not known.
/// An unknown text stays an attribute, where it can be seen.
#[inline]
pub(super) fn special(key: &str, text: &str) -> Option<Special> {
    let rest = key.strip_prefix("otel.")?;
    Some(match rest {
        "name" => Special::Name,
        "kind" => Special::Kind(one_of(text, &KINDS)?),
        "status_code" => Special::Status(one_of(text, &CODES)?),
        "status_description" | "status_message" => Special::Description,
        _ => return None,
    })
}

const KINDS: [(&str, SpanKind); 5] = [
    ("internal", SpanKind::Internal),
    ("server", SpanKind::Server),
    ("client", SpanKind::Client),
    ("producer", SpanKind::Producer),
    ("consumer", SpanKind::Consumer),
];

const CODES: [(&str, StatusCode); 3] = [
    ("unset", StatusCode::Unset),
    ("ok", StatusCode::Ok),
    ("error", StatusCode::Error),
];

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    let mut words = words.iter();
    let found = words.find(|(word, _)| text.eq_ignore_ascii_case(word))?;
    Some(found.1)
}

std::thread_local! {
    /// Memory for texts. While it is in use, a nested use finds none and makes its own.
    static SPARE: Cell<String> = const { Cell::new(String::new()) };
}

/// Hands fields to a sink.
pub(super) struct Visitor<'a, S> {
    pub(super) sink: &'a mut S,
    /// The most bytes that can be stored; longer texts are not formatted to their end.
    pub(super) max_len: usize,
}

impl<S: FieldSink> Visitor<'_, S> {
    /// Runs code of the program.
    #[inline(never)]
    fn formatted(&mut self, value: fmt::Arguments<'_>, take: impl FnOnce(&mut S, &str)) {
        let mut text = SPARE.try_with(Cell::take).unwrap_or_default();
        text.clear();
        self.format(&mut text, value);
        take(self.sink, &text);
        text.shrink_to(KEPT_BYTES);
        // While the thread ends there is no place for it.
        let _ = SPARE.try_with(|spare| spare.set(text));
    }

    fn format(&self, text: &mut String, value: fmt::Arguments<'_>) {
        let mut capped = Capped::new(text, self.max_len);
        // A text ends where it fails to format or gets too long.
        let written = catch_unwind(AssertUnwindSafe(|| capped.write_fmt(value)));
        if written.is_err() {
            text.push_str(PANICKED);
        }
    }
}

impl<S: FieldSink> Visit for Visitor<'_, S> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.sink.value(field.name(), Value::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.sink.value(field.name(), Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.sink.value(field.name(), Value::U64(value));
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
        self.sink.value(field.name(), Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.sink.text(field.name(), value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.sink.value(field.name(), Value::Bytes(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut sources = String::new();
        let mut source = value.source();
        for _ in 0..MAX_SOURCES {
            let Some(error) = source else { break };
            let line = if sources.is_empty() { "" } else { "\n" };
            self.format(&mut sources, format_args!("{line}caused by: {error}"));
            source = error.source();
            if sources.len() > self.max_len {
                break;
            }
        }
        self.formatted(format_args!("{value}"), |sink, text| {
            sink.error(field.name(), text, &sources);
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.formatted(format_args!("{value:?}"), |sink, text| {
            sink.text(field.name(), text);
        });
    }
}
