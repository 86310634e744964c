//! What ends with a pipeline.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::string::ToString;
use std::sync::Arc;
use std::thread;

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::export::SharedExporter;
use spandrel_core::hosted::trace::{TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::ends::AtEnd;
use spandrel_core::hosted::unversioned::handle::shut_processors_down;
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;
use spandrel_core::hosted::unversioned::pipeline::FlushId;
use spandrel_core::time::Instant;
use tokio::runtime::Builder;

use super::drive::wait_for;
use super::metrics::MetricsTask;
use super::output::in_background;
use super::state::DriverState;

/// What the handle, a signal or a panic ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) provider: TracerProvider,
    pub(super) state: Arc<DriverState>,
    pub(super) metrics: Option<MetricsTask>,
    pub(super) exporter: Option<SharedExporter>,
    pub(super) shutdown_timeout: Duration,
    /// A panic that drops the handle has what is left sent.
    pub(super) records_panics: AtomicBool,
}

impl Ending {
    pub(super) async fn run(&self, timeout: Duration) -> FlushReport {
        let state = &self.state;
        let processed = shut_processors_down(&self.provider, timeout);
        let deadline = begin_shutdown(state, processed.left);
        let report = match wait_for(state, deadline, || state.lock().told()).await {
            Some(report) => report,
            // The deadline passed with a request under way, or there is nothing to send with.
            None => {
                state.abandon();
                state
                    .lock()
                    .pipeline
                    .poll_shutdown()
                    .unwrap_or(FlushReport::LATE)
            }
        };
        clear_global(&self.provider);
        if let Some(exporter) = self.exporter.clone() {
            report_exporter("shutdown", in_background(move || exporter.shutdown()).await);
        }
        if let Some(metrics) = &self.metrics {
            let now = state.lock().pipeline.now();
            metrics.stopped(deadline.saturating_since(now)).await;
        }
        processed.report(report)
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
        drop(Waiting::new(&self.state, self.shutdown_timeout));
        self.state.bell.ring();
    }

    fn patience(&self) -> Duration {
        self.shutdown_timeout
    }

    fn provider(&self) -> &TracerProvider {
        &self.provider
    }
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
    state: &'a DriverState,
    id: FlushId,
    pub(super) deadline: Instant,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(state: &'a DriverState, timeout: Duration) -> Self {
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
