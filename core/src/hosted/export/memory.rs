//! Finished spans in memory, as owned values.

use core::fmt;
use core::time::Duration;
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec::Vec;

use super::{ExportError, SpanBatch, SpanExporter};
use crate::context::{SpanContext, SpanKind};
use crate::id::SpanId;
use crate::span::Status;
use crate::span::finished::{AnyValue, Attribute, FinishedSpan};
use crate::time::UnixNanos;

/// Keeps finished spans, for tests. Clones share the list.
///
/// ```
/// use spandrel_core::hosted::config::Config;
/// use spandrel_core::hosted::export::InMemoryExporter;
///
/// let exporter = InMemoryExporter::new();
/// let config = Config {
///     exporter: Some(exporter.clone().into()),
///     ..Config::development("shop")
/// };
/// // .. init(config), record, flush ..
/// assert!(exporter.finished_spans().is_empty());
/// # drop(config);
/// ```
#[derive(Clone, Debug, Default)]
pub struct InMemoryExporter {
    spans: Arc<Mutex<Vec<SpanData>>>,
}

impl InMemoryExporter {
    /// An exporter with an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The spans so far, in the order in which they came.
    #[must_use]
    pub fn finished_spans(&self) -> Vec<SpanData> {
        self.lock().clone()
    }

    /// Empties the list.
    pub fn reset(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanExporter for InMemoryExporter {
    fn name(&self) -> &str {
        "memory"
    }

    fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError> {
        let mut spans = self.lock();
        spans.extend(batch.spans().map(|span| SpanData::from(&span)));
        Ok(())
    }
}

/// A finished span, owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanData {
    /// Ids and flags.
    pub context: SpanContext,
    /// The parent's id; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// The parent came from another process.
    pub is_parent_remote: bool,
    /// The W3C tracestate, as header text.
    pub trace_state: String,
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: SpanKind,
    /// The start.
    pub start_time: SystemTime,
    /// The end.
    pub end_time: SystemTime,
    /// The attributes, in the order in which they were set first.
    pub attributes: Vec<(String, AttributeValue)>,
    /// The events, in the order in which they were added.
    pub events: Vec<SpanEvent>,
    /// The links, in the order in which they were added.
    pub links: Vec<SpanLink>,
    /// Attributes that were left out for a limit.
    pub dropped_attributes: u32,
    /// Events that were left out for a limit.
    pub dropped_events: u32,
    /// Links that were left out for a limit.
    pub dropped_links: u32,
    /// `None` if it was not set; `Some(Ok(()))` for ok; else the error's description.
    pub status: Option<Result<(), String>>,
    /// The name of the scope.
    pub scope_name: String,
    /// The version of the scope.
    pub scope_version: String,
    /// The attributes of the resource.
    pub resource: Vec<(String, AttributeValue)>,
}

impl SpanData {
    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&AttributeValue> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    /// The time from start to end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.end_time
            .duration_since(self.start_time)
            .unwrap_or_default()
    }
}

impl From<&FinishedSpan<'_>> for SpanData {
    fn from(span: &FinishedSpan<'_>) -> Self {
        let scope = span.scope();
        Self {
            context: span.context(),
            parent_span_id: span.parent_span_id(),
            is_parent_remote: span.is_parent_remote(),
            trace_state: span.trace_state().into(),
            name: span.name().into(),
            kind: span.kind(),
            start_time: time(span.start_time()),
            end_time: time(span.end_time()),
            attributes: owned(span.attributes()),
            events: span
                .events()
                .map(|event| SpanEvent {
                    name: event.name().into(),
                    time: time(event.time()),
                    attributes: owned(event.attributes()),
                })
                .collect(),
            links: span
                .links()
                .map(|link| SpanLink {
                    context: link.context(),
                    trace_state: link.trace_state().into(),
                    attributes: owned(link.attributes()),
                })
                .collect(),
            dropped_attributes: span.dropped_attributes(),
            dropped_events: span.dropped_events(),
            dropped_links: span.dropped_links(),
            status: match span.status() {
                Status::Unset => None,
                Status::Ok => Some(Ok(())),
                Status::Error { description, .. } => Some(Err(description.into())),
            },
            scope_name: scope.map(|scope| scope.name().into()).unwrap_or_default(),
            scope_version: scope
                .map(|scope| scope.version().into())
                .unwrap_or_default(),
            resource: span
                .resource()
                .map(|resource| owned(resource.attributes()))
                .unwrap_or_default(),
        }
    }
}

/// An event of a [`SpanData`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// The name.
    pub name: String,
    /// When it happened.
    pub time: SystemTime,
    /// The attributes.
    pub attributes: Vec<(String, AttributeValue)>,
}

/// A link of a [`SpanData`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanLink {
    /// The linked span.
    pub context: SpanContext,
    /// Its tracestate.
    pub trace_state: String,
    /// The attributes.
    pub attributes: Vec<(String, AttributeValue)>,
}

/// The value of an attribute, owned. `PartialEq` with `&str`, `i64`, `f64` and `bool` keeps
/// assertions short.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum AttributeValue {
    /// A value that is empty.
    Empty,
    /// Text.
    String(String),
    /// A truth value.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// A floating-point number.
    F64(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values one after the other.
    Array(Vec<AttributeValue>),
    /// Values by key.
    Map(Vec<(String, AttributeValue)>),
}

impl From<AnyValue<'_>> for AttributeValue {
    fn from(value: AnyValue<'_>) -> Self {
        match value {
            AnyValue::Empty => Self::Empty,
            AnyValue::String(text) => Self::String(text.into()),
            AnyValue::Bool(truth) => Self::Bool(truth),
            AnyValue::I64(number) => Self::I64(number),
            AnyValue::F64(number) => Self::F64(number),
            AnyValue::Bytes(bytes) => Self::Bytes(bytes.into()),
            AnyValue::Array(values) => Self::Array(values.map(Self::from).collect()),
            AnyValue::Map(attributes) => Self::Map(owned(attributes)),
        }
    }
}

/// The value as a person would write it.
impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::String(text) => text.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::I64(number) => number.fmt(f),
            Self::F64(number) => number.fmt(f),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Array(values) => values.fmt(f),
            Self::Map(attributes) => f
                .debug_map()
                .entries(attributes.iter().map(|(key, value)| (key, value)))
                .finish(),
        }
    }
}

macro_rules! equals {
    ($($type:ty => |$other:ident| $pattern:pat => $test:expr;)*) => {$(
        impl PartialEq<$type> for AttributeValue {
            fn eq(&self, $other: &$type) -> bool {
                match self {
                    $pattern => $test,
                    _ => false,
                }
            }
        }
    )*};
}

equals! {
    str => |other| Self::String(text) => text == other;
    &str => |other| Self::String(text) => text == other;
    i32 => |other| Self::I64(number) => *number == i64::from(*other);
    i64 => |other| Self::I64(number) => number == other;
    f64 => |other| Self::F64(number) => number == other;
    bool => |other| Self::Bool(truth) => truth == other;
}

fn owned<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> Vec<(String, AttributeValue)> {
    attributes
        .map(|attribute| (attribute.key.into(), attribute.value.into()))
        .collect()
}

fn time(at: Option<UnixNanos>) -> SystemTime {
    let nanos = at.map_or(0, UnixNanos::as_nanos);
    UNIX_EPOCH + Duration::from_nanos(nanos)
}
