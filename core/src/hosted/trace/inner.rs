//! The state that all tracers of a provider share.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::boxed::Box;
use std::sync::Arc;

use super::incomplete::Shortage;
use super::pool::{Pool, Reserve};
use super::recorder::NO_PROVIDER;
use crate::hosted::clock::Clock;
use crate::hosted::config::{HostedSampler, Settings};
use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::hosted::shards::{Hub, Shard};
use crate::limits::SpanLimits;
use crate::resource::{InstrumentationScope, Registry, RegistryError, ScopeId};

/// The number of the next provider.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

pub(super) struct ProviderInner {
    id: u32,
    /// `id` until the shutdown, and then [`NO_PROVIDER`], so that a start looks up the thread's
    /// state and asks whether there is a shutdown in one comparison.
    open_id: AtomicU32,
    pub(super) clock: Clock,
    pub(super) sampler: HostedSampler,
    pub(super) limits: SpanLimits,
    max_span_bytes: usize,
    /// The causes of [`Shortage`]s that were reported, as bits.
    reported: AtomicU8,
    reserve: Reserve,
    /// A tracer found no room for its name, which is said once.
    scopes_full: AtomicBool,
    /// For starting threads, waking and counting. A thread's state holds its own shard, so that no
    /// span goes through here.
    pub(super) hub: Arc<Hub>,
}

impl ProviderInner {
    pub(super) fn new(settings: &Settings, hub: Arc<Hub>) -> Arc<Self> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Self {
            id,
            open_id: AtomicU32::new(id),
            clock: Clock::new(),
            sampler: settings.sampler.clone(),
            limits: settings.limits,
            max_span_bytes: settings.max_span_bytes,
            reported: AtomicU8::new(0),
            reserve: Reserve::new(hub.home()),
            scopes_full: AtomicBool::new(false),
            hub,
        });
        let weak = Arc::downgrade(&inner);
        inner.hub.set_on_close(Box::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.open_id.store(NO_PROVIDER, Ordering::Relaxed);
            }
        }));
        inner
    }

    #[inline]
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The number until the shutdown; [`NO_PROVIDER`] from then on.
    #[inline]
    pub(super) fn open_id(&self) -> u32 {
        self.open_id.load(Ordering::Relaxed)
    }

    /// Returns true until the shutdown.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open_id() != NO_PROVIDER
    }

    /// Returns false in a forked child of the provider's process.
    pub(super) fn is_here(&self) -> bool {
        self.hub.home().is_here()
    }

    /// The most bytes of a span.
    #[cfg(feature = "tracing")]
    pub(super) const fn max_span_bytes(&self) -> usize {
        self.max_span_bytes
    }

    /// Reports the causes among the bits `causes` that were not reported before.
    pub(super) fn report_shortage(&self, shortage: &Shortage, causes: u8) {
        let known = self.reported.fetch_or(causes, Ordering::Relaxed);
        shortage.report(causes & !known, self.max_span_bytes);
    }

    pub(super) fn claim_shard(&self) -> Arc<Shard> {
        self.hub.claim_shard()
    }

    pub(super) fn pool(self: &Arc<Self>) -> Pool {
        let owner = Arc::downgrade(self);
        Pool::new(self.reserve.clone(), self.max_span_bytes, self.id, owner)
    }

    /// The number of `scope`; the nameless scope's when there is no room for another.
    pub(super) fn scope(&self, scope: &InstrumentationScope<'_>) -> ScopeId {
        let found = self.hub.scope(|registry| registry.scope(scope));
        self.number(found, scope.name)
    }

    /// As [`Self::scope`], for the first scope of another registry, named `name`.
    pub(super) fn adopt_scope(&self, other: &Registry<Box<[u8]>>, name: &str) -> ScopeId {
        let found = self.hub.scope(|registry| registry.adopt_scope(other));
        self.number(found, name)
    }

    fn number(&self, found: Result<ScopeId, RegistryError>, name: &str) -> ScopeId {
        found.unwrap_or_else(|error| {
            let is_full = !matches!(error, RegistryError::TooLong);
            if !(is_full && self.scopes_full.swap(true, Ordering::Relaxed)) {
                diagnostics::report(
                    Kind::Misuse,
                    Severity::Warn,
                    format_args!(
                        "the spans of tracer {:?} are exported without a scope name, as are those \
                         of other new tracers: {error}; get each tracer once and keep it, and do \
                         not generate tracer names",
                        name
                    ),
                );
            }
            ScopeId::default()
        })
    }
}

impl fmt::Debug for ProviderInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderInner")
            .field("id", &self.id)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
