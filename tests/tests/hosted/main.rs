//! What the core offers programs on an operating system: the `tracing` layer and gzip for spans.

mod span_gzip;
mod tracing_layer;
