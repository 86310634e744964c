//! Models, generators and servers that the tests of Spandrel share.
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`alloc`] | allocations made by one thread in one closure |
//! | [`fuzz`] | the bodies of the fuzz targets, which are also replayed by an ordinary test |
//! | [`models`] | a naive model of each machine, and runners |
//! | [`wire_model`] | scripts of spans, and what they must look like in official OTLP types |
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "models and fuzz bodies are parts of tests"
)]

pub mod alloc;
pub mod fuzz;
pub mod models;
pub mod wire_model;
