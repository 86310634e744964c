//! The span: from [`Tracer::start`](crate::tracer::Tracer::start) to [`Span::end`].
//!
//! A recording span writes each attribute, event and link into its scratch as protobuf the moment
//! it is set, so nothing borrowed outlives the call, and ending it is one copy into the sink. The
//! scratch `B` is the caller's choice: an array inside the span on a device, a pooled box on a
//! host. What does not fit it, or goes beyond the limits, is left out and counted on the wire
//! ([`Span::dropped`]).
//!
//! A span that was not sampled keeps its context, so that it can be a parent and be propagated,
//! and ignores everything else.
//!
//! ```
//! use spandrel_core::buffer::Buffer;
//! use spandrel_core::span::Status;
//! use spandrel_core::time::Instant;
//! use spandrel_core::tracer::{SpanBuilder, Tracer};
//! # use spandrel_core::{id::RandomIdGenerator, sampler::AlwaysOn, test_support::TestRng};
//!
//! let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
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

mod exception;
mod log;

pub(crate) use log::Log;
pub use log::MIN_SCRATCH_BYTES;

pub use crate::context::{Link, SpanKind};

use crate::attribute::{KeyValue, Value};
use crate::buffer::{PushError, Record, RecordSink};
#[cfg(feature = "tracing")]
use crate::context::ParentContext;
use crate::context::SpanContext;
use crate::resource::ScopeId;
use crate::time::Instant;

/// The outcome of what a span describes. `Unset < Error < Ok`: a lower one never replaces a higher
/// one, `Ok` is final, and of two errors the later one counts (checklist D-069).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status<'a> {
    /// Nothing is said; the default, and never set again.
    #[default]
    Unset,
    /// The operation is known to have succeeded.
    Ok,
    /// The operation failed.
    Error {
        /// Why, for people; empty when there is nothing to say.
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
/// Ending takes the span by value, so nothing can change it afterwards (checklist D-038). A span
/// that is dropped without an end is not exported.
#[derive(Debug)]
#[must_use = "a span is exported when it is ended"]
pub struct Span<B> {
    context: SpanContext,
    scope: ScopeId,
    recording: bool,
    live: Option<Live<B>>,
}

/// What a span needs beside its context: to record, or to carry a tracestate.
#[derive(Debug)]
struct Live<B> {
    scratch: B,
    log: Log,
}

impl<B> Span<B> {
    /// A span that only carries `context`: nothing is recorded, ending it does nothing
    /// (checklist D-044).
    #[inline]
    pub const fn non_recording(context: SpanContext) -> Self {
        Self {
            context,
            scope: ScopeId(0),
            recording: false,
            live: None,
        }
    }

    #[inline]
    pub(crate) const fn new(
        context: SpanContext,
        scope: ScopeId,
        recording: bool,
        scratch: B,
        log: Log,
    ) -> Self {
        Self {
            context,
            scope,
            recording,
            live: Some(Live { scratch, log }),
        }
    }

    /// The ids and flags of the span: constant, and valid as a parent after the end
    /// (checklist D-036).
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether anything set on this span is kept (checklist D-039).
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        self.recording
    }

    /// Whether the span holds scratch, to record or to carry a tracestate.
    #[cfg(feature = "std")]
    pub(crate) const fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// What was left out so far, for limits or for lack of scratch: attributes, events, links.
    #[must_use]
    pub const fn dropped(&self) -> [u32; 3] {
        match &self.live {
            Some(live) => live.log.dropped(),
            None => [0; 3],
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Span<B> {
    /// Sets an attribute; the last value of a key wins (checklist D-052). An empty key is ignored.
    #[inline]
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_attribute(bytes, key, &value.into());
        }
    }

    /// Sets several attributes.
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        if let Some((bytes, log)) = self.recorder() {
            for attribute in attributes {
                log.set_attribute(bytes, attribute.key, &attribute.value);
            }
        }
    }

    /// Adds an event at `now` (checklist D-066).
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>], now: Instant) {
        if let Some((bytes, log)) = self.recorder() {
            log.add_event(bytes, name, attributes, now);
        }
    }

    /// Adds a link to another span (checklist D-067). Samplers see only the links that a span is
    /// started with.
    pub fn add_link(&mut self, link: &Link<'_>) {
        if let Some((bytes, log)) = self.recorder() {
            log.add_link(bytes, link);
        }
    }

    /// Sets the status by its total order. A description is kept with errors only.
    pub fn set_status(&mut self, status: Status<'_>) {
        if let Some((bytes, log)) = self.recorder() {
            match status {
                Status::Unset => {}
                Status::Ok => log.set_status(bytes, 1, ""),
                Status::Error { description } => log.set_status(bytes, 2, description),
            }
        }
    }

    /// Renames the span. Samplers have seen only the first name.
    pub fn update_name(&mut self, name: &str) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_name(bytes, name);
        }
    }

    /// Ends the span at `now` and hands its record to `sink`, unless it was not sampled
    /// (checklist D-078).
    ///
    /// # Errors
    ///
    /// Why the sink refused the record; it has counted the loss.
    #[inline]
    pub fn end(mut self, now: Instant, sink: &mut impl RecordSink) -> Result<(), PushError> {
        self.push_into(now, sink)
    }

    /// Like [`Span::end`], and gives the scratch back for the next span.
    #[inline]
    pub fn finish(
        mut self,
        now: Instant,
        sink: &mut impl RecordSink,
    ) -> (Result<(), PushError>, Option<B>) {
        self.finish_in_place(now, sink)
    }

    /// Ends the span where it is; what is left of it only carries its context.
    #[inline]
    pub(crate) fn finish_in_place(
        &mut self,
        now: Instant,
        sink: &mut impl RecordSink,
    ) -> (Result<(), PushError>, Option<B>) {
        let pushed = self.push_into(now, sink);
        (pushed, self.live.take().map(|live| live.scratch))
    }

    /// Completes the record and hands it to `sink`, from where it lies: the scratch is larger than
    /// all else of a span, and every move of it costs more than the record's own copy.
    #[inline]
    fn push_into(&mut self, now: Instant, sink: &mut impl RecordSink) -> Result<(), PushError> {
        self.recording = false;
        let Some(live) = self.live.as_mut().filter(|_| self.context.is_sampled()) else {
            return Ok(());
        };
        let (len, flags) = live.log.end(live.scratch.as_mut(), now);
        sink.push_record(&Record {
            scope: self.scope,
            flags,
            body: live.scratch.as_ref().get(..len).unwrap_or_default(),
        })
    }

    /// The W3C tracestate that the span inherited or its sampler set; empty when there is none.
    #[must_use]
    pub fn trace_state(&self) -> &str {
        match &self.live {
            Some(live) => live.log.trace_state(live.scratch.as_ref()),
            None => "",
        }
    }

    /// Sets the kind.
    #[cfg(feature = "tracing")]
    pub(crate) fn set_kind(&mut self, kind: SpanKind) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_kind(bytes, kind);
        }
    }

    /// Moves the span, with all that is recorded, into the trace of `context` and under `parent`;
    /// whether there was room for that. Nothing may have been told of its ids before.
    #[cfg(feature = "tracing")]
    pub(crate) fn reparent(&mut self, context: SpanContext, parent: &ParentContext<'_>) -> bool {
        if let Some(live) = &mut self.live {
            if !live.log.reparent(live.scratch.as_mut(), &context, parent) {
                return false;
            }
        }
        self.context = context;
        true
    }

    #[inline]
    fn recorder(&mut self) -> Option<(&mut [u8], &mut Log)> {
        if !self.recording {
            return None;
        }
        let live = self.live.as_mut()?;
        Some((live.scratch.as_mut(), &mut live.log))
    }
}
