//! Reports that nothing listens to yet.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::vec::Vec;

use super::report::{Kind, Report, Severity};
use crate::time::Instant;

/// How long a report waits for a listener before it goes to the standard error.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The most reports that wait.
const MOST: usize = 64;
/// The most bytes of their texts.
const MOST_BYTES: usize = 32 * 1024;

/// The reports of a process that wait for a listener.
pub(super) struct Kept {
    state: Mutex<State>,
    /// There are some: read without the lock, on each turn of a sender.
    has_some: AtomicBool,
}

/// A report that waits.
pub(super) struct Waiting {
    kind: Kind,
    pub(super) severity: Severity,
    text: String,
    suppressed: u32,
}

impl Waiting {
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            kind: self.kind,
            severity: self.severity,
            text: &self.text,
            suppressed: self.suppressed,
        }
    }
}

/// What waited, in the order in which it was reported.
pub(super) struct Taken {
    pub(super) reports: Vec<Waiting>,
    /// The number of those for which there was no room.
    pub(super) left_out: u32,
}

struct State {
    reports: Vec<Waiting>,
    bytes: usize,
    left_out: u32,
    /// When the first one came.
    since: Instant,
    /// Nothing listened in time: what comes later does not wait.
    is_unheard: bool,
}

impl Kept {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                reports: Vec::new(),
                bytes: 0,
                left_out: 0,
                since: Instant::ZERO,
                is_unheard: false,
            }),
            has_some: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.has_some.load(Ordering::Acquire)
    }

    /// Keeps a report. Where there is no room left, a less severe one makes room; otherwise the
    /// first ones stay, because the start of a trouble says more than its end.
    pub(super) fn keep(&self, now: Instant, report: &Report<'_>) {
        let Some(mut state) = self.lock() else {
            return;
        };
        let state = &mut *state;
        if state.reports.is_empty() && state.left_out == 0 {
            state.since = now;
        }
        self.has_some.store(true, Ordering::Release);
        let fits = |state: &State| {
            state.reports.len() < MOST && state.bytes + report.text.len() <= MOST_BYTES
        };
        while !fits(state) {
            let is_less = |waiting: &Waiting| waiting.severity < report.severity;
            state.left_out = state.left_out.saturating_add(1);
            let Some(at) = state.reports.iter().position(is_less) else {
                return;
            };
            state.bytes -= state.reports.remove(at).text.len();
        }
        state.bytes += report.text.len();
        state.reports.push(Waiting {
            kind: report.kind,
            severity: report.severity,
            text: report.text.into(),
            suppressed: report.suppressed,
        });
    }

    /// Takes out everything.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = self.lock()?;
        self.has_some.store(false, Ordering::Release);
        state.bytes = 0;
        Some(Taken {
            reports: core::mem::take(&mut state.reports),
            left_out: core::mem::take(&mut state.left_out),
        })
    }

    /// How long those that wait still wait; zero when they have waited long enough.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        let state = self.lock()?;
        Some(match state.is_unheard {
            true => Duration::ZERO,
            false => state.since.saturating_add(PATIENCE).saturating_since(now),
        })
    }

    /// Notes whether something listens.
    pub(super) fn set_heard(&self, is_heard: bool) {
        if let Some(mut state) = self.lock() {
            state.is_unheard = !is_heard;
        }
    }

    /// Held for a few instructions only, so it is free soon. If it is not, the process forked
    /// while another thread held it, and what is reported in the child is not kept.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        for _ in 0..1000 {
            match self.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(PoisonError::into_inner(state)),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(kept: &Kept, severity: Severity, text: &str) {
        let report = Report {
            kind: Kind::Config,
            severity,
            text,
            suppressed: 0,
        };
        kept.keep(Instant::from_secs(1), &report);
    }

    #[test]
    fn the_first_ones_stay_and_the_severe_ones_find_room() {
        let kept = Kept::new();
        assert!(kept.is_empty());
        for _ in 0..MOST + 5 {
            keep(&kept, Severity::Info, "i");
        }
        keep(&kept, Severity::Error, "e");
        let taken = kept.take().unwrap();
        assert_eq!((taken.reports.len(), taken.left_out), (MOST, 6));
        assert_eq!(taken.reports.last().unwrap().report().text, "e");
        assert!(kept.is_empty());
    }

    #[test]
    fn their_bytes_are_bounded() {
        let kept = Kept::new();
        let text = "x".repeat(1024);
        for _ in 0..60 {
            keep(&kept, Severity::Warn, &text);
        }
        let taken = kept.take().unwrap();
        assert_eq!((taken.reports.len(), taken.left_out), (32, 28));
    }

    #[test]
    fn they_wait_from_the_first_one_on() {
        let kept = Kept::new();
        keep(&kept, Severity::Warn, "w");
        let at = |seconds| kept.patience(Instant::from_secs(seconds)).unwrap();
        assert_eq!(at(2), Duration::from_secs(2));
        assert_eq!(at(9), Duration::ZERO);
        kept.set_heard(false);
        assert_eq!(at(1), Duration::ZERO);
        kept.set_heard(true);
        assert_eq!(at(1), PATIENCE);
    }
}
