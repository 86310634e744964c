//! A span between its start and its end, as the layer keeps it.

use std::boxed::Box;
use std::string::String;
use std::sync::Arc;

use super::closing::without_spans;
use super::entered::SpanState;
use super::fields::StoredFields;
use super::visit::{FieldSink, Special, StatusCode, special};
use crate::attribute::{KeyValue, Value};
use crate::context::SpanKind;
use crate::hosted::clock;
use crate::hosted::current::{Beside, Context};
use crate::hosted::trace::{ScopeInProvider, Span, Tracer, Undecided, take_over};
use crate::span::Status;
use crate::time::Instant;

pub(super) const EXCEPTION: &str = "exception";
const MESSAGE: &str = "exception.message";
const STACKTRACE: &str = "exception.stacktrace";

/// A live span.
pub(super) struct LayerSpan {
    undecided: Undecided,
    /// None for most spans.
    rare: Option<Box<Rare>>,
    pub(super) kind: SpanKind,
    settled: bool,
    /// The status is an error.
    failed: bool,
    /// The status is an error with a description.
    described: bool,
    /// The parent, if this span was started when the parent had been left; 0 if not.
    left_parent: u64,
    /// It may still get a parent from another library, when it is entered first.
    #[cfg(feature = "_bridge")]
    is_orphan: bool,
    /// The number of stays in the span, on all threads.
    entered: u32,
    /// The time when it was left last, or used after that; zero if it is to end when it is closed.
    left: Instant,
    times: Option<Times>,
}

/// What few spans have, in memory of its own: a live span is moved several times.
#[derive(Default)]
struct Rare {
    /// The tracestate, and the values that were current at the start, for contexts.
    beside: Option<Arc<Beside>>,
    /// The values came with a parent that was set, and not with the context of the start.
    brings_values: bool,
    /// The fields that the program's sampler was asked with.
    asked_with: Option<Arc<StoredFields>>,
}

/// How long the span was entered and not entered, in nanoseconds.
struct Times {
    since: Instant,
    busy: u64,
    idle: u64,
}

impl LayerSpan {
    #[inline(always)]
    pub(super) fn new(
        undecided: Undecided,
        parent: &Context,
        kind: SpanKind,
        tracks_time: bool,
    ) -> Self {
        let times = tracks_time.then(|| Times {
            since: clock::now(),
            busy: 0,
            idle: 0,
        });
        let mut live = Self {
            undecided,
            rare: None,
            kind,
            settled: false,
            failed: false,
            described: false,
            left_parent: 0,
            #[cfg(feature = "_bridge")]
            is_orphan: false,
            entered: 0,
            left: Instant::ZERO,
            times,
        };
        if parent.beside.is_some() || live.undecided.has_trace_state {
            live.renew_beside(parent.beside.as_ref());
        }
        live
    }

    /// Takes over the tracestate of the recording, beside the values of `around`.
    #[cold]
    fn renew_beside(&mut self, around: Option<&Arc<Beside>>) {
        let state = match self.undecided.has_trace_state {
            true => self.undecided.span.trace_state(),
            false => "",
        };
        let beside = Beside::with_trace_state(around, state);
        if beside.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().beside = beside;
        }
    }

    #[inline]
    fn beside(&self) -> Option<Arc<Beside>> {
        self.rare.as_ref()?.beside.clone()
    }

    /// The context for children and carriers.
    #[inline]
    pub(super) fn context(&self) -> Context {
        Context::of(*self.undecided.span.context(), self.beside())
    }

    /// Returns true if its values become current with it, whatever is current.
    #[inline]
    pub(super) fn brings_values(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.brings_values)
    }

    #[inline]
    pub(super) fn state(&self) -> SpanState {
        match (self.settled, self.undecided.span.is_recording()) {
            (false, _) => SpanState::Fresh,
            (true, true) => SpanState::Recording,
            (true, false) => SpanState::Inert,
        }
    }

    #[inline]
    pub(super) fn is_recording(&self) -> bool {
        self.undecided.span.is_recording()
    }

    /// Makes ids and sampling decision final.
    #[inline]
    pub(super) fn settle(&mut self, tracer: &Tracer) {
        if !self.settled {
            self.settled = true;
            tracer.settle(&mut self.undecided);
        }
    }

    /// Shows the start of the span to the processors. No lock may be held.
    #[cold]
    pub(super) fn show_start(&mut self, tracer: ScopeInProvider<'_>, parent: &Context) {
        tracer.show_start(&mut self.undecided, parent);
    }

    /// Changes the parent by `change`, if the span is not settled and is entered on this thread
    /// only, where it was entered `here` times. Takes over what `parent` brings besides, with these
    /// `attributes` from baggage. Returns the new context.
    pub(super) fn change_parent(
        &mut self,
        here: usize,
        parent: Option<&Context>,
        attributes: &[String],
        change: impl FnOnce(&mut Undecided) -> bool,
    ) -> Option<Context> {
        if self.settled || self.entered as usize != here || !change(&mut self.undecided) {
            return None;
        }
        let mut around = self.rare.as_mut().and_then(|rare| rare.beside.take());
        if let Some(parent) = parent {
            take_over(&mut self.undecided.span, parent, attributes);
            if parent.has_values() {
                around.clone_from(&parent.beside);
                self.rare.get_or_insert_default().brings_values = true;
            }
        }
        self.renew_beside(around.as_ref());
        Some(self.context())
    }

    pub(super) const fn stands_for_parent(&self) -> bool {
        self.undecided.stands_for_parent()
    }

    pub(super) fn keep_fields(&mut self, fields: StoredFields) {
        self.rare.get_or_insert_default().asked_with = Some(Arc::new(fields));
    }

    /// What the sampler was asked with.
    pub(super) fn description(&self) -> Description {
        Description {
            fields: self.rare.as_ref().and_then(|rare| rare.asked_with.clone()),
            kind: self.kind,
        }
    }

    /// Notes that this span was started under `parent` when that had been left; 0 is none.
    #[inline]
    pub(super) const fn set_left_parent(&mut self, parent: u64) {
        self.left_parent = parent;
    }

    /// The parent that must not end before this span; 0 is none.
    #[inline]
    pub(super) const fn left_parent(&self) -> u64 {
        self.left_parent
    }

    /// The time at which the span ends, which is fixed now.
    pub(super) fn end_time(&mut self) -> Instant {
        if self.left == Instant::ZERO {
            self.left = clock::now();
        }
        self.left
    }

    /// Something happens to the span now. If it had been left, it does not end before now, and the
    /// return value is true.
    #[inline]
    pub(super) fn is_used_again(&mut self) -> bool {
        let was_left = self.was_left();
        if was_left {
            self.used_at(clock::now());
        }
        was_left
    }

    /// Something happens to the span at `at`.
    #[inline]
    pub(super) fn used_at(&mut self, at: Instant) {
        if self.was_left() {
            self.left = self.left.max(at);
        }
    }

    /// Something may happen to the span, unnoticed, until it is closed.
    pub(super) const fn end_when_closed(&mut self) {
        if self.was_left() {
            self.left = Instant::ZERO;
        }
    }

    const fn was_left(&self) -> bool {
        self.entered == 0 && self.left.as_nanos() != 0
    }

    pub(super) const fn span(&mut self) -> &mut Span {
        &mut self.undecided.span
    }

    /// Records the fields of the outcome, which a span cannot be started with.
    pub(super) fn apply_outcome(&mut self, fields: &StoredFields) {
        struct Outcome<'a>(&'a mut LayerSpan);
        impl FieldSink for Outcome<'_> {
            fn value(&mut self, _: &'static str, _: Value<'_>) {}

            fn text(&mut self, key: &'static str, text: &str) {
                if let Some(Special::Status(_) | Special::Description) = special(key, text) {
                    self.0.text(key, text);
                }
            }

            fn error(&mut self, _: &'static str, text: &str, sources: &str) {
                self.0.add_exception(text, sources);
            }
        }
        fields.replay(&mut Outcome(self));
    }

    fn add_exception(&mut self, text: &str, sources: &str) {
        let (list, len) = exception(text, sources);
        let list = list.get(..len).unwrap_or_default();
        self.undecided.span.add_event(EXCEPTION, list);
    }

    /// Sets the status to error. Without a `description` an earlier one stays.
    pub(super) fn fail(&mut self, description: &str) {
        if !(description.is_empty() && self.failed) {
            self.failed = true;
            self.described |= !description.is_empty();
            self.undecided.span.set_status(Status::error(description));
        }
    }

    /// Sets the status to error because the function of the span returned one. A description that
    /// is there already stays: it was chosen by hand.
    pub(super) fn fail_by_return(&mut self, description: &str) {
        if !self.described {
            self.fail(description);
        }
    }

    /// Adds an event of `name`, with `first` and all fields as its attributes.
    pub(super) fn add_event(
        &mut self,
        name: &str,
        first: &[KeyValue<'_>],
        fields: &StoredFields,
        at: Instant,
    ) {
        self.used_at(at);
        let mut list = heapless::Vec::<KeyValue<'_>, 8>::new();
        // There is room for these and two more.
        let _ = list.extend_from_slice(first);
        if let Some((text, sources)) = fields.error() {
            let (attributes, len) = exception(text, sources);
            let _ = list.extend_from_slice(attributes.get(..len).unwrap_or_default());
        } else if let (EXCEPTION, Some(text)) = (name, fields.error_text()) {
            let _ = list.push(KeyValue::new(MESSAGE, text));
        }
        fields.with_attributes(&list, |list| {
            self.undecided.span.add_event_at(name, list, at)
        });
    }

    pub(super) fn enter(&mut self) {
        self.entered = self.entered.saturating_add(1);
        if let (Some(times), 1) = (&mut self.times, self.entered) {
            let lap = times.lap(clock::now());
            times.idle += lap;
        }
    }

    /// Marks a span that has found no parent.
    #[cfg(feature = "_bridge")]
    pub(super) const fn set_orphan(&mut self) {
        self.is_orphan = true;
    }

    /// Returns true once for a span that found no parent and has not been used.
    #[cfg(feature = "_bridge")]
    pub(super) const fn take_orphan(&mut self) -> bool {
        core::mem::replace(&mut self.is_orphan, false) && !self.settled
    }

    #[inline]
    pub(super) fn exit(&mut self, now: Instant) {
        self.entered = self.entered.saturating_sub(1);
        self.left = now;
        if let (Some(times), 0) = (&mut self.times, self.entered) {
            let lap = times.lap(now);
            times.busy += lap;
        }
    }

    pub(super) const fn is_entered(&self) -> bool {
        self.entered > 0
    }

    /// Ends the span at the time when it was left or used last, or now if it never was entered.
    #[inline]
    pub(super) fn end(self, tracer: &Tracer) {
        if tracer.in_provider().has_processors() {
            return without_spans(|| self.end_now(tracer));
        }
        self.end_now(tracer);
    }

    #[inline]
    fn end_now(mut self, tracer: &Tracer) {
        self.settle(tracer);
        if let Some(times) = &mut self.times {
            let span = &mut self.undecided.span;
            let lap = times.lap(clock::now());
            match self.entered {
                0 => times.idle += lap,
                _ => times.busy += lap,
            }
            span.set_attribute("busy_ns", times.busy);
            span.set_attribute("idle_ns", times.idle);
        }
        if self.left == Instant::ZERO {
            self.undecided.span.end();
        } else {
            self.undecided.span.end_at(self.left);
        }
    }
}

/// What a sampler is asked with, for another time.
pub(super) struct Description {
    fields: Option<Arc<StoredFields>>,
    kind: SpanKind,
}

impl Description {
    /// Hands name, kind and attributes to `ask`; `name` is the name in the macro.
    pub(super) fn with<T>(
        &self,
        name: &str,
        ask: impl FnOnce(&str, SpanKind, &[KeyValue<'_>]) -> T,
    ) -> T {
        match self.fields.as_deref() {
            None => ask(name, self.kind, &[]),
            Some(fields) => {
                let name = fields.name().unwrap_or(name);
                let kind = fields.kind().unwrap_or_default();
                fields.with_attributes(&[], |list| ask(name, kind, list))
            }
        }
    }
}

impl FieldSink for LayerSpan {
    #[inline]
    fn value(&mut self, key: &'static str, value: Value<'_>) {
        self.undecided.span.set_attribute(key, value);
    }

    #[inline]
    fn text(&mut self, key: &'static str, text: &str) {
        match special(key, text) {
            None => self.undecided.span.set_attribute(key, text),
            Some(Special::Name) => self.undecided.span.update_name(text),
            Some(Special::Kind(kind)) => {
                self.kind = kind;
                self.undecided.span.set_kind(kind);
            }
            Some(Special::Status(StatusCode::Unset)) => {}
            Some(Special::Status(StatusCode::Ok)) => self.undecided.span.set_status(Status::Ok),
            Some(Special::Status(StatusCode::Error)) => self.fail(""),
            Some(Special::Description) => self.fail(text),
        }
    }

    fn error(&mut self, key: &'static str, text: &str, sources: &str) {
        self.undecided.span.set_attribute(key, text);
        self.add_exception(text, sources);
    }
}

impl Times {
    /// The time since the last change, which is now.
    fn lap(&mut self, now: Instant) -> u64 {
        let lap = now.as_nanos().saturating_sub(self.since.as_nanos());
        self.since = now;
        lap
    }
}

/// The attributes of an exception. The sources of a Rust error are the nearest thing to a stack
/// trace that it brings along.
fn exception<'a>(text: &'a str, sources: &'a str) -> ([KeyValue<'a>; 2], usize) {
    let list = [
        KeyValue::new(MESSAGE, text),
        KeyValue::new(STACKTRACE, sources),
    ];
    (list, if sources.is_empty() { 1 } else { 2 })
}
