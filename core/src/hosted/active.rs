//! Recording on the active span, by code that has no reference to it.
//!
//! A [`Span`](crate::hosted::trace::Span) belongs to its owner, who changes it without a lock. What is
//! current on a thread are its ids. A helper deep in the call tree, which is handed no `&mut Span`,
//! records by these ids:
//!
//! ```
//! use spandrel_core::hosted::active::active_span;
//! use spandrel_core::hosted::trace::Tracer;
//!
//! fn look_up(key: &str) -> Option<String> {
//!     active_span().set_attribute("cache.hit", false);
//!     active_span().add_event("cache.missed", &[]);
//!     None
//! }
//!
//! fn handle(tracer: &Tracer) {
//!     tracer.span("order.place").in_scope(|_| look_up("order"));
//! }
//! # handle(&Tracer::disabled());
//! ```
//!
//! It works on the thread where the span is [current](mod@super::current), in a future
//! [`in_span`](super::current::ContextFutureExt::in_span) on whatever thread that is polled, and in
//! spans of the `tracing` layer. An [`ActiveSpan`] may also be kept and sent to other threads.
//!
//! # How it works, and what follows
//!
//! What a helper records is kept beside the span, by its id, and becomes part of it when it ends. So:
//!
//! - Of a key that the helper and the owner have both set, the helper's value counts, even if the owner
//!   set his later. The [status](crate::span::Status) follows its ranks; of two errors the helper's
//!   counts. Events are behind the owner's, with their own times.
//! - Processors see it when the span ends, and samplers never do.
//! - Limits and memory of the span apply when it ends; what does not fit is counted there.
//! - What is recorded after the end of the span changes nothing. [`lost_updates`] counts it.
//! - A span that is not sampled, or that belongs to another process, takes nothing, and that is no loss.
//! - Ids do not tell whether their span has ended long ago. What is recorded for one that will never end
//!   again waits, until there are 16,384 such spans or 16 MiB; then the oldest is forgotten and
//!   counted in [`lost_updates`].
//!
//! A program that never calls this pays three instructions at the end of a span. The first update of a
//! span takes about 2300, with what it costs at the end, and allocates. In a program with updates the
//! end of every span looks whether some wait for it.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::vec;

use super::clock;
use super::current::{self, Context};
use super::growing::GrowingRecording;
use super::process::lock;
use super::text::capped_text;
use crate::attribute::{KeyValue, Value};
use crate::context::{Link, SpanContext, SpanKind};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::span::stored::StoredSpan;
use crate::span::{Begin, Beginning, MIN_SCRATCH_BYTES, Recording, Status, encoded_len, type_name};
use crate::time::Instant;

/// The parts of what waits, each with a lock of its own.
const SHELVES: usize = 16;
/// The most spans, and the most bytes, that wait on a shelf.
const MAX_SPANS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;
/// The memory that the first update of a span takes, at least.
const FIRST_BYTES: usize = 512;
/// The spans that ended last, by the low bits of their ids.
const ENDED: usize = 1024;

/// Something was recorded by id. Until then the end of a span looks no further.
static IS_USED: AtomicBool = AtomicBool::new(false);
static WAITING: [Shelf; SHELVES] = [const { Shelf::new() }; SHELVES];
static JUST_ENDED: [AtomicU64; ENDED] = [const { AtomicU64::new(0) }; ENDED];
static LOST: AtomicU64 = AtomicU64::new(0);
/// Of the provider that was made last: a helper's span is nearly always its.
static BOUNDS: Mutex<Bounds> = Mutex::new(Bounds {
    limits: SpanLimits::DEFAULT,
    max_span_bytes: 16 << 10,
});

#[derive(Clone, Copy)]
struct Bounds {
    limits: SpanLimits,
    max_span_bytes: usize,
}

/// Sets how much may wait for a span.
pub(in crate::hosted) fn set_bounds(limits: &SpanLimits, max_span_bytes: usize) {
    if let Some(mut bounds) = lock(&BOUNDS) {
        *bounds = Bounds {
            limits: *limits,
            max_span_bytes,
        };
    }
}

/// The span that is current on this thread, to record on.
#[must_use]
pub fn active_span() -> ActiveSpan {
    ActiveSpan {
        context: current::current_span_context().unwrap_or(SpanContext::INVALID),
    }
}

/// Returns the number of updates that changed no span: they came after its end, or were forgotten for
/// lack of memory.
#[must_use]
pub fn lost_updates() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// A span to record on by its ids; see the [module](self). Without an active span it takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ActiveSpan {
    context: SpanContext,
}

/// The span of `context`, to record on.
impl From<&Context> for ActiveSpan {
    fn from(context: &Context) -> Self {
        context.span_context().into()
    }
}

/// The span of these ids, to record on.
impl From<SpanContext> for ActiveSpan {
    fn from(context: SpanContext) -> Self {
        Self { context }
    }
}

impl ActiveSpan {
    /// Returns the ids and flags of the span; not valid if there is none.
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Returns true if updates may reach a span: it is of this process, sampled, and not known to have
    /// ended. Ask before costly preparations.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.takes_updates() && !has_ended(self.id())
    }

    /// Sets an attribute.
    pub fn set_attribute<'v>(&self, key: &str, value: impl Into<Value<'v>>) {
        let value = value.into();
        self.set_attributes(&[KeyValue { key, value }]);
    }

    /// Sets several attributes.
    pub fn set_attributes(&self, attributes: &[KeyValue<'_>]) {
        self.update(encoded_len(attributes), |recording| {
            recording.set_attributes(attributes);
        });
    }

    /// Adds an event that happens now.
    pub fn add_event(&self, name: &str, attributes: &[KeyValue<'_>]) {
        let len = name.len() + encoded_len(attributes);
        self.update(len, |recording| {
            recording.add_event(name, attributes, clock::now());
        });
    }

    /// Adds a link to another span.
    pub fn add_link(&self, link: &Link<'_>) {
        let len = link.trace_state.len() + encoded_len(link.attributes);
        self.update(len, |recording| recording.add_link(link));
    }

    /// Sets the status, unless the span's own ranks higher: `Unset < Error < Ok`.
    pub fn set_status(&self, status: Status<'_>) {
        let len = match status {
            Status::Error { description } => description.len(),
            _ => 0,
        };
        self.update(len, |recording| recording.set_status(status));
    }

    /// Renames the span. An empty name changes nothing.
    pub fn update_name(&self, name: &str) {
        self.update(name.len(), |recording| recording.update_name(name));
    }

    /// Records `error` as an event `exception`, as
    /// [`Span::record_error`](crate::hosted::trace::Span::record_error) does. The status stays as it is.
    pub fn record_error<E: fmt::Display + ?Sized>(&self, error: &E) {
        if self.takes_updates() {
            self.add_exception(type_name::<E>(), &text_of(error));
        }
    }

    /// Records `error` as an event `exception`, and sets the status to error with its text.
    pub fn fail<E: fmt::Display + ?Sized>(&self, error: &E) {
        if self.takes_updates() {
            let text = text_of(error);
            self.add_exception(type_name::<E>(), &text);
            self.set_status(Status::error(&text));
        }
    }

    fn add_exception(&self, type_name: Option<&str>, message: &str) {
        let message = KeyValue::str("exception.message", message);
        match type_name {
            Some(name) => {
                let attributes = [KeyValue::str("exception.type", name), message];
                self.add_event("exception", &attributes);
            }
            None => self.add_event("exception", &[message]),
        }
    }

    fn takes_updates(&self) -> bool {
        self.context.is_valid() && self.context.is_sampled() && !self.context.is_remote()
    }

    fn id(&self) -> u64 {
        u64::from_be_bytes(self.context.span_id().to_bytes())
    }

    /// Does `work`, which takes about `len` bytes, on what waits for the span. No code of the program
    /// runs in it.
    fn update(&self, len: usize, work: impl FnOnce(&mut Recording<Box<[u8]>>)) {
        if !self.takes_updates() {
            return;
        }
        let id = self.id();
        IS_USED.store(true, Ordering::Release);
        let Some(bounds) = lock(&BOUNDS).map(|bounds| *bounds) else {
            return;
        };
        let Some(shelf) = shelf_of(id) else { return };
        let Some(mut waiting) = lock(&shelf.waiting) else {
            return;
        };
        if has_ended(id) {
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.update(id, bounds, len, work);
        shelf.count.store(waiting.spans.len(), Ordering::Release);
    }
}

/// The text of an error, formatted before any lock is taken.
fn text_of<E: fmt::Display + ?Sized>(error: &E) -> std::string::String {
    let most = lock(&BOUNDS).map_or(0, |bounds| bounds.max_span_bytes);
    capped_text(most, format_args!("{error}"))
}

/// Returns true if something may wait for a span that ends.
#[inline(always)]
pub(in crate::hosted) fn is_used() -> bool {
    IS_USED.load(Ordering::Relaxed)
}

/// Hands what waits for a span that ends to `recording`.
#[cold]
#[inline(never)]
pub(in crate::hosted) fn settle(recording: &mut GrowingRecording) {
    if !recording.is_recording() {
        return;
    }
    let Some(span) = StoredSpan::new(recording.so_far().body) else {
        return;
    };
    let id = u64::from_be_bytes(span.span_id().to_bytes());
    if let Some(place) = JUST_ENDED.get(id as usize % ENDED) {
        place.store(id, Ordering::Release);
    }
    let Some(shelf) = shelf_of(id) else { return };
    // What happened before the end of the span is seen here; nothing else has to be.
    if shelf.count.load(Ordering::Acquire) == 0 {
        return;
    }
    let Some(mut waiting) = lock(&shelf.waiting) else {
        return;
    };
    let found = waiting.take(id);
    shelf.count.store(waiting.spans.len(), Ordering::Release);
    drop(waiting);
    if let Some(updates) = found {
        recording.absorb(&updates.recording);
    }
}

fn has_ended(id: u64) -> bool {
    let place = JUST_ENDED.get(id as usize % ENDED);
    place.is_some_and(|place| place.load(Ordering::Acquire) == id)
}

fn shelf_of(id: u64) -> Option<&'static Shelf> {
    WAITING.get((id >> 32) as usize % SHELVES)
}

struct Shelf {
    /// The number of spans, which is read without the lock.
    count: AtomicUsize,
    waiting: Mutex<Waiting>,
}

impl Shelf {
    const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            waiting: Mutex::new(Waiting {
                spans: BTreeMap::new(),
                order: VecDeque::new(),
                bytes: 0,
            }),
        }
    }
}

/// What waits for the ends of spans.
struct Waiting {
    spans: BTreeMap<u64, Updates>,
    /// The ids in the order of their first updates, with some that have been taken.
    order: VecDeque<u64>,
    bytes: usize,
}

/// All updates of a span, recorded like a span.
struct Updates {
    recording: Recording<Box<[u8]>>,
    /// The number of updates.
    count: u64,
}

impl Waiting {
    fn update(
        &mut self,
        id: u64,
        bounds: Bounds,
        len: usize,
        work: impl FnOnce(&mut Recording<Box<[u8]>>),
    ) {
        if !self.spans.contains_key(&id) {
            self.order.push_back(id);
            if self.order.len() > 2 * MAX_SPANS {
                self.order.retain(|id| self.spans.contains_key(id));
                self.order.push_back(id);
            }
        }
        let updates = self.spans.entry(id).or_insert_with(|| Updates::new(bounds));
        let before = updates.recording.capacity();
        updates.reserve(len, bounds);
        let after = updates.recording.capacity();
        work(&mut updates.recording);
        self.bytes += after - if updates.count == 0 { 0 } else { before };
        updates.count += 1;
        while self.spans.len() > MAX_SPANS || (self.bytes > MAX_BYTES && self.spans.len() > 1) {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(forgotten) = self.take(oldest) {
                LOST.fetch_add(forgotten.count, Ordering::Relaxed);
            }
        }
    }

    fn take(&mut self, id: u64) -> Option<Updates> {
        let taken = self.spans.remove(&id)?;
        self.bytes -= taken.recording.capacity();
        Some(taken)
    }
}

impl Updates {
    fn new(bounds: Bounds) -> Self {
        let mut updates = Self {
            recording: Recording::idle(scratch(FIRST_BYTES)),
            count: 0,
        };
        updates.recording.begin(&Beginning {
            limits: &bounds.limits,
            context: &SpanContext::INVALID,
            parent: None,
            trace_state: "",
            inherited_state: "",
            name: "",
            kind: SpanKind::Internal,
            scope: ScopeId(0),
            start: Instant::ZERO,
            is_recording: true,
        });
        updates
    }

    /// Makes so much room for `len` bytes that they are not cut, up to twice the memory of a span.
    fn reserve(&mut self, len: usize, bounds: Bounds) {
        // A large item takes at most half of what is free.
        let free = len.saturating_mul(3).saturating_add(MIN_SCRATCH_BYTES);
        let used = self.recording.so_far().body.len();
        let most = bounds.max_span_bytes.saturating_mul(2).max(FIRST_BYTES);
        let wanted = used.saturating_add(free).min(most);
        if wanted > self.recording.capacity() {
            let wanted = wanted.next_power_of_two();
            self.recording.grow(scratch(wanted));
        }
    }
}

fn scratch(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}

#[cfg(test)]
mod tests;
