//! A whole [`Context`](crate::hosted::current::Context) across process boundaries: the span, its
//! tracestate, the baggage.
//!
//! [`propagator`] is the process's own, which `init` sets from `OTEL_PROPAGATORS`. With it a server
//! takes over what its caller sent, and a client sends what is current:
//!
//! ```
//! use spandrel_core::hosted::prelude::*;
//! use spandrel_core::hosted::propagation::propagator;
//! use std::collections::HashMap;
//!
//! fn handle(tracer: &Tracer, headers: &HashMap<String, String>) -> HashMap<String, String> {
//!     let caller = propagator().extract(headers);
//!     let request = tracer.span("GET /stock").kind(SpanKind::Server).parent(&caller).start();
//!     let _inside = request.enter();
//!
//!     let mut outgoing = HashMap::new();
//!     propagator().inject(&mut outgoing);
//!     outgoing
//! }
//! # assert!(handle(&TracerProvider::disabled().tracer("shop"), &HashMap::new()).is_empty());
//! ```
//!
//! Carriers are slices and vectors of pairs, maps, `http::HeaderMap` (feature `http`), closures that
//! take a name and a value, and anything else for which [`Getter`] and [`Setter`] are implemented.
//! tonic's metadata is one by `metadata.as_ref()`. Child processes get their context in
//! [variables](environment).
//!
//! # Strangers
//!
//! Anyone can send headers. A service at the edge may want traces of its own, whatever its callers
//! send; [`Incoming`] says so, for all requests in [`Config::incoming`], or for one route in
//! `propagator().with_incoming(Incoming::Link).extract(headers)`.
//!
//! [`Config::incoming`]: crate::hosted::config::Config::incoming

mod carriers;
mod context;
pub mod environment;
mod global;
#[cfg(feature = "http")]
mod headers;
mod propagator;

pub use context::{ContextPropagator, SpanOnly};
pub(super) use global::set_from_settings;
pub use global::{propagator, set_global_propagator};
pub use propagator::Propagator;

pub use crate::hosted::baggage::BaggagePropagator;
pub use crate::hosted::config::Incoming;
pub use crate::propagation::{B3Propagator, Getter, Setter, TraceContextPropagator};
