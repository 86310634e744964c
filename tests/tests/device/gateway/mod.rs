//! The gateway as a whole: frames in over loopback or a stream, OTLP out to a server of the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

mod hostile;
mod relay;
mod support;
