//! The handle of a running pipeline.

use core::ops::Deref;
use core::time::Duration;
use std::sync::Arc;
use std::vec::Vec;

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::diagnostics::release_kept;
use spandrel_core::hosted::trace::{TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::handle::{DestinationReport, Handle, worst};
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;
use spandrel_core::hosted::unversioned::pipeline::FlushId;
use spandrel_core::time::Instant;

use super::drive::{all, wait_for};
use super::metrics::MetricsTask;
use super::output::in_background;
use super::state::DriverState;

/// A running pipeline.
///
/// Await [`shutdown`](Telemetry::shutdown) before the runtime ends: a handle that is dropped can
/// only ask the background task to flush, within
/// [`Config::shutdown_timeout`](super::Config::shutdown_timeout), and that task ends with its
/// runtime. Keep it for as long as the program records: `let _telemetry = init(..)` does,
/// `let _ = init(..)` ends tracing at once.
#[derive(Debug)]
#[must_use = "dropping the handle ends tracing"]
pub struct Telemetry {
    handle: Handle,
    state: Option<Arc<DriverState>>,
    metrics: Option<MetricsTask>,
    further: Vec<Arc<DriverState>>,
    shutdown_timeout: Duration,
    /// It is the last one that can say what its start reported.
    was_started: bool,
}

impl Telemetry {
    /// A handle that does nothing.
    pub const fn disabled() -> Self {
        Self {
            handle: Handle::disabled(),
            state: None,
            metrics: None,
            further: Vec::new(),
            shutdown_timeout: Duration::ZERO,
            was_started: false,
        }
    }

    /// The handle of a start that records nothing.
    pub(super) const fn idle() -> Self {
        let mut idle = Self::disabled();
        idle.was_started = true;
        idle
    }

    pub(super) fn running(
        provider: TracerProvider,
        state: Arc<DriverState>,
        metrics: Option<MetricsTask>,
        further: Vec<Arc<DriverState>>,
        shutdown_timeout: Duration,
    ) -> Self {
        let name = state.target.clone();
        let names = further
            .iter()
            .map(|state| (state.target.clone(), Arc::clone(state) as _));
        let handle = Handle::new(provider, Arc::clone(&state) as _);
        Self {
            handle: handle.with_further(name, names.collect()),
            state: Some(state),
            metrics,
            further,
            shutdown_timeout,
            was_started: true,
        }
    }

    /// Sends everything that has ended so far, and waits for it, `timeout` at most.
    ///
    /// If spans were lost that no report has told of, before the call too, the report is no success.
    ///
    /// Retries and the circuit breaker stay in force: while the circuit is open for longer than
    /// `timeout`, the answer comes at once and says so. Spans that are left stay in the buffer. May
    /// be dropped at any await: the flush goes on in the background.
    ///
    /// With further destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn force_flush(&self, timeout: Duration) -> FlushReport {
        worst(&self.force_flush_each(timeout).await)
    }

    /// As [`force_flush`](Self::force_flush), with the report of each destination, the first one first.
    /// Empty if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub async fn force_flush_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        if self.state().is_none() {
            return Vec::new();
        }
        let processed = self.handle.flush_processors(timeout);
        // The first one hands its spans to the others before they begin.
        let begun = self.states().map(|state| {
            let flush = Waiting::new(state, processed.left);
            state.bell.ring();
            flush
        });
        let begun: Vec<_> = begun.collect();
        let ends = begun.iter().map(|flush| async move {
            let report = wait_for(flush.state, flush.deadline, || flush.poll()).await;
            let report = processed.report(report.unwrap_or_else(|| flush.end()));
            DestinationReport::new(flush.state.target.clone(), report)
        });
        let reports = all(ends).await;
        for exporter in self.states().filter_map(|state| state.plan.exporter()) {
            let flushed = in_background(move || exporter.force_flush()).await;
            report_exporter("flush", flushed);
        }
        reports
    }

    /// Ends tracing: sends what is left, waits `timeout` at most, and reports what happened.
    ///
    /// The report is a success only if no span was lost since the start. Meanwhile each request gets at
    /// most half of the time that is left.
    ///
    /// Spans that end later are counted as lost and go nowhere. A second call changes nothing and
    /// gives the same report. Works on any tokio runtime, also when `init`'s is gone. May be
    /// dropped at any await: the shutdown goes on in the background, or with the next call. With further
    /// destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn shutdown(&self, timeout: Duration) -> FlushReport {
        worst(&self.shutdown_each(timeout).await)
    }

    /// As [`shutdown`](Self::shutdown), with the report of each destination, the first one first. Empty
    /// if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub async fn shutdown_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        let Some(state) = self.state() else {
            self.release();
            return Vec::new();
        };
        let processed = self.handle.shut_processors_down(timeout);
        let begun = self
            .states()
            .map(|state| (state, begin_shutdown(state, processed.left)));
        let begun: Vec<_> = begun.collect();
        let deadline = begun
            .first()
            .map_or(Instant::ZERO, |(_, deadline)| *deadline);
        let ends = begun.iter().map(|(state, deadline)| async move {
            let report = processed.report(shut_down(state, *deadline).await);
            DestinationReport::new(state.target.clone(), report)
        });
        let reports = all(ends).await;
        clear_global(self.provider());
        for exporter in self.states().filter_map(|state| state.plan.exporter()) {
            report_exporter("shutdown", in_background(move || exporter.shutdown()).await);
        }
        if let Some(metrics) = &self.metrics {
            let now = state.lock().pipeline.now();
            metrics.stopped(deadline.saturating_since(now)).await;
        }
        self.release();
        reports
    }

    /// The states of all destinations, the first one first.
    fn states(&self) -> impl Iterator<Item = &Arc<DriverState>> {
        self.state().into_iter().chain(&self.further)
    }

    /// `None` also in a forked child, where nothing drives the pipeline.
    fn state(&self) -> Option<&Arc<DriverState>> {
        self.state.as_ref().filter(|_| self.handle.is_driven_here())
    }

    /// Says what nothing has listened to.
    fn release(&self) {
        if self.was_started {
            release_kept();
        }
    }
}

/// Tracers, counts and the state of the delivery.
impl Deref for Telemetry {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(state) = self.state() else {
            self.release();
            return;
        };
        let processed = self.handle.shut_processors_down(self.shutdown_timeout);
        for state in [state].into_iter().chain(&self.further) {
            begin_shutdown(state, processed.left);
            let is_stranded = {
                let mut locked = state.lock();
                locked.is_orphaned = true;
                !locked.has_background && !locked.is_stopped()
            };
            if is_stranded {
                state.abandon();
            }
        }
        clear_global(self.provider());
        self.release();
    }
}

/// Waits for the end of a shutdown, until `deadline`.
async fn shut_down(state: &Arc<DriverState>, deadline: Instant) -> FlushReport {
    if let Some(report) = wait_for(state, deadline, || state.lock().told()).await {
        return report;
    }
    // The deadline passed with a request under way, or there is nothing to send with.
    state.abandon();
    let report = state.lock().pipeline.poll_shutdown();
    report.unwrap_or(FlushReport::LATE)
}

/// Asks for the end, and returns when it is due.
fn begin_shutdown(state: &DriverState, timeout: Duration) -> Instant {
    let deadline = {
        let pipeline = &mut state.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        pipeline.shutdown(deadline);
        deadline
    };
    state.bell.ring();
    deadline
}

/// A flush that a future waits for; forgotten when the future is dropped.
struct Waiting<'a> {
    state: &'a Arc<DriverState>,
    id: FlushId,
    deadline: Instant,
}

impl<'a> Waiting<'a> {
    fn new(state: &'a Arc<DriverState>, timeout: Duration) -> Self {
        let mut locked = state.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        let id = locked.pipeline.force_flush(deadline);
        Self {
            state,
            id,
            deadline,
        }
    }

    fn poll(&self) -> Option<FlushReport> {
        self.state.lock().flush_report(self.id)
    }

    fn end(&self) -> FlushReport {
        let ended = self.state.lock().pipeline.end_flush(self.id);
        ended.unwrap_or(FlushReport::LATE)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.state.lock().pipeline.forget_flush(self.id);
    }
}
