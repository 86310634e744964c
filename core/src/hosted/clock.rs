//! The clock of a process: monotonic core time, anchored to the wall clock.
//!
//! Spans are timed by the monotonic clock alone, so a step of the wall clock (NTP, an operator) can
//! neither reverse nor stretch them. The distance between the two clocks is measured separately,
//! and again for every batch ([`Clock::re_anchor`]): on Linux the monotonic clock stands still
//! while the machine sleeps, and both clocks drift.
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
//! A reading takes 10.6 ns from the processor's time-stamp counter, if `quanta` finds the counter
//! constant and always running; `std::time::Instant::now` takes 22.6 ns in the same virtual
//! machine. Without such a counter a reading costs as much as the system's clock. The counter is
//! calibrated once per process, in about a millisecond.

use std::sync::OnceLock;
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use crate::time::{Instant, UnixNanos, WallClock, duration_nanos};

/// The counter of this process and the start of core time on it. All clocks share it, so that
/// instants of different threads can be compared.
struct Source {
    counter: quanta::Clock,
    /// The reading at which core time is zero.
    origin: u64,
    /// Nanoseconds of a step of the counter, times 2^[`SHIFT`].
    scale: u64,
    /// The same moment on the clock of the standard library.
    std_origin: StdInstant,
}

static SOURCE: OnceLock<Source> = OnceLock::new();

impl Source {
    #[inline]
    fn of_process() -> &'static Self {
        SOURCE.get_or_init(|| {
            let counter = quanta::Clock::new();
            let scale = counter.delta_as_nanos(0, 1 << SHIFT).max(1);
            let head_start = (u128::from(HEAD_START_NANOS) << SHIFT) / u128::from(scale);
            Self {
                origin: counter.raw().wrapping_sub(head_start as u64),
                scale,
                std_origin: StdInstant::now(),
                counter,
            }
        })
    }

    #[inline]
    fn now(&self) -> Instant {
        // `delta_as_nanos`, without its second check of the kind of counter.
        let steps = self.counter.raw().wrapping_sub(self.origin);
        let scaled = u128::from(steps) * u128::from(self.scale);
        Instant::from_nanos((scaled >> SHIFT) as u64)
    }
}

/// The fractional bits of [`Source::scale`]. Its error is below a microsecond in ten days.
const SHIFT: u32 = 40;

/// Core time starts this far from zero. So times shortly before the first reading can be expressed
/// (another core's counter may be behind), and no reading is [`Instant::ZERO`].
const HEAD_START_NANOS: u64 = 1_000_000_000;

/// The pairs of readings that [`Clock::re_anchor`] takes; the tightest one counts.
const ANCHOR_TRIES: u32 = 3;

/// A handle on the process's clock, with the last known distance to the wall clock.
///
/// Cheap to copy.
#[derive(Clone, Copy)]
pub struct Clock {
    source: &'static Source,
    wall: WallClock,
}

impl Clock {
    /// The clock of this process, anchored to the wall clock now.
    #[must_use]
    pub fn new() -> Self {
        let source = Source::of_process();
        Self {
            source,
            wall: measure(source),
        }
    }

    /// Measures the distance to the wall clock again and returns it. Spans that were dated before
    /// keep their dates.
    pub fn re_anchor(&mut self) -> WallClock {
        self.wall = measure(self.source);
        self.wall
    }

    /// The present instant in core time.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        self.source.now()
    }

    /// The last measured distance to the wall clock. No clock is read.
    #[must_use]
    pub const fn wall(&self) -> WallClock {
        self.wall
    }

    /// Converts a reading of the standard library's clock, for spans with explicit times.
    #[must_use]
    pub fn instant_of(&self, reading: StdInstant) -> Instant {
        let origin = self.source.std_origin;
        let after = duration_nanos(reading.saturating_duration_since(origin));
        let before = duration_nanos(origin.saturating_duration_since(reading));
        let nanos = HEAD_START_NANOS.saturating_add(after);
        Instant::from_nanos(nanos.saturating_sub(before))
    }
}

/// The present instant in core time.
#[inline]
pub(crate) fn now() -> Instant {
    Source::of_process().now()
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Clock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Clock")
            .field("now", &self.now())
            .field("wall", &self.wall)
            .finish()
    }
}

/// Reads the wall clock between two readings of the monotonic clock and takes their middle. Of
/// several tries the tightest counts, so that being descheduled in between does no harm.
fn measure(source: &Source) -> WallClock {
    let try_once = || {
        let before = source.now();
        let wall = SystemTime::now();
        let width = source.now().saturating_since(before);
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
    WallClock::from_pair(before.saturating_add(width / 2), unix_nanos(wall))
}

/// Nanoseconds since 1970, clamped to the range of OTLP: 0 for earlier times.
pub(super) fn unix_nanos(time: SystemTime) -> UnixNanos {
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
        let origin = clock.source.std_origin;
        let step = Duration::from_millis(5);
        let at = clock.instant_of(origin);
        let after = clock.instant_of(origin + step);
        assert_eq!(after.saturating_since(at), step);
        if let Some(earlier) = origin.checked_sub(step) {
            assert_eq!(at.saturating_since(clock.instant_of(earlier)), step);
        }
        if let Some(long_ago) = origin.checked_sub(Duration::from_secs(9)) {
            assert_eq!(clock.instant_of(long_ago), Instant::ZERO);
        }
    }

    /// What spans measure and what the standard library measures stay close.
    #[test]
    fn the_counter_runs_at_the_speed_of_the_system_clock() {
        let clock = Clock::new();
        let (counter, std) = (clock.now(), StdInstant::now());
        while std.elapsed() < Duration::from_millis(20) {
            core::hint::spin_loop();
        }
        let counted = clock.now().saturating_since(counter);
        let elapsed = std.elapsed();
        // A reading can be late by a time slice, never by a tenth and more.
        assert!(
            counted <= elapsed + elapsed / 10,
            "{counted:?} of {elapsed:?}"
        );
        assert!(counted * 10 >= Duration::from_millis(20) * 9, "{counted:?}");
    }
}
