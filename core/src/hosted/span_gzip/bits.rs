//! A writer of bits.

use std::collections::TryReserveError;
use std::vec::Vec;

/// Appends bits to bytes, lowest bit first (RFC 1951, 3.1.1).
///
/// The caller makes room with [`reserve`](Self::reserve) first, so that the inner loops need no
/// check. Bits without room are left out.
pub(super) struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// The place of the next whole byte; the bytes behind it are scratch.
    at: usize,
    /// Bits that are no whole byte yet, and those added since the last [`flush`](Self::flush).
    pending: u64,
    count: u32,
    /// Room that could not be had.
    shortage: Option<TryReserveError>,
}

impl<'a> BitWriter<'a> {
    /// Continues behind the content of `bytes`.
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self {
            at: bytes.len(),
            bytes,
            pending: 0,
            count: 0,
            shortage: None,
        }
    }

    /// Makes room for `bits` more bits.
    pub(super) fn reserve(&mut self, bits: usize) {
        // A flush writes eight bytes, whatever it has.
        let end = self.at + bits / 8 + 16;
        if self.has_room(end) {
            self.bytes.resize(end, 0);
        }
    }

    /// Makes room for the bytes up to `end`, if there is memory for them.
    fn has_room(&mut self, end: usize) -> bool {
        let more = end.saturating_sub(self.bytes.len());
        match self.bytes.try_reserve(more) {
            Ok(()) => true,
            Err(error) => {
                self.shortage = Some(error);
                false
            }
        }
    }

    /// Adds the lowest `count` bits; the others are 0. Between two flushes there is room for 56:
    /// with what the first leaves, 63.
    #[inline(always)]
    pub(super) const fn add(&mut self, bits: u32, count: u32) {
        self.pending |= (bits as u64) << (self.count & 63);
        self.count += count;
    }

    /// Writes the whole bytes.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let target = self.bytes.get_mut(self.at..);
        if let Some(target) = target.and_then(<[u8]>::first_chunk_mut) {
            *target = self.pending.to_le_bytes();
        }
        let whole = self.count / 8;
        self.at += whole as usize;
        self.pending = self.pending.checked_shr(whole * 8).unwrap_or_default();
        self.count %= 8;
    }

    /// Adds up to 32 bits and writes them.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.add(bits, count);
        self.flush();
    }

    /// Fills up the last byte with zeros.
    pub(super) fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    /// Appends whole bytes, at a byte boundary only.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.at);
        if self.has_room(self.at + bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
        self.at = self.bytes.len();
    }

    /// Cuts the output behind the last whole byte. Fails if any room could not be had: the output
    /// is then incomplete.
    pub(super) fn finish(mut self) -> Result<(), TryReserveError> {
        self.align();
        self.bytes.truncate(self.at);
        self.shortage.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn bits_are_packed_from_the_lowest() {
        let mut bytes = vec![0xaa];
        let mut writer = BitWriter::new(&mut bytes);
        writer.reserve(100);
        writer.put(0b1, 1);
        writer.put(0b10, 2);
        writer.add(0b1_1111, 5);
        writer.add(0x1234_5678, 32);
        writer.flush();
        writer.put(1, 1);
        writer.align();
        writer.extend(&[9, 8]);
        writer.reserve(8);
        writer.put(3, 2);
        writer.finish().unwrap();
        assert_eq!(bytes, [0xaa, 0xfd, 0x78, 0x56, 0x34, 0x12, 1, 9, 8, 3]);
    }
}
