//! The start of a transport: its reports, and the process-wide provider.
//!
//! ```
//! use spandrel_core::hosted::unversioned::pipeline::{Pipeline, PipelineError};
//! use spandrel_core::hosted::config::{Config, Settings};
//! use spandrel_core::hosted::unversioned::lifecycle::{announce_start, announce_started, log_error};
//! use spandrel_core::hosted::trace::TracerProvider;
//!
//! /// A transport's `start`.
//! fn start(settings: &Settings) -> Result<TracerProvider, PipelineError> {
//!     if !announce_start(settings) {
//!         return Ok(TracerProvider::disabled());
//!     }
//!     let (pipeline, provider) = Pipeline::new(settings)?;
//!     // .. here it starts the sender ..
//!     # drop(pipeline);
//!     announce_started(settings, &provider);
//!     Ok(provider)
//! }
//!
//! let settings = Config { service_name: "shop".into(), ..Config::default() }.resolve()?;
//! let provider = log_error(start(&settings))?;
//! assert_eq!(provider.counts().started.recorded, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt::Display;

use crate::hosted::config::Settings;
use crate::hosted::diagnostics::{Kind, Severity, release_kept, report, report_cause, set_level};
use crate::hosted::export::ExportError;
use crate::hosted::propagation::set_from_settings;
use crate::hosted::trace::{TracerProvider, set_global};

/// Reports the error of an `init`, and returns the result. An error goes to the standard error if
/// nothing listens: there is no sender that could say it later.
///
/// # Errors
///
/// `started`'s.
pub fn log_error<T, E: Display>(started: Result<T, E>) -> Result<T, E> {
    if let Err(error) = &started {
        report(
            Kind::ExporterCreation,
            Severity::Error,
            format_args!("{error}"),
        );
        release_kept();
    }
    started
}

/// Reports the settings' diagnostics, at the level that they ask for, and sets the process-wide
/// propagator, which works without a pipeline too. Returns true if a pipeline is to
/// be started.
#[must_use]
pub fn announce_start(settings: &Settings) -> bool {
    report_settings(settings);
    set_from_settings(settings);
    if !settings.is_recording() {
        report_disabled(settings);
    }
    settings.is_recording()
}

/// A collector among the variables shows that somebody expects traces.
fn report_disabled(settings: &Settings) {
    let variables = &settings.variables;
    let (severity, why) = match variables.only_code_disables {
        true if variables.asks_for_collector => (
            Severity::Warn,
            ", although a variable names an exporter; set `enabled: true` in code",
        ),
        true => (Severity::Info, ""),
        false if !settings.enabled => (Severity::Info, ", because OTEL_SDK_DISABLED is true"),
        false => (Severity::Info, ", because OTEL_TRACES_EXPORTER is none"),
    };
    report(
        Kind::Lifecycle,
        severity,
        format_args!("tracing is disabled: no span is recorded{why}"),
    );
}

/// The part of [`announce_start`] for users of settings that have no pipeline of their own.
pub fn report_settings(settings: &Settings) {
    if let Some(level) = settings.log_level {
        set_level(level);
    }
    for sentence in &settings.diagnostics {
        let cause = sentence.as_str();
        report_cause(
            Kind::Config,
            Severity::Warn,
            cause,
            format_args!("{sentence}"),
        );
    }
}

/// Reports that an exporter of the program has failed to flush. Its spans count as exported.
pub fn report_exporter(during: &str, flushed: Result<(), ExportError>) {
    if let Err(error) = flushed {
        report(
            Kind::ExportFailed,
            Severity::Error,
            format_args!("the exporter failed in its {during}: {error}; spans may be missing"),
        );
    }
}

/// Makes `provider` the process-wide one, if the settings want it and there is none, and reports
/// that tracing has started.
pub fn announce_started(settings: &Settings, provider: &TracerProvider) {
    if settings.set_global && !set_global(provider) {
        report(
            Kind::Misuse,
            Severity::Warn,
            format_args!(
                "tracing was initialised twice: the first provider stays the process-wide one; \
                 use the tracers of this handle, or shut the first one down before"
            ),
        );
    }
    report(
        Kind::Lifecycle,
        Severity::Info,
        format_args!("tracing started: spans go to {}", settings.targets()),
    );
}
