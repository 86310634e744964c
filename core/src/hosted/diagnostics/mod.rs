//! The one way in which Spandrel speaks about itself.
//!
//! A tracing pipeline that floods the log when the collector is away is worse than the outage,
//! and one that repeats a server's answer verbatim lets a stranger write into the log. So every
//! message goes through here and is
//!
//! - **levelled**: what is less severe than [`set_level`] says (`OTEL_LOG_LEVEL`) is not even
//!   formatted;
//! - **limited**: of each [`Kind`] the first at once, then one per 10 s, which says how many
//!   like it were held back;
//! - **sanitised**: control characters, ANSI escapes and bidirectional overrides are escaped,
//!   and the text is cut at 1 KiB (fault catalogue I2);
//! - **harmless**: no lock is held while the handler runs, its panics stop here, and what it
//!   reports in turn is only counted.
//!
//! Reports go to the `log` facade under the target `spandrel`, unless the application sets its
//! own handler (checklist D-142). Header values and response bodies must not be passed to
//! [`report`] at all; [`RedactedUrl`] shows an endpoint without its credentials.
//!
//! ```
//! use spandrel_core::hosted::diagnostics::{self, Kind, Severity};
//!
//! diagnostics::set_handler(Box::new(|report| eprintln!("{report}")));
//! diagnostics::report(Kind::ExportFailed, Severity::Warn, format_args!("connection refused"));
//! diagnostics::clear_handler();
//! ```

use core::cell::Cell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use crate::env::LogLevel;
use crate::hosted::clock::Clock;
use crate::time::Instant;

/// The target under which the `log` facade sees reports.
pub const LOG_TARGET: &str = "spandrel";
/// Seconds for which further reports of one kind are only counted.
pub const INTERVAL_SECS: u32 = 10;
/// The most bytes of a report's text.
pub const MAX_TEXT_BYTES: usize = 1024;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a report is about; each kind is limited on its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        const KINDS: usize = [$(Kind::$name),*].len();
    };
}

kinds! {
    /// A setting or variable was not understood and its default is used.
    Config,
    /// The exporter could not be built.
    ExporterCreation,
    /// An export was given up.
    ExportFailed,
    /// An attempt failed and will be made again.
    ExportRetried,
    /// The circuit breaker opened.
    BreakerOpened,
    /// The circuit breaker lets a probe through.
    BreakerHalfOpen,
    /// The circuit breaker closed.
    BreakerClosed,
    /// Spans were dropped, whatever the reason.
    SpansDropped,
    /// The collector accepted only a part, or sent a warning.
    PartialSuccess,
    /// The collector's answer could not be understood.
    ResponseInvalid,
    /// A call came at a time when it means nothing (a second init, a use after shutdown).
    Misuse,
    /// Something in Spandrel panicked or broke an invariant.
    Internal,
    /// Start and stop.
    Lifecycle,
}

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For whoever looks for a fault.
    Debug,
    /// A change worth knowing.
    Info,
    /// Something was degraded or lost.
    Warn,
    /// Nothing is delivered until someone acts.
    Error,
}

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
    /// What it is about.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// The text, without control characters, at most [`MAX_TEXT_BYTES`] long.
    pub text: &'a str,
    /// How many reports of this kind were held back since the last one shown.
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

/// What an application installs to see reports.
pub type Handler = Box<dyn Fn(&Report<'_>) + Send + Sync>;

/// Lets one report per kind through in [`INTERVAL_SECS`].
///
/// Lock-free, so that a fork or a panic in the middle of a report leaves nothing locked; 32-bit
/// atomics, because not every host has wider ones.
struct Limiter {
    /// Second from which the next report is shown, plus one; 0 = none was shown yet.
    next: [AtomicU32; KINDS],
    suppressed: [AtomicU32; KINDS],
}

impl Limiter {
    const fn new() -> Self {
        Self {
            next: [const { AtomicU32::new(0) }; KINDS],
            suppressed: [const { AtomicU32::new(0) }; KINDS],
        }
    }

    /// How many reports were held back before this one, or `None` when it is held back itself.
    fn admit(&self, kind: Kind, now: Instant) -> Option<u32> {
        let next = self.next.get(kind as usize)?;
        let suppressed = self.suppressed.get(kind as usize)?;
        let second = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX - 1);
        let due = next.load(Ordering::Relaxed);
        let until = second.saturating_add(1).saturating_add(INTERVAL_SECS);
        // Of several threads at the same moment exactly one wins the exchange.
        let shown = second.saturating_add(1) >= due
            && next
                .compare_exchange(due, until, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if shown {
            Some(suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.hold_back(kind);
            None
        }
    }

    fn hold_back(&self, kind: Kind) {
        if let Some(count) = self.suppressed.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

static LIMITER: Limiter = Limiter::new();
/// A [`LogLevel`].
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static HANDLER: RwLock<Option<Arc<Handler>>> = RwLock::new(None);

std::thread_local! {
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Installs `handler` in place of the `log` facade and of any earlier handler.
///
/// It is called on the thread where the report arises, which may be the sender's: it must not
/// block, and it may panic without consequence.
pub fn set_handler(handler: Handler) {
    replace_handler(Some(Arc::new(handler)));
}

/// Goes back to the `log` facade.
pub fn clear_handler() {
    replace_handler(None);
}

/// Sets which reports are shown: those as severe as `level`, and those more severe. It is
/// [`LogLevel::Info`] until somebody sets it; `init` sets what `OTEL_LOG_LEVEL` says (checklist
/// C-011). Others neither reach a handler or the `log` facade, nor count as held back.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether a report of this severity is shown.
#[must_use]
pub fn is_shown(severity: Severity) -> bool {
    LogLevel::from(severity) as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Reports something, now or never: not below the [level](set_level), and held back when a report of the same kind was shown within
/// the last [`INTERVAL_SECS`] seconds. The arguments are formatted only when it is shown.
pub fn report(kind: Kind, severity: Severity, text: fmt::Arguments<'_>) {
    if is_shown(severity) {
        report_at(&LIMITER, Clock::new().now(), kind, severity, text);
    }
}

/// The old handler is dropped after the lock is released: it is foreign code.
fn replace_handler(new: Option<Arc<Handler>>) {
    let old = {
        let mut slot = HANDLER.write().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut *slot, new)
    };
    drop(old);
}

/// Never waits for the lock: while a handler is being replaced (or was, when the process
/// forked), reports go to `log`.
fn handler() -> Option<Arc<Handler>> {
    match HANDLER.try_read() {
        Ok(slot) => slot.clone(),
        Err(TryLockError::Poisoned(slot)) => slot.into_inner().clone(),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn report_at(
    limiter: &Limiter,
    now: Instant,
    kind: Kind,
    severity: Severity,
    text: fmt::Arguments<'_>,
) {
    // A handler or a logger that reports in turn would recurse for ever.
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
        // Better seen twice than lost. A panicking logger is beyond help.
        let _ = catch_unwind(AssertUnwindSafe(|| log_report(&report)));
    }
}

struct BusyGuard;

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let _ = REPORTING.try_with(|busy| busy.set(false));
    }
}

fn log_report(report: &Report<'_>) {
    log::log!(target: LOG_TARGET, report.severity.into(), "{report}");
}

/// `text` without anything that a terminal or a log reader would act upon.
fn sanitised(text: fmt::Arguments<'_>) -> String {
    let mut out = Sanitiser(String::new());
    // The only error is "full", which is no error here; a failing `Display` ends the text.
    let _ = out.write_fmt(text);
    out.0
}

/// Escapes what is dangerous in `text`: for handing text of a server to other sinks than
/// [`report`], which does it by itself.
#[must_use]
pub fn sanitise(text: &str) -> String {
    sanitised(format_args!("{text}"))
}

struct Sanitiser(String);

impl Write for Sanitiser {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const CUT: &str = "…";
        for c in text.chars() {
            let start = self.0.len();
            if is_dangerous(c) {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
            if self.0.len() > MAX_TEXT_BYTES - CUT.len() {
                self.0.truncate(start);
                self.0.push_str(CUT);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Control characters (C0, DEL, C1), line separators, and what reorders the text around it.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shows a URL without its user, password, query and fragment (fault catalogue G4).
#[derive(Clone, Copy)]
pub struct RedactedUrl<'a>(pub &'a str);

impl fmt::Display for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, self.0),
        };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((_, host)) => f.write_str(host)?,
            // An unescaped `/` in a password looks like the start of the path.
            None if tail.contains('@') => return f.write_str("(redacted)"),
            None => f.write_str(authority)?,
        }
        f.write_str(path)
    }
}

impl fmt::Debug for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::sync::{Mutex, MutexGuard};
    use std::vec::Vec;

    /// The handler belongs to the process, so its tests take turns.
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

    /// Checklist C-011.
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
    fn a_clock_at_its_end_still_limits() {
        let limiter = Limiter::new();
        assert_eq!(limiter.admit(Kind::Config, Instant::MAX), Some(0));
        assert_eq!(limiter.admit(Kind::Misuse, Instant::ZERO), Some(0));
        assert_eq!(limiter.admit(Kind::Misuse, Instant::ZERO), None);
    }

    #[test]
    fn of_many_threads_one_is_shown() {
        let limiter = Limiter::new();
        let shown: u32 = std::thread::scope(|scope| {
            let admit = || u32::from(limiter.admit(Kind::Internal, Instant::ZERO).is_some());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(admit)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(shown, 1);
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

    #[test]
    fn text_cannot_steer_a_terminal_and_is_cut() {
        assert_eq!(
            sanitise("a\r\nb\u{1b}[31mc\0\u{202e}d\u{85}é"),
            "a\\r\\nb\\u{1b}[31mc\\u{0}\\u{202e}d\\u{85}é"
        );
        for filler in ["x", "ß", "\u{1b}", "🦀"] {
            let text = sanitise(&filler.repeat(5000));
            assert!(text.len() <= MAX_TEXT_BYTES);
            assert!(text.len() > MAX_TEXT_BYTES - 16);
            assert!(text.ends_with('…'));
        }
        let fits = "x".repeat(MAX_TEXT_BYTES - 3);
        assert_eq!(sanitise(&fits), fits);
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("http://u:p@h:4318/v1?k=s#f", "http://h:4318/v1"),
            ("https://a@b@host/x@y", "https://host/x@y"),
            ("http://u:p/w@host/", "http://(redacted)"),
            ("http://u:p?w@host/", "http://(redacted)"),
            ("u:p@host:4318", "host:4318"),
            ("http://[::1]:4318", "http://[::1]:4318"),
            ("http://host?key=secret", "http://host"),
            ("", ""),
        ] {
            assert_eq!(RedactedUrl(url).to_string(), shown);
        }
    }
}
