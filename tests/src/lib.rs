//! Models, generators and servers that the tests of Spandrel share.
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`fault_server`] | an OTLP/HTTP collector that misbehaves by script and records what it received |
//! | [`tls`] | certificates, good and bad, and the server settings made of them |
//! | [`proxy`] | a TCP relay that delays, throttles, cuts and resets at an exact byte |
//! | [`loopback`] | ports that refuse or swallow connections, interruptible pauses, resets |
//! | [`rotel`] | a real collector as a child process |
//! | [`device`] | a device that makes numbered spans and sends them as frames |
//! | [`models`] | naive models of the machines |
//! | [`sim`] | an exporter on a virtual clock, with a scripted collector and books of its own |
//! | [`wire_model`] | scripts of spans, and what they must look like in official OTLP types |
//! | [`fuzz`] | the bodies of the fuzz targets, which an ordinary test replays too |
//! | [`gunzip`] | what Python decodes of gzip |
//! | [`rng`] | random numbers that are the same in every run |
//! | [`alloc`] | allocations made by one thread in one closure |
//!
//! Everything here listens on loopback, on ports that the kernel picks, and stops when it is dropped.
#![deny(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot start must fail its test at once, with the reason; models and \
              fuzz bodies are parts of tests"
)]

pub use spandrel_alloc_counter as alloc;

pub mod device;
pub mod fault_server;
pub mod fuzz;
pub mod gunzip;
pub mod loopback;
pub mod models;
pub mod proxy;
pub mod rng;
pub mod rotel;
pub mod sim;
pub mod tls;
pub mod wire_model;
