//! Naive models: those of the test kit, and one of a part that only our transports use.

pub use spandrel_testkit::models::*;

pub mod tail;
