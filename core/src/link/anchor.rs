//! A device's monotonic clock against the host's.

use core::time::Duration;

use crate::time::{Instant, UnixNanos, WallClock};

/// Pairs a device's clock with the host's, frame by frame.
///
/// A frame arrives some time after it was made, so the frame with the smallest difference between
/// the two clocks is the best estimate. Clocks drift, so the best one of a period counts only until
/// the next period has ended. Both clocks are monotonic. The host's wall clock is read when a span
/// is dated, so its steps apply at once.
///
/// ```
/// use spandrel_core::link::Anchor;
/// use spandrel_core::time::{Instant, UnixNanos, WallClock};
///
/// let mut anchor = Anchor::new();
/// // The first frame took 400 ms to arrive, the second one 2 ms.
/// anchor.observe(Instant::from_millis(1_000), Instant::from_millis(61_400));
/// anchor.observe(Instant::from_millis(2_000), Instant::from_millis(62_002));
///
/// let host = WallClock::from_pair(Instant::from_secs(60), UnixNanos::from_secs(1_700_000_000));
/// let clock = anchor.clock(host).expect("there were frames");
/// assert_eq!(clock.to_unix(Instant::ZERO).as_nanos(), 1_700_000_000_002_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Anchor {
    /// From the device's clock to the host's monotonic one.
    current: Option<WallClock>,
    /// The best pair of the present period, and when that began, in device time.
    best: Option<(WallClock, Instant)>,
}

impl Anchor {
    /// A pair of readings is used for two of these at most, in which clocks that differ by 50 ppm
    /// drift apart by 6 ms.
    pub const PERIOD: Duration = Duration::from_secs(60);

    /// Before the first frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            current: None,
            best: None,
        }
    }

    /// Notes a frame that was made at `made`, in device time, and arrived at `arrived`, in host
    /// time.
    pub fn observe(&mut self, made: Instant, arrived: Instant) {
        let pair = WallClock::from_pair(made, UnixNanos::from_nanos(arrived.as_nanos()));
        match &mut self.best {
            Some((best, since)) => {
                *best = pair.min(*best);
                if made.saturating_since(*since) >= Self::PERIOD {
                    self.current = Some(*best);
                    (*best, *since) = (pair, made);
                }
            }
            None => self.best = Some((pair, made)),
        }
        self.current = Some(self.current.map_or(pair, |current| current.min(pair)));
    }

    /// Returns the clock that turns device time into Unix time, as `host` does for host time;
    /// `None` before the first frame.
    #[must_use]
    pub fn clock(&self, host: WallClock) -> Option<WallClock> {
        self.current.map(|current| current.then(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(anchor: &Anchor, made: Instant, truth: u64) -> i64 {
        let host = WallClock::from_pair(Instant::ZERO, UnixNanos::from_nanos(0));
        let told = anchor.clock(host).unwrap().to_unix(made).as_nanos();
        told as i64 - truth as i64
    }

    #[test]
    fn drift_is_followed_and_delay_is_not() {
        let mut anchor = Anchor::new();
        // The device's clock is slow by 100 ppm; a frame takes 1 to 301 ms.
        for second in 0..3_600_u64 {
            let made = Instant::from_nanos(second * 999_900_000);
            let truth = 5_000_000_000 + second * 1_000_000_000;
            let delay = 1_000_000 + (second * 7 % 11) * 30_000_000;
            anchor.observe(made, Instant::from_nanos(truth + delay));
            if second > 20 {
                let off = error(&anchor, made, truth);
                assert!(off.abs() < 15_000_000, "{off} ns after {second} s");
            }
        }
    }

    #[test]
    fn a_backlog_does_not_move_what_is_known() {
        let mut anchor = Anchor::new();
        anchor.observe(Instant::from_secs(5), Instant::from_secs(105));
        for second in 6..60 {
            anchor.observe(Instant::from_secs(second), Instant::from_secs(900));
        }
        assert_eq!(error(&anchor, Instant::from_secs(7), 107_000_000_000), 0);
    }
}
