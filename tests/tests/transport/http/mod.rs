//! The sender against real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic; the lint exempts only functions marked as tests"
)]

mod plain;
pub(crate) mod server;
mod tls;
