//! The attribute [`instrument`](macro@crate::instrument) (feature `macros`): a span for each call of a
//! function, without the crate `tracing`, on hosts and on devices.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use spandrel_core::instrument;
//!
//! #[derive(Debug)]
//! struct SoldOut;
//! # impl std::fmt::Display for SoldOut {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("sold out") }
//! # }
//!
//! #[instrument(kind = Server, err, skip(card), fields(order.items = items.len()))]
//! async fn place_order(customer: u64, items: &[&str], card: &str) -> Result<u32, SoldOut> {
//!     reserve(items)?; // a child
//!     Ok(7)
//! }
//!
//! #[instrument(name = "stock.reserve", skip_all)]
//! fn reserve(items: &[&str]) -> Result<(), SoldOut> {
//!     items.first().map(drop).ok_or(SoldOut)
//! }
//! # drop(place_order(1, &[], ""));
//! ```
//!
//! # Options
//!
//! | option | |
//! |---|---|
//! | `name = ..` | the span's name; without it the function's |
//! | `kind = Server` | `Internal`, `Server`, `Client`, `Producer` or `Consumer`; without it `Internal` |
//! | `parent = ..` | anything that can be a parent, in place of the current span |
//! | `root` | a root, whatever is current |
//! | `fields(a.b = x, %id, ?list, n)` | attributes, in place of arguments of the same names: a value, `%` shown by `Display`, `?` by `Debug` |
//! | `skip(a, b)`, `skip_all` | arguments that are no attributes |
//! | `err`, `err(Debug)` | a returned error is recorded, and is the span's status, with the text of its `Display` or `Debug` |
//! | `tracer = ..` | the [`Tracer`](crate::hosted::trace::Tracer); without it one of the process, named like the package and made at the first call |
//! | `place = ..` | where a device records; see below |
//! | `crate = ..` | the path of this crate, if it is not `::spandrel_core` |
//!
//! Each argument becomes an attribute, but `self`, those whose names begin with `_`, and a tracer or a parent
//! that is handed in: numbers, truth values and texts as such, others by `Debug`. Nothing is read or formatted while the span is not recorded. Samplers
//! see name, kind and parent. Within the function, [`active_span`](crate::hosted::active::active_span) records
//! on the span.
//!
//! An argument that cannot be shown is an error, which names it:
//!
//! ```compile_fail
//! # #[cfg(feature = "std")] {
//! struct Card;
//!
//! #[spandrel_core::instrument] // `Card` cannot become an attribute: name this argument in `skip(..)`
//! fn charge(card: Card) {}
//! # }
//! # #[cfg(not(feature = "std"))] compile_error!();
//! ```
//!
//! The span of an `async fn` starts at the first poll, is current in each poll, and ends with the future,
//! also if that is dropped. A function that returns `Box::pin(async move { .. })` or `async move { .. }` is
//! treated the same way, so methods of `async_trait` are as well. A function that ends by `?`, `return` or a
//! panic ends its span.
//!
//! # On devices
//!
//! Where there is no process-wide state, `place = ..` says where spans go: a [`SpanPlace`], which has a
//! tracer, a clock and a sink. It is taken at the start of each call, usually as a reference.
//!
//! ```
//! use spandrel_core::instrument;
//! use spandrel_core::instrument::LocalPlace;
//! use spandrel_core::prelude::*;
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//! # type Ids = RandomIdGenerator<SplitMix64>;
//! # fn uptime() -> Instant { Instant::from_millis(5) }
//!
//! type Trace = LocalPlace<AlwaysOn, Ids, Buffer<[u8; 1024]>, 128>; // 128 bytes for an open span
//!
//! #[instrument(place = trace, name = "sensor.read", err, fields(pin))]
//! fn read(trace: &Trace, pin: u32) -> Result<i32, ()> {
//!     convert(trace, 1234) // a child
//! }
//!
//! #[instrument(place = trace, kind = Client)]
//! fn convert(trace: &Trace, raw: i32) -> Result<i32, ()> {
//!     Ok(raw / 10)
//! }
//!
//! # let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let trace = Trace::new(BareTracer::new(AlwaysOn, ids), Buffer::new([0; 1024]), uptime);
//! assert_eq!(read(&trace, 4), Ok(123));
//! assert_eq!(trace.with(|_, buffer| buffer.len()), Some(2));
//! ```
//!
//! There, arguments are recorded only if `fields` names them, and as values: nothing is formatted, because
//! `core::fmt` takes ten kilobytes of flash. For the same reason `err` sets the status and no text. A span
//! lies in the frame of its function, and is moved once to its end; where that matters, use
//! [`start_in_place`](crate::tracer::BareTracer::start_in_place) by hand.

use core::cell::{Cell, RefCell};
use core::fmt;

use crate::attribute::Value;
use crate::buffer::RecordSink;
use crate::context::SpanContext;
use crate::id::IdGenerator;
use crate::sampler::Sampler;
use crate::span::{BareSpan, Status};
use crate::time::Instant;
use crate::tracer::{BareTracer, SpanBuilder};

/// Where the attribute [`instrument`](macro@crate::instrument) records with `place = ..`: a tracer, a
/// clock and a sink behind a shared reference.
///
/// [`LocalPlace`] is one for a single task or a main loop. For a `static` that interrupts share, implement
/// it over the cell of your platform.
pub trait SpanPlace {
    /// The memory of an open span.
    type Scratch: AsRef<[u8]> + AsMut<[u8]>;

    /// Starts a span now.
    fn start(&self, builder: SpanBuilder<'_>) -> BareSpan<Self::Scratch>;

    /// Ends a span now. A record that does not fit is lost, and counted by the sink.
    fn end(&self, span: BareSpan<Self::Scratch>);

    /// The span that is the parent of the next one. Without an implementation there is none, and spans
    /// get their parents by `parent = ..`.
    fn current(&self) -> SpanContext {
        SpanContext::INVALID
    }

    /// Makes another span current.
    fn set_current(&self, _span: SpanContext) {}
}

impl<P: SpanPlace + ?Sized> SpanPlace for &P {
    type Scratch = P::Scratch;

    fn start(&self, builder: SpanBuilder<'_>) -> BareSpan<P::Scratch> {
        (**self).start(builder)
    }

    fn end(&self, span: BareSpan<P::Scratch>) {
        (**self).end(span);
    }

    fn current(&self) -> SpanContext {
        (**self).current()
    }

    fn set_current(&self, span: SpanContext) {
        (**self).set_current(span);
    }
}

/// A [`SpanPlace`] for code that runs one at a time: a main loop, or the tasks of one executor. `N` is the
/// number of bytes for an open span.
pub struct LocalPlace<S, G, K, const N: usize> {
    parts: RefCell<(BareTracer<S, G>, K)>,
    now: fn() -> Instant,
    current: Cell<SpanContext>,
}

impl<S, G, K, const N: usize> LocalPlace<S, G, K, N> {
    /// A place whose spans `tracer` starts and `sink` takes, at the times that `now` says.
    pub const fn new(tracer: BareTracer<S, G>, sink: K, now: fn() -> Instant) -> Self {
        Self {
            parts: RefCell::new((tracer, sink)),
            now,
            current: Cell::new(SpanContext::INVALID),
        }
    }

    /// Works on tracer and sink, to drive the exporter for example; `None` within itself. A span that ends
    /// meanwhile is lost, so make none in `work`.
    pub fn with<T>(&self, work: impl FnOnce(&mut BareTracer<S, G>, &mut K) -> T) -> Option<T> {
        let mut parts = self.parts.try_borrow_mut().ok()?;
        let (tracer, sink) = &mut *parts;
        Some(work(tracer, sink))
    }
}

impl<S: Sampler, G: IdGenerator, K: RecordSink, const N: usize> SpanPlace
    for LocalPlace<S, G, K, N>
{
    type Scratch = [u8; N];

    fn start(&self, builder: SpanBuilder<'_>) -> BareSpan<[u8; N]> {
        let now = (self.now)();
        match self.parts.try_borrow_mut() {
            Ok(mut parts) => parts.0.start(builder, now),
            // Within `with`: the span stands for its parent.
            Err(_) => BareSpan::non_recording(builder.parent_context().span_context),
        }
    }

    fn end(&self, span: BareSpan<[u8; N]>) {
        let now = (self.now)();
        if let Ok(mut parts) = self.parts.try_borrow_mut() {
            // The sink has counted what it refuses.
            let _ = span.end(now, &mut parts.1);
        }
    }

    fn current(&self) -> SpanContext {
        self.current.get()
    }

    fn set_current(&self, span: SpanContext) {
        self.current.set(span);
    }
}

impl<S, G, K, const N: usize> fmt::Debug for LocalPlace<S, G, K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPlace")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// The span of a function in a [`SpanPlace`]: it ends when it is dropped.
///
/// The attribute makes it; by hand it serves where a scope is not a function.
#[must_use = "a span ends when it is dropped; bind it to a name"]
pub struct PlacedSpan<P: SpanPlace> {
    place: P,
    /// Taken at the end.
    span: Option<BareSpan<P::Scratch>>,
    /// What was current before it was entered.
    outer: Option<SpanContext>,
}

impl<P: SpanPlace> PlacedSpan<P> {
    /// Starts a span, under the place's current one if it `finds_parent`.
    pub fn start(place: P, builder: SpanBuilder<'_>, finds_parent: bool) -> Self {
        let builder = match finds_parent {
            true => builder.parent(place.current()),
            false => builder,
        };
        Self {
            span: Some(place.start(builder)),
            place,
            outer: None,
        }
    }

    /// Makes the span current until it ends.
    pub fn enter(&mut self) {
        if let (None, Some(span)) = (self.outer, &self.span) {
            self.outer = Some(self.place.current());
            self.place.set_current(*span.context());
        }
    }

    /// Makes the span current while `work` runs: a poll of a future.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Puts back what was current, after a panic as well.
        struct Restore<'a, P: SpanPlace>(&'a P, SpanContext);
        impl<P: SpanPlace> Drop for Restore<'_, P> {
            fn drop(&mut self) {
                self.0.set_current(self.1);
            }
        }
        let _restore = Restore(&self.place, self.place.current());
        if let Some(span) = &self.span {
            self.place.set_current(*span.context());
        }
        work()
    }

    /// Sets an attribute.
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(key, value);
        }
    }

    /// Sets the status to error, without a text.
    pub fn set_error(&mut self) {
        if let Some(span) = &mut self.span {
            span.set_status(Status::error(""));
        }
    }
}

impl<P: SpanPlace> Drop for PlacedSpan<P> {
    fn drop(&mut self) {
        if let Some(outer) = self.outer {
            self.place.set_current(outer);
        }
        if let Some(span) = self.span.take() {
            self.place.end(span);
        }
    }
}

impl<P: SpanPlace> fmt::Debug for PlacedSpan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.span.as_ref().map(BareSpan::context);
        f.debug_struct("PlacedSpan")
            .field("context", &context)
            .finish_non_exhaustive()
    }
}

/// Calls `work`. The compiler then knows that it is called once, so that it may return what it borrows
/// from its captures.
#[doc(hidden)]
#[inline(always)]
pub fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The tracer of the calling package.
#[cfg(feature = "std")]
#[doc(hidden)]
#[macro_export]
macro_rules! __tracer_of_package {
    ($($path:tt)*) => {{
        static TRACER: ::std::sync::LazyLock<$($path)*::hosted::trace::Tracer> =
            ::std::sync::LazyLock::new(|| {
                $($path)*::hosted::trace::tracer(::core::env!("CARGO_PKG_NAME"))
            });
        &*TRACER
    }};
}

/// There is none.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __tracer_of_package {
    ($($path:tt)*) => {
        ::core::compile_error!(
            "without `std`, say where to record: `#[instrument(place = &TRACE)]`, or turn on the feature `std` of spandrel-core"
        )
    };
}
