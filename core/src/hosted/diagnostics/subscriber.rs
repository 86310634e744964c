//! The way to the subscriber of `tracing`.

use ::tracing::subscriber::NoSubscriber;

use super::log_facade::LOG_TARGET;
use super::report::{Report, Severity};

/// Returns true if this thread has a subscriber.
pub(super) fn is_there() -> bool {
    ::tracing::dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>())
}

/// Emits a report as an event outside of all spans, of which our own layer makes nothing.
pub(super) fn emit(report: &Report<'_>) {
    let none = None::<::tracing::Id>;
    match report.severity {
        Severity::Error => ::tracing::error!(target: LOG_TARGET, parent: none, "{report}"),
        Severity::Warn => ::tracing::warn!(target: LOG_TARGET, parent: none, "{report}"),
        Severity::Info => ::tracing::info!(target: LOG_TARGET, parent: none, "{report}"),
        Severity::Debug => ::tracing::debug!(target: LOG_TARGET, parent: none, "{report}"),
    }
}
