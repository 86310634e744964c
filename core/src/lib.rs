//! OpenTelemetry tracing from microcontrollers to servers: the core of Spandrel, which records,
//! samples, buffers and delivers spans, and leaves the network to a transport.
//!
//! **On a server**, start at [spandrel-transport-std], or at [spandrel-transport-async] if the
//! program runs on tokio: their `init` starts everything, and both re-export what an application
//! needs from here. A library that creates spans depends on this crate alone, with the feature
//! `std`, and uses `hosted::trace`.
//!
//! **On a device**, or to drive everything yourself, start with the example below.
//!
//! The core is a set of state machines without `std`, heap, unsafe code, clock or I/O. A span is
//! recorded as the protobuf bytes of OTLP, kept in a ring over memory of the caller, and delivered
//! by an exporter that makes all decisions (batches, retries, circuit breaker, limits) and does
//! nothing itself: times and random numbers are arguments, and the driver sends the requests. The
//! machines are the same on all targets, and a test runs a year of outages in milliseconds.
//!
//! ```text
//!  BareTracer ─ start ─▶ BareSpan ─ end ─▶ Exporter ─ poll_transmit ─▶ your POST
//!                                          (Buffer)  ◀─ handle_response ─┘
//! ```
//!
//! ```
//! use spandrel_core::prelude::*;
//! use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! // The memory is fixed from the start.
//! let attributes = [KeyValue::new("service.name", "thermostat")];
//! let resource = Resource { attributes: &attributes, schema_url: "" };
//! let registry = Registry::new([0_u8; 256], &resource)?;
//! let buffer = Buffer::new([0_u8; 4096]);
//! let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry)?;
//!
//! // A span is started, described and ended. Times are arguments.
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(7));
//! let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), ids);
//! let mut span = tracer.start::<256>(SpanBuilder::new("heat"), Instant::from_millis(10));
//! span.set_attribute("target.celsius", 21.5);
//! span.end(Instant::from_millis(12), &mut exporter)?;
//!
//! // After five seconds, or with 512 spans, there is a request to send.
//! assert_eq!(exporter.poll_timeout(), Some(Instant::ZERO)); // now: something is new
//! assert!(exporter.poll_transmit(Instant::from_millis(12)).is_none());
//! let due = exporter.poll_timeout().expect("a span waits");
//! let mut request = exporter.poll_transmit(due).expect("it is due");
//! let mut body = [0_u8; 512];
//! let len = exporter.read_body(&mut request, &mut body);
//! assert_eq!(len, request.content_length());
//!
//! // The answer settles the batch, and every span is accounted for.
//! exporter.handle_response(due, request, &Outcome::Response(Response::new(200)));
//! assert_eq!(exporter.ledger().exported, 1);
//! assert!(exporter.ledger().is_closed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | start here | for |
//! |---|---|
//! | [`exporter`] | the driver's loop, in five lines, and the rules of delivery |
//! | [`tracer`], [`span`] | recording |
//! | [`buffer`], [`backoff`], [`breaker`], [`batch`] | the machines, each usable alone |
//! | [`sampler`], [`propagation`], [`baggage`] | the choice of traces, and their way across processes |
//! | [`mod@env`] | `OTEL_*` variables as a pure function |
//! | [`json`] | OTLP/JSON lines from the same bytes |
//! | `hosted` (feature `std`) | threads, clocks and environment: the base of the transports |
//!
//! # Features
//!
//! All are off by default, and features only add.
//!
//! | feature | adds |
//! |---|---|
//! | `std` | `hosted`: the runtime for programs with threads |
//! | `tracing` | a layer for programs that use the macros of the `tracing` crate; turns on `std` |
//! | `tracing-fmt` | the ids of spans in the lines of `tracing-subscriber`'s `fmt`; turns on `tracing` |
//! | `http` | `http::HeaderMap` as a carrier of contexts; turns on `std` |
//! | `opentelemetry-0-33`, `-0-32`, `-0-31` | the API of the crate `opentelemetry` over this pipeline; turns on `std` |
//! | `opentelemetry-sdk-0-33` | the finished spans of `opentelemetry_sdk` through this pipeline |
//! | `macros` | the attribute `instrument`: a span for each call of a function, with and without `std` |
//! | `link` | spans as frames over a serial line, for a device without a network |
//! | `lean` | spans for a hundred instructions, whose names stay in the ELF file; turns on `link` and `critical-section` |
//! | `critical-section` | a buffer that tasks and interrupts share |
//! | `gzip` | gzip without a heap, for bodies that devices send |
//! | `json-answers` | answers in JSON, which a collector or a proxy may send by mistake; part of `std` |
//! | `defmt` | `defmt::Format` on errors, configuration, states and counts |
//!
//! The minimum supported Rust version is 1.87.
//!
//! [spandrel-transport-std]: https://docs.rs/spandrel-transport-std
//! [spandrel-transport-async]: https://docs.rs/spandrel-transport-async
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

// L0
pub mod attribute;
#[cfg(any(feature = "gzip", feature = "link", feature = "spool"))]
mod crc;
pub mod id;
pub mod time;
pub mod wire;
// L1
pub mod backoff;
pub mod baggage;
pub mod breaker;
pub mod buffer;
pub mod context;
pub mod limits;
pub mod propagation;
pub mod resource;
// L2
pub mod batch;
#[cfg(feature = "gzip")]
pub mod gzip;
pub mod json;
pub mod response;
pub mod sampler;
pub mod span;
// L3
pub mod request;
pub mod tracer;
// L4
pub mod env;
pub mod exporter;
#[cfg(feature = "macros")]
pub mod instrument;
pub mod stats;
// L5
#[cfg(feature = "std")]
pub mod hosted;
#[cfg(feature = "lean")]
pub mod lean;
#[cfg(feature = "link")]
pub mod link;
pub mod prelude;
#[cfg(feature = "critical-section")]
pub mod shared_buffer;
#[cfg(feature = "spool")]
pub mod spool;
#[cfg(test)]
mod test_support;

#[cfg(feature = "macros")]
#[doc(inline)]
pub use spandrel_macros::instrument;
