//! gzip for bodies made of spans: smaller and sooner than a general compressor makes them.
//!
//! A library that knows nothing of its input spends most of its time on searching where nothing can
//! be found. We know what a span looks like: which of its bytes are news, and where the others have
//! been before. The result is an ordinary gzip member (RFC 1952) in the dynamic code of DEFLATE (RFC 1951), which
//! everybody can read. Bytes that are no spans are compressed as well, only not as small.
//!
//! ```text
//! request ─▶ walker ─▶ finder ─▶ tokens ─▶ block ─▶ bits
//!            finds     finds what  literals  codes
//!            spans     was there   and copies (huffman)
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
//! );
//! assert_eq!(member[..3], [0x1f, 0x8b, 8]);
//! assert!(member.len() < 1000);
//! ```

mod bits;
mod block;
mod finder;
mod huffman;
mod tokens;
mod walker;

use std::boxed::Box;
use std::fmt;
use std::vec;
use std::vec::Vec;

use bits::BitWriter;
use finder::Finder;
use flate2::Crc;
use walker::Walker;

/// Bytes that are looked at together: history, and a block. A power of two.
const CAPACITY: usize = 128 * 1024;
/// Room behind them, so that eight or sixteen bytes can be read wherever one can.
const SLACK: usize = 64;
/// What they lie in.
type Window = [u8; CAPACITY + SLACK];
/// How far back a copy may reach.
const HISTORY: usize = tokens::MAX_DISTANCE;

/// An encoder that is made once and used for every body.
///
/// It holds about 300 KiB, which a body of many small copies can make twice as much. At steady
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

    /// Appends one member of everything that `source` gives to `output`: it writes to the front of
    /// the slice and returns how much it wrote, 0 at the end.
    ///
    /// What comes out depends on the bytes alone, and not on how they come in.
    pub fn compress(&mut self, mut source: impl FnMut(&mut [u8]) -> usize, output: &mut Vec<u8>) {
        self.filled = 0;
        self.finder.reset();
        self.checksum.reset();
        // Magic, DEFLATE, no flags; no time; no statement about the method, an unknown system.
        output.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        let mut bits = BitWriter::new(output);
        let mut walker = Walker::new();
        let mut total = 0_usize;
        // What the data begin with belongs to the block that is written last.
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
            let raw = self.data.get(block..end).unwrap_or_default();
            block::write(&self.finder.tokens, raw, is_last, &mut bits);
            self.finder.tokens.clear();
            if is_last {
                break;
            }
            let gone = walker.position().saturating_sub(HISTORY);
            self.data.copy_within(gone..self.filled, 0);
            self.filled -= gone;
            self.finder.forget(gone);
            walker.forget(gone);
            block = end - gone;
        }
        bits.finish();
        output.extend_from_slice(&self.checksum.sum().to_le_bytes());
        output.extend_from_slice(&(total as u32).to_le_bytes());
    }

    /// Fills the data up; how many bytes that took. Less than there is room for only at the end.
    fn pull(&mut self, source: &mut impl FnMut(&mut [u8]) -> usize) -> usize {
        let before = self.filled;
        while let Some(free) = self.data.get_mut(self.filled..CAPACITY) {
            // A source that claims more than it was given room for is taken at its limit.
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

/// Zeros that never were on the stack.
fn boxed<const N: usize>() -> Box<[u8; N]> {
    let zeros = vec![0; N].into_boxed_slice();
    zeros.try_into().unwrap_or_else(|_| Box::new([0; N]))
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
