//! Which finished traces are sent.

use core::time::Duration;
use std::format;

use super::notes::Notes;

/// Keeps what matters of the finished traces: a decision about a trace when its local root has ended,
/// from all that is known then.
///
/// The spans of a trace are held in this process until their local root ends: the span without a
/// parent, or with a parent in another process. Then all of them are sent if one has the status
/// error, if the local root took longer than `slower_than`, or if the trace is among the `share`;
/// otherwise all are dropped and counted as
/// [`TailDropped`](crate::response::DropReason::TailDropped). Spans that end later follow. A later
/// local root of a trace that was dropped has a decision of its own, about the spans that ended since.
///
/// Only sampled spans can be held, so let the sampler sample every trace, which is the default. What is
/// held counts as buffered in the ledger.
///
/// Beyond `max_trace_spans`, `max_bytes` or `max_wait` a trace is decided early, from what is known of
/// it, kept or dropped whole like any other.
/// [`DeliveryStats::decided_early`](crate::stats::DeliveryStats::decided_early) counts that.
///
/// ```
/// use core::time::Duration;
/// use spandrel_core::hosted::config::{Config, Keep};
///
/// let config = Config {
///     keep: Some(Keep {
///         errors: true,
///         slower_than: Some(Duration::from_millis(500)),
///         share: 0.05,
///         ..Keep::default()
///     }),
///     ..Config::default()
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keep {
    /// Keeps traces with a span whose status is error; on by default.
    pub errors: bool,
    /// Keeps traces whose local root took longer; off by default.
    pub slower_than: Option<Duration>,
    /// The share of the other traces to keep, from 0 to 1 and 0 by default. It is chosen by the
    /// trace id, by the same rule in every service.
    pub share: f64,
    /// The most spans that are held of one trace; 1000 by default.
    pub max_trace_spans: usize,
    /// The most bytes that are held of all traces; 16 MiB by default. At least two spans of
    /// `max_span_bytes`, to which a smaller value is raised.
    pub max_bytes: usize,
    /// How long a trace is held at most, in case that its local root never ends or is lost; one
    /// minute by default.
    pub max_wait: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            errors: true,
            slower_than: None,
            share: 0.0,
            max_trace_spans: 1000,
            max_bytes: 16 << 20,
            max_wait: Duration::from_secs(60),
        }
    }
}

impl Keep {
    /// The same with every value in its range.
    pub(super) fn check(mut self, span_bytes: usize, notes: &mut Notes) -> Self {
        if !(0.0..=1.0).contains(&self.share) {
            let share = self.share;
            // Not `clamp`, which lets NaN through.
            self.share = if share > 1.0 { 1.0 } else { 0.0 };
            notes.push(format!(
                "keep.share: {share} is not a number from 0 to 1; using {}",
                self.share
            ));
        }
        self.max_trace_spans = self.max_trace_spans.max(1);
        self.max_bytes = self
            .max_bytes
            .max(span_bytes.saturating_mul(2).saturating_add(1024));
        self
    }
}
