//! For tests of what is built on Spandrel: is a transport right, does a machine do what its model does,
//! what happens when the collector misbehaves?
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`conformance`] | named rules for transports, each played against a scripted collector |
//! | [`fault_server`] | an OTLP/HTTP collector that misbehaves by script and records what it received |
//! | [`proxy`] | a TCP relay that delays, throttles, cuts and resets at an exact byte |
//! | [`loopback`] | ports that refuse or swallow connections, interruptible pauses, resets |
//! | [`models`] | naive models of buffer, backoff, breaker, sampler and exporter, run side by side with them |
//! | [`sim`] | an exporter on a virtual clock, with a scripted collector and its own books |
//! | `strategies` | settings and operations for `proptest` (feature `proptest`) |
//! | `wire_model` | scripts of spans from bytes, and what they must look like in official OTLP types (feature `arbitrary`) |
//! | [`rng`] | random numbers that are the same in every run |
//!
//! Everything here listens on loopback, on ports that the kernel picks, and stops when it is dropped.
//!
//! # Property tests
//!
//! A model comes with its operations and a runner that checks the machine after every step. With the
//! feature `proptest` there are strategies for both, and a test is one line:
//!
//! ```
//! # #[cfg(feature = "proptest")] {
//! use proptest::prelude::*;
//! use spandrel_testkit::{models, strategies};
//!
//! proptest! {
//!     fn the_backoff_is_what_its_model_says(
//!         config in strategies::backoff::configs(),
//!         ops in strategies::backoff::ops(),
//!     ) {
//!         models::backoff::run(config, &ops);
//!     }
//! }
//! the_backoff_is_what_its_model_says();
//! # }
//! ```
//!
//! # Fuzzing
//!
//! With the feature `arbitrary` a fuzzer's bytes become a script of calls on spans, limits and scratch
//! memory. It is run against Spandrel and against a model over the official types:
//!
//! ```
//! # #[cfg(feature = "arbitrary")] {
//! use arbitrary::{Arbitrary, Unstructured};
//! use spandrel_testkit::wire_model::RequestScript;
//!
//! fn fuzz(data: &[u8]) -> arbitrary::Result<()> {
//!     let script = RequestScript::arbitrary(&mut Unstructured::new(data))?;
//!     let _ = script.run(); // panics where they differ
//!     Ok(())
//! }
//! # let data: Vec<u8> = (0..2000_u32).map(|n| (n * 31 % 251) as u8).collect();
//! # fuzz(&data).unwrap();
//! # }
//! ```
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

// The README's code must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
