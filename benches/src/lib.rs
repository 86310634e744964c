//! Spandrel and its rivals, measured side by side; see `README.md`.

pub mod alloc;
pub mod counts;
pub mod harness;
pub mod machines;
pub mod ours;
pub mod svg;
pub mod table;
pub mod usage;
pub mod workload;

#[cfg(feature = "rivals")]
pub mod e2e;
#[cfg(feature = "rivals")]
pub mod micro;
#[cfg(feature = "rivals")]
pub mod rivals;
#[cfg(feature = "rivals")]
pub mod sink;
