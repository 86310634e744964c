//! The span: from [`BareTracer::start`](crate::tracer::BareTracer::start) to [`BareSpan::end`].
//!
//! A recording span writes each attribute, event and link into its scratch as protobuf when it is
//! set, so nothing borrowed outlives the call, and the end is one copy into the sink. The scratch
//! `B` is the caller's choice: an array inside the span on a device, a pooled box on a host. An
//! item that does not fit, or that goes beyond the limits, is left out and counted on the wire
//! ([`BareSpan::dropped`]).
//!
//! A span that was not sampled keeps its context, so it can be a parent and be propagated. It
//! ignores everything else.
//!
//! ```
//! use spandrel_core::buffer::Buffer;
//! use spandrel_core::span::Status;
//! use spandrel_core::time::Instant;
//! use spandrel_core::tracer::{BareTracer, SpanBuilder};
//! # use spandrel_core::{id::RandomIdGenerator, sampler::AlwaysOn};
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let mut buffer = Buffer::new([0_u8; 1024]);
//!
//! let mut span = tracer.start::<256>(SpanBuilder::new("read"), Instant::from_millis(5));
//! span.set_attribute("sensor", "t0");
//! span.add_event("settled", &[], Instant::from_millis(6));
//! span.set_status(Status::Ok);
//! span.end(Instant::from_millis(7), &mut buffer)?;
//! assert_eq!(buffer.len(), 1);
//! # Ok::<(), spandrel_core::buffer::PushError>(())
//! ```

mod beginning;
mod exception;
pub mod finished;
mod log;
mod recording;
pub mod stored;

pub(crate) use beginning::Beginning;
#[cfg(feature = "std")]
pub(crate) use exception::type_name;
pub(crate) use log::Log;
pub use log::MIN_SCRATCH_BYTES;
pub(crate) use recording::{Begin, PutLink, Recording};

pub use crate::context::{Link, SpanKind};

use core::error::Error;

#[cfg(feature = "std")]
use crate::attribute::ValueLimits;
use crate::attribute::{KeyValue, Value};
use crate::buffer::{PushError, RecordSink};
use crate::context::SpanContext;
use crate::time::Instant;
#[cfg(feature = "std")]
use crate::wire::{field_len, key_value_len};

/// The bytes that `attributes` take in a span.
#[cfg(feature = "std")]
pub(crate) fn encoded_len(attributes: &[KeyValue<'_>]) -> usize {
    let len = |item: &KeyValue<'_>| key_value_len(item.key, &item.value, ValueLimits::DEFAULT);
    attributes.iter().map(|item| field_len(len(item))).sum()
}

/// The [status] of a span, ordered `Unset < Error < Ok`: a lower one never replaces a higher one,
/// `Ok` is final, and of two errors the later one wins.
///
/// [status]: https://opentelemetry.io/docs/specs/otel/trace/api/#set-status
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status<'a> {
    /// The default; setting it has no effect.
    #[default]
    Unset,
    /// The operation is known to have succeeded.
    Ok,
    /// The operation failed.
    Error {
        /// The reason, for people; may be empty.
        description: &'a str,
    },
}

impl<'a> Status<'a> {
    /// An error with a description.
    #[must_use]
    pub const fn error(description: &'a str) -> Self {
        Self::Error { description }
    }
}

/// A span that has been started and not yet ended.
///
/// It is bare: it has no clock and no thread, and its end takes the sink. It is for firmware and
/// for programs that drive everything themselves; applications use `hosted::trace::Span`.
///
/// The end takes the span by value, so nothing can change it afterwards. A span that is dropped
/// without an end is not exported.
#[derive(Debug)]
#[must_use = "a span is exported when it is ended"]
pub struct BareSpan<B> {
    pub(crate) context: SpanContext,
    /// The recording, or only a tracestate that is carried.
    pub(crate) live: Option<Recording<B>>,
}

impl<B> BareSpan<B> {
    /// A span that only carries `context`. It records nothing, and its end has no effect.
    #[inline]
    pub const fn non_recording(context: SpanContext) -> Self {
        Self {
            context,
            live: None,
        }
    }

    /// A span over `scratch` that waits for
    /// [`BareTracer::start_in_place`](crate::tracer::BareTracer::start_in_place). Until then, and
    /// between an [end](BareSpan::end_in_place) and the next start, nothing is recorded. For
    /// statics.
    pub const fn idle(scratch: B) -> Self {
        Self {
            context: SpanContext::INVALID,
            live: Some(Recording::idle(scratch)),
        }
    }

    /// Returns the ids and flags of the span. They never change, and make a valid parent even after
    /// the end.
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Returns true if attributes, events, links and the status are kept.
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        match &self.live {
            Some(live) => live.is_recording(),
            None => false,
        }
    }

    /// Returns the numbers of attributes, events and links that were left out so far, for limits or
    /// for lack of scratch.
    #[must_use]
    pub const fn dropped(&self) -> [u32; 3] {
        match &self.live {
            Some(live) => live.dropped(),
            None => [0; 3],
        }
    }

    /// Returns the number of items that were cut so far because the scratch has no room for the whole:
    /// names, descriptions, attributes, events and links with long texts or arrays. See
    /// [`SpanLimits`](crate::limits::SpanLimits#what-does-not-fit).
    #[must_use]
    pub const fn cut(&self) -> u16 {
        match &self.live {
            Some(live) => live.cut(),
            None => 0,
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> BareSpan<B> {
    /// Sets an attribute. The last value of a key wins; an empty key is ignored.
    #[inline]
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(live) = &mut self.live {
            live.set_attribute(key, &value.into());
        }
    }

    /// Sets several attributes.
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        if let Some(live) = &mut self.live {
            live.set_attributes(attributes);
        }
    }

    /// Adds an event that happened at `now`.
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>], now: Instant) {
        if let Some(live) = &mut self.live {
            live.add_event(name, attributes, now);
        }
    }

    /// Adds a link to another span. Samplers see only the links that a span is
    /// started with.
    pub fn add_link(&mut self, link: &Link<'_>) {
        if let Some(live) = &mut self.live {
            live.add_link(link);
        }
    }

    /// Sets the status, unless the order of [`Status`] forbids it. Only errors keep a description.
    pub fn set_status(&mut self, status: Status<'_>) {
        if let Some(live) = &mut self.live {
            live.set_status(status);
        }
    }

    /// Renames the span. Samplers see the first name only.
    pub fn update_name(&mut self, name: &str) {
        if let Some(live) = &mut self.live {
            live.update_name(name);
        }
    }

    /// Records `error` as an [event named `exception`], with its type and message. The status does
    /// not change; set it too if the error is the outcome of the span.
    ///
    /// For a `dyn Error` the attribute `exception.type` is left out, because the concrete type is not
    /// known.
    ///
    /// [event named `exception`]: https://opentelemetry.io/docs/specs/otel/trace/exceptions/
    pub fn record_error<E: Error + ?Sized>(&mut self, error: &E, now: Instant) {
        self.record_error_with(error, &[], now);
    }

    /// Like [`BareSpan::record_error`], with more attributes; one named like a generated one
    /// replaces it.
    ///
    /// The message is formatted for its length and again into the record, so it is never copied.
    /// A message that is longer than the scratch is formatted no further than that. An error whose text differs between the two is left out and counted as a dropped event.
    pub fn record_error_with<E: Error + ?Sized>(
        &mut self,
        error: &E,
        attributes: &[KeyValue<'_>],
        now: Instant,
    ) {
        if let Some(live) = &mut self.live {
            live.record_error(error, attributes, now);
        }
    }

    /// Ends the span at `now` and hands its record to `sink`, unless it was not sampled.
    ///
    /// # Errors
    ///
    /// The sink refused the record, and has counted the loss.
    #[inline]
    pub fn end(mut self, now: Instant, sink: &mut impl RecordSink) -> Result<(), PushError> {
        self.end_in_place(now, sink)
    }

    /// Like [`BareSpan::end`], for a span that stays where it is and is [started
    /// again](crate::tracer::BareTracer::start_in_place) later. A second end has no effect. Nothing
    /// is moved, and on small processors a move is most of the cost of a span.
    ///
    /// # Errors
    ///
    /// The same as [`BareSpan::end`].
    #[inline]
    pub fn end_in_place(
        &mut self,
        now: Instant,
        sink: &mut impl RecordSink,
    ) -> Result<(), PushError> {
        match &mut self.live {
            Some(live) => live.push_into(now, sink),
            None => Ok(()),
        }
    }

    /// Like [`BareSpan::end`], and returns the scratch for the next span.
    #[inline]
    pub fn finish(
        mut self,
        now: Instant,
        sink: &mut impl RecordSink,
    ) -> (Result<(), PushError>, Option<B>) {
        match self.live.take() {
            Some(mut live) => (live.push_into(now, sink), Some(live.into_scratch())),
            None => (Ok(()), None),
        }
    }

    /// Returns the W3C tracestate that the span inherited or its sampler set; empty if there is
    /// none.
    #[must_use]
    pub fn trace_state(&self) -> &str {
        match &self.live {
            Some(live) => live.trace_state(),
            None => "",
        }
    }
}
