//! OpenTelemetry tracing for async programs: one driver, on tokio with reqwest, on embassy, or on your
//! own executor.
//!
//! ```sh
//! cargo add spandrel-transport-async --features reqwest   # tokio
//! cargo add spandrel-transport-async --features embassy   # devices
//! ```
//!
//! On tokio, `init` starts everything; the module `reqwest` shows who sends when:
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! use spandrel_transport_async::{Config, init};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), spandrel_transport_async::InitError> {
//! let telemetry = init(Config {
//!     enabled: true,
//!     service_name: "checkout".into(),
//!     endpoint: "localhost:4318".into(),
//!     ..Config::default()
//! })?;
//!
//! telemetry.tracer("orders").start("order.place").end();
//!
//! let report = telemetry.shutdown(Duration::from_secs(5)).await;
//! assert!(report.is_success(), "{report}; {}", telemetry.ledger());
//! # Ok(())
//! # }
//! ```
//!
//! A signal, `std::process::exit`, the end of the runtime and a panic that aborts send nothing: without
//! `Telemetry::shutdown_on_signal` (feature `signal`), `Telemetry::exit`, an awaited `shutdown` and
//! `Telemetry::record_panics` they lose what has not been sent yet.
//!
//! On a device, the module `embassy` has the senders; on another executor, write a [`Sleep`] and a
//! [`Post`] for the [`driver`].
//!
//! # Features
//!
//! All are off by default. Features only add; all of them can be on at once.
//!
//! | feature | gives |
//! |---|---|
//! | none | [`Driver`] over the traits [`Sleep`] and [`Post`]; `no_std`, no heap |
//! | `std` | the pipeline of a process as an [`Outbox`] |
//! | `reqwest` | `init` and a handle: a task on the caller's tokio runtime sends with reqwest |
//! | `signal` | `reqwest`, and `Telemetry::shutdown_on_signal` and `until_signal` |
//! | `http` | `http::HeaderMap` as a carrier of contexts; turns on `std` |
//! | `tracing` | a layer for programs that use the macros of the `tracing` crate; turns on `std` |
//! | `opentelemetry-sdk-0-33` | the finished spans of `opentelemetry_sdk` through this pipeline |
//! | `opentelemetry-0-33`, `-0-32`, `-0-31` | the API of the crate `opentelemetry` over this pipeline; turns on `std` |
//! | `tracing-fmt` | the ids of spans in the lines of `tracing-subscriber`'s `fmt`; turns on `tracing` |
//! | `embassy` | timers of embassy-time, and an HTTP/1.1 POST over any `embedded-nal-async` stack, plain or in gzip |
//! | `reqwless` | `embassy`, and a POST through reqwless, for its TLS; needs Rust 1.91 |
//! | `defmt` | `defmt::Format` on errors and configuration, here and in the core |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod driver;

pub use driver::{Body, Driver, Outbox, Post, Sleep};
pub use spandrel_core;

#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest")]
pub use self::reqwest::*;

#[cfg(feature = "embassy")]
pub mod embassy;
