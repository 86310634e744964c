//! Strategies of `proptest` (feature `proptest`): settings, operations, and whole lives of an exporter.

pub mod backoff;
pub mod breaker;
pub mod buffer;
pub mod exporter;
pub mod sampler;
