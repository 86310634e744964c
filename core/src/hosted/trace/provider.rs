//! The provider: where tracers come from (checklist D.1).

use std::sync::Arc;

use super::inner::ProviderInner;
use super::tracer::Tracer;
use crate::hosted::config::Settings;
use crate::hosted::shards::Hub;
use crate::resource::InstrumentationScope;
use crate::tracer::Started;

/// Hands out tracers. Cheap to clone; all clones are one provider.
///
/// It is made by the `init` of a transport. The disabled one records nothing and costs nearly
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct TracerProvider {
    inner: Option<Arc<ProviderInner>>,
}

/// How many spans were started and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Started, by the sampler's decision. May lag behind by a few hundred of each thread, until
    /// the thread ends a span.
    pub started: Started,
    /// Sampled spans that ended.
    pub ended: u64,
    /// Sampled spans that are still open. A number that keeps growing means that spans are never
    /// ended.
    pub live: u64,
}

impl TracerProvider {
    /// The provider that does nothing (checklist D-045).
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

    /// A tracer whose spans carry the scope `name`: by habit that of the crate or the component.
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

    /// Whether spans are recorded at all.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// How many spans were started and ended so far.
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

    /// Whether both are the same provider.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}
