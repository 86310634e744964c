//! Lean spans: a start and an end for about a hundred instructions, on devices that have no room for
//! OTLP.
//!
//! Names, keys and constant texts are not in the flash: `lean_text!` puts them into a section
//! of the ELF file, and a span carries their addresses. Ids are not drawn but numbered, and times are
//! ticks of a 32-bit timer. The host has the ELF file and makes whole spans of it all.
//!
//! ```text
//!   device                                               host
//!   Recorder: start, end ─▶ ring of slots                 LeanDecoder ─▶ Frame: build, boot, records
//!                              └─ FrameWriter ─▶ ▒▒▒ ─▶      │
//!                                                            └─ + ELF file: names   + Ids: ids
//! ```
//!
//! # In the ring
//!
//! A slot is two words. A span takes three slots, 24 bytes, an event two, and an attribute one more:
//!
//! ```text
//!   span, begin   head | number      parent, 0 = none | number of the root      start | duration
//!   event         head | number of the span           ticks | 0
//!   attribute     key:16 type:3 | value
//!   head          name:16 record:2 kind:3 status:2 detached:1 attributes:8
//! ```
//!
//! # On the line
//!
//! Frames are those of the [link](crate::link): zeros around
//! `COBS( version boot sequence now kind | body | crc32 )`, and the numbers are postcard's varints.
//! A link of this kind is one of its own: do not mix both kinds of frames on one line.
//!
//! | kind | body |
//! |---|---|
//! | 5 | ticks now, spans ended, spans dropped; then records to the end of the frame |
//! | 6 | build (64 bits), ticks a second |
//!
//! A record begins with a byte `record:2 kind:3 status:2 more:1`. With `more`, the number of
//! attributes follows; then
//!
//! | record | fields |
//! |---|---|
//! | 0 span | name, number, parent, root, start, duration |
//! | 1 begin | name, number, parent, root, start |
//! | 2 event | name, number, time |
//!
//! and each attribute as `key << 3 | type` and its value. Numbers and times are zigzag differences to
//! those of the record before; the first number's to 0, the first time's to the ticks of the frame. A
//! parent is the distance from the span's number, 0 for none, in which case no root follows; the root
//! is the distance too. All of this counts modulo 2^32.
//!
//! A span ends in a frame within one turn of the timer after its start, or its date is wrong by turns:
//! 71 minutes at 1 MHz.
//!
//! ```
//! use core::cell::Cell;
//! use spandrel_core::lean::{FrameBody, TickClock, LeanDecoder, Entry, FrameWriter, Recorder, Text, LeanValue};
//! use spandrel_core::time::Instant;
//!
//! struct Timer;
//! impl TickClock for Timer {
//!     fn ticks() -> u32 {
//!         7_000 // a device reads a timer here
//!     }
//! }
//!
//! // The device. `lean_text!("sensor.read")` gives such a number.
//! const READ: Text = Text::new(17);
//! const CELSIUS: Text = Text::new(29);
//! static SPANS: Recorder<Timer, 64> = Recorder::new();
//! let mut span = SPANS.start::<1>(READ);
//! span.set(CELSIUS, LeanValue::Float(21.5));
//! SPANS.end(span);
//!
//! let mut frames = FrameWriter::new(3, 0xb01d, 1_000_000);
//! let mut frame = [0; 128];
//! let mut line = Vec::new();
//! while let Some(len) = frames.next(&SPANS, Instant::from_millis(7), &mut frame) {
//!     line.extend_from_slice(&frame[..len]);
//! }
//!
//! // The host.
//! let mut decoder = LeanDecoder::new([0; 256]);
//! let mut input = line.as_slice();
//! let mut names = Vec::new();
//! while let Some(frame) = decoder.next(&mut input) {
//!     if let FrameBody::Records(records) = frame.body {
//!         assert_eq!(frame.build, Some(0xb01d));
//!         for entry in records {
//!             if let Entry::Span(span, attributes) = entry {
//!                 names.push(span.name);
//!                 assert_eq!(attributes.collect::<Vec<_>>(), [(CELSIUS, LeanValue::Float(21.5))]);
//!             }
//!         }
//!     }
//! }
//! assert_eq!(names, [READ]);
//! ```

mod decoder;
mod frame;
mod recorder;
#[cfg(test)]
mod tests;

pub use decoder::{
    Entry, Frame, FrameBody, LeanAttributes, LeanDecoder, LeanStats, Records, SpanEntry,
};
pub use frame::{FrameWriter, MIN_LEAN_FRAME_BYTES};
pub use recorder::{LeanContext, LeanSpan, Recorder, TickClock};

use crate::id::{SpanId, TraceId};

/// The number of a text in the device's ELF file: the lower half of its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Text(u16);

impl Text {
    /// The text of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The text whose bytes are at `address`: for `lean_text!`.
    #[must_use]
    pub fn at(address: *const u8) -> Self {
        Self(address.addr() as u16)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Puts a literal into the section `.spandrel` of the ELF file, with a zero behind it, and gives its
/// [`Text`](crate::lean::Text). A linker script, given behind the others, keeps the section in the
/// file and out of the flash:
///
/// ```text
/// SECTIONS
/// {
///   .spandrel 1 (INFO) : { . = 1; *(.spandrel .spandrel.*); __spandrel_end = .; }
/// }
/// ASSERT(__spandrel_end < 65536, "more than 64 KiB of span names");
/// ```
#[macro_export]
macro_rules! lean_text {
    ($text:literal) => {{
        #[unsafe(link_section = ".spandrel")]
        static TEXT: [u8; $text.len() + 1] = $crate::lean::with_zero($text);
        $crate::lean::Text::at((&raw const TEXT).cast())
    }};
}

/// The bytes of `text`, and zeros behind it.
#[doc(hidden)]
#[must_use]
pub const fn with_zero<const N: usize>(text: &str) -> [u8; N] {
    let (mut from, mut bytes) = (text.as_bytes(), [0; N]);
    let mut to: &mut [u8] = &mut bytes;
    while let (Some((byte, from_rest)), Some((place, to_rest))) =
        (from.split_first(), to.split_first_mut())
    {
        *place = *byte;
        (from, to) = (from_rest, to_rest);
    }
    bytes
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LeanValue {
    /// A number from 0 on.
    Unsigned(u32),
    /// A number.
    Signed(i32),
    /// True or false.
    Bool(bool),
    /// A number with a fraction.
    Float(f32),
    /// A constant text.
    Text(Text),
}

impl LeanValue {
    const fn to_words(self) -> (u32, u32) {
        match self {
            Self::Unsigned(value) => (0, value),
            Self::Signed(value) => (1, value as u32),
            Self::Bool(value) => (2, value as u32),
            Self::Float(value) => (3, value.to_bits()),
            Self::Text(text) => (4, text.0 as u32),
        }
    }

    const fn from_words(kind: u32, value: u32) -> Option<Self> {
        Some(match (kind, value) {
            (0, value) => Self::Unsigned(value),
            (1, value) => Self::Signed(value as i32),
            (2, 0) => Self::Bool(false),
            (2, 1) => Self::Bool(true),
            (3, bits) => Self::Float(f32::from_bits(bits)),
            (4, text @ 0..=0xffff) => Self::Text(Text(text as u16)),
            _ => return None,
        })
    }
}

/// Makes the ids of a run's spans: the same each time, on the device and on the host, and others for
/// each device, build and boot.
///
/// ```
/// use spandrel_core::lean::Ids;
///
/// let ids = Ids::new(0x1234_5678_9abc_def0, 0xb01d, 3);
/// assert_eq!(ids.span(7), Ids::new(0x1234_5678_9abc_def0, 0xb01d, 3).span(7));
/// assert_ne!(ids.span(7), Ids::new(0x1234_5678_9abc_def0, 0xb01d, 4).span(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ids(u64);

impl Ids {
    /// The ids of run `boot` of `device`, a number that no other device has, with this build.
    #[must_use]
    pub const fn new(device: u64, build: u64, boot: u32) -> Self {
        Self(mix(mix(mix(device) ^ build) ^ boot as u64))
    }

    /// The id of the span with this number.
    #[must_use]
    pub const fn span(self, number: u32) -> SpanId {
        SpanId::from_bytes(mix(self.0 ^ number as u64).to_be_bytes())
    }

    /// The id of the trace whose root has this number.
    #[must_use]
    pub const fn trace(self, root: u32) -> TraceId {
        let high = mix(!self.0 ^ root as u64) as u128;
        let low = mix(self.0.rotate_left(32) ^ root as u64) as u128;
        TraceId::from_bytes((high << 64 | low).to_be_bytes())
    }
}

/// The finalizer of SplitMix64: every bit of `value` decides about every bit of the result, which is
/// never 0.
const fn mix(value: u64) -> u64 {
    let mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ (mixed >> 31);
    if mixed == 0 { 1 } else { mixed }
}
