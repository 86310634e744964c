//! When to try a failed export again: exponential backoff with jitter and two limits.
//!
//! A destination that fails must be left alone for longer each time, for a different time in each
//! process, and not for ever. [`Backoff`] makes that decision and nothing else: it neither sleeps
//! nor draws random numbers nor reads a clock. One machine serves one batch at a time.
//!
//! ```text
//!          start(now)            next_attempt(now, draw)
//!   idle ─────────────▶ running ─────────────────────────▶ Ok(instant of the next attempt)
//!    ▲                     │
//!    └────── reset() ──────┴─ retries or time used up ───▶ Err(Exhausted)
//! ```
//!
//! The base of the n-th retry is `min(cap, initial · multiplier^n)`, in integer arithmetic and
//! rounded up to a whole millisecond. Jitter only ever shortens it, so a delay never exceeds the
//! cap; and never to less than the floor, so a generator stuck at zero cannot make retries spin.
//!
//! ```
//! use spandrel_core::backoff::{Backoff, BackoffConfig, Jitter};
//! use spandrel_core::time::Instant;
//!
//! let config = BackoffConfig { jitter: Jitter::None, ..BackoffConfig::DEFAULT };
//! let mut backoff = Backoff::new(config)?;
//! backoff.start(Instant::ZERO);
//! let first = backoff.next_attempt(Instant::ZERO, 0).unwrap();
//! let second = backoff.next_attempt(first, 0).unwrap();
//! assert_eq!((first.as_millis(), second.as_millis()), (100, 250));
//! # Ok::<(), spandrel_core::backoff::BackoffConfigError>(())
//! ```

use core::fmt;
use core::time::Duration;

use crate::time::{Instant, divide, duration_nanos, nanos_duration};

const MILLISECOND: u32 = 1_000_000;

/// The longest `Retry-After` that is obeyed; a longer one is cut to this.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// How a delay is drawn. It is never below the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Jitter {
    /// The base itself: for tests, and for a destination that has only one client.
    None,
    /// From half the base to the base.
    #[default]
    Equal,
    /// From the floor to the base: the widest spread.
    Full,
}

/// The settings of a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BackoffConfig {
    /// Base delay of the first retry; above zero.
    pub initial: Duration,
    /// Growth of the base from one retry to the next, in thousandths: 1500 = x1.5. At least 1000.
    pub multiplier_permille: u32,
    /// The longest base delay; at least `initial`.
    pub cap: Duration,
    /// The most retries of one batch; 0 = one attempt only.
    pub max_retries: u32,
    /// The latest start of an attempt, counted from the first attempt. `Duration::MAX` = no limit.
    pub max_elapsed: Duration,
    /// The shortest delay, unless the base itself is shorter.
    pub floor: Duration,
    /// The kind of jitter.
    pub jitter: Jitter,
}

impl BackoffConfig {
    /// 100 ms x1.5 up to 2 s, at most 5 retries and 10 s, equal jitter of at least 100 ms.
    pub const DEFAULT: Self = Self {
        initial: Duration::from_millis(100),
        multiplier_permille: 1500,
        cap: Duration::from_secs(2),
        max_retries: 5,
        max_elapsed: Duration::from_secs(10),
        floor: Duration::from_millis(100),
        jitter: Jitter::Equal,
    };

    /// These settings, if a [`Backoff`] can be built from them.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range.
    pub const fn validate(self) -> Result<Self, BackoffConfigError> {
        if self.initial.is_zero() {
            Err(BackoffConfigError::ZeroInitial)
        } else if self.multiplier_permille < 1000 {
            Err(BackoffConfigError::MultiplierBelowOne)
        } else if duration_nanos(self.cap) < duration_nanos(self.initial) {
            Err(BackoffConfigError::CapBelowInitial)
        } else {
            Ok(self)
        }
    }

    /// The nearest settings that are valid: an initial delay of 1 ms when it is zero, a multiplier
    /// of at least 1000, a cap of at least the initial delay.
    #[must_use]
    pub const fn clamp(mut self) -> Self {
        if self.initial.is_zero() {
            self.initial = Duration::from_millis(1);
        }
        if self.multiplier_permille < 1000 {
            self.multiplier_permille = 1000;
        }
        if duration_nanos(self.cap) < duration_nanos(self.initial) {
            self.cap = self.initial;
        }
        self
    }
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The setting of a [`BackoffConfig`] that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BackoffConfigError {
    /// `initial` is zero: retries would spin.
    ZeroInitial,
    /// `multiplier_permille` is below 1000: delays would shrink.
    MultiplierBelowOne,
    /// `cap` is below `initial`.
    CapBelowInitial,
}

impl fmt::Display for BackoffConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroInitial => "the initial backoff delay is zero",
            Self::MultiplierBelowOne => "the backoff multiplier is below 1000 thousandths",
            Self::CapBelowInitial => "the backoff cap is below the initial delay",
        })
    }
}

impl core::error::Error for BackoffConfigError {}

/// No retry is left: all are used up, or the next one would start too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Exhausted {
    /// Attempts made, including the first.
    pub attempts: u32,
    /// Time since the first attempt, without what was excluded.
    pub elapsed: Duration,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "export failed after {} attempts", self.attempts)
    }
}

impl core::error::Error for Exhausted {}

/// The retry schedule of one batch. See the [module](self) for the rules.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    /// The next retry's, to the nanosecond and within the cap.
    base: u64,
    retries: u32,
    started: Option<Instant>,
    /// In nanoseconds.
    excluded: u64,
    /// A clock that goes back counts as no progress.
    // fault C2
    latest: Instant,
}

impl Backoff {
    /// A machine with these settings.
    ///
    /// # Errors
    ///
    /// As [`BackoffConfig::validate`].
    pub const fn new(config: BackoffConfig) -> Result<Self, BackoffConfigError> {
        match config.validate() {
            Ok(config) => Ok(Self::clamped(config)),
            Err(error) => Err(error),
        }
    }

    /// A machine with the nearest settings that are valid; see [`BackoffConfig::clamp`]. For
    /// statics.
    #[must_use]
    pub const fn clamped(config: BackoffConfig) -> Self {
        let config = config.clamp();
        Self {
            config,
            base: duration_nanos(config.initial),
            retries: 0,
            started: None,
            excluded: 0,
            latest: Instant::ZERO,
        }
    }

    /// Forgets the batch and every time seen: the next attempt is a first attempt.
    pub fn reset(&mut self) {
        *self = Self::clamped(self.config);
    }

    /// Begins a new batch, whose first attempt starts at `now`.
    ///
    /// Without this call, the first [`next_attempt`](Self::next_attempt) counts as the start.
    pub fn start(&mut self, now: Instant) {
        let now = self.advance(now);
        self.reset();
        self.latest = now;
        self.started = Some(now);
    }

    /// Leaves `duration` out of `max_elapsed`: the time while the circuit was open, or while a
    /// `Retry-After` was obeyed.
    pub fn exclude(&mut self, duration: Duration) {
        self.exclude_nanos(duration_nanos(duration));
    }

    /// [`exclude`](Self::exclude) in nanoseconds.
    pub(crate) const fn exclude_nanos(&mut self, nanos: u64) {
        self.excluded = self.excluded.saturating_add(nanos);
    }

    /// Returns the instant of the next attempt, after one that failed at `now`, and uses up a retry.
    ///
    /// `draw` is uniform over all of `u64`. The time limit is checked with the delay that was
    /// actually drawn, so no attempt ever starts later than `max_elapsed`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when no retry is left. Nothing has changed then, and asking again gives the
    /// same answer.
    pub fn next_attempt(&mut self, now: Instant, draw: u64) -> Result<Instant, Exhausted> {
        let now = self.advance(now);
        self.started.get_or_insert(now);
        let delay = self.delay_nanos(draw);
        let in_time =
            self.elapsed().saturating_add(delay) <= duration_nanos(self.config.max_elapsed);
        if in_time && self.use_up() {
            Ok(now.saturating_add_nanos(delay))
        } else {
            Err(self.exhausted())
        }
    }

    /// Returns the delay before the next retry and uses that retry up, or `None` when none is left.
    /// Ignores the time limit; see [`next_attempt`](Self::next_attempt).
    pub fn next_delay(&mut self, draw: u64) -> Option<Duration> {
        let delay = self.delay(draw);
        self.use_up().then_some(delay)
    }

    /// Returns the instant before which the *destination* gets no request, after an answer at `now`
    /// that asked for a pause of `retry_after`. Uses up no retry.
    ///
    /// The wait is the longer of the pause (at most [`RETRY_AFTER_CAP`]) and the current delay, plus
    /// up to a tenth, so that a fleet does not return as one. It never ends before the pause.
    pub fn after_pause(&mut self, now: Instant, retry_after: Duration, draw: u64) -> Instant {
        let now = self.advance(now);
        let pause = duration_nanos(retry_after).min(duration_nanos(RETRY_AFTER_CAP));
        let wait = self.delay_nanos(draw).max(pause);
        // The bits that the delay has not used.
        let (tenth, _) = divide(wait, 10);
        let extra = fraction(tenth, draw << 16);
        now.saturating_add_nanos(wait).saturating_add_nanos(extra)
    }

    /// The delay that the next retry would get for this draw.
    #[must_use]
    pub fn delay(&self, draw: u64) -> Duration {
        nanos_duration(self.delay_nanos(draw))
    }

    // All times here are in nanoseconds: to make a duration takes a division.
    pub(crate) fn delay_nanos(&self, draw: u64) -> u64 {
        let base = self.base_nanos();
        let floor = duration_nanos(self.config.floor).min(base);
        let least = match self.config.jitter {
            Jitter::None => base,
            Jitter::Equal => floor.max(base / 2),
            Jitter::Full => floor,
        };
        least + fraction(base - least, draw)
    }

    /// The delay of the next retry before jitter.
    #[must_use]
    pub fn base(&self) -> Duration {
        nanos_duration(self.base_nanos())
    }

    /// Retries used up so far.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &BackoffConfig {
        &self.config
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Rounded up to whole milliseconds, but within the cap.
    fn base_nanos(&self) -> u64 {
        let (_, rest) = divide(self.base, MILLISECOND);
        let up = if rest > 0 { MILLISECOND - rest } else { 0 };
        let whole = self.base.saturating_add(up.into());
        whole.min(duration_nanos(self.config.cap))
    }

    fn use_up(&mut self) -> bool {
        if self.retries >= self.config.max_retries {
            return false;
        }
        self.retries += 1;
        let cap = duration_nanos(self.config.cap);
        self.base = grow(self.base, self.config.multiplier_permille).min(cap);
        true
    }

    /// In nanoseconds, without what was excluded.
    fn elapsed(&self) -> u64 {
        let started = self.started.unwrap_or(self.latest);
        let counted = self.latest.as_nanos().saturating_sub(self.excluded);
        counted.saturating_sub(started.as_nanos())
    }

    fn exhausted(&self) -> Exhausted {
        Exhausted {
            attempts: self.retries.saturating_add(1),
            elapsed: nanos_duration(self.elapsed()),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::clamped(BackoffConfig::DEFAULT)
    }
}

/// `base · permille / 1000`, rounded up, saturating. Whole thousands and the rest are multiplied
/// separately: exact, and without 128-bit arithmetic.
const fn grow(base: u64, permille: u32) -> u64 {
    let permille = permille as u64;
    let (whole, rest) = divide(base, 1000);
    let (part, more) = divide(rest as u64 * permille, 1000);
    let part = part + (more > 0) as u64;
    whole.saturating_mul(permille).saturating_add(part)
}

/// From zero to below `range`, by the topmost 16 bits of `draw`: 65,536 different delays are enough,
/// and a wider product would pull 128-bit arithmetic into a firmware image.
const fn fraction(range: u64, draw: u64) -> u64 {
    (range >> 16) * (draw >> 48)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn millis(delays: impl IntoIterator<Item = Duration>) -> Vec<u128> {
        delays.into_iter().map(|d| d.as_millis()).collect()
    }

    #[test]
    fn without_jitter_each_delay_is_half_as_long_again_as_the_one_before() {
        let config = BackoffConfig {
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::new(config).unwrap();
        let delays: Vec<_> = core::iter::from_fn(|| backoff.next_delay(u64::MAX)).collect();
        assert!(delays.iter().all(|d| d.subsec_nanos() % 1_000_000 == 0));
        assert_eq!(millis(delays), [100, 150, 225, 338, 507]);
        assert_eq!(backoff.retries(), 5);
        backoff.reset();
        assert_eq!(backoff.next_delay(0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn settings_out_of_range_are_refused_or_clamped() {
        let good = BackoffConfig::DEFAULT;
        let cases = [
            (
                BackoffConfig {
                    initial: Duration::ZERO,
                    ..good
                },
                BackoffConfigError::ZeroInitial,
            ),
            (
                BackoffConfig {
                    multiplier_permille: 999,
                    ..good
                },
                BackoffConfigError::MultiplierBelowOne,
            ),
            (
                BackoffConfig {
                    cap: Duration::from_millis(99),
                    ..good
                },
                BackoffConfigError::CapBelowInitial,
            ),
        ];
        for (config, error) in cases {
            assert_eq!(Backoff::new(config).err(), Some(error));
            assert!(Backoff::clamped(config).config().validate().is_ok());
        }
    }

    #[test]
    fn no_retries_means_one_attempt() {
        let config = BackoffConfig {
            max_retries: 0,
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::new(config).unwrap();
        backoff.start(Instant::from_secs(1));
        let exhausted = backoff.next_attempt(Instant::from_secs(3), 0).unwrap_err();
        assert_eq!(exhausted.attempts, 1);
        assert_eq!(exhausted.elapsed, Duration::from_secs(2));
        assert_eq!(exhausted.to_string(), "export failed after 1 attempts");
    }

    #[test]
    fn excluded_time_does_not_count() {
        let mut backoff = Backoff::default();
        backoff.start(Instant::ZERO);
        assert!(backoff.next_attempt(Instant::from_secs(40), 0).is_err());
        backoff.exclude(Duration::from_secs(31));
        let next = backoff.next_attempt(Instant::from_secs(40), 0);
        assert_eq!(next, Ok(Instant::from_millis(40_100)));
        backoff.start(Instant::from_secs(40));
        assert!(backoff.next_attempt(Instant::from_secs(51), 0).is_err());
    }

    #[test]
    fn a_pause_uses_up_no_retry_and_is_never_cut_short() {
        let mut backoff = Backoff::default();
        backoff.start(Instant::ZERO);
        for draw in [0, u64::MAX, 0x0000_ffff_0000_0000] {
            let next = backoff.after_pause(Instant::from_secs(1), Duration::from_secs(3), draw);
            assert!(next >= Instant::from_secs(4) && next <= Instant::from_millis(4_300));
        }
        // A pause shorter than the delay gives the delay; an endless one is cut.
        let short = backoff.after_pause(Instant::from_secs(1), Duration::ZERO, 0);
        assert_eq!(short, Instant::from_millis(1_100));
        let endless = backoff.after_pause(Instant::from_secs(1), Duration::MAX, 0);
        assert_eq!(endless, Instant::from_secs(301));
        assert_eq!(backoff.retries(), 0);
    }

    #[test]
    fn extreme_settings_saturate_at_the_cap() {
        let config = BackoffConfig {
            initial: Duration::from_secs(1),
            multiplier_permille: u32::MAX,
            cap: Duration::MAX,
            max_retries: u32::MAX,
            max_elapsed: Duration::MAX,
            floor: Duration::MAX,
            jitter: Jitter::Full,
        };
        let mut backoff = Backoff::new(config).unwrap();
        let mut before = Duration::ZERO;
        for _ in 0..20 {
            assert!(backoff.base() >= before);
            before = backoff.base();
            assert!(backoff.next_attempt(Instant::MAX, u64::MAX).is_ok());
        }
        assert_eq!(before, Duration::from_nanos(u64::MAX));
    }
}
