//! [`SdkMetrics`]: what the pipeline tells about itself, by the names of the semantic conventions.
//!
//! A snapshot is always there and costs nothing until it is taken. With
//! [`Config::metrics_interval`](super::config::Config::metrics_interval) the transport also sends it to the
//! collector, as OTLP metrics over the same kind of connection as the spans.
//!
//! | metric | kind | attributes |
//! |---|---|---|
//! | `otel.sdk.span.started` | counter | `otel.span.parent.origin`, `otel.span.sampling_result` |
//! | `otel.sdk.span.live` | up-down counter | `otel.span.sampling_result` |
//! | `otel.sdk.processor.span.queue.size`, `.capacity` | up-down counters | the processor's |
//! | `otel.sdk.processor.span.processed` | counter | the processor's, `error.type` |
//! | `otel.sdk.exporter.span.inflight` | up-down counter | the exporter's |
//! | `otel.sdk.exporter.span.exported` | counter | the exporter's, `error.type` |
//! | `otel.sdk.exporter.operation.duration` | histogram, seconds | the exporter's, `error.type`, `http.response.status_code` |
//! | `spandrel.exporter.requests`, `spandrel.exporter.retries`, `spandrel.exporter.circuit_opened` | counters | the exporter's |
//!
//! The processor's attributes are `otel.component.type` (`batching_span_processor`) and
//! `otel.component.name`; the exporter's the same (`otlp_http_span_exporter`), `server.address` and
//! `server.port`.
//!
//! <https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/>

use core::ops::AddAssign;
use core::time::Duration;
use std::string::String;
use std::vec::Vec;

use crate::exporter::{Cause, Event};
use crate::response::{DropReason, TransportError};
use crate::stats::{DeliveryStats, Ledger};

/// The upper bounds of the histogram's buckets, in seconds.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The most kinds of outcomes that are told apart; others count as `_OTHER`.
const MOST_OUTCOMES: usize = 24;

/// Where the parents of started spans came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByOrigin {
    /// Spans without a parent.
    pub none: u64,
    /// Spans whose parent is of this process.
    pub local: u64,
    /// Spans whose parent came from another process.
    pub remote: u64,
}

impl ByOrigin {
    /// The spans of all origins.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.none + self.local + self.remote
    }
}

impl AddAssign for ByOrigin {
    fn add_assign(&mut self, other: Self) {
        self.none += other.none;
        self.local += other.local;
        self.remote += other.remote;
    }
}

/// Numbers of spans by the sampler's decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByDecision<T> {
    /// Not recorded.
    pub drop: T,
    /// Recorded, and not exported.
    pub record_only: T,
    /// Recorded, and exported at their end.
    pub record_and_sample: T,
}

/// How the exports of one outcome have gone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Operations {
    /// `None` for a success; else a short word such as `503`, `timeout` or `expired`.
    pub error_type: Option<String>,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Exports: batches, not requests. A batch counts once, after its last attempt.
    pub count: u64,
    /// The time that they took, from the start of the first attempt to the end of the last one.
    pub total: Duration,
    /// How many took as long, by [`DURATION_BOUNDS`]; the last bucket is for longer ones.
    pub buckets: [u64; DURATION_BOUNDS.len() + 1],
}

/// The state of a pipeline at a moment. Counters begin with the pipeline.
///
/// ```
/// use spandrel_core::hosted::trace::TracerProvider;
/// use spandrel_core::hosted::unversioned::handle::Handle;
///
/// // A transport's `Telemetry` has the same method.
/// let metrics = Handle::disabled().metrics();
/// assert_eq!(metrics.started.record_and_sample.total(), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SdkMetrics {
    /// Spans started.
    pub started: ByDecision<ByOrigin>,
    /// Spans that record and have not ended; `drop` is always 0.
    pub live: ByDecision<u64>,
    /// Ended spans that wait for a batch or another attempt.
    pub queue_size: u64,
    /// The most spans that may wait.
    pub queue_capacity: u64,
    /// Where every span is. Those that were not lost in the queue have been processed.
    pub ledger: Ledger,
    /// Requests and answers.
    pub stats: DeliveryStats,
    /// Attempts that failed and were to be repeated.
    pub retries: u64,
    /// Exports that have ended, by outcome.
    pub operations: Vec<Operations>,
}

impl SdkMetrics {
    /// Spans that left the queue for the exporter, or were lost by it.
    #[must_use]
    pub fn processed(&self) -> u64 {
        let queue_full = self.ledger.dropped(DropReason::QueueFull);
        let settled = self
            .ledger
            .exported
            .saturating_add(self.ledger.lost_total());
        settled
            .saturating_sub(queue_full)
            .saturating_add(self.ledger.in_flight)
    }
}

/// Counts exports by outcome.
#[derive(Debug, Default)]
pub(in crate::hosted) struct OperationCounts {
    operations: Vec<Operations>,
    retries: u64,
}

impl OperationCounts {
    /// Enters the counts into `metrics`.
    pub(in crate::hosted) fn enter(&self, metrics: &mut SdkMetrics) {
        metrics.operations = self.operations.clone();
        metrics.retries = self.retries;
    }

    /// Counts the export that `event` ends, if it does.
    pub(in crate::hosted) fn observe(&mut self, event: &Event) {
        match *event {
            Event::Exported { took_millis, .. } => self.count(None, Some(200), took_millis),
            Event::Dropped {
                reason,
                attempts,
                cause,
                took_millis,
                ..
            } if attempts > 0 => {
                let (word, status) = word_of(reason, cause);
                self.count(Some(&word), status, took_millis);
            }
            Event::AttemptFailed { .. } => self.retries += 1,
            _ => {}
        }
    }

    fn count(&mut self, error_type: Option<&str>, status: Option<u16>, millis: u32) {
        let is_it = |it: &Operations| it.error_type.as_deref() == error_type && it.status == status;
        let place = match self.operations.iter().position(is_it) {
            Some(place) => place,
            None if self.operations.len() < MOST_OUTCOMES => self.add(error_type, status),
            None => {
                let is_other = |it: &Operations| it.error_type.as_deref() == Some(OTHER);
                let other = self.operations.iter().position(is_other);
                other.unwrap_or_else(|| self.add(Some(OTHER), None))
            }
        };
        let Some(found) = self.operations.get_mut(place) else {
            return;
        };
        let took = Duration::from_millis(millis.into());
        found.count += 1;
        found.total = found.total.saturating_add(took);
        let seconds = took.as_secs_f64();
        let bucket = DURATION_BOUNDS
            .iter()
            .take_while(|bound| seconds > **bound)
            .count();
        if let Some(bucket) = found.buckets.get_mut(bucket) {
            *bucket += 1;
        }
    }

    fn add(&mut self, error_type: Option<&str>, status: Option<u16>) -> usize {
        self.operations.push(Operations {
            error_type: error_type.map(String::from),
            status,
            count: 0,
            total: Duration::ZERO,
            buckets: [0; DURATION_BOUNDS.len() + 1],
        });
        self.operations.len() - 1
    }
}

/// What the conventions call an error that is not worth a word of its own.
const OTHER: &str = "_OTHER";

/// The cause of the last attempt, if that decided; else the reason of the loss.
fn word_of(reason: DropReason, cause: Option<Cause>) -> (String, Option<u16>) {
    match cause {
        Some(Cause::Status(status) | Cause::ResponseTooLarge(status)) => {
            (std::format!("{status}"), Some(status))
        }
        Some(Cause::Transport(error)) => (transport_word(error).into(), None),
        None => (reason.as_str().into(), None),
    }
}

fn transport_word(error: TransportError) -> &'static str {
    match error {
        TransportError::Connect => "connect",
        TransportError::Dns => "dns",
        TransportError::Tls => "tls",
        TransportError::Certificate => "certificate",
        TransportError::Timeout { .. } => "timeout",
        TransportError::Reset { .. } => "connection_reset",
        TransportError::Protocol => "protocol",
        TransportError::Refused => "refused",
        TransportError::Cancelled => "cancelled",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(millis: u32) -> Event {
        Event::Exported {
            spans: 1,
            attempts: 1,
            took_millis: millis,
        }
    }

    fn dropped(attempts: u32, cause: Option<Cause>) -> Event {
        Event::Dropped {
            spans: 1,
            reason: DropReason::Expired,
            attempts,
            cause,
            took_millis: 20_000,
        }
    }

    // spec G-023, spec G-026
    #[test]
    fn an_export_counts_once_with_its_time_and_the_cause_of_its_end() {
        let mut counts = OperationCounts::default();
        for millis in [0, 5, 6, 10_000, 10_001] {
            counts.observe(&exported(millis));
        }
        counts.observe(&dropped(3, Some(Cause::Status(503))));
        let timeout = TransportError::Timeout { body_sent: true };
        counts.observe(&dropped(3, Some(Cause::Transport(timeout))));
        counts.observe(&dropped(3, None));
        // Nothing was sent, so nothing was exported.
        counts.observe(&dropped(0, None));
        let mut metrics = SdkMetrics::default();
        counts.enter(&mut metrics);
        let seen: Vec<_> = metrics
            .operations
            .iter()
            .map(|it| (it.error_type.as_deref(), it.status, it.count))
            .collect();
        assert_eq!(
            seen,
            [
                (None, Some(200), 5),
                (Some("503"), Some(503), 1),
                (Some("timeout"), None, 1),
                (Some("expired"), None, 1),
            ]
        );
        let success = &metrics.operations[0];
        assert_eq!(success.total, Duration::from_millis(20_012));
        assert_eq!(success.buckets[..3], [2, 1, 0]);
        assert_eq!(success.buckets[13..], [1, 1]);
    }

    #[test]
    fn outcomes_are_bounded() {
        let mut counts = OperationCounts::default();
        for status in 400..600 {
            counts.observe(&dropped(1, Some(Cause::Status(status))));
        }
        let mut metrics = SdkMetrics::default();
        counts.enter(&mut metrics);
        assert_eq!(metrics.operations.len(), MOST_OUTCOMES + 1);
        let other = metrics.operations.last().unwrap();
        assert_eq!(other.error_type.as_deref(), Some(OTHER));
        let all: u64 = metrics.operations.iter().map(|it| it.count).sum();
        assert_eq!(all, 200);
    }
}
