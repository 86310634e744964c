//! Tracers and spans for threads: what an application uses.
//!
//! ```text
//!  Tracer ── start ──▶ Span ── end / drop ──▶ shard of this thread ── drainer ──▶ Exporter
//! ```
//!
//! A [`Tracer`] is cheap to clone and to share. A [`Span`] ends when it is dropped, on a panic
//! too; ending one costs a copy into a buffer of the thread's own and never waits for the network.
//! The parent is the thread's current span unless it is given:
//!
//! ```
//! use spandrel_core::hosted::trace::TracerProvider;
//!
//! let tracer = TracerProvider::disabled().tracer("shop");
//! let order = tracer.start("order.place");
//! order.in_scope(|| {
//!     let mut payment = tracer.start("payment.charge"); // a child of order.place
//!     payment.set_attribute("amount", 12.5);
//! });
//! ```

#[cfg(feature = "tracing")]
mod draft;
mod global;
mod local;
mod provider;
mod recording;
mod ring;
mod scratch;
mod shard;
mod shards;
mod shared;
mod span;
mod tracer;

#[cfg(feature = "tracing")]
pub(super) use draft::{Draft, Start};
pub use global::{clear_global, global, set_global, tracer};
pub use provider::{SpanCounts, TracerProvider};
pub(crate) use shards::{Drain, Wanted};
pub(crate) use shared::Shared;
pub use span::Span;
pub use tracer::{SpanStart, Tracer};
