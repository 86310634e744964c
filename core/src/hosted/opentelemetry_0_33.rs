//! The API of the crate `opentelemetry` 0.33 over this pipeline (feature `opentelemetry-0-33`).
//!
//! Libraries that are instrumented with that API, and layers such as `tracing-opentelemetry`, record
//! through Spandrel unchanged; `opentelemetry_sdk` is not needed:
//!
//! ```
//! use opentelemetry::trace::Tracer as _;
//! use spandrel_core::hosted::opentelemetry_0_33::install;
//! # use opentelemetry_0_33 as opentelemetry;
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
//! # One stack of contexts
//!
//! From the first bridge on, `opentelemetry::Context` and the [contexts](crate::hosted::current) of
//! this crate behave as one stack: what was made current last is current for both, whoever made it
//! and in whatever order the guards are dropped. So spans of this crate, of the
//! [`tracing` layer](crate::hosted::layer) and of the API nest in each other, and a library that reads
//! `Context::current()` sees all of them:
//!
//! ```
//! # use opentelemetry_0_33 as opentelemetry;
//! use opentelemetry::trace::TraceContextExt as _;
//! use spandrel_core::context::{SpanContext, TraceFlags};
//! use spandrel_core::hosted::current;
//! # spandrel_core::hosted::opentelemetry_0_33::install(&Default::default());
//!
//! let span = SpanContext::new("5b8efff798038103d269b633813fc60c".parse()?,
//!     "eee19b7ec3c1b174".parse()?, TraceFlags::SAMPLED);
//! let _guard = current::attach(span.into());
//! let seen = opentelemetry::Context::current();
//! assert_eq!(seen.span().span_context().span_id().to_string(), "eee19b7ec3c1b174");
//! # Ok::<(), spandrel_core::id::ParseIdError>(())
//! ```
//!
//! - Baggage is shared, and so is suppression: while spans are suppressed on either side, both record
//!   none. The sender of a transport suppresses both.
//! - Values under a [`ContextKey`](crate::hosted::current::ContextKey) are there within their contexts,
//!   and entries of their contexts within ours.
//! - A span of the `tracing` layer that has found no parent takes the one that is current in the API's
//!   context when it is entered first. Instrumentation that cannot set the parent of a span of this layer
//!   falls back on that.
//! - A parent set with [`set_parent`] on a span that is entered is seen by the API if nothing was made
//!   current over the span. What read its ids before has the old ones.
//!
//! Several versions of the API may be bridged at a time; all spans go through one pipeline into one
//! trace. No version sees what is made current in another, so their order is learnt whenever a span
//! starts or a context of this crate is entered. Of two contexts that are made current between two such
//! moments, the one whose span started later is taken for the inner one.
//!
//! # Times
//!
//! The API gives every time as one of the system's clock. A span that starts without one is timed by the
//! pipeline's own clock, and an end or an event within 100 microseconds of the present becomes the
//! present.
//!
//! # Limits
//!
//! - `span.span_context().trace_state()` is empty if the API's type does not take the text; the span and
//!   what is injected have it whole.
//! - `Context::new()` given as the parent makes a root, unless the span that is current belongs to another
//!   version of the API while nothing is current in this one.
//! - A span that is entered inside the closure of `Context::map_current` or `get_active_span` is current
//!   for this crate only: the API's stack cannot be changed meanwhile.
//! - While a bridge is there, a span of the `tracing` layer with four fields that is entered takes about 40 %
//!   longer, because it is made current on both sides. Without a bridge nothing is paid.
//! - Metrics and logs of the API are not bridged.
//!
//! [`set_parent`]: crate::hosted::layer
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/api/>

crate::hosted::opentelemetry::bridge!(opentelemetry_0_33, 0);
