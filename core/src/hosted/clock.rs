//! The clock of a hosted process: monotonic core time, anchored to the wall clock.
//!
//! Spans are timed by the monotonic clock alone, so a step of the wall clock (NTP, an operator)
//! can neither reverse nor stretch them. The distance between the two clocks is measured apart
//! and again for every batch ([`Clock::re_anchor`]): on Linux the monotonic clock stands still
//! while the machine sleeps, and both drift (fault catalogue C5, C7).
//!
//! ```
//! use spandrel_core::hosted::clock::Clock;
//!
//! let mut clock = Clock::new();
//! let started = clock.now();
//! let wall = clock.re_anchor();
//! assert!(wall.to_unix(started).as_secs() > 1_700_000_000);
//! assert!(clock.now() >= started);
//! ```
//!
//! One reading costs what `std::time::Instant::now` costs plus a subtraction (19 ns and 5 ns in
//! the virtual machine where this was measured).

use std::sync::OnceLock;
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use crate::time::{Instant, UnixNanos, WallClock, duration_nanos};

/// The origin of core time in this process, fixed by whoever asks first. All clocks share it,
/// so that instants of different threads and shards can be compared.
static ORIGIN: OnceLock<StdInstant> = OnceLock::new();

/// How far core time starts from zero: a clock reading just before the origin (another core, a
/// suspended virtual machine) stays representable, and no reading is [`Instant::ZERO`].
const HEAD_START_NANOS: u64 = 1_000_000_000;

/// Pairs of readings taken by [`Clock::re_anchor`]; the tightest one counts.
const ANCHOR_TRIES: u32 = 3;

/// A handle on the process's clock, with the last known distance to the wall clock.
///
/// Cheap to copy: every shard keeps its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: StdInstant,
    wall: WallClock,
}

impl Clock {
    /// The clock of this process, anchored to the wall clock now.
    #[must_use]
    pub fn new() -> Self {
        let origin = *ORIGIN.get_or_init(StdInstant::now);
        Self {
            origin,
            wall: measure(origin),
        }
    }

    /// Measures the distance to the wall clock again and returns it: once per batch, before its
    /// first encoding. Spans that were already dated keep their dates.
    pub fn re_anchor(&mut self) -> WallClock {
        self.wall = measure(self.origin);
        self.wall
    }

    /// The present instant in core time.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        to_core(self.origin, monotonic())
    }

    /// The distance to the wall clock as of the last anchoring. No clock is read.
    #[must_use]
    pub const fn wall(&self) -> WallClock {
        self.wall
    }

    /// The instant of a reading that the application took itself, for spans with explicit
    /// times.
    #[must_use]
    pub fn instant_of(&self, reading: StdInstant) -> Instant {
        to_core(self.origin, reading)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The one place that reads the monotonic clock: a cheaper source (the time-stamp counter, where
/// it is invariant) goes in here, together with the type of the origin.
#[inline]
fn monotonic() -> StdInstant {
    StdInstant::now()
}

/// Saturating on both sides, so that no clock whatever can panic here.
#[inline]
fn to_core(origin: StdInstant, reading: StdInstant) -> Instant {
    let since = reading.saturating_duration_since(origin);
    if since.is_zero() {
        // Rare: exactly at the origin, or before it.
        return before_origin(origin, reading);
    }
    Instant::from_nanos(HEAD_START_NANOS).saturating_add(since)
}

#[cold]
fn before_origin(origin: StdInstant, reading: StdInstant) -> Instant {
    let before = duration_nanos(origin.saturating_duration_since(reading));
    Instant::from_nanos(HEAD_START_NANOS.saturating_sub(before))
}

/// Reads the wall clock between two readings of the monotonic clock and takes their middle; of
/// several tries the tightest, so that being descheduled in between does not become an error.
fn measure(origin: StdInstant) -> WallClock {
    let try_once = || {
        let before = monotonic();
        let wall = SystemTime::now();
        let width = monotonic().saturating_duration_since(before);
        (width, before, wall)
    };
    let mut best = try_once();
    for _ in 1..ANCHOR_TRIES {
        let next = try_once();
        if next.0 < best.0 {
            best = next;
        }
    }
    let (width, before, wall) = best;
    let middle = to_core(origin, before).saturating_add(width / 2);
    WallClock::from_pair(middle, unix_nanos(wall))
}

/// Nanoseconds since 1970, clamped to what OTLP can say (fault catalogue C5).
#[must_use]
pub fn unix_nanos(time: SystemTime) -> UnixNanos {
    UnixNanos::from_nanos(time.duration_since(UNIX_EPOCH).map_or(0, duration_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn clocks_of_one_process_share_their_origin() {
        let first = Clock::new();
        let a = first.now();
        let b = Clock::new().now();
        let c = first.now();
        assert!(a <= b && b <= c);
        assert!(a > Instant::ZERO);
    }

    #[test]
    fn the_wall_clock_agrees_with_the_system() {
        let mut clock = Clock::new();
        let wall = clock.re_anchor();
        let before = unix_nanos(SystemTime::now()).as_nanos();
        let told = wall.to_unix(clock.now()).as_nanos();
        assert!(before.abs_diff(told) < 1_000_000_000);
        assert_eq!(clock.wall(), wall);
    }

    #[test]
    fn times_outside_otlp_are_clamped() {
        let second = Duration::from_secs(1);
        assert_eq!(unix_nanos(UNIX_EPOCH - second).as_nanos(), 0);
        assert_eq!(unix_nanos(UNIX_EPOCH + second), UnixNanos::from_secs(1));
        if let Some(far) = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 36)) {
            assert_eq!(unix_nanos(far).as_nanos(), u64::MAX);
        }
    }

    #[test]
    fn a_reading_before_the_origin_keeps_its_distance() {
        let clock = Clock::new();
        let step = Duration::from_millis(5);
        let at = clock.instant_of(clock.origin);
        let after = clock.instant_of(clock.origin + step);
        assert_eq!(after.saturating_since(at), step);
        if let Some(earlier) = clock.origin.checked_sub(step) {
            assert_eq!(at.saturating_since(clock.instant_of(earlier)), step);
        }
        if let Some(long_ago) = clock.origin.checked_sub(Duration::from_secs(9)) {
            assert_eq!(clock.instant_of(long_ago), Instant::ZERO);
        }
    }
}
