//! The ids of the current span in the lines of a log, so that a line leads to its trace and back.
//!
//! # With `tracing-subscriber`
//!
//! With the feature `tracing-fmt`, one call where the subscriber is built puts `trace_id` and `span_id`
//! into every line of its `fmt` layer, in the forms full, compact, pretty and JSON:
#![cfg_attr(feature = "tracing-fmt", doc = "```")]
#![cfg_attr(not(feature = "tracing-fmt"), doc = "```ignore")]
//! use spandrel_core::hosted::layer::layer;
//! use spandrel_core::hosted::log_ids::LogIds;
//! use tracing_subscriber::fmt;
//! use tracing_subscriber::layer::SubscriberExt as _;
//! # let tracer = spandrel_core::hosted::trace::TracerProvider::disabled().tracer("shop");
//!
//! let subscriber = tracing_subscriber::registry()
//!     .with(fmt::layer().map_event_format(LogIds::new)) // the one call
//!     .with(layer(&tracer));
//! # drop(subscriber);
//! ```
//!
//! ```text
//! 2026-11-30T11:00:00.000000Z  INFO GET /stock: shop: stock counted items=3 trace_id=5b8e… span_id=eee1…
//! ```
//!
//! # With `log`
//!
//! [`TraceIds`] prints the ids, or nothing where no span is current. With `env_logger`:
//!
//! ```
//! use spandrel_core::hosted::log_ids::TraceIds;
//! use std::io::Write as _;
//!
//! env_logger::Builder::from_default_env().format(|line, record| {
//!     let (level, target) = (record.level(), record.target());
//!     writeln!(line, "[{level:<5} {target}] {}{}", record.args(), TraceIds::current())
//! });
//! ```
//!
//! # The ids
//!
//! They are those of the span that is [current](crate::hosted::current) on the thread, of whichever
//! kind: a span of a [`Tracer`](crate::hosted::trace::Tracer) in a span of `tracing`, or the other way
//! round. An event with a parent of its own has the ids of that. A span that is not sampled has ids as
//! well. Names and form are those that the [specification] gives for logs that are no OTLP.
//!
//! A line that shows ids makes them final, as an event in the trace does: a
//! [parent](crate::hosted::layer::SpanExt::set_parent) can be set before it and not after it, so no line
//! shows ids that turn out wrong.
//!
//! [specification]: https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/

#[cfg(feature = "tracing-fmt")]
mod format;
#[cfg(feature = "tracing-fmt")]
mod writer;

#[cfg(feature = "tracing-fmt")]
pub use format::LogIds;

use core::fmt;

use super::current;
#[cfg(feature = "tracing")]
use super::layer;
use crate::context::SpanContext;

/// The ids of a span, to be printed behind a line: ` trace_id=.. span_id=..` with a blank in front,
/// or nothing if there is no span.
///
/// ```
/// use spandrel_core::hosted::log_ids::TraceIds;
///
/// assert_eq!(format!("stock counted{}", TraceIds::current()), "stock counted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds(Option<SpanContext>);

impl TraceIds {
    /// The ids of the span that is current on this thread. If it is a span of `tracing`, its parent is
    /// final from now on.
    #[must_use]
    pub fn current() -> Self {
        #[cfg(feature = "tracing")]
        layer::settle_innermost();
        Self::of(current::current_span_context())
    }

    fn of(span: Option<SpanContext>) -> Self {
        Self(span.filter(SpanContext::is_valid))
    }

    /// The span, if there is one.
    #[must_use]
    pub const fn span_context(&self) -> Option<SpanContext> {
        self.0
    }
}

/// The ids of a given span.
impl From<SpanContext> for TraceIds {
    fn from(span: SpanContext) -> Self {
        Self::of(Some(span))
    }
}

impl fmt::Display for TraceIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => Ok(()),
            Some(span) => write!(
                f,
                " trace_id={} span_id={}",
                span.trace_id(),
                span.span_id()
            ),
        }
    }
}
