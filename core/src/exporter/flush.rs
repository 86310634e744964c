//! Flush and shutdown: each with a deadline and a report.

use core::fmt;

use super::Exporter;
use super::batches::Batch;
use super::schedule::Pace;
use crate::breaker::{State, Verdict};
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;

/// A flush under way, of all spans that ended before [`Exporter::force_flush`]. Any number of them
/// may exist at once.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Flush {
    /// The number of the first span that it does not cover.
    target: u64,
    deadline: Instant,
    before: Counts,
}

/// Counts at the start of a flush.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Counts {
    exported: u64,
    dropped: u64,
    /// The dropped ones that an earlier flush knew.
    known: u64,
}

impl Counts {
    fn of(ledger: &Ledger, known: u64) -> Self {
        Self {
            exported: ledger.exported,
            dropped: ledger.dropped_total(),
            known,
        }
    }
}

/// The end of a flush or of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlushOutcome {
    /// Nothing that it covers is left. Spans may have been dropped: see the counts.
    Complete,
    /// Waiting would not help: the circuit stays open past the deadline.
    CircuitOpen {
        /// When the next probe is due.
        retry_at: Instant,
    },
    /// Waiting would not help: the destination asked for a pause that ends past the deadline.
    Throttled {
        /// When the pause ends.
        retry_at: Instant,
    },
    /// The deadline passed.
    TimedOut,
}

/// The result of a flush or a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlushReport {
    /// Its end.
    pub outcome: FlushOutcome,
    /// Spans exported since it began.
    pub exported: u64,
    /// Spans dropped since it began, for any reason but the [choice](DropReason::is_intended) of the
    /// program's own processors.
    pub dropped: u64,
    /// Spans that it covers and that are still held: always 0 after a shutdown.
    pub left: u64,
    /// Spans dropped before it began that no flush has reported yet; in the report of a shutdown, all
    /// spans dropped before it began.
    ///
    /// A telemetry handle counts from the last report that was handed out; a bare
    /// [`Exporter`] from the start of the flush before this one.
    pub dropped_before: u64,
    /// Spans dropped since the pipeline was started, as [`dropped`](Self::dropped) counts them, whether
    /// reported before or not.
    pub lost: u64,
    /// The most frequent reason among the dropped spans of this report.
    pub reason: Option<DropReason>,
}

impl FlushReport {
    /// The report of a pipeline that holds nothing.
    pub const NOTHING: Self = Self {
        outcome: FlushOutcome::Complete,
        exported: 0,
        dropped: 0,
        left: 0,
        dropped_before: 0,
        lost: 0,
        reason: None,
    };

    /// The report when the time was over before anything happened.
    pub const LATE: Self = Self {
        outcome: FlushOutcome::TimedOut,
        ..Self::NOTHING
    };

    /// Returns true if all spans have arrived: complete, and nothing dropped, neither since it began
    /// nor [before](Self::dropped_before).
    ///
    /// So a loss makes exactly one flush fail, even if the flush itself delivered everything that was
    /// still there, and the flushes after that succeed again. It also makes the shutdown fail, whose
    /// report is about everything.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, FlushOutcome::Complete)
            && self.dropped == 0
            && self.dropped_before == 0
    }
}

/// `12 exported, 0 dropped, 0 left`, and the reason in brackets if not all spans arrived in time.
///
/// With an earlier loss:
/// `10 exported, 0 dropped in this flush, 512 dropped before: queue_full, 0 left`.
impl fmt::Display for FlushReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exported, {} dropped", self.exported, self.dropped)?;
        if self.dropped_before > 0 {
            write!(f, " in this flush, {} dropped before", self.dropped_before)?;
            if let Some(reason) = self.reason {
                write!(f, ": {reason}")?;
            }
        }
        write!(f, ", {} left", self.left)?;
        f.write_str(match self.outcome {
            FlushOutcome::Complete => "",
            FlushOutcome::CircuitOpen { .. } => " (circuit breaker open)",
            FlushOutcome::Throttled { .. } => " (the collector asked for a pause)",
            FlushOutcome::TimedOut => " (timed out)",
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Shutdown {
    deadline: Instant,
    /// The one attempt that ignores the breaker and all pauses has been made.
    forced: bool,
    before: Counts,
    timed_out: bool,
}

/// The driver's wishes: flushes, and the shutdown.
#[derive(Debug)]
pub(super) struct Closing {
    /// Spans below this number are sent without waiting for a full batch.
    flush_target: u64,
    /// Spans dropped before the latest flush began: its report tells of them.
    known: u64,
    shutdown: Option<Shutdown>,
    stopped: bool,
    more_to_come: bool,
}

impl Closing {
    pub(super) const fn none() -> Self {
        Self {
            flush_target: 0,
            known: 0,
            shutdown: None,
            stopped: false,
            more_to_come: false,
        }
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) const fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    pub(super) const fn intake_has_ended(&self) -> bool {
        self.shutdown.is_some() && !self.more_to_come
    }

    /// Returns true if the queued spans, of which the first has this number, must not wait.
    pub(super) const fn wants(&self, first_queued: u64) -> bool {
        first_queued < self.flush_target || self.shutdown.is_some()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.shutdown
            .as_ref()
            .map_or(Instant::MAX, |shutdown| shutdown.deadline)
    }

    /// When a request that starts now must be over, which is `deadline` but for a shutdown: then it
    /// gets half of the time that is left, so that one that hangs leaves time for another.
    pub(super) fn request_deadline(&self, now: Instant, deadline: Instant) -> Instant {
        match &self.shutdown {
            Some(shutdown) if shutdown.deadline < Instant::MAX => {
                let half = shutdown.deadline.nanos_since(now) / 2;
                deadline.min(now.saturating_add_nanos(half))
            }
            _ => deadline,
        }
    }

    pub(super) const fn pace(&self) -> Pace {
        match &self.shutdown {
            None => Pace::All,
            Some(shutdown) if shutdown.forced => Pace::BreakerOnly,
            Some(_) => Pace::LastAttempt,
        }
    }

    /// Returns true once in a shutdown: an open circuit is overridden for one attempt.
    pub(super) const fn take_last_attempt(&mut self) -> bool {
        match &mut self.shutdown {
            Some(shutdown) if !shutdown.forced => {
                shutdown.forced = true;
                true
            }
            _ => false,
        }
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Asks for all spans ended so far to be sent without waiting for a full batch. Retries and the
    /// breaker stay in force. Watch it with [`Exporter::poll_flush`].
    pub fn force_flush(&mut self, now: Instant, deadline: Instant) -> Flush {
        self.tick(now);
        let target = self.intake.next_number();
        self.closing.flush_target = target;
        let before = Counts::of(self.books.ledger(), self.closing.known);
        self.closing.known = before.dropped;
        Flush {
            target,
            deadline,
            before,
        }
    }

    /// Returns the report of a flush, or `None` while it is under way. Call it after every
    /// [`Exporter::poll_transmit`] and at the flush's deadline.
    #[must_use]
    pub fn poll_flush(&self, flush: &Flush, now: Instant) -> Option<FlushReport> {
        let now = self.schedule.latest().max(now);
        let left = self.held_below(flush.target);
        let in_flight = self.is_any_in_flight();
        let circuit_admits_at = self.schedule.circuit_admits_at(now);
        let pause_ends = self.schedule.pause_ends();
        let outcome = if left == 0 {
            FlushOutcome::Complete
        } else if now >= flush.deadline {
            FlushOutcome::TimedOut
        } else if !in_flight && circuit_admits_at > flush.deadline {
            FlushOutcome::CircuitOpen {
                retry_at: circuit_admits_at,
            }
        } else if !in_flight && pause_ends > flush.deadline {
            FlushOutcome::Throttled {
                retry_at: pause_ends,
            }
        } else {
            return None;
        };
        Some(self.report(outcome, flush.before, left))
    }

    /// Ends the intake and asks for all spans held to be sent by `deadline`.
    ///
    /// Waits are cut short, and each request gets at most half of the time that is left, so that one
    /// that hangs does not take it all. If the circuit is open, one last attempt is made all the same, because
    /// there is no later. What cannot be delivered is dropped as `shutdown`. A second call can only
    /// bring the deadline nearer.
    pub fn shutdown(&mut self, now: Instant, deadline: Instant) {
        self.tick(now);
        match &mut self.closing.shutdown {
            Some(shutdown) => shutdown.deadline = shutdown.deadline.min(deadline),
            None => {
                self.closing.shutdown = Some(Shutdown {
                    deadline,
                    forced: false,
                    before: Counts::of(self.books.ledger(), 0),
                    timed_out: false,
                });
                self.closing.flush_target = self.intake.next_number();
                self.batches.hurry();
                self.lanes.batches_mut().for_each(Batch::hurry);
            }
        }
        self.tick(now);
    }

    /// Announces whether more spans are to come that ended before the shutdown, for a driver that
    /// holds some elsewhere, for lack of room here. While `more` is true, a shutdown goes on taking
    /// spans in, and is complete only once it is false again.
    pub const fn expect_more(&mut self, more: bool) {
        self.closing.more_to_come = more;
    }

    /// Returns the report of the shutdown, or `None` before it is over.
    #[must_use]
    pub fn poll_shutdown(&self) -> Option<FlushReport> {
        let shutdown = self.closing.shutdown.as_ref()?;
        if !self.closing.stopped {
            return None;
        }
        let outcome = if shutdown.timed_out {
            FlushOutcome::TimedOut
        } else {
            FlushOutcome::Complete
        };
        Some(self.report(outcome, shutdown.before, 0))
    }

    /// Returns true if the exporter has been shut down and holds no span any more.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.closing.stopped
    }

    /// Ends a shutdown that has nothing left to send, or no way to send it.
    pub(super) fn advance_shutdown(&mut self, now: Instant) {
        let Some(shutdown) = self.closing.shutdown else {
            return;
        };
        if self.closing.stopped {
            return;
        }
        let no_way =
            shutdown.forced && !self.is_any_in_flight() && self.schedule.circuit() == State::Open;
        let done = !self.holds_any() && !self.closing.more_to_come;
        if now >= shutdown.deadline || no_way || done {
            self.abandon_all(now);
        }
    }

    /// Drops all spans as `shutdown`; a late answer is ignored by its generation.
    fn abandon_all(&mut self, now: Instant) {
        if let Some(shutdown) = &mut self.closing.shutdown {
            shutdown.timed_out = now >= shutdown.deadline && !self.buffer.is_empty();
        }
        loop {
            if let Some(flight) = self.flights.end() {
                self.schedule.record(now, flight.permit, Verdict::Cancelled);
            }
            if !self.bring_any() {
                break;
            }
        }
        while let Some(batch) = self.lanes.take_waiting() {
            self.drop_batch(now, batch, DropReason::Shutdown, None);
        }
        while let Some(batch) = self.batches.take_any() {
            self.drop_batch(now, batch, DropReason::Shutdown, None);
        }
        let left = self.buffer.queued() as u64;
        while self.buffer.pop_front() {}
        if left > 0 {
            self.books.give_up(left, DropReason::Shutdown, 0, None, 0);
        }
        self.closing.stopped = true;
    }

    /// Spans held whose number is below `target`.
    fn held_below(&self, target: u64) -> u64 {
        let mut held = 0;
        for batch in self.batches.iter().chain(self.lanes.batches()) {
            let len = self.buffer.lease_len(batch.lease()) as u64;
            held += target.saturating_sub(batch.first_number()).min(len);
        }
        let queued = self.buffer.queued();
        let first_queued = self.intake.first_queued(queued);
        held + target.saturating_sub(first_queued).min(queued as u64)
    }

    fn report(&self, outcome: FlushOutcome, before: Counts, left: u64) -> FlushReport {
        let ledger = self.books.ledger();
        let lost = ledger.dropped_total();
        let dropped_before = before.dropped.saturating_sub(before.known);
        let dropped = lost.saturating_sub(before.dropped);
        let reason = ledger.main_reason_since(&Ledger::ZERO);
        FlushReport {
            outcome,
            exported: ledger.exported.saturating_sub(before.exported),
            dropped,
            left,
            dropped_before,
            lost,
            reason: reason.filter(|_| dropped + dropped_before > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_report_reads_as_what_was_delivered_and_what_was_lost() {
        let mut report = FlushReport {
            exported: 10_081,
            ..FlushReport::NOTHING
        };
        assert!(report.is_success());
        assert_eq!(report.to_string(), "10081 exported, 0 dropped, 0 left");
        report.dropped_before = 478_144;
        report.reason = Some(DropReason::QueueFull);
        assert!(!report.is_success());
        assert_eq!(
            report.to_string(),
            "10081 exported, 0 dropped in this flush, 478144 dropped before: queue_full, 0 left"
        );
        let late = FlushReport::LATE.to_string();
        assert_eq!(late, "0 exported, 0 dropped, 0 left (timed out)");
    }
}
