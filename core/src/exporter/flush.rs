//! Flush and shutdown: with deadlines, and telling what happened (`reliability.md` 4.10).

use core::fmt;

use super::Exporter;
use crate::breaker::State;
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;

/// A flush under way: everything ended before [`Exporter::force_flush`]. Any number of them may
/// exist at once.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Flush {
    /// The number of the first span that is not covered.
    target: u64,
    deadline: Instant,
    before: Counts,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Counts {
    exported: u64,
    dropped: u64,
}

impl Counts {
    fn of(ledger: &Ledger) -> Self {
        Self {
            exported: ledger.exported,
            dropped: ledger.dropped_total(),
        }
    }
}

/// How a flush or a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlushOutcome {
    /// Nothing that it covers is left. Spans may have been dropped: see the counts.
    Complete,
    /// It was of no use to wait: the circuit stays open beyond the deadline.
    CircuitOpen {
        /// When the next probe is due.
        retry_at: Instant,
    },
    /// It was of no use to wait: the destination asked for a pause beyond the deadline.
    Throttled {
        /// When the pause ends.
        retry_at: Instant,
    },
    /// The deadline passed.
    TimedOut,
}

/// What a flush or a shutdown did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlushReport {
    /// How it ended.
    pub outcome: FlushOutcome,
    /// Spans exported meanwhile.
    pub exported: u64,
    /// Spans dropped meanwhile, for any reason.
    pub dropped: u64,
    /// Spans that it covers and that are still held: always 0 after a shutdown.
    pub left: u64,
}

impl FlushReport {
    /// What a pipeline reports that holds nothing.
    pub const NOTHING: Self = Self {
        outcome: FlushOutcome::Complete,
        exported: 0,
        dropped: 0,
        left: 0,
    };

    /// What is reported when the time was over before anything happened.
    pub const LATE: Self = Self {
        outcome: FlushOutcome::TimedOut,
        ..Self::NOTHING
    };

    /// Whether everything it covers has arrived: complete, and nothing dropped.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, FlushOutcome::Complete) && self.dropped == 0
    }
}

/// `12 exported, 0 dropped, 0 left`, and why no longer was waited if there is a reason.
impl fmt::Display for FlushReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} exported, {} dropped, {} left",
            self.exported, self.dropped, self.left
        )?;
        f.write_str(match self.outcome {
            FlushOutcome::Complete => "",
            FlushOutcome::CircuitOpen { .. } => " (circuit breaker open)",
            FlushOutcome::Throttled { .. } => " (the collector asked for a pause)",
            FlushOutcome::TimedOut => " (timed out)",
        })
    }
}

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    pub(super) deadline: Instant,
    /// Whether the one attempt that ignores the breaker and all pauses has been made.
    pub(super) forced: bool,
    before: Counts,
    timed_out: bool,
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Asks for everything ended so far to be sent without waiting for a full batch. Retries and
    /// the breaker stay in force. Watch it with [`Exporter::poll_flush`].
    pub fn force_flush(&mut self, now: Instant, deadline: Instant) -> Flush {
        self.tick(now);
        self.machine.flush_target = self.machine.pushed;
        Flush {
            target: self.machine.pushed,
            deadline,
            before: Counts::of(&self.machine.ledger),
        }
    }

    /// What became of a flush; `None` while it is under way. Call it after every
    /// [`Exporter::poll_transmit`] and at the flush's deadline.
    #[must_use]
    pub fn poll_flush(&self, flush: &Flush, now: Instant) -> Option<FlushReport> {
        let now = self.machine.latest.max(now);
        let left = self.held_below(flush.target);
        let in_flight = self.machine.flight.is_some();
        let circuit_opens = self.machine.breaker.retry_at(now);
        let outcome = if left == 0 {
            FlushOutcome::Complete
        } else if now >= flush.deadline {
            FlushOutcome::TimedOut
        } else if !in_flight && circuit_opens > flush.deadline {
            FlushOutcome::CircuitOpen {
                retry_at: circuit_opens,
            }
        } else if !in_flight && self.machine.not_before > flush.deadline {
            FlushOutcome::Throttled {
                retry_at: self.machine.not_before,
            }
        } else {
            return None;
        };
        Some(self.report(outcome, flush.before, left))
    }

    /// Ends the intake and asks for everything held to be sent by `deadline`.
    ///
    /// Waits are cut short. When the circuit is open, one last attempt is made all the same,
    /// because there is no later. What cannot be delivered is dropped as `shutdown`. A second
    /// call can only bring the deadline nearer.
    pub fn shutdown(&mut self, now: Instant, deadline: Instant) {
        self.tick(now);
        match &mut self.machine.shutdown {
            Some(shutdown) => shutdown.deadline = shutdown.deadline.min(deadline),
            None => {
                self.machine.shutdown = Some(Shutdown {
                    deadline,
                    forced: false,
                    before: Counts::of(&self.machine.ledger),
                    timed_out: false,
                });
                self.machine.flush_target = self.machine.pushed;
                for batch in self.batches_mut() {
                    batch.next_at = Instant::ZERO;
                }
            }
        }
        self.tick(now);
    }

    /// What the shutdown did; `None` before it is over.
    #[must_use]
    pub fn poll_shutdown(&self) -> Option<FlushReport> {
        let shutdown = self.machine.shutdown.as_ref()?;
        if !self.machine.stopped {
            return None;
        }
        let outcome = if shutdown.timed_out {
            FlushOutcome::TimedOut
        } else {
            FlushOutcome::Complete
        };
        Some(self.report(outcome, shutdown.before, 0))
    }

    /// Drops everything as `shutdown`; a late answer is ignored by its generation.
    pub(super) fn abandon_all(&mut self, now: Instant) {
        if let Some(shutdown) = &mut self.machine.shutdown {
            shutdown.timed_out = now >= shutdown.deadline && !self.buffer.is_empty();
        }
        if let Some(flight) = self.machine.flight.take() {
            self.machine.generation = self.machine.generation.wrapping_add(1);
            let draw = self.machine.draw();
            let verdict = crate::breaker::Verdict::Cancelled;
            self.machine
                .breaker
                .record(now, draw, flight.permit, verdict);
        }
        while let Some(batch) = self.take_any_batch() {
            self.drop_batch(batch, DropReason::Shutdown, None);
        }
        let left = self.buffer.queued() as u64;
        while self.buffer.pop_front() {}
        if left > 0 {
            self.machine.give_up(left, DropReason::Shutdown, 0, None);
        }
        self.machine.stopped = true;
    }

    /// Ends a shutdown that has nothing left to send, or no way to send it.
    pub(super) fn advance_shutdown(&mut self, now: Instant) {
        let Some(shutdown) = self.machine.shutdown else {
            return;
        };
        if self.machine.stopped {
            return;
        }
        let no_way = shutdown.forced
            && self.machine.flight.is_none()
            && self.machine.breaker.state() == State::Open;
        let done = !self.holds_any() && !self.machine.more_to_come;
        if now >= shutdown.deadline || no_way || done {
            self.abandon_all(now);
        }
    }

    /// Spans held whose number is below `target`.
    fn held_below(&self, target: u64) -> u64 {
        let mut held = 0;
        for batch in self.batches() {
            let len = self.buffer.lease_len(&batch.lease) as u64;
            held += target.saturating_sub(batch.first_number).min(len);
        }
        let queued = self.buffer.queued() as u64;
        let first_queued = self.machine.pushed.saturating_sub(queued);
        held + target.saturating_sub(first_queued).min(queued)
    }

    fn report(&self, outcome: FlushOutcome, before: Counts, left: u64) -> FlushReport {
        let after = Counts::of(&self.machine.ledger);
        FlushReport {
            outcome,
            exported: after.exported.saturating_sub(before.exported),
            dropped: after.dropped.saturating_sub(before.dropped),
            left,
        }
    }
}
