//! Span processors, in both transports and for the spans of the `tracing` layer.

mod changes;
mod endings;
mod inside;
mod layer;
mod order;
mod panics;
pub(crate) mod rig;
