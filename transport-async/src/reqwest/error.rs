//! Why tracing cannot be started.

use std::{error, fmt};

use spandrel_core::hosted::config::SettingsError;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::pipeline::PipelineError;

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
    /// There is no tokio runtime here: call `init` inside one, or enter one with
    /// `Handle::enter`.
    NoRuntime,
    /// The tokio runtime here has no timers, which every request needs: build it with `enable_all`.
    NoTimers,
    /// The tokio runtime here has no I/O, which every connection needs: build it with `enable_all`.
    NoIo,
    /// [`WhenFull::Wait`](spandrel_core::hosted::config::WhenFull::Wait) would block threads of the
    /// runtime, on which the sender is a task, so it would wait for itself. Await
    /// [`Telemetry::room`](super::Telemetry::room) instead.
    CannotWait,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to create OTLP exporter: ")?;
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Exporter(error) => error.fmt(f),
            Self::Pipeline(error) => error.fmt(f),
            Self::NoRuntime => f.write_str("it was not called inside a tokio runtime"),
            Self::NoTimers => f.write_str(
                "the tokio runtime has no timers; build it with `enable_all`, or `enable_time` and \
                 `enable_io`",
            ),
            Self::NoIo => f.write_str(
                "the tokio runtime has no I/O; build it with `enable_all`, or `enable_time` and \
                 `enable_io`",
            ),
            Self::CannotWait => f.write_str(
                "`when_full: Wait` would block the runtime that sends; await `room()` where spans are \
                 made",
            ),
        }
    }
}

impl error::Error for InitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Settings(error) => Some(error),
            Self::Exporter(error) => Some(error),
            Self::Pipeline(error) => Some(error),
            Self::NoRuntime | Self::NoTimers | Self::NoIo | Self::CannotWait => None,
        }
    }
}
