//! The span.

use core::fmt;
use std::boxed::Box;
use std::sync::Arc;

use super::recorder::{Recorder, WHILE_UNWINDING};
use super::thread;
use crate::attribute::{KeyValue, Value};
#[cfg(feature = "tracing")]
use crate::context::SpanKind;
use crate::context::{Link, ParentContext, SpanContext};
use crate::hosted::active;
use crate::hosted::clock::{self, SpanTime};
use crate::hosted::current::{self, Beside, Context, Guard};
use crate::hosted::growing::GrowingRecording;
use crate::hosted::text::capped_text;
use crate::span::{Begin, Status};
use crate::time::Instant;

/// A span that ends when it is dropped.
///
/// Dropped by a panic, it ends with the status error, described as `panicked`, unless a status was
/// set. A span that was started while its thread unwinds already, by a destructor, is not concerned.
#[must_use = "a span ends when it is dropped; bind it to a name"]
pub struct Span {
    context: SpanContext,
    /// The recording, or only a tracestate; none if there is nothing to end.
    recorder: Option<Box<Recorder>>,
}

impl Span {
    /// A span that records nothing and only carries `context`.
    #[inline]
    pub const fn non_recording(context: SpanContext) -> Self {
        Self {
            context,
            recorder: None,
        }
    }

    /// A span that records nothing and stands for the current one.
    #[inline]
    pub(super) fn of_current() -> Self {
        // A return of its own, so that the span is built in place: all that disabled tracing does.
        if current::is_nothing() {
            return Self::non_recording(SpanContext::INVALID);
        }
        Self::of_what_is_current()
    }

    #[inline(never)]
    fn of_what_is_current() -> Self {
        match current::current_in_short() {
            Ok(context) => Self::non_recording(context.unwrap_or(SpanContext::INVALID)),
            Err(context) => Self::standing_for(&context.as_parent()),
        }
    }

    /// A span that records nothing and stands for `parent`, with its tracestate.
    #[cold]
    #[inline(never)]
    pub(in crate::hosted) fn standing_for(parent: &ParentContext<'_>) -> Self {
        let recorder = match parent.trace_state {
            state if state.is_empty() || !parent.span_context.is_valid() => None,
            state => Some(Recorder::carrying(state)),
        };
        Self {
            context: parent.span_context,
            recorder,
        }
    }

    /// Has the values of `context` become current whenever the span is entered.
    #[cold]
    #[inline(never)]
    pub(super) fn carry(&mut self, context: &Context) {
        if let Some(values) = context.beside.as_ref().filter(|it| it.has_values()) {
            let recorder = self.recorder.get_or_insert_with(|| Recorder::carrying(""));
            recorder.carry(values);
        }
    }

    /// The values that it carries.
    #[inline]
    fn values(&self) -> Option<&Arc<Beside>> {
        self.recorder.as_ref()?.values.as_ref()
    }

    #[inline(always)]
    pub(super) const fn of(context: SpanContext, recorder: Box<Recorder>) -> Self {
        Self {
            context,
            recorder: Some(recorder),
        }
    }

    /// The recorder of a span that records.
    pub(super) fn recorder_mut(&mut self) -> Option<&mut Recorder> {
        let recorder = self.recorder.as_deref_mut();
        recorder.filter(|recorder| recorder.recording.is_recording())
    }

    #[cfg(feature = "tracing")]
    pub(in crate::hosted) fn set_kind(&mut self, kind: SpanKind) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.set_kind(kind);
        }
    }

    /// Moves the span, with everything recorded, into the trace of `context` and under `parent`;
    /// `false` if there was no room for that. Its ids must not have been used before.
    #[cfg(feature = "tracing")]
    pub(super) fn reparent(&mut self, context: SpanContext, parent: &ParentContext<'_>) -> bool {
        let recorder = self.recorder.as_mut();
        let moved = recorder.is_none_or(|recorder| recorder.recording.reparent(&context, parent));
        if moved {
            self.context = context;
        }
        moved
    }

    /// Forgets what was recorded: the span counts nowhere.
    #[cfg(feature = "tracing")]
    pub(super) fn stop_recording(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.clear();
        }
    }

    /// Sets an attribute; the last value of a key wins.
    #[inline]
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.set_attribute(key, value.into());
        }
    }

    /// Sets an attribute to a text, which is formatted no further than it can be stored.
    #[cfg(feature = "macros")]
    pub(in crate::hosted) fn set_formatted(&mut self, key: &str, text: fmt::Arguments<'_>) {
        if let Some(recorder) = &mut self.recorder {
            let text = capped_text(recorder.recording.max_bytes(), text);
            recorder.set_attribute(key, Value::String(&text));
        }
    }

    /// As [`Self::fail`], for an error of this type that is shown as `text`.
    #[cfg(feature = "macros")]
    pub(in crate::hosted) fn fail_with_text(
        &mut self,
        type_name: Option<&str>,
        text: fmt::Arguments<'_>,
    ) {
        let Some(recording) = self.recording() else {
            return;
        };
        let text = capped_text(recording.max_bytes(), text);
        let message = KeyValue::new("exception.message", text.as_str());
        let list = [
            KeyValue::new("exception.type", type_name.unwrap_or_default()),
            message,
        ];
        let known = usize::from(type_name.is_none());
        self.add_event("exception", list.get(known..).unwrap_or_default());
        self.set_error(&text);
    }

    /// Sets several attributes.
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.set_attributes(attributes);
        }
    }

    /// Adds an event that happens now.
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>]) {
        if let Some(recording) = self.recording() {
            recording.add_event(name, attributes, clock::now());
        }
    }

    /// Adds an event that happened at `at`: a `SystemTime`, a `std::time::Instant` or another
    /// [`SpanTime`].
    pub fn add_event_at(
        &mut self,
        name: &str,
        attributes: &[KeyValue<'_>],
        at: impl Into<SpanTime>,
    ) {
        if let Some(recording) = self.recording() {
            recording.add_event(name, attributes, at.into().to_instant());
        }
    }

    /// Adds a link to another span.
    pub fn add_link(&mut self, link: &Link<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.add_link(link);
        }
    }

    /// Sets the status, unless the present one ranks higher: `Unset < Error < Ok`.
    pub fn set_status(&mut self, status: Status<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.set_status(status);
        }
    }

    /// Sets the status to error, with a description.
    pub fn set_error(&mut self, description: &str) {
        self.set_status(Status::error(description));
    }

    /// Renames the span.
    pub fn update_name(&mut self, name: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.recording.update_name(name);
        }
    }

    /// Records `error` as an event `exception`. The status stays as it is; [`Span::fail`] sets it
    /// too.
    ///
    /// Everything that can be displayed is an error here, also `anyhow::Error` and `Box<dyn
    /// Error>`. The attribute `exception.message` is its text, `exception.type` the name of the
    /// type `E`.
    ///
    /// <https://opentelemetry.io/docs/specs/otel/trace/exceptions/>
    pub fn record_error<E: fmt::Display + ?Sized>(&mut self, error: &E) {
        self.record_error_with(error, &[]);
    }

    /// Like [`Span::record_error`], with more attributes.
    pub fn record_error_with<E: fmt::Display + ?Sized>(
        &mut self,
        error: &E,
        attributes: &[KeyValue<'_>],
    ) {
        if let Some(recording) = self.recording() {
            recording.record_error(error, attributes, clock::now());
        }
    }

    /// Records `error` as an event `exception`, and sets the status to error with its text.
    pub fn fail<E: fmt::Display + ?Sized>(&mut self, error: &E) {
        if self.is_recording() {
            self.record_error(error);
            let most = self
                .recorder
                .as_ref()
                .map_or(0, |it| it.recording.max_bytes());
            self.set_error(&capped_text(most, format_args!("{error}")));
        }
    }

    /// Sets the status from the result of the span's work: ok, or error as [`Span::fail`] does.
    ///
    /// ```
    /// # use spandrel_core::hosted::trace::TracerProvider;
    /// # let tracer = TracerProvider::disabled().tracer("shop");
    /// let mut span = tracer.start("quantity.parse");
    /// let quantity = "three".parse::<u32>();
    /// span.set_outcome(&quantity); // an error with its text, and an event `exception`
    ///
    /// let stored: Result<(), Box<dyn std::error::Error>> = Err("no space left".into());
    /// span.set_outcome(&stored); // the same: the error need only print
    /// ```
    pub fn set_outcome<T, E: fmt::Display>(&mut self, outcome: &Result<T, E>) {
        match outcome {
            Ok(_) => self.set_status(Status::Ok),
            Err(error) => self.fail(error),
        }
    }

    /// Ends the span now.
    #[inline]
    pub fn end(self) {}

    /// Ends the span at `at`: a `SystemTime`, a `std::time::Instant` or another [`SpanTime`]. A time
    /// before the start becomes the start, so no duration is negative.
    pub fn end_at(mut self, at: impl Into<SpanTime>) {
        if let Some(recorder) = self.recorder.take() {
            finish(recorder, Some(at.into().to_instant()));
        }
    }

    /// Makes the span current on this thread until the guard is dropped. The values of the context,
    /// such as baggage, stay the ones that are current, unless the span was started with a
    /// [`parent`](super::SpanStart::parent) that has values.
    ///
    /// In async code use
    /// [`in_span`](crate::hosted::current::ContextFutureExt::in_span) instead: a guard that lives
    /// across an `await` would leave the span current for other tasks of the thread.
    pub fn enter(&self) -> Guard {
        match &self.recorder {
            Some(recorder) if recorder.has_more() => current::attach(self.to_context()),
            _ => current::attach_span(&self.context),
        }
    }

    /// Runs `work` with the span current, and hands it over.
    /// [`SpanStart::in_scope`](super::SpanStart::in_scope) also starts and ends it.
    pub fn in_scope<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let _current = self.enter();
        work(self)
    }

    /// The ids and flags of the span.
    #[inline]
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// The context of the span, owned, for another thread or for a time after the span's end: its
    /// tracestate, and the values that would be current in it on this thread.
    #[must_use]
    pub fn to_context(&self) -> Context {
        match self.values() {
            None => current::context_of(self.into()),
            Some(values) => {
                let beside = Beside::with_trace_state(Some(values), self.trace_state());
                Context::of(self.context, beside)
            }
        }
    }

    /// Returns true if attributes, events and status of this span are recorded.
    #[inline]
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recorder
            .as_ref()
            .is_some_and(|recorder| recorder.recording.is_recording())
    }

    pub(in crate::hosted) fn trace_state(&self) -> &str {
        match &self.recorder {
            Some(recorder) => recorder.recording.trace_state(),
            None => "",
        }
    }

    /// The recording; `None` also for a span that only carries its tracestate, so that the clock is
    /// not read needlessly.
    fn recording(&mut self) -> Option<&mut GrowingRecording> {
        let recording = &mut self.recorder.as_mut()?.recording;
        recording.is_recording().then_some(recording)
    }
}

// Not inlined, so that a drop adds only a comparison to the caller.
#[inline(never)]
fn finish(mut recorder: Box<Recorder>, at: Option<Instant>) {
    let now = at.unwrap_or_else(clock::now);
    if active::is_used() {
        return finish_with_updates(recorder, now);
    }
    if std::thread::panicking() {
        note_panic(&mut recorder);
    }
    thread::finish(recorder, now);
}

/// The same in a program whose helpers record on active spans. Their status counts before a panic's.
#[cold]
#[inline(never)]
fn finish_with_updates(mut recorder: Box<Recorder>, now: Instant) {
    active::settle(&mut recorder.recording);
    if std::thread::panicking() {
        note_panic(&mut recorder);
    }
    thread::finish(recorder, now);
}

#[cold]
fn note_panic(recorder: &mut Recorder) {
    let is_well = recorder.provider & WHILE_UNWINDING != 0;
    let recording = &mut recorder.recording;
    if !is_well
        && recording
            .recorder()
            .is_some_and(|(_, log)| !log.has_status())
    {
        recording.set_status(Status::error("panicked"));
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            finish(recorder, None);
        }
    }
}

/// The span as a parent, or as what a propagator injects, with its tracestate.
impl<'a> From<&'a Span> for ParentContext<'a> {
    fn from(span: &'a Span) -> Self {
        Self {
            span_context: span.context,
            trace_state: span.trace_state(),
        }
    }
}

/// As [`Span::to_context`] does.
impl From<&Span> for Context {
    fn from(span: &Span) -> Self {
        span.to_context()
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

#[cfg(test)]
mod tests {
    use super::super::recorder::no_owner;
    use super::*;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};

    fn context(n: u8) -> SpanContext {
        let (trace, span) = (TraceId::from_bytes([n; 16]), SpanId::from_bytes([n; 8]));
        SpanContext::new(trace, span, TraceFlags::SAMPLED)
    }

    /// A span that is recorded for no provider.
    fn carrying(trace_state: &str) -> Span {
        let mut recorder = Box::new(Recorder::new(256, 0, no_owner()));
        let parent = ParentContext {
            span_context: context(1),
            trace_state,
        };
        let ids = crate::id::RandomIdGenerator::new(crate::hosted::rng::ThreadRng);
        let builder = crate::tracer::SpanBuilder::new("a").parent(parent);
        let sampler = crate::sampler::AlwaysOn;
        let memory = crate::sampler::SamplingScratch::new();
        let plan = crate::tracer::Plan::new(&sampler, &mut { ids }, &builder, None, &memory);
        let limits = crate::limits::SpanLimits::DEFAULT;
        assert!(plan.begin(&mut recorder.recording, &limits, &builder, clock::now()));
        Span::of(plan.context, recorder)
    }

    #[test]
    fn a_span_is_a_parent_with_its_tracestate() {
        for state in ["", "vendor=value"] {
            let span = carrying(state);
            let parent = ParentContext::from(&span);
            assert_eq!(parent.span_context, *span.context());
            assert_eq!(parent.trace_state, state);
            let context = Context::from(&span);
            assert_eq!(context, span.to_context());
            assert_eq!(ParentContext::from(&context), parent);
        }
        let bare = Span::non_recording(context(7));
        assert_eq!(ParentContext::from(&bare), context(7).into());
    }
}
