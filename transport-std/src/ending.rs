//! What ends with a pipeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::export::SharedExporter;
use spandrel_core::hosted::trace::{TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::ends::AtEnd;
use spandrel_core::hosted::unversioned::handle::shut_processors_down;
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;

use crate::metrics::MetricsThread;
use crate::worker::WorkerState;

/// What the handle, a signal or a panic ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) provider: TracerProvider,
    pub(crate) worker: Arc<WorkerState>,
    pub(crate) metrics: Option<MetricsThread>,
    pub(crate) exporter: Option<SharedExporter>,
    pub(crate) shutdown_timeout: Duration,
}

impl Ending {
    pub(crate) fn run(&self, timeout: Duration) -> FlushReport {
        let started = Instant::now();
        let processed = shut_processors_down(&self.provider, timeout);
        let report = processed.report(self.worker.shutdown(processed.left));
        if let Some(exporter) = &self.exporter {
            report_exporter("shutdown", exporter.shutdown());
        }
        if let Some(metrics) = &self.metrics {
            metrics.stop(timeout.saturating_sub(started.elapsed()));
        }
        clear_global(&self.provider);
        report
    }
}

impl AtEnd for Ending {
    fn end(&self) {
        self.run(self.shutdown_timeout);
    }

    fn hurry(&self) {
        self.worker.begin_flush(self.shutdown_timeout);
    }

    fn patience(&self) -> Duration {
        self.shutdown_timeout
    }

    fn provider(&self) -> &TracerProvider {
        &self.provider
    }
}
