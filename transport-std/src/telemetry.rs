//! `init`, and the handle that it gives back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use spandrel_core::breaker::State;
use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::config::{Config, Settings, SettingsError};
use spandrel_core::hosted::trace::{SpanCounts, Tracer, TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::lifecycle::{begin, finish, reported};
use spandrel_core::hosted::unversioned::pipeline::{Pipeline, PipelineError};
use spandrel_core::stats::{DeliveryStats, Ledger};
use spandrel_core::time::Instant;

use crate::output::Output;
use crate::worker::{Shared, Worker};
use crate::{BuildError, Canceller};

/// Why tracing could not be started. The program can go on without it.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// A field of the configuration is wrong.
    Settings(SettingsError),
    /// The exporter cannot be built: a header, a certificate, an endpoint.
    Exporter(BuildError),
    /// What was configured does not fit together.
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
/// Without an endpoint, in code or in the environment, spans go to the standard output as OTLP/JSON
/// lines. Otherwise one thread is started, which sends to the collector; that one need not be up.
///
/// The first `init` of a process also makes its provider the process-wide one, so that
/// [`tracer`](crate::tracer) works everywhere. Another `init` while that lasts gives a pipeline of
/// its own, beside it, and says so in a diagnostic; after a shutdown the place is free again.
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
    reported(
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
    if !begin(settings) {
        return Ok(Telemetry::disabled());
    }
    let output = Output::new(settings).map_err(InitError::Exporter)?;
    let (pipeline, provider) = Pipeline::new(settings).map_err(InitError::Pipeline)?;
    let running = run(settings, output, pipeline)?;
    finish(settings, &provider);
    Ok(Telemetry {
        provider,
        running: Some(running),
    })
}

/// Starts the thread that sends what `pipeline` holds.
fn run(settings: &Settings, output: Output, pipeline: Pipeline) -> Result<Running, InitError> {
    let canceller = output.canceller();
    let shared = Shared::new(pipeline);
    let wake = Arc::downgrade(&shared);
    shared.lock().pipeline.set_waker(Box::new(move || {
        if let Some(shared) = wake.upgrade() {
            shared.wake();
        }
    }));
    let worker = Worker::new(Arc::clone(&shared), output, settings.target.to_string());
    let thread = std::thread::Builder::new()
        .name("spandrel".into())
        .spawn(move || worker.run())
        .map_err(InitError::Thread)?;
    shared.set_thread(thread.thread().clone());
    shared.wake();
    Ok(Running {
        shared,
        canceller,
        shutdown_timeout: settings.shutdown_timeout,
    })
}

/// A running pipeline. Dropping it flushes, within
/// [`Config::shutdown_timeout`](Config::shutdown_timeout) at most.
///
/// Keep it for as long as the program records: `let _telemetry = init(..)` does, `let _ = init(..)`
/// ends tracing at once.
#[derive(Debug)]
#[must_use = "dropping the handle ends tracing"]
pub struct Telemetry {
    provider: TracerProvider,
    running: Option<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    shared: Arc<Shared>,
    canceller: Option<Canceller>,
    shutdown_timeout: Duration,
}

/// How long a shutdown waits, once it is over, for the sender's thread to say its last words: a
/// process that ends next would cut them off.
const FAREWELL: Duration = Duration::from_millis(50);

impl Telemetry {
    /// A handle that does nothing.
    pub const fn disabled() -> Self {
        Self {
            provider: TracerProvider::disabled(),
            running: None,
        }
    }

    /// A pipeline for the records of a device: see [`Pipeline::relay`]. Nothing is recorded here.
    #[cfg(feature = "gateway")]
    pub(crate) fn relay(
        settings: &Settings,
        resource: &spandrel_core::link::EncodedEntry<'_>,
        more: &[spandrel_core::attribute::KeyValue<'_>],
    ) -> Result<Self, InitError> {
        let output = Output::new(settings).map_err(InitError::Exporter)?;
        let pipeline = Pipeline::relay(settings, resource, more).map_err(InitError::Pipeline)?;
        let running = run(settings, output, pipeline)?;
        Ok(Self {
            provider: TracerProvider::disabled(),
            running: Some(running),
        })
    }

    /// The pipeline, locked, unless there is none.
    #[cfg(feature = "gateway")]
    pub(crate) fn with_pipeline<T>(&self, act: impl FnOnce(&mut Pipeline) -> T) -> Option<T> {
        let running = self.running.as_ref()?;
        Some(act(&mut running.shared.lock().pipeline))
    }

    /// A tracer for the scope `name`.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.provider.tracer(name)
    }

    /// The provider, for tracers with versions and attributes.
    #[must_use]
    pub const fn provider(&self) -> &TracerProvider {
        &self.provider
    }

    /// Whether spans are recorded.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Sends everything that has ended so far, and waits for it, `timeout` at most.
    ///
    /// Retries and the circuit breaker stay in force: while the circuit is open for longer than
    /// `timeout`, the answer comes at once and says so. Spans that are left stay in the buffer.
    #[must_use = "the report says whether everything has arrived"]
    pub fn force_flush(&self, timeout: Duration) -> FlushReport {
        self.running
            .as_ref()
            .map_or(FlushReport::NOTHING, |running| running.force_flush(timeout))
    }

    /// Ends tracing: sends what is left, waits `timeout` at most, and tells what happened.
    ///
    /// Spans that end later are counted as lost and go nowhere. A second call changes nothing and
    /// gives the same report.
    #[must_use = "the report says whether everything has arrived"]
    pub fn shutdown(&self, timeout: Duration) -> FlushReport {
        let Some(running) = &self.running else {
            return FlushReport::NOTHING;
        };
        let report = running.shutdown(timeout);
        clear_global(&self.provider);
        report
    }

    /// A handle that ends all waiting and retrying at once, from any thread.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken {
            running: self.running.clone(),
        }
    }

    /// Where every span is.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.running
            .as_ref()
            .map_or_else(Ledger::default, |r| r.shared.lock().pipeline.ledger())
    }

    /// What the delivery has done.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.running
            .as_ref()
            .map_or_else(DeliveryStats::default, |r| r.shared.lock().pipeline.stats())
    }

    /// How many spans were started, ended, and are still open.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        self.provider.counts()
    }

    /// The state of the circuit breaker; closed when nothing is recorded.
    #[must_use]
    pub fn circuit(&self) -> State {
        self.running
            .as_ref()
            .map_or(State::Closed, |r| r.shared.lock().pipeline.circuit())
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown(running.shutdown_timeout);
            clear_global(&self.provider);
        }
    }
}

impl Running {
    fn force_flush(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut state = self.shared.lock();
        let deadline = state.pipeline.now().saturating_add(timeout);
        let flush = state.pipeline.force_flush(deadline);
        self.shared.wake();
        self.shared.wait_flushed(state, flush, timeout)
    }

    fn shutdown(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut state = self.shared.lock();
        let deadline = state.pipeline.now().saturating_add(timeout);
        state.pipeline.shutdown(deadline);
        self.shared.wake();
        state = self.shared.wait_shut_down(state, timeout);
        if state.pipeline.poll_shutdown().is_none() {
            // The deadline passed with a request under way: what is held is given up here, and
            // the request is ended.
            state.pipeline.shutdown(Instant::ZERO);
        }
        self.shared.announce();
        let report = state.pipeline.poll_shutdown().unwrap_or(FlushReport::LATE);
        drop(state);
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
        self.shared.wake();
        self.shared.wait_ended(self.patience(FAREWELL));
        report
    }

    /// On the sender's own thread (in a log handler) nobody would ever answer.
    fn patience(&self, timeout: Duration) -> Duration {
        if self.shared.is_worker() {
            Duration::ZERO
        } else {
            timeout
        }
    }
}

/// Ends all waiting and retrying of a pipeline at once; what is held is counted as lost for the
/// shutdown. From [`Telemetry::cancel_token`]; clones do the same.
#[derive(Clone, Debug)]
pub struct CancelToken {
    running: Option<Running>,
}

impl CancelToken {
    /// Cancels. A flush or a shutdown that waits returns with what it has reached. Repeated calls
    /// change nothing.
    pub fn cancel(&self) {
        if let Some(running) = &self.running {
            running.shutdown(Duration::ZERO);
        }
    }
}
