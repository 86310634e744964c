//! What an answer does to its batch: the classification table in action
//! (`reliability.md` 4.3, 4.5, 4.7, 4.8).

use core::time::Duration;

use super::Exporter;
use super::config::{OnTooLarge, WhenOpen};
use super::delivery::Batch;
use super::event::{Cause, Event};
use super::machine::Machine;
use super::transmit::{Flight, Transmit};
use crate::breaker::{State, Verdict};
use crate::request::Layout;
use crate::response::{Classification, DropReason, Outcome, Response, TransportError, classify};
use crate::time::Instant;

/// How long a size that a 413 taught is remembered.
const LEARNED_FOR: Duration = Duration::from_secs(600);

impl Machine {
    /// Counts the spans of a request that may arrive twice, each batch once (invariant I5).
    fn count_duplicate(&mut self, batch: &mut Batch, layout: &Layout) {
        if !batch.counted_as_duplicate {
            batch.counted_as_duplicate = true;
            let count = &mut self.stats.possible_duplicates;
            *count = count.saturating_add(layout.window as u64);
        }
    }

    /// Counts spans as lost and says so.
    pub(super) fn give_up(
        &mut self,
        spans: u64,
        reason: DropReason,
        attempts: u32,
        cause: Option<Cause>,
    ) {
        self.ledger.drop_spans(reason, spans);
        self.events.push(Event::Dropped {
            spans,
            reason,
            attempts,
            cause,
        });
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Takes the answer to a request. One that comes too late, after its time limit or after the
    /// shutdown, changes nothing (invariant I30).
    pub fn handle_response(&mut self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        let now = self.machine.advance(now);
        if transmit.generation == self.machine.generation {
            self.settle(now, outcome);
        }
        self.tick(now);
    }

    /// Gives a request back that was not carried out, or whose answer nobody will wait for. Its
    /// batch is sent again; nothing counts as a failure.
    pub fn cancel(&mut self, now: Instant, transmit: Transmit) {
        let cancelled = Outcome::Failed(TransportError::Cancelled);
        self.handle_response(now, transmit, &cancelled);
    }

    /// Tells that the transport sent a request twice by itself, the first time with its whole body:
    /// its kept connection had died without an answer (fault catalogue N8, S18). Call it before the
    /// answer is handed in.
    pub fn note_resent(&mut self, transmit: &Transmit) {
        if transmit.generation != self.machine.generation {
            return;
        }
        if let (Some(flight), Some(batch)) = (&self.machine.flight, &mut self.current) {
            let layout = flight.layout;
            self.machine.count_duplicate(batch, &layout);
        }
    }

    /// Like [`Exporter::cancel`], for a driver that has lost its [`Transmit`], for instance
    /// because the future that held it was dropped.
    pub fn cancel_in_flight(&mut self, now: Instant) {
        let now = self.machine.advance(now);
        self.settle(now, &Outcome::Failed(TransportError::Cancelled));
        self.tick(now);
    }

    /// Ends the flight and does to its batch what the outcome says.
    pub(super) fn settle(&mut self, now: Instant, outcome: &Outcome<'_>) {
        // Without a flight, the batch in hand is one that waits, and none of this is about it.
        let Some(flight) = self.machine.flight.take() else {
            return;
        };
        let Some(mut batch) = self.current.take() else {
            return;
        };
        self.machine.generation = self.machine.generation.wrapping_add(1);
        let class = classify(outcome);
        let Flight { permit, layout, .. } = flight;
        let is_probe = permit.is_probe();
        let verdict = match class.verdict {
            // A suspect whose destination is fine has nothing more to say about it.
            Verdict::Failure if batch.proven => Verdict::Cancelled,
            verdict => verdict,
        };
        let draw = self.machine.draw();
        let transition = self.machine.breaker.record(now, draw, permit, verdict);
        // Effects are told after their cause: that the circuit opened, after the failure that did it.
        let (opened, closed) = match transition {
            Some(change) if change.to == State::Closed => (None, Some(change)),
            other => (other, None),
        };
        if let Some(open) = closed.and_then(|change| self.on_transition(change, now)) {
            batch.backoff.exclude_nanos(open);
        }
        if verdict == Verdict::Failure {
            batch.failures = batch.failures.saturating_add(1);
            batch.failed_probes = batch.failed_probes.saturating_add(u32::from(is_probe));
        }
        self.note_duplicate(&mut batch, &layout, outcome);
        match class {
            Classification { loss: None, .. } => self.accepted(now, batch, &layout, outcome),
            Classification {
                verdict: Verdict::Cancelled,
                at_once: false,
                ..
            } => {
                batch.attempts = batch.attempts.saturating_sub(1);
                self.current = Some(batch);
            }
            Classification { at_once: true, .. } if !batch.repeated => {
                batch.repeated = true;
                batch.attempts = batch.attempts.saturating_sub(1);
                self.current = Some(batch);
            }
            Classification { retry: true, .. } => self.retry(now, batch, outcome),
            Classification {
                loss: Some(reason), ..
            } => self.refused(now, batch, &layout, reason, outcome),
        }
        if let Some(change) = opened {
            self.on_transition(change, now);
        }
    }

    fn note_duplicate(&mut self, batch: &mut Batch, layout: &Layout, outcome: &Outcome<'_>) {
        if matches!(outcome, Outcome::Failed(error) if error.possible_duplicate()) {
            self.machine.count_duplicate(batch, layout);
        }
    }

    fn accepted(&mut self, now: Instant, batch: Batch, layout: &Layout, outcome: &Outcome<'_>) {
        let sent = layout.window as u64;
        let machine = &mut self.machine;
        let mut rejected = 0;
        if let Outcome::Response(response) = outcome {
            let body = response.success_body();
            let (count, out_of_range) = body.rejected(sent);
            rejected = count;
            if !body.valid || out_of_range {
                machine.stats.responses_invalid = machine.stats.responses_invalid.saturating_add(1);
                machine.events.push(Event::ResponseInvalid);
            }
            if rejected > 0 || !body.error_message.is_empty() {
                machine.keep_message(&body.error_message);
                machine.events.push(Event::PartialSuccess { rejected });
            }
        }
        let accepted = sent.saturating_sub(rejected);
        machine.ledger.exported = machine.ledger.exported.saturating_add(accepted);
        machine
            .ledger
            .drop_spans(DropReason::PartialRejected, rejected);
        machine.stats.accepted = machine.stats.accepted.saturating_add(1);
        let bytes = &mut machine.stats.body_bytes;
        *bytes = bytes.saturating_add(layout.total as u64);
        machine.events.push(Event::Exported {
            spans: accepted,
            attempts: batch.attempts,
        });
        machine.ramp_up(now, self.buffer.queued() == 0);
        for suspect in self.parked.iter_mut().flatten() {
            if !suspect.proven {
                suspect.proven = true;
                suspect.backoff.start(now);
                suspect.next_at = suspect.next_at.max(now);
            }
        }
        self.keep_rest(now, batch, layout.window);
    }

    /// Releases the first `sent` spans of a batch and keeps the others, which a 413 had split off.
    fn keep_rest(&mut self, now: Instant, mut batch: Batch, sent: usize) {
        let left = self.buffer.lease_len(&batch.lease).saturating_sub(sent);
        if left == 0 {
            self.buffer.release(batch.lease);
            return;
        }
        self.buffer.release_first(&batch.lease, sent);
        batch.first_number = batch.first_number.saturating_add(sent as u64);
        batch.window = sent.min(left);
        batch.attempts = 0;
        batch.failures = 0;
        batch.failed_probes = 0;
        batch.backoff.start(now);
        batch.next_at = now;
        batch.repeated = false;
        // What was suspected is gone; the rest has not failed yet.
        batch.suspect = false;
        batch.proven = false;
        self.current = Some(batch);
    }

    fn refused(
        &mut self,
        now: Instant,
        mut batch: Batch,
        layout: &Layout,
        reason: DropReason,
        outcome: &Outcome<'_>,
    ) {
        if let Outcome::Response(response) = outcome {
            let status = response.status_body();
            self.machine.keep_message(&status.message);
        }
        let split = self.machine.config.on_too_large == OnTooLarge::Split;
        let too_large = matches!(outcome, Outcome::Response(Response { status: 413, .. }));
        if too_large && split && layout.window > 1 {
            let until = now.saturating_add(LEARNED_FOR);
            self.machine.learned = Some((layout.total / 2, until));
            batch.window = layout.window.div_ceil(2);
            batch.next_at = now;
            self.current = Some(batch);
            return;
        }
        let cause = Some(Cause::of(outcome));
        let spans = layout.window as u64;
        self.machine.give_up(spans, reason, batch.attempts, cause);
        self.keep_rest(now, batch, layout.window);
    }

    fn retry(&mut self, now: Instant, mut batch: Batch, outcome: &Outcome<'_>) {
        let cause = Cause::of(outcome);
        batch.repeated = false;
        let healthy = self.machine.breaker.state() == State::Closed;
        let draw = self.machine.draw();
        let wait = match self.pause(now, &mut batch, outcome) {
            Some(until) => Ok(until),
            None if healthy || batch.proven => batch.backoff.next_attempt(now, draw),
            None => match self.machine.config.when_open {
                // An answer that says nothing of the destination leaves the circuit half-open,
                // and then nothing else would keep the next attempt back.
                WhenOpen::Hold if self.machine.breaker.state() == State::HalfOpen => {
                    Ok(now.saturating_add_nanos(batch.backoff.delay_nanos(draw)))
                }
                WhenOpen::Hold => Ok(now),
                WhenOpen::Drop => batch.backoff.next_attempt(now, draw),
            },
        };
        let Ok(next_at) = wait else {
            let reason = if batch.proven {
                DropReason::Poison
            } else {
                DropReason::RetryExhausted
            };
            self.drop_batch(batch, reason, Some(cause));
            return;
        };
        batch.next_at = next_at;
        let threshold = self.machine.config.breaker.failure_threshold;
        batch.suspect |= batch.failures >= threshold || batch.failed_probes >= 2;
        let retry_at = next_at.max(self.machine.gate());
        self.machine.events.push(Event::AttemptFailed {
            attempt: batch.attempts,
            cause,
            retry_at,
        });
        if batch.suspect && self.buffer.queued() > 0 {
            self.park(batch);
        } else {
            self.current = Some(batch);
        }
    }

    /// Honours a `Retry-After`: it gates the destination, uses up no retry, and does not count as
    /// time spent retrying.
    fn pause(&mut self, now: Instant, batch: &mut Batch, outcome: &Outcome<'_>) -> Option<Instant> {
        let Outcome::Response(response) = outcome else {
            return None;
        };
        let wall_now = self.machine.wall_clock.map(|clock| clock.to_unix(now));
        let asked = response.pause(wall_now)?;
        let draw = self.machine.draw();
        let until = batch.backoff.after_pause(now, asked, draw);
        batch.backoff.exclude_nanos(until.nanos_since(now));
        self.machine.not_before = self.machine.not_before.max(until);
        self.machine.breaker.hold_until(until);
        self.machine.events.push(Event::Paused {
            pause: until.saturating_since(now),
        });
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use crate::test_support::TestRng;

    /// A driver may be dropped between two requests, when there is nothing to cancel.
    #[test]
    fn cancelling_without_a_request_in_flight_keeps_the_batch() {
        let registry = Registry::new([0_u8; 64], &Resource::default()).unwrap();
        let buffer = Buffer::new([0_u8; 512]);
        let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
        let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        let span = tracer.start::<128>(SpanBuilder::new("kept"), Instant::ZERO);
        span.end(Instant::ZERO, &mut exporter).unwrap();

        let now = Instant::from_secs(10);
        exporter.force_flush(now, Instant::MAX);
        let first = exporter.poll_transmit(now).unwrap();
        exporter.cancel(now, first);
        exporter.cancel_in_flight(now);

        let again = exporter.poll_transmit(now).expect("the same batch");
        exporter.handle_response(now, again, &Outcome::Response(Response::new(200)));
        assert_eq!(exporter.ledger().exported, 1);
        assert!(exporter.ledger().is_closed());
    }
}
