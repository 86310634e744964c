//! The hub: what the recording and the sending side of a provider share.

use core::fmt;
use core::hint::black_box;
use core::time::Duration;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::vec;
use std::vec::Vec;

use super::backpressure::{Backpressure, Hook};
use super::drain::{Drain, DrainLimit, DrainOutcome};
use super::set::ShardSet;
use super::shard::Shard;
use super::spsc::SpscQueue;
use crate::batch::BatchConfig;
use crate::hosted::metrics::{ByDecision, ByOrigin};
use crate::hosted::process::Home;
use crate::resource::{InstrumentationScope, Registry, RegistryError};
use crate::stats::Ledger;

/// Bytes for the resource and the scopes of one provider.
const REGISTRY_BYTES: usize = 64 * 1024;

/// Memory of a registry on the heap.
pub(crate) type Memory = Box<[u8]>;

/// Memory that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MissingMemory {
    pub(crate) field: &'static str,
    pub(crate) bytes: usize,
}

impl MissingMemory {
    fn unless_possible(field: &'static str, bytes: usize) -> Result<(), Self> {
        let mut probe = Vec::<u8>::new();
        let reserved = probe.try_reserve_exact(bytes);
        // Without it the compiler may leave out memory that is not used.
        black_box(&mut probe);
        reserved.map_err(|_| Self { field, bytes })
    }
}

/// `bytes` zeros for what `field` is about.
pub(crate) fn memory(field: &'static str, bytes: usize) -> Result<Memory, MissingMemory> {
    // Asked for first: zeroed memory, which takes no pages until it is used, can only be asked for
    // in a way that ends the program.
    MissingMemory::unless_possible(field, bytes)?;
    Ok(vec![0; bytes].into_boxed_slice())
}

/// The shards, the scopes and the waker of one provider.
pub(crate) struct Hub {
    shards: ShardSet,
    registry: Mutex<Registry<Memory>>,
    /// The process whose sender drains the shards.
    home: Home,
    backpressure: Arc<Backpressure>,
    on_close: OnceLock<Hook>,
}

/// The spans of all threads.
#[derive(Debug, Default)]
pub(in crate::hosted) struct HubCounts {
    pub(in crate::hosted) started: ByDecision<ByOrigin>,
    pub(in crate::hosted) live: ByDecision<u64>,
    /// Sampled spans that ended.
    pub(in crate::hosted) ended: u64,
    /// Sampled spans that ended without all that was set on them.
    pub(in crate::hosted) incomplete: u64,
    /// Spans that have waited for room.
    pub(in crate::hosted) waited: u64,
}

impl Hub {
    /// A hub with shards of `shard_bytes`, whose drainer is woken for batches of `batch`. Spans wait for
    /// room as long as `patience`.
    pub(crate) fn new(
        mut registry: Registry<Memory>,
        shard_bytes: usize,
        batch: &BatchConfig,
        patience: Duration,
    ) -> Result<Self, RegistryError> {
        // Scope 0 is left for tracers that find the registry full.
        registry.scope(&InstrumentationScope::default())?;
        // Without a delay there is no timer that would fetch the spans below a full batch.
        let wake_at = match batch.scheduled_delay.is_zero() {
            true => 1,
            false => batch.max_export_batch_size as usize,
        };
        let backpressure = Arc::new(Backpressure::new(patience));
        Ok(Self {
            shards: ShardSet::new(shard_bytes, wake_at, Arc::clone(&backpressure)),
            registry: Mutex::new(registry),
            home: Home::here(),
            backpressure,
            on_close: OnceLock::new(),
        })
    }

    /// Memory for the registry of a hub, and for the exporter's copy of it.
    pub(crate) fn registry_memory() -> Result<Memory, MissingMemory> {
        MissingMemory::unless_possible("the registry of scopes", 2 * REGISTRY_BYTES)?;
        memory("the registry of scopes", REGISTRY_BYTES)
    }

    /// Checks that a first thread finds memory for its shard.
    pub(crate) fn check_shard(shard_bytes: usize) -> Result<(), MissingMemory> {
        match SpscQueue::is_possible(shard_bytes) {
            true => Ok(()),
            false => Err(MissingMemory {
                field: "shard_bytes",
                bytes: shard_bytes,
            }),
        }
    }

    /// The resource and the scopes. The exporter's copy is brought up to date before the next request.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Memory>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that this hub works in.
    pub(in crate::hosted) const fn home(&self) -> Home {
        self.home
    }

    /// Works on the registry, for a thread that records. `None` in a forked child that cannot have it.
    pub(in crate::hosted) fn with_registry<T>(
        &self,
        work: impl FnOnce(&mut Registry<Memory>) -> T,
    ) -> Option<T> {
        let registry = self.home.lock(&self.registry);
        registry.map(|mut registry| work(&mut registry))
    }

    /// A copy of the registry for the exporter, with the same numbers.
    pub(crate) fn copy_registry(&self) -> Registry<Memory> {
        self.registry().clone()
    }

    /// Brings a copy up to date.
    pub(crate) fn sync_registry(&self, copy: &mut Registry<Memory>) {
        copy.copy_from(&self.registry());
    }

    /// A shard for the calling thread; in a forked child one that takes nothing in.
    pub(in crate::hosted) fn claim_shard(&self) -> Arc<Shard> {
        match self.home.is_here() {
            true => self.shards.claim(),
            false => Arc::new(Shard::without_memory(true, &self.backpressure)),
        }
    }

    /// The spans started and ended by all threads; none in a forked child.
    pub(in crate::hosted) fn counts(&self) -> HubCounts {
        let mut counts = HubCounts::default();
        if !self.home.is_here() {
            return counts;
        }
        counts.waited = self.backpressure.waited();
        let mut record_only_ended = 0;
        self.shards.for_each(|shard| {
            let of_shard = shard.counts();
            let (all, started) = (&mut counts.started, of_shard.started);
            all.drop += started.drop;
            all.record_only += started.record_only;
            all.record_and_sample += started.record_and_sample;
            counts.ended += of_shard.ended;
            counts.incomplete += of_shard.incomplete;
            record_only_ended += of_shard.record_only_ended;
        });
        let (live, started) = (&mut counts.live, &counts.started);
        live.record_only = started
            .record_only
            .total()
            .saturating_sub(record_only_ended);
        live.record_and_sample = started
            .record_and_sample
            .total()
            .saturating_sub(counts.ended);
        counts
    }

    /// Lets the next drains report how many of the spans held now are left: a flush waits for them.
    pub(crate) fn mark(&self) {
        self.shards.for_each(Shard::mark);
    }

    /// Hands finished spans of all threads to `target`; see [`Shard::drain`].
    pub(crate) fn drain(&self, limit: DrainLimit, target: &mut dyn Drain) -> DrainOutcome {
        self.shards.drain(limit, target)
    }

    /// Adds what the shards lost and what waits in them.
    pub(crate) fn add_to(&self, ledger: &mut Ledger) {
        self.shards.for_each(|shard| *ledger += shard.ledger());
    }

    /// The free bytes of all shards that threads record into.
    pub(crate) fn free_bytes(&self) -> usize {
        let mut free = 0_usize;
        self.shards
            .for_each(|shard| free = free.saturating_add(shard.free_bytes()));
        free
    }

    /// Returns true if all threads that record can go on for a while: their shards are not half full.
    pub(crate) fn has_room(&self) -> bool {
        let mut has_room = true;
        self.shards
            .for_each(|shard| has_room &= !shard.queue.is_half_full());
        has_room
    }

    /// Ends the intake of all shards.
    pub(crate) fn close(&self) {
        if let Some(on_close) = self.on_close.get() {
            on_close();
        }
        self.shards.close();
        // The threads that wait find the intake closed.
        self.backpressure.ring();
    }

    /// Sets what runs when the intake ends. Only the first one counts: a hub has one provider.
    pub(in crate::hosted) fn set_on_close(&self, on_close: Hook) {
        let _ = self.on_close.set(on_close);
    }

    /// Counts what is left in the shards as lost.
    pub(crate) fn abandon(&self) {
        self.shards.for_each(Shard::abandon);
    }

    /// Sets what wakes the drainer. Only the first waker counts: a hub has one drainer.
    pub(crate) fn set_waker(&self, waker: Hook) {
        self.backpressure.set_waker(waker);
    }

    /// Wakes the drainer. Returns false in a forked child, which has none.
    #[cold]
    pub(crate) fn wake(&self) -> bool {
        let is_here = self.home.is_here();
        if is_here {
            self.backpressure.wake();
        }
        is_here
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
