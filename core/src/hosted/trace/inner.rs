//! The state that all tracers of a provider share.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::hooks::Hooks;
use super::ids::{AnyIds, OwnIds};
use super::incomplete::Shortage;
use super::pool::{Pool, Reserve};
use super::recorder::{HOOKED, NO_PROVIDER};
use crate::hosted::active;
use crate::hosted::clock::Clock;
use crate::hosted::config::{HostedSampler, Settings};
use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::hosted::shards::{Hub, Shard};
use crate::limits::SpanLimits;
use crate::resource::{InstrumentationScope, Registry, RegistryError, ScopeId, ScopeText};
use crate::sampler::Sampler as _;

/// The number of the next provider.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

pub(super) struct ProviderInner {
    id: u32,
    /// `id` until the shutdown, and then [`NO_PROVIDER`], so that a start looks up the thread's
    /// state and asks whether there is a shutdown in one comparison. With processors it is marked
    /// [`HOOKED`], so that a start finds no state and takes the slow way.
    open_id: AtomicU32,
    /// The processors of the program, if there are any.
    pub(super) hooks: Option<Hooks>,
    pub(super) clock: Clock,
    /// Never a built-in one if there are `own_ids`, so that the usual way need not look for them.
    pub(super) sampler: HostedSampler,
    own_ids: Option<OwnIds>,
    pub(super) limits: SpanLimits,
    pub(super) baggage_attributes: Box<[String]>,
    max_span_bytes: usize,
    /// The causes of [`Shortage`]s that were reported, as bits.
    reported: AtomicU8,
    reserve: Reserve,
    /// A tracer found no room for its name, which is said once.
    scopes_full: AtomicBool,
    /// Those that a sampler asked about.
    scope_texts: Mutex<Vec<(ScopeId, Arc<ScopeText>)>>,
    /// For starting threads, waking and counting. A thread's state holds its own shard, so that no
    /// span goes through here.
    pub(super) hub: Arc<Hub>,
}

impl ProviderInner {
    pub(super) fn new(settings: &Settings, hub: Arc<Hub>) -> Arc<Self> {
        active::set_bounds(&settings.limits, settings.max_span_bytes);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let hooks = Hooks::new(&settings.processors, &hub);
        let open_id = if hooks.is_some() { id | HOOKED } else { id };
        let inner = Arc::new(Self {
            id,
            open_id: AtomicU32::new(open_id),
            hooks,
            clock: Clock::new(),
            sampler: match (&settings.sampler, &settings.id_generator) {
                (HostedSampler::Builtin(sampler), Some(_)) => {
                    HostedSampler::Custom(Arc::new(*sampler))
                }
                (sampler, _) => sampler.clone(),
            },
            own_ids: settings.id_generator.clone().map(OwnIds::new),
            limits: settings.limits,
            baggage_attributes: settings.baggage_attributes.clone().into(),
            max_span_bytes: settings.max_span_bytes,
            reported: AtomicU8::new(0),
            reserve: Reserve::new(hub.home()),
            scopes_full: AtomicBool::new(false),
            scope_texts: Mutex::default(),
            hub,
        });
        let weak = Arc::downgrade(&inner);
        let sampler = Mutex::new(Some(inner.sampler.clone()));
        inner.hub.set_on_close(Box::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.open_id.store(NO_PROVIDER, Ordering::Relaxed);
            }
            // The intake may be closed more than once, and a sampler is shut down once.
            let sampler = sampler.lock().ok().and_then(|mut sampler| sampler.take());
            if let Some(sampler) = sampler {
                shut_down(&sampler);
            }
        }));
        inner
    }

    #[inline]
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The number until the shutdown, marked if there are processors; [`NO_PROVIDER`] from then on.
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

    /// Ids for the spans that do not start on the usual way.
    pub(super) const fn ids(&self) -> AnyIds<'_> {
        AnyIds(self.own_ids.as_ref())
    }

    /// The number of ids that the program's generator gave and that were not used.
    pub(super) fn ids_replaced(&self) -> u64 {
        self.own_ids.as_ref().map_or(0, OwnIds::replaced)
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
        let found = self.hub.with_registry(|registry| registry.scope(scope));
        found.map_or_else(ScopeId::default, |found| self.number(found, scope.name))
    }

    /// As [`Self::scope`], for the first scope of another registry, named `name`.
    pub(super) fn adopt_scope(&self, other: &Registry<Box<[u8]>>, name: &str) -> ScopeId {
        let found = self
            .hub
            .with_registry(|registry| registry.adopt_scope(other));
        found.map_or_else(ScopeId::default, |found| self.number(found, name))
    }

    /// The texts of a scope. They are decoded once.
    pub(super) fn scope_text(&self, id: ScopeId) -> Option<Arc<ScopeText>> {
        let mut known = self.hub.home().lock(&self.scope_texts)?;
        if let Some((_, text)) = known.iter().find(|(known, _)| *known == id) {
            return Some(Arc::clone(text));
        }
        let text = self.hub.with_registry(|registry| registry.scope_text(id))?;
        let text = Arc::new(text?);
        known.push((id, Arc::clone(&text)));
        Some(text)
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

/// Tells a sampler of the program that the pipeline ends. Its panic must not keep the spans from
/// being sent.
fn shut_down(sampler: &HostedSampler) {
    if catch_unwind(AssertUnwindSafe(|| sampler.shutdown())).is_err() {
        diagnostics::report(
            Kind::Misuse,
            Severity::Warn,
            format_args!("the sampler panicked in its shutdown; the pipeline goes on with its own"),
        );
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
