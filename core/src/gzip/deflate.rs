//! DEFLATE (RFC 1951) with the fixed code, over data that lies in one slice.

use super::bits::{BitWriter, Pending};

/// Shorter matches are not looked for: behind the fixed code they gain nothing worth the time.
const MIN_MATCH: usize = 4;
/// One less than the format allows: length 258 has a code of its own, outside the pattern that the
/// others are computed by.
pub(super) const MAX_MATCH: usize = 257;
/// The farthest that a match may reach back.
const MAX_DISTANCE: u16 = 32_768;

/// The first literal that the fixed code makes longer, by one bit.
const FIRST_LONG_LITERAL: u8 = 144;
/// Long literals that the start of the output may hold without any match.
const FIRST_CREDIT: usize = 40;
/// What matches can put aside, at most: data that stops being compressible is noticed soon.
const MAX_CREDIT: usize = 256;
/// A stored block is never longer, so that compressible data is found again soon.
const MAX_STORED: usize = 1024;
/// A stored block that is not the last is never shorter: then it pays for its own head.
pub(super) const MIN_STORED: usize = 512;
/// Bits around a stored block: end of the fixed one, header, padding, lengths, the next header.
const STORED_COST: usize = 7 + 3 + 7 + 32 + 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Fixed,
    /// In a stored block, with this many bytes to go.
    Stored(usize),
    Trailer,
    Done,
}

/// What the encoder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Room in the output, if it is not done.
    Output,
    /// More data; what is before [`Deflate::position`] serves as history only.
    Input,
}

/// The check values of the trailer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) crc: u32,
    pub(super) len: u32,
}

/// Where the encoder is.
#[derive(Clone, Debug)]
pub(super) struct Deflate {
    stage: Stage,
    /// Index of the next byte to encode.
    position: usize,
    /// Bytes that have left the front of the slice, modulo 2^16.
    base: u16,
    /// Bits that may be wasted before a stored block is the better choice.
    credit: usize,
    pending: Pending,
}

impl Deflate {
    pub(super) fn new(table: &mut [u16]) -> Self {
        // Old entries would do no harm, but the output would depend on them.
        table.fill(0);
        Self {
            stage: Stage::Header,
            position: 0,
            base: 0,
            credit: FIRST_CREDIT,
            pending: Pending::default(),
        }
    }

    /// Index of the next byte to encode.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Says that `count` bytes have been taken from the front of the slice.
    pub(super) const fn forget(&mut self, count: usize) {
        self.position = self.position.saturating_sub(count);
        self.base = self.base.wrapping_add(count as u16);
    }

    /// Whether everything has been given out.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done && self.pending.is_empty()
    }

    /// Encodes until `out` is full or `data` used up; `end` is given when no more data comes.
    pub(super) fn encode(
        &mut self,
        data: &[u8],
        end: Option<Check>,
        table: &mut [u16],
        out: &mut [u8],
    ) -> (usize, Need) {
        let mut pending = core::mem::take(&mut self.pending);
        let mut writer = BitWriter::resume(out, &mut pending);
        let mut need = Need::Output;
        while writer.has_room() && need == Need::Output && self.stage != Stage::Done {
            match self.stage {
                Stage::Header => {
                    // Magic, deflate, no flags, no time, "fastest", unknown system.
                    writer.put_u32(0x0008_8b1f);
                    writer.put_u32(0);
                    writer.put(0xff04, 16);
                    writer.put(0b010, 3);
                    self.stage = Stage::Fixed;
                }
                Stage::Fixed => need = self.fixed(data, end.is_some(), table, &mut writer),
                Stage::Stored(left) => {
                    let bytes = data.get(self.position..).unwrap_or_default();
                    let copied = writer.copy(bytes.get(..left).unwrap_or(bytes));
                    self.position += copied;
                    self.stage = Stage::Stored(left - copied);
                    if left == copied {
                        writer.put(0b010, 3);
                        self.stage = Stage::Fixed;
                    }
                }
                Stage::Trailer => {
                    if let Some(check) = end {
                        writer.put_u32(check.crc);
                        writer.put_u32(check.len);
                    }
                    self.stage = Stage::Done;
                }
                Stage::Done => {}
            }
        }
        let written = writer.suspend();
        self.pending = pending;
        (written, need)
    }

    fn fixed(
        &mut self,
        data: &[u8],
        last: bool,
        table: &mut [u16],
        writer: &mut BitWriter<'_>,
    ) -> Need {
        let reserve = if last { 0 } else { MAX_MATCH };
        let shift = 32 - table.len().trailing_zeros();
        let mut position = self.position;
        let mut credit = self.credit;
        let mut need = Need::Output;
        while writer.has_room() {
            let ahead = data.get(position..).unwrap_or_default();
            if ahead.len() < reserve {
                need = Need::Input;
                break;
            }
            let Some(&literal) = ahead.first() else {
                break;
            };
            let mut len = 0;
            let mut distance = 0;
            if let Some(&four) = ahead.first_chunk() {
                let hash = u32::from_le_bytes(four).wrapping_mul(0x9e37_79b1) >> shift;
                let here = self.base.wrapping_add(position as u16);
                if let Some(entry) = table.get_mut(hash as usize) {
                    distance = here.wrapping_sub(*entry);
                    *entry = here;
                }
                if distance.wrapping_sub(1) < MAX_DISTANCE {
                    if let Some(before) = position
                        .checked_sub(usize::from(distance))
                        .and_then(|from| data.get(from..))
                    {
                        len = ahead
                            .iter()
                            .zip(before)
                            .take(MAX_MATCH)
                            .take_while(|(a, b)| a == b)
                            .count();
                    }
                }
            }
            if len >= MIN_MATCH {
                put_length(writer, len);
                put_distance(writer, distance);
                credit = (credit + len).min(MAX_CREDIT);
                position += len;
                continue;
            }
            if literal < FIRST_LONG_LITERAL {
                writer.put((0x30 + u32::from(literal)).reverse_bits() >> 24, 8);
            } else {
                if credit == 0 {
                    if !last && ahead.len() < MIN_STORED {
                        need = Need::Input;
                        break;
                    }
                    let len = ahead.len().min(MAX_STORED);
                    writer.put(0, 7);
                    writer.put(0, 3);
                    writer.align();
                    writer.put_u32(len as u32 | (!len as u32) << 16);
                    credit = (len / 8).saturating_sub(STORED_COST);
                    self.stage = Stage::Stored(len);
                    break;
                }
                credit -= 1;
                writer.put((0x100 + u32::from(literal)).reverse_bits() >> 23, 9);
            }
            position += 1;
        }
        self.position = position;
        self.credit = credit;
        if last && position >= data.len() && self.stage == Stage::Fixed && writer.has_room() {
            // End of block; an empty block that is marked as the last; its end.
            writer.put(0, 7);
            writer.put(0b011, 3);
            writer.put(0, 7);
            writer.align();
            self.stage = Stage::Trailer;
        }
        need
    }
}

/// The code of a match length: 257 and up, 0 to 5 extra bits.
#[inline]
fn put_length(writer: &mut BitWriter<'_>, len: usize) {
    let len = (len as u32).saturating_sub(3);
    // The number of extra bits: lengths come in octaves of four codes.
    let extra = 29_u32.saturating_sub((len | 4).leading_zeros());
    let symbol = (len >> extra) + 4 * extra + 1;
    let rest = len & ((1 << extra) - 1);
    if symbol < 24 {
        writer.put(symbol.reverse_bits() >> 25 | rest << 7, 7 + extra);
    } else {
        let code = (0xc0 + symbol - 24).reverse_bits() >> 24;
        writer.put(code | rest << 8, 8 + extra);
    }
}

/// The code of a distance: 0 and up, 0 to 13 extra bits.
#[inline]
fn put_distance(writer: &mut BitWriter<'_>, distance: u16) {
    let distance = u32::from(distance).wrapping_sub(1);
    // Octaves of two codes.
    let extra = 30_u32.saturating_sub((distance | 2).leading_zeros());
    let symbol = (distance >> extra) + 2 * extra;
    let rest = distance & ((1 << extra) - 1);
    writer.put(symbol.reverse_bits() >> 27 | rest << 5, 5 + extra);
}
