//! gzip without a heap, for request bodies that devices send.
//!
//! On a host an encoder may have large tables and a window: flate2's takes 255 KiB. A device has no
//! such room. But the body consists of records in RAM, so an encoder needs no copy of its input,
//! only a table of the places where four bytes were last seen: a `&mut [u16]` of the caller with
//! 256 to 4,096 entries. The output is one block in the fixed code of DEFLATE ([RFC 1951]), between
//! the header and the trailer of gzip ([RFC 1952]). Stored blocks replace it where it would expand
//! the data, see [`max_compressed_len`].
//!
//! - [`compress`]: the whole body lies in one slice.
//! - [`GzipEncoder`]: the body is read piece by piece through a window of the caller, and the
//!   output has pieces of any size. Matches reach back as far as the window.
//!
//! The output depends on the input and on the lengths of table and window, never on how input and
//! output are cut. So a `Content-Length` can be found by compressing twice, first into a small
//! buffer that is thrown away. Otherwise, send with chunked transfer coding.
//!
//! [RFC 1951]: https://www.rfc-editor.org/rfc/rfc1951
//! [RFC 1952]: https://www.rfc-editor.org/rfc/rfc1952
//!
//! ```
//! use spandrel_core::gzip::GzipEncoder;
//! # use spandrel_core::prelude::*;
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//! # let resource = Resource { attributes: &[KeyValue::new("service.name", "demo")], schema_url: "" };
//! # let registry = Registry::new([0_u8; 256], &resource)?;
//! # let mut exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
//! # let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! # let mut tracer = BareTracer::new(AlwaysOn, ids);
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
//! let mut gzip = GzipEncoder::new(&mut window, &mut table)?;
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
//! Compressed size in percent of the raw bytes, for bodies of spans with four or five attributes,
//! random ids and times, about 180 bytes a span. Measured by
//! `tests/tests/core/gzip.rs` of the repository.
//!
//! | body | flate2, level 6 | table 256 | 512 | 1,024 | 4,096 | table 512, window 1,024 | 2,048 | 4,096 |
//! |---|---|---|---|---|---|---|---|---|
//! | 5 spans, 1.1 KB | 49.5 | 50.0 | 49.9 | 50.2 | 50.0 | 49.9 | 49.9 | 49.9 |
//! | 47 spans, 8.5 KB | 26.1 | 30.7 | 29.8 | 29.5 | 29.2 | 33.5 | 30.8 | 29.8 |
//! | 191 spans, 34 KB | 22.6 | 28.9 | 27.6 | 27.1 | 26.8 | 31.5 | 28.6 | 27.7 |
//!
//! Alternatives, for 34 KB with 512 entries and, after the slash, through a window of 1,024 bytes:
//! the table alone 29.0 / 37.0; with every place inside a match entered 29.3 / 32.7; with the
//! distance of the last match tried first 27.9 / 34.1; with both that and every fourth place, the
//! present choice, 27.6 / 31.5. A hash of three bytes gives 29.2 / 36.7.
//!
//! About 64 instructions a byte on x86-64, a sixth of them for bit reversals that are one
//! instruction on Cortex-M3 and up, and a sixth for the checksum. On thumbv7em at `opt-level = "s"`
//! [`compress`] takes 1.4 KB of flash and [`GzipEncoder`] 1.9 KB, next to `memcpy` and its like.

mod bits;
mod deflate;
mod matcher;

use core::fmt;

use bits::{BitWriter, Pending};
use deflate::{Deflate, Stop, Trailer};

use crate::crc::Crc32;
use crate::wire::move_within;

/// The reason why nothing was compressed.
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

/// The smallest window of a [`GzipEncoder`], in bytes.
pub const MIN_WINDOW_BYTES: usize = 1024;

/// Returns the most bytes that `input` bytes can become: 1 in 64 more, and 32.
///
/// Stored blocks of 320 bytes take as much. Data without any pattern comes close to it.
#[must_use]
pub const fn max_compressed_len(input: usize) -> usize {
    input.saturating_add(input / 64 + 32)
}

/// Compresses `source` into the start of `out`, and returns the number of bytes written.
///
/// The content of `table` on entry does not matter. An `out` of [`max_compressed_len`] bytes is
/// always enough.
///
/// # Errors
///
/// The table has a length that is not allowed, or `out` is too small.
pub fn compress(source: &[u8], table: &mut [u16], out: &mut [u8]) -> Result<usize, GzipError> {
    check_table(table)?;
    let mut crc = Crc32::new();
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

/// Compresses input from a closure, in pieces.
///
/// Make a new one for each body; this clears the table.
#[derive(Debug)]
pub struct GzipEncoder<'a> {
    window: &'a mut [u8],
    table: &'a mut [u16],
    /// Bytes of the window that hold data, encoded ones first.
    filled: usize,
    /// True once the source has reported its end.
    ended: bool,
    crc: Crc32,
    /// Bytes of input, modulo 2^32.
    len: u32,
    deflate: Deflate,
    pending: Pending,
}

impl<'a> GzipEncoder<'a> {
    /// An encoder before its first byte. The content of `window` and `table` does not matter.
    ///
    /// Start with a window of 2,048 bytes and a table of 512 entries; larger ones give better
    /// matches.
    ///
    /// # Errors
    ///
    /// The table has a length that is not allowed, or the window is too small.
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
            crc: Crc32::new(),
            len: 0,
        })
    }

    /// Fills `out` with the next bytes of the output, and returns their number: less than
    /// `out.len()` only at the end, and 0 after it.
    ///
    /// `source` is called while the window has room. It writes the next bytes of the input to the
    /// start of its slice and returns their number. 0 means the end; it is not called again.
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

    /// Returns true if all of the output has been returned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.deflate.is_done() && self.pending.is_empty()
    }

    /// Accounts for `count` bytes that the source wrote into the free part of the window.
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
