//! A shard: the queue in which a thread leaves finished spans for the drainer.
//!
//! Each thread has its own shard and writes to it without a lock ([`SpscQueue`]). Shards belong
//! to the provider and outlive their threads: spans of a quiet or finished thread are drained like
//! all others, and the next thread takes the shard over. When there are
//! [`MAX_SHARDS`](super::set::MAX_SHARDS), further threads take turns at one common shard, so that
//! memory stays bounded.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::backpressure::Backpressure;
use super::drain::{Drain, DrainOutcome, Lost};
use super::spsc::SpscQueue;
use crate::buffer::{PushError, Record};
use crate::hosted::metrics::{ByDecision, ByOrigin};
use crate::hosted::process::Home;
use crate::response::DropReason;
use crate::sampler::SamplingDecision;
use crate::span::stored::StoredSpan;
use crate::stats::Ledger;
use crate::time::Instant;
use crate::tracer::Origin;

/// One shard.
#[derive(Debug)]
pub(in crate::hosted) struct Shard {
    /// A thread records into it. The common shard has no owner.
    owned: AtomicBool,
    /// The right to write to the common shard; other shards have one writer and need none.
    turn: Option<Mutex<()>>,
    /// The process whose threads take turns.
    home: Home,
    pub(super) queue: SpscQueue,
    /// The number of spans at which the drainer is woken.
    wake_at: usize,
    /// The drainer has been woken since it last came.
    woken: AtomicBool,
    closed: AtomicBool,
    backpressure: Arc<Backpressure>,
    /// The reports about spans of this shard that were made, as bits.
    reported: AtomicU8,
    counters: Counters<Counter>,
    /// Only the drainer takes this lock, and readers of the counts.
    totals: Mutex<Totals>,
}

/// Events counted by the writing thread, and their sums at the drainer.
#[derive(Debug, Default)]
struct Counters<T> {
    /// By the parent's [`Origin`].
    recorded: [T; 3],
    record_only: [T; 3],
    not_sampled: [T; 3],
    full: T,
    too_large: T,
    shutdown: T,
    record_only_ended: T,
    incomplete: T,
    filtered: T,
}

/// A counter with one writer and any number of readers. It wraps around, on 32 bits perhaps within
/// days.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Counter {
    #[inline(always)]
    fn advance(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count.wrapping_add(1), Ordering::Relaxed);
    }
}

/// The sum of a counter that wraps around.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    seen: usize,
    sum: u64,
}

impl Total {
    fn update(&mut self, now: usize) {
        self.sum += now.wrapping_sub(self.seen) as u64;
        self.seen = now;
    }
}

/// The drainer's side of a shard.
#[derive(Debug, Default)]
struct Totals {
    /// The number of spans that a flush still waits for.
    awaited: usize,
    /// The spans left here are given up.
    abandoned: bool,
    pushed: Total,
    sums: Counters<Total>,
}

/// The spans of the threads of a shard.
#[derive(Debug)]
pub(in crate::hosted) struct ShardCounts {
    pub(in crate::hosted) started: ByDecision<ByOrigin>,
    /// Sampled spans that ended.
    pub(in crate::hosted) ended: u64,
    pub(in crate::hosted) record_only_ended: u64,
    /// Sampled spans that ended without all that was set on them.
    pub(in crate::hosted) incomplete: u64,
}

impl Shard {
    pub(in crate::hosted) fn new(
        bytes: usize,
        wake_at: usize,
        closed: bool,
        is_common: bool,
        backpressure: &Arc<Backpressure>,
    ) -> Option<Self> {
        let queue = SpscQueue::new(bytes)?;
        Some(Self::over(queue, wake_at, closed, is_common, backpressure))
    }

    /// A shard of threads for which there is no memory: it counts their spans as lost.
    pub(in crate::hosted) fn without_memory(
        closed: bool,
        backpressure: &Arc<Backpressure>,
    ) -> Self {
        let queue = SpscQueue::without_memory();
        Self::over(queue, usize::MAX, closed, true, backpressure)
    }

    fn over(
        queue: SpscQueue,
        wake_at: usize,
        closed: bool,
        is_common: bool,
        backpressure: &Arc<Backpressure>,
    ) -> Self {
        Self {
            owned: AtomicBool::new(!is_common),
            turn: is_common.then(Mutex::default),
            home: Home::here(),
            queue,
            wake_at,
            woken: AtomicBool::new(false),
            closed: AtomicBool::new(closed),
            backpressure: Arc::clone(backpressure),
            reported: AtomicU8::new(0),
            counters: Counters::default(),
            totals: Mutex::default(),
        }
    }

    /// Returns true if threads take turns at it.
    pub(in crate::hosted) const fn is_common(&self) -> bool {
        self.turn.is_some()
    }

    /// Takes a record in or counts its loss; `true` if it is time to wake the drainer.
    #[inline(always)]
    pub(in crate::hosted) fn push(&self, record: &Record<'_>) -> Result<bool, PushError> {
        if self.turn.is_some() {
            return self.push_in_turn(record);
        }
        self.push_alone(record)
    }

    #[inline(never)]
    fn push_in_turn(&self, record: &Record<'_>) -> Result<bool, PushError> {
        let Some(turn) = self.take_turn() else {
            return self.lose(PushError::Shutdown);
        };
        if self.queue.has_no_memory() && !self.closed.load(Ordering::Acquire) {
            // To wake the drainer would not help.
            self.counters.full.advance();
            return Err(PushError::Full);
        }
        match self.attempt(record) {
            Err(PushError::Full) if self.backpressure.may_wait() => {
                // The others go on meanwhile, at least until they find no room either.
                drop(turn);
                self.push_later(record)
            }
            Err(error) => self.lose(error),
            pushed => pushed,
        }
    }

    /// Pushes without a count of what is lost.
    fn attempt(&self, record: &Record<'_>) -> Result<bool, PushError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(PushError::Shutdown);
        }
        let is_due = self.queue.push(record, self.wake_at)?;
        Ok(is_due && self.claim_wake())
    }

    /// Pushes as soon as there is room, if there is in time.
    #[cold]
    #[inline(never)]
    fn push_later(&self, record: &Record<'_>) -> Result<bool, PushError> {
        let pushed = self.backpressure.wait(|| {
            let _turn = match self.turn {
                Some(_) => Some(self.take_turn()?),
                None => None,
            };
            let pushed = self.attempt(record);
            (pushed != Err(PushError::Full)).then_some(pushed)
        });
        pushed.unwrap_or(Err(PushError::Full)).or_else(|error| {
            let _turn = self.take_turn();
            self.lose(error)
        })
    }

    /// What has no room here now.
    #[cold]
    #[inline(never)]
    fn miss(&self, error: PushError, record: &Record<'_>) -> Result<bool, PushError> {
        match error {
            PushError::Full if self.backpressure.may_wait() => self.push_later(record),
            error => self.lose(error),
        }
    }

    #[inline(always)]
    fn push_alone(&self, record: &Record<'_>) -> Result<bool, PushError> {
        if self.closed.load(Ordering::Acquire) {
            return self.lose(PushError::Shutdown);
        }
        match self.queue.push(record, self.wake_at) {
            Ok(is_due) => Ok(is_due && self.claim_wake()),
            Err(error) => self.miss(error, record),
        }
    }

    // The drainer clears `woken` before it reads the queue, so the flag that we read may be stale.
    // With `wake_at == 1` we always swap it; otherwise a missed wake-up is repaired by the next
    // span or by the batch timer.
    fn claim_wake(&self) -> bool {
        let seen = self.wake_at > 1 && self.woken.load(Ordering::Relaxed);
        !seen && !self.woken.swap(true, Ordering::SeqCst)
    }

    #[cold]
    fn lose(&self, error: PushError) -> Result<bool, PushError> {
        match error {
            PushError::Full => self.counters.full.advance(),
            PushError::TooLarge => self.counters.too_large.advance(),
            PushError::Shutdown => self.counters.shutdown.advance(),
        }
        // A full shard wakes again: the drainer may have been slow to come.
        if error == PushError::Full && self.claim_wake() {
            return Ok(true);
        }
        Err(error)
    }

    /// Counts a started span by the sampler's decision and its parent's origin.
    #[inline(always)]
    pub(in crate::hosted) fn count(&self, decision: SamplingDecision, origin: Origin) {
        let _turn = self.turn.is_some().then(|| self.take_turn());
        let by_origin = match decision {
            SamplingDecision::RecordAndSample => &self.counters.recorded,
            SamplingDecision::RecordOnly => &self.counters.record_only,
            SamplingDecision::Drop => &self.counters.not_sampled,
        };
        // By index: branches would cost more.
        if let Some(counter) = by_origin.get(origin as usize) {
            counter.advance();
        }
    }

    /// Counts the end of a span that was recorded only.
    #[cold]
    pub(in crate::hosted) fn count_record_only_ended(&self) {
        let _turn = self.take_turn();
        self.counters.record_only_ended.advance();
    }

    /// Counts a span that does not hold all that was set on it. Returns those of the bits `causes`
    /// that are new here.
    #[cold]
    pub(in crate::hosted) fn count_incomplete(&self, causes: u8) -> u8 {
        let _turn = self.take_turn();
        self.counters.incomplete.advance();
        let known = self.reported.load(Ordering::Relaxed);
        self.reported.store(known | causes, Ordering::Relaxed);
        causes & !known
    }

    /// Counts a sampled span that ended and that a processor dropped.
    #[cold]
    pub(in crate::hosted) fn count_filtered(&self) {
        let _turn = self.take_turn();
        self.counters.filtered.advance();
    }

    /// `None` if there are no turns to take; also in a forked child, if a thread of the parent had
    /// its turn.
    #[cold]
    fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.home.lock(self.turn.as_ref()?)
    }

    /// Lets the next drains report how many of the spans held now are left: a flush waits for them.
    pub(in crate::hosted) fn mark(&self) {
        self.totals().awaited = self.queue.len();
    }

    /// The spans and bytes held. The next span that makes a drain due wakes the drainer again.
    pub(in crate::hosted) fn held(&self) -> (usize, usize) {
        // Before the queue is read; see `claim_wake`.
        self.woken.swap(false, Ordering::SeqCst);
        (self.queue.len(), self.queue.bytes())
    }

    /// The free bytes for the thread that records here; 0 if there is none.
    pub(in crate::hosted) fn free_bytes(&self) -> usize {
        if self.is_common() || self.owned.load(Ordering::Relaxed) {
            self.queue.free_bytes()
        } else {
            0
        }
    }

    /// Hands finished spans to `target`, oldest first, until it refuses one, `most` are taken, or
    /// none that had ended before the drain is left.
    pub(in crate::hosted) fn drain(
        &self,
        scratch: &mut Vec<u8>,
        most: usize,
        target: &mut dyn Drain,
    ) -> DrainOutcome {
        let mut totals = self.totals();
        let mut taken = 0;
        // Before the queue is read; see `claim_wake`.
        self.woken.swap(false, Ordering::SeqCst);
        let mut oldest = None;
        let mut is_complete = self.queue.drain_runs(most, &mut |fill| {
            let run = target.take_run(fill)?;
            oldest = oldest.or(run.oldest);
            taken += run.records as usize;
            Some(run)
        });
        if !is_complete {
            is_complete = self.queue.drain(scratch, &mut |record| {
                let ended = || {
                    Some(Instant::from_nanos(
                        StoredSpan::new(record.body)?.end_nanos(),
                    ))
                };
                oldest = oldest.or_else(ended);
                let has_room = taken < most && target.take(record);
                taken += usize::from(has_room);
                has_room
            });
        }
        totals.awaited = totals.awaited.saturating_sub(taken);
        totals.update(self);
        let Counters {
            full, too_large, ..
        } = &totals.sums;
        DrainOutcome {
            taken,
            is_complete,
            awaited: totals.awaited,
            oldest,
            lost: Lost {
                full: full.sum,
                too_large: too_large.sum,
            },
        }
    }

    /// Counts the spans left here, and those still to come, as lost: the shutdown is over.
    pub(in crate::hosted) fn abandon(&self) {
        let mut totals = self.totals();
        totals.awaited = 0;
        totals.abandoned = true;
    }

    /// Ends the intake: spans pushed from now on are counted as lost to the shutdown.
    pub(in crate::hosted) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The shard's part of the ledger: spans lost and spans waiting.
    pub(in crate::hosted) fn ledger(&self) -> Ledger {
        let mut totals = self.totals();
        totals.update(self);
        let Counters {
            full,
            too_large,
            shutdown,
            filtered,
            ..
        } = &totals.sums;
        let mut ledger = Ledger::default();
        ledger.drop_spans(DropReason::Filtered, filtered.sum);
        ledger.drop_spans(DropReason::QueueFull, full.sum);
        ledger.drop_spans(DropReason::TooLarge, too_large.sum);
        ledger.drop_spans(DropReason::Shutdown, shutdown.sum);
        let held = self.queue.len() as u64;
        if totals.abandoned {
            ledger.drop_spans(DropReason::Shutdown, held);
        } else {
            ledger.buffered = held;
        }
        ledger.ended = ledger.dropped_total().saturating_add(ledger.buffered);
        ledger
    }

    /// The spans started and ended by the threads of this shard.
    pub(in crate::hosted) fn counts(&self) -> ShardCounts {
        let mut totals = self.totals();
        totals.update(self);
        let Counters {
            recorded,
            record_only,
            not_sampled,
            full,
            too_large,
            shutdown,
            record_only_ended,
            incomplete,
            filtered,
        } = &totals.sums;
        let lost = full.sum + too_large.sum + shutdown.sum + filtered.sum;
        let by_origin = |[none, local, remote]: &[Total; 3]| ByOrigin {
            none: none.sum,
            local: local.sum,
            remote: remote.sum,
        };
        ShardCounts {
            started: ByDecision {
                record_and_sample: by_origin(recorded),
                record_only: by_origin(record_only),
                drop: by_origin(not_sampled),
            },
            ended: totals.pushed.sum + lost,
            record_only_ended: record_only_ended.sum,
            incomplete: incomplete.sum,
        }
    }

    /// Frees the shard for the next thread.
    pub(in crate::hosted) fn disown(&self) {
        self.owned.store(false, Ordering::Release);
    }

    /// Takes the shard if it has no owner; `true` on success.
    pub(in crate::hosted) fn own(&self) -> bool {
        self.turn.is_none() && !self.owned.swap(true, Ordering::Acquire)
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn update(&mut self, shard: &Shard) {
        for (total, counter) in self.sums.iter_mut().zip(shard.counters.iter()) {
            total.update(counter.0.load(Ordering::Relaxed));
        }
        self.pushed.update(shard.queue.pushed());
    }
}

impl<T> Counters<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        let started = [&self.recorded, &self.record_only, &self.not_sampled];
        started.into_iter().flatten().chain([
            &self.full,
            &self.too_large,
            &self.shutdown,
            &self.record_only_ended,
            &self.incomplete,
            &self.filtered,
        ])
    }

    /// In the order of [`iter`](Self::iter).
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let started = [
            &mut self.recorded,
            &mut self.record_only,
            &mut self.not_sampled,
        ];
        started.into_iter().flatten().chain([
            &mut self.full,
            &mut self.too_large,
            &mut self.shutdown,
            &mut self.record_only_ended,
            &mut self.incomplete,
            &mut self.filtered,
        ])
    }
}

#[cfg(test)]
mod tests;
