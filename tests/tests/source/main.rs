//! What must hold for the source text: the order of files, the names of
//! public types, what keeps the core free of `std`, heap, clock and globals, and that devices can
//! print all values. The compiler proves the rest:
//! `forbid(unsafe_code)` here, and in `.ci/bare-metal.sh` an image that links without an allocator.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests may fail like the tests themselves"
)]

mod crate_source;
mod defmt;
mod layers;
mod manifests;
mod names;
mod no_std;
mod references;
mod scanner;
mod spec;
