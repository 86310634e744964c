//! What the core offers programs on an operating system: configuration, propagation, the
//! `tracing` layer and
//! gzip for spans.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod active_span;
mod baggage;
mod config;
mod instrument;
mod log_ids;
mod plug_ins;
mod processors;
mod propagation;
mod span_gzip;
mod tail;
mod testing;
mod tracing_layer;
