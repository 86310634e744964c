//! Span processors: code of the program that sees the start and the end of every recorded span.
//!
//! ```text
//!  start ─▶ on_start, each in order         end ─▶ on_ending, each in order
//!                                               ─▶ on_end, each in order ─▶ Keep ─▶ exported
//!                                                                        └▶ Drop: counted, and gone
//! ```
//!
//! A processor adds what every span is to carry, removes what must not leave the program, drops spans
//! that nobody wants, or counts and measures. They are set in
//! [`Config::processors`](crate::hosted::config::Config::processors), and work alike in both transports
//! and for the spans of the `tracing` layer:
//!
//! ```
//! use spandrel_core::hosted::config::Config;
//! use spandrel_core::hosted::processor::{LiveSpan, SpanProcessor, SpanFate};
//! use spandrel_core::span::finished::FinishedSpan;
//! use std::sync::Arc;
//!
//! struct Privacy;
//!
//! impl SpanProcessor for Privacy {
//!     fn on_ending(&self, span: &mut LiveSpan<'_>) {
//!         if span.view().is_some_and(|span| span.attribute("user.email").is_some()) {
//!             span.set_attribute("user.email", "(removed)");
//!         }
//!     }
//!
//!     fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
//!         match span.name() {
//!             "GET /health" => SpanFate::Drop,
//!             _ => SpanFate::Keep,
//!         }
//!     }
//! }
//!
//! let config = Config { processors: vec![Arc::new(Privacy)], ..Config::development("shop") };
//! # drop(config);
//! ```
//!
//! # Costs
//!
//! Without processors a span pays nothing for them. With one, start and end together take about 1700
//! instructions more, and with each further one about 300, beside what its methods do: the calls go
//! through `catch_unwind`, and the provider is looked up under a lock.
//!
//! # Rules
//!
//! - The methods are called on the thread that starts or ends the span, and delay it. They are called
//!   for spans that record: sampled ones, and those that a sampler has recorded only.
//! - All `on_ending` of a span come before its first `on_end`. A span that one processor drops is not
//!   shown to those after it.
//! - A processor that panics does no harm: the span goes on as if the method had done nothing, `on_end`
//!   as if it had kept the span. The first panic of each processor is reported, and
//!   [`SpanCounts::processor_panics`](crate::hosted::trace::SpanCounts::processor_panics) counts all.
//! - A processor may use tracers and the macros of `tracing`. Spans that start within one of its
//!   methods are recorded, and no processor sees them; a span of another kind that ends there is shown
//!   to the processors when the method has returned. So no method is called within another one on the
//!   same thread.
//! - While a span of the `tracing` layer starts, the macros of `tracing` do nothing on that thread,
//!   because the subscriber is at work. While one ends they make events, but no spans: a registry of
//!   `tracing-subscriber` 0.3 keeps for ever what is closed meanwhile.
//! - After the shutdown nothing is called any more. Spans that end then are counted as lost.
//! - A span of the `tracing` layer starts when its parent may still change. If a parent that is set
//!   later has it recorded after all, `on_start` comes just before `on_ending`; if such a parent ends
//!   its recording, no end follows.

use core::fmt;
use std::boxed::Box;
use std::string::ToString as _;
use std::time::Instant as StdInstant;

use super::clock::{self, SpanTime};
use super::current::Context;
use crate::attribute::{KeyValue, Value};
use crate::context::{Link, SpanContext};
use crate::resource::Registry;
use crate::span::finished::FinishedSpan;
use crate::span::{Recording, Status};

/// What becomes of a span that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SpanFate {
    /// It is exported, if it is sampled.
    #[default]
    Keep,
    /// It is not exported. A sampled one counts in the ledger as
    /// [`Filtered`](crate::response::DropReason::Filtered), which is no loss.
    Drop,
}

/// Sees the start and the end of every recorded span; see the [module](self).
///
/// <https://opentelemetry.io/docs/specs/otel/trace/sdk/#span-processor>
pub trait SpanProcessor: Send + Sync {
    /// Called when `span` has started under `parent`, which has no valid span for a root.
    ///
    /// The span has its first name, attributes and links.
    fn on_start(&self, span: &mut LiveSpan<'_>, parent: &Context) {
        let _ = (span, parent);
    }

    /// Called when `span` ends, and may still change it. Its end is fixed.
    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        let _ = span;
    }

    /// Called when `span` has ended, and decides whether it is exported.
    fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
        let _ = span;
        SpanFate::Keep
    }

    /// Called by a flush of the pipeline, before the spans are sent. Returns true if the processor has
    /// done by `deadline` all that it had put off.
    ///
    /// It may be called while other methods run. The asynchronous transport calls it within a task,
    /// which it must not block for long.
    fn force_flush(&self, deadline: StdInstant) -> bool {
        let _ = deadline;
        true
    }

    /// Called once by the shutdown, in the place of [`force_flush`](Self::force_flush) and by its
    /// rules. Other methods that are running are not waited for; none is called afterwards.
    fn shutdown(&self, deadline: StdInstant) -> bool {
        self.force_flush(deadline)
    }
}

/// A span that a processor may read and change, for the time of the call.
pub struct LiveSpan<'a> {
    context: SpanContext,
    recording: &'a mut Recording<Box<[u8]>>,
    origin: &'a Registry<Box<[u8]>>,
}

impl<'a> LiveSpan<'a> {
    /// A span that records; `origin` has its scope.
    pub(super) const fn new(
        context: SpanContext,
        recording: &'a mut Recording<Box<[u8]>>,
        origin: &'a Registry<Box<[u8]>>,
    ) -> Self {
        Self {
            context,
            recording,
            origin,
        }
    }

    /// Returns the ids and flags of the span.
    #[must_use]
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Returns what is recorded so far. In [`on_start`](SpanProcessor::on_start) the end is zero. Items
    /// that were left out are counted only when the span has ended.
    #[must_use]
    pub fn view(&self) -> Option<FinishedSpan<'_>> {
        let span = FinishedSpan::new(&self.recording.so_far())?;
        Some(span.with_registry(self.origin))
    }

    /// Sets an attribute; the last value of a key wins.
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        self.recording.set_attribute(key, &value.into());
    }

    /// Sets several attributes.
    pub fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        self.recording.set_attributes(attributes);
    }

    /// Adds an event that happens now.
    pub fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>]) {
        self.recording.add_event(name, attributes, clock::now());
    }

    /// Adds an event that happened at `at`.
    pub fn add_event_at(
        &mut self,
        name: &str,
        attributes: &[KeyValue<'_>],
        at: impl Into<SpanTime>,
    ) {
        let at = at.into().to_instant();
        self.recording.add_event(name, attributes, at);
    }

    /// Adds a link to another span.
    pub fn add_link(&mut self, link: &Link<'_>) {
        self.recording.add_link(link);
    }

    /// Sets the status, unless the present one ranks higher: `Unset < Error < Ok`.
    pub fn set_status(&mut self, status: Status<'_>) {
        self.recording.set_status(status);
    }

    /// Renames the span.
    pub fn update_name(&mut self, name: &str) {
        self.recording.update_name(name);
    }

    /// Records `error` as an event `exception`, as
    /// [`Span::record_error`](crate::hosted::trace::Span::record_error) does.
    pub fn record_error<E: fmt::Display + ?Sized>(&mut self, error: &E) {
        self.recording.record_error(error, &[], clock::now());
    }
}

impl fmt::Debug for LiveSpan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.recording.name().to_string();
        f.debug_struct("LiveSpan")
            .field("context", &self.context)
            .field("name", &name)
            .finish_non_exhaustive()
    }
}
