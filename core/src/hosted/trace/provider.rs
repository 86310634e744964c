//! The provider, which hands out tracers.

use std::sync::Arc;
use std::time::Instant;

use super::hooks::Hooks;
use super::inner::ProviderInner;
use super::place;
use super::tracer::Tracer;
use crate::hosted::config::Settings;
use crate::hosted::shards::{Hub, HubCounts};
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
    /// Spans that have waited for room, with [`WhenFull::Wait`](crate::hosted::config::WhenFull::Wait).
    pub waited: u64,
    /// Ids of the program's [generator](crate::hosted::config::Config::id_generator) that were not
    /// used, because they were zero or it panicked; random ones took their place.
    pub ids_replaced: u64,
    /// Calls of span processors that panicked.
    pub processor_panics: u64,
}

impl From<HubCounts> for SpanCounts {
    fn from(counts: HubCounts) -> Self {
        Self {
            started: Started {
                recorded: counts.started.record_and_sample.total(),
                record_only: counts.started.record_only.total(),
                not_sampled: counts.started.drop.total(),
            },
            ended: counts.ended,
            live: counts.live.record_only + counts.live.record_and_sample,
            incomplete: counts.incomplete,
            waited: counts.waited,
            ids_replaced: 0,
            processor_panics: 0,
        }
    }
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
        let Some(inner) = self.inner() else {
            return SpanCounts::default();
        };
        SpanCounts {
            ids_replaced: inner.ids_replaced(),
            processor_panics: inner.hooks.as_ref().map_or(0, Hooks::panics),
            ..inner.hub.counts().into()
        }
    }

    /// Has the span processors do what they have put off, until `deadline` at most. Returns true if all
    /// of them say that they have. A flush of a transport's handle calls it.
    pub fn flush_processors(&self, deadline: Instant) -> bool {
        self.with_hooks(|hooks, _| hooks.force_flush(deadline))
    }

    /// Ends the work of the span processors, until `deadline` at most: spans that end from now on are
    /// counted as lost. Returns true if all of them say that they have done everything. The shutdown
    /// of a transport's handle calls it. Later calls return true.
    pub fn shut_processors_down(&self, deadline: Instant) -> bool {
        self.with_hooks(|hooks, hub| {
            hub.close();
            hooks.shutdown(deadline)
        })
    }

    /// Returns true if there are span processors.
    #[must_use]
    pub fn has_processors(&self) -> bool {
        self.inner().is_some_and(|inner| inner.hooks.is_some())
    }

    fn with_hooks(&self, work: impl FnOnce(&Hooks, &Hub) -> bool) -> bool {
        let inner = self.inner();
        let hooks = inner
            .as_ref()
            .and_then(|inner| Some((inner.hooks.as_ref()?, &inner.hub)));
        hooks.is_none_or(|(hooks, hub)| work(hooks, hub))
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
