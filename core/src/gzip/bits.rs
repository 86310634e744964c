//! Output of bits: into the caller's slice, and past its end into a small spill.

/// More than any step of the encoder writes: the largest is the end of the last block with the
/// trailer, 12 bytes.
const SPILL_BYTES: usize = 16;

/// The rest between two calls: less than one byte of bits, and the bytes that did not fit.
///
/// The encoder starts a step only while the caller's slice has room, and writes the step whole. So
/// no step has to resume in its middle, whatever the size of that slice.
#[derive(Debug)]
pub(super) struct Pending {
    /// The lowest `count` bits are the oldest.
    bits: u32,
    count: u32,
    spill: [u8; SPILL_BYTES],
    spilled: usize,
}

impl Pending {
    pub(super) const fn new() -> Self {
        Self {
            bits: 0,
            count: 0,
            spill: [0; SPILL_BYTES],
            spilled: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.spilled == 0
    }
}

/// A write position in the caller's slice.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    pending: &'a mut Pending,
}

impl<'a> BitWriter<'a> {
    /// Goes on where the last writer stopped.
    pub(super) fn resume(out: &'a mut [u8], pending: &'a mut Pending) -> Self {
        let spill = pending.spill;
        let spilled = core::mem::take(&mut pending.spilled);
        let mut writer = Self {
            out,
            at: 0,
            pending,
        };
        for &byte in spill.iter().take(spilled) {
            writer.put_byte(byte);
        }
        writer
    }

    /// Bytes written into the slice.
    pub(super) const fn written(&self) -> usize {
        self.at
    }

    /// Returns true if another step may start.
    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.at < self.out.len()
    }

    /// Appends the lowest `count` bits of `bits`, at most 25; the others are 0.
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        let mut bits = self.pending.bits | (bits << self.pending.count);
        let mut count = self.pending.count + count;
        while count >= 8 {
            self.put_byte(bits as u8);
            bits >>= 8;
            count -= 8;
        }
        self.pending.bits = bits;
        self.pending.count = count;
    }

    /// Appends zero bits up to the next whole byte.
    pub(super) fn align(&mut self) {
        self.put(0, self.pending.count.wrapping_neg() & 7);
    }

    /// Appends 32 bits, lowest byte first.
    pub(super) fn put_u32(&mut self, value: u32) {
        self.put(value & 0xffff, 16);
        self.put(value >> 16, 16);
    }

    /// Copies what fits of `bytes`. Aligned only.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> usize {
        let room = self.out.get_mut(self.at..).unwrap_or_default();
        let len = room.len().min(bytes.len());
        if let (Some(target), Some(source)) = (room.get_mut(..len), bytes.get(..len)) {
            target.copy_from_slice(source);
        }
        self.at += len;
        len
    }

    fn put_byte(&mut self, byte: u8) {
        match self.out.get_mut(self.at) {
            Some(target) => {
                *target = byte;
                self.at += 1;
            }
            None => self.spill(byte),
        }
    }

    #[cold]
    fn spill(&mut self, byte: u8) {
        if let Some(target) = self.pending.spill.get_mut(self.pending.spilled) {
            *target = byte;
            self.pending.spilled += 1;
        }
    }
}
