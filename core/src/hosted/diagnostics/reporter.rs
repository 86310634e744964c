//! The way of a report: level, limit, sanitiser, handler.

use core::cell::Cell;
use core::fmt;
use core::hash::Hash;
use core::panic::Location;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::format;

use super::handler::{Handler, put_handler};
use super::kept::{Kept, Taken};
use super::limiter::{Limiter, Topic};
use super::listener::{Listener, write_to_stderr};
use super::report::{Kind, Report, Severity};
use super::sanitise::sanitised;
use crate::env::LogLevel;
use crate::hosted::clock::Clock;
use crate::hosted::current;
use crate::time::Instant;

static LIMITER: Limiter = Limiter::new();
static KEPT: Kept = Kept::new();
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

/// Installs `handler` in place of the `log` facade and of any earlier handler. Reports that have
/// waited for a listener are given to it before this returns, in their order.
///
/// It is called on the thread that reports, which may be the sender's, so it must not block. A
/// panic in it is caught.
pub fn set_handler(handler: Handler) {
    put_handler(handler);
    if let Some(_busy) = BusyGuard::enter() {
        give_kept(&KEPT, Listener::find().as_ref());
    }
}

/// Reports something. The report is dropped below the [level](set_level), and only counted if the
/// same place in the code reported something of the same kind and severity within the last
/// [`INTERVAL_SECS`](super::INTERVAL_SECS) seconds. The arguments are formatted only if it is shown.
#[track_caller]
pub fn report(kind: Kind, severity: Severity, text: fmt::Arguments<'_>) {
    if is_shown(severity) {
        let topic = Topic::new(kind, severity, Location::caller(), ());
        report_at(
            &LIMITER,
            &KEPT,
            Clock::new().now(),
            (kind, severity, topic),
            text,
        );
    }
}

/// As [`report`], for a place in the code that reports several causes: each `cause` is limited by
/// itself. There should be few of them: beyond some hundred they are limited together.
#[track_caller]
pub fn report_cause(kind: Kind, severity: Severity, cause: impl Hash, text: fmt::Arguments<'_>) {
    if is_shown(severity) {
        let topic = Topic::new(kind, severity, Location::caller(), cause);
        report_at(
            &LIMITER,
            &KEPT,
            Clock::new().now(),
            (kind, severity, topic),
            text,
        );
    }
}

/// Gives reports that have waited to a listener, if there is one by now; if there was none for
/// some seconds, warnings and errors go to the standard error. Returns when to ask again, if some
/// still wait.
///
/// For the sender of a transport, on each of its turns. It must not be called by code that a
/// subscriber of `tracing` calls.
pub fn poll_kept() -> Option<Duration> {
    if KEPT.is_empty() {
        return None;
    }
    let _busy = BusyGuard::enter()?;
    let listener = Listener::find_for_kept();
    if listener.is_none() {
        let left = KEPT.patience(Clock::new().now())?;
        if !left.is_zero() {
            return Some(left);
        }
    }
    give_kept(&KEPT, listener.as_ref());
    None
}

/// As [`poll_kept`] without patience: for the end of a pipeline, after which nothing asks again.
pub fn release_kept() {
    if KEPT.is_empty() {
        return;
    }
    if let Some(_busy) = BusyGuard::enter() {
        give_kept(&KEPT, Listener::find_for_kept().as_ref());
    }
}

/// Gives what was kept to `listener`, or to the standard error.
fn give_kept(kept: &Kept, listener: Option<&Listener>) {
    if kept.is_empty() {
        kept.set_heard(listener.is_some());
        return;
    }
    let Some(Taken { reports, left_out }) = kept.take() else {
        return;
    };
    kept.set_heard(listener.is_some());
    // A listener that is traced itself must not record late reports into spans of the caller.
    let _quiet = current::suppress();
    let give = |report: &Report<'_>| match listener {
        Some(listener) => listener.hear(report),
        None => write_to_stderr(report),
    };
    for waiting in &reports {
        give(&waiting.report());
    }
    if left_out > 0 {
        let text = format!("{left_out} more reports were made before anything listened");
        give(&Report {
            kind: Kind::Internal,
            severity: Severity::Warn,
            text: &text,
            suppressed: 0,
        });
    }
}

fn report_at(
    limiter: &Limiter,
    kept: &Kept,
    now: Instant,
    (kind, severity, topic): (Kind, Severity, Topic),
    text: fmt::Arguments<'_>,
) {
    // A handler or a logger that reports in turn would recurse endlessly.
    let Some(_busy) = BusyGuard::enter() else {
        limiter.hold_back(topic, now);
        return;
    };
    let Some(suppressed) = limiter.admit(topic, now) else {
        return;
    };
    let text = sanitised(text);
    let report = Report {
        kind,
        severity,
        text: &text,
        suppressed,
    };
    match Listener::find() {
        Some(listener) => {
            if !kept.is_empty() {
                give_kept(kept, Some(&listener));
            }
            listener.hear(&report);
        }
        None => kept.keep(now, &report),
    }
}

/// Returns true while a handler or logger hears a report on this thread.
pub(in crate::hosted) fn is_reporting() -> bool {
    REPORTING.try_with(Cell::get).unwrap_or(true)
}

struct BusyGuard;

impl BusyGuard {
    /// `None` if this thread is reporting already.
    fn enter() -> Option<Self> {
        let was_busy = REPORTING.try_with(|busy| busy.replace(true));
        (!was_busy.unwrap_or(true)).then_some(Self)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let _ = REPORTING.try_with(|busy| busy.set(false));
    }
}

#[cfg(test)]
mod tests {
    use super::super::handler::{clear_handler, handler};
    use super::*;
    use std::boxed::Box;
    use std::string::{String, ToString};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::vec::Vec;

    /// The handler belongs to the process, so the tests take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn capture() -> (MutexGuard<'static, ()>, Arc<Mutex<Vec<String>>>) {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // What other tests reported is not ours.
        set_handler(Box::new(|_| {}));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        set_handler(Box::new(move |report| {
            sink.lock().unwrap().push(report.to_string());
        }));
        (turn, seen)
    }

    /// Reports from one place, whose cause is the first word.
    fn say(limiter: &Limiter, kept: &Kept, secs: u64, what: (Kind, Severity), text: &str) {
        let cause = text.split(' ').next();
        let topic = Topic::new(what.0, what.1, Location::caller(), cause);
        let now = Instant::from_secs(secs);
        report_at(
            limiter,
            kept,
            now,
            (what.0, what.1, topic),
            format_args!("{text}"),
        );
    }

    fn at(limiter: &Limiter, secs: u64, kind: Kind, text: &str) {
        say(limiter, &Kept::new(), secs, (kind, Severity::Warn), text);
    }

    #[test]
    fn the_first_is_shown_and_the_flood_is_counted() {
        let limiter = Limiter::new();
        let (_turn, seen) = capture();
        at(&limiter, 0, Kind::ExportFailed, "it a");
        for _ in 0..1000 {
            at(&limiter, 9, Kind::ExportFailed, "it b");
        }
        at(&limiter, 9, Kind::BreakerOpened, "it is another kind");
        at(&limiter, 9, Kind::ExportFailed, "another cause");
        at(&limiter, 10, Kind::ExportFailed, "it c");
        at(&limiter, 3600, Kind::ExportFailed, "it d");
        clear_handler();
        let expected = [
            "it a",
            "it is another kind",
            "another cause",
            "it c (1000 similar suppressed)",
            "it d",
        ];
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

    /// An information holds no warning back (fault X24), nor one place of the code another.
    #[test]
    fn severities_and_places_are_limited_apart() {
        let limiter = Limiter::new();
        let (_turn, seen) = capture();
        let kept = Kept::new();
        for severity in [Severity::Info, Severity::Warn, Severity::Error] {
            for _ in 0..3 {
                say(&limiter, &kept, 0, (Kind::Lifecycle, severity), "x");
            }
        }
        report(Kind::Lifecycle, Severity::Warn, format_args!("here"));
        report(Kind::Lifecycle, Severity::Warn, format_args!("there"));
        for name in ["A", "B", "A"] {
            report_cause(Kind::Config, Severity::Warn, name, format_args!("{name}"));
        }
        clear_handler();
        let expected = ["x", "x", "x", "here", "there", "A", "B"];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[test]
    fn what_was_kept_comes_first_and_in_order() {
        let (limiter, kept) = (Limiter::new(), Kept::new());
        let (turn, seen) = capture();
        clear_handler();
        for text in ["one", "two"] {
            say(&limiter, &kept, 0, (Kind::Config, Severity::Warn), text);
        }
        let sink = Arc::clone(&seen);
        set_handler(Box::new(move |report| {
            sink.lock().unwrap().push(report.to_string());
        }));
        say(&limiter, &kept, 1, (Kind::Config, Severity::Info), "three");
        clear_handler();
        drop(turn);
        assert_eq!(*seen.lock().unwrap(), ["one", "two", "three"]);
        assert!(kept.is_empty());
    }
}
