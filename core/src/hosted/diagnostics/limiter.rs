//! The limit on how often each kind of report is shown.

use core::sync::atomic::{AtomicU32, Ordering};

use super::report::{KINDS, Kind};
use crate::time::Instant;

/// The time after a report in which further ones of its kind are only counted, in seconds.
pub const INTERVAL_SECS: u32 = 10;

/// Lets one report of each kind through in [`INTERVAL_SECS`].
///
/// Lock-free, so that a fork or a panic in the middle of a report leaves nothing locked. The
/// atomics have 32 bits, because not every host has wider ones.
pub(super) struct Limiter {
    /// The second from which the next report is shown, plus one; 0 if none was shown yet.
    next: [AtomicU32; KINDS],
    suppressed: [AtomicU32; KINDS],
}

impl Limiter {
    pub(super) const fn new() -> Self {
        Self {
            next: [const { AtomicU32::new(0) }; KINDS],
            suppressed: [const { AtomicU32::new(0) }; KINDS],
        }
    }

    /// The number of reports held back before this one, or `None` if this one is held back too.
    pub(super) fn admit(&self, kind: Kind, now: Instant) -> Option<u32> {
        let next = self.next.get(kind as usize)?;
        let suppressed = self.suppressed.get(kind as usize)?;
        let second = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX - 1);
        let due = next.load(Ordering::Relaxed);
        let until = second.saturating_add(1).saturating_add(INTERVAL_SECS);
        // Of several threads at the same moment, exactly one wins the exchange.
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

    pub(super) fn hold_back(&self, kind: Kind) {
        if let Some(count) = self.suppressed.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

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
}
