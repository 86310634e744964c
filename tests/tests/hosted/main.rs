//! What the core offers programs on an operating system: configuration, the `tracing` layer and
//! gzip for spans.

mod active_span;
mod config;
mod plug_ins;
mod processors;
mod span_gzip;
mod tail;
mod tracing_layer;
