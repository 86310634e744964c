//! Events and links.

use core::fmt;

use super::{Attributes, Dating, fields, find, next_message, number, text};
use crate::context::{SpanContext, TraceFlags};
use crate::id::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::wire::FieldValue;

/// An event of a finished span.
#[derive(Clone, Copy)]
pub struct FinishedEvent<'a> {
    message: &'a [u8],
    dating: Dating,
}

impl<'a> FinishedEvent<'a> {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        text(find(self.message, 2))
    }

    /// Returns the time, in nanoseconds of the clock that the span is in; see
    /// [`FinishedSpan::start_nanos`](super::FinishedSpan::start_nanos).
    #[must_use]
    pub fn nanos(&self) -> u64 {
        let time = fields(self.message).find_map(|field| match field {
            (1, FieldValue::Fixed64(nanos)) => Some(nanos),
            _ => None,
        });
        time.unwrap_or(0)
    }

    /// Returns the time as a date; `None` while the date is not known.
    #[must_use]
    pub fn time(&self) -> Option<UnixNanos> {
        self.dating.date(self.nanos())
    }

    /// Returns the attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 3)
    }

    /// Returns the number of attributes that were left out.
    #[must_use]
    pub fn dropped_attributes(&self) -> u32 {
        u32::try_from(number(self.message, 4)).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for FinishedEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedEvent")
            .field("name", &self.name())
            .field("nanos", &self.nanos())
            .field("attributes", &self.attributes())
            .finish_non_exhaustive()
    }
}

/// The events of a finished span, in the order in which they were added.
#[derive(Clone, Debug)]
pub struct FinishedEvents<'a> {
    rest: &'a [u8],
    dating: Dating,
}

impl<'a> FinishedEvents<'a> {
    pub(super) const fn new(rest: &'a [u8], dating: Dating) -> Self {
        Self { rest, dating }
    }
}

impl<'a> Iterator for FinishedEvents<'a> {
    type Item = FinishedEvent<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(FinishedEvent {
            message: next_message(&mut self.rest, 11)?,
            dating: self.dating,
        })
    }
}

/// A link of a finished span.
#[derive(Clone, Copy)]
pub struct FinishedLink<'a> {
    message: &'a [u8],
}

impl<'a> FinishedLink<'a> {
    /// Returns the ids and flags of the linked span.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        let trace_id = find(self.message, 1).and_then(|id| id.try_into().ok());
        let span_id = find(self.message, 2).and_then(|id| id.try_into().ok());
        let flags = fields(self.message).find_map(|field| match field {
            (6, FieldValue::Fixed32(flags)) => Some(flags),
            _ => None,
        });
        let flags = flags.unwrap_or(0);
        let [bits, ..] = flags.to_le_bytes();
        let of_kind = match super::is_remote(flags) {
            true => SpanContext::remote,
            false => SpanContext::new,
        };
        of_kind(
            TraceId::from_bytes(trace_id.unwrap_or_default()),
            SpanId::from_bytes(span_id.unwrap_or_default()),
            TraceFlags::from_bits(bits),
        )
    }

    /// Returns the linked span's W3C tracestate as header text; empty if there is none.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        text(find(self.message, 3))
    }

    /// Returns the attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 4)
    }

    /// Returns the number of attributes that were left out.
    #[must_use]
    pub fn dropped_attributes(&self) -> u32 {
        u32::try_from(number(self.message, 5)).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for FinishedLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedLink")
            .field("context", &self.context())
            .field("attributes", &self.attributes())
            .finish_non_exhaustive()
    }
}

/// The links of a finished span, in the order in which they were added.
#[derive(Clone, Debug)]
pub struct FinishedLinks<'a> {
    rest: &'a [u8],
}

impl<'a> FinishedLinks<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for FinishedLinks<'a> {
    type Item = FinishedLink<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = next_message(&mut self.rest, 13)?;
        Some(FinishedLink { message })
    }
}
