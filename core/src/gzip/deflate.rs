//! The format: gzip (RFC 1952) around DEFLATE (RFC 1951), for data in one slice.
//!
//! ```text
//!  ┌────────┐    ┌───────────────────┐  no credit   ┌────────────┐
//!  │ Header │ ─▶ │ Fixed             │ ───────────▶ │ Stored(n)  │
//!  └────────┘    │ literals, matches │ ◀─────────── │ n bytes    │
//!                └───────────────────┘     n = 0    └────────────┘
//!                          │ end of the data
//!                          ▼
//!                     ┌─────────┐    ┌──────┐
//!                     │ Trailer │ ─▶ │ Done │
//!                     └─────────┘    └──────┘
//! ```

use super::bits::BitWriter;
use super::matcher::{MAX_MATCH, Match, Matcher};

/// The first literal that the fixed code makes longer, by one bit.
const FIRST_LONG_LITERAL: u8 = 144;
/// Long literals that the output may hold before it has saved anything.
const FIRST_CREDIT: usize = 40;
/// The most that matches can save up, so that data that stops being compressible is noticed soon.
const MAX_CREDIT: usize = 256;
/// A stored block is never longer, so that compressible data is found again soon.
const MAX_STORED: usize = 1024;
/// A stored block that is not the last is never shorter, so that it pays for what is around it.
const MIN_STORED: usize = 512;
/// Bits around a stored block: end of the fixed one, header, padding, lengths, the next header.
const STORED_BITS: usize = 7 + 3 + 7 + 32 + 3;

/// The header of a block in the fixed code that is not the last.
const FIXED: u32 = 0b010;
/// The same for the last block.
const LAST_FIXED: u32 = 0b011;
const BLOCK_HEADER_BITS: u32 = 3;
const END_OF_BLOCK_BITS: u32 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Fixed,
    /// In a stored block, with this many bytes to go.
    Stored(usize),
    Trailer,
    Done,
}

/// The reason why [`Deflate::encode`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The output is full, or complete.
    Output,
    /// More data is needed; bytes before [`Deflate::position`] serve as history only.
    Input,
}

/// The content of the trailer, about the whole input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trailer {
    pub(super) crc: u32,
    /// Bytes, modulo 2^32.
    pub(super) len: u32,
}

/// The state of the encoder. The caller passes the data, the table and the output to each call.
#[derive(Debug)]
pub(super) struct Deflate {
    stage: Stage,
    /// Index of the next byte to encode.
    position: usize,
    /// Bytes that have left the front of the data, modulo 2^16.
    base: u16,
    /// The distance of the last match.
    distance: u16,
    /// Bits that may be lost before a stored block is the better choice.
    credit: usize,
}

impl Deflate {
    pub(super) fn new(table: &mut [u16]) -> Self {
        // Old entries would do no harm, but the output would depend on them.
        table.fill(0);
        Self {
            stage: Stage::Header,
            position: 0,
            base: 0,
            distance: 0,
            credit: FIRST_CREDIT,
        }
    }

    /// Encodes until the output is full or `data` used up. Once no more data comes there is a
    /// `trailer`.
    pub(super) fn encode(
        &mut self,
        data: &[u8],
        trailer: Option<Trailer>,
        table: &mut [u16],
        writer: &mut BitWriter<'_>,
    ) -> Stop {
        let mut stop = Stop::Output;
        while writer.has_room() && stop == Stop::Output {
            match self.stage {
                Stage::Header => {
                    // Magic, DEFLATE, no flags; no time; the fastest method, an unknown system.
                    writer.put_u32(u32::from_le_bytes([0x1f, 0x8b, 8, 0]));
                    writer.put_u32(0);
                    writer.put(0xff04, 16);
                    self.open_fixed(writer);
                }
                Stage::Fixed => stop = self.fixed(data, trailer.is_some(), table, writer),
                Stage::Stored(left) => self.stored(data, left, writer),
                Stage::Trailer => {
                    if let Some(trailer) = trailer {
                        writer.put_u32(trailer.crc);
                        writer.put_u32(trailer.len);
                    }
                    self.stage = Stage::Done;
                }
                Stage::Done => break,
            }
        }
        stop
    }

    /// Notes that `count` bytes were removed from the front of the data.
    pub(super) const fn forget(&mut self, count: usize) {
        self.position = self.position.saturating_sub(count);
        self.base = self.base.wrapping_add(count as u16);
    }

    /// Index of the next byte to encode.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Returns true if everything has been encoded.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn open_fixed(&mut self, writer: &mut BitWriter<'_>) {
        writer.put(FIXED, BLOCK_HEADER_BITS);
        self.stage = Stage::Fixed;
    }

    fn fixed(
        &mut self,
        data: &[u8],
        last: bool,
        table: &mut [u16],
        writer: &mut BitWriter<'_>,
    ) -> Stop {
        // A match must not depend on bytes that are read later: the output would depend on how the
        // input is cut.
        let reserve = if last { 0 } else { MAX_MATCH };
        let mut matcher = Matcher::new(data, table, self.base, self.distance);
        let mut stop = Stop::Output;
        while writer.has_room() {
            let ahead = data.get(self.position..).unwrap_or_default();
            if ahead.len() < reserve {
                stop = Stop::Input;
                break;
            }
            let Some(&literal) = ahead.first() else {
                end(writer);
                self.stage = Stage::Trailer;
                break;
            };
            let found = matcher.find(self.position);
            if let Some(Match { len, distance }) = found {
                put_length(writer, len);
                put_distance(writer, distance);
                // The shortest match saves seven bits at the longest distance.
                self.credit = (self.credit + len).min(MAX_CREDIT);
                self.position += len;
                continue;
            }
            let (code, count) = if literal < FIRST_LONG_LITERAL {
                (0x30 + u32::from(literal), 8)
            } else if let Some(credit) = self.credit.checked_sub(1) {
                self.credit = credit;
                (0x100 + u32::from(literal), 9)
            } else if last || ahead.len() >= MIN_STORED {
                self.open_stored(ahead.len(), writer);
                break;
            } else {
                stop = Stop::Input;
                break;
            };
            put_code(writer, code, count);
            self.position += 1;
        }
        self.distance = matcher.distance();
        stop
    }

    /// Ends the fixed block and begins a stored one with the data that there is, at least one byte.
    fn open_stored(&mut self, ahead: usize, writer: &mut BitWriter<'_>) {
        let len = ahead.min(MAX_STORED);
        writer.put(0, END_OF_BLOCK_BITS + BLOCK_HEADER_BITS);
        writer.align();
        writer.put_u32(len as u32 | ((!len as u32) << 16));
        self.credit = (len / 8).saturating_sub(STORED_BITS);
        self.stage = Stage::Stored(len);
    }

    fn stored(&mut self, data: &[u8], left: usize, writer: &mut BitWriter<'_>) {
        let ahead = data.get(self.position..).unwrap_or_default();
        let copied = writer.copy(ahead.get(..left).unwrap_or(ahead));
        self.position += copied;
        self.stage = Stage::Stored(left - copied);
        if left == copied {
            self.open_fixed(writer);
        }
    }
}

/// Ends the block and appends an empty one that is marked as the last, because that was not known
/// when the block began.
fn end(writer: &mut BitWriter<'_>) {
    writer.put(0, END_OF_BLOCK_BITS);
    writer.put(LAST_FIXED, BLOCK_HEADER_BITS + END_OF_BLOCK_BITS);
    writer.align();
}

/// Codes go out with their highest bit first, everything else with its lowest.
#[inline]
fn put_code(writer: &mut BitWriter<'_>, code: u32, count: u32) {
    writer.put(code.reverse_bits() >> (32 - count), count);
}

/// A length of 3 to 257: a code of 257 to 284, with 0 to 5 extra bits.
#[inline]
fn put_length(writer: &mut BitWriter<'_>, len: usize) {
    let len = (len as u32).saturating_sub(3);
    // Four codes for each doubling.
    let extra = 29_u32.saturating_sub((len | 4).leading_zeros());
    let symbol = 1 + 4 * extra + (len >> extra);
    let (code, count) = if symbol < 24 {
        (symbol, 7)
    } else {
        (0xc0 - 24 + symbol, 8)
    };
    put_code(writer, code, count);
    writer.put(len & ((1 << extra) - 1), extra);
}

/// A distance of 1 to 32,768: a code of 0 to 29, with 0 to 13 extra bits.
#[inline]
fn put_distance(writer: &mut BitWriter<'_>, distance: u16) {
    let distance = u32::from(distance).saturating_sub(1);
    // Two codes for each doubling.
    let extra = 30_u32.saturating_sub((distance | 2).leading_zeros());
    let symbol = 2 * extra + (distance >> extra);
    put_code(writer, symbol, 5);
    writer.put(distance & ((1 << extra) - 1), extra);
}
