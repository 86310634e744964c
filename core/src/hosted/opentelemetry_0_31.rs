//! The API of the crate `opentelemetry` 0.31 over this pipeline (feature `opentelemetry-0-31`).
//!
//! Libraries that are instrumented with that API, and layers such as `tracing-opentelemetry`, record
//! through Spandrel unchanged; `opentelemetry_sdk` is not needed:
//!
//! ```
//! use opentelemetry::trace::Tracer as _;
//! use spandrel_core::hosted::opentelemetry_0_31::install;
//! # use opentelemetry_0_31 as opentelemetry;
//! # use spandrel_core::hosted::trace::TracerProvider;
//! # let provider = TracerProvider::disabled();
//!
//! // Behind a transport's `init`, with the provider of its handle:
//! install(&provider);
//!
//! // What a library does:
//! let tracer = opentelemetry::global::tracer("library");
//! tracer.in_span("library.work", |_| ());
//! ```
//!
//! [`BridgeProvider`], [`BridgeTracer`] and [`BridgePropagator`] can be used without anything
//! process-wide, as for `tracing-opentelemetry`:
//! `tracing_opentelemetry::layer().with_tracer(BridgeTracer::from(telemetry.tracer("shop")))`.
//!
//! It is used like [`opentelemetry_0_33`](https://docs.rs/spandrel-core/latest/spandrel_core/hosted/opentelemetry_0_33),
//! whose page says how contexts behave, what a bridge costs and what it cannot do. Both, and any other
//! version, may be used in one program; their spans make one trace.
//!
//! Ids, an end and a sampling result in a `SpanBuilder` of this version are not used: the pipeline
//! chooses them.

crate::hosted::opentelemetry::bridge!(opentelemetry_0_31, 2, status in status);
