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

use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
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
}

static SOURCE: OnceLock<Source> = OnceLock::new();

impl Source {
    #[inline]
    fn of_process() -> &'static Self {
        SOURCE.get_or_init(|| {
            let counter = quanta::Clock::new();
            let scale = counter.delta_as_nanos(0, 1 << SHIFT).max(1);
            let head_start = (u128::from(HEAD_START_NANOS) << SHIFT) / u128::from(scale);
            let head_start = head_start.min(u128::from(u64::MAX / 2));
            Self {
                origin: counter.raw().wrapping_sub(head_start as u64),
                scale,
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

/// Core time begins 80 years before its first reading, so that the past can be expressed: times of the
/// application, back to 1970 and before, and a counter of another core that is behind. Half of the
/// counter's range is left for the future. No reading is [`Instant::ZERO`].
const HEAD_START_NANOS: u64 = 80 * 31_557_600 * 1_000_000_000;

/// A measured distance between two clocks replaces the last one only if they differ by more than
/// this, in nanoseconds. So times of the application come out as they went in, and a duration between
/// two of them is exact. Clocks that are set by NTP are off by more.
const SLACK_NANOS: u64 = 50_000;

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

    /// Measures the distance to the wall clock again and returns it: the last one, if they differ by
    /// less than 50 microseconds. Spans that were dated before keep their dates.
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

    /// Converts a reading of the standard library's clock. Spans take one as it is; see
    /// [`SpanTime`].
    #[must_use]
    pub fn instant_of(&self, reading: StdInstant) -> Instant {
        measure_std(self.source).convert(reading)
    }
}

/// A time that the application gives for the start or end of a span, or for an event.
///
/// It is made from a [`SystemTime`], a [`std::time::Instant`], the
/// [`UnixNanos`] of a message, or an [`Instant`] of [`Tracer::now`](crate::hosted::trace::Tracer::now),
/// and may lie in the past, before the start of the process, or in the future. It arrives at the
/// collector as it was given, to 50 microseconds; the difference of two such times is exact, unless
/// the clock is set in between. A time before 1970, which OTLP cannot express, becomes 1970. A span
/// that would end before its start ends at its start.
///
/// ```
/// # use spandrel_core::hosted::trace::TracerProvider;
/// use std::time::{Duration, Instant, SystemTime};
///
/// # let tracer = TracerProvider::disabled().tracer("shop");
/// let now = SystemTime::now();
/// let waited = tracer.span("order.queued").start_time(now - Duration::from_secs(90)).start();
/// waited.end_at(now - Duration::from_secs(30)); // 60 seconds long
///
/// let begun = Instant::now();
/// tracer.span("order.place").start_time(begun).start().end();
/// ```
///
/// <https://opentelemetry.io/docs/specs/otel/trace/api/#timestamp>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanTime(Instant);

impl SpanTime {
    /// The time as an instant of the clock that times spans.
    #[must_use]
    pub const fn to_instant(self) -> Instant {
        self.0
    }
}

impl From<Instant> for SpanTime {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}

impl From<UnixNanos> for SpanTime {
    fn from(unix: UnixNanos) -> Self {
        Self(measure(Source::of_process()).to_instant(unix))
    }
}

impl From<SystemTime> for SpanTime {
    fn from(time: SystemTime) -> Self {
        unix_nanos(time).into()
    }
}

impl From<StdInstant> for SpanTime {
    fn from(reading: StdInstant) -> Self {
        Self(measure_std(Source::of_process()).convert(reading))
    }
}

/// The distance between core time and the standard library's clock: two readings taken together.
#[derive(Clone, Copy)]
struct StdAnchor {
    reading: StdInstant,
    instant: Instant,
}

impl StdAnchor {
    fn convert(self, reading: StdInstant) -> Instant {
        let after = duration_nanos(reading.saturating_duration_since(self.reading));
        let before = duration_nanos(self.reading.saturating_duration_since(reading));
        let nanos = self.instant.as_nanos().saturating_add(after);
        Instant::from_nanos(nanos.saturating_sub(before))
    }
}

fn measure_std(source: &Source) -> StdAnchor {
    static LAST: Mutex<Option<StdAnchor>> = Mutex::new(None);
    let before = source.now();
    let reading = StdInstant::now();
    let width = source.now().saturating_since(before);
    let new = StdAnchor {
        reading,
        instant: before.saturating_add(width / 2),
    };
    let distance = |last: &StdAnchor| {
        let expected = last.convert(reading).as_nanos();
        expected.abs_diff(new.instant.as_nanos()).into()
    };
    last_unless_moved(&LAST, new, distance)
}

/// The last measurement, unless it differs from the `new` one by more than [`SLACK_NANOS`]. A
/// measurement under a lock that is not free soon stands for itself: a fork may have left it locked.
fn last_unless_moved<T: Copy>(
    place: &Mutex<Option<T>>,
    new: T,
    distance: impl Fn(&T) -> u128,
) -> T {
    const TRIES: usize = 1000;
    for _ in 0..TRIES {
        let mut last = match place.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            Err(TryLockError::WouldBlock) => {
                core::hint::spin_loop();
                continue;
            }
        };
        return match *last {
            Some(last) if distance(&last) <= u128::from(SLACK_NANOS) => last,
            _ => {
                *last = Some(new);
                new
            }
        };
    }
    new
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
    static LAST: Mutex<Option<WallClock>> = Mutex::new(None);
    let (width, before, wall) = best;
    let new = WallClock::from_pair(before.saturating_add(width / 2), unix_nanos(wall));
    last_unless_moved(&LAST, new, |last| last.distance(new))
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
    fn readings_of_the_standard_clock_keep_their_distances() {
        let clock = Clock::new();
        let reading = StdInstant::now();
        let at = clock.instant_of(reading);
        for step in [Duration::from_millis(5), Duration::from_secs(86_400 * 365)] {
            let after = clock.instant_of(reading + step);
            assert_eq!(after.saturating_since(at), step);
            if let Some(earlier) = reading.checked_sub(step) {
                assert_eq!(at.saturating_since(clock.instant_of(earlier)), step);
            }
        }
        let now = clock.now();
        assert!(now.saturating_since(at) < Duration::from_secs(1));
    }

    #[test]
    fn times_of_the_application_are_neither_cut_nor_bent() {
        let wall = Clock::new().wall();
        let now = unix_nanos(SystemTime::now()).as_nanos();
        let year = 365 * 86_400 * 1_000_000_000;
        for given in [
            0,
            1,
            20 * year,
            now - 60_000_000_000,
            now,
            now + year,
            500 * year,
        ] {
            let instant = SpanTime::from(UnixNanos::from_nanos(given)).to_instant();
            let back = wall.to_unix(instant).as_nanos();
            assert!(
                back.abs_diff(given) <= 2 * SLACK_NANOS,
                "{given} became {back}"
            );
        }
    }

    #[test]
    fn a_distance_is_kept_until_the_clocks_have_moved() {
        let place = Mutex::new(None);
        let measured = |new: u64| last_unless_moved(&place, new, |last| last.abs_diff(new).into());
        assert_eq!(measured(1_000_000), 1_000_000);
        assert_eq!(measured(1_050_000), 1_000_000);
        assert_eq!(measured(1_050_001), 1_050_001);
        assert_eq!(measured(1_000_001), 1_050_001);
        let locked = place.lock().unwrap();
        assert_eq!(last_unless_moved(&place, 7, |_| 0), 7);
        drop(locked);
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
