//! Shared by Spandrel's own transports. **Exempt from semantic versioning**: any release may change it.
//!
//! | module | gives |
//! |---|---|
//! | [`pipeline`] | what the threads recorded, drained into one exporter |
//! | [`handle`] | what a `Telemetry` tells of the pipeline, and the token that cancels it |
//! | [`lifecycle`] | the reports that a start makes, and the global provider |
//! | `encode` | a request as the bytes that are sent (feature `_deflate`) |
//! | [`ends`] | the ends that a process does not choose: signals and panics |
//! | [`events`] | the exporter's events as diagnostics |
//! | [`metrics`] | the pipeline's own metrics as OTLP requests |
//! | [`tail`] | which finished traces are kept |
//! | [`restart`] | the report and the pause after a panic of the sending side |
//! | [`answer`] | what a server says beside its status, without secrets |
//! | [`coding`] | the one try without compression |
//! | [`client`] | why an HTTP client cannot be built, and what its I/O errors mean |
//! | `print` | a batch as text on the standard output (features `_deflate` and `_waterfall`) |
//! | `tls` | the certificates and keys of a client, from files (feature `_tls`) |

pub mod answer;
pub mod client;
pub mod coding;
#[cfg(feature = "_deflate")]
pub mod encode;
pub mod ends;
pub mod events;
pub mod handle;
pub mod lifecycle;
pub mod metrics;
pub mod pipeline;
#[cfg(all(feature = "_deflate", feature = "_waterfall"))]
pub mod print;
pub mod restart;
pub mod tail;
#[cfg(feature = "_tls")]
pub mod tls;
