//! The read-only side of a running pipeline, the same for every transport.
//!
//! ```
//! use spandrel_core::hosted::trace::TracerProvider;
//! use spandrel_core::hosted::unversioned::handle::Handle;
//!
//! let handle = Handle::disabled();
//! handle.tracer("orders").start("order.place").end();
//! assert!(!handle.is_enabled() && handle.ledger().ended == 0);
//! ```

use core::fmt;
use std::sync::Arc;

use super::pipeline::Pipeline;
use crate::breaker::State;
use crate::hosted::metrics::SdkMetrics;
use crate::hosted::trace::{SpanCounts, Tracer, TracerProvider};
use crate::stats::{DeliveryStats, Ledger};

/// A pipeline with the transport that drives it.
pub trait Driven: fmt::Debug + Send + Sync {
    /// Calls `read` with the pipeline, locked.
    fn read(&self, read: &mut dyn FnMut(&Pipeline));

    /// Gives up what the pipeline holds and ends all waiting, at once.
    fn cancel(&self);
}

/// The part of a transport's `Telemetry` besides flush and shutdown. Reached through `Telemetry`, its
/// methods are as stable as that.
#[derive(Debug)]
pub struct Handle {
    provider: TracerProvider,
    driven: Option<Arc<dyn Driven>>,
}

impl Handle {
    /// A handle that records nothing.
    #[must_use]
    pub const fn disabled() -> Self {
        Self {
            provider: TracerProvider::disabled(),
            driven: None,
        }
    }

    /// A handle of the pipeline that `provider` records into.
    #[must_use]
    pub fn new(provider: TracerProvider, driven: Arc<dyn Driven>) -> Self {
        Self {
            provider,
            driven: Some(driven),
        }
    }

    /// A tracer for the instrumentation scope `name`.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.provider.tracer(name)
    }

    /// The provider, for tracers with versions and attributes.
    #[must_use]
    pub const fn provider(&self) -> &TracerProvider {
        &self.provider
    }

    /// Returns true if spans are recorded.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.driven.is_some()
    }

    /// Where every span is: exported, dropped and why, buffered, in flight.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.read(Pipeline::ledger).unwrap_or_default()
    }

    /// Counts of requests, retries and answers.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.read(Pipeline::stats).unwrap_or_default()
    }

    /// What the pipeline tells about itself, by the names of the semantic conventions.
    #[must_use]
    pub fn metrics(&self) -> SdkMetrics {
        self.read(Pipeline::metrics).unwrap_or_default()
    }

    /// Numbers of spans that were started, have ended, and are still open.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        self.provider.counts()
    }

    /// The state of the circuit breaker; closed when nothing is recorded.
    #[must_use]
    pub fn circuit(&self) -> State {
        self.read(Pipeline::circuit).unwrap_or(State::Closed)
    }

    /// A token that ends all waiting and retrying at once, from any thread or task.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken {
            driven: self.driven.clone(),
        }
    }

    fn read<T>(&self, read: impl Fn(&Pipeline) -> T) -> Option<T> {
        let mut found = None;
        let mut keep = |pipeline: &Pipeline| found = Some(read(pipeline));
        self.driven.as_ref()?.read(&mut keep);
        found
    }
}

/// Ends all waiting and retrying of a pipeline at once; what it holds is counted as lost by the
/// shutdown. Clones do the same.
#[derive(Clone, Debug)]
pub struct CancelToken {
    driven: Option<Arc<dyn Driven>>,
}

impl CancelToken {
    /// Cancels. A flush or a shutdown that waits returns with what it has reached. Repeated calls
    /// change nothing.
    pub fn cancel(&self) {
        if let Some(driven) = &self.driven {
            driven.cancel();
        }
    }
}
