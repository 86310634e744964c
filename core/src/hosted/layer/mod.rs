//! A layer for programs that use the macros of the `tracing` crate (feature `tracing`).
//!
//! Such a program changes one place, where it builds its subscriber. Its spans, fields and events
//! are then recorded, sampled and delivered like the spans of this crate:
//!
//! ```
//! use spandrel_core::hosted::trace::TracerProvider;
//! use spandrel_core::hosted::layer::{SpanExt as _, layer};
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! // In a program: the tracer of a transport's `init`.
//! let tracer = TracerProvider::disabled().tracer("shop");
//! let subscriber = tracing_subscriber::registry().with(layer(&tracer));
//!
//! tracing::subscriber::with_default(subscriber, || {
//!     let order = tracing::info_span!("order.place", order.items = 3, otel.kind = "server");
//!     order.in_scope(|| {
//!         tracing::info!(warehouse = "north", "stock.reserved"); // an event of order.place
//!         tracer.start("payment.charge").end(); // a child of order.place
//!     });
//!     order.set_attribute("order.currency", "EUR"); // no field of the span
//! });
//! ```
//!
//! # What becomes of what
//!
//! | in `tracing` | in the trace |
//! |---|---|
//! | span | span; it ends when it was left or used last, or when it is closed if it was never entered |
//! | entered span | the [current](crate::hosted::current) context of the thread: the parent of spans of both kinds that start there |
//! | field: `bool`, integer, float, `str`, bytes | attribute of that type |
//! | field: `?debug`, `%display` | attribute of text |
//! | field: `&dyn Error` | attribute of text, and an event `exception` |
//! | field `otel.name`, `otel.kind`, `otel.status_code`, `otel.status_description` (or `otel.status_message`) | name, kind and status; with an unknown value an ordinary attribute |
//! | `span.record(..)` | the same, later |
//! | `follows_from` | link, as long as the followed span is open |
//! | event in a span | event of this span, or of its nearest recorded ancestor if a filter hides it; named by its message, or by `name:`, with `level` and `target` |
//! | event without a message, with a field `error` | event `exception` |
//! | error that a function of `#[instrument(err)]` returns | event `exception`, and the status error |
//! | event outside of spans | nothing |
//!
//! The status is set by these fields, by [`SpanExt`], by a [returned
//! error](TracingLayer::with_returned_errors_as_status), or by a panic. Other events of the level
//! error set it only with [`TracingLayer::with_error_events_as_status`].
//!
//! A use is an event, a `record`, a call of [`SpanExt`], or a child; a span whose context was taken
//! after it was left ends when it is closed. A child that started within the span may outlive it.
//!
//! # Differences to `tracing-opentelemetry`
//!
//! [`TracingLayer::with_defaults_of_tracing_opentelemetry`] turns on in one call what the layer of
//! `tracing-opentelemetry` does by default and this one does on request, because each span pays for it:
//! place, thread and target of spans. What else is different, and why:
//!
//! | | here | there |
//! |---|---|---|
//! | event of the level error, which no function returned | no status, as not every logged error is the outcome; on by the same call, with the error or the message as description | status error without a description |
//! | returned error of `#[instrument(err)]` | status error with its text; off by [`TracingLayer::with_returned_errors_as_status`] | status error without a description |
//! | the same at another level, `err(level = "info")` | status error | no status |
//! | `exception.message` of a returned error | its text, or its `Debug` for `err(Debug)` | the same |
//! | field `&dyn Error` of a span | an event `exception`, with the sources as text in `exception.stacktrace` | attributes of the span, and arrays `error.chain` and `exception.stacktrace`, which the conventions do not have |
//! | error in an event | attributes of the event only | attributes of the span as well |
//! | `otel.status_code` with an unknown value | an attribute, where it can be seen | nothing |
//! | events of the macros' `name:` | named so, with `message` as an attribute | named by the message |
//! | `busy_ns`, `idle_ns` | on request, as it costs two readings of the clock | by default |
//! | span that is not sampled | its fields are not formatted with [`with_late_parents(false)`](TracingLayer::with_late_parents) | formatted in any case |
//!
//! # While nothing is recorded
//!
//! A span that starts while tracing is disabled or suppressed, before `init`, or after the shutdown
//! stands for its parent. So the `traceparent` and `tracestate` of a request go on unchanged:
//! [`SpanExt::set_parent`] and [`SpanExt::context`] work, and the entered span makes its parent
//! current. The layer may be installed [before `init`](crate::hosted::trace::tracer), and records
//! from then on.
//!
//! # Filters and wrappers
//!
//! A filter of this layer alone, such as `Layer::with_filter`, hides spans from it. What happens in a
//! hidden span lands at the nearest ancestor that is recorded, on whatever thread. The context that
//! is current in a hidden span is the one outside of it, because the layer does not see the entry.
//!
//! The layer may be in an `Option`, a `Box`, a `Vec` or a `reload::Layer`. Behind the last it leaves a
//! mark in each span of the registry, which costs an allocation per span.
//!
//! # Guarantees
//!
//! - No lock is held while code of the program runs: a `Debug` may use `tracing` itself. One that
//!   panics ends with `<panicked>` in the attribute; the panic goes no further.
//! - At steady state recording allocates nothing beyond the subscriber's registry. The exceptions are
//!   a tracestate, a sampler of the program, whose fields are kept until the parent is final, and a
//!   `reload::Layer`.
//! - Nothing is recorded on the sender's thread, so there is no feedback; see
//!   [`suppress`](crate::hosted::current::suppress).
//! - A recorded span that ends after the shutdown is counted as lost to it.

#[cfg(feature = "_bridge")]
mod adoption;
mod closing;
mod entered;
mod error;
mod ext;
mod fields;
mod open;
mod span;
mod subscriber;
mod table;
mod visit;

pub use error::SetParentError;
pub use ext::SpanExt;
#[cfg(feature = "tracing-fmt")]
pub(super) use open::context_of;
pub(super) use open::settle_innermost;
pub use subscriber::{TracingLayer, layer};
