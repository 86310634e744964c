//! The hosted runtime (feature `std`): what the pure machines need from an operating system.
//!
//! | module | gives |
//! |---|---|
//! | [`clock`] | core time from the monotonic clock, and its distance to the wall clock |
//! | [`rng`] | a fast generator per thread, seeded by the system, safe across `fork` |
//! | [`resource`] | what is known about this process, merged by precedence |
//! | [`current`] | the current span of the thread, across `await` too, and suppression |
//! | [`config`] | the one configuration of both transports, merged with the environment |
//! | [`trace`] | tracers and spans for threads, and the process-wide provider |
//! | [`diagnostics`] | the one way in which Spandrel speaks about itself |
//! | `span_gzip` | bodies of spans made small (feature `_deflate`, which the transports turn on) |
//! | `layer` | a layer that makes spans of those of the `tracing` crate (feature `tracing`) |
//! | [`unversioned`] | what the transports share, exempt from semantic versioning |
//!
//! Only this module reads clocks, draws entropy or keeps state of the process.

pub mod clock;
pub mod config;
pub mod current;
pub mod diagnostics;
#[cfg(feature = "tracing")]
pub mod layer;
pub mod resource;
pub mod rng;
#[cfg(feature = "_deflate")]
pub mod span_gzip;
pub mod trace;
pub mod unversioned;
