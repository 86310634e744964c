//! When a batch is due: the [`BatchTrigger`].
//!
//! A batch is due when enough spans or bytes are queued, or when the oldest queued span has waited
//! for the scheduled delay. These are the rules of the
//! [batching processor](https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor).
//!
//! ```
//! use core::time::Duration;
//! use spandrel_core::batch::{BatchConfig, BatchTrigger};
//! use spandrel_core::time::Instant;
//!
//! let mut trigger = BatchTrigger::new(BatchConfig::DEFAULT);
//! trigger.observe(Instant::from_secs(1), 1);
//! assert_eq!(trigger.due_at(1, 200), Some(Instant::from_secs(6)));
//! // 512 spans do not wait.
//! assert_eq!(trigger.due_at(512, 100_000), Some(Instant::ZERO));
//! assert_eq!(trigger.due_at(0, 0), None);
//! ```

use core::time::Duration;

use crate::time::Instant;

/// How spans are gathered into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BatchConfig {
    /// The most spans of one request, and the number of queued spans that makes a batch due; at
    /// least 1.
    pub max_export_batch_size: u32,
    /// The bytes of queued records that make a batch due, however few its spans. `usize::MAX` =
    /// never.
    pub max_batch_bytes: usize,
    /// How long a span may wait for others. Zero = not at all.
    pub scheduled_delay: Duration,
}

impl BatchConfig {
    /// 512 spans, 5 seconds, any number of bytes.
    pub const DEFAULT: Self = Self {
        max_export_batch_size: 512,
        max_batch_bytes: usize::MAX,
        scheduled_delay: Duration::from_secs(5),
    };
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Keeps since when spans have been waiting.
#[derive(Clone, Debug)]
pub struct BatchTrigger {
    config: BatchConfig,
    since: Option<Instant>,
}

impl BatchTrigger {
    /// A trigger for an empty queue.
    #[must_use]
    pub const fn new(config: BatchConfig) -> Self {
        Self {
            config,
            since: None,
        }
    }

    /// Reports that `queued` spans are waiting at `now`. The wait counts from the first such call
    /// after the queue was empty or a batch was taken, so call it whenever spans may have come in.
    pub fn observe(&mut self, now: Instant, queued: usize) {
        if queued == 0 {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
    }

    /// Reports that one of `queued` spans has been waiting since `since`, before it was observed.
    pub fn backdate(&mut self, since: Instant, queued: usize) {
        if queued > 0 {
            self.since = Some(self.since.map_or(since, |known| known.min(since)));
        }
    }

    /// Reports that a batch was taken at `now`, leaving `queued` spans.
    pub fn taken(&mut self, now: Instant, queued: usize) {
        self.since = (queued > 0).then_some(now);
    }

    /// When a batch of this queue is due: [`Instant::ZERO`] = now, `None` = not before more spans
    /// come in. Spans that have not been [observed](BatchTrigger::observe) are due now, so that the
    /// caller comes and observes them.
    #[must_use]
    pub fn due_at(&self, queued: usize, queued_bytes: usize) -> Option<Instant> {
        if queued == 0 {
            return None;
        }
        let full = queued >= self.config.max_export_batch_size as usize
            || queued_bytes >= self.config.max_batch_bytes;
        match self.since {
            Some(since) if !full => Some(since.saturating_add(self.config.scheduled_delay)),
            _ => Some(Instant::ZERO),
        }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &BatchConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger() -> BatchTrigger {
        BatchTrigger::new(BatchConfig {
            max_batch_bytes: 1000,
            ..BatchConfig::DEFAULT
        })
    }

    // invariant I13
    #[test]
    fn the_first_span_starts_the_wait_and_later_ones_do_not_prolong_it() {
        let mut trigger = trigger();
        trigger.observe(Instant::from_secs(10), 1);
        trigger.observe(Instant::from_secs(12), 5);
        assert_eq!(trigger.due_at(5, 10), Some(Instant::from_secs(15)));
    }

    #[test]
    fn spans_left_behind_by_a_full_batch_wait_again() {
        let mut trigger = trigger();
        trigger.observe(Instant::from_secs(10), 600);
        assert_eq!(trigger.due_at(600, 10), Some(Instant::ZERO));
        trigger.taken(Instant::from_secs(11), 88);
        assert_eq!(trigger.due_at(88, 10), Some(Instant::from_secs(16)));
        trigger.taken(Instant::from_secs(16), 0);
        assert_eq!(trigger.due_at(0, 0), None);
    }

    #[test]
    fn bytes_make_a_batch_due_too() {
        let mut trigger = trigger();
        trigger.observe(Instant::from_secs(10), 2);
        assert_eq!(trigger.due_at(2, 999), Some(Instant::from_secs(15)));
        assert_eq!(trigger.due_at(2, 1000), Some(Instant::ZERO));
    }

    #[test]
    fn spans_that_have_not_been_observed_are_due() {
        assert_eq!(trigger().due_at(1, 1), Some(Instant::ZERO));
    }
}
