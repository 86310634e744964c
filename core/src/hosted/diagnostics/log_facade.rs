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

/// Returns true if the program has set up a logger: until then the level is off.
pub(super) fn has_logger() -> bool {
    log::max_level() != log::LevelFilter::Off
}
