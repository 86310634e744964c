//! From a stream of bytes to checked frames: COBS and CRC, byte by byte, in memory of the caller.

use crate::crc::{CRC_BYTES, Crc32};

/// The reason why bytes between two zeros are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// They are damaged: the checksum or the coding is wrong.
    Corrupt,
    /// They do not fit the memory.
    TooLong,
}

/// Collects one frame at a time. A zero ends a frame whatever came before it, so damage costs the
/// frame that it hits and at most the next one.
#[derive(Clone, Debug)]
pub(crate) struct Deframer<S> {
    memory: S,
    len: usize,
    /// Bytes until the next code byte.
    run: u8,
    /// True if a zero comes before the next code byte's bytes.
    owes_zero: bool,
    is_empty: bool,
    overflow: bool,
}

impl<S> Deframer<S> {
    pub(crate) const fn new(memory: S) -> Self {
        Self {
            memory,
            len: 0,
            run: 0,
            owes_zero: false,
            is_empty: true,
            overflow: false,
        }
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Deframer<S> {
    /// Takes a byte. At the end of a frame, returns its length without the checksum.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Result<usize, FrameError>> {
        if byte == 0 {
            return self.end();
        }
        self.is_empty = false;
        if self.run > 0 {
            self.run -= 1;
            self.store(byte);
        } else {
            if self.owes_zero {
                self.store(0);
            }
            self.run = byte - 1;
            self.owes_zero = byte != 0xff;
        }
        None
    }

    /// The content of the frame that [`push`](Self::push) has just ended.
    pub(crate) fn content(&self, len: usize) -> &[u8] {
        self.memory.as_ref().get(..len).unwrap_or_default()
    }

    fn end(&mut self) -> Option<Result<usize, FrameError>> {
        let (len, run) = (self.len, self.run);
        let (is_empty, overflow) = (self.is_empty, self.overflow);
        (self.len, self.run, self.owes_zero) = (0, 0, false);
        (self.is_empty, self.overflow) = (true, false);
        if is_empty {
            return None;
        }
        if overflow {
            return Some(Err(FrameError::TooLong));
        }
        let frame = self.memory.as_ref().get(..len).unwrap_or_default();
        let Some((content, sum)) = frame.split_last_chunk::<CRC_BYTES>() else {
            return Some(Err(FrameError::Corrupt));
        };
        Some(
            if run == 0 && Crc32::of(content) == u32::from_le_bytes(*sum) {
                Ok(content.len())
            } else {
                Err(FrameError::Corrupt)
            },
        )
    }

    fn store(&mut self, byte: u8) {
        match self.memory.as_mut().get_mut(self.len) {
            Some(target) => {
                *target = byte;
                self.len += 1;
            }
            None => self.overflow = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::reference::WithCrc;
    use postcard::ser_flavors::{Cobs, Flavor, Slice};
    use std::vec;
    use std::vec::Vec;

    fn frame(content: &[u8]) -> Vec<u8> {
        let mut target = vec![0; content.len() * 2 + 16];
        let slice = Cobs::try_new(Slice::new(&mut target)).unwrap();
        let mut flavor = WithCrc::new(slice);
        flavor.try_extend(content).unwrap();
        flavor.finalize().unwrap().to_vec()
    }

    fn read(bytes: &[u8], memory: usize) -> Vec<Result<Vec<u8>, FrameError>> {
        let mut deframer = Deframer::new(vec![0; memory]);
        let mut found = Vec::new();
        for &byte in bytes {
            if let Some(end) = deframer.push(byte) {
                found.push(end.map(|len| deframer.content(len).to_vec()));
            }
        }
        found
    }

    #[test]
    fn what_postcard_writes_is_read_at_every_length() {
        for len in 0..600 {
            for fill in [0, 1, 0xff] {
                let content = vec![fill; len];
                assert_eq!(read(&frame(&content), 700), [Ok(content)]);
            }
        }
    }

    #[test]
    fn damage_costs_one_frame_and_the_next_is_read() {
        let good = frame(b"\x00good\x00");
        for at in 0..good.len() - 1 {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                bytes.push(0);
                bytes.extend(&good);
                let found = read(&bytes, 64);
                let (last, before) = found.split_last().unwrap();
                assert_eq!(last, &Ok(b"\x00good\x00".to_vec()));
                assert!(!before.is_empty() && before.iter().all(Result::is_err));
            }
        }
    }

    #[test]
    fn a_frame_without_end_takes_no_more_than_the_memory() {
        let mut bytes = vec![7; 10_000];
        bytes.push(0);
        bytes.extend(frame(b"next"));
        assert_eq!(
            read(&bytes, 32),
            [Err(FrameError::TooLong), Ok(b"next".to_vec())]
        );
        assert_eq!(read(&[0; 50], 32), [], "zeros are no frames");
    }
}
