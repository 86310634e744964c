//! All shards of a provider, and how they are drained.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::backpressure::Backpressure;
use super::drain::{Drain, DrainLimit, DrainOutcome};
use super::shard::Shard;
use crate::hosted::diagnostics::{Kind, Severity, report};

/// The most shards of a provider; the last one is common to all threads that found no other.
pub(super) const MAX_SHARDS: usize = 64;

/// All shards of a provider.
#[derive(Debug)]
pub(in crate::hosted) struct ShardSet {
    list: Mutex<List>,
    drainer: Mutex<Drainer>,
    bytes: usize,
    wake_at: usize,
    backpressure: Arc<Backpressure>,
}

/// The state of the drainer.
#[derive(Debug, Default)]
struct Drainer {
    /// Holds one record on its way out.
    scratch: Vec<u8>,
    /// The shard at which the next drain starts. It rotates with every batch, so that busy threads
    /// cannot fill all of them and leave a quiet thread's spans waiting.
    first: usize,
}

#[derive(Debug, Default)]
struct List {
    shards: Vec<Arc<Shard>>,
    closed: bool,
}

impl ShardSet {
    pub(in crate::hosted) fn new(
        bytes: usize,
        wake_at: usize,
        backpressure: Arc<Backpressure>,
    ) -> Self {
        Self {
            list: Mutex::default(),
            drainer: Mutex::default(),
            bytes,
            wake_at,
            backpressure,
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard for the calling thread: one without an owner, a new one, or the common one. Where
    /// there is no memory for a new one, the thread's spans are counted as lost, with a report.
    pub(in crate::hosted) fn claim(&self) -> Arc<Shard> {
        self.try_claim().unwrap_or_else(|| {
            report(
                Kind::SpansDropped,
                Severity::Error,
                format_args!(
                    "there is no memory for the spans of another thread, so they are lost; lower \
                     shard_bytes, of which a thread takes twice {}",
                    self.bytes
                ),
            );
            self.claim_without_memory()
        })
    }

    fn claim_without_memory(&self) -> Arc<Shard> {
        let mut list = self.list();
        let known = list.shards.first();
        if let Some(shard) = known.filter(|shard| shard.queue.has_no_memory()) {
            return Arc::clone(shard);
        }
        let shard = Arc::new(Shard::without_memory(list.closed, &self.backpressure));
        // The last one would be taken for the common one.
        list.shards.insert(0, Arc::clone(&shard));
        shard
    }

    /// `None` if there is no memory for a shard.
    fn try_claim(&self) -> Option<Arc<Shard>> {
        let mut list = self.list();
        if let Some(shard) = list.shards.iter().find(|shard| shard.own()) {
            return Some(Arc::clone(shard));
        }
        let is_common = list.shards.len() + 1 >= MAX_SHARDS;
        match list.shards.last() {
            Some(last) if last.is_common() && !last.queue.has_no_memory() => Some(Arc::clone(last)),
            _ => {
                let shard = Shard::new(
                    self.bytes,
                    self.wake_at,
                    list.closed,
                    is_common,
                    &self.backpressure,
                )?;
                let shard = Arc::new(shard);
                list.shards.push(Arc::clone(&shard));
                Some(shard)
            }
        }
    }

    /// Hands finished spans of all threads to `target`.
    pub(in crate::hosted) fn drain(
        &self,
        limit: DrainLimit,
        target: &mut dyn Drain,
    ) -> DrainOutcome {
        let mut drainer = self.drainer.lock().unwrap_or_else(PoisonError::into_inner);
        let Drainer { scratch, first } = &mut *drainer;
        let mut sum = DrainOutcome {
            is_complete: true,
            ..DrainOutcome::default()
        };
        let batch = self.batch(limit);
        let list = self.list();
        let (before, behind) = list.shards.split_at((*first).min(list.shards.len()));
        for shard in behind.iter().chain(before) {
            // A shard that woke the drainer because it fills must be drained now.
            let is_urgent = shard.queue.is_half_full() || (batch == 0 && shard.queue.is_filling());
            let most = match is_urgent {
                true => usize::MAX,
                false => batch.saturating_sub(sum.taken),
            };
            let drained = shard.drain(scratch, most, target);
            sum.taken += drained.taken;
            sum.is_complete &= drained.is_complete;
            sum.awaited += drained.awaited;
            sum.lost.full += drained.lost.full;
            sum.lost.too_large += drained.lost.too_large;
            sum.oldest = match (sum.oldest, drained.oldest) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        if sum.taken > 0 {
            self.backpressure.ring();
            *first = if behind.len() > 1 { *first + 1 } else { 0 };
        }
        sum
    }

    /// The number of spans to take from shards that are not urgent.
    fn batch(&self, limit: DrainLimit) -> usize {
        let DrainLimit::Batch { spans, bytes } = limit else {
            return usize::MAX;
        };
        let mut held = (0, 0);
        self.for_each(|shard| {
            let (spans, bytes) = shard.held();
            held = (held.0 + spans, held.1 + bytes);
        });
        if held.0 >= spans || held.1 >= bytes {
            spans
        } else {
            0
        }
    }

    /// Visits every shard.
    pub(in crate::hosted) fn for_each(&self, mut visit: impl FnMut(&Shard)) {
        for shard in &self.list().shards {
            visit(shard);
        }
    }

    pub(in crate::hosted) fn len(&self) -> usize {
        self.list().shards.len()
    }

    pub(in crate::hosted) fn close(&self) {
        self.list().closed = true;
        self.for_each(Shard::close);
    }
}
