//! The hosted runtime (feature `std`): everything that the machines need from an operating system.
//!
//! | module | gives |
//! |---|---|
//! | [`clock`] | core time from the monotonic clock, and its distance to the wall clock |
//! | [`rng`] | a fast generator per thread, seeded by the system, safe across `fork` |
//! | [`resource`] | the attributes of this process, merged by precedence |
//! | [`sampling`] | what samplers and generators of ids have on a host |
//! | [`current`] | the current span of the thread, across `await` too, and suppression |
//! | [`baggage`] | names and values that travel with a request |
//! | [`propagation`] | contexts in and out of requests, and the process-wide propagator |
//! | [`diagnostics`] | how Spandrel reports about itself |
//! | [`metrics`] | what the pipeline tells about itself, as numbers |
//! | [`export`] | exporters of your own, in memory and to files |
//! | [`config`] | the one configuration of both transports, merged with the environment |
//! | [`active`] | recording on the current span without a reference to it |
//! | [`processor`] | code of the program that sees the start and the end of spans |
//! | [`trace`] | tracers and spans for threads, and the process-wide provider |
//! | `span_gzip` | gzip for spans (feature `_deflate`, which the transports turn on) |
//! | [`log_ids`] | the ids of the current span in the lines of a log |
//! | `layer` | a layer that records the spans of the `tracing` crate (feature `tracing`) |
//! | `waterfall` | traces as text, a bar for each span (feature `_waterfall`, likewise) |
//! | `spool` | batches that wait on a disk for their collector (feature `spool`) |
//! | [`prelude`] | the names that nearly every application needs |
//! | `opentelemetry_0_33`, `_0_32`, `_0_31` | the API of the crate `opentelemetry` over this pipeline (features of these names) |
//! | `opentelemetry_sdk_0_33` | the finished spans of `opentelemetry_sdk` through this pipeline (feature of this name) |
//! | `testing` | spans captured in tests (feature `testing`) |
//! | [`unversioned`] | code that the transports share, exempt from semantic versioning |
//!
//! Only this module reads clocks, draws entropy or keeps state of the process.

// L0
pub mod clock;
pub mod current;
pub mod diagnostics;
mod growing;
pub mod metrics;
mod process;
pub mod resource;
pub mod rng;
pub mod sampling;
mod text;
// L1
pub mod active;
pub mod config;
// L1
pub mod export;
pub mod processor;
// L2
pub mod baggage;
pub mod propagation;
mod shards;
// L3
pub mod trace;
// L4
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod instrument;
#[cfg(feature = "tracing")]
pub mod layer;
pub mod log_ids;
#[cfg(feature = "_bridge")]
mod opentelemetry;
#[cfg(feature = "_deflate")]
pub mod span_gzip;
#[cfg(feature = "spool")]
pub mod spool;
#[cfg(feature = "_waterfall")]
pub mod waterfall;
// L5
#[cfg(feature = "opentelemetry-0-31")]
pub mod opentelemetry_0_31;
#[cfg(feature = "opentelemetry-0-32")]
pub mod opentelemetry_0_32;
#[cfg(feature = "opentelemetry-0-33")]
pub mod opentelemetry_0_33;
#[cfg(feature = "opentelemetry-sdk-0-33")]
pub mod opentelemetry_sdk_0_33;
pub mod prelude;
#[cfg(feature = "testing")]
pub mod testing;
pub mod unversioned;
