//! The async transport: cancellation, runtimes, and faults over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic; the lint exempts only functions marked as tests"
)]

mod cancel;
mod destinations;
mod embassy;
mod embassy_gzip;
mod embassy_hostile;
mod faults;
mod lanes;
mod lying;
mod reqwless;
mod runtimes;
mod scripted;
mod sender;
mod stack;
mod support;
