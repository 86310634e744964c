//! What ends with a pipeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_core::hosted::export::SharedExporter;
use spandrel_core::hosted::trace::{TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::ends::AtEnd;
use spandrel_core::hosted::unversioned::handle::{DestinationReport, shut_processors_down};
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
    pub(crate) further: Vec<Further>,
    pub(crate) shutdown_timeout: Duration,
}

/// A further destination.
#[derive(Debug)]
pub(crate) struct Further {
    pub(crate) worker: Arc<WorkerState>,
    pub(crate) exporter: Option<SharedExporter>,
}

impl Ending {
    /// The workers of all destinations, the first one first, with the program's exporters.
    pub(crate) fn workers(
        &self,
    ) -> impl Iterator<Item = (&Arc<WorkerState>, Option<&SharedExporter>)> {
        let further = self.further.iter();
        let further = further.map(|it| (&it.worker, it.exporter.as_ref()));
        [(&self.worker, self.exporter.as_ref())]
            .into_iter()
            .chain(further)
    }

    /// The reports of all destinations, the first one first.
    pub(crate) fn run(&self, timeout: Duration) -> Vec<DestinationReport> {
        let started = Instant::now();
        let processed = shut_processors_down(&self.provider, timeout);
        let begun: Vec<_> = self
            .workers()
            .map(|(worker, _)| worker.begin_shutdown(processed.left))
            .collect();
        let ends = self.workers().zip(begun);
        let reports = ends.map(|((worker, _), deadline)| {
            let report = processed.report(worker.end_shutdown(deadline));
            DestinationReport::new(worker.target().into(), report)
        });
        let reports = reports.collect();
        for exporter in self.workers().filter_map(|(_, exporter)| exporter) {
            report_exporter("shutdown", exporter.shutdown());
        }
        if let Some(metrics) = &self.metrics {
            metrics.stop(timeout.saturating_sub(started.elapsed()));
        }
        clear_global(&self.provider);
        reports
    }
}

impl AtEnd for Ending {
    fn end(&self) {
        self.run(self.shutdown_timeout);
    }

    fn hurry(&self) {
        for (worker, _) in self.workers() {
            worker.start_flush(self.shutdown_timeout);
        }
    }

    fn patience(&self) -> Duration {
        self.shutdown_timeout
    }

    fn provider(&self) -> &TracerProvider {
        &self.provider
    }
}
