//! The library of the examples and the tests.
//!
//! - [`collector`]: an OTLP/HTTP collector in this process, which remembers what it got and can
//!   be set to fail;
//! - [`mod@waterfall`]: traces as text, a bar for each span on a common time axis;
//! - [`demo`]: the few lines around an example;
//! - [`output`]: printing that bears a closed pipe, and failures as text;
//! - [`emulator`]: the boards of `examples/firmware` in QEMU.

pub mod collector;
pub mod demo;
pub mod emulator;
pub mod output;
pub mod waterfall;

pub use collector::{Collector, ReceivedRequest, ReceivedSpan};
pub use demo::Demo;
pub use output::Failure;
pub use waterfall::waterfall;

/// The documents' snippets, compiled and run by `cargo test`.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../TROUBLESHOOTING.md")]
    struct Troubleshooting;
    #[doc = include_str!("../../DEVICES.md")]
    struct Devices;
}
