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
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use super::pipeline::Pipeline;
use crate::breaker::State;
use crate::exporter::{FlushOutcome, FlushReport};
use crate::hosted::metrics::SdkMetrics;
use crate::hosted::process::Home;
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
    /// `None` if there is nothing to drive.
    home: Option<Home>,
}

impl Handle {
    /// A handle that records nothing.
    #[must_use]
    pub const fn disabled() -> Self {
        Self {
            provider: TracerProvider::disabled(),
            driven: None,
            home: None,
        }
    }

    /// A handle of the pipeline that `provider` records into.
    #[must_use]
    pub fn new(provider: TracerProvider, driven: Arc<dyn Driven>) -> Self {
        Self {
            provider,
            driven: Some(driven),
            home: Some(Home::here()),
        }
    }

    /// Returns true if this process drives the pipeline. In a forked child all counts of an inherited
    /// handle are zero, and nothing is waited for.
    #[must_use]
    pub fn is_driven_here(&self) -> bool {
        self.home.is_some_and(Home::is_here)
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
            home: self.home,
        }
    }

    /// Has the span processors do what they have put off, within `timeout`.
    #[must_use]
    pub fn flush_processors(&self, timeout: Duration) -> Processed {
        process(&self.provider, timeout, TracerProvider::flush_processors)
    }

    /// As [`shut_processors_down`], of this handle's provider.
    #[must_use]
    pub fn shut_processors_down(&self, timeout: Duration) -> Processed {
        shut_processors_down(&self.provider, timeout)
    }

    fn read<T>(&self, read: impl Fn(&Pipeline) -> T) -> Option<T> {
        let mut found = None;
        let mut keep = |pipeline: &Pipeline| found = Some(read(pipeline));
        let driven = self.driven.as_ref().filter(|_| self.is_driven_here());
        driven?.read(&mut keep);
        found
    }
}

/// Ends the work of the span processors of `provider`, within `timeout`. With processors it ends the
/// intake, too.
#[must_use]
pub fn shut_processors_down(provider: &TracerProvider, timeout: Duration) -> Processed {
    process(provider, timeout, TracerProvider::shut_processors_down)
}

fn process(
    provider: &TracerProvider,
    timeout: Duration,
    work: impl FnOnce(&TracerProvider, Instant) -> bool,
) -> Processed {
    let mut done = Processed {
        left: timeout,
        is_complete: true,
    };
    if provider.has_processors() {
        let start = Instant::now();
        // A time that no clock reaches is as good as any other far away.
        let far = Duration::from_secs(60 * 60 * 24 * 365);
        let deadline = start.checked_add(timeout).unwrap_or(start + far);
        done.is_complete = work(provider, deadline);
        done.left = timeout.saturating_sub(start.elapsed());
    }
    done
}

/// What became of a flush of the span processors.
#[derive(Clone, Copy, Debug)]
pub struct Processed {
    /// The time that is left for the spans.
    pub left: Duration,
    /// They have done everything.
    pub is_complete: bool,
}

impl Processed {
    /// The report of a flush that the processors are part of.
    #[must_use]
    pub fn report(self, mut report: FlushReport) -> FlushReport {
        if !self.is_complete && report.outcome == FlushOutcome::Complete {
            report.outcome = FlushOutcome::TimedOut;
        }
        report
    }
}

/// Ends all waiting and retrying of a pipeline at once; what it holds is counted as lost by the
/// shutdown. Clones do the same.
#[derive(Clone, Debug)]
pub struct CancelToken {
    driven: Option<Arc<dyn Driven>>,
    home: Option<Home>,
}

impl CancelToken {
    /// Cancels. A flush or a shutdown that waits returns with what it has reached. Repeated calls
    /// change nothing.
    pub fn cancel(&self) {
        let driven = self.driven.as_ref();
        if let Some(driven) = driven.filter(|_| self.home.is_some_and(Home::is_here)) {
            driven.cancel();
        }
    }
}
