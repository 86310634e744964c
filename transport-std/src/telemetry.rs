//! `init`, and the handle that it gives back.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::config::{Config, Settings, SettingsError};
use spandrel_core::hosted::diagnostics::release_kept;
use spandrel_core::hosted::trace::TracerProvider;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::handle::{DestinationReport, Driven, Handle, worst};
use spandrel_core::hosted::unversioned::lifecycle::{
    announce_start, announce_started, log_error, report_exporter,
};
use spandrel_core::hosted::unversioned::pipeline::{Pipeline, PipelineError};

use crate::ending::{Ending, Further};
use crate::metrics::MetricsThread;
use crate::output::Output;
use crate::worker::Worker;

/// Why tracing could not be started. The program can go on without it.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// A field of the configuration is wrong.
    Settings(SettingsError),
    /// The exporter cannot be built: a header, a certificate, an endpoint.
    Exporter(BuildError),
    /// The settings do not fit together.
    Pipeline(PipelineError),
    /// The system gave no thread.
    Thread(std::io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to create OTLP exporter: ")?;
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Exporter(error) => error.fmt(f),
            Self::Pipeline(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start the sender's thread: {error}"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Settings(error) => Some(error),
            Self::Exporter(error) => Some(error),
            Self::Pipeline(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}

/// Starts tracing.
///
/// With `enabled: false`, or `OTEL_SDK_DISABLED=true`, the handle and its tracers do nothing.
/// Without an endpoint, in code or in the environment, spans go to the standard output, in the form
/// of [`Config::stdout_format`](Config::stdout_format). Otherwise one thread is started, which sends to the collector, which need not be up.
///
/// The first `init` of a process also makes its provider the process-wide one, so that
/// [`tracer`](crate::tracer) works everywhere. Another `init` before its shutdown starts a second
/// pipeline beside it, with a diagnostic.
///
/// ```
/// use spandrel_transport_std::{Config, init};
/// use std::time::Duration;
///
/// let telemetry = init(Config { enabled: false, ..Config::default() })?;
/// let mut span = telemetry.tracer("shop").start("order.place");
/// span.set_attribute("items", 3);
/// drop(span);
/// assert!(telemetry.shutdown(Duration::from_secs(5)).is_success());
/// # Ok::<(), spandrel_transport_std::InitError>(())
/// ```
///
/// # Errors
///
/// What is wrong with the configuration. Bad environment variables are no error: they are reported
/// and their defaults used.
pub fn init(config: Config) -> Result<Telemetry, InitError> {
    log_error(
        config
            .resolve()
            .map_err(InitError::Settings)
            .and_then(|settings| start(&settings)),
    )
}

/// Starts tracing with settings that were resolved before.
///
/// # Errors
///
/// As [`init`].
pub fn start(settings: &Settings) -> Result<Telemetry, InitError> {
    if !announce_start(settings) {
        return Ok(Telemetry::idle());
    }
    let outputs = Output::all(settings).map_err(InitError::Exporter)?;
    let (pipeline, provider) = Pipeline::new(settings).map_err(InitError::Pipeline)?;
    let telemetry = Telemetry::start(settings, outputs, pipeline, provider)?;
    announce_started(settings, telemetry.provider());
    Ok(telemetry)
}

/// A running pipeline. Dropping it flushes, within
/// [`Config::shutdown_timeout`](Config::shutdown_timeout) at most.
///
/// Keep it for as long as the program records: `let _telemetry = init(..)` does, `let _ = init(..)`
/// ends tracing at once.
#[derive(Debug)]
#[must_use = "dropping the handle ends tracing"]
pub struct Telemetry {
    handle: Handle,
    ending: Option<Arc<Ending>>,
    /// It is the last one that can say what its start reported.
    was_started: bool,
}

impl Telemetry {
    /// A handle that does nothing.
    pub const fn disabled() -> Self {
        Self {
            handle: Handle::disabled(),
            ending: None,
            was_started: false,
        }
    }

    /// The handle of a start that records nothing.
    const fn idle() -> Self {
        let mut idle = Self::disabled();
        idle.was_started = true;
        idle
    }

    fn start(
        settings: &Settings,
        outputs: Vec<Output>,
        pipeline: Pipeline,
        provider: TracerProvider,
    ) -> Result<Self, InitError> {
        let mut further = Vec::with_capacity(settings.further.len());
        for settings in &settings.further {
            let outputs = Output::all(settings).map_err(InitError::Exporter)?;
            let branch = Pipeline::branch(&pipeline, settings).map_err(InitError::Pipeline)?;
            further.push((branch, outputs, settings.target.to_string()));
        }
        let name = settings.target.to_string();
        let started = Worker::start_all(pipeline, outputs, name.clone(), further);
        let (worker, workers) = started.map_err(InitError::Thread)?;
        let mut names: Vec<(String, Arc<dyn Driven>)> = Vec::with_capacity(workers.len());
        let mut further = Vec::with_capacity(workers.len());
        for (settings, worker) in settings.further.iter().zip(workers) {
            names.push((settings.target.to_string(), Arc::clone(&worker) as _));
            further.push(Further {
                worker,
                exporter: settings.span_exporter.clone(),
            });
        }
        let metrics = MetricsThread::start(settings, &worker).map_err(InitError::Thread)?;
        Ok(Self {
            handle: Handle::new(provider.clone(), Arc::clone(&worker) as _)
                .with_further(name, names),
            ending: Some(Arc::new(Ending {
                provider,
                worker,
                metrics,
                exporter: settings.span_exporter.clone(),
                further,
                shutdown_timeout: settings.shutdown_timeout,
            })),
            was_started: true,
        })
    }

    /// A pipeline for the records of a device: see [`Pipeline::relay`]. Nothing is recorded here.
    #[cfg(feature = "gateway")]
    pub(crate) fn relay(
        settings: &Settings,
        resource: &spandrel_core::link::EncodedEntry<'_>,
        more: &[spandrel_core::attribute::KeyValue<'_>],
    ) -> Result<Self, InitError> {
        let output = Output::all(settings).map_err(InitError::Exporter)?;
        let pipeline = Pipeline::relay(settings, resource, more).map_err(InitError::Pipeline)?;
        Self::start(settings, output, pipeline, TracerProvider::disabled())
    }

    /// The pipeline, locked, unless there is none.
    #[cfg(feature = "gateway")]
    pub(crate) fn with_pipeline<T>(&self, act: impl FnOnce(&mut Pipeline) -> T) -> Option<T> {
        let worker = &self.ending.as_ref()?.worker;
        Some(act(&mut worker.lock().pipeline))
    }

    /// Sends everything that has ended so far, and waits for it, `timeout` at most.
    ///
    /// If spans were lost that no report has told of, before the call too, the report is no success.
    ///
    /// Retries and the circuit breaker stay in force: while the circuit is open for longer than
    /// `timeout`, the answer comes at once and says so. Spans that are left stay in the buffer.
    ///
    /// With further destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub fn force_flush(&self, timeout: Duration) -> FlushReport {
        worst(&self.force_flush_each(timeout))
    }

    /// As [`force_flush`](Self::force_flush), with the report of each destination, the first one first.
    /// Empty if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub fn force_flush_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        let Some(ending) = self.ending() else {
            return Vec::new();
        };
        let processed = self.handle.flush_processors(timeout);
        // The first one hands its spans to the others before they begin.
        let begun: Vec<_> = ending
            .workers()
            .map(|(worker, _)| worker.begin_flush(processed.left))
            .collect();
        let ends = ending.workers().zip(begun);
        let reports = ends.map(|((worker, _), begun)| {
            let report = processed.report(worker.end_flush(begun));
            DestinationReport::new(worker.target().into(), report)
        });
        let reports = reports.collect();
        for exporter in ending.workers().filter_map(|(_, exporter)| exporter) {
            report_exporter("flush", exporter.force_flush());
        }
        reports
    }

    /// Ends tracing: sends what is left, waits `timeout` at most, and reports what happened.
    ///
    /// The report is a success only if no span was lost since the start. Meanwhile each request gets at
    /// most half of the time that is left.
    ///
    /// Spans that end later are counted as lost and go nowhere. A second call changes nothing and
    /// gives the same report. With further destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub fn shutdown(&self, timeout: Duration) -> FlushReport {
        worst(&self.shutdown_each(timeout))
    }

    /// As [`shutdown`](Self::shutdown), with the report of each destination, the first one first. Empty
    /// if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub fn shutdown_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        let reports = self.ending().map(|ending| ending.run(timeout));
        self.release();
        reports.unwrap_or_default()
    }

    /// `None` also in a forked child, which has no such thread.
    pub(crate) fn ending(&self) -> Option<&Arc<Ending>> {
        self.ending
            .as_ref()
            .filter(|_| self.handle.is_driven_here())
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
        if let Some(ending) = self.ending() {
            ending.run(ending.shutdown_timeout);
        }
        self.release();
    }
}
