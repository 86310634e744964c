//! A report: what it is about, how much it matters, and its text.

use core::fmt;

use crate::env::LogLevel;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The subject of a report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        pub(super) const KINDS: usize = [$(Kind::$name),*].len();
    };
}

kinds! {
    /// A setting or variable was not understood and its default is used.
    Config,
    /// The exporter could not be built.
    ExporterCreation,
    /// A batch was given up.
    ExportFailed,
    /// An attempt failed and will be made again.
    ExportRetried,
    /// The circuit breaker opened.
    BreakerOpened,
    /// The circuit breaker lets a probe through.
    BreakerHalfOpen,
    /// The circuit breaker closed.
    BreakerClosed,
    /// Spans were dropped, for whatever reason.
    SpansDropped,
    /// A span could not hold all that was set on it.
    SpanIncomplete,
    /// The collector accepted only a part, or sent a warning.
    PartialSuccess,
    /// The collector's answer could not be understood.
    ResponseInvalid,
    /// Entries of baggage were left out.
    Baggage,
    /// A call came at a time when it has no effect: a second `init`, a use after the shutdown.
    Misuse,
    /// Something in Spandrel panicked or broke an invariant.
    Internal,
    /// Start and stop.
    Lifecycle,
    /// The end of tracing: what became of all spans.
    Totals,
}

pub(super) const SEVERITIES: usize = 4;

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A detail that helps to find a fault.
    Debug,
    /// A change worth knowing.
    Info,
    /// Something was degraded or lost.
    Warn,
    /// Nothing is delivered until the cause is removed.
    Error,
}

impl From<Severity> for LogLevel {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Debug => Self::Debug,
            Severity::Info => Self::Info,
            Severity::Warn => Self::Warn,
            Severity::Error => Self::Error,
        }
    }
}

/// One message, ready to be shown: sanitised and limited.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report<'a> {
    /// The subject.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// The text, without control characters, at most
    /// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES) long.
    pub text: &'a str,
    /// The number of reports of the same cause held back since the last one shown.
    pub suppressed: u32,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)?;
        match self.suppressed {
            0 => Ok(()),
            n => write!(f, " ({n} similar suppressed)"),
        }
    }
}
