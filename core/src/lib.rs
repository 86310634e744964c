//! The state machines of the Spandrel tracing pipeline: `no_std`, no heap, no unsafe, no clock.
//!
//! A span is recorded as the protobuf bytes that OTLP wants, kept in a ring over memory of the
//! caller's, and delivered by an exporter that decides everything (batches, retries, circuit
//! breaker, limits) and does nothing: time and randomness are arguments, and the network is
//! whoever drives it. So the same code runs on a Cortex-M0 and on a server, and a year of outages
//! is simulated in milliseconds.
//!
//! ```text
//!  Tracer ─ start ─▶ Span ─ end ─▶ Exporter ─ poll_transmit ─▶ your POST
//!                                  (Buffer)  ◀─ handle_response ─┘
//! ```
//!
//! ```
//! use spandrel_core::prelude::*;
//! use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! // Memory is chosen once.
//! let attributes = [KeyValue::new("service.name", "thermostat")];
//! let resource = Resource { attributes: &attributes, schema_url: "" };
//! let registry = Registry::new([0_u8; 256], &resource)?;
//! let buffer = Buffer::new([0_u8; 4096]);
//! let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry)?;
//!
//! // A span is started, described and ended; the times are yours.
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(7));
//! let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), ids);
//! let mut span = tracer.start::<256>(SpanBuilder::new("heat"), Instant::from_millis(10));
//! span.set_attribute("target.celsius", 21.5);
//! span.end(Instant::from_millis(12), &mut exporter)?;
//!
//! // After five seconds, or 512 spans, there is a request to send.
//! assert_eq!(exporter.poll_timeout(), Some(Instant::ZERO)); // something is new: look at it
//! assert!(exporter.poll_transmit(Instant::from_millis(12)).is_none());
//! let due = exporter.poll_timeout().expect("a span waits");
//! let mut request = exporter.poll_transmit(due).expect("it is due");
//! let mut body = [0_u8; 512];
//! let len = exporter.read_body(&mut request, &mut body);
//! assert_eq!(len, request.content_length());
//!
//! // The answer settles it, and every span is accounted for.
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
//! | [`sampler`], [`propagation`] | which traces are kept, and how they cross processes |
//! | [`env`] | `OTEL_*` variables as a pure function |
//! | [`json`] | OTLP/JSON lines from the same bytes |
//! | `hosted` (feature `std`) | threads, clocks and environment: what the transports build on |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | (none) | everything above but `hosted`: no `std`, no heap |
//! | `std` | the hosted runtime |
//! | `tracing` | a layer for programs that use the macros of the `tracing` crate (with `std`) |
//! | `link` | spans as frames over a serial line, for a device without a network |
//! | `critical-section` | a buffer that tasks and interrupts share |
//! | `gzip` | gzip without a heap, for bodies that devices send |
//! | `json-answers` | answers in JSON, which a collector may give by mistake; part of `std` |
//! | `defmt` | `defmt::Format` on errors, configuration, states and counts |
//!
//! Features only add. The minimum supported Rust version is 1.87.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

// L0
pub mod attribute;
#[cfg(any(feature = "gzip", feature = "link"))]
mod crc;
pub mod id;
pub mod time;
pub mod wire;
// L1
pub mod backoff;
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
pub mod stats;
// L5
#[cfg(feature = "std")]
pub mod hosted;
#[cfg(feature = "link")]
pub mod link;
pub mod prelude;
#[cfg(feature = "critical-section")]
pub mod shared_buffer;
#[cfg(test)]
mod test_support;
