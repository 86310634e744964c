//! OpenTelemetry tracing for programs with threads: spans go as gzip-compressed OTLP/HTTP to a
//! collector, or to the standard output as a drawing for people or as OTLP/JSON lines. Without an
//! async runtime.
//!
//! ```sh
//! cargo add spandrel-transport-std
//! ```
//!
//! ```no_run
//! use spandrel_transport_std::{Config, init};
//! use std::time::Duration;
//!
//! let telemetry = init(Config {
//!     enabled: true,
//!     service_name: "checkout".into(),
//!     endpoint: "localhost:4318".into(),
//!     ..Config::default()
//! })?;
//!
//! let tracer = telemetry.tracer("orders");
//! let mut span = tracer.start("order.place");
//! span.set_attribute("order.items", 3);
//! span.end();
//!
//! let report = telemetry.shutdown(Duration::from_secs(5));
//! assert!(report.is_success(), "{report}; {}", telemetry.ledger());
//! # Ok::<(), spandrel_transport_std::InitError>(())
//! ```
//!
//! Dropping the handle sends what is left. A signal, `std::process::exit` and a panic that aborts drop
//! nothing: without `Telemetry::shutdown_on_signal` (feature `signal`), [`Telemetry::exit`] and
//! [`Telemetry::record_panics`] they lose what has not been sent yet.
//!
//! Each application thread records into its own shard and never waits for the network. One thread
//! sends, over ureq; another one sleeps unless a request hangs, and reports what is lost then. They make
//! no spans themselves, and the HTTP client follows no redirect, asks for no compressed answers, and
//! reads no proxy variable unless [`Config`] says so.
//!
//! | start here | for |
//! |---|---|
//! | [`init`], [`Config`] | a running pipeline, from code and the `OTEL_*` variables |
//! | [`Telemetry`] | flush, shutdown, tracers, and the ledger of every span |
//! | [`Tracer`], [`Span`], [`tracer`] | recording |
//! | [`HttpSender`], [`HttpSettings`] | one POST, for a driver that you write; it neither retries nor queues |
//! | [`spandrel_core`] | propagation, sampling, and everything else that decides |
//!
//! # Ends
//!
//! | event | what happens |
//! |---|---|
//! | the handle is dropped | flush and shutdown within `Config::shutdown_timeout` (5 s) |
//! | SIGTERM, ctrl-c | with `Telemetry::shutdown_on_signal` the same first, else what was not sent yet is lost |
//! | a panic | unwinding drops the handle; an abort sends nothing without [`Telemetry::record_panics`] |
//! | `std::process::exit` | what was not sent yet is lost; [`Telemetry::exit`] sends it first |
//! | a recording thread ends | its spans are sent like all others |
//! | `fork` | the child has no sender: what it inherits records nothing and waits for nothing; call `init` there |
//! | a panic in a log handler | the request counts as failed; the sender goes on |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `http` | `http::HeaderMap` as a carrier of contexts |
//! | `tracing` | a layer for programs that use the macros of the `tracing` crate |
//! | `tracing-fmt` | the ids of spans in the lines of `tracing-subscriber`'s `fmt`; turns on `tracing` |
//! | `opentelemetry-sdk-0-33` | the finished spans of `opentelemetry_sdk` through this pipeline |
//! | `opentelemetry-0-33`, `-0-32`, `-0-31` | the API of the crate `opentelemetry` over this pipeline |
//! | `platform-verifier` | trust in the roots of the operating system instead of the built-in ones |
//! | `signal` | `Telemetry::shutdown_on_signal` and `until_signal` |
//! | `gateway` | the program `spandrel-gateway` and its parts: spans of devices behind a serial line |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod addresses;
mod connection;
mod ending;
mod ends;
mod failure;
mod forward;
#[cfg(feature = "gateway")]
pub mod gateway;
mod metrics;
mod output;
pub mod prelude;
mod sender;
mod telemetry;
mod tls;
mod worker;

pub use sender::{Canceller, HttpSender};
pub use telemetry::{InitError, Telemetry, init, start};

pub use spandrel_core;
pub use spandrel_core::attribute::{KeyValue, Value};
pub use spandrel_core::exporter::{FlushOutcome, FlushReport};
pub use spandrel_core::hosted::baggage::Baggage;
pub use spandrel_core::hosted::config::{
    Config, FurtherDestination, HttpSettings, Proxy, StdoutFormat, TlsFiles, WhenFull,
};
pub use spandrel_core::hosted::current::{Context, ContextFutureExt, ContextKey};
pub use spandrel_core::hosted::export;
#[cfg(feature = "tracing")]
pub use spandrel_core::hosted::layer;
pub use spandrel_core::hosted::log_ids;
#[cfg(feature = "opentelemetry-0-31")]
pub use spandrel_core::hosted::opentelemetry_0_31;
#[cfg(feature = "opentelemetry-0-32")]
pub use spandrel_core::hosted::opentelemetry_0_32;
#[cfg(feature = "opentelemetry-0-33")]
pub use spandrel_core::hosted::opentelemetry_0_33;
#[cfg(feature = "opentelemetry-sdk-0-33")]
pub use spandrel_core::hosted::opentelemetry_sdk_0_33;
pub use spandrel_core::hosted::propagation::{Incoming, propagator, set_global_propagator};
pub use spandrel_core::hosted::trace::{Span, Tracer, TracerProvider, tracer};
pub use spandrel_core::hosted::unversioned::client::BuildError;
pub use spandrel_core::hosted::unversioned::handle::{
    CancelToken, DestinationReport, DestinationStatus,
};
pub use spandrel_core::span::{Link, SpanKind, Status};
pub use spandrel_core::stats::Ledger;
