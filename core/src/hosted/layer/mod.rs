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
//! | span | span; it ends when it was left last, or when it is closed if it was never entered |
//! | entered span | the [current](crate::hosted::current) context of the thread: the parent of spans of both kinds that start there |
//! | field: `bool`, integer, float, `str`, bytes | attribute of that type |
//! | field: `?debug`, `%display` | attribute of text |
//! | field: `&dyn Error` | attribute of text, and an event `exception` |
//! | field `otel.name`, `otel.kind`, `otel.status_code`, `otel.status_description` (or `otel.status_message`) | name, kind and status; with an unknown value an ordinary attribute |
//! | `span.record(..)` | the same, later |
//! | `follows_from` | link, as long as the followed span is open |
//! | event in a span | event named by its message, or by `name:`, with `level` and `target` |
//! | event without a message, with a field `error` | event `exception` |
//! | event outside of spans | nothing |
//!
//! The status is set by these fields, by [`SpanExt`], or by a panic. Events of the level error set
//! it only with [`TracingLayer::with_error_events_as_status`].
//!
//! # Guarantees
//!
//! - No lock is held while code of the program runs: a `Debug` may use `tracing` itself. One that
//!   panics ends with `<panicked>` in the attribute; the panic goes no further.
//! - At steady state recording allocates nothing beyond the subscriber's registry.
//! - Nothing is recorded on the sender's thread, so there is no feedback; see
//!   [`suppress`](crate::hosted::current::suppress).
//! - A span that ends after the shutdown is counted as lost to it.

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
pub use subscriber::{TracingLayer, layer};
