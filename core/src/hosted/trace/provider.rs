//! The provider, which hands out tracers.

use std::sync::Arc;

use super::inner::ProviderInner;
use super::tracer::Tracer;
use crate::hosted::config::Settings;
use crate::hosted::shards::Hub;
use crate::resource::InstrumentationScope;
use crate::tracer::Started;

/// Hands out tracers. Cheap to clone; all clones are one provider.
///
/// A transport's `init` makes it. The [disabled](Self::disabled) one records nothing and costs next
/// to nothing.
#[derive(Clone, Debug, Default)]
pub struct TracerProvider {
    inner: Option<Arc<ProviderInner>>,
}

/// The numbers of spans started and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Spans started, by the sampler's decision.
    pub started: Started,
    /// Sampled spans that ended.
    pub ended: u64,
    /// Sampled spans that are still open. If the number keeps growing, some spans are never ended.
    pub live: u64,
}

impl TracerProvider {
    /// The provider whose spans are never recorded.
    #[must_use]
    pub const fn disabled() -> Self {
        Self { inner: None }
    }

    /// A provider that records into `hub`.
    pub(in crate::hosted) fn new(settings: &Settings, hub: Arc<Hub>) -> Self {
        Self {
            inner: Some(ProviderInner::new(settings, hub)),
        }
    }

    /// A tracer whose spans carry the scope `name`, usually the crate's or the component's.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.tracer_with(&InstrumentationScope::new(name))
    }

    /// A tracer with a version, a schema URL or attributes in its scope.
    #[must_use]
    pub fn tracer_with(&self, scope: &InstrumentationScope<'_>) -> Tracer {
        match &self.inner {
            Some(inner) => Tracer::new(Arc::clone(inner), inner.scope(scope)),
            None => Tracer::disabled(),
        }
    }

    /// Returns true unless this is the disabled provider.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// The numbers of spans started and ended so far.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        let mut counts = SpanCounts::default();
        if let Some(inner) = &self.inner {
            inner.hub.for_each_shard(|shard| {
                let (started, ended) = shard.counts();
                counts.started.recorded += started.recorded;
                counts.started.record_only += started.record_only;
                counts.started.not_sampled += started.not_sampled;
                counts.ended += ended;
            });
        }
        counts.live = counts.started.recorded.saturating_sub(counts.ended);
        counts
    }

    /// Returns true if both are the same provider.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}
