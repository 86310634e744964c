//! Time as an argument: [`Instant`], [`UnixNanos`] and the [`WallClock`] that joins them.
//!
//! The core never reads a clock. The driver passes an [`Instant`]: nanoseconds since an origin of
//! its choice (boot, process start) that must not change while the pipeline lives. Spans are
//! recorded in that time, so a device can record from its first instruction. The wall clock may
//! become known much later (SNTP, an HTTP `Date` header); it is applied when a batch is prepared
//! for export.
//!
//! ```
//! use spandrel_core::time::{Instant, UnixNanos, WallClock};
//!
//! // A device booted, recorded something at 2 s, and learned the date at 5 s.
//! let recorded = Instant::from_secs(2);
//! let clock = WallClock::from_pair(Instant::from_secs(5), UnixNanos::from_secs(1_700_000_005));
//! assert_eq!(clock.to_unix(recorded), UnixNanos::from_secs(1_700_000_002));
//! ```

use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A point in monotonic time: nanoseconds since an origin chosen by the caller.
///
/// 64 bits of nanoseconds last 584 years. All arithmetic saturates, `+` and `+=` included, so a
/// clock that jumps cannot cause an overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// The last representable instant; it stands for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// An instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// An instant `millis` milliseconds after the origin, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// An instant `secs` seconds after the origin, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        divide(self.0, 1_000_000).0
    }

    /// Returns this instant plus `duration`, saturating at [`Instant::MAX`].
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_nanos(duration)))
    }

    /// This instant plus so many nanoseconds, saturating.
    pub(crate) const fn saturating_add_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to `self`, or zero if `earlier` is later.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        nanos_duration(self.nanos_since(earlier))
    }
}

/// Saturates at [`Instant::MAX`], as [`Instant::saturating_add`] does.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.saturating_add(duration)
    }
}

/// Saturates at [`Instant::MAX`].
impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z, as OTLP counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnixNanos(u64);

impl UnixNanos {
    /// A wall-clock time of `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A wall-clock time of `secs` seconds after the epoch, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        divide(self.0, NANOS_PER_SEC).0
    }
}

/// The offset of the wall clock from the monotonic clock.
///
/// It is applied to each record once, at the first attempt to send it with a known clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WallClock {
    offset: i128,
}

impl WallClock {
    /// The clock that showed `unix` at `instant`: two readings taken together.
    #[must_use]
    pub const fn from_pair(instant: Instant, unix: UnixNanos) -> Self {
        Self {
            offset: unix.0 as i128 - instant.0 as i128,
        }
    }

    /// Nanoseconds by which both clocks differ.
    #[cfg(feature = "std")]
    pub(crate) const fn distance(self, other: Self) -> u128 {
        self.offset.abs_diff(other.offset)
    }

    /// The sum of both offsets.
    #[cfg(feature = "link")]
    pub(crate) const fn then(self, other: Self) -> Self {
        Self {
            offset: self.offset + other.offset,
        }
    }

    /// Returns the wall-clock time of `instant`, clamped to the range of 64 bits of nanoseconds
    /// (1970 to 2554).
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub const fn to_unix(self, instant: Instant) -> UnixNanos {
        let nanos = instant.0 as i128 + self.offset;
        if nanos < 0 {
            UnixNanos(0)
        } else if nanos > u64::MAX as i128 {
            UnixNanos(u64::MAX)
        } else {
            UnixNanos(nanos as u64)
        }
    }

    /// Returns the instant at which the wall clock showed `unix`, clamped.
    #[must_use]
    pub const fn to_instant(self, unix: UnixNanos) -> Instant {
        let nanos = unix.0 as i128 - self.offset;
        if nanos < 0 {
            Instant(0)
        } else if nanos > u64::MAX as i128 {
            Instant(u64::MAX)
        } else {
            Instant(nanos as u64)
        }
    }
}

/// Extends a timer of 32 bits, which turns over in minutes or hours, to an [`Instant`], which does
/// not.
///
/// Read it at least twice in each turn: every 35 minutes at 1 MHz. A reading that is a little older
/// than the last one, as from an interrupted task, gives the time that it had. For frequencies that
/// divide a second into whole nanoseconds (1 MHz, 32 MHz) a reading takes no division.
///
/// ```
/// use spandrel_core::time::{Instant, Ticks32};
///
/// let mut clock = Ticks32::new(1_000_000);
/// assert_eq!(clock.now(4_000_000_000), Instant::from_secs(4_000));
/// // 1,000 s later the timer has turned over.
/// assert_eq!(clock.now(705_032_704), Instant::from_secs(5_000));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticks32 {
    hertz: u32,
    /// Nanoseconds of a tick, if they are a whole number; otherwise 0.
    nanos: u32,
    /// Ticks since the first turn began.
    total: u64,
}

impl Ticks32 {
    /// A clock over a timer that counts up `hertz` times a second: from 1 to 2^31. Its origin is the
    /// zero of the timer's present turn.
    #[must_use]
    pub const fn new(hertz: u32) -> Self {
        let is_whole = hertz > 0 && NANOS_PER_SEC.is_multiple_of(hertz);
        Self {
            hertz,
            nanos: if is_whole { NANOS_PER_SEC / hertz } else { 0 },
            total: 0,
        }
    }

    /// Returns the time at which the timer showed `ticks`.
    pub const fn now(&mut self, ticks: u32) -> Instant {
        let ahead = ticks.wrapping_sub(self.total as u32);
        // The first reading may be anywhere in the turn.
        if ahead <= u32::MAX / 2 || self.total == 0 {
            self.total += ahead as u64;
            return self.instant(self.total);
        }
        self.instant(self.total.saturating_sub(ahead.wrapping_neg() as u64))
    }

    const fn instant(&self, ticks: u64) -> Instant {
        if self.nanos > 0 || self.hertz == 0 {
            return Instant(ticks.saturating_mul(self.nanos as u64));
        }
        let (secs, rest) = divide(ticks, self.hertz);
        let (nanos, _) = divide(rest as u64 * NANOS_PER_SEC as u64, self.hertz);
        Instant(
            secs.saturating_mul(NANOS_PER_SEC as u64)
                .saturating_add(nanos),
        )
    }
}

const NANOS_PER_SEC: u32 = 1_000_000_000;

/// The duration of so many nanoseconds.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) const fn nanos_duration(nanos: u64) -> Duration {
    let (secs, rest) = divide(nanos, NANOS_PER_SEC);
    // Always true; said so that no carry, and no overflow of it, is compiled in.
    let nanos = if rest < NANOS_PER_SEC { rest } else { 0 };
    Duration::new(secs, nanos)
}

/// The quotient and the remainder of a division by a number from 1 to 2^31.
///
/// Bit by bit on devices: the library's division of 64 bits takes a kilobyte of flash, and nothing
/// that divides happens for each span.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) const fn divide(value: u64, divisor: u32) -> (u64, u32) {
    if cfg!(target_os = "none") {
        divide_by_bits(value, divisor)
    } else {
        (value / divisor as u64, (value % divisor as u64) as u32)
    }
}

const fn divide_by_bits(value: u64, divisor: u32) -> (u64, u32) {
    let (mut quotient, mut rest) = (value, 0);
    let mut bit = 0;
    while bit < u64::BITS {
        rest = rest << 1 | (quotient >> 63) as u32;
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
        bit += 1;
    }
    (quotient, rest)
}

/// The nanoseconds of `duration`, saturating at `u64::MAX` (584 years).
#[cfg_attr(target_os = "none", inline(never))]
#[must_use]
pub(crate) const fn duration_nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::MAX.saturating_add(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::MAX + Duration::from_nanos(1), Instant::MAX);
        let mut instant = Instant::from_secs(1) + Duration::from_millis(500);
        instant += Duration::from_millis(500);
        assert_eq!(instant, Instant::from_secs(2));
        instant += Duration::MAX;
        assert_eq!(instant, Instant::MAX);
        assert_eq!(
            Instant::ZERO.saturating_since(Instant::from_secs(1)),
            Duration::ZERO
        );
        assert_eq!(Instant::from_secs(u64::MAX), Instant::MAX);
        assert_eq!(Instant::from_millis(1_500).as_nanos(), 1_500_000_000);
    }

    #[test]
    fn division_bit_by_bit_is_division() {
        let numbers = [
            0,
            1,
            9,
            10,
            999_999_999,
            1 << 31,
            1 << 32,
            u64::MAX - 1,
            u64::MAX,
        ];
        for value in numbers {
            for divisor in [1, 3, 10, 1000, NANOS_PER_SEC, 1 << 31] {
                let wide = u64::from(divisor);
                let expected = (value / wide, (value % wide) as u32);
                assert_eq!(
                    divide_by_bits(value, divisor),
                    expected,
                    "{value} / {divisor}"
                );
            }
        }
        assert_eq!(nanos_duration(1_500_000_001), Duration::new(1, 500_000_001));
    }

    #[test]
    fn a_timer_that_turns_over_is_extended_and_an_older_reading_is_older() {
        for hertz in [1, 1_000, 32_768, 1_000_000, 24_000_000, 1 << 31] {
            let mut clock = Ticks32::new(hertz);
            let mut total = 3_000_000_000_u64;
            for step in [0, 1, 1 << 30, (1 << 31) - 1, 7, 1 << 30].repeat(5) {
                total += step;
                let exact = |ticks: u64| {
                    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(hertz);
                    Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
                };
                assert_eq!(clock.now(total as u32), exact(total), "{hertz} Hz");
                assert_eq!(clock.now((total - 900) as u32), exact(total - 900));
                assert_eq!(clock.now(total as u32), exact(total));
            }
        }
        assert_eq!(Ticks32::new(0).now(5), Instant::ZERO);
    }

    #[test]
    fn wall_clock_is_clamped_to_the_range_of_otlp() {
        let before_epoch = WallClock::from_pair(Instant::from_secs(100), UnixNanos::from_secs(10));
        assert_eq!(before_epoch.to_unix(Instant::from_secs(1)).as_nanos(), 0);
        let far = WallClock::from_pair(Instant::ZERO, UnixNanos::from_nanos(u64::MAX));
        assert_eq!(far.to_unix(Instant::from_secs(1)).as_nanos(), u64::MAX);
        let clock = WallClock::from_pair(Instant::from_secs(5), UnixNanos::from_secs(50));
        assert_eq!(
            clock.to_instant(UnixNanos::from_secs(46)),
            Instant::from_secs(1)
        );
        assert_eq!(clock.to_instant(UnixNanos::from_secs(1)), Instant::ZERO);
    }
}
