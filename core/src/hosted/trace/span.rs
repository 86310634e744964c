//! The span of an application.

use core::error::Error;
use core::fmt;

use super::local;
use super::scratch::Scratch;
use super::shared::Shared;
use crate::attribute::{KeyValue, Value};
use crate::context::{Link, SpanContext};
use crate::hosted::clock;
use crate::hosted::current::{self, Context, Guard};
use crate::span::{Span as CoreSpan, Status};
use crate::time::Instant;

/// A span that ends when it is dropped.
///
/// Dropped by a panic, it ends with the status error, unless one was set.
#[must_use = "a span ends when it is dropped; bind it to a name"]
pub struct Span {
    span: CoreSpan<Scratch>,
    /// The number of the provider; 0 when there is nothing to end.
    provider: u32,
}

impl Span {
    /// A span that only carries `context` (checklist D-044).
    #[inline]
    pub const fn non_recording(context: SpanContext) -> Self {
        Self {
            span: CoreSpan::non_recording(context),
            provider: 0,
        }
    }

    /// A span that stands for the current one (checklist D-045).
    #[inline]
    pub(super) fn of_current() -> Self {
        Self::non_recording(current::current_span_context().unwrap_or(SpanContext::INVALID))
    }

    #[inline(always)]
    pub(super) fn of(span: CoreSpan<Scratch>, shared: &Shared) -> Self {
        // One without scratch has nothing to end.
        let provider = if span.is_live() { shared.id() } else { 0 };
        Self { span, provider }
    }

    /// The span without its provider, for what only its starter may do.
    #[cfg(feature = "tracing")]
    pub(in crate::hosted) const fn inner(&mut self) -> &mut CoreSpan<Scratch> {
        &mut self.span
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
        if self.provider != 0 {
            self.finish(Some(at));
        }
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
        self.span.is_recording().then(clock::now)
    }

    /// Not inlined, so that what a drop costs in code is one comparison.
    #[inline(never)]
    fn finish(&mut self, at: Option<Instant>) {
        let provider = core::mem::take(&mut self.provider);
        let now = at.unwrap_or_else(clock::now);
        if std::thread::panicking() {
            self.span.set_status(Status::error("panicked"));
        }
        local::finish(provider, &mut self.span, now);
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.provider != 0 {
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
