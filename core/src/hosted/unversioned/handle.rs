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
use std::string::String;
use std::sync::Arc;
use std::time::Instant;
use std::vec::Vec;

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
    /// Further destinations and their names.
    further: Vec<(String, Arc<dyn Driven>)>,
    /// The first one's name.
    name: String,
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
            further: Vec::new(),
            name: String::new(),
            home: None,
        }
    }

    /// A handle of the pipeline that `provider` records into.
    #[must_use]
    pub fn new(provider: TracerProvider, driven: Arc<dyn Driven>) -> Self {
        Self {
            provider,
            driven: Some(driven),
            further: Vec::new(),
            name: String::new(),
            home: Some(Home::here()),
        }
    }

    /// The same for a pipeline to `name` with further destinations.
    #[must_use]
    pub fn with_further(mut self, name: String, further: Vec<(String, Arc<dyn Driven>)>) -> Self {
        self.name = name;
        self.further = further;
        self
    }

    /// The state of the delivery to each destination, the first one first. The methods here are about
    /// the first one.
    #[must_use]
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        let driven = self.driven.as_ref().filter(|_| self.is_driven_here());
        let first = driven.map(|driven| (&self.name, driven));
        let further = self.further.iter().filter(|_| self.is_driven_here());
        let all = first
            .into_iter()
            .chain(further.map(|(name, driven)| (name, driven)));
        let status = |(name, driven): (&String, &Arc<dyn Driven>)| {
            let mut status = DestinationStatus {
                name: name.clone(),
                ledger: Ledger::default(),
                stats: DeliveryStats::default(),
                circuit: State::Closed,
            };
            driven.read(&mut |pipeline| {
                status.ledger = pipeline.ledger();
                status.stats = pipeline.stats();
                status.circuit = pipeline.circuit();
            });
            status
        };
        all.map(status).collect()
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
            driven: self
                .driven
                .iter()
                .chain(self.further.iter().map(|(_, it)| it))
                .cloned()
                .collect(),
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

/// The state of the delivery to one destination.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DestinationStatus {
    /// Its name, as in logs.
    pub name: String,
    /// Where every span is that is for it.
    pub ledger: Ledger,
    /// Counts of its requests, retries and answers.
    pub stats: DeliveryStats,
    /// Its circuit breaker's state.
    pub circuit: State,
}

/// What became of a flush or a shutdown at one destination.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DestinationReport {
    /// Its name, as in logs.
    pub name: String,
    /// Its report.
    pub report: FlushReport,
}

impl DestinationReport {
    /// Makes a report. For transports.
    #[must_use]
    pub const fn new(name: String, report: FlushReport) -> Self {
        Self { name, report }
    }
}

/// The report of the destination that fared worst, so that a success is one of all: one that did not
/// end in time, else the one that lost most, else the first.
#[must_use]
pub fn worst(reports: &[DestinationReport]) -> FlushReport {
    let rank = |report: &FlushReport| {
        let is_late = report.outcome != FlushOutcome::Complete;
        (is_late, report.dropped + report.dropped_before, report.left)
    };
    let mut worst = None;
    for DestinationReport { report, .. } in reports {
        if worst.is_none_or(|worst| rank(report) > rank(&worst)) {
            worst = Some(*report);
        }
    }
    worst.unwrap_or(FlushReport::NOTHING)
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
    driven: Vec<Arc<dyn Driven>>,
    home: Option<Home>,
}

impl CancelToken {
    /// Cancels. A flush or a shutdown that waits returns with what it has reached. Repeated calls
    /// change nothing.
    pub fn cancel(&self) {
        if self.home.is_some_and(Home::is_here) {
            self.driven.iter().for_each(|driven| driven.cancel());
        }
    }
}
