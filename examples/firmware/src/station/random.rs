//! Ids of this device.

use spandrel_core::prelude::*;

/// Ids from a seed, by the xorshift generator. A product draws them from the random number
/// generator of its processor, which an emulated one does not have.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u32) -> Self {
        Self((seed as u64) << 1 | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl IdGenerator for Random {
    const RANDOM: bool = true;

    fn trace_id(&mut self) -> TraceId {
        let (high, low) = (u128::from(self.next()), u128::from(self.next()));
        TraceId::from_bytes((high << 64 | low).to_be_bytes())
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(self.next().to_be_bytes())
    }
}
