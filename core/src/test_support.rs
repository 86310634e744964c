//! Small helpers for tests and documentation examples. Not part of the stable interface.

use core::convert::Infallible;

use rand_core::TryRng;

/// A tiny deterministic generator (SplitMix64): good enough to be random in a test, and the same
/// in every run.
#[derive(Clone, Debug)]
pub struct TestRng(u64);

impl TestRng {
    /// A generator of the sequence number `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| (value >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(crate::exporter::split_mix(&mut self.0))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for chunk in target.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or_default());
        }
        Ok(())
    }
}
