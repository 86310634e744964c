//! The one that a report goes to.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::handler::{Handler, handler};
use super::log_facade::{has_logger, log_report};
use super::report::{Report, Severity};

/// The one that a report goes to: the first of these that is there.
pub(super) enum Listener {
    Handler(Arc<Handler>),
    Logger,
    /// The subscriber of `tracing` on this thread.
    #[cfg(feature = "tracing")]
    Subscriber,
}

impl Listener {
    /// The listener for a report that is just being made, by whatever code.
    pub(super) fn find() -> Option<Self> {
        match handler() {
            Some(handler) => Some(Self::Handler(handler)),
            None => has_logger().then_some(Self::Logger),
        }
    }

    /// The listener for reports that were kept. Code of ours that a subscriber called may be among
    /// the callers of a report, and a subscriber must not be entered twice; but those who ask for
    /// kept ones are not called by it.
    pub(super) fn find_for_kept() -> Option<Self> {
        let found = Self::find();
        #[cfg(feature = "tracing")]
        let found = found.or_else(|| super::subscriber::is_there().then_some(Self::Subscriber));
        found
    }

    /// Hands a report over. A panic of the listener is caught.
    pub(super) fn hear(&self, report: &Report<'_>) {
        let deliver = || match self {
            Self::Handler(handler) => handler(report),
            Self::Logger => log_report(report),
            #[cfg(feature = "tracing")]
            Self::Subscriber => super::subscriber::emit(report),
        };
        let panicked = catch_unwind(AssertUnwindSafe(deliver)).is_err();
        if panicked && matches!(self, Self::Handler(_)) {
            // The handler may have shown it before it panicked, but seen twice is better than lost.
            let _ = catch_unwind(AssertUnwindSafe(|| log_report(report)));
        }
    }
}

/// Writes a report that nothing listens to. Only warnings and errors: a library has nothing else to
/// say there.
pub(super) fn write_to_stderr(report: &Report<'_>) {
    let severity = match report.severity {
        Severity::Error => "error",
        Severity::Warn => "warning",
        Severity::Info | Severity::Debug => return,
    };
    // It may be closed.
    let _ = writeln!(std::io::stderr(), "spandrel: {severity}: {report}");
}
