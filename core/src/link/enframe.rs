//! Puts a message into a frame, byte by byte and in place: the inverse of
//! [`deframe`](super::deframe).
//!
//! The bytes are the same that postcard's flavours write, as the tests prove. But those can panic,
//! and the path of each number through serde and a stack of flavours takes a third of the flash
//! that a small device needs for all its tracing.

use crate::crc::{CRC_BYTES, Crc32};

/// A frame under way.
pub(crate) struct Enframer<'a> {
    target: &'a mut [u8],
    crc: Crc32,
    /// Where the next byte goes; beyond the end of `target` bytes are only counted.
    at: usize,
    /// Where the length of the current block of COBS goes.
    block: usize,
    /// Bytes of the message so far.
    len: usize,
}

impl<'a> Enframer<'a> {
    /// Begins a frame at the start of `target`.
    pub(crate) fn new(target: &'a mut [u8]) -> Self {
        let mut frame = Self {
            target,
            crc: Crc32::new(),
            at: 2,
            block: 1,
            len: 0,
        };
        frame.set(0, 0);
        frame
    }

    /// The next bytes of the message.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.put_byte(byte);
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.crc.push(byte);
        self.len += 1;
        self.stuff(byte);
    }

    /// A number of more than eight bits, as postcard writes it: seven bits to a byte, the lowest
    /// first.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put_number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put_byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.put_byte(number as u8);
    }

    /// The number of message bytes that there is still room for.
    pub(crate) const fn room(&self) -> usize {
        // The zeros at both ends, and one byte for each 254 begun. Not divided: a Cortex-M0 needs
        // half a kilobyte for that, and this is at most one too many below 16 KiB.
        let frame = self.target.len();
        let around = 2 + (frame >> 8) + (frame >> 14) + 2 + CRC_BYTES;
        frame.saturating_sub(around + self.len)
    }

    /// Ends the frame and returns its length, or `None` if it does not fit.
    pub(crate) fn finish(mut self) -> Option<usize> {
        for byte in self.crc.value().to_le_bytes() {
            self.stuff(byte);
        }
        self.end_block();
        let end = self.block;
        self.set(end, 0);
        (end < self.target.len()).then_some(end + 1)
    }

    /// COBS: a zero is left out and ends a block; 254 bytes without a zero end one too.
    fn stuff(&mut self, byte: u8) {
        if byte != 0 {
            self.set(self.at, byte);
            self.at += 1;
        }
        if byte == 0 || self.at - self.block == 0xff {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.set(self.block, (self.at - self.block) as u8);
        self.block = self.at;
        self.at += 1;
    }

    fn set(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.target.get_mut(at) {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::reference::WithCrc;
    use postcard::ser_flavors::{Cobs, Flavor, Slice};
    use std::vec;

    #[test]
    fn a_frame_is_what_postcard_writes_and_one_byte_less_is_too_little() {
        for len in 0..600 {
            for fill in [0, 1, 0xff] {
                let content = vec![fill; len];
                let mut expected = vec![0; 700];
                let slice = Slice::new(&mut expected[1..]);
                let mut flavor = WithCrc::new(Cobs::try_new(slice).unwrap());
                flavor.try_extend(&content).unwrap();
                let expected_len = 1 + flavor.finalize().unwrap().len();

                let mut target = vec![7; expected_len];
                let mut frame = Enframer::new(&mut target);
                frame.put(&content);
                assert_eq!(frame.finish(), Some(expected_len));
                assert_eq!(target, expected[..expected_len]);
                let mut frame = Enframer::new(&mut target[..expected_len - 1]);
                frame.put(&content);
                assert_eq!(frame.finish(), None);
            }
        }
    }

    #[test]
    fn what_there_is_room_for_fits() {
        for size in 0..70_000_usize {
            let blocks = size / 254 + 1;
            let mut target = vec![0; 0];
            if size % 97 == 0 || size < 600 {
                target.resize(size, 0);
                let room = Enframer::new(&mut target).room();
                assert!(room == 0 || room + CRC_BYTES + blocks + 2 <= size, "{size}");
            }
        }
    }
}
