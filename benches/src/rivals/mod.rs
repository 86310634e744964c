//! The rivals, each behind what the benches need of it.

pub mod otel;
