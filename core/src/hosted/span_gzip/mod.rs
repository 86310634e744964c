//! gzip for bodies made of spans: smaller and faster than a general compressor.
//!
//! A general encoder spends most of its time looking for matches that do not exist. The layout of a
//! span tells us which bytes are new and where the others last occurred. The result is an ordinary
//! gzip member ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)) in DEFLATE
//! ([RFC 1951](https://www.rfc-editor.org/rfc/rfc1951)), which every decoder reads. Other bytes are
//! compressed too, only less well.
//!
//! ```text
//! request ─▶ walker ─▶ finder ─▶ tokens ─▶ block ─▶ bits
//!            finds     finds       literals  codes
//!            spans     matches     and copies (huffman)
//! ```
//!
//! ```
//! use spandrel_core::hosted::span_gzip::SpanGzip;
//!
//! let mut gzip = SpanGzip::new();
//! let mut left = [7_u8; 100_000].as_slice();
//! let mut member = Vec::new();
//! gzip.compress(
//!     |target| {
//!         let len = left.len().min(target.len());
//!         target[..len].copy_from_slice(&left[..len]);
//!         left = &left[len..];
//!         len
//!     },
//!     &mut member,
//! )?;
//! assert_eq!(member[..3], [0x1f, 0x8b, 8]);
//! assert!(member.len() < 1000);
//! # Ok::<(), std::collections::TryReserveError>(())
//! ```

mod bits;
mod block;
mod finder;
mod huffman;
mod tokens;
mod walker;
mod window;

use std::boxed::Box;
use std::collections::TryReserveError;
use std::fmt;
use std::vec::Vec;

use bits::BitWriter;
use finder::Finder;
use flate2::Crc;
use tokens::MAX_DISTANCE;
use walker::Walker;
use window::{CAPACITY, Window, boxed};

/// Magic, DEFLATE, no flags; no time; no statement about the method, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An encoder that is made once and used for every body.
///
/// It holds about 300 KiB, or up to twice as much after a body of many small copies. At steady
/// state it allocates nothing.
pub struct SpanGzip {
    data: Box<Window>,
    /// Bytes of `data` that have been pulled.
    filled: usize,
    finder: Finder,
    checksum: Crc,
}

impl SpanGzip {
    /// An encoder with its memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            data: boxed(),
            filled: 0,
            finder: Finder::new(),
            checksum: Crc::new(),
        }
    }

    /// Appends one gzip member to `output`, with all bytes of `source`: it writes to the front of
    /// the slice that it is given and returns how many bytes it wrote, 0 at the end.
    ///
    /// The output depends on the bytes alone, not on the pieces in which they come.
    ///
    /// # Errors
    ///
    /// There is no memory for the output, which is then incomplete. The encoder can be used again.
    pub fn compress(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), TryReserveError> {
        self.filled = 0;
        self.finder.reset();
        self.checksum.reset();
        output.try_reserve(HEADER.len())?;
        output.extend_from_slice(&HEADER);
        let mut bits = BitWriter::new(output);
        let mut walker = Walker::new();
        let mut total = 0_usize;
        // The start of the block that is written next.
        let mut block = 0;
        loop {
            let pulled = self.pull(&mut source);
            total = total.wrapping_add(pulled);
            let is_last = self.filled < CAPACITY;
            walker.walk(&self.data, self.filled, is_last, &mut self.finder);
            let walked = if is_last {
                self.filled
            } else {
                walker.position()
            };
            self.finder.take(&self.data, walked);
            let end = self.finder.next();
            self.finder.tokens.check()?;
            let raw = self.data.get(block..end).unwrap_or_default();
            block::write(&self.finder.tokens, raw, is_last, &mut bits);
            self.finder.tokens.clear();
            if is_last {
                break;
            }
            let gone = walker.position().saturating_sub(MAX_DISTANCE);
            self.data.copy_within(gone..self.filled, 0);
            self.filled -= gone;
            self.finder.forget(gone);
            walker.forget(gone);
            block = end - gone;
        }
        bits.finish()?;
        output.try_reserve(8)?;
        output.extend_from_slice(&self.checksum.sum().to_le_bytes());
        output.extend_from_slice(&(total as u32).to_le_bytes());
        Ok(())
    }

    /// Fills the window and returns the number of bytes pulled. The window is full unless the
    /// source is at its end.
    fn pull(&mut self, source: &mut impl FnMut(&mut [u8]) -> usize) -> usize {
        let before = self.filled;
        while let Some(free) = self.data.get_mut(self.filled..CAPACITY) {
            // A source cannot have written more than it was given room for.
            let pulled = source(free).min(free.len());
            if pulled == 0 {
                break;
            }
            self.checksum.update(free.get(..pulled).unwrap_or_default());
            self.filled += pulled;
        }
        self.filled - before
    }
}

impl Default for SpanGzip {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SpanGzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanGzip").finish_non_exhaustive()
    }
}
