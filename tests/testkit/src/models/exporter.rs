//! The books on an exporter: where each single span is, kept from the outside.
//!
//! The books see what a driver sees: pushes and their results, requests and their bytes, replies,
//! events. From these they know for each span whether it is queued, held in a batch, exported or
//! dropped and why, and every step they compare that with the exporter's own counts. They know
//! nothing of the retry schedule; they only check what the rules forbid.

use std::collections::VecDeque;

use core::time::Duration;

use spandrel_core::breaker::{OpenInterval, State, Transition, TransitionReason};
use spandrel_core::exporter::{Event, ExporterConfig, OnTooLarge, WhenOpen};
use spandrel_core::response::{DropReason, RETRY_AFTER_CAP};
use spandrel_core::stats::{DeliveryStats, Ledger};
use spandrel_core::time::Instant;

use super::coverage::Coverage;
use super::fate::{Fate, expected_fate, is_stale, pause};
use crate::sim::Reply;

/// A leased batch that is not settled.
#[derive(Debug)]
struct Held {
    ids: Vec<u64>,
    /// The latest request for it.
    body: Vec<u8>,
    window: usize,
    attempts: u32,
    failures: u32,
    failed_probes: u32,
    first_at: Instant,
    /// When a retryable failure made it wait, with a circuit that stayed closed.
    waits_since: Option<Instant>,
}

/// A batch was dropped that could be any of several.
#[derive(Debug)]
struct Doubt {
    /// The first spans of those that it could be.
    candidates: Vec<u64>,
    spans: usize,
    reason: DropReason,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Books {
    config: ExporterConfig,
    queue: VecDeque<u64>,
    held: Vec<Held>,
    doubts: Vec<Doubt>,
    /// The first span and the window of the batch in flight.
    in_flight: Option<(u64, usize)>,
    is_probe: bool,
    /// What the events said about the batch in flight.
    fate: Option<Fate>,
    expected: Ledger,
    previous: (Ledger, DeliveryStats),
    exported_ids: Vec<u64>,
    circuit: State,
    open_until: Instant,
    not_before: Instant,
    asked: Option<Duration>,
    /// The answer may be repeated at once, uncounted.
    stale: bool,
    shutting_down: bool,
    forced: u32,
    /// What happened.
    pub seen: Coverage,
}

impl Books {
    /// Empty books.
    #[must_use]
    pub fn new(config: ExporterConfig) -> Self {
        Self {
            config,
            queue: VecDeque::new(),
            held: Vec::new(),
            doubts: Vec::new(),
            in_flight: None,
            is_probe: false,
            fate: None,
            expected: Ledger::default(),
            previous: (Ledger::default(), DeliveryStats::default()),
            exported_ids: Vec::new(),
            circuit: State::Closed,
            open_until: Instant::ZERO,
            not_before: Instant::ZERO,
            asked: None,
            stale: false,
            shutting_down: false,
            forced: 0,
            seen: Coverage::default(),
        }
    }

    /// A span was taken in, after `evicted` others had made room.
    pub fn pushed(&mut self, id: u64, evicted: u64) {
        self.expected.ended += 1;
        for _ in 0..evicted {
            assert!(
                self.queue.pop_front().is_some(),
                "I9: only queued spans are evicted"
            );
            self.drop_spans(DropReason::QueueFull, 1);
            self.seen.evicted += 1;
        }
        self.queue.push_back(id);
    }

    /// A span was refused.
    pub fn refused(&mut self, reason: DropReason) {
        self.expected.ended += 1;
        self.drop_spans(reason, 1);
    }

    /// The shutdown began.
    pub const fn shut_down(&mut self) {
        self.shutting_down = true;
    }

    /// The exporter hands a request out: whatever was in flight before is not any more.
    pub const fn next_request(&mut self, ledger: &Ledger) {
        assert!(ledger.in_flight > 0, "I2: a request is in flight");
        self.in_flight = None;
    }

    /// A request for `ids` with these bytes goes out.
    pub fn sent(&mut self, now: Instant, attempt: u32, ids: &[u64], body: &[u8], circuit: State) {
        assert!(self.in_flight.is_none(), "I34: two requests in flight");
        let limit = self.config.batch.max_export_batch_size as usize;
        assert!(
            !ids.is_empty() && ids.len() <= limit,
            "I12: {} spans",
            ids.len()
        );
        assert!(
            body.len() <= self.config.max_request_bytes,
            "I12: {} bytes",
            body.len()
        );
        self.check_gates(now, circuit);
        let first = ids[0];
        if self.held.iter().any(|batch| batch.ids[0] == first) {
            self.is_not_gone(first);
        } else {
            self.lease(now, ids);
        }
        let (threshold, shutting_down) =
            (self.config.breaker.failure_threshold, self.shutting_down);
        let (suspects, others): (Vec<_>, Vec<_>) = self
            .held
            .iter()
            .filter(|batch| batch.ids[0] != first)
            .partition(|batch| batch.failures >= threshold || batch.failed_probes >= 2);
        self.seen.parked += suspects.len() as u32;
        // Only suspects are overtaken, so any other batch is one that was dropped meanwhile.
        let others: Vec<_> = others.iter().map(|batch| batch.ids[0]).collect();
        for other in others {
            assert!(self.is_gone(other), "I7: {ids:?} overtakes {other}");
        }
        let floor = self.config.backoff.floor.min(self.config.backoff.initial);
        let batch = self.batch_mut(first);
        assert!(
            batch.ids.starts_with(ids),
            "I11: {ids:?} are not the first of {:?}",
            batch.ids
        );
        if batch.window == ids.len() && !batch.body.is_empty() {
            assert!(batch.body == body, "a retry has identical bytes");
        }
        if let Some(since) = batch.waits_since.take() {
            let waited = now.saturating_since(since);
            assert!(waited >= floor || shutting_down, "I16: {waited:?}");
        }
        assert_eq!(attempt, batch.attempts + 1);
        batch.attempts = attempt;
        batch.window = ids.len();
        batch.body = body.to_vec();
        self.in_flight = Some((first, ids.len()));
        self.is_probe = circuit == State::HalfOpen;
        self.fate = None;
    }

    /// An answer of the current request was handed in, and all its events were noted.
    pub fn answered(&mut self, now: Instant, reply: Reply) {
        let Some((first, window)) = self.in_flight else {
            unreachable!("an answer to nothing");
        };
        let split = self.config.on_too_large == OnTooLarge::Split && window > 1;
        let fate = self.fate.unwrap_or(Fate::Untouched);
        match expected_fate(reply, window, split) {
            Some(expected) => assert_eq!(fate, expected, "I3, I36 to I38: {reply:?}"),
            None => {
                let given_up = matches!(
                    fate,
                    Fate::Dropped(DropReason::RetryExhausted | DropReason::Poison)
                );
                let repeated = fate == Fate::Untouched && is_stale(reply);
                assert!(
                    fate == Fate::Kept || given_up || repeated,
                    "{reply:?}: {fate:?}"
                );
                self.seen.stale_repeated += u32::from(repeated);
                self.obey(now, reply);
            }
        }
        if fate == Fate::Untouched && self.held.iter().any(|batch| batch.ids[0] == first) {
            self.seen.split += u32::from(matches!(reply, Reply::Status(413)));
            self.batch_mut(first).attempts -= u32::from(is_stale(reply));
        }
        self.asked = None;
        self.stale = false;
    }

    /// What the reply will be, known before its events are noted.
    pub fn expect(&mut self, reply: Reply) {
        self.asked = pause(reply);
        self.stale = is_stale(reply);
        if let (Reply::Cancel | Reply::CancelInFlight, Some((first, _))) = (reply, self.in_flight) {
            self.batch_mut(first).attempts -= 1;
        }
    }

    /// An event, in order.
    pub fn event(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::Exported {
                spans, attempts, ..
            } => self.exported(spans, attempts),
            Event::AttemptFailed { retry_at, .. } => self.failed(now, retry_at),
            Event::Dropped {
                spans,
                reason,
                attempts,
                ..
            } => {
                self.dropped(now, spans, reason, attempts);
            }
            Event::PartialSuccess { rejected } => {
                self.fate = Some(Fate::Exported { rejected });
                self.drop_spans(DropReason::PartialRejected, rejected);
                self.seen.partial += u32::from(rejected > 0);
            }
            Event::Circuit(transition) => self.transition(now, transition),
            Event::Paused { pause } => {
                let asked = self.asked.unwrap_or_default().min(RETRY_AFTER_CAP);
                let most = asked.max(self.config.backoff.cap);
                assert!(
                    asked <= pause && pause <= most + most / 10,
                    "I21: {asked:?} {pause:?}"
                );
                self.seen.paused += 1;
            }
            Event::ResponseInvalid => self.seen.response_invalid += 1,
            Event::LossStarted => self.seen.loss_started += 1,
            Event::LossEnded { .. } => self.seen.loss_ended += 1,
            _ => {}
        }
    }

    /// The exporter's own counts after a step.
    pub fn check(&mut self, ledger: &Ledger, stats: &DeliveryStats) {
        assert!(ledger.is_balanced(), "I1: {ledger}");
        if ledger.in_flight == 0 {
            self.in_flight = None;
        } else {
            let window = self.in_flight.map(|(_, window)| window as u64);
            assert_eq!(window, Some(ledger.in_flight), "I2");
        }
        let held: usize = self.held.iter().map(|batch| batch.ids.len()).sum();
        let gone: usize = self.doubts.iter().map(|doubt| doubt.spans).sum();
        self.expected.in_flight = ledger.in_flight;
        self.expected.buffered = (self.queue.len() + held - gone) as u64 - ledger.in_flight;
        assert_eq!(
            &self.expected, ledger,
            "I2, I4: {} and {ledger}",
            self.expected
        );
        if held == gone {
            self.held.clear();
            self.doubts.clear();
        }
        let (before, stats_before) = &self.previous;
        let grew = before.ended <= ledger.ended
            && before.exported <= ledger.exported
            && DropReason::ALL
                .iter()
                .all(|&r| before.dropped(r) <= ledger.dropped(r))
            && stats_before.attempts <= stats.attempts
            && stats_before.accepted <= stats.accepted
            && stats_before.body_bytes <= stats.body_bytes
            && stats_before.possible_duplicates <= stats.possible_duplicates
            && stats_before.responses_invalid <= stats.responses_invalid
            && stats_before.circuit_opened <= stats.circuit_opened;
        assert!(grew, "I1: a count went back");
        assert_eq!(stats.events_lost, 0, "the books fetch every event");
        self.seen.duplicates = stats.possible_duplicates;
        self.previous = (*ledger, *stats);
    }

    /// The spans that were exported, in the order of their export.
    #[must_use]
    pub fn exported_ids(&self) -> &[u64] {
        &self.exported_ids
    }

    /// The spans that are queued, in order.
    #[must_use]
    pub const fn queue(&self) -> &VecDeque<u64> {
        &self.queue
    }

    fn check_gates(&mut self, now: Instant, circuit: State) {
        assert!(circuit != State::Open, "I35: the circuit is open");
        if self.circuit == State::Open {
            assert!(
                self.shutting_down,
                "I35: only a shutdown may force an attempt"
            );
            self.forced += 1;
            assert_eq!(self.forced, 1, "one attempt may be forced");
            self.circuit = circuit;
            self.seen.forced += 1;
        } else if !self.shutting_down {
            assert!(now >= self.not_before, "I35: before {:?}", self.not_before);
        }
    }

    fn lease(&mut self, now: Instant, ids: &[u64]) {
        let oldest = self.queue.drain(..ids.len().min(self.queue.len()));
        assert!(
            oldest.eq(ids.iter().copied()),
            "I7: {ids:?} are not the oldest"
        );
        self.held.push(Held {
            ids: ids.to_vec(),
            body: Vec::new(),
            window: ids.len(),
            attempts: 0,
            failures: 0,
            failed_probes: 0,
            first_at: now,
            waits_since: None,
        });
    }

    fn batch_mut(&mut self, first: u64) -> &mut Held {
        let found = self.held.iter_mut().find(|batch| batch.ids[0] == first);
        found.unwrap_or_else(|| unreachable!("no batch begins with {first}"))
    }

    fn drop_spans(&mut self, reason: DropReason, spans: u64) {
        self.expected.drop_spans(reason, spans);
        self.seen.dropped[reason.index()] += spans;
    }

    /// Takes the first `count` spans of the batch that begins with `first` out of it.
    fn take_first(&mut self, first: u64, count: usize) -> Vec<u64> {
        let batch = self.batch_mut(first);
        let taken: Vec<u64> = batch.ids.drain(..count).collect();
        batch.attempts = 0;
        batch.failures = 0;
        batch.failed_probes = 0;
        batch.body.clear();
        batch.waits_since = None;
        self.held.retain(|batch| !batch.ids.is_empty());
        taken
    }

    fn exported(&mut self, spans: u64, attempts: u32) {
        let Some((first, window)) = self.in_flight else {
            unreachable!("I3: exported without a request");
        };
        let rejected = match self.fate.take() {
            Some(Fate::Exported { rejected }) => rejected,
            _ => 0,
        };
        assert_eq!(spans + rejected, window as u64, "I3");
        assert_eq!(attempts, self.batch_mut(first).attempts);
        self.seen.retried += u32::from(attempts > 1);
        let taken = self.take_first(first, window);
        self.exported_ids.extend(taken);
        self.expected.exported += spans;
        self.fate = Some(Fate::Exported { rejected });
    }

    fn failed(&mut self, now: Instant, retry_at: Instant) {
        let Some((first, _)) = self.in_flight else {
            unreachable!("an attempt failed that nobody made");
        };
        assert!(retry_at >= now || self.shutting_down);
        let closed = self.circuit == State::Closed;
        let is_probe = self.is_probe;
        let batch = self.batch_mut(first);
        batch.failures += 1;
        batch.failed_probes += u32::from(is_probe);
        batch.waits_since = closed.then_some(now);
        self.fate = Some(Fate::Kept);
    }

    fn dropped(&mut self, now: Instant, spans: u64, reason: DropReason, attempts: u32) {
        self.drop_spans(reason, spans);
        let spans = usize::try_from(spans).unwrap_or(usize::MAX);
        match (reason, self.in_flight) {
            (DropReason::Expired | DropReason::Poison | DropReason::Shutdown, _) => {
                self.drop_one_of(now, spans, reason, attempts);
            }
            (DropReason::RetryExhausted, Some((first, _))) => {
                let may = self.circuit == State::Closed || self.config.when_open == WhenOpen::Drop;
                assert!(may, "4.4: an open circuit holds");
                let taken = self.take_first(first, spans);
                assert!(
                    self.held
                        .iter()
                        .all(|b| b.ids[0] < taken[0] || b.ids[0] > taken[spans - 1])
                );
                self.fate = Some(Fate::Dropped(reason));
            }
            (_, Some((first, window))) => {
                assert_eq!(spans, window, "I36: {reason}");
                self.take_first(first, window);
                self.fate = Some(Fate::Dropped(reason));
            }
            (_, None) => unreachable!("I4: {reason} without a request"),
        }
    }

    /// A whole batch was dropped for something else than its own answer: find out which.
    fn drop_one_of(&mut self, now: Instant, spans: usize, reason: DropReason, attempts: u32) {
        let age = self.config.max_batch_age;
        let stale = self.in_flight.filter(|_| self.stale && self.fate.is_none());
        let attempts_match = |b: &Held| {
            let repeated = stale.is_some_and(|(first, _)| first == b.ids[0]);
            b.attempts == attempts || repeated && b.attempts == attempts + 1
        };
        let candidates: Vec<u64> = self
            .held
            .iter()
            .filter(|b| b.ids.len() == spans && attempts_match(b))
            .filter(|b| reason != DropReason::Expired || now.saturating_since(b.first_at) >= age)
            .map(|b| b.ids[0])
            .collect();
        if reason == DropReason::Poison {
            let flight = self.in_flight.map(|(first, _)| first);
            if flight.is_some_and(|first| candidates.contains(&first)) && self.fate.is_none() {
                self.fate = Some(Fate::Dropped(reason));
            }
        }
        match candidates[..] {
            [] => {
                assert_eq!(reason, DropReason::Shutdown, "no batch of {spans} spans");
                assert_eq!((attempts, spans), (0, self.queue.len()));
                self.queue.clear();
            }
            [only] => {
                self.take_first(only, spans);
            }
            _ => self.doubts.push(Doubt {
                candidates,
                spans,
                reason,
            }),
        }
    }

    /// The batch that begins with `first` must be one that was dropped; false if none can be it.
    fn is_gone(&mut self, first: u64) -> bool {
        let fits = |doubt: &Doubt| doubt.candidates.contains(&first);
        let Some(place) = self.doubts.iter().position(fits) else {
            return false;
        };
        let doubt = self.doubts.remove(place);
        self.take_first(first, doubt.spans);
        self.is_not_gone(first);
        true
    }

    /// The batch that begins with `first` has been sent, or is accounted for: it is not the one that
    /// was dropped.
    fn is_not_gone(&mut self, first: u64) {
        for doubt in &mut self.doubts {
            doubt.candidates.retain(|&candidate| candidate != first);
            assert!(
                !doubt.candidates.is_empty(),
                "I2: sent after {}",
                doubt.reason
            );
        }
        let resolved: Vec<Doubt> = self
            .doubts
            .extract_if(.., |doubt| doubt.candidates.len() == 1)
            .collect();
        for doubt in resolved {
            self.take_first(doubt.candidates[0], doubt.spans);
        }
    }

    fn transition(&mut self, now: Instant, transition: Transition) {
        use State::{Closed, HalfOpen, Open};
        let Transition {
            from, to, reason, ..
        } = transition;
        assert_eq!(from, self.circuit, "I23: {transition}");
        let legal = matches!(
            (from, to),
            (Closed | HalfOpen, Open) | (Open, HalfOpen) | (HalfOpen, Closed)
        );
        assert!(legal, "I23: {transition}");
        match to {
            Open if reason == TransitionReason::Tripped => {
                assert!(!self.config.export_timeout.is_zero() && !self.shutting_down);
                assert_eq!(self.config.when_open, WhenOpen::Hold);
                self.open_until = now;
            }
            Open => {
                self.open_until = now.saturating_add(match self.config.breaker.open {
                    OpenInterval::Fixed(interval) => interval,
                    OpenInterval::Growing { initial, .. }
                    | OpenInterval::Prompt { initial, .. } => initial,
                });
            }
            HalfOpen => assert!(now >= self.open_until, "I27"),
            Closed => {}
        }
        self.seen.opened += u32::from(to == Open);
        self.seen.ran_out += u32::from(reason == TransitionReason::Tripped);
        self.seen.recovered += u32::from(to == Closed);
        self.seen.probe_failed += u32::from(reason == TransitionReason::ProbeFailed);
        self.seen.probe_lost += u32::from(reason == TransitionReason::ProbeLost);
        self.circuit = to;
    }

    fn obey(&mut self, now: Instant, reply: Reply) {
        if let Some(asked) = pause(reply) {
            let until = now.saturating_add(asked.min(RETRY_AFTER_CAP));
            self.not_before = self.not_before.max(until);
        }
    }
}
