//! Models, generators and servers that the tests of Spandrel share.
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`alloc`] | allocations made by one thread in one closure |
//! | [`models`] | a naive model of each machine, and runners |
//! | [`wire_model`] | scripts of spans, and what they must look like in official OTLP types |

pub mod alloc;
pub mod models;
pub mod wire_model;
