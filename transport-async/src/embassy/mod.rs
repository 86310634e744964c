//! Bare metal (feature `embassy`): timers of embassy-time, and a POST over any TCP stack of
//! `embedded-nal-async`. No heap, no TLS, every buffer the caller's.
//!
//! ```text
//!   tasks ─────────────────────▶ RefCell<Exporter> ◀──┐
//!   interrupts ─▶ SharedBuffer ────────────────────── Gather ◀── Driver ──▶ HttpPost ──▶ TCP stack
//!         └── ring ─▶ Doorbell ─▶ EmbassySleep ────────────────────┘
//! ```
//!
//! The tasks of one executor share the exporter in a `RefCell`, and keep no borrow over an await.
//! Interrupts, and tasks of other executors, record into a
//! [`SharedBuffer`](spandrel_core::shared_buffer::SharedBuffer), from which [`Gather`] fetches: that
//! keeps interrupts off for the copy of one span at a time. Without interrupts that record, a
//! `&RefCell<Exporter>` is an [`Outbox`](crate::Outbox) itself.
//!
//! ```no_run
//! use core::cell::RefCell;
//! use embedded_nal_async::TcpConnect;
//! use spandrel_core::prelude::*;
//! use spandrel_core::shared_buffer::SharedBuffer;
//! use spandrel_transport_async::Driver;
//! use spandrel_transport_async::embassy::{
//!     Collector, Doorbell, EmbassySleep, Gather, Gzip, HttpPost,
//! };
//!
//! static BELL: Doorbell = Doorbell::new();
//! /// For interrupts.
//! static SPANS: SharedBuffer<[u8; 1024]> = SharedBuffer::new(Buffer::new([0; 1024]));
//! /// For tasks.
//! type Traces = RefCell<Exporter<[u8; 8192], [u8; 512]>>;
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
//!     let outbox: Gather<_, _, _> = Gather::new(traces, &SPANS);
//!     Driver::new(outbox, post, EmbassySleep::with_bell(&BELL)).run().await;
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
mod gather;
mod http;
mod post;
mod reader;
#[cfg(feature = "reqwless")]
mod reqwless;
mod time;

pub use collector::{Collector, CollectorError};
pub use encoding::{Encoding, Gzip, Identity};
pub use gather::Gather;
pub use post::{HttpPost, MIN_MEMORY_BYTES};
#[cfg(feature = "reqwless")]
pub use reqwless::{MIN_REQWLESS_MEMORY_BYTES, ReqwlessPost};
pub use time::{Doorbell, EmbassySleep};
