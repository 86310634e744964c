//! The settings of an exporter.

use core::fmt;
use core::time::Duration;

use crate::backoff::{BackoffConfig, BackoffConfigError};
use crate::batch::BatchConfig;
use crate::breaker::{BreakerConfig, BreakerConfigError};

/// The fate of a batch whose retries are used up while the circuit is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WhenOpen {
    /// It is held until the circuit closes: the destination is at fault, not the batch.
    #[default]
    Hold,
    /// It is dropped, like any other batch without retries left.
    Drop,
}

/// The effect of a 413 (content too large) on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OnTooLarge {
    /// It is dropped, which is the letter of the specification: it lists the only
    /// [statuses to retry](https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes).
    #[default]
    Drop,
    /// It is sent again in halves, down to single spans, and for ten minutes requests stay below
    /// half of the size that was refused.
    Split,
}

/// All settings of an [`Exporter`](super::Exporter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ExporterConfig {
    /// How spans are gathered.
    pub batch: BatchConfig,
    /// How attempts are repeated.
    pub backoff: BackoffConfig,
    /// When attempts stop because the destination fails.
    pub breaker: BreakerConfig,
    /// The time limit of one request. Zero = none, as in the
    /// [specification](https://opentelemetry.io/docs/specs/otel/configuration/common/#timeout).
    pub request_timeout: Duration,
    /// The time limit of an export: of the attempts of one batch with the waits between them, while the
    /// circuit is closed. Zero = none. See [Rules](super#rules) for the end of it.
    pub export_timeout: Duration,
    /// How long after its time limit a request without an answer from the driver counts as timed
    /// out.
    pub timeout_slack: Duration,
    /// The most bytes of a request before compression, at most
    /// [`REQUEST_CEILING`](Self::REQUEST_CEILING).
    pub max_request_bytes: usize,
    /// The age, from its first attempt, at which a batch is dropped as `expired`. Zero = no limit.
    pub max_batch_age: Duration,
    /// The fate of a batch without retries left while the circuit is open.
    pub when_open: WhenOpen,
    /// The effect of a 413 on a batch.
    pub on_too_large: OnTooLarge,
    /// Sends nothing before the wall clock is [known](super::Exporter::set_wall_clock). Otherwise
    /// spans of a device without a date are sent as of 1970, and a collector keeps them so.
    ///
    /// Spans wait in the buffer meanwhile, whose rule of overflow holds, and a flush or a shutdown
    /// waits until its time limit. Set it wherever the date comes in the end.
    pub hold_until_dated: bool,
    /// The seed of the jitter. Give every process and device its own, or a whole fleet sends at the
    /// same moments.
    pub seed: u64,
}

impl ExporterConfig {
    /// A batch of 512 spans or after 5 s, retries from 100 ms on, a circuit that opens for 30 s at
    /// the 5th failure, 10 s and 4 MiB for a request, no limit for an export, five minutes for a
    /// batch.
    pub const DEFAULT: Self = Self {
        batch: BatchConfig::DEFAULT,
        backoff: BackoffConfig::DEFAULT,
        breaker: BreakerConfig::DEFAULT,
        request_timeout: Duration::from_secs(10),
        export_timeout: Duration::ZERO,
        timeout_slack: Duration::from_secs(1),
        max_request_bytes: 4 << 20,
        max_batch_age: Duration::from_secs(300),
        when_open: WhenOpen::Hold,
        on_too_large: OnTooLarge::Drop,
        hold_until_dated: false,
        seed: 0x5bd1_e995_9d2c_5681,
    };

    /// The same settings with another seed.
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// These settings, if an exporter can run with them.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range.
    pub const fn validate(self) -> Result<Self, ConfigError> {
        if self.batch.max_export_batch_size == 0 {
            return Err(ConfigError::ZeroBatchSize);
        }
        if self.max_request_bytes > Self::REQUEST_CEILING {
            return Err(ConfigError::RequestOverCeiling);
        }
        if let Err(error) = self.backoff.validate() {
            return Err(ConfigError::Backoff(error));
        }
        if let Err(error) = self.breaker.validate() {
            return Err(ConfigError::Breaker(error));
        }
        Ok(self)
    }

    /// The nearest settings that are valid: batches of at least one span, requests of at most
    /// [`REQUEST_CEILING`](Self::REQUEST_CEILING), and retries and breaker as
    /// [`BackoffConfig::clamp`] and [`BreakerConfig::clamp`] make them.
    #[must_use]
    pub const fn clamp(mut self) -> Self {
        if self.batch.max_export_batch_size == 0 {
            self.batch.max_export_batch_size = 1;
        }
        if self.max_request_bytes > Self::REQUEST_CEILING {
            self.max_request_bytes = Self::REQUEST_CEILING;
        }
        self.backoff = self.backoff.clamp();
        self.breaker = self.breaker.clamp();
        self
    }

    /// The largest request before compression that the
    /// [specification](https://opentelemetry.io/docs/specs/otlp/#otlphttp-request) lets a receiver
    /// expect: 64 MiB.
    pub const REQUEST_CEILING: usize = 64 << 20;

    /// A probe must not count as lost while its request may still be answered.
    pub(super) const fn with_long_enough_lease(mut self) -> Self {
        let longest = match self.request_timeout {
            Duration::ZERO => Duration::MAX,
            limit => limit.saturating_add(self.timeout_slack),
        };
        if self.breaker.probe_lease.as_nanos() < longest.as_nanos() {
            self.breaker.probe_lease = longest;
        }
        self
    }
}

impl Default for ExporterConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The setting that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `batch.max_export_batch_size` is zero.
    ZeroBatchSize,
    /// `max_request_bytes` is above 64 MiB.
    RequestOverCeiling,
    /// One of the retry settings.
    Backoff(BackoffConfigError),
    /// One of the breaker settings.
    Breaker(BreakerConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroBatchSize => f.write_str("max_export_batch_size must be at least 1"),
            Self::RequestOverCeiling => {
                f.write_str("max_request_bytes must be at most 64 MiB (67,108,864)")
            }
            Self::Backoff(error) => error.fmt(f),
            Self::Breaker(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}
