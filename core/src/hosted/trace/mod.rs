//! Tracers and spans of an application.
//!
//! ```text
//!  Tracer ── start ──▶ Span ── end / drop ──▶ shard of this thread ── drainer ──▶ Exporter
//! ```
//!
//! A [`Tracer`] is cheap to clone and to share. A [`Span`] ends when it is dropped, on a panic
//! too; ending one copies it into the thread's own buffer and never waits for the network.
//! The parent is the thread's current span unless one is given:
//!
//! ```
//! use spandrel_core::hosted::trace::TracerProvider;
//!
//! let tracer = TracerProvider::disabled().tracer("shop");
//! let mut order = tracer.start("order.place");
//! order.in_scope(|order| {
//!     let mut payment = tracer.start("payment.charge"); // a child of order.place
//!     payment.set_attribute("amount", 12.5);
//!     order.set_attribute("order.paid", true);
//! });
//! ```
//!
//! A span belongs to its owner and is changed without a lock. So the current context of a thread
//! consists of ids only: a function that sets attributes of its caller's span takes a `&mut Span`, or
//! records by these ids ([`active_span`](super::active::active_span)).

mod global;
mod hooks;
mod ids;
#[cfg(feature = "opentelemetry-sdk-0-33")]
mod import;
mod incomplete;
mod inner;
mod late;
mod parent;
mod place;
mod pool;
mod provider;
mod recorder;
mod recording;
mod span;
mod surroundings;
mod thread;
mod tracer;
#[cfg(feature = "tracing")]
mod undecided;

pub use global::{clear_global, global, set_global, tracer};
#[cfg(feature = "opentelemetry-sdk-0-33")]
pub(super) use import::ImportedSpan;
pub use parent::Parent;
#[cfg(feature = "tracing")]
pub(super) use parent::take_over;
pub use provider::{SpanCounts, TracerProvider};
pub use span::Span;
pub use tracer::{SpanStart, Tracer};
#[cfg(feature = "tracing")]
pub(super) use undecided::{ScopeInProvider, Undecided, UndecidedStart};
