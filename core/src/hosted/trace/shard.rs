//! Where threads leave finished spans: small rings that a drainer empties.
//!
//! A thread records into a shard of its own as long as there are enough, and then without a lock
//! ([`RecordRing`]). Shards belong to the provider and outlive the threads: what a quiet or a
//! finished thread left is drained like anything else, and the next thread takes the shard over.
//! Beyond [`MAX_SHARDS`] threads record into one that they share, in turn, so that memory stays
//! bounded.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::ring::RecordRing;
use crate::buffer::{PushError, Record, Run};
use crate::frame::Frame;
use crate::response::DropReason;
use crate::sampler::SamplingDecision;
use crate::stats::Ledger;
use crate::time::Instant;
use crate::tracer::Started;

/// The most shards of a provider; the last one is shared by all threads that found no other.
pub(super) const MAX_SHARDS: usize = 64;

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    /// Whether a thread records into it. Nobody owns the shared one.
    owned: AtomicBool,
    /// Only for the shared shard: whoever holds it may write.
    turn: Option<Mutex<()>>,
    ring: RecordRing,
    /// Spans that wake the drainer.
    wake_at: usize,
    /// Whether it has been woken since the last drain.
    woken: AtomicBool,
    closed: AtomicBool,
    counters: Counters,
    /// The drainer's; nobody else takes this lock but to count.
    drained: Mutex<Outgoing>,
}

/// What has happened here, advanced by whoever writes.
#[derive(Debug, Default)]
struct Counters {
    recorded: Counter,
    record_only: Counter,
    not_sampled: Counter,
    full: Counter,
    too_large: Counter,
    shutdown: Counter,
}

/// Counts what one thread does for others to read. It wraps around, on 32 bits perhaps within days.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Counter {
    #[inline(always)]
    fn advance(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count.wrapping_add(1), Ordering::Relaxed);
    }
}

/// A counter added up, so that nothing is lost when it wraps around.
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

/// What the drainer knows of the spans here.
#[derive(Debug, Default)]
struct Outgoing {
    /// The next spans, here and beyond, that a flush waits for.
    awaited: usize,
    /// Whether what is left here is given up.
    abandoned: bool,
    pushed: Total,
    /// In the order of [`Counters`].
    totals: [Total; 6],
}

impl Shard {
    fn new(bytes: usize, wake_at: usize, closed: bool, shared: bool) -> Self {
        Self {
            owned: AtomicBool::new(!shared),
            turn: shared.then(Mutex::default),
            ring: RecordRing::new(bytes),
            wake_at,
            woken: AtomicBool::new(false),
            closed: AtomicBool::new(closed),
            counters: Counters::default(),
            drained: Mutex::default(),
        }
    }

    /// Takes a record in or counts its loss. Whether it is time to wake the drainer.
    #[inline(always)]
    pub(super) fn push(&self, record: &Record<'_>) -> Result<bool, PushError> {
        if self.turn.is_some() {
            return self.push_in_turn(record);
        }
        self.push_alone(record)
    }

    #[inline(never)]
    fn push_in_turn(&self, record: &Record<'_>) -> Result<bool, PushError> {
        let _turn = self.take_turn();
        self.push_alone(record)
    }

    #[inline(always)]
    fn push_alone(&self, record: &Record<'_>) -> Result<bool, PushError> {
        if self.closed.load(Ordering::Acquire) {
            return self.lose(PushError::Shutdown);
        }
        match self.ring.push(record, self.wake_at) {
            Ok(is_due) => Ok(is_due && self.shall_wake()),
            Err(error) => self.lose(error),
        }
    }

    /// A drainer that looks at the ring just before a record came clears the mark just before as
    /// well; that we see it set may be the past. Where every span counts this is excluded;
    /// otherwise the next span will wake, or the drainer comes when the batch is due.
    fn shall_wake(&self) -> bool {
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
        if error == PushError::Full && self.shall_wake() {
            return Ok(true);
        }
        Err(error)
    }

    /// Counts a span that was started, by what the sampler said.
    #[inline(always)]
    pub(super) fn count(&self, decision: SamplingDecision) {
        let _turn = self.turn.is_some().then(|| self.take_turn());
        match decision {
            SamplingDecision::RecordAndSample => self.counters.recorded.advance(),
            SamplingDecision::RecordOnly => self.counters.record_only.advance(),
            SamplingDecision::Drop => self.counters.not_sampled.advance(),
        }
    }

    #[cold]
    fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        let turn = self.turn.as_ref()?;
        Some(turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the next drains count down to what is held now.
    pub(super) fn mark(&self) {
        self.outgoing().awaited = self.ring.len();
    }

    /// Hands finished spans to `target`, the oldest first, until it refuses one or all that had
    /// ended before are taken. What it refused comes first the next time.
    fn drain(&self, scratch: &mut Vec<u8>, target: &mut dyn Drain) -> Drained {
        let mut outgoing = self.outgoing();
        let awaited = &mut outgoing.awaited;
        // Before the ring is looked at; see `shall_wake`.
        self.woken.swap(false, Ordering::SeqCst);
        let mut oldest = None;
        let mut see = |body: &[u8]| {
            if oldest.is_none() {
                oldest = Frame::new(body).map(|frame| Instant::from_nanos(frame.end_nanos()));
            }
        };
        let mut is_complete = self.ring.drain_runs(scratch, &mut |run| {
            see(run.first_body());
            let taken = target.take_run(run);
            *awaited = awaited.saturating_sub(if taken { run.len() } else { 0 });
            taken
        });
        if !is_complete {
            is_complete = self.ring.drain(scratch, &mut |record| {
                see(record.body);
                let taken = target.take(record);
                *awaited = awaited.saturating_sub(usize::from(taken));
                taken
            });
        }
        outgoing.update(self);
        Drained {
            is_complete,
            awaited: outgoing.awaited,
            oldest,
        }
    }

    /// Gives up what is left, at the end of a shutdown; what has come in meanwhile as well.
    pub(super) fn abandon(&self) {
        let mut outgoing = self.outgoing();
        outgoing.awaited = 0;
        outgoing.abandoned = true;
    }

    /// Ends the intake: from now on spans are counted as lost for the shutdown.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The part of the loss equation that is here: what was lost, and what waits.
    pub(super) fn ledger(&self) -> Ledger {
        let mut outgoing = self.outgoing();
        outgoing.update(self);
        let [_, _, _, full, too_large, shutdown] = outgoing.totals;
        let mut ledger = Ledger::default();
        ledger.drop_spans(DropReason::QueueFull, full.sum);
        ledger.drop_spans(DropReason::TooLarge, too_large.sum);
        ledger.drop_spans(DropReason::Shutdown, shutdown.sum);
        let held = self.ring.len() as u64;
        if outgoing.abandoned {
            ledger.drop_spans(DropReason::Shutdown, held);
        } else {
            ledger.buffered = held;
        }
        ledger.ended = ledger.dropped_total().saturating_add(ledger.buffered);
        ledger
    }

    /// The spans started for this shard, and those ended.
    pub(super) fn counts(&self) -> (Started, u64) {
        let mut outgoing = self.outgoing();
        outgoing.update(self);
        let [recorded, record_only, not_sampled, lost @ ..] = outgoing.totals;
        let started = Started {
            recorded: recorded.sum,
            record_only: record_only.sum,
            not_sampled: not_sampled.sum,
        };
        let lost: u64 = lost.iter().map(|total| total.sum).sum();
        (started, outgoing.pushed.sum + lost)
    }

    /// Gives the shard to whoever wants one next.
    pub(super) fn disown(&self) {
        self.owned.store(false, Ordering::Release);
    }

    /// Takes the shard, when it is free.
    fn own(&self) -> bool {
        self.turn.is_none() && !self.owned.swap(true, Ordering::Acquire)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn update(&mut self, shard: &Shard) {
        let Counters {
            recorded,
            record_only,
            not_sampled,
            full,
            too_large,
            shutdown,
        } = &shard.counters;
        let counters = [
            recorded,
            record_only,
            not_sampled,
            full,
            too_large,
            shutdown,
        ];
        for (total, counter) in self.totals.iter_mut().zip(counters) {
            total.update(counter.0.load(Ordering::Relaxed));
        }
        self.pushed.update(shard.ring.pushed());
    }
}

/// Where a drain puts finished spans.
pub(crate) trait Drain {
    /// Takes all of these in, or none.
    fn take_run(&mut self, run: &Run<'_>) -> bool;

    /// Takes one in, or says that there is no room.
    fn take(&mut self, record: &Record<'_>) -> bool;
}

/// What a drain came to.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Whether everything that had ended before the drain has been taken.
    pub(crate) is_complete: bool,
    /// Spans left that a flush waits for.
    pub(crate) awaited: usize,
    /// Since when the oldest of the spans had been waiting.
    pub(crate) oldest: Option<Instant>,
}

/// All shards of a provider.
#[derive(Debug)]
pub(super) struct Shards {
    list: Mutex<List>,
    /// The drainer's, for what it takes out.
    scratch: Mutex<Vec<u8>>,
    bytes: usize,
    wake_at: usize,
}

#[derive(Debug, Default)]
struct List {
    shards: Vec<Arc<Shard>>,
    closed: bool,
}

impl Shards {
    pub(super) fn new(bytes: usize, wake_at: usize) -> Self {
        Self {
            list: Mutex::default(),
            scratch: Mutex::default(),
            bytes,
            wake_at,
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard for the calling thread: one without an owner, a new one, or the shared one.
    pub(super) fn claim(&self) -> Arc<Shard> {
        let mut list = self.list();
        if let Some(shard) = list.shards.iter().find(|shard| shard.own()) {
            return Arc::clone(shard);
        }
        let shared = list.shards.len() + 1 >= MAX_SHARDS;
        match list.shards.last() {
            Some(last) if last.turn.is_some() => Arc::clone(last),
            _ => {
                let shard = Arc::new(Shard::new(self.bytes, self.wake_at, list.closed, shared));
                list.shards.push(Arc::clone(&shard));
                shard
            }
        }
    }

    /// Hands the finished spans of all threads to `target`.
    pub(super) fn drain(&self, target: &mut dyn Drain) -> Drained {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Drained {
            is_complete: true,
            ..Drained::default()
        };
        self.for_each(|shard| {
            let drained = shard.drain(&mut scratch, target);
            sum.is_complete &= drained.is_complete;
            sum.awaited += drained.awaited;
            sum.oldest = match (sum.oldest, drained.oldest) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        });
        sum
    }

    /// Visits every shard. One that is added meanwhile is seen by the next visit.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Shard)) {
        for shard in &self.list().shards {
            visit(shard);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list().shards.len()
    }

    pub(super) fn close(&self) {
        self.list().closed = true;
        self.for_each(Shard::close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::RecordFlags;
    use crate::resource::ScopeId;

    fn push(shard: &Shard) -> Result<bool, PushError> {
        shard.push(&Record {
            scope: ScopeId(0),
            flags: RecordFlags::NONE,
            body: &[0; 64],
        })
    }

    struct Taker;

    impl Drain for Taker {
        fn take_run(&mut self, _: &Run<'_>) -> bool {
            false
        }

        fn take(&mut self, _: &Record<'_>) -> bool {
            true
        }
    }

    #[test]
    fn threads_beyond_the_last_shard_share_one_and_no_span_of_theirs_is_lost() {
        const THREADS: usize = 8;
        let shards = Shards::new(64 * 1024, 1 << 20);
        let own: Vec<_> = (1..MAX_SHARDS).map(|_| shards.claim()).collect();
        let all: Vec<_> = (0..THREADS).map(|_| shards.claim()).collect();
        assert!(all.iter().all(|shard| Arc::ptr_eq(shard, &all[0])));
        assert_eq!(shards.len(), MAX_SHARDS);
        std::thread::scope(|scope| {
            for shard in &all {
                scope.spawn(|| {
                    for _ in 0..100 {
                        shard.count(SamplingDecision::RecordAndSample);
                        push(shard).unwrap();
                    }
                });
            }
        });
        let (started, ended) = all[0].counts();
        assert_eq!((started.recorded, ended), (800, 800));
        assert_eq!(all[0].ledger().buffered, 800);
        // One that is given back is taken before the shared one.
        own[5].disown();
        assert!(Arc::ptr_eq(&shards.claim(), &own[5]));
    }

    #[test]
    fn a_span_that_comes_after_the_end_counts_as_lost_for_it() {
        let shards = Shards::new(1024, 1 << 20);
        let shard = shards.claim();
        push(&shard).unwrap();
        shards.close();
        assert_eq!(push(&shard), Err(PushError::Shutdown));
        assert_eq!(shard.ledger().buffered, 1);
        shard.abandon();
        let ledger = shard.ledger();
        assert_eq!(
            (ledger.buffered, ledger.dropped(DropReason::Shutdown)),
            (0, 2)
        );
        assert!(ledger.is_balanced());
    }

    #[test]
    fn the_drainer_is_woken_once_until_it_comes() {
        for wake_at in [1, 3] {
            let shard = Shard::new(4096, wake_at, false, false);
            for _ in 0..2 {
                let woken: Vec<_> = (0..6).map(|_| push(&shard).unwrap()).collect();
                let expected: Vec<_> = (1..=6).map(|n| n == wake_at).collect();
                assert_eq!(woken, expected);
                assert!(shard.drain(&mut Vec::new(), &mut Taker).is_complete);
            }
        }
    }

    #[test]
    fn a_counter_that_wraps_around_loses_nothing() {
        let mut total = Total {
            seen: usize::MAX - 1,
            sum: 10,
        };
        total.update(3);
        assert_eq!(total.sum, 15);
    }
}
