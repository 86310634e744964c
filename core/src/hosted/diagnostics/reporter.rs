//! The way of a report: level, limit, sanitiser, handler.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handler::handler;
use super::limiter::Limiter;
use super::log_facade::log_report;
use super::report::{Kind, Report, Severity};
use super::sanitise::sanitised;
use crate::env::LogLevel;
use crate::hosted::clock::Clock;
use crate::time::Instant;

static LIMITER: Limiter = Limiter::new();
/// A [`LogLevel`].
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

std::thread_local! {
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Sets the level: reports that are less severe neither reach a handler or the `log` facade, nor
/// count as held back.
///
/// The default is [`LogLevel::Info`]; a transport's `init` sets the level of `OTEL_LOG_LEVEL`.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Returns true if reports of this severity are shown.
fn is_shown(severity: Severity) -> bool {
    LogLevel::from(severity) as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Reports something. The report is dropped below the [level](set_level), and only counted if one
/// of the same kind was shown within the last [`INTERVAL_SECS`](super::INTERVAL_SECS) seconds. The
/// arguments are formatted only if it is shown.
pub fn report(kind: Kind, severity: Severity, text: fmt::Arguments<'_>) {
    if is_shown(severity) {
        report_at(&LIMITER, Clock::new().now(), kind, severity, text);
    }
}

fn report_at(
    limiter: &Limiter,
    now: Instant,
    kind: Kind,
    severity: Severity,
    text: fmt::Arguments<'_>,
) {
    // A handler or a logger that reports in turn would recurse endlessly.
    if REPORTING
        .try_with(|busy| busy.replace(true))
        .unwrap_or(true)
    {
        limiter.hold_back(kind);
        return;
    }
    let _busy = BusyGuard;
    let Some(suppressed) = limiter.admit(kind, now) else {
        return;
    };
    let text = sanitised(text);
    let report = Report {
        kind,
        severity,
        text: &text,
        suppressed,
    };
    let handler = handler();
    let deliver = || match &handler {
        Some(handler) => handler(&report),
        None => log_report(&report),
    };
    let panicked = catch_unwind(AssertUnwindSafe(deliver)).is_err();
    if panicked && handler.is_some() {
        // The handler may have shown it before it panicked, but seen twice is better than lost.
        let _ = catch_unwind(AssertUnwindSafe(|| log_report(&report)));
    }
}

struct BusyGuard;

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let _ = REPORTING.try_with(|busy| busy.set(false));
    }
}

#[cfg(test)]
mod tests {
    use super::super::handler::{clear_handler, set_handler};
    use super::*;
    use std::boxed::Box;
    use std::string::{String, ToString};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::vec::Vec;

    /// The handler belongs to the process, so the tests take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn capture() -> (MutexGuard<'static, ()>, Arc<Mutex<Vec<String>>>) {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        set_handler(Box::new(move |report| {
            sink.lock().unwrap().push(report.to_string());
        }));
        (turn, seen)
    }

    fn at(limiter: &Limiter, secs: u64, kind: Kind, text: &str) {
        let now = Instant::from_secs(secs);
        report_at(limiter, now, kind, Severity::Warn, format_args!("{text}"));
    }

    #[test]
    fn the_first_is_shown_and_the_flood_is_counted() {
        let limiter = Limiter::new();
        let (_turn, seen) = capture();
        at(&limiter, 0, Kind::ExportFailed, "a");
        for _ in 0..1000 {
            at(&limiter, 9, Kind::ExportFailed, "b");
        }
        at(&limiter, 9, Kind::BreakerOpened, "another kind");
        at(&limiter, 10, Kind::ExportFailed, "c");
        at(&limiter, 3600, Kind::ExportFailed, "d");
        clear_handler();
        let expected = ["a", "another kind", "c (1000 similar suppressed)", "d"];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    /// Spec C-011.
    #[test]
    fn the_level_decides_what_is_shown_and_the_rest_is_not_counted() {
        let (_turn, seen) = capture();
        assert!(is_shown(Severity::Info) && !is_shown(Severity::Debug));
        report(Kind::ExportRetried, Severity::Debug, format_args!("a"));
        set_level(LogLevel::Error);
        report(Kind::ExportRetried, Severity::Warn, format_args!("b"));
        set_level(LogLevel::None);
        report(Kind::ExportRetried, Severity::Error, format_args!("c"));
        set_level(LogLevel::Trace);
        report(Kind::ExportRetried, Severity::Debug, format_args!("d"));
        set_level(LogLevel::Info);
        clear_handler();
        assert_eq!(*seen.lock().unwrap(), ["d"]);
    }

    #[test]
    fn a_panicking_handler_harms_nobody() {
        let limiter = Limiter::new();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        set_handler(Box::new(|_| panic!("the handler is broken")));
        at(&limiter, 0, Kind::Internal, "x");
        at(&limiter, 60, Kind::Internal, "y");
        clear_handler();
    }

    #[test]
    fn a_handler_that_reports_does_not_recurse() {
        let (_turn, seen) = capture();
        let sink = Arc::clone(&seen);
        set_handler(Box::new(move |outer| {
            report(Kind::Lifecycle, Severity::Error, format_args!("inner"));
            sink.lock().unwrap().push(outer.to_string());
        }));
        at(&Limiter::new(), 0, Kind::Internal, "outer");
        clear_handler();
        assert_eq!(*seen.lock().unwrap(), ["outer"]);
    }

    #[test]
    fn a_handler_may_replace_itself() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        set_handler(Box::new(|_| clear_handler()));
        at(&Limiter::new(), 0, Kind::Internal, "x");
        assert!(handler().is_none());
    }
}
