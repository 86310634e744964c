//! The firmware of `examples/firmware` on emulated boards.
//!
//! Every scenario runs on every board that can be emulated here; what the device sent is decoded
//! with the official types and compared with what it recorded, value by value. Without an
//! emulator, or without a compiler's library for a board's target, that is said and skipped;
//! `SPANDREL_FIRMWARE_REQUIRED` makes it a failure.
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a run without what it must say is broken, and a skipped one says why"
)]

mod board;
mod budgets;
mod link;
mod network;
mod scenarios;
mod station;
