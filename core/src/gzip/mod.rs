//! gzip without a heap and without a window of its own, for bodies that devices send.
//!
//! A host has room for an encoder with tables and a window: flate2's takes 255 KiB. A device has none;
//! but the body is made of records that lie in RAM, so an encoder needs no copy of its input, only a
//! table of where four bytes were seen last: a `&mut [u16]` of the caller's with 256 to 4,096
//! entries. The output is one block in the fixed code of DEFLATE (RFC 1951), between the header and
//! the trailer of gzip (RFC 1952). Where that expands the data, stored blocks take over: see
//! [`max_compressed_len`].
//!
//! - [`compress`]: the whole body lies in one slice.
//! - [`Encoder`]: the body is pulled piece by piece through a window of the caller's, and comes out
//!   in pieces of any size. Matches reach back over what the window still holds.
//!
//! The output depends on the input, the table's length and the window's length, never on how input
//! and output are cut. So the length for a `Content-Length` can be found by compressing twice, the
//! first time into a small buffer that is thrown away; else send with chunked transfer coding.
//!
//! ```
//! use spandrel_core::gzip::Encoder;
//! # use spandrel_core::prelude::*;
//! # use spandrel_core::test_support::TestRng;
//! # let resource = Resource { attributes: &[KeyValue::new("service.name", "demo")], schema_url: "" };
//! # let registry = Registry::new([0_u8; 256], &resource)?;
//! # let mut exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
//! # let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
//! # for ms in 0..9 {
//! #     let span = tracer.start::<256>(SpanBuilder::new("sensor.read"), Instant::from_millis(ms));
//! #     span.end(Instant::from_millis(ms + 3), &mut exporter)?;
//! # }
//! # exporter.poll_transmit(Instant::from_secs(1));
//! # let mut sent = Vec::new();
//! # let mut send = |bytes: &[u8]| sent.extend_from_slice(bytes);
//! # let now = Instant::from_secs(10);
//! let mut transmit = exporter.poll_transmit(now).ok_or("nothing is due")?;
//!
//! let (mut window, mut table) = ([0; 2048], [0; 512]);
//! let mut gzip = Encoder::new(&mut window, &mut table)?;
//! let mut chunk = [0; 128];
//! loop {
//!     let len = gzip.read(&mut chunk, |target| exporter.read_body(&mut transmit, target));
//!     if len == 0 {
//!         break;
//!     }
//!     send(&chunk[..len]);
//! }
//! # assert!(sent.len() < transmit.content_length());
//! # assert_eq!(sent[..3], [0x1f, 0x8b, 8]);
//! # exporter.cancel(now, transmit);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Figures
//!
//! Bodies of spans with four or five attributes, random ids and times, about 180 bytes a span, in
//! percent of the raw bytes. `tests/tests/core/gzip.rs` makes them and prints this table.
//!
//! | body | flate2, level 6 | table 256 | 512 | 1,024 | 4,096 | table 512, window 1,024 | 2,048 | 4,096 |
//! |---|---|---|---|---|---|---|---|---|
//! | 5 spans, 1.1 KB | 49.5 | 50.0 | 49.9 | 50.2 | 50.0 | 49.9 | 49.9 | 49.9 |
//! | 47 spans, 8.5 KB | 26.1 | 30.7 | 29.8 | 29.5 | 29.2 | 33.5 | 30.8 | 29.8 |
//! | 191 spans, 34 KB | 22.6 | 28.9 | 27.6 | 27.1 | 26.8 | 31.5 | 28.6 | 27.7 |
//!
//! What was tried, at 34 KB with 512 entries and, after the stroke, through a window of 1,024 bytes:
//! the table alone 29.0 / 37.0; with every place inside a match entered 29.3 / 32.7; with the
//! distance of the last match tried first 27.9 / 34.1; that and every fourth place, as it is now,
//! 27.6 / 31.5. A hash of three bytes gives 29.2 / 36.7.
//!
//! About 64 instructions a byte on x86-64, a sixth of them for bit reversals that are one
//! instruction on Cortex-M3 and up, and a sixth for the checksum. On thumbv7em at `opt-level = "s"`
//! [`compress`] takes 1.4 KB of flash and [`Encoder`] 1.9 KB, next to `memcpy` and its like.

mod bits;
mod crc;
mod deflate;
mod matcher;

use core::fmt;

use bits::{BitWriter, Pending};
use crc::Crc;
use deflate::{Deflate, Stop, Trailer};

use crate::wire::move_within;

/// Why nothing was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GzipError {
    /// The table must have a power of two of entries, from 256 to 4,096.
    TableSize,
    /// The window must have at least [`MIN_WINDOW_BYTES`].
    WindowSize,
    /// The output does not fit.
    OutputFull,
}

impl fmt::Display for GzipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TableSize => "the table must have 256, 512, 1024, 2048 or 4096 entries",
            Self::WindowSize => "the window must have at least 1024 bytes",
            Self::OutputFull => "the output does not fit",
        })
    }
}

impl core::error::Error for GzipError {}

/// The smallest window of an [`Encoder`], in bytes.
pub const MIN_WINDOW_BYTES: usize = 1024;

/// The most bytes that `input` bytes can become: one in 64 more, and 32.
///
/// Stored blocks of 320 bytes would take as much. Data without any pattern gets close to it.
#[must_use]
pub const fn max_compressed_len(input: usize) -> usize {
    input.saturating_add(input / 64 + 32)
}

/// Compresses `source` into the start of `out`; how many bytes that took.
///
/// The content of `table` on entry does not matter. An `out` of [`max_compressed_len`] bytes is
/// always enough.
///
/// # Errors
///
/// When the table has a length that is not allowed, or `out` is too small.
pub fn compress(source: &[u8], table: &mut [u16], out: &mut [u8]) -> Result<usize, GzipError> {
    check_table(table)?;
    let mut crc = Crc::new();
    crc.update(source);
    let trailer = Trailer {
        crc: crc.value(),
        len: source.len() as u32,
    };
    let mut deflate = Deflate::new(table);
    let mut pending = Pending::new();
    let mut writer = BitWriter::resume(out, &mut pending);
    deflate.encode(source, Some(trailer), table, &mut writer);
    let written = writer.written();
    if deflate.is_done() && pending.is_empty() {
        Ok(written)
    } else {
        Err(GzipError::OutputFull)
    }
}

/// Compresses what a closure delivers, in pieces.
///
/// A new one for each body: making one costs a fill of the table.
#[derive(Debug)]
pub struct Encoder<'a> {
    window: &'a mut [u8],
    table: &'a mut [u16],
    /// Bytes of the window that hold data: first what has been encoded, then what has not.
    filled: usize,
    /// Whether the source has said that there is no more.
    ended: bool,
    crc: Crc,
    /// Bytes taken in, modulo 2^32.
    len: u32,
    deflate: Deflate,
    pending: Pending,
}

impl<'a> Encoder<'a> {
    /// An encoder before its first byte. The content of `window` and `table` does not matter.
    ///
    /// A window of 2,048 bytes and a table of 512 entries are a good start; the larger ones are,
    /// the better are the matches.
    ///
    /// # Errors
    ///
    /// When the table has a length that is not allowed, or the window is too small.
    pub fn new(window: &'a mut [u8], table: &'a mut [u16]) -> Result<Self, GzipError> {
        check_table(table)?;
        if window.len() < MIN_WINDOW_BYTES {
            return Err(GzipError::WindowSize);
        }
        Ok(Self {
            deflate: Deflate::new(table),
            pending: Pending::new(),
            window,
            table,
            filled: 0,
            ended: false,
            crc: Crc::new(),
            len: 0,
        })
    }

    /// Fills `out` with the next bytes of the output; fewer than it holds only at the end, and then
    /// 0 for ever.
    ///
    /// `source` is called while the window has room: it puts the next bytes of the input at the
    /// start of the slice it is given and returns how many. 0 says that there are no more, and it
    /// is not called again.
    pub fn read(&mut self, out: &mut [u8], mut source: impl FnMut(&mut [u8]) -> usize) -> usize {
        let mut given = 0;
        loop {
            while !self.ended && self.filled < self.window.len() {
                let target = self.window.get_mut(self.filled..).unwrap_or_default();
                let count = source(target);
                self.take_in(count);
            }
            let room = out.get_mut(given..).unwrap_or_default();
            let (written, stop) = self.encode(room);
            given += written;
            if stop == Stop::Output {
                return given;
            }
            self.slide();
        }
    }

    /// Whether the whole output has been given out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.deflate.is_done() && self.pending.is_empty()
    }

    /// Accounts for `count` bytes that the source has put into the free part of the window.
    fn take_in(&mut self, count: usize) {
        let fresh = self.window.get(self.filled..).unwrap_or_default();
        let fresh = fresh.get(..count).unwrap_or(fresh);
        self.crc.update(fresh);
        self.filled += fresh.len();
        self.len = self.len.wrapping_add(fresh.len() as u32);
        self.ended = count == 0;
    }

    fn encode(&mut self, out: &mut [u8]) -> (usize, Stop) {
        let data = self.window.get(..self.filled).unwrap_or_default();
        let trailer = Trailer {
            crc: self.crc.value(),
            len: self.len,
        };
        let end = self.ended.then_some(trailer);
        let mut writer = BitWriter::resume(out, &mut self.pending);
        let stop = self.deflate.encode(data, end, self.table, &mut writer);
        (writer.written(), stop)
    }

    /// Makes room for more data: of what has been encoded, half a window stays.
    fn slide(&mut self) {
        let keep = self.window.len() / 2;
        let count = self.deflate.position().saturating_sub(keep);
        let filled = self.window.get_mut(..self.filled).unwrap_or_default();
        if count <= filled.len() {
            move_within(filled, count, filled.len() - count, 0);
            self.filled -= count;
            self.deflate.forget(count);
        }
    }
}

fn check_table(table: &[u16]) -> Result<(), GzipError> {
    let fits = table.len().is_power_of_two() && (256..=4096).contains(&table.len());
    if fits {
        Ok(())
    } else {
        Err(GzipError::TableSize)
    }
}
