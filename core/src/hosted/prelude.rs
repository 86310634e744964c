//! The names that nearly every application needs.
//!
//! ```
//! use spandrel_core::hosted::prelude::*;
//!
//! fn handle(tracer: &Tracer, headers: &[(&str, &str)]) -> Vec<(String, String)> {
//!     let caller = propagator().extract(&headers);
//!     let request = tracer.span("GET /stock").kind(SpanKind::Server).parent(&caller).start();
//!     let mut outgoing = Vec::new();
//!     propagator().inject_from(&request, &mut outgoing);
//!     outgoing
//! }
//! # assert!(handle(&TracerProvider::disabled().tracer("shop"), &[]).is_empty());
//! ```
//!
//! The transports have a `prelude` too, which adds their `init` and its handle. A library that only
//! records spans depends on `spandrel-core` with the feature `std` and needs no transport.

pub use crate::attribute::{KeyValue, Value};
pub use crate::context::{Link, ParentContext, SpanContext, SpanKind};
pub use crate::exporter::{FlushOutcome, FlushReport};
pub use crate::hosted::active::active_span;
pub use crate::hosted::baggage::Baggage;
pub use crate::hosted::config::Config;
pub use crate::hosted::current::{Context, ContextFutureExt, ContextKey};
#[cfg(feature = "tracing")]
pub use crate::hosted::layer::SpanExt;
pub use crate::hosted::propagation::{Incoming, propagator};
pub use crate::hosted::trace::{Span, Tracer, TracerProvider, tracer};
pub use crate::propagation::{Getter, Setter, TextMapPropagator, TraceContextPropagator};
pub use crate::span::Status;
pub use crate::stats::Ledger;
