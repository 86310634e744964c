//! Times of the system's clock, which the API takes everywhere, as times of spans.

use core::cell::Cell;
use std::time::SystemTime;

use crate::hosted::clock::{self, Clock};
use crate::time::{Instant, UnixNanos, WallClock, duration_nanos};

/// For so long a measured distance of the two clocks serves, in nanoseconds.
const LASTS_NANOS: u64 = 50_000_000;
/// A time that is so near to the present was read a moment ago, in nanoseconds.
const PRESENT_NANOS: u64 = 100_000;

std::thread_local! {
    /// The distance of the two clocks, and when it was measured.
    static DISTANCE: Cell<Option<(WallClock, Instant)>> = const { Cell::new(None) };
}

/// Where the times of a span come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hosted) enum Times {
    /// Its start was read from our clock. So a time that was read from the system's clock just now
    /// becomes our present, and no short span is stretched by the distance of the clocks.
    Own,
    /// Its start was given.
    Given,
}

impl Times {
    pub(in crate::hosted) fn instant_of(self, time: SystemTime) -> Instant {
        let now = clock::now();
        let given = distance(now).to_instant(unix_nanos(time));
        match self {
            Self::Own if given.as_nanos().abs_diff(now.as_nanos()) < PRESENT_NANOS => now,
            _ => given,
        }
    }
}

fn distance(now: Instant) -> WallClock {
    if let Some((wall, measured)) = DISTANCE.get() {
        if now.as_nanos().wrapping_sub(measured.as_nanos()) < LASTS_NANOS {
            return wall;
        }
    }
    let wall = Clock::new().wall();
    DISTANCE.set(Some((wall, now)));
    wall
}

/// Nanoseconds since 1970; 0 for earlier times.
fn unix_nanos(time: SystemTime) -> UnixNanos {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    UnixNanos::from_nanos(since.map_or(0, duration_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_read_just_now_is_the_present_of_a_span_with_our_own_times() {
        let before = clock::now();
        let own = Times::Own.instant_of(SystemTime::now());
        assert!(before <= own && own <= clock::now());
        let hour = Duration::from_secs(3600);
        let past = Times::Own.instant_of(SystemTime::now() - hour);
        assert!(own.saturating_since(past) >= hour - Duration::from_secs(1));
    }

    #[test]
    fn given_times_keep_their_distance() {
        let now = SystemTime::now();
        for micros in [1, 10, 1_000_000] {
            let later = now + Duration::from_micros(micros);
            let (a, b) = (Times::Given.instant_of(now), Times::Given.instant_of(later));
            assert_eq!(b.saturating_since(a), Duration::from_micros(micros));
        }
        assert_eq!(
            Times::Given.instant_of(SystemTime::UNIX_EPOCH - Duration::from_secs(9)),
            Times::Given.instant_of(SystemTime::UNIX_EPOCH)
        );
    }
}
