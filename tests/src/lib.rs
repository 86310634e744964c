//! Models, generators and servers that the tests of Spandrel share.
//!
//! | module | what a test gets from it |
//! |---|---|
//! | [`tls`] | certificates, good and bad, and the server settings made of them |
//! | [`rotel`] | a real collector as a child process |
//! | [`device`] | a device that makes numbered spans and sends them as frames |
//! | [`models`] | naive models of the machines |
//! | [`fuzz`] | the bodies of the fuzz targets, which an ordinary test replays too |
//! | [`gunzip`] | what Python decodes of gzip |
//! | the modules of `spandrel_testkit` | what users have too: models, the fault server, the simulation, scripts of spans |
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
pub use spandrel_testkit::{fault_server, loopback, proxy, rng, sim, wire_model};

pub mod device;
pub mod fuzz;
pub mod gunzip;
pub mod models;
pub mod rotel;
pub mod tls;
