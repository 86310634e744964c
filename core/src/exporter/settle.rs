//! Answers: each decides its batch's fate and is entered in the books.

use super::Exporter;
use super::batches::Batch;
use super::config::{OnTooLarge, WhenOpen};
use super::event::{Cause, Event};
use super::transmit::{Flight, Transmit};
use crate::breaker::{State, Transition, Verdict};
use crate::request::Layout;
use crate::response::{Classification, DropReason, Outcome, Response, TransportError, classify};
use crate::time::{Instant, duration_nanos};

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Takes the answer to a request. One that comes too late, after its time limit or after the
    /// shutdown, changes nothing.
    pub fn handle_response(&mut self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        let now = self.schedule.advance(now);
        if self.bring(&transmit) {
            let is_cancelled = matches!(outcome, Outcome::Failed(TransportError::Cancelled));
            if is_cancelled && transmit.is_read() {
                self.count_duplicates();
            }
            self.settle(now, outcome);
        }
        self.tick(now);
    }

    /// Gives a request back that was not carried out, or whose answer is no longer awaited. Its
    /// batch is sent again; nothing counts as a failure.
    ///
    /// If the body was read to its end, it may have left: its spans then count as possible
    /// duplicates. A driver that knows better [rewinds](Transmit::rewind) the transmit first.
    pub fn cancel(&mut self, now: Instant, transmit: Transmit) {
        let cancelled = Outcome::Failed(TransportError::Cancelled);
        self.handle_response(now, transmit, &cancelled);
    }

    /// Like [`Exporter::cancel`], for a driver that has lost its [`Transmit`], for instance
    /// because the future that held it was dropped, and for all that are in flight. How far the body had been read is then not
    /// known, so the spans count as possible duplicates.
    pub fn cancel_in_flight(&mut self, now: Instant) {
        let now = self.schedule.advance(now);
        loop {
            self.count_duplicates();
            self.settle(now, &Outcome::Failed(TransportError::Cancelled));
            if !self.bring_any() {
                break;
            }
        }
        self.tick(now);
    }

    /// Like [`Exporter::cancel_in_flight`], for a driver whose sender panicked: this counts as a
    /// failed attempt, because the next one may end in the same way. `body_sent` as in
    /// [`TransportError`].
    pub fn fail_in_flight(&mut self, now: Instant, body_sent: bool) {
        let now = self.schedule.advance(now);
        if body_sent {
            self.count_duplicates();
        }
        self.settle(now, &Outcome::Failed(TransportError::Other));
        self.tick(now);
    }

    /// Like [`Exporter::fail_in_flight`], for one of several requests.
    #[cfg(feature = "std")]
    pub(crate) fn fail(&mut self, now: Instant, transmit: &Transmit, body_sent: bool) {
        if self.bring(transmit) {
            self.fail_in_flight(now, body_sent);
        }
    }

    /// Takes the request of `transmit` in hand. Returns false if it is not in flight.
    fn bring(&mut self, transmit: &Transmit) -> bool {
        self.flights.is_current(transmit) || self.bring_generation(transmit.generation())
    }

    /// Reports that the transport sent a request a second time by itself after it had sent the
    /// whole body once: a kept connection died without an answer. Its spans then count as possible
    /// duplicates. Call it before the answer is handed in.
    pub fn note_resent(&mut self, transmit: &Transmit) {
        if self.bring(transmit) {
            self.count_duplicates();
        }
    }

    /// Counts the spans in flight, if any, as possible duplicates.
    fn count_duplicates(&mut self) {
        if !self.flights.is_any() {
            return;
        }
        if let Some(batch) = self.batches.in_hand_mut() {
            let spans = batch.count_duplicates() as u64;
            self.books.count_possible_duplicates(spans);
        }
    }

    /// Ends the flight and does to its batch what the outcome says.
    pub(super) fn settle(&mut self, now: Instant, outcome: &Outcome<'_>) {
        // Without a flight, the batch in hand is one that waits, and none of this is about it.
        let Some(Flight { permit, layout, .. }) = self.flights.end() else {
            return;
        };
        let Some(mut batch) = self.batches.take_in_hand() else {
            return;
        };
        let class = classify(outcome);
        let is_probe = permit.is_probe();
        let verdict = match class.verdict {
            // A suspect whose destination is fine says nothing more about it.
            Verdict::Failure if batch.is_proven() => Verdict::Cancelled,
            verdict => verdict,
        };
        let transition = self.schedule.record(now, permit, verdict);
        // Effects are reported after their cause: that the circuit opened, after the failure.
        let (opened, closed) = match transition {
            Some(change) if change.to == State::Closed => (None, Some(change)),
            other => (other, None),
        };
        if let Some(open) = closed.and_then(|change| self.on_transition(change, now)) {
            batch.exclude_nanos(open);
        }
        if verdict == Verdict::Failure {
            batch.count_failure(is_probe);
        }
        let may_be_there = matches!(outcome, Outcome::Failed(error) if error.possible_duplicate());
        if may_be_there {
            let spans = batch.count_duplicates() as u64;
            self.books.count_possible_duplicates(spans);
        }
        match class {
            Classification { loss: None, .. } => self.accepted(now, batch, &layout, outcome),
            Classification {
                loss: Some(DropReason::Shutdown),
                ..
            } => {
                batch.cancel_attempt();
                self.batches.put_in_hand(batch);
            }
            Classification { at_once: true, .. } if batch.repeat_attempt() => {
                self.batches.put_in_hand(batch);
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

    /// Reports a change of the circuit. When it has closed, returns how many nanoseconds it was
    /// not, which do not count as time spent retrying.
    pub(super) fn on_transition(&mut self, transition: Transition, now: Instant) -> Option<u64> {
        self.books.report(Event::Circuit(transition));
        let open = self.schedule.note(transition, now)?;
        self.batches.exclude_nanos(open);
        for batch in self.lanes.batches_mut() {
            batch.exclude_nanos(open);
        }
        Some(open)
    }

    /// Drops all spans of a batch.
    pub(super) fn drop_batch(
        &mut self,
        now: Instant,
        batch: Batch,
        reason: DropReason,
        cause: Option<Cause>,
    ) {
        let spans = self.buffer.lease_len(batch.lease()) as u64;
        let (attempts, took) = (batch.attempts(), batch.millis_since_first(now));
        self.buffer.release(batch.into_lease());
        self.books.give_up(spans, reason, attempts, cause, took);
    }

    /// Drops batches that are too old, but not the one in flight.
    pub(super) fn expire(&mut self, now: Instant) {
        let age = self.config.max_batch_age;
        if age.is_zero() {
            return;
        }
        let age = duration_nanos(age);
        while let Some(batch) = self.lanes.take_expired(now, age) {
            self.drop_batch(now, batch, DropReason::Expired, None);
        }
        if self.flights.is_any() {
            return;
        }
        while let Some(batch) = self.batches.take_expired(now, age) {
            self.drop_batch(now, batch, DropReason::Expired, None);
        }
    }

    fn accepted(&mut self, now: Instant, batch: Batch, layout: &Layout, outcome: &Outcome<'_>) {
        let response = match outcome {
            Outcome::Response(response) => Some(response),
            _ => None,
        };
        let sent = layout.window;
        let (attempts, took) = (batch.attempts(), batch.millis_since_first(now));
        self.books
            .accept(sent as u64, layout.total, attempts, took, response);
        self.schedule.ramp_up(now, self.buffer.queued() == 0);
        self.batches.prove(now);
        self.keep_rest(now, batch, sent);
    }

    /// Releases the first `sent` spans of a batch and keeps the others, which a 413 had split off.
    fn keep_rest(&mut self, now: Instant, mut batch: Batch, sent: usize) {
        let left = self.buffer.lease_len(batch.lease()).saturating_sub(sent);
        if left == 0 {
            self.buffer.release(batch.into_lease());
            return;
        }
        self.buffer.release_first(batch.lease(), sent);
        batch.keep_rest(now, sent, left);
        self.batches.put_in_hand(batch);
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
            self.books.read_refusal(response);
        }
        let split = self.config.on_too_large == OnTooLarge::Split;
        let too_large = matches!(outcome, Outcome::Response(Response { status: 413, .. }));
        if too_large && split && layout.window > 1 {
            self.learned.refuse(now, layout.total);
            batch.halve(now);
            self.batches.put_in_hand(batch);
            return;
        }
        let cause = Some(Cause::of(outcome));
        let spans = layout.window as u64;
        let (attempts, took) = (batch.attempts(), batch.millis_since_first(now));
        self.books.give_up(spans, reason, attempts, cause, took);
        self.keep_rest(now, batch, layout.window);
    }

    fn retry(&mut self, now: Instant, mut batch: Batch, outcome: &Outcome<'_>) {
        let cause = Cause::of(outcome);
        let draw = self.schedule.draw();
        let wait = match self.pause(now, &mut batch, outcome) {
            Some(until) => Some(until),
            None => self.next_attempt_of(&mut batch, now, draw),
        };
        let is_held = self.config.when_open == WhenOpen::Hold && !batch.is_proven();
        // The end of its export loses no batch that a circuit that opens would hold.
        let Some(next_at) = wait.filter(|&at| is_held || !batch.runs_out_before(at)) else {
            let reason = if batch.is_proven() {
                DropReason::Poison
            } else {
                DropReason::RetryExhausted
            };
            self.drop_batch(now, batch, reason, Some(cause));
            return;
        };
        let tripped = match batch.runs_out_before(next_at) {
            true => self.schedule.trip(now, next_at),
            false => None,
        };
        batch.wait_until(next_at, self.config.breaker.failure_threshold);
        self.books.report(Event::AttemptFailed {
            attempt: batch.attempts(),
            cause,
            retry_at: next_at.max(self.schedule.gate(self.closing.pace())),
        });
        if batch.is_suspect() && self.buffer.queued() > 0 {
            if let Some(guilty) = self.batches.park(batch) {
                self.drop_batch(now, guilty, DropReason::Poison, None);
            }
        } else {
            self.batches.put_in_hand(batch);
        }
        if let Some(change) = tripped {
            self.on_transition(change, now);
        }
    }

    /// When a failed batch is sent again; `None` if it has no retries left that count.
    fn next_attempt_of(&self, batch: &mut Batch, now: Instant, draw: u64) -> Option<Instant> {
        let is_held = self.config.when_open == WhenOpen::Hold && !batch.is_proven();
        let backoff = batch.backoff_mut();
        match self.schedule.circuit() {
            State::Open if is_held => Some(now),
            // An answer that says nothing about the destination leaves the circuit half-open, and
            // then nothing else would keep the next attempt back.
            State::HalfOpen if is_held => Some(now.saturating_add_nanos(backoff.delay_nanos(draw))),
            _ => backoff.next_attempt(now, draw).ok(),
        }
    }

    /// Obeys a `Retry-After`: it holds all requests back, uses up no retry, and does not count as
    /// time spent retrying.
    fn pause(&mut self, now: Instant, batch: &mut Batch, outcome: &Outcome<'_>) -> Option<Instant> {
        let Outcome::Response(response) = outcome else {
            return None;
        };
        let wall_now = self.wall_clock.map(|clock| clock.to_unix(now));
        let asked = response.pause(wall_now)?;
        let draw = self.schedule.draw();
        let backoff = batch.backoff_mut();
        let until = backoff.after_pause(now, asked, draw);
        batch.exclude_nanos(until.nanos_since(now));
        self.schedule.pause(until);
        self.books.report(Event::Paused {
            pause: until.saturating_since(now),
        });
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use crate::exporter::OnTooLarge;
    use crate::prelude::*;
    use crate::test_support::TestRng;

    /// A driver may be dropped between two requests, when there is nothing to cancel.
    #[test]
    fn cancelling_without_a_request_in_flight_keeps_the_batch() {
        let registry = Registry::new([0_u8; 64], &Resource::default()).unwrap();
        let buffer = Buffer::new([0_u8; 512]);
        let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
        let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
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

    const NOW: Instant = Instant::from_secs(10);
    const LOST: Outcome<'static> = Outcome::Failed(TransportError::Reset { body_sent: true });
    const OK: Outcome<'static> = Outcome::Response(Response::new(200));

    /// An exporter with two spans, which are due.
    fn exporter() -> Exporter<[u8; 512], [u8; 64]> {
        let registry = Registry::new([0_u8; 64], &Resource::default()).unwrap();
        let buffer = Buffer::new([0_u8; 512]);
        let config = ExporterConfig {
            on_too_large: OnTooLarge::Split,
            ..ExporterConfig::DEFAULT
        };
        let mut exporter = Exporter::new(config, buffer, registry).unwrap();
        let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        for name in ["first", "second"] {
            let span = tracer.start::<128>(SpanBuilder::new(name), Instant::ZERO);
            span.end(Instant::ZERO, &mut exporter).unwrap();
        }
        exporter.force_flush(NOW, Instant::MAX);
        exporter
    }

    // fault X121
    #[test]
    fn a_cancelled_request_may_be_a_duplicate_unless_its_body_cannot_have_left() {
        let mut exporter = exporter();
        let duplicates = |exporter: &Exporter<_, _>| exporter.stats().possible_duplicates;
        let mut body = [0; 256];
        let unread = exporter.poll_transmit(NOW).unwrap();
        exporter.cancel(NOW, unread);
        let mut partly = exporter.poll_transmit(NOW).unwrap();
        assert_eq!(exporter.read_body(&mut partly, &mut body[..9]), 9);
        exporter.cancel(NOW, partly);
        let mut kept = exporter.poll_transmit(NOW).unwrap();
        exporter.read_body(&mut kept, &mut body);
        assert!(kept.is_read());
        kept.rewind();
        exporter.cancel(NOW, kept);
        assert_eq!(duplicates(&exporter), 0);

        let mut read = exporter.poll_transmit(NOW).unwrap();
        exporter.read_body(&mut read, &mut body);
        exporter.handle_response(NOW, read, &Outcome::Failed(TransportError::Cancelled));
        assert_eq!(duplicates(&exporter), 2);
        let lost = exporter.poll_transmit(NOW).unwrap();
        exporter.cancel_in_flight(NOW);
        assert_eq!(duplicates(&exporter), 2, "each span once");
        exporter.handle_response(NOW, lost, &OK);
        assert_eq!(exporter.ledger().exported, 0, "too late");
    }

    // fault X121
    #[test]
    fn a_request_that_was_lost_with_its_driver_may_be_a_duplicate() {
        let mut exporter = exporter();
        exporter.cancel_in_flight(NOW);
        assert_eq!(
            exporter.stats().possible_duplicates,
            0,
            "nothing is in flight"
        );
        let _lost = exporter.poll_transmit(NOW).unwrap();
        exporter.cancel_in_flight(NOW);
        assert_eq!(exporter.stats().possible_duplicates, 2);
    }

    // fault X122
    #[test]
    fn the_rest_of_a_batch_that_was_parted_counts_on_its_own() {
        let mut exporter = exporter();
        let mut now = NOW;
        for (spans, outcome, duplicates) in [
            (2, Outcome::Response(Response::new(413)), 0),
            (1, LOST, 1),
            (1, LOST, 1),
            (1, OK, 1),
            (1, LOST, 2),
            (1, OK, 2),
        ] {
            now = now.max(exporter.poll_timeout().unwrap());
            let transmit = exporter.poll_transmit(now).unwrap();
            assert_eq!(transmit.spans(), spans);
            exporter.handle_response(now, transmit, &outcome);
            assert_eq!(exporter.stats().possible_duplicates, duplicates);
        }
        assert_eq!(exporter.ledger().exported, 2);
    }

    // fault M5
    #[test]
    fn a_batch_without_memory_is_dropped_at_once_and_the_circuit_stays_closed() {
        let mut exporter = exporter();
        let transmit = exporter.poll_transmit(NOW).unwrap();
        let no_memory = Outcome::Failed(TransportError::OutOfMemory);
        exporter.handle_response(NOW, transmit, &no_memory);
        let ledger = exporter.ledger();
        assert_eq!(ledger.dropped(DropReason::OutOfMemory), 2);
        assert!(ledger.is_closed(), "{ledger}");
        assert_eq!(exporter.circuit(), crate::breaker::State::Closed);
        assert_eq!(exporter.stats().possible_duplicates, 0);
    }

    /// A cancelled request would go out again at once, and panic again.
    #[test]
    fn a_sender_that_panicked_has_failed_and_waits_like_any_other() {
        let registry = Registry::new([0_u8; 64], &Resource::default()).unwrap();
        let buffer = Buffer::new([0_u8; 512]);
        let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
        let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        let span = tracer.start::<128>(SpanBuilder::new("kept"), Instant::ZERO);
        span.end(Instant::ZERO, &mut exporter).unwrap();

        let mut now = Instant::from_secs(10);
        exporter.force_flush(now, Instant::MAX);
        for attempt in 1..=5 {
            assert_eq!(exporter.poll_transmit(now).unwrap().attempt(), attempt);
            exporter.fail_in_flight(now, attempt == 2);
            exporter.fail_in_flight(now, true);
            assert!(exporter.poll_transmit(now).is_none(), "no pause");
            assert!(exporter.ledger().is_balanced());
            now = exporter.poll_timeout().unwrap();
        }
        assert_eq!(exporter.circuit(), crate::breaker::State::Open);
        assert_eq!(exporter.stats().possible_duplicates, 1);
        assert_eq!(exporter.ledger().buffered, 1);
    }
}
