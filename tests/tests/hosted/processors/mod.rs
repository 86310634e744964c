//! Span processors, in both transports and for the spans of the `tracing` layer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod changes;
mod endings;
mod inside;
mod layer;
mod order;
mod panics;
pub(crate) mod rig;
