//! The view of a span that has ended: [`FinishedSpan`].
//!
//! A finished span is bytes: the body of an OTLP `Span`, as it is sent. The view reads a field when
//! it is asked for, out of these bytes, and copies nothing. Iterators give attributes, events and
//! links in the order in which they were recorded.
//!
//! ```
//! use spandrel_core::buffer::Buffer;
//! use spandrel_core::span::finished::FinishedSpan;
//! use spandrel_core::time::Instant;
//! use spandrel_core::tracer::{BareTracer, SpanBuilder};
//! # use spandrel_core::{id::RandomIdGenerator, sampler::AlwaysOn};
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! # let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! # let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let mut buffer = Buffer::new([0_u8; 1024]);
//! let mut span = tracer.start::<256>(SpanBuilder::new("read"), Instant::from_millis(5));
//! span.set_attribute("sensor", "t0");
//! span.add_event("settled", &[], Instant::from_millis(6));
//! span.end(Instant::from_millis(7), &mut buffer)?;
//!
//! let record = buffer.front().expect("it was pushed");
//! let span = FinishedSpan::new(&record).expect("it is a span");
//! assert_eq!(span.name(), "read");
//! assert_eq!(span.attribute("sensor").and_then(|value| value.as_str()), Some("t0"));
//! assert_eq!(span.events().map(|event| event.name()).next(), Some("settled"));
//! assert_eq!(span.duration().as_millis(), 2);
//! # Ok::<(), spandrel_core::buffer::PushError>(())
//! ```
//!
//! Bytes that no encoder of this crate wrote do no harm: what cannot be read is missing, and a text
//! ends where it is no UTF-8.

mod items;
mod origin;
mod request;
mod value;

pub use items::{FinishedEvent, FinishedEvents, FinishedLink, FinishedLinks};
pub use origin::{FinishedResource, FinishedScope};
pub use request::RequestSpans;
pub use value::{AnyValue, Attribute, Attributes, Values};

use core::fmt;
use core::time::Duration;

use super::Status;
use super::stored::StoredSpan;
use crate::buffer::{Record, RecordFlags};
use crate::context::{SpanContext, SpanKind, TraceFlags};
use crate::id::{SpanId, TraceId};
use crate::resource::{Registry, ScopeId};
use crate::time::{Instant, UnixNanos, WallClock};
use crate::wire::{FieldValue, Fields};

/// A span that has ended, read in place; see the [module](self).
#[derive(Clone, Copy)]
pub struct FinishedSpan<'a> {
    frame: StoredSpan<'a>,
    flags: RecordFlags,
    scope_id: ScopeId,
    origin: Option<(FinishedScope<'a>, FinishedResource<'a>)>,
    clock: Option<WallClock>,
}

impl<'a> FinishedSpan<'a> {
    /// The view of `record`; `None` if its body does not begin like a stored span.
    #[must_use]
    pub fn new(record: &Record<'a>) -> Option<Self> {
        Some(Self {
            frame: StoredSpan::new(record.body)?,
            flags: record.flags,
            scope_id: record.scope,
            origin: None,
            clock: None,
        })
    }

    /// Makes scope and resource known. `registry` must be the one that the record's scope is from.
    #[must_use]
    pub fn with_registry<S>(mut self, registry: &'a Registry<S>) -> Self
    where
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let entries = registry.view();
        self.origin = Some((
            FinishedScope(entries.scope(self.scope_id)),
            FinishedResource(entries.resource()),
        ));
        self
    }

    /// Makes the date known, for a record whose times are not wall-clock times yet.
    #[must_use]
    pub const fn with_clock(mut self, clock: WallClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Returns the trace that the span belongs to.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.frame.trace_id()
    }

    /// Returns the span's own id.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.frame.span_id()
    }

    /// Returns the ids and flags of the span, for links and for spans under it.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        SpanContext::new(self.trace_id(), self.span_id(), self.trace_flags())
    }

    /// Returns the W3C flags of the span.
    #[must_use]
    pub fn trace_flags(&self) -> TraceFlags {
        let [flags, ..] = self.frame.flags().to_le_bytes();
        TraceFlags::from_bits(flags)
    }

    /// Returns true if the span is exported; false for one that is recorded only.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.trace_flags().is_sampled()
    }

    /// Returns the id of the parent; `None` for the root of a trace.
    #[must_use]
    pub fn parent_span_id(&self) -> Option<SpanId> {
        let id = SpanId::from_bytes(self.bytes(4)?.try_into().ok()?);
        id.is_valid().then_some(id)
    }

    /// Returns the parent in its trace; `None` for a root. Its flags are not recorded: they are the
    /// span's own here.
    #[must_use]
    pub fn parent(&self) -> Option<SpanContext> {
        let id = self.parent_span_id()?;
        let (trace_id, flags) = (self.trace_id(), self.trace_flags());
        Some(match self.is_parent_remote() {
            true => SpanContext::remote(trace_id, id, flags),
            false => SpanContext::new(trace_id, id, flags),
        })
    }

    /// Returns true if the parent is known to be of another process.
    #[must_use]
    pub fn is_parent_remote(&self) -> bool {
        is_remote(self.frame.flags())
    }

    /// Returns true if the span has no parent in its process: it is the root of its trace, or its
    /// parent is remote.
    #[must_use]
    pub fn is_local_root(&self) -> bool {
        self.is_parent_remote() || self.parent_span_id().is_none()
    }

    /// Returns the W3C tracestate as header text; empty if there is none.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        self.text(3)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.text(5)
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        match self.frame.kind() {
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Internal,
        }
    }

    /// Returns the start, in nanoseconds of the clock that the record is in: the wall clock if it
    /// [`is_dated`](Self::is_dated), else the monotonic clock of the program.
    #[must_use]
    pub fn start_nanos(&self) -> u64 {
        self.frame.start_nanos()
    }

    /// Returns the end, as [`start_nanos`](Self::start_nanos) does. It is never before the start.
    #[must_use]
    pub fn end_nanos(&self) -> u64 {
        self.frame.end_nanos()
    }

    /// Returns true if the times in the record are wall-clock times.
    #[must_use]
    pub const fn is_dated(&self) -> bool {
        self.flags.contains(RecordFlags::DATED)
    }

    /// Returns the start as a date; `None` while the date is not known.
    #[must_use]
    pub fn start_time(&self) -> Option<UnixNanos> {
        self.dating().date(self.start_nanos())
    }

    /// Returns the end as a date; `None` while the date is not known.
    #[must_use]
    pub fn end_time(&self) -> Option<UnixNanos> {
        self.dating().date(self.end_nanos())
    }

    /// Returns the time from the start to the end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_nanos().saturating_sub(self.start_nanos()))
    }

    /// Returns the attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.frame.rest(), 9)
    }

    /// Returns the value of the attribute `key`.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<AnyValue<'a>> {
        self.attributes().value(key)
    }

    /// Returns the events.
    #[must_use]
    pub const fn events(&self) -> FinishedEvents<'a> {
        FinishedEvents::new(self.frame.rest(), self.dating())
    }

    /// Returns the links.
    #[must_use]
    pub const fn links(&self) -> FinishedLinks<'a> {
        FinishedLinks::new(self.frame.rest())
    }

    /// Returns the number of attributes that were left out, for a limit or for lack of memory.
    #[must_use]
    pub fn dropped_attributes(&self) -> u32 {
        self.count(10)
    }

    /// Returns the number of events that were left out.
    #[must_use]
    pub fn dropped_events(&self) -> u32 {
        self.count(12)
    }

    /// Returns the number of links that were left out.
    #[must_use]
    pub fn dropped_links(&self) -> u32 {
        self.count(14)
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> Status<'a> {
        let status = self.bytes(15).unwrap_or_default();
        match number(status, 3) {
            1 => Status::Ok,
            2 => Status::error(text(find(status, 2))),
            _ => Status::Unset,
        }
    }

    /// Returns true if the status is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.status(), Status::Error { .. })
    }

    /// Returns the scope of the tracer that started the span; `None` if it is not
    /// [known](Self::with_registry).
    #[must_use]
    pub fn scope(&self) -> Option<FinishedScope<'a>> {
        self.origin.map(|(scope, _)| scope)
    }

    /// Returns the resource that the span is of; `None` if it is not
    /// [known](Self::with_registry).
    #[must_use]
    pub fn resource(&self) -> Option<FinishedResource<'a>> {
        self.origin.map(|(_, resource)| resource)
    }

    const fn dating(&self) -> Dating {
        Dating {
            is_dated: self.is_dated(),
            clock: self.clock,
        }
    }

    fn bytes(&self, field: u32) -> Option<&'a [u8]> {
        find(self.frame.rest(), field)
    }

    fn text(&self, field: u32) -> &'a str {
        text(self.bytes(field))
    }

    fn count(&self, field: u32) -> u32 {
        u32::try_from(number(self.frame.rest(), field)).unwrap_or(u32::MAX)
    }
}

/// All that a line of a log may want; attributes, events and links as counts.
impl fmt::Debug for FinishedSpan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedSpan")
            .field("trace_id", &self.trace_id())
            .field("span_id", &self.span_id())
            .field("parent_span_id", &self.parent_span_id())
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("duration", &self.duration())
            .field("attributes", &self.attributes().count())
            .field("events", &self.events().count())
            .field("links", &self.links().count())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for FinishedSpan<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "FinishedSpan {{ trace_id: {}, span_id: {}, name: {=str:?} }}",
            self.trace_id(),
            self.span_id(),
            self.name()
        );
    }
}

/// How the times of a record become dates.
#[derive(Clone, Copy, Debug)]
struct Dating {
    is_dated: bool,
    clock: Option<WallClock>,
}

impl Dating {
    fn date(self, nanos: u64) -> Option<UnixNanos> {
        match self.is_dated {
            true => Some(UnixNanos::from_nanos(nanos)),
            false => Some(self.clock?.to_unix(Instant::from_nanos(nanos))),
        }
    }
}

/// OTLP's flag bits 8 and 9: "is remote" is known, and its value.
const fn is_remote(flags: u32) -> bool {
    flags & 0x300 == 0x300
}

/// The fields of a message up to the first that cannot be read.
fn fields(message: &[u8]) -> impl Iterator<Item = (u32, FieldValue<'_>)> {
    Fields::new(message).map_while(Result::ok)
}

/// Takes the content of the next field `wanted` with a length off `rest`.
fn next_message<'a>(rest: &mut &'a [u8], wanted: u32) -> Option<&'a [u8]> {
    let mut fields = Fields::new(rest);
    let found = fields.find_map(|field| match field {
        Ok((number, FieldValue::Bytes(bytes))) if number == wanted => Some(bytes),
        _ => None,
    });
    *rest = fields.rest();
    found
}

/// The content of the first field `wanted` with a length.
fn find(mut message: &[u8], wanted: u32) -> Option<&[u8]> {
    next_message(&mut message, wanted)
}

/// The value of the first varint field `wanted`; 0 if there is none.
fn number(message: &[u8], wanted: u32) -> u64 {
    let found = fields(message).find_map(|field| match field {
        (number, FieldValue::Varint(value)) if number == wanted => Some(value),
        _ => None,
    });
    found.unwrap_or(0)
}

/// As much of `bytes` as is UTF-8.
fn text(bytes: Option<&[u8]>) -> &str {
    let bytes = bytes.unwrap_or_default();
    core::str::from_utf8(bytes).unwrap_or_else(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        core::str::from_utf8(valid).unwrap_or_default()
    })
}
