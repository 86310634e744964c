//! The bridge to the crate `opentelemetry`, with one version of it in the process; `bridge_versions`
//! has several.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod contexts;
mod futures;
mod layer;
mod propagation;
mod sdk;
mod spans;
