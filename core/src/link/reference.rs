//! Frames written another way, for tests to compare with.

use postcard::ser_flavors::Flavor;

use crate::crc::Crc32;

/// A postcard flavour that passes bytes on and appends their CRC.
pub(super) struct WithCrc<F> {
    inner: F,
    crc: Crc32,
}

impl<F> WithCrc<F> {
    pub(super) const fn new(inner: F) -> Self {
        Self {
            inner,
            crc: Crc32::new(),
        }
    }
}

impl<F: Flavor> Flavor for WithCrc<F> {
    type Output = F::Output;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.crc.push(byte);
        self.inner.try_push(byte)
    }

    fn finalize(mut self) -> postcard::Result<Self::Output> {
        self.inner.try_extend(&self.crc.value().to_le_bytes())?;
        self.inner.finalize()
    }
}
