//! All shards of a provider, and how they are drained.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::shard::Shard;
use crate::buffer::{Fill, Record, Run};
use crate::time::Instant;

/// The most shards of a provider; the last one is shared by all threads that found no other.
pub(super) const MAX_SHARDS: usize = 64;

/// Where a drain puts finished spans.
pub(crate) trait Drain {
    /// Takes in a run that `fill` writes, or says that there is no room for one.
    fn take_run(&mut self, fill: &mut Fill<'_>) -> Option<Run>;

    /// Takes one in, or says that there is no room.
    fn take(&mut self, record: &Record<'_>) -> bool;
}

/// What a drain came to.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Spans taken.
    pub(crate) taken: usize,
    /// Whether everything that had ended before the drain, or as much as was wanted, has been
    /// taken.
    pub(crate) is_complete: bool,
    /// Spans left that a flush waits for.
    pub(crate) awaited: usize,
    /// Since when the oldest of the spans had been waiting.
    pub(crate) oldest: Option<Instant>,
}

/// What a drain is to take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// Everything.
    All,
    /// What completes a batch: so many spans once there are as many, or as many bytes. Until then
    /// nothing, but of a shard that fills everything.
    Batch {
        /// At most so many.
        spans: usize,
        /// As good as all of them.
        bytes: usize,
    },
}

/// All shards of a provider.
#[derive(Debug)]
pub(in crate::hosted) struct Shards {
    list: Mutex<List>,
    drainer: Mutex<Drainer>,
    bytes: usize,
    wake_at: usize,
}

/// What only the drainer needs.
#[derive(Debug, Default)]
struct Drainer {
    /// For a record that it takes out.
    scratch: Vec<u8>,
    /// Where it starts, another shard for each batch: those of busy threads may leave no room in it,
    /// and the spans of quiet ones shall not wait for the scheduled delay.
    first: usize,
}

#[derive(Debug, Default)]
struct List {
    shards: Vec<Arc<Shard>>,
    closed: bool,
}

impl Shards {
    pub(in crate::hosted) fn new(bytes: usize, wake_at: usize) -> Self {
        Self {
            list: Mutex::default(),
            drainer: Mutex::default(),
            bytes,
            wake_at,
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard for the calling thread: one without an owner, a new one, or the shared one.
    pub(in crate::hosted) fn claim(&self) -> Arc<Shard> {
        let mut list = self.list();
        if let Some(shard) = list.shards.iter().find(|shard| shard.own()) {
            return Arc::clone(shard);
        }
        let shared = list.shards.len() + 1 >= MAX_SHARDS;
        match list.shards.last() {
            Some(last) if last.is_shared() => Arc::clone(last),
            _ => {
                let shard = Arc::new(Shard::new(self.bytes, self.wake_at, list.closed, shared));
                list.shards.push(Arc::clone(&shard));
                shard
            }
        }
    }

    /// Hands finished spans of all threads to `target`.
    pub(in crate::hosted) fn drain(&self, wanted: Wanted, target: &mut dyn Drain) -> Drained {
        let mut drainer = self.drainer.lock().unwrap_or_else(PoisonError::into_inner);
        let Drainer { scratch, first } = &mut *drainer;
        let mut sum = Drained {
            is_complete: true,
            ..Drained::default()
        };
        let batch = self.batch(wanted);
        let list = self.list();
        let (before, behind) = list.shards.split_at((*first).min(list.shards.len()));
        for shard in behind.iter().chain(before) {
            // A shard that woke for its bytes must not do so in vain.
            let is_urgent = shard.ring.is_half_full() || (batch == 0 && shard.ring.is_filling());
            let most = match is_urgent {
                true => usize::MAX,
                false => batch.saturating_sub(sum.taken),
            };
            let drained = shard.drain(scratch, most, target);
            sum.taken += drained.taken;
            sum.is_complete &= drained.is_complete;
            sum.awaited += drained.awaited;
            sum.oldest = match (sum.oldest, drained.oldest) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        if sum.taken > 0 {
            *first = if behind.len() > 1 { *first + 1 } else { 0 };
        }
        sum
    }

    /// How many spans to take where nothing is urgent.
    fn batch(&self, wanted: Wanted) -> usize {
        let Wanted::Batch { spans, bytes } = wanted else {
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

    /// Visits every shard. One that is added meanwhile is seen by the next visit.
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
