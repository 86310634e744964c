//! The device link: spans over a serial line, or over any other stream of bytes.
//!
//! A device without a network sends its spans to a host as frames, and the host delivers them. The
//! line may lose, damage and cut bytes, the host may come late, the device may reboot, and it does
//! not know the date. So each frame stands alone: it carries its boot, a number, the device's
//! monotonic time and a checksum. Gaps in the numbers tell how much is missing, and the host dates
//! the spans.
//!
//! ```text
//!   device                                       host
//!   Tracer ─▶ LinkExporter ─ next_frame ─▶ ▒▒▒ ─▶ Decoder ─▶ LinkEvent: resource, scope, span, counts
//!                 ▲                                  │             date: Anchor
//!                 └── handle_command ◀── ▒▒▒ ◀───────┘ acknowledgement (if there is a way back)
//!
//!   00  COBS( version boot number now | body | crc32 )  00
//!
//!   lease of LinkExporter      all sent, no answer: again, with an announcement
//!              refill        ┌──────────────────────┐
//!     (none) ─────────▶ sending ─ last frame ─▶ unanswered
//!        ▲                 │ acknowledged           │ acknowledged
//!        └─────────────────┴────────────────────────┘
//! ```
//!
//! - The resource and the scopes are announced before the first span, at intervals, when the host
//!   asks, and with every repetition. Without a way back a host that came late waits for the next
//!   announcement.
//! - A device that starts again has another boot number, best a random one or a counter in memory
//!   that outlives a reset. With the same number it is noticed by its first frame; without that, by
//!   frames with earlier numbers that were made earlier by more than a second, or later, than the
//!   last one. A run that looks like the continuation of the one before cannot be noticed.
//! - A device's clock should go on while it sleeps, and never back ([`Ticks32`](crate::time::Ticks32)).
//!   One that stands still must say so: [`LinkExporter::clock_resumed`].
//! - Drop counts are sent as totals, so the next frame of counts makes up for a lost one.
//! - A span or entry larger than a frame is sent in pieces; frames may be as small as
//!   [`MIN_FRAME_BYTES`].
//! - Without acknowledgements a span counts as exported when its last frame was returned. With them
//!   ([`LinkConfig::acknowledged`]) it stays until the host has it, and arrives exactly once as
//!   long as the host runs.
//!
//! On the line a span takes its record, 54 bytes or more, and about 22 bytes of frame.
//!
//! ```
//! use spandrel_core::link::{Content, Decoder, LinkConfig, LinkExporter};
//! use spandrel_core::prelude::*;
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! // The device.
//! let resource = Resource { attributes: &[KeyValue::new("service.name", "pump")], schema_url: "" };
//! let registry = Registry::new([0_u8; 128], &resource)?;
//! let boot = 7; // from a random number generator
//! let mut link = LinkExporter::new(LinkConfig::DEFAULT, boot, Buffer::new([0_u8; 1024]), registry);
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let span = tracer.start::<128>(SpanBuilder::new("stroke"), Instant::from_millis(5));
//! span.end(Instant::from_millis(9), &mut link)?;
//!
//! // The line.
//! let mut line = Vec::new();
//! let mut frame = [0_u8; 96];
//! while let Some(len) = link.next_frame(Instant::from_millis(10), &mut frame) {
//!     line.extend_from_slice(&frame[..len]);
//! }
//! assert!(link.ledger().is_closed());
//!
//! // The host.
//! let mut decoder = Decoder::new([0_u8; 256], [0_u8; 1024]);
//! let mut input = line.as_slice();
//! let mut spans = 0;
//! while let Some(event) = decoder.next(&mut input) {
//!     match event.content {
//!         Content::Resource(resource) => assert_eq!(resource.text("service.name"), Some("pump")),
//!         Content::Span(span) => spans += 1,
//!         _ => {}
//!     }
//! }
//! assert_eq!(spans, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchor;
mod command;
mod config;
mod decoder;
pub(crate) mod deframe;
pub(crate) mod enframe;
mod event;
mod exporter;
mod message;
#[cfg(test)]
mod reference;
mod state;
mod transfer;

pub use anchor::Anchor;
pub use command::{Command, CommandReader};
pub use config::LinkConfig;
pub use decoder::Decoder;
pub use event::{Content, DecoderStats, DeviceCounts, LinkEvent, ReceivedSpan};
pub use exporter::LinkExporter;
pub use message::MIN_FRAME_BYTES;

pub use crate::resource::EncodedEntry;
