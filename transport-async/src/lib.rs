//! The async transports of Spandrel: one driver, on tokio, on embassy, or on your own executor.
//!
//! | feature | gives |
//! |---|---|
//! | none | [`Driver`] over the traits [`Sleep`] and [`Post`]; `no_std`, no heap |
//! | `std` | the pipeline of a process as an [`Outbox`] |
//! | `reqwest` | `init` and a handle: a task on the caller's tokio runtime sends with reqwest |
//! | `tracing` | a layer for programs that use the macros of the `tracing` crate; turns on `std` |
//! | `embassy` | timers of embassy-time, and an HTTP/1.1 POST over any `embedded-nal-async` stack, plain or in gzip |
//! | `reqwless` | `embassy`, and a POST through reqwless, for its TLS; needs Rust 1.91 |
//! | `defmt` | `defmt::Format` on errors and configuration, here and in the core |
//!
//! Features only add; all of them can be on at once.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod driver;

pub use driver::{Body, Driver, Outbox, Post, Sleep};
pub use spandrel_core;

#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest")]
pub use self::reqwest::*;

#[cfg(feature = "embassy")]
pub mod embassy;
