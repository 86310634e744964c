//! gzip.

mod bits;
mod crc;
mod deflate;
mod matcher;

use core::fmt;

use bits::{BitWriter, Pending};
use crc::Crc;
use deflate::{Deflate, Stop, Trailer};

/// Why nothing was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The most bytes that `input` bytes can become.
#[must_use]
pub const fn max_compressed_len(input: usize) -> usize {
    input.saturating_add(input / 64 + 32)
}

/// Compresses `source` into `out`; bytes written.
///
/// # Errors
///
/// size
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

/// Streaming.
#[derive(Debug)]
pub struct Encoder<'a> {
    window: &'a mut [u8],
    table: &'a mut [u16],
    filled: usize,
    ended: bool,
    crc: Crc,
    len: u32,
    deflate: Deflate,
    pending: Pending,
}

impl<'a> Encoder<'a> {
    /// new
    ///
    /// # Errors
    ///
    /// size
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

    /// read
    pub fn read(&mut self, out: &mut [u8], mut source: impl FnMut(&mut [u8]) -> usize) -> usize {
        let mut given = 0;
        loop {
            while !self.ended && self.filled < self.window.len() {
                let target = self.window.get_mut(self.filled..).unwrap_or_default();
                let count = source(target);
                self.take_in(count);
            }
            let room = out.get_mut(given..).unwrap_or_default();
            let (written, need) = self.encode(room);
            given += written;
            if need == Stop::Output {
                return given;
            }
            self.slide();
        }
    }

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

    fn slide(&mut self) {
        let keep = self.window.len() / 2;
        let count = self.deflate.position().saturating_sub(keep);
        let filled = self.window.get_mut(..self.filled).unwrap_or_default();
        if count <= filled.len() {
            filled.copy_within(count.., 0);
            self.filled -= count;
            self.deflate.forget(count);
        }
    }
}

fn check_table(table: &[u16]) -> Result<(), GzipError> {
    let fits = table.len().is_power_of_two() && (256..=4096).contains(&table.len());
    if fits { Ok(()) } else { Err(GzipError::TableSize) }
}
