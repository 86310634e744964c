//! Whole processes: what a span costs from its start to its delivery over HTTP.
//!
//! Each contestant runs in a process of its own, which makes traces and delivers them to the sink,
//! a third process. The parent starts them in turns, each for a bounded time, and each ends with it.

pub mod child;
pub mod contestants;
mod parent;

pub use parent::{Plan, run, run_outage};
