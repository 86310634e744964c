//! CRC-32 as gzip and Ethernet compute it ([RFC 1952] section 8), four bits at a time.
//!
//! The gzip encoder ends a member with it, and the link ends every frame with it. Of damaged
//! frames one in four thousand million passes; CRC-16 would let one in 65,536 pass, which a noisy
//! line reaches within days.
//!
//! [RFC 1952]: https://www.rfc-editor.org/rfc/rfc1952#section-8

/// The length of a sum, in bytes; gzip and the link both write it little-endian.
#[cfg(feature = "link")]
pub(crate) const CRC_BYTES: usize = 4;

/// The remainders of the sixteen half bytes: 64 bytes of flash, where the usual table takes 1,024.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let mut remainder = i as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = (remainder >> 1) ^ (0xedb8_8320 * (remainder & 1));
            bit += 1;
        }
        table[i] = remainder;
        i += 1;
    }
    table
};

/// The sum of the bytes so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    #[inline]
    pub(crate) const fn push(&mut self, byte: u8) {
        let mut crc = self.0 ^ byte as u32;
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        self.0 = crc;
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }

    pub(crate) const fn value(self) -> u32 {
        !self.0
    }

    #[cfg(feature = "link")]
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::new();
        crc.update(bytes);
        crc.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        let mut crc = Crc32::new();
        crc.update(b"1234");
        crc.update(b"");
        crc.push(b'5');
        crc.update(b"6789");
        assert_eq!(crc.value(), 0xcbf4_3926);
        assert_eq!(Crc32::new().value(), 0);
    }
}
