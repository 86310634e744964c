//! The leased batches: the one in hand, and suspects set aside.
//!
//! A batch that fails too often is a *suspect*: it is parked, so that the next probe uses other
//! spans. Once another batch got through, parked suspects are *proven*: the destination is fine, so
//! what still fails is the batch's own fault.
//!
//! ```text
//!              select                    park
//!   queue ──────────────▶  in hand  ───────────────▶  parked (0 to 2)
//!                             ▲                          │
//!                             └──────────────────────────┘ select: due, and the circuit closed
//!                                                          or nothing else to send
//! ```

use core::time::Duration;

use super::MAX_PARKED;
use crate::backoff::{Backoff, BackoffConfig};
use crate::buffer::{Lease, Totals};
use crate::resource::ScopeId;
use crate::time::Instant;

/// A leased run of spans on its way to the collector.
#[derive(Debug)]
pub(super) struct Batch {
    lease: Lease,
    /// The number of its first span, counted over all spans ever taken in.
    first_number: u64,
    window: usize,
    /// The scope of all spans in the window, if that is known.
    scope: Option<ScopeId>,
    /// Then the bytes of their fields.
    field_bytes: usize,
    attempts: u32,
    /// Attempts that the breaker counted as failures.
    failures: u32,
    failed_probes: u32,
    backoff: Backoff,
    first_attempt: Option<Instant>,
    next_at: Instant,
    /// When the time of the export under way is over; [`Instant::MAX`] = never.
    export_ends: Instant,
    dated: bool,
    suspect: bool,
    proven: bool,
    /// The one free repetition after a stale connection has been used for this attempt.
    repeated: bool,
    /// The spans at its front that count among the possible duplicates.
    duplicates: usize,
}

impl Batch {
    /// A batch of the `len` spans of `lease`, with their totals if those are known.
    #[inline]
    pub(super) fn new(
        lease: Lease,
        first_number: u64,
        len: usize,
        totals: Option<Totals>,
        backoff: BackoffConfig,
    ) -> Self {
        Self {
            lease,
            first_number,
            window: len,
            scope: totals.and_then(|totals| totals.scope),
            field_bytes: totals.map_or(0, |totals| totals.field_bytes),
            attempts: 0,
            failures: 0,
            failed_probes: 0,
            backoff: Backoff::clamped(backoff),
            first_attempt: None,
            next_at: Instant::ZERO,
            export_ends: Instant::MAX,
            dated: totals.is_some_and(|totals| totals.dated),
            suspect: false,
            proven: false,
            repeated: false,
            duplicates: 0,
        }
    }

    pub(super) const fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }

    pub(super) const fn first_number(&self) -> u64 {
        self.first_number
    }

    /// The number of spans that the next request carries: all, or fewer after a 413.
    pub(super) const fn window(&self) -> usize {
        self.window
    }

    /// The scope of all spans in the window and the bytes of their fields, if known.
    pub(super) fn fields(&self) -> Option<(ScopeId, usize)> {
        Some((self.scope?, self.field_bytes))
    }

    pub(super) const fn is_dated(&self) -> bool {
        self.dated
    }

    pub(super) const fn mark_dated(&mut self) {
        self.dated = true;
    }

    pub(super) const fn is_suspect(&self) -> bool {
        self.suspect
    }

    pub(super) const fn is_proven(&self) -> bool {
        self.proven
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    #[cfg(feature = "std")]
    pub(super) const fn first_attempt(&self) -> Option<Instant> {
        self.first_attempt
    }

    /// Cuts its wait short; from here on only the deadline of the shutdown counts.
    pub(super) const fn hurry(&mut self) {
        self.next_at = Instant::ZERO;
        self.export_ends = Instant::MAX;
    }

    pub(super) const fn backoff_mut(&mut self) -> &mut Backoff {
        &mut self.backoff
    }

    /// Counts an attempt that starts at `now`.
    pub(super) const fn start_attempt(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        if self.first_attempt.is_none() {
            self.first_attempt = Some(now);
        }
    }

    /// Returns when the attempt that starts at `now` must be over for its export's sake. A probe is an
    /// export of its own, and so is an attempt that comes too late for the last one.
    pub(super) fn limit_export(
        &mut self,
        now: Instant,
        limit: Duration,
        is_probe: bool,
    ) -> Instant {
        if limit.is_zero() {
            self.export_ends = Instant::MAX;
        } else if is_probe || self.export_ends == Instant::MAX || self.export_ends <= now {
            self.export_ends = now.saturating_add(limit);
        }
        self.export_ends
    }

    /// Returns true if an attempt at `next` would come after the end of the export.
    pub(super) fn runs_out_before(&self, next: Instant) -> bool {
        next >= self.export_ends && self.export_ends < Instant::MAX
    }

    /// Does not count `nanos` as time spent retrying, nor as time of the export.
    pub(super) fn exclude_nanos(&mut self, nanos: u64) {
        self.backoff.exclude_nanos(nanos);
        self.export_ends = self.export_ends.saturating_add_nanos(nanos);
    }

    /// Milliseconds since the start of the first attempt; 0 without one.
    pub(super) fn millis_since_first(&self, now: Instant) -> u32 {
        let nanos = self.first_attempt.map_or(0, |first| now.nanos_since(first));
        // A division would add code that a small processor needs for nothing else.
        let units = u32::try_from(nanos >> 20).unwrap_or(u32::MAX);
        let rest = (u64::from(units) * 3183) >> 16;
        units.saturating_add(rest as u32)
    }

    /// The attempt was given up, and does not count.
    pub(super) const fn cancel_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// Returns true if the attempt may be repeated at once for free: it can be once.
    pub(super) const fn repeat_attempt(&mut self) -> bool {
        if self.repeated {
            return false;
        }
        self.repeated = true;
        self.cancel_attempt();
        true
    }

    /// Counts an attempt that the breaker took for a failure.
    pub(super) fn count_failure(&mut self, is_probe: bool) {
        self.failures = self.failures.saturating_add(1);
        self.failed_probes = self.failed_probes.saturating_add(u32::from(is_probe));
    }

    /// Counts the spans of the window among the possible duplicates, and returns how many of them
    /// did not yet: each span counts once.
    pub(super) fn count_duplicates(&mut self) -> usize {
        let new = self.window.saturating_sub(self.duplicates);
        self.duplicates += new;
        new
    }

    /// Waits for a retry until `next_at`. As many failures as the breaker's `threshold`, or two
    /// failed probes, make it a suspect.
    pub(super) const fn wait_until(&mut self, next_at: Instant, threshold: u32) {
        self.next_at = next_at;
        self.repeated = false;
        if self.failures >= threshold || self.failed_probes >= 2 {
            self.suspect = true;
        }
    }

    /// Sends half of the window next.
    pub(super) const fn halve(&mut self, now: Instant) {
        self.window = self.window.div_ceil(2);
        self.scope = None;
        self.next_at = now;
    }

    /// The first `sent` spans are settled; the `left` ones behind start afresh.
    pub(super) fn keep_rest(&mut self, now: Instant, sent: usize, left: usize) {
        self.first_number = self.first_number.saturating_add(sent as u64);
        self.window = sent.min(left);
        self.duplicates = self.duplicates.saturating_sub(sent);
        self.scope = None;
        self.attempts = 0;
        self.failures = 0;
        self.failed_probes = 0;
        self.backoff.start(now);
        self.next_at = now;
        self.export_ends = Instant::MAX;
        self.repeated = false;
        // The suspected spans are gone; the rest has not failed yet.
        self.suspect = false;
        self.proven = false;
    }

    /// Another batch got through: this one has its retries once more.
    fn prove(&mut self, now: Instant) {
        if !self.proven {
            self.proven = true;
            self.backoff.start(now);
            self.next_at = self.next_at.max(now);
            self.export_ends = Instant::MAX;
        }
    }

    /// Compares ages and not ends, which saturate: at the end of time every batch would be old.
    pub(super) fn is_older_than(&self, nanos: u64, now: Instant) -> bool {
        self.first_attempt
            .is_some_and(|first| now.nanos_since(first) >= nanos)
    }
}

/// Where the next request's batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    InHand,
    Queue,
    Suspect,
}

#[derive(Debug)]
pub(super) struct Batches {
    /// In flight, or the next to be.
    in_hand: Option<Batch>,
    /// The oldest first.
    parked: [Option<Batch>; MAX_PARKED],
}

impl Batches {
    // A constant would lie in flash, all of its bytes, to be copied from there.
    #[inline(always)]
    pub(super) const fn none() -> Self {
        Self {
            in_hand: None,
            parked: [const { None }; MAX_PARKED],
        }
    }

    pub(super) const fn in_hand(&self) -> Option<&Batch> {
        self.in_hand.as_ref()
    }

    pub(super) const fn in_hand_mut(&mut self) -> Option<&mut Batch> {
        self.in_hand.as_mut()
    }

    /// The batch in hand, if its wait is over.
    pub(super) fn ready(&mut self, now: Instant) -> Option<&mut Batch> {
        // A wait that does not fit into time has no end: at the end of time nothing may spin.
        self.in_hand
            .as_mut()
            .filter(|batch| batch.next_at <= now && batch.next_at < Instant::MAX)
    }

    pub(super) const fn take_in_hand(&mut self) -> Option<Batch> {
        self.in_hand.take()
    }

    pub(super) fn put_in_hand(&mut self, batch: Batch) {
        self.in_hand = Some(batch);
    }

    pub(super) fn has_parked(&self) -> bool {
        self.parked.iter().any(Option::is_some)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Batch> {
        // As references of one size: pointers to batches would have to be divided by their size.
        let [first, second] = &self.parked;
        [first, second, &self.in_hand].into_iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        let [first, second] = &mut self.parked;
        [first, second, &mut self.in_hand].into_iter().flatten()
    }

    /// When the first suspect may be sent; [`Instant::MAX`] without any.
    pub(super) fn parked_until(&self) -> Instant {
        let parked = self.parked.iter().flatten();
        parked.fold(Instant::MAX, |next, batch| next.min(batch.next_at))
    }

    /// When the first of all attempts was made; [`Instant::MAX`] without any.
    pub(super) fn first_attempt(&self) -> Instant {
        self.iter()
            .filter_map(|batch| batch.first_attempt)
            .fold(Instant::MAX, Instant::min)
    }

    /// Chooses the batch to send next. A healthy destination gets the oldest spans first, an
    /// unhealthy one any batch but a suspect.
    pub(super) fn choose(&self, now: Instant, healthy: bool, queue_is_due: bool) -> Option<Choice> {
        if self.in_hand.is_some() {
            return Some(Choice::InHand);
        }
        let suspect_is_due = self
            .parked
            .iter()
            .flatten()
            .any(|batch| batch.next_at <= now);
        match (suspect_is_due, queue_is_due) {
            (true, _) if healthy => Some(Choice::Suspect),
            (_, true) => Some(Choice::Queue),
            (true, false) => Some(Choice::Suspect),
            (false, false) => None,
        }
    }

    /// Takes the suspect that was parked first in hand.
    pub(super) fn take_up_suspect(&mut self) {
        self.in_hand = self.take_parked(0);
    }

    /// Sets a suspect aside, so that the next probe uses another batch. With all places taken, one
    /// that is proven guilty makes way and is returned, to be dropped; else `batch` stays in hand:
    /// nothing got through, so the destination is at fault and not these batches.
    #[must_use]
    pub(super) fn park(&mut self, batch: Batch) -> Option<Batch> {
        let full = self.parked.iter().all(Option::is_some);
        let first = self.parked.first().and_then(Option::as_ref);
        if full && !first.is_some_and(Batch::is_proven) {
            self.in_hand = Some(batch);
            return None;
        }
        let guilty = if full { self.take_parked(0) } else { None };
        if let Some(place) = self.parked.iter_mut().find(|place| place.is_none()) {
            *place = Some(batch);
        }
        guilty
    }

    /// [Parks](Self::park) the batch in hand if it is a suspect.
    #[must_use]
    pub(super) fn park_suspect_in_hand(&mut self) -> Option<Batch> {
        let suspect = self.in_hand.take_if(|batch| batch.suspect)?;
        self.park(suspect)
    }

    /// Another batch got through: the destination is fine.
    pub(super) fn prove(&mut self, now: Instant) {
        for suspect in self.parked.iter_mut().flatten() {
            suspect.prove(now);
        }
    }

    /// Takes a batch out whose first attempt is at least `nanos` ago.
    pub(super) fn take_expired(&mut self, now: Instant, nanos: u64) -> Option<Batch> {
        let is_old = |batch: &Batch| batch.is_older_than(nanos, now);
        if let Some(batch) = self.in_hand.take_if(|batch| is_old(batch)) {
            return Some(batch);
        }
        let is_old = |parked: &Option<Batch>| parked.as_ref().is_some_and(is_old);
        let place = self.parked.iter().position(is_old)?;
        self.take_parked(place)
    }

    pub(super) fn take_any(&mut self) -> Option<Batch> {
        self.take_parked(0).or_else(|| self.in_hand.take())
    }

    /// As [`Batch::exclude_nanos`].
    pub(super) fn exclude_nanos(&mut self, nanos: u64) {
        for batch in self.iter_mut() {
            batch.exclude_nanos(nanos);
        }
    }

    /// As [`Batch::hurry`].
    pub(super) fn hurry(&mut self) {
        for batch in self.iter_mut() {
            batch.hurry();
        }
    }

    /// Takes a parked batch out; the others move up.
    fn take_parked(&mut self, place: usize) -> Option<Batch> {
        let behind = self.parked.get_mut(place..)?;
        let batch = behind.first_mut()?.take();
        behind.rotate_left(1);
        batch
    }
}

#[cfg(test)]
mod tests;
