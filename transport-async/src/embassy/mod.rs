//! Bare metal (feature `embassy`): timers of embassy-time, and a POST over any TCP stack of
//! `embedded-nal-async`. No heap, no TLS, every buffer the caller's.
//!
//! ```text
//!   tasks, interrupts ─▶ Mutex<RefCell<Exporter>> ◀── Driver ──▶ HttpPost ──▶ TCP stack
//!            └── ring ─▶ Doorbell ─▶ EmbassySleep ──────┘
//! ```
//!
//! ```no_run
//! use core::cell::RefCell;
//! use critical_section::Mutex;
//! use embedded_nal_async::TcpConnect;
//! use spandrel_core::prelude::*;
//! use spandrel_transport_async::Driver;
//! use spandrel_transport_async::embassy::{Collector, Doorbell, EmbassySleep, Gzip, HttpPost};
//!
//! static BELL: Doorbell = Doorbell::new();
//! type Traces = Mutex<RefCell<Exporter<[u8; 8192], [u8; 512]>>>;
//!
//! /// The body of an embassy task.
//! async fn export(traces: &Traces, stack: &impl TcpConnect) {
//!     let collector = Collector {
//!         headers: &[("x-device", "42")],
//!         ..Collector::new("192.168.1.5:4318".parse().expect("an address"), "192.168.1.5:4318")
//!     };
//!     let (mut memory, mut window, mut table) = ([0; 1024], [0; 1024], [0; 512]);
//!     let gzip = Gzip::new(&mut window, &mut table).expect("good lengths");
//!     let post = HttpPost::with_encoding(stack, collector, &mut memory, gzip);
//!     let post = post.expect("good headers");
//!     Driver::new(traces, post, EmbassySleep::with_bell(&BELL)).run().await;
//! }
//! ```
//!
//! Without memory for gzip there is [`HttpPost::new`], and no code for it is linked.
//!
//! # TLS
//!
//! A device without flash to spare for TLS sends to a gateway on its own network, or over a link
//! that is trusted. With the feature `reqwless` there is a sender over a client of reqwless too, which
//! can encrypt; what that costs stands there.

mod collector;
mod encoding;
mod http;
mod post;
mod reader;
#[cfg(feature = "reqwless")]
mod reqwless;
mod time;

pub use collector::{Collector, CollectorError};
pub use encoding::{Encoding, Gzip, Identity};
pub use post::{HttpPost, MIN_MEMORY_BYTES};
#[cfg(feature = "reqwless")]
pub use reqwless::{MIN_REQWLESS_MEMORY_BYTES, ReqwlessPost};
pub use time::{Doorbell, EmbassySleep};
