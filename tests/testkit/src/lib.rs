//! Models, generators and servers for tests of Spandrel and of what is built on it.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot start must fail its test at once, with the reason; models are \
              parts of tests"
)]

pub mod conformance;
pub mod fault_server;
pub mod loopback;
pub mod models;
pub mod proxy;
pub mod rng;
pub mod sim;
#[cfg(feature = "proptest")]
pub mod strategies;
#[cfg(feature = "arbitrary")]
pub mod wire_model;
