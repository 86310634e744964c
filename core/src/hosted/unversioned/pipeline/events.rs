//! The events of a pipeline: the exporter's, losses anywhere, and the totals at the end.

use core::time::Duration;

use super::Pipeline;
use super::loss::LossCause;
use crate::breaker::State;
use crate::exporter::Event;
use crate::hosted::shards::Lost;
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;

/// A request without an answer for so long is the cause of a loss.
const SLOW: Duration = Duration::from_secs(1);

/// The size of a span of which nothing is known.
const USUAL_SPAN_BYTES: usize = 256;

/// Something to report about a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipelineEvent {
    /// An event of the exporter, or the begin or the end of a loss anywhere.
    Exporter(Event),
    /// Spans were dropped because each alone is over a limit.
    Oversized {
        /// The number of such spans so far.
        spans: u64,
        /// The limit of a shard in bytes.
        shard_bytes: usize,
        /// The limit of a request in bytes.
        max_request_bytes: usize,
    },
    /// The shutdown is over, and this is where all spans are.
    Ended(Ledger),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LossEvent {
    Room(Event),
    Oversized,
}

impl Pipeline {
    /// The oldest event that has not been fetched.
    pub fn poll_event(&mut self) -> Option<PipelineEvent> {
        while let Some(event) = self.exporter.poll_event() {
            self.operations.observe(&event);
            // The watch reports losses of the exporter and of the shards as one.
            if !matches!(event, Event::LossStarted | Event::LossEnded { .. }) {
                return Some(PipelineEvent::Exporter(event));
            }
        }
        match self.loss_events.pop_front() {
            Some(LossEvent::Room(event)) => return Some(PipelineEvent::Exporter(event)),
            Some(LossEvent::Oversized) => {
                return Some(PipelineEvent::Oversized {
                    spans: self.oversized.dropped(),
                    shard_bytes: self.shard_bytes,
                    max_request_bytes: self.exporter.config().max_request_bytes,
                });
            }
            None => {}
        }
        let closing = self.closing.as_mut()?;
        if closing.report.is_none() || core::mem::replace(&mut closing.totals_are_taken, true) {
            return None;
        }
        Some(PipelineEvent::Ended(self.ledger()))
    }

    /// The likely cause of the latest loss for lack of room; of one that would begin now if there
    /// was none.
    #[must_use]
    pub fn loss_cause(&self) -> LossCause {
        self.loss_cause
            .unwrap_or_else(|| self.present_loss_cause(self.clock.now()))
    }

    fn present_loss_cause(&self, now: Instant) -> LossCause {
        if !self.is_outage(now) {
            return LossCause::Burst {
                shard_bytes: self.shard_bytes,
            };
        }
        LossCause::Outage {
            max_queue_size: self.max_queue_size,
            buffer_bytes: self.exporter.buffer().capacity_bytes(),
        }
    }

    /// Returns true if the collector takes nothing at present.
    fn is_outage(&self, now: Instant) -> bool {
        let is_hanging = self
            .exporter
            .oldest_flight()
            .is_some_and(|asked| now.saturating_since(asked) >= SLOW);
        is_hanging || self.exporter.circuit() != State::Closed
    }

    /// Spans lost for lack of room since that began, 0 while none are lost.
    #[must_use]
    pub fn losing(&self) -> u64 {
        self.losses.dropped()
    }

    /// Returns true once the shutdown was asked for: what cannot be sent is not held any longer.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The approximate number of spans for which there is room besides those that wait: as large
    /// ones as these.
    #[must_use]
    pub fn room(&self) -> usize {
        let buffer = self.exporter.buffer();
        let mean = match buffer.queued() {
            0 => USUAL_SPAN_BYTES,
            queued => buffer.queued_bytes() / queued,
        };
        let mean = mean.max(1);
        let spans = (buffer.capacity_bytes() / mean).min(self.max_queue_size as usize);
        let in_buffer = spans.saturating_sub(buffer.len());
        in_buffer.saturating_add(self.hub.free_bytes() / mean)
    }

    /// Looks for spans that were lost since the last step.
    pub(super) fn watch(&mut self, now: Instant, lost: Lost) {
        let full = lost.full + self.exporter.lost_for(DropReason::QueueFull);
        let event = self.losses.look(now, full, self.left_in_shards);
        let is_outage = self.losses.dropped() > 0 && self.is_outage(now);
        if is_outage || event == Some(Event::LossStarted) {
            self.loss_cause = Some(self.present_loss_cause(now));
        }
        if let Some(event) = event {
            self.keep(LossEvent::Room(event));
        }
        let too_large = lost.too_large + self.unsendable;
        if let Some(Event::LossStarted) = self.oversized.look(now, too_large, false) {
            self.keep(LossEvent::Oversized);
        }
    }

    #[cold]
    fn keep(&mut self, event: LossEvent) {
        if self.loss_events.is_full() {
            self.loss_events.pop_front();
        }
        // Cannot fail: there is room now.
        let _ = self.loss_events.push_back(event);
    }
}
