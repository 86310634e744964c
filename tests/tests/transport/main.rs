//! The blocking transport against a collector that misbehaves by script, on real sockets.
//!
//! A test that is named after a row of `tests/spec/faults.md` plays that fault. Each one ends with
//! [`harness::Rig::close`]: the ledger is closed, the collector's book agrees with it, no thread of
//! the application has waited, and what may be there twice has been announced.
//!
//! With `SPANDREL_TEST_WAIT_MS=2` all of them run with spans that wait for room, which no fault may turn
//! into a deadlock (fault X278).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod alike;
mod answers;
mod cases;
mod child;
mod concurrency;
mod conformance;
mod context;
mod destinations;
mod diagnostics;
mod ends;
mod exporters;
mod flush;
#[cfg(unix)]
mod fork;
mod harness;
mod http;
mod lanes;
mod lifecycle;
mod limits;
mod metrics;
mod network;
mod outcomes;
mod process;
mod resources;
mod said;
mod settings;
mod shutdown;
mod start;
mod statuses;
mod texts;
mod times;
mod tls;
mod values;
mod waiting;
mod wire;
