//! `init`: from a configuration to a running pipeline.

use core::sync::atomic::AtomicBool;
use std::boxed::Box;
use std::string::ToString;
use std::sync::{Arc, Weak};
use std::vec::Vec;

use spandrel_core::hosted::config::{Config, Settings};
use spandrel_core::hosted::unversioned::lifecycle::{announce_start, announce_started, log_error};
use spandrel_core::hosted::unversioned::pipeline::Pipeline;
use tokio::runtime::Handle;

use super::drive::background;
use super::ending::Ending;
use super::error::InitError;
use super::metrics::MetricsTask;
use super::output::Plan;
use super::state::DriverState;
use super::telemetry::Telemetry;
use super::time::{has_io, has_timers};

/// Starts tracing, with a task on the runtime in whose context it is called.
///
/// With `enabled: false`, or `OTEL_SDK_DISABLED=true`, the handle and its tracers do nothing, and
/// no runtime is needed. Without an endpoint, in code or in the environment, spans go to the
/// standard output, in the form of [`Config::stdout_format`](Config::stdout_format). The collector need not be up.
///
/// The first `init` of a process also makes its provider the process-wide one, so that
/// [`tracer`](super::tracer) works everywhere. Another `init` before its shutdown, of this transport or
/// of the blocking one, starts a second pipeline beside it, with a diagnostic.
///
/// ```
/// use spandrel_transport_async::{Config, init};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), spandrel_transport_async::InitError> {
/// let telemetry = init(Config { enabled: false, ..Config::default() })?;
/// let mut span = telemetry.tracer("shop").start("order.place");
/// span.set_attribute("items", 3);
/// drop(span);
/// assert!(telemetry.shutdown(Duration::from_secs(5)).await.is_success());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What is wrong with the configuration, or that there is no runtime or one without timers or I/O:
/// it must be built with `enable_all`, as `#[tokio::main]` does. Bad environment variables are
/// no error: they are reported and their defaults used.
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
    let runtime = Handle::try_current().map_err(|_| InitError::NoRuntime)?;
    if !has_timers() {
        return Err(InitError::NoTimers);
    }
    if settings.http().is_some() && !has_io() {
        return Err(InitError::NoIo);
    }
    if !settings.when_full.patience().is_zero() {
        return Err(InitError::CannotWait);
    }
    let plan = Plan::new(settings).map_err(InitError::Exporter)?;
    let (pipeline, provider) = Pipeline::new(settings).map_err(InitError::Pipeline)?;
    let mut branches = Vec::with_capacity(settings.further.len());
    for settings in &settings.further {
        let plan = Plan::new(settings).map_err(InitError::Exporter)?;
        let branch = Pipeline::branch(&pipeline, settings).map_err(InitError::Pipeline)?;
        branches.push((branch, plan, settings.target.to_string()));
    }
    let state = DriverState::new(pipeline, plan, settings.target.to_string());
    let first = Arc::downgrade(&state);
    let further: Vec<_> = branches
        .into_iter()
        .map(|(branch, plan, target)| DriverState::further(&first, branch, plan, target))
        .collect();
    let mut all = further.iter().map(Arc::downgrade).collect::<Vec<_>>();
    all.push(first);
    {
        let branches = further.iter().map(|state| Arc::clone(state) as _);
        let pipeline = &mut state.lock().pipeline;
        pipeline.set_branches(branches.collect());
        pipeline.set_waker(Box::new(move || {
            for state in all.iter().filter_map(Weak::upgrade) {
                state.bell.ring();
            }
        }));
    }
    for state in further.iter().chain([&state]) {
        runtime.spawn(background(Arc::clone(state)));
    }
    let metrics = MetricsTask::start(settings, &runtime, &state);
    announce_started(settings, &provider);
    Ok(Telemetry::running(Ending {
        provider,
        state,
        metrics,
        further,
        shutdown_timeout: settings.shutdown_timeout,
        records_panics: AtomicBool::new(false),
    }))
}
