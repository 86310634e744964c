//! A device's monotonic clock against the host's.

use core::time::Duration;

use crate::time::{Instant, UnixNanos, WallClock};

/// Pairs a device's clock with the host's, frame by frame.
///
/// A frame arrives some time after it was made, so the frame with the smallest difference between
/// the two clocks is the best estimate. Clocks drift, so the best one of a period counts only until
/// the next period has ended. Both clocks are monotonic; when the device's is said to have begun
/// again ([`LinkEvent::new_clock`](super::LinkEvent::new_clock)), begin with a new anchor. Spans that
/// come in a backlog are dated right once a frame that was not delayed has been seen, so look at all
/// frames that lie ready before the first span is dated. The host's wall clock is read when a span
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
    /// The best pair of the present period, and when that began, in device time and in host time.
    best: Option<(WallClock, Instant, Instant)>,
}

impl Anchor {
    /// A pair of readings is used for two of these at most, by either clock, or until the next
    /// frame if frames come more seldom. Clocks that differ by 50 ppm drift apart by 6 ms in two
    /// minutes, and by 180 ms in an hour.
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
            Some((best, made_since, arrived_since)) => {
                *best = pair.min(*best);
                // A device's clock may stand still while the host's goes on.
                if made.saturating_since(*made_since) >= Self::PERIOD
                    || arrived.saturating_since(*arrived_since) >= Self::PERIOD
                {
                    self.current = Some(*best);
                    (*best, *made_since, *arrived_since) = (pair, made, arrived);
                }
            }
            None => self.best = Some((pair, made, arrived)),
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
    fn a_clock_that_stands_still_is_followed() {
        let mut anchor = Anchor::new();
        // Awake for a second each minute, for ten hours; nobody says so.
        for minute in 0..600 {
            let made = Instant::from_secs(minute);
            anchor.observe(made, Instant::from_secs(minute * 60));
            let off = error(&anchor, made, minute * 60_000_000_000);
            assert!(
                (-60_000_000_000..=0).contains(&off),
                "{off} ns after {minute}"
            );
        }
    }

    #[test]
    fn between_seldom_frames_clocks_drift_apart() {
        for ppm in [-50_i64, 50] {
            let mut anchor = Anchor::new();
            for hour in 0..240_i64 {
                let truth = hour * 3_600_000_000_000;
                let made = Instant::from_nanos((truth + truth / 1_000_000 * ppm) as u64);
                anchor.observe(made, Instant::from_nanos(truth as u64));
                let off = error(&anchor, made, truth as u64);
                assert!(off.abs() <= 180_000_000, "{off} ns after {hour} hours");
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
