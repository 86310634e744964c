//! The layer itself.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Spans;
use tracing_subscriber::registry::LookupSpan;

use super::entered::{self, Key, SpanState};
use super::error::SetParentError;
use super::fields::{Owner, StoredFields};
use super::span::{EXCEPTION, LayerSpan};
use super::table::Table;
use super::visit::Visitor;
use crate::attribute::KeyValue;
use crate::context::{Link, ParentContext, SpanKind};
use crate::hosted::clock;
use crate::hosted::current::{self, Context};
use crate::hosted::trace::{Span, Tracer, UndecidedStart, note_early};

/// A layer that turns `tracing` spans into Spandrel spans; see the [module](super).
///
/// A subscriber has at most one. The layer does not filter; wrap it with `Layer::with_filter` to
/// limit what it records.
pub struct TracingLayer {
    tracer: Tracer,
    /// Distinguishes this layer from others of the thread.
    number: u32,
    table: Table<LayerSpan>,
    options: Options,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    location: bool,
    threads: bool,
    level: bool,
    target: bool,
    inactivity: bool,
    failing_events: bool,
    late_parents: bool,
}

/// A layer that records through `tracer`, whose scope its spans carry.
///
/// When `tracer` records nothing, neither does the layer. `Option<TracingLayer>` is a layer as
/// well: `tracer.enabled().then(|| layer(&tracer))` removes even the cost of asking.
#[must_use]
pub fn layer(tracer: &Tracer) -> TracingLayer {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !tracer.enabled() {
        note_early();
    }
    TracingLayer {
        tracer: tracer.clone(),
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        table: Table::new(),
        options: Options {
            location: false,
            threads: false,
            level: false,
            target: false,
            inactivity: false,
            failing_events: false,
            late_parents: true,
        },
    }
}

impl TracingLayer {
    /// Sets whether spans and events carry their place in the source: `code.file.path`,
    /// `code.line.number`. Off by default.
    #[must_use]
    pub const fn with_location(mut self, location: bool) -> Self {
        self.options.location = location;
        self
    }

    /// Sets whether spans carry the thread on which they were made: `thread.id`, `thread.name`. Off
    /// by default.
    #[must_use]
    pub const fn with_threads(mut self, threads: bool) -> Self {
        self.options.threads = threads;
        self
    }

    /// Sets whether spans carry their `level`, as events always do. Off by default.
    #[must_use]
    pub const fn with_level(mut self, level: bool) -> Self {
        self.options.level = level;
        self
    }

    /// Sets whether spans carry their `target`, as events always do. Off by default.
    #[must_use]
    pub const fn with_target(mut self, target: bool) -> Self {
        self.options.target = target;
        self
    }

    /// Sets whether spans carry the nanoseconds for which they were entered and not entered:
    /// `busy_ns`, `idle_ns`. Off by default; it costs two more readings of the clock.
    #[must_use]
    pub const fn with_tracked_inactivity(mut self, inactivity: bool) -> Self {
        self.options.inactivity = inactivity;
        self
    }

    /// Sets whether an event of the level error sets the status of its span to error, with the text
    /// of its field `error` or its message. Off by default: not every logged error is the outcome
    /// of the span.
    #[must_use]
    pub const fn with_error_events_as_status(mut self, failing_events: bool) -> Self {
        self.options.failing_events = failing_events;
        self
    }

    /// Sets whether [`SpanExt::set_parent`](super::SpanExt::set_parent) works. On by default.
    ///
    /// A parent in another process may turn an unsampled span into a sampled one. So, while that
    /// can happen, the fields of unsampled spans are recorded too, in reused memory. With `false`
    /// an unsampled span costs next to nothing, and its fields are not even formatted.
    #[must_use]
    pub const fn with_late_parents(mut self, late_parents: bool) -> Self {
        self.options.late_parents = late_parents;
        self
    }

    /// The Spandrel context of an open `tracing` span, for other layers. From now on its parent is
    /// final.
    ///
    /// For the span that the thread is in, [`current`](crate::hosted::current::current) is simpler
    /// and faster.
    #[must_use]
    pub fn context(&self, id: &Id) -> Option<Context> {
        self.settled(id.into_u64())
    }

    /// The most bytes of a text that can be stored.
    pub(super) fn max_text(&self) -> usize {
        self.tracer.max_span_bytes()
    }

    /// Works on a span that records.
    pub(super) fn with_span(&self, id: &Id, work: impl FnOnce(&mut Span)) {
        self.table.with(id.into_u64(), |live| work(live.span()));
    }

    pub(super) fn fail(&self, id: &Id, description: &str) {
        let set = |live: &mut LayerSpan| live.fail(description);
        self.table.with(id.into_u64(), set);
    }

    pub(super) fn set_parent(
        &self,
        id: &Id,
        metadata: &Metadata<'_>,
        parent: ParentContext<'_>,
    ) -> Result<(), SetParentError> {
        let key = self.key(id);
        let here = entered::count(key);
        let kind = self
            .table
            .with(key.id, |live| match live.state() {
                SpanState::Fresh => Ok(live.kind),
                _ => Err(SetParentError::TooLate),
            })
            .ok_or(SetParentError::NotRecorded)??;
        // The sampler may be the program's, so no lock is held here.
        let decided = self
            .tracer
            .decide_again(metadata.name(), kind, parent, |decision| {
                self.table.with(key.id, |live| {
                    live.change_parent(here, |undecided| undecided.reparent(decision))
                })
            });
        let context = decided.flatten().ok_or(SetParentError::NotRecorded)?;
        let context = context.ok_or(SetParentError::TooLate)?;
        entered::replace(key, &context);
        Ok(())
    }

    fn key(&self, id: &Id) -> Key {
        Key {
            layer: self.number,
            id: id.into_u64(),
        }
    }

    /// The context of a span, which is final from now on.
    fn settled(&self, id: u64) -> Option<Context> {
        self.table.with(id, |live| {
            live.settle(&self.tracer);
            live.context()
        })
    }

    /// Settles the innermost span of the thread, because something happens in it. Returns its id
    /// and state.
    fn settle_top(&self) -> Option<(u64, SpanState)> {
        let (id, state) = entered::top(self.number)?;
        if state != SpanState::Fresh {
            return Some((id, state));
        }
        let state = self.table.with(id, |live| {
            live.settle(&self.tracer);
            live.state()
        })?;
        let layer = self.number;
        entered::set_state(Key { layer, id }, state);
        Some((id, state))
    }

    /// The parent of a new span.
    fn parent_of<S>(&self, attributes: &Attributes<'_>, id: &Id, spans: &Spans<'_, S>) -> Context
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if attributes.is_contextual() {
            self.settle_top();
            return current::current().unwrap_or_default();
        }
        let Some(parent) = attributes.parent() else {
            return Context::default();
        };
        if let Some(context) = self.settled(parent.into_u64()) {
            return context;
        }
        // A filter may hide the parent from this layer, but not the parent's own parent.
        let mut span = spans.span(id);
        while let Some(parent) = span.and_then(|span| span.parent()) {
            if let Some(context) = self.settled(parent.id().into_u64()) {
                return context;
            }
            span = Some(parent);
        }
        Context::default()
    }

    /// Starts a span. Code of the program runs here, and no lock is held.
    fn start(&self, attributes: &Attributes<'_>, parent: ParentContext<'_>) -> Option<LayerSpan> {
        let keep = self.options.late_parents;
        let start = UndecidedStart {
            name: attributes.metadata().name(),
            kind: SpanKind::Internal,
            parent,
            attributes: &[],
            keep,
        };
        let max_len = self.tracer.max_span_bytes();
        let mut live;
        if self.tracer.has_custom_sampler() {
            // It may look at all attributes, so they come first.
            let record = |visitor: &mut Visitor<'_, _>| attributes.record(visitor);
            live = StoredFields::collect(max_len, Owner::Span, record, |fields| {
                let kind = fields.kind().unwrap_or_default();
                let undecided = fields.with_attributes(&[], |list| {
                    self.tracer.start_undecided(&UndecidedStart {
                        name: fields.name().unwrap_or(start.name),
                        kind,
                        attributes: list,
                        ..start
                    })
                })?;
                let mut live = LayerSpan::new(undecided, kind, self.options.inactivity);
                live.apply_outcome(fields);
                Some(live)
            })?;
        } else {
            let undecided = self.tracer.start_undecided_inline(&start)?;
            live = LayerSpan::new(undecided, start.kind, self.options.inactivity);
            if live.is_recording() {
                let sink = &mut live;
                attributes.record(&mut Visitor { sink, max_len });
            }
        }
        if live.is_recording() {
            self.describe(live.span(), attributes.metadata());
        }
        if !keep {
            live.settle(&self.tracer);
        }
        Some(live)
    }

    /// Sets the attributes that the options ask for.
    fn describe(&self, span: &mut Span, metadata: &'static Metadata<'static>) {
        let options = &self.options;
        if let (true, Some(file), Some(line)) = (options.location, metadata.file(), metadata.line())
        {
            span.set_attribute("code.file.path", file);
            span.set_attribute("code.line.number", line);
        }
        if options.threads {
            span.set_attribute("thread.id", thread_number());
            if let Some(name) = std::thread::current().name() {
                span.set_attribute("thread.name", name);
            }
        }
        if options.level {
            span.set_attribute("level", metadata.level().as_str());
        }
        if options.target {
            span.set_attribute("target", metadata.target());
        }
    }

    /// The span that an event belongs to, if it records.
    fn owner_of(&self, event: &Event<'_>) -> Option<u64> {
        if event.is_contextual() {
            let (id, state) = self.settle_top()?;
            return (state == SpanState::Recording).then_some(id);
        }
        let id = event.parent()?.into_u64();
        let recording = self.table.with(id, |live| {
            live.settle(&self.tracer);
            live.is_recording()
        });
        (recording == Some(true)).then_some(id)
    }

    fn add_event(&self, id: u64, event: &Event<'_>) {
        let at = clock::now();
        let metadata = event.metadata();
        // The name that `tracing-log` gives to the `log` crate's records.
        let owner = match metadata.name() {
            "log event" => Owner::LogEvent,
            _ => Owner::Event,
        };
        let record = |visitor: &mut Visitor<'_, _>| event.record(visitor);
        let limit = self.tracer.max_span_bytes();
        StoredFields::collect(limit, owner, record, |fields| {
            let target = fields.target().unwrap_or(metadata.target());
            let (file, line) = match self.options.location {
                true => (metadata.file(), metadata.line()),
                false => (None, None),
            };
            let mut first = heapless::Vec::<_, 5>::new();
            let message = fields.message();
            // One that the program gave, and not the macro.
            let named = owner == Owner::Event && !metadata.name().starts_with("event ");
            let name = match (named, message) {
                (true, _) => metadata.name(),
                (false, Some(message)) => message,
                (false, None) if fields.error_text().is_some() => EXCEPTION,
                (false, None) => metadata.name(),
            };
            let attributes = [
                Some(KeyValue::new("level", metadata.level().as_str())),
                Some(KeyValue::new("target", target)),
                file.map(|file| KeyValue::new("code.file.path", file)),
                line.map(|line| KeyValue::new("code.line.number", line)),
                message
                    .filter(|_| named)
                    .map(|text| KeyValue::new("message", text)),
            ];
            for attribute in attributes.into_iter().flatten() {
                // There is room for all of them.
                let _ = first.push(attribute);
            }
            let fails = self.options.failing_events && *metadata.level() == Level::ERROR;
            self.table.with(id, |live| {
                live.add_event(name, &first, fields, at);
                if fails {
                    live.fail(fields.error_text().or(message).unwrap_or_default());
                }
            });
        });
    }
}

impl<S> Layer<S> for TracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: Spans<'_, S>) {
        if !self.tracer.enabled() {
            return;
        }
        let parent = self.parent_of(attributes, id, &spans);
        if let Some(live) = self.start(attributes, parent.as_parent()) {
            if let Some(left) = self.table.insert(id.into_u64(), live) {
                // The subscriber reused the id without closing its span.
                left.end(&self.tracer);
            }
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Spans<'_, S>) {
        let id = id.into_u64();
        let recording = self.table.with(id, |live| live.is_recording());
        if recording == Some(true) {
            let record = |visitor: &mut Visitor<'_, _>| values.record(visitor);
            let limit = self.tracer.max_span_bytes();
            StoredFields::collect(limit, Owner::Span, record, |fields| {
                self.table.with(id, |live| fields.replay(live));
            });
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Spans<'_, S>) {
        // One lock at a time.
        if let Some(context) = self.settled(follows.into_u64()) {
            let link = Link {
                span_context: context.span_context,
                trace_state: context.trace_state.as_deref().unwrap_or_default(),
                attributes: &[],
            };
            self.with_span(id, |span| span.add_link(&link));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Spans<'_, S>) {
        if !self.tracer.enabled() {
            return;
        }
        if let Some(id) = self.owner_of(event) {
            self.add_event(id, event);
        }
    }

    fn on_enter(&self, id: &Id, _: Spans<'_, S>) {
        let key = self.key(id);
        let found = self.table.with(key.id, |live| {
            let state = live.state();
            // Where an inert one was entered does not matter.
            if state != SpanState::Inert {
                live.enter();
            }
            (state, live.context())
        });
        if let Some((state, context)) = found {
            entered::push(key, state, context);
        }
    }

    fn on_exit(&self, id: &Id, _: Spans<'_, S>) {
        let key = self.key(id);
        match entered::pop(key) {
            Some(SpanState::Inert) | None => {}
            Some(SpanState::Fresh | SpanState::Recording) => {
                let now = clock::now();
                self.table.with(key.id, |live| live.exit(now));
            }
        }
    }

    fn on_close(&self, id: Id, _: Spans<'_, S>) {
        let key = self.key(&id);
        let Some(live) = self.table.remove(key.id) else {
            return;
        };
        if live.is_entered() {
            // It was never left, so its context is still current.
            while entered::pop(key).is_some() {}
        }
        live.end(&self.tracer);
    }
}

impl fmt::Debug for TracingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingLayer")
            .field("tracer", &self.tracer)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The number in the thread's `ThreadId`, which the standard library gives as text only.
fn thread_number() -> u64 {
    std::thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    let known = NUMBER.get();
    if known != 0 {
        return known;
    }
    let text = std::format!("{:?}", std::thread::current().id());
    let digits = text.trim_matches(|c: char| !c.is_ascii_digit());
    let number = digits.parse().unwrap_or(0);
    NUMBER.set(number);
    number
}
