//! The span of an application.

use core::error::Error;
use core::fmt;
use std::sync::Arc;

use super::local;
use super::scratch::Scratch;
use super::shared::Shared;
use crate::attribute::{KeyValue, Value};
use crate::buffer::{PushError, Record, RecordSink};
use crate::context::{Link, SpanContext};
use crate::hosted::current::{self, Context, Guard};
use crate::span::{Span as CoreSpan, Status};
use crate::time::Instant;

/// A span that ends when it is dropped.
///
/// Dropped by a panic, it ends with the status error, unless one was set.
#[must_use = "a span ends when it is dropped; bind it to a name"]
pub struct Span {
    span: CoreSpan<Scratch>,
    /// `None`: not recorded, or ended.
    shared: Option<Arc<Shared>>,
}

impl Span {
    /// A span that only carries `context` (checklist D-044).
    #[inline]
    pub const fn non_recording(context: SpanContext) -> Self {
        Self {
            span: CoreSpan::non_recording(context),
            shared: None,
        }
    }

    #[inline]
    pub(super) const fn new(span: CoreSpan<Scratch>, shared: Arc<Shared>) -> Self {
        Self {
            span,
            shared: Some(shared),
        }
    }

    /// Sets an attribute; the last value of a key wins.
    #[inline]
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        self.span.set_attribute(key, value);
    }

    /// Sets several attributes.
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        self.span.set_attributes(attributes);
    }

    /// Adds an event that happens now.
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>]) {
        if let Some(now) = self.recording_now() {
            self.span.add_event(name, attributes, now);
        }
    }

    /// Adds an event that happened at `at`.
    pub fn add_event_at(&mut self, name: &str, attributes: &[KeyValue<'_>], at: Instant) {
        self.span.add_event(name, attributes, at);
    }

    /// Adds a link to another span.
    pub fn add_link(&mut self, link: &Link<'_>) {
        self.span.add_link(link);
    }

    /// Sets the status by its total order, `Unset < Error < Ok`.
    pub fn set_status(&mut self, status: Status<'_>) {
        self.span.set_status(status);
    }

    /// Sets the status to error, with a description.
    pub fn set_error(&mut self, description: &str) {
        self.span.set_status(Status::error(description));
    }

    /// Renames the span.
    pub fn update_name(&mut self, name: &str) {
        self.span.update_name(name);
    }

    /// Records `error` as an event `exception`. The status is left alone; see
    /// [`Span::fail`] for both.
    pub fn record_error<E: Error + ?Sized>(&mut self, error: &E) {
        if let Some(now) = self.recording_now() {
            self.span.record_error(error, now);
        }
    }

    /// Like [`Span::record_error`], with more attributes.
    pub fn record_error_with<E: Error + ?Sized>(&mut self, error: &E, attributes: &[KeyValue<'_>]) {
        if let Some(now) = self.recording_now() {
            self.span.record_error_with(error, attributes, now);
        }
    }

    /// Records `error` and sets the status to error with its text: the outcome of this span.
    pub fn fail<E: Error + ?Sized>(&mut self, error: &E) {
        if self.span.is_recording() {
            self.record_error(error);
            self.set_error(&std::format!("{error}"));
        }
    }

    /// Sets the status by what the span's work came to: ok, or as [`Span::fail`] does.
    ///
    /// ```
    /// # use spandrel_core::hosted::trace::TracerProvider;
    /// # let tracer = TracerProvider::disabled().tracer("shop");
    /// let mut span = tracer.start("quantity.parse");
    /// let quantity = "three".parse::<u32>();
    /// span.set_outcome(&quantity); // an error with its text, and an event `exception`
    /// ```
    pub fn set_outcome<T, E: Error>(&mut self, outcome: &Result<T, E>) {
        match outcome {
            Ok(_) => self.set_status(Status::Ok),
            Err(error) => self.fail(error),
        }
    }

    /// Ends the span now.
    #[inline]
    pub fn end(self) {}

    /// Ends the span at `at`.
    pub fn end_at(mut self, at: Instant) {
        self.finish(Some(at));
    }

    /// Makes the span current on this thread until the guard is dropped.
    pub fn enter(&self) -> Guard {
        current::attach(self.as_context())
    }

    /// Runs `work` with the span current.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _current = self.enter();
        work()
    }

    /// The ids and flags, for children on other threads and for propagation.
    #[inline]
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        self.span.context()
    }

    /// The context with its tracestate, to be attached elsewhere.
    #[must_use]
    pub fn as_context(&self) -> Context {
        let state = self.span.trace_state();
        Context {
            span_context: *self.span.context(),
            trace_state: (!state.is_empty()).then(|| state.into()),
        }
    }

    /// Whether anything set on this span is kept.
    #[inline]
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    fn recording_now(&self) -> Option<Instant> {
        let shared = self.shared.as_ref()?;
        self.span.is_recording().then(|| shared.clock.now())
    }

    #[inline]
    fn finish(&mut self, at: Option<Instant>) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        let now = match at {
            Some(at) => at,
            None if self.span.is_recording() => shared.clock.now(),
            None => Instant::ZERO,
        };
        if std::thread::panicking() {
            self.span.set_status(Status::error("panicked"));
        }
        let ended = CoreSpan::non_recording(*self.span.context());
        let span = core::mem::replace(&mut self.span, ended);
        let mut sink = Sink {
            shared: &shared,
            now,
        };
        // A loss has been counted where it happened.
        let (_, scratch) = span.finish(now, &mut sink);
        if let Some(scratch) = scratch {
            local::put_scratch(&shared, scratch);
        }
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.shared.is_some() {
            self.finish(None);
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("context", self.context())
            .field("is_recording", &self.is_recording())
            .finish_non_exhaustive()
    }
}

/// This thread's shard.
struct Sink<'a> {
    shared: &'a Arc<Shared>,
    now: Instant,
}

impl RecordSink for Sink<'_> {
    #[inline]
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        local::push(self.shared, record, self.now)
    }
}
