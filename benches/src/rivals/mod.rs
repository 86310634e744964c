//! The rivals, each behind what the benches need of it.

pub mod emit;
pub mod fastrace;
pub mod otel;
pub mod tracing_otel;
