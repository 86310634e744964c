//! What every transport says and does when it starts: once, so that all of them do it alike.
//!
//! ```
//! use spandrel_core::hosted::unversioned::pipeline::{Pipeline, PipelineError};
//! use spandrel_core::hosted::config::{Config, Settings};
//! use spandrel_core::hosted::unversioned::lifecycle::{begin, finish, reported};
//! use spandrel_core::hosted::trace::TracerProvider;
//!
//! /// A transport's `start`.
//! fn start(settings: &Settings) -> Result<TracerProvider, PipelineError> {
//!     if !begin(settings) {
//!         return Ok(TracerProvider::disabled());
//!     }
//!     let (pipeline, provider) = Pipeline::new(settings)?;
//!     // .. here it starts what sends ..
//!     # drop(pipeline);
//!     finish(settings, &provider);
//!     Ok(provider)
//! }
//!
//! let settings = Config { service_name: "shop".into(), ..Config::default() }.resolve()?;
//! let provider = reported(start(&settings))?;
//! assert_eq!(provider.counts().started.recorded, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt::Display;

use crate::hosted::config::Settings;
use crate::hosted::diagnostics::{Kind, Severity, report, set_level};
use crate::hosted::trace::{TracerProvider, set_global};

/// What `init` gives back, reported if it is an error.
///
/// # Errors
///
/// Those of `started`.
pub fn reported<T, E: Display>(started: Result<T, E>) -> Result<T, E> {
    if let Err(error) = &started {
        report(
            Kind::ExporterCreation,
            Severity::Error,
            format_args!("{error}"),
        );
    }
    started
}

/// Reports what was odd about the settings, at the level that they ask for; whether anything is to
/// be started.
#[must_use]
pub fn begin(settings: &Settings) -> bool {
    report_settings(settings);
    if !settings.is_recording() {
        report(
            Kind::Lifecycle,
            Severity::Info,
            format_args!("tracing is disabled: no span is recorded"),
        );
    }
    settings.is_recording()
}

/// The part of [`begin`] that holds for whoever uses settings, also without a pipeline of his own.
pub fn report_settings(settings: &Settings) {
    if let Some(level) = settings.log_level {
        set_level(level);
    }
    for sentence in &settings.diagnostics {
        report(Kind::Config, Severity::Warn, format_args!("{sentence}"));
    }
}

/// Makes `provider` that of the process, if the settings want it and there is none, and reports
/// that tracing has started.
pub fn finish(settings: &Settings, provider: &TracerProvider) {
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
        format_args!("tracing started: spans go to {}", settings.target),
    );
}
