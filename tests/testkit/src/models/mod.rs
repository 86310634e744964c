//! Naive models: the dumbest thing that can be right, run side by side with each machine.
//!
//! Each model comes with its operations, a runner that checks the machine after every step, and a
//! count of the interesting things that happened ("sometimes" properties): a run in which nothing
//! interesting happened proves nothing.

pub mod backoff;
pub mod breaker;
pub mod buffer;
pub mod coverage;
pub mod exporter;
mod fate;
pub mod sampler;

use spandrel_core::time::Instant;

/// `millis` before `now`, or the origin.
#[must_use]
pub const fn back(now: Instant, millis: u64) -> Instant {
    let nanos = millis.saturating_mul(1_000_000);
    Instant::from_nanos(now.as_nanos().saturating_sub(nanos))
}

/// A repeatable stream of draws (SplitMix64), so that a failing run can be run again.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw, uniform over all of `u64`.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A draw below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }
}
