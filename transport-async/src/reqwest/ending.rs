//! What ends with a pipeline.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::string::ToString;
use std::sync::Arc;
use std::thread;
use std::vec::Vec;

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::trace::{TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::ends::AtEnd;
use spandrel_core::hosted::unversioned::handle::{DestinationReport, shut_processors_down};
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;
use spandrel_core::hosted::unversioned::pipeline::FlushId;
use spandrel_core::time::Instant;
use tokio::runtime::Builder;

use super::drive::{all, wait_for};
use super::metrics::MetricsTask;
use super::output::in_background;
use super::state::DriverState;

/// What the handle, a signal or a panic ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) provider: TracerProvider,
    pub(super) state: Arc<DriverState>,
    pub(super) metrics: Option<MetricsTask>,
    /// The states of further destinations.
    pub(super) further: Vec<Arc<DriverState>>,
    pub(super) shutdown_timeout: Duration,
    /// A panic that drops the handle has what is left sent.
    pub(super) records_panics: AtomicBool,
}

impl Ending {
    /// The states of all destinations, the first one first.
    pub(super) fn states(&self) -> impl Iterator<Item = &Arc<DriverState>> {
        [&self.state].into_iter().chain(&self.further)
    }

    /// The reports of all destinations, the first one first.
    pub(super) async fn run(&self, timeout: Duration) -> Vec<DestinationReport> {
        let processed = shut_processors_down(&self.provider, timeout);
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
        clear_global(&self.provider);
        for exporter in self.states().filter_map(|state| state.plan.exporter()) {
            report_exporter("shutdown", in_background(move || exporter.shutdown()).await);
        }
        if let Some(metrics) = &self.metrics {
            let now = self.state.lock().pipeline.now();
            metrics.stopped(deadline.saturating_since(now)).await;
        }
        reports
    }

    /// Ends the pipeline on a thread of its own if a panic, which is to be recorded, unwinds this one: its
    /// runtime ends next.
    pub(super) fn run_if_panicking(self: &Arc<Self>) {
        if thread::panicking() && self.records_panics.load(Ordering::Relaxed) {
            let ending = Arc::clone(self);
            let thread = thread::Builder::new().name("spandrel-end".to_string());
            if let Ok(thread) = thread.spawn(move || ending.end()) {
                let _ = thread.join();
            }
        }
    }
}

/// The process ends next, perhaps because the program's own runtime stands still or one of its threads
/// has panicked. So another runtime waits, which sends if nothing else does.
impl AtEnd for Ending {
    fn end(&self) {
        if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
            runtime.block_on(self.run(self.shutdown_timeout));
        }
    }

    fn hurry(&self) {
        for state in self.states() {
            drop(Waiting::new(state, self.shutdown_timeout));
            state.bell.ring();
        }
    }

    fn patience(&self) -> Duration {
        self.shutdown_timeout
    }

    fn provider(&self) -> &TracerProvider {
        &self.provider
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
pub(super) fn begin_shutdown(state: &DriverState, timeout: Duration) -> Instant {
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
pub(super) struct Waiting<'a> {
    pub(super) state: &'a Arc<DriverState>,
    id: FlushId,
    pub(super) deadline: Instant,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(state: &'a Arc<DriverState>, timeout: Duration) -> Self {
        let mut locked = state.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        let id = locked.pipeline.force_flush(deadline);
        Self {
            state,
            id,
            deadline,
        }
    }

    pub(super) fn poll(&self) -> Option<FlushReport> {
        self.state.lock().flush_report(self.id)
    }

    pub(super) fn end(&self) -> FlushReport {
        let ended = self.state.lock().pipeline.end_flush(self.id);
        ended.unwrap_or(FlushReport::LATE)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.state.lock().pipeline.forget_flush(self.id);
    }
}
