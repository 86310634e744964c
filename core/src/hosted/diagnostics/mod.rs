//! Diagnostics: how Spandrel reports about itself.
//!
//! A tracing pipeline that floods the log while the collector is away is worse than the outage, and
//! one that repeats a server's answer verbatim lets a stranger write into the log. So every report
//! goes through [`report`] and is
//!
//! - **levelled**: below the level of [`set_level`] (`OTEL_LOG_LEVEL`) it is not even formatted;
//! - **limited**: of each [`Kind`] the first is shown at once, then one every 10 s, with the number
//!   of reports held back in between;
//! - **sanitised**: control characters, ANSI escapes and bidirectional overrides are escaped, and
//!   the text is cut at 1 KiB;
//! - **harmless**: no lock is held while the handler runs, its panics are caught, and reports that
//!   it makes in turn are only counted.
//!
//! Reports go to the `log` facade under the target `spandrel`, unless the application sets its own
//! handler. Header values and response bodies must not be passed to [`report`]; [`RedactedUrl`]
//! shows an endpoint without its credentials.
//!
//! ```
//! use spandrel_core::hosted::diagnostics::{self, Kind, Severity};
//!
//! diagnostics::set_handler(Box::new(|report| eprintln!("{report}")));
//! diagnostics::report(Kind::ExportFailed, Severity::Warn, format_args!("connection refused"));
//! diagnostics::clear_handler();
//! ```

mod handler;
mod limiter;
mod log_facade;
mod redacted_url;
mod report;
mod reporter;
mod sanitise;

pub use handler::{Handler, clear_handler, set_handler};
pub use limiter::INTERVAL_SECS;
pub use log_facade::LOG_TARGET;
pub use redacted_url::RedactedUrl;
pub use report::{Kind, Report, Severity};
pub use reporter::{report, set_level};
pub use sanitise::{MAX_TEXT_BYTES, sanitise};
