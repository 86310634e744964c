//! The settings of the circuit breaker.

use core::fmt;
use core::time::Duration;

use crate::time::duration_nanos;

/// How long the circuit stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OpenInterval {
    /// The same time after each opening, exactly, without jitter.
    Fixed(Duration),
    /// `initial` after the first opening, twice as long after each failed probe, at most `cap`;
    /// back to `initial` after a successful probe. Jitter is added.
    Growing {
        /// The first interval; above zero.
        initial: Duration,
        /// The longest interval before jitter; at least `initial`.
        cap: Duration,
    },
    /// In proportion to the outage: `initial` after the first opening, then after each failed probe
    /// a sixteenth of the time since that opening, but at least twice `initial` and at most `cap`;
    /// back to `initial` after a successful probe. Jitter is added.
    ///
    /// So the silence after an outage is short beside the outage. It suits servers: on a battery each
    /// probe costs more than the wait.
    Prompt {
        /// The first interval; above zero.
        initial: Duration,
        /// The longest interval before jitter; at least `initial`.
        cap: Duration,
        /// The longest interval before jitter while the buffer is more than half full, when the next
        /// spans to be lost are near; above zero.
        filling_cap: Duration,
    },
}

impl OpenInterval {
    /// The interval after the first opening, in nanoseconds.
    pub(super) const fn first(self) -> u64 {
        match self {
            Self::Fixed(interval) => duration_nanos(interval),
            Self::Growing { initial, .. } | Self::Prompt { initial, .. } => duration_nanos(initial),
        }
    }
}

/// The settings of a [`CircuitBreaker`](super::CircuitBreaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BreakerConfig {
    /// The number of consecutive failures that opens the circuit; above zero.
    pub failure_threshold: u32,
    /// How long it stays open.
    pub open: OpenInterval,
    /// How long a probe may take before it counts as lost: a little more than the request's time
    /// limit. Above zero. With too short a lease the answers of slow probes are discarded.
    pub probe_lease: Duration,
    /// The most that jitter adds to a growing interval, in percent of it: 0 to 100.
    pub jitter_percent: u8,
}

impl BreakerConfig {
    /// Opens at the 5th failure for exactly 30 s; a lease of 11 s (the time limit of 10 s and 1 s).
    pub const DEFAULT: Self = Self {
        failure_threshold: 5,
        open: OpenInterval::Fixed(Duration::from_secs(30)),
        probe_lease: Duration::from_secs(11),
        jitter_percent: 20,
    };

    /// Like [`DEFAULT`](Self::DEFAULT), but open for 1 s at first, doubled up to 30 s, with up to
    /// 20 % of jitter. An outage of a second costs a second of silence and not thirty.
    #[must_use]
    pub const fn adaptive() -> Self {
        Self {
            open: OpenInterval::Growing {
                initial: Duration::from_secs(1),
                cap: Duration::from_secs(30),
            },
            ..Self::DEFAULT
        }
    }

    /// Like [`DEFAULT`](Self::DEFAULT), but open for 0.8 s at first, then for 1.6 s or a sixteenth of
    /// the outage, whichever is longer, up to 30 s, or 8 s while the buffer is more than half full;
    /// with up to 20 % of jitter. The preset for servers.
    #[must_use]
    pub const fn prompt() -> Self {
        Self {
            open: OpenInterval::Prompt {
                initial: Duration::from_millis(800),
                cap: Duration::from_secs(30),
                filling_cap: Duration::from_secs(8),
            },
            ..Self::DEFAULT
        }
    }

    /// These settings, if a [`CircuitBreaker`](super::CircuitBreaker) can be built from them.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range.
    pub const fn validate(self) -> Result<Self, BreakerConfigError> {
        let (initial, cap) = match self.open {
            OpenInterval::Fixed(interval) => (interval, interval),
            OpenInterval::Growing { initial, cap } => (initial, cap),
            OpenInterval::Prompt {
                initial,
                cap,
                filling_cap,
            } => {
                if filling_cap.is_zero() {
                    return Err(BreakerConfigError::ZeroInterval);
                }
                (initial, cap)
            }
        };
        if self.failure_threshold == 0 {
            Err(BreakerConfigError::ZeroThreshold)
        } else if initial.is_zero() {
            Err(BreakerConfigError::ZeroInterval)
        } else if duration_nanos(cap) < duration_nanos(initial) {
            Err(BreakerConfigError::CapBelowInitial)
        } else if self.probe_lease.is_zero() {
            Err(BreakerConfigError::ZeroLease)
        } else if self.jitter_percent > 100 {
            Err(BreakerConfigError::JitterAbove100)
        } else {
            Ok(self)
        }
    }

    /// The nearest settings that are valid: a threshold of at least 1, an interval and a lease of
    /// 1 ms where they are zero, a cap of at least the first interval, jitter of at most 100 %.
    #[must_use]
    pub const fn clamp(mut self) -> Self {
        if self.failure_threshold == 0 {
            self.failure_threshold = 1;
        }
        self.open = match self.open {
            OpenInterval::Fixed(interval) => OpenInterval::Fixed(above_zero(interval)),
            OpenInterval::Growing { initial, cap } => {
                let initial = above_zero(initial);
                let cap = at_least(cap, initial);
                OpenInterval::Growing { initial, cap }
            }
            OpenInterval::Prompt {
                initial,
                cap,
                filling_cap,
            } => {
                let initial = above_zero(initial);
                OpenInterval::Prompt {
                    initial,
                    cap: at_least(cap, initial),
                    filling_cap: above_zero(filling_cap),
                }
            }
        };
        self.probe_lease = above_zero(self.probe_lease);
        if self.jitter_percent > 100 {
            self.jitter_percent = 100;
        }
        self
    }
}

const fn at_least(duration: Duration, least: Duration) -> Duration {
    if duration_nanos(duration) < duration_nanos(least) {
        least
    } else {
        duration
    }
}

const fn above_zero(duration: Duration) -> Duration {
    if duration.is_zero() {
        Duration::from_millis(1)
    } else {
        duration
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The setting of a [`BreakerConfig`] that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BreakerConfigError {
    /// `failure_threshold` is zero: the circuit would open without a failure.
    ZeroThreshold,
    /// The open interval is zero: the circuit would never refuse.
    ZeroInterval,
    /// The longest interval is below the first one.
    CapBelowInitial,
    /// `probe_lease` is zero: every probe would be lost.
    ZeroLease,
    /// `jitter_percent` is above 100.
    JitterAbove100,
}

impl fmt::Display for BreakerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroThreshold => "the failure threshold of the circuit breaker is zero",
            Self::ZeroInterval => "the open interval of the circuit breaker is zero",
            Self::CapBelowInitial => "the longest open interval is below the first one",
            Self::ZeroLease => "the probe lease of the circuit breaker is zero",
            Self::JitterAbove100 => "the jitter of the circuit breaker is above 100 percent",
        })
    }
}

impl core::error::Error for BreakerConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_or_clamped() {
        let good = BreakerConfig::DEFAULT;
        assert_eq!(good.clamp(), good);
        assert_eq!(BreakerConfig::adaptive().clamp(), BreakerConfig::adaptive());
        assert_eq!(BreakerConfig::prompt().clamp(), BreakerConfig::prompt());
        for (config, error) in [
            (
                BreakerConfig {
                    failure_threshold: 0,
                    ..good
                },
                BreakerConfigError::ZeroThreshold,
            ),
            (
                BreakerConfig {
                    open: OpenInterval::Fixed(Duration::ZERO),
                    ..good
                },
                BreakerConfigError::ZeroInterval,
            ),
            (
                BreakerConfig {
                    open: OpenInterval::Growing {
                        initial: Duration::from_secs(2),
                        cap: Duration::from_secs(1),
                    },
                    ..good
                },
                BreakerConfigError::CapBelowInitial,
            ),
            (
                BreakerConfig {
                    open: OpenInterval::Prompt {
                        initial: Duration::from_secs(1),
                        cap: Duration::from_secs(1),
                        filling_cap: Duration::ZERO,
                    },
                    ..good
                },
                BreakerConfigError::ZeroInterval,
            ),
            (
                BreakerConfig {
                    probe_lease: Duration::ZERO,
                    ..good
                },
                BreakerConfigError::ZeroLease,
            ),
            (
                BreakerConfig {
                    jitter_percent: 101,
                    ..good
                },
                BreakerConfigError::JitterAbove100,
            ),
        ] {
            assert_eq!(config.validate().err(), Some(error));
            assert!(config.clamp().validate().is_ok());
        }
    }
}
