//! What all tracers and spans of a provider share.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::vec;
use std::vec::Vec;

use super::pool::{Pool, Reserve};
use crate::hosted::clock::Clock;
use crate::hosted::config::{HostedSampler, Settings};
use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::hosted::shards::{Drain, Drained, Shard, Shards, Wanted};
use crate::limits::SpanLimits;
use crate::resource::{InstrumentationScope, Registry, RegistryError, Resource, ScopeId};
use crate::stats::Ledger;

/// Bytes for the resource and the scopes of one provider.
const REGISTRY_BYTES: usize = 64 * 1024;

/// Numbers providers; 0 is none.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);
/// The providers that exist, for spans, which know theirs by number.
static ALIVE: Mutex<Vec<(u32, Weak<Shared>)>> = Mutex::new(Vec::new());

pub(crate) struct Shared {
    id: u32,
    pub(super) clock: Clock,
    pub(super) sampler: HostedSampler,
    pub(super) limits: SpanLimits,
    max_span_bytes: usize,
    reserve: Reserve,
    pub(super) shards: Shards,
    registry: Mutex<Registry<Box<[u8]>>>,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    pub(crate) fn new(
        settings: &Settings,
        resource: &Resource<'_>,
    ) -> Result<Arc<Self>, RegistryError> {
        Self::with_registry(settings, Registry::new(Self::registry_memory(), resource)?)
    }

    /// Memory for a registry.
    pub(crate) fn registry_memory() -> Box<[u8]> {
        vec![0; REGISTRY_BYTES].into_boxed_slice()
    }

    /// As [`Shared::new`], with a registry that knows its resource.
    pub(crate) fn with_registry(
        settings: &Settings,
        mut registry: Registry<Box<[u8]>>,
    ) -> Result<Arc<Self>, RegistryError> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        // Scope 0: what is left for a tracer when the registry is full.
        registry.scope(&InstrumentationScope::default())?;
        let batch = &settings.exporter.batch;
        // Without a delay every span wants to be fetched at once; nobody comes by to look.
        let wake_at = match batch.scheduled_delay.is_zero() {
            true => 1,
            false => batch.max_export_batch_size as usize,
        };
        let shared = Arc::new(Self {
            id,
            clock: Clock::new(),
            sampler: settings.sampler.clone(),
            limits: settings.limits,
            max_span_bytes: settings.max_span_bytes,
            reserve: Reserve::default(),
            shards: Shards::new(settings.shard_bytes, wake_at),
            registry: Mutex::new(registry),
            waker: OnceLock::new(),
        });
        alive().push((id, Arc::downgrade(&shared)));
        Ok(shared)
    }

    #[inline]
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The provider of this number, if it still exists.
    #[cold]
    pub(super) fn find(id: u32) -> Option<Arc<Self>> {
        let alive = alive();
        let (_, shared) = alive.iter().find(|(known, _)| *known == id)?;
        shared.upgrade()
    }

    /// The most bytes of a span.
    #[cfg(feature = "tracing")]
    pub(super) const fn max_span_bytes(&self) -> usize {
        self.max_span_bytes
    }

    pub(super) fn claim_shard(&self) -> Arc<Shard> {
        self.shards.claim()
    }

    pub(super) fn pool(&self) -> Pool {
        Pool::new(self.reserve.clone(), self.max_span_bytes, self.id)
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Box<[u8]>>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of `scope`; that of the nameless one when there is no room for another.
    pub(super) fn scope(&self, scope: &InstrumentationScope<'_>) -> ScopeId {
        let found = self.registry().scope(scope);
        found.unwrap_or_else(|error| {
            diagnostics::report(
                Kind::Misuse,
                Severity::Warn,
                format_args!(
                    "the tracer {:?} shares the nameless scope: {error}; get tracers once and keep \
                     them, with names that do not vary",
                    scope.name
                ),
            );
            ScopeId::default()
        })
    }

    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        // Only the first waker counts; a provider has one drainer.
        let _ = self.waker.set(waker);
    }

    /// A registry of its own for the exporter, with the same numbers.
    pub(crate) fn copy_registry(&self) -> Registry<Box<[u8]>> {
        self.registry().clone()
    }

    /// Brings a copy up to date.
    pub(crate) fn sync_registry(&self, copy: &mut Registry<Box<[u8]>>) {
        copy.copy_from(&self.registry());
    }

    /// Has the next drains count down to what all shards hold now: what a flush has to cover.
    pub(crate) fn mark_shards(&self) {
        self.shards.for_each(Shard::mark);
    }

    /// Hands finished spans of all threads to `target`; see [`Shard::drain`].
    pub(crate) fn drain_shards(&self, wanted: Wanted, target: &mut dyn Drain) -> Drained {
        self.shards.drain(wanted, target)
    }

    pub(crate) fn add_ledgers(&self, sum: &mut Ledger) {
        self.shards.for_each(|shard| *sum += shard.ledger());
    }

    pub(crate) fn close_shards(&self) {
        self.shards.close();
    }

    pub(crate) fn abandon_shards(&self) {
        self.shards.for_each(Shard::abandon);
    }

    #[cold]
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        alive().retain(|(id, _)| *id != self.id);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

fn alive() -> MutexGuard<'static, Vec<(u32, Weak<Shared>)>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
