//! The provider, which hands out tracers.

use std::sync::Arc;

use super::inner::ProviderInner;
use super::place;
use super::tracer::Tracer;
use crate::hosted::config::Settings;
use crate::hosted::shards::Hub;
use crate::resource::InstrumentationScope;
use crate::tracer::Started;

/// Hands out tracers. Cheap to clone; all clones are one provider.
///
/// A transport's `init` makes it. The [disabled](Self::disabled) one records nothing and costs next
/// to nothing. After the shutdown the tracers of every provider record nothing, and their spans stand
/// for their parents.
#[derive(Clone, Debug, Default)]
pub struct TracerProvider {
    pub(super) inner: Option<Arc<ProviderInner>>,
    /// Without `inner` it is the process-wide provider, once there is one.
    is_process_wide: bool,
}

/// The numbers of spans started and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Spans started, by the sampler's decision.
    pub started: Started,
    /// Sampled spans that ended.
    pub ended: u64,
    /// Recording spans that are still open, sampled or not. If the number keeps growing, some spans
    /// are never ended.
    pub live: u64,
    /// Sampled spans that ended without all that was set on them: texts were cut for lack of memory
    /// (`max_span_bytes`), or items were left out for a limit. See
    /// [`SpanLimits`](crate::limits::SpanLimits#what-does-not-fit).
    pub incomplete: u64,
}

impl TracerProvider {
    /// The provider whose spans are never recorded.
    #[must_use]
    pub const fn disabled() -> Self {
        Self {
            inner: None,
            is_process_wide: false,
        }
    }

    /// The process-wide provider while there is none.
    pub(super) const PROCESS_WIDE: Self = Self {
        inner: None,
        is_process_wide: true,
    };

    /// A provider that records into `hub`.
    pub(in crate::hosted) fn new(settings: &Settings, hub: Arc<Hub>) -> Self {
        ProviderInner::new(settings, hub).into()
    }

    /// A tracer whose spans carry the scope `name`, usually the crate's or the component's.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.tracer_with(&InstrumentationScope::new(name))
    }

    /// A tracer with a version, a schema URL or attributes in its scope.
    #[must_use]
    pub fn tracer_with(&self, scope: &InstrumentationScope<'_>) -> Tracer {
        match self.inner() {
            Some(inner) => {
                let number = inner.scope(scope);
                Tracer::new(inner, number)
            }
            None if self.is_process_wide => Tracer::late(scope),
            None => Tracer::disabled(),
        }
    }

    fn inner(&self) -> Option<Arc<ProviderInner>> {
        match &self.inner {
            None if self.is_process_wide => place::get(),
            inner => inner.clone(),
        }
    }

    /// Returns true unless this is the disabled provider, the process-wide one before `init`, or one
    /// that was shut down.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner().is_some_and(|inner| inner.is_open())
    }

    /// The numbers of spans started and ended so far; none in a forked child of the provider's process.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        let mut counts = SpanCounts::default();
        let mut record_only_ended = 0;
        if let Some(inner) = self.inner().filter(|inner| inner.is_here()) {
            inner.hub.for_each_shard(|shard| {
                let of_shard = shard.counts();
                counts.started.recorded += of_shard.started.recorded;
                counts.started.record_only += of_shard.started.record_only;
                counts.started.not_sampled += of_shard.started.not_sampled;
                counts.ended += of_shard.ended;
                counts.incomplete += of_shard.incomplete;
                record_only_ended += of_shard.record_only_ended;
            });
        }
        let started = counts.started.recorded + counts.started.record_only;
        counts.live = started.saturating_sub(counts.ended + record_only_ended);
        counts
    }

    /// Returns true if both are the same provider.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self.inner(), other.inner()) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            (None, None) => true,
            _ => false,
        }
    }
}

impl From<Arc<ProviderInner>> for TracerProvider {
    fn from(inner: Arc<ProviderInner>) -> Self {
        Self {
            inner: Some(inner),
            is_process_wide: false,
        }
    }
}
