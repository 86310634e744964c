//! The layers around services that are driven by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod attributes;
mod calls;
mod contexts;
mod ends;
mod rig;
#[cfg(feature = "axum")]
mod routes;
