//! Where threads leave finished spans: small buffers that a drainer empties.
//!
//! A thread records into a shard of its own as long as there are enough, so its lock is
//! uncontended. Shards belong to the provider and outlive the threads: what a quiet or a finished
//! thread left is drained like anything else, and the next thread takes the shard over. Beyond
//! [`MAX_SHARDS`] threads share, so that memory stays bounded.

use core::sync::atomic::{AtomicU32, Ordering};
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

use crate::buffer::{Buffer, PushError, Record, Run};
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;
use crate::tracer::Started;

/// The most shards of a provider.
pub(super) const MAX_SHARDS: usize = 64;

type Memory = Buffer<Box<[u8]>>;

/// One shard: two buffers of the same size. Threads fill one while the drainer empties the other;
/// they are swapped under the lock, so that no thread waits for a copy.
#[derive(Debug)]
pub(super) struct Shard {
    /// Threads that record into it.
    owners: AtomicU32,
    inner: Mutex<Inner>,
    /// The drainer's buffer; nobody else takes this lock but to count.
    drained: Mutex<Outgoing>,
}

/// What the drainer has taken over and not passed on yet.
#[derive(Debug)]
struct Outgoing {
    buffer: Memory,
    /// The next spans, here and beyond, that a flush waits for.
    awaited: usize,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct Inner {
    buffer: Memory,
    /// When the oldest span came in since the last drain.
    oldest: Option<Instant>,
    /// Spans that wake the drainer.
    wake_at: usize,
    /// Whether it has been woken since the last drain.
    woken: bool,
    closed: bool,
    /// Losses, and nothing else: what is held and moved on is counted where it is.
    lost: Ledger,
    started: Started,
    ended: u64,
}

/// What became of a span.
pub(super) enum Pushed {
    Kept,
    /// Kept, and it is time to drain.
    Wake,
    Lost(PushError),
}

impl Shard {
    fn new(bytes: usize, wake_at: usize, closed: bool) -> Self {
        let memory = || Buffer::new(vec![0; bytes].into_boxed_slice());
        Self {
            owners: AtomicU32::new(1),
            drained: Mutex::new(Outgoing {
                buffer: memory(),
                awaited: 0,
            }),
            inner: Mutex::new(Inner {
                buffer: memory(),
                oldest: None,
                wake_at,
                woken: false,
                closed,
                lost: Ledger::default(),
                started: Started::default(),
                ended: 0,
            }),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under this lock is a bug of ours; the counters are whole either way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_drained(&self) -> MutexGuard<'_, Outgoing> {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next drains count down to what is held now.
    pub(super) fn mark(&self) {
        let mut drained = self.lock_drained();
        drained.awaited = drained.buffer.queued() + self.lock().buffer.queued();
    }

    /// Hands finished spans to `target`, the oldest first, until it refuses one or none is left. What
    /// it refused comes first the next time.
    pub(super) fn drain(&self, target: &mut dyn Drain) -> Drained {
        let mut drained = self.lock_drained();
        let Outgoing { buffer, awaited } = &mut *drained;
        let mut result = Drained::default();
        loop {
            if buffer.is_empty() {
                let mut inner = self.lock();
                inner.woken = false;
                result.oldest = result.oldest.or(inner.oldest.take());
                core::mem::swap(buffer, &mut inner.buffer);
                result.is_complete = true;
            }
            if let Some(run) = buffer.run() {
                if target.take_run(&run) {
                    *awaited = awaited.saturating_sub(run.len());
                    buffer.clear_run();
                }
            }
            let mut refused = false;
            buffer.drain(|record| {
                let taken = target.take(record);
                refused |= !taken;
                *awaited = awaited.saturating_sub(usize::from(taken));
                taken
            });
            if refused {
                result.is_complete = false;
                result.awaited = *awaited;
                return result;
            }
            if result.is_complete {
                return result;
            }
        }
    }

    /// Gives up what is left, at the end of a shutdown.
    pub(super) fn abandon(&self) {
        let mut drained = self.lock_drained();
        let mut inner = self.lock();
        let mut left = 0;
        for buffer in [&mut drained.buffer, &mut inner.buffer] {
            left += buffer.queued() as u64;
            while buffer.pop_front() {}
        }
        inner.lost.drop_spans(DropReason::Shutdown, left);
    }

    /// The part of the loss equation that is here: what was lost, and what waits.
    pub(super) fn ledger(&self) -> Ledger {
        let drained = self.lock_drained();
        let inner = self.lock();
        let mut ledger = inner.lost;
        ledger.buffered = (inner.buffer.len() + drained.buffer.len()) as u64;
        ledger.ended = ledger.dropped_total().saturating_add(ledger.buffered);
        ledger
    }

    pub(super) fn disown(&self) {
        self.owners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// Takes a record in or counts its loss. `started` is what the thread has started meanwhile.
    #[inline]
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        now: Instant,
        started: &mut Started,
    ) -> Pushed {
        self.add_started(started);
        self.ended += 1;
        let result = if self.closed {
            Err(PushError::Shutdown)
        } else {
            self.buffer.push(record)
        };
        match result {
            Ok(()) => {}
            Err(error) => return self.lose(error),
        }
        if self.oldest.is_none() {
            self.oldest = Some(now);
        }
        let full = self.buffer.queued() >= self.wake_at
            || self.buffer.queued_bytes() * 2 >= self.buffer.capacity_bytes();
        if full && !self.woken {
            self.woken = true;
            return Pushed::Wake;
        }
        Pushed::Kept
    }

    #[cold]
    fn lose(&mut self, error: PushError) -> Pushed {
        let reason = match error {
            PushError::Full => DropReason::QueueFull,
            PushError::TooLarge => DropReason::TooLarge,
            PushError::Shutdown => DropReason::Shutdown,
        };
        self.lost.drop_spans(reason, 1);
        // A full shard wakes again: the drainer may have been slow to come.
        if error == PushError::Full && !self.woken {
            self.woken = true;
            return Pushed::Wake;
        }
        Pushed::Lost(error)
    }

    #[inline]
    pub(super) fn add_started(&mut self, started: &mut Started) {
        let taken = core::mem::take(started);
        self.started.recorded += taken.recorded;
        self.started.record_only += taken.record_only;
        self.started.not_sampled += taken.not_sampled;
    }

    pub(super) const fn started(&self) -> Started {
        self.started
    }

    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Ends the intake: from now on spans are counted as lost for the shutdown.
    pub(super) const fn close(&mut self) {
        self.closed = true;
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
            list: Mutex::new(List::default()),
            bytes,
            wake_at,
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard for the calling thread: one without an owner, a new one, or the least shared one.
    pub(super) fn claim(&self) -> Arc<Shard> {
        let mut list = self.list();
        let least = list
            .shards
            .iter()
            .min_by_key(|shard| shard.owners.load(Ordering::Relaxed));
        if let Some(shard) = least {
            let free = shard.owners.load(Ordering::Relaxed) == 0;
            if free || list.shards.len() >= MAX_SHARDS {
                shard.owners.fetch_add(1, Ordering::Relaxed);
                return Arc::clone(shard);
            }
        }
        let shard = Arc::new(Shard::new(self.bytes, self.wake_at, list.closed));
        list.shards.push(Arc::clone(&shard));
        shard
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
        self.for_each(|shard| shard.lock().close());
    }
}
