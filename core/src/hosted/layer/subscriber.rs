//! The layer itself.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Spans;
use tracing_subscriber::registry::LookupSpan;

use super::entered::{self, SpanState};
use super::fields::{Owner, StoredFields};
use super::open::{self, OpenSpans};
use super::span::{EXCEPTION, LayerSpan};
use super::visit::Visitor;
use crate::attribute::KeyValue;
use crate::context::{Link, SpanKind};
use crate::hosted::clock;
use crate::hosted::current::{self, Context};
use crate::hosted::trace::{Span, Tracer, UndecidedStart, take_over};

/// A layer that turns `tracing` spans into Spandrel spans; see the [module](super).
///
/// A subscriber has at most one. The layer does not filter; wrap it with `Layer::with_filter` to
/// limit what it records. A layer that is dropped ends its open spans.
pub struct TracingLayer {
    open: Arc<OpenSpans>,
    options: Options,
    /// The subscriber leads to the layer. A `reload::Layer` around it does not.
    is_direct: AtomicBool,
}

/// Leads from a span of the registry to the layer that records it.
pub(super) struct Trace(pub(super) Weak<OpenSpans>);

/// The span of an event.
#[derive(Clone, Copy)]
struct Owning {
    id: u64,
    /// The event happened in this span, and not in one that is hidden.
    is_own: bool,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    location: bool,
    threads: bool,
    level: bool,
    target: bool,
    inactivity: bool,
    failing_events: bool,
    returned_errors: bool,
    late_parents: bool,
}

/// A layer that records through `tracer`, whose scope its spans carry.
///
/// While `tracer` records nothing, neither does the layer; its spans then stand for their parents, so
/// that what came with a request goes on. `Option<TracingLayer>` is a layer as well:
/// `tracer.enabled().then(|| layer(&tracer))` removes even that cost, and then nothing goes on.
#[must_use]
pub fn layer(tracer: &Tracer) -> TracingLayer {
    TracingLayer {
        open: OpenSpans::new(tracer),
        is_direct: AtomicBool::new(false),
        options: Options {
            location: false,
            threads: false,
            level: false,
            target: false,
            inactivity: false,
            failing_events: false,
            returned_errors: true,
            late_parents: true,
        },
    }
}

impl TracingLayer {
    /// Turns on what `tracing-opentelemetry` has on by default, for those who come from there: the place
    /// in the source, the thread, the target, and the status error for each event of the level error.
    ///
    /// The [module](super#differences-to-tracing-opentelemetry) says what differs all the same.
    #[must_use]
    pub const fn with_defaults_of_tracing_opentelemetry(self) -> Self {
        self.with_location(true)
            .with_threads(true)
            .with_target(true)
            .with_error_events_as_status(true)
    }

    /// Sets whether spans and events carry their place in the source: `code.file.path`,
    /// `code.line.number`, `code.module.name`. Off by default.
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

    /// Sets whether an error that a function of `#[instrument(err)]` returns sets the status of its
    /// span to error, with the error's text. On by default. A description that was set before stays.
    ///
    /// `err` makes an event with a field `error` and nothing else. Such an event of the level error
    /// counts, wherever it comes from; of another level, only if the attribute made it.
    #[must_use]
    pub const fn with_returned_errors_as_status(mut self, returned_errors: bool) -> Self {
        self.options.returned_errors = returned_errors;
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
    /// final. A span that was left already ends when it is closed.
    ///
    /// For the span that the thread is in, [`current`](crate::hosted::current::current) is simpler
    /// and faster.
    #[must_use]
    pub fn context(&self, id: &Id) -> Option<Context> {
        self.open.handed_out(id)
    }

    /// What [`SpanExt`](super::SpanExt) works on.
    pub(super) fn open(&self) -> &OpenSpans {
        &self.open
    }

    /// Leaves a way from the span to its layer, which a wrapper hides.
    #[cold]
    fn leave_trace<S>(&self, id: &Id, spans: &Spans<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(span) = spans.span(id) {
            let trace = Trace(Arc::downgrade(&self.open));
            span.extensions_mut().replace(trace);
        }
    }

    /// The nearest span to `id`, upwards, that this layer has. A filter hides spans from the layer,
    /// so the registry is asked itself.
    #[cold]
    fn nearest<S>(&self, id: &Id, spans: &Spans<'_, S>) -> Option<u64>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let is_known = |id: u64| self.open.table.with(id, |_| ()).is_some();
        if self.open.home.get().is_some() {
            return self.open.nearest(id);
        }
        let mut ids = spans.span(id)?.scope().map(|span| span.id().into_u64());
        ids.find(|id| is_known(*id))
    }

    /// The parent of a new span, with the parent's id if it must not end before the new one;
    /// 0 if it may.
    fn parent_of<S>(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        spans: &Spans<'_, S>,
    ) -> (Context, u64)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if attributes.is_contextual() {
            let innermost = spans.current_span();
            if let Some(id) = innermost.id() {
                let top = self.open.settle_top().map(|(id, _)| id);
                if Some(id.into_u64()) != top {
                    if let Some(parent) = self.nearest(id, spans).filter(|id| Some(*id) != top) {
                        return self.as_parent(parent);
                    }
                }
            }
            return (current::current().unwrap_or_default(), 0);
        }
        let Some(parent) = attributes.parent() else {
            return (Context::default(), 0);
        };
        let parent = match self.open.table.with(parent.into_u64(), |_| ()) {
            Some(()) => Some(parent.into_u64()),
            None => self.nearest(id, spans),
        };
        match parent {
            Some(parent) => self.as_parent(parent),
            None => (Context::default(), 0),
        }
    }

    /// The context of `id` for a child, with `id` itself if it must not end before the child does; 0
    /// if it may.
    fn as_parent(&self, id: u64) -> (Context, u64) {
        match self.open.settled_for_child(id) {
            Some((context, was_left)) => (context, if was_left { id } else { 0 }),
            None => (Context::default(), 0),
        }
    }

    /// Starts a span. Code of the program runs here, and no lock is held.
    fn start(&self, attributes: &Attributes<'_>, context: &Context, left_parent: u64) -> LayerSpan {
        let keep = self.options.late_parents;
        let start = UndecidedStart {
            name: attributes.metadata().name(),
            kind: SpanKind::Internal,
            parent: context.as_parent(),
            context: Some(context),
            attributes: &[],
            keep,
        };
        let tracer = self.open.tracer.in_provider();
        let max_len = tracer.max_span_bytes();
        let mut live;
        if tracer.has_custom_sampler() {
            // It may look at all attributes, so they come first.
            let record = |visitor: &mut Visitor<'_, _>| attributes.record(visitor);
            let fields = StoredFields::collected(max_len, Owner::Span, record);
            let kind = fields.kind().unwrap_or_default();
            let undecided = fields.with_attributes(&[], |list| {
                tracer.start_undecided(&UndecidedStart {
                    name: fields.name().unwrap_or(start.name),
                    kind,
                    attributes: list,
                    ..start
                })
            });
            live = LayerSpan::new(undecided, context, kind, self.options.inactivity);
            live.apply_outcome(&fields);
            if keep {
                live.keep_fields(*fields);
            } else {
                fields.give_back();
            }
        } else {
            let undecided = tracer.start_undecided_inline(&start);
            live = LayerSpan::new(undecided, context, start.kind, self.options.inactivity);
            if live.is_recording() {
                let sink = &mut live;
                attributes.record(&mut Visitor { sink, max_len });
            }
        }
        live.set_left_parent(left_parent);
        if context.beside.is_some() && live.is_recording() {
            let copied = self.open.tracer.baggage_attributes();
            take_over(live.span(), context, copied);
        }
        if live.is_recording() {
            self.describe(live.span(), attributes.metadata());
            if tracer.has_processors() {
                live.show_start(tracer, context);
            }
        }
        if !keep {
            live.settle(&self.open.tracer);
        }
        live
    }

    /// Keeps the parent of a span that ends now from ending before.
    #[cold]
    fn keep_parent_open(&self, live: &mut LayerSpan) {
        let at = live.end_time();
        self.open
            .table
            .with(live.left_parent(), |parent| parent.used_at(at));
    }

    /// Sets the attributes that the options ask for.
    fn describe(&self, span: &mut Span, metadata: &'static Metadata<'static>) {
        let options = &self.options;
        if let (true, Some(file), Some(line)) = (options.location, metadata.file(), metadata.line())
        {
            span.set_attribute("code.file.path", file);
            span.set_attribute("code.line.number", line);
            if let Some(module) = metadata.module_path() {
                span.set_attribute("code.module.name", module);
            }
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

    /// The span that an event belongs to, if it records: its own, or the nearest one that no filter
    /// hides.
    fn owner_of<S>(&self, event: &Event<'_>, spans: &Spans<'_, S>) -> Option<Owning>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let own;
        if event.is_contextual() {
            let current = spans.current_span();
            own = current.id()?.into_u64();
            // Nearly always the innermost of both kinds is the same.
            if entered::top(self.open.number).is_some_and(|(top, _)| top == own) {
                let (id, state) = self.open.settle_top()?;
                let is_own = true;
                return (state == SpanState::Recording).then_some(Owning { id, is_own });
            }
        } else {
            own = event.parent()?.into_u64();
        }
        let settle = |live: &mut LayerSpan| {
            live.settle(&self.open.tracer);
            live.is_recording()
        };
        if let Some(recording) = self.open.table.with(own, settle) {
            return recording.then_some(Owning {
                id: own,
                is_own: true,
            });
        }
        let id = self.nearest(&Id::from_u64(own), spans)?;
        let recording = self.open.table.with(id, settle)?;
        recording.then_some(Owning { id, is_own: false })
    }

    fn add_event<S>(&self, owning: Owning, event: &Event<'_>, spans: &Spans<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let at = clock::now();
        let metadata = event.metadata();
        // The name that `tracing-log` gives to the `log` crate's records.
        let owner = match metadata.name() {
            "log event" => Owner::LogEvent,
            _ => Owner::Event,
        };
        let record = |visitor: &mut Visitor<'_, _>| event.record(visitor);
        let limit = self.open.tracer.max_span_bytes();
        StoredFields::collect(limit, owner, record, |fields| {
            let target = fields.target().unwrap_or(metadata.target());
            let (file, line, module) = match self.options.location {
                true => (metadata.file(), metadata.line(), metadata.module_path()),
                false => (None, None, None),
            };
            let mut first = heapless::Vec::<_, 6>::new();
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
                module.map(|module| KeyValue::new("code.module.name", module)),
                message
                    .filter(|_| named)
                    .map(|text| KeyValue::new("message", text)),
            ];
            for attribute in attributes.into_iter().flatten() {
                // There is room for all of them.
                let _ = first.push(attribute);
            }
            let fails = self.options.failing_events && *metadata.level() == Level::ERROR;
            let returned = match self.options.returned_errors && !named && owning.is_own {
                true => fields.lone_error(),
                false => None,
            };
            let returned = returned.filter(|_| is_of_function(metadata, owning.id, spans));
            self.open.table.with(owning.id, |live| {
                live.add_event(name, &first, fields, at);
                if fails {
                    live.fail(fields.error_text().or(message).unwrap_or_default());
                } else if let Some(error) = returned {
                    live.fail_by_return(error);
                }
            });
        });
    }
}

impl<S> Layer<S> for TracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        let reached = subscriber.downcast_ref::<Self>();
        let is_direct = reached.is_some_and(|reached| core::ptr::eq(reached, self));
        self.is_direct.store(is_direct, Ordering::Relaxed);
        let _ = self.open.home.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: Spans<'_, S>) {
        if !self.is_direct.load(Ordering::Relaxed) {
            self.leave_trace(id, &spans);
        }
        let (parent, left_parent) = self.parent_of(attributes, id, &spans);
        #[cfg(not(feature = "_bridge"))]
        let live = self.start(attributes, &parent, left_parent);
        #[cfg(feature = "_bridge")]
        let mut live = self.start(attributes, &parent, left_parent);
        #[cfg(feature = "_bridge")]
        if attributes.is_contextual() && !parent.span_context().is_valid() {
            live.set_orphan();
        }
        if let Some(left) = self.open.table.insert(id.into_u64(), live) {
            // The subscriber reused the id without closing its span.
            left.end(&self.open.tracer);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Spans<'_, S>) {
        let id = id.into_u64();
        let recording = self.open.table.with(id, |live| live.is_recording());
        if recording == Some(true) {
            let record = |visitor: &mut Visitor<'_, _>| values.record(visitor);
            let limit = self.open.tracer.max_span_bytes();
            StoredFields::collect(limit, Owner::Span, record, |fields| {
                self.open.table.with(id, |live| {
                    live.is_used_again();
                    fields.replay(live);
                });
            });
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Spans<'_, S>) {
        // One lock at a time.
        if let Some(context) = self.open.settled(follows.into_u64()) {
            let link = Link {
                span_context: context.span_context(),
                trace_state: context.trace_state(),
                attributes: &[],
            };
            self.open.with_span(id, |span| span.add_link(&link));
        }
    }

    fn on_event(&self, event: &Event<'_>, spans: Spans<'_, S>) {
        if !self.open.tracer.enabled() {
            return;
        }
        if let Some(owning) = self.owner_of(event, &spans) {
            self.add_event(owning, event, &spans);
        }
    }

    #[cfg_attr(
        not(feature = "_bridge"),
        allow(unused_variables, reason = "only another library's parent needs it")
    )]
    fn on_enter(&self, id: &Id, spans: Spans<'_, S>) {
        let key = self.open.key(id);
        #[cfg(feature = "_bridge")]
        self.adopt(id, &spans);
        let found = self.open.table.with(key.id, |live| {
            let state = live.state();
            // Where an inert one was entered does not matter.
            if state != SpanState::Inert {
                live.enter();
            }
            (state, live.context(), live.brings_values())
        });
        if let Some((state, context, brings_values)) = found {
            entered::push(key, state, context, brings_values);
        }
    }

    fn on_exit(&self, id: &Id, _: Spans<'_, S>) {
        let key = self.open.key(id);
        match entered::pop(key) {
            Some(SpanState::Inert) => {}
            None => entered::pop_of_gone(key.id, open::is_gone),
            Some(SpanState::Fresh | SpanState::Recording) => {
                let now = clock::now();
                self.open.table.with(key.id, |live| live.exit(now));
            }
        }
    }

    fn on_close(&self, id: Id, _: Spans<'_, S>) {
        let key = self.open.key(&id);
        let Some(mut live) = self.open.table.remove(key.id) else {
            return;
        };
        if live.is_entered() {
            // It was never left, so its context is still current.
            while entered::pop(key).is_some() {}
        }
        if live.left_parent() != 0 {
            self.keep_parent_open(&mut live);
        }
        live.end(&self.open.tracer);
    }
}

impl fmt::Debug for TracingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingLayer")
            .field("tracer", &self.open.tracer)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Returns true if an event with a lone error tells the outcome of the span `id`. The macros of
/// `#[instrument]` have one place in the source.
#[cold]
fn is_of_function<S>(event: &Metadata<'_>, id: u64, spans: &Spans<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    *event.level() == Level::ERROR
        || spans.metadata(&Id::from_u64(id)).is_some_and(|span| {
            event.line().is_some() && (event.file(), event.line()) == (span.file(), span.line())
        })
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
