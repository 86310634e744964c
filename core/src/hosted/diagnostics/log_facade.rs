//! The way to the `log` facade.

use super::report::{Report, Severity};

/// The target under which the `log` facade sees reports.
pub const LOG_TARGET: &str = "spandrel";

impl From<Severity> for log::Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Debug => Self::Debug,
            Severity::Info => Self::Info,
            Severity::Warn => Self::Warn,
            Severity::Error => Self::Error,
        }
    }
}

pub(super) fn log_report(report: &Report<'_>) {
    log::log!(target: LOG_TARGET, report.severity.into(), "{report}");
}
