//! The device link: from a device's exporter over a bad line to the host's decoder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

mod acknowledged;
mod one_way;
mod support;
