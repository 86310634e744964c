//! Diagnostics: how Spandrel reports about itself.
//!
//! A tracing pipeline that floods the log while the collector is away is worse than the outage, and
//! one that repeats a server's answer verbatim lets a stranger write into the log. So every report
//! goes through [`report`] and is
//!
//! - **levelled**: below the level of [`set_level`] (`OTEL_LOG_LEVEL`) it is not even formatted;
//! - **limited**: of each cause the first is shown at once, then one every 10 s, with the number of
//!   reports held back in between. Two reports have the same cause if the same place in the code
//!   made them, with the same [`Kind`] and [`Severity`], about the same thing: a variable, a status.
//!   So a mistake never hides another one;
//! - **sanitised**: control characters, ANSI escapes and bidirectional overrides are escaped, and
//!   the text is cut at 1 KiB;
//! - **harmless**: no lock is held while the handler runs, its panics are caught, and reports that
//!   it makes in turn are only counted.
//!
//! # Who hears a report
//!
//! The first of these that is there:
//!
//! 1. the handler that the application [sets](set_handler);
//! 2. the `log` facade, under the target `spandrel`, once the application has set up a logger;
//! 3. with the feature `tracing`, the subscriber of the `tracing` crate: the sender emits the
//!    report as an event with the target `spandrel` on its next turn. The event is outside of all
//!    spans, so Spandrel's own layer makes nothing of it.
//!
//! Logging is often set up after telemetry. So reports wait until something listens: the first 64 of
//! them, up to 32 KiB of text. A handler gets them when it is set; the others when the next report is
//! made, or on the sender's next turn.
//!
//! Where nothing listens for 3 s, or until the pipeline ends, warnings and errors are written to the
//! standard error, and so are later ones. To turn that off set a handler, which may do nothing, or
//! the level: [`LogLevel::None`](crate::env::LogLevel::None), `OTEL_LOG_LEVEL=off`.
//!
//! Header values and response bodies must not be passed to [`report`]; [`RedactedUrl`] shows an
//! endpoint without its credentials.
//!
//! ```
//! use spandrel_core::hosted::diagnostics::{self, Kind, Severity};
//!
//! diagnostics::set_handler(Box::new(|report| eprintln!("{report}")));
//! diagnostics::report(Kind::ExportFailed, Severity::Warn, format_args!("connection refused"));
//! diagnostics::clear_handler();
//! ```

mod handler;
mod kept;
mod limiter;
mod listener;
mod log_facade;
mod redacted_url;
mod report;
mod reporter;
mod sanitise;
#[cfg(feature = "tracing")]
mod subscriber;

pub use handler::{Handler, clear_handler};
pub use limiter::INTERVAL_SECS;
pub use log_facade::LOG_TARGET;
pub use redacted_url::RedactedUrl;
pub use report::{Kind, Report, Severity};
pub(in crate::hosted) use reporter::is_reporting;
pub use reporter::{poll_kept, release_kept, report, report_cause, set_handler, set_level};
pub use sanitise::{MAX_TEXT_BYTES, sanitise};
