//! The limit on how often each cause is reported.

use core::hash::{Hash, Hasher};
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering};
use std::hash::DefaultHasher;

use super::report::{KINDS, Kind, SEVERITIES, Severity};
use crate::time::Instant;

/// The time after a report in which further ones of its cause are only counted, in seconds.
pub const INTERVAL_SECS: u32 = 10;

/// Causes whose hashes fall into the same set.
const WAYS: usize = 4;
const SETS: usize = 32;

/// The subject by which reports are limited.
#[derive(Clone, Copy)]
pub(super) struct Topic {
    /// The kind and the severity.
    class: usize,
    /// The whole of it, never 0.
    hash: u32,
}

impl Topic {
    /// The topic of the reports that `place` makes about `cause`.
    pub(super) fn new(
        kind: Kind,
        severity: Severity,
        place: &Location<'_>,
        cause: impl Hash,
    ) -> Self {
        let class = kind as usize * SEVERITIES + severity as usize;
        let mut hasher = DefaultHasher::new();
        (class, place.file(), place.line(), place.column()).hash(&mut hasher);
        cause.hash(&mut hasher);
        let hash = hasher.finish();
        Self {
            class,
            hash: ((hash ^ (hash >> 32)) as u32).max(1),
        }
    }
}

/// Lets one report of each cause through in [`INTERVAL_SECS`].
///
/// The number of causes is bounded: those that find no slot share one with all others of their
/// kind and severity.
///
/// Lock-free, so that a fork or a panic in the middle of a report leaves nothing locked. The
/// atomics have 32 bits, because not every host has wider ones.
pub(super) struct Limiter {
    sets: [[Slot; WAYS]; SETS],
    crowded: [Slot; KINDS * SEVERITIES],
}

struct Slot {
    /// The hash of the topic; 0 if the slot is free.
    topic: AtomicU32,
    /// The second from which the next report is shown, plus one; 0 if none was shown yet.
    next: AtomicU32,
    suppressed: AtomicU32,
}

impl Slot {
    const fn free() -> Self {
        Self {
            topic: AtomicU32::new(0),
            next: AtomicU32::new(0),
            suppressed: AtomicU32::new(0),
        }
    }

    fn is_due(&self, second: u32) -> bool {
        second.saturating_add(1) >= self.next.load(Ordering::Relaxed)
    }

    /// Takes over a slot that belongs to `old`. Returns true if it belongs to `new` now.
    fn take(&self, old: u32, new: u32) -> bool {
        let taken = self
            .topic
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
        match taken {
            Ok(_) => {
                self.suppressed.store(0, Ordering::Relaxed);
                true
            }
            Err(present) => present == new,
        }
    }

    fn admit(&self, second: u32) -> Option<u32> {
        let due = self.next.load(Ordering::Relaxed);
        let until = second.saturating_add(1).saturating_add(INTERVAL_SECS);
        // Of several threads at the same moment, exactly one wins the exchange.
        let shown = second.saturating_add(1) >= due
            && self
                .next
                .compare_exchange(due, until, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if shown {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl Limiter {
    pub(super) const fn new() -> Self {
        Self {
            sets: [const { [const { Slot::free() }; WAYS] }; SETS],
            crowded: [const { Slot::free() }; KINDS * SEVERITIES],
        }
    }

    /// The number of reports held back before this one, or `None` if this one is held back too.
    pub(super) fn admit(&self, topic: Topic, now: Instant) -> Option<u32> {
        let second = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX - 1);
        self.slot(topic, second)?.admit(second)
    }

    pub(super) fn hold_back(&self, topic: Topic, now: Instant) {
        let second = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX - 1);
        if let Some(slot) = self.slot(topic, second) {
            slot.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The topic's slot: its own, a free one, one whose interval is over, or the crowd's.
    fn slot(&self, topic: Topic, second: u32) -> Option<&Slot> {
        let set = self.sets.get(topic.hash as usize % SETS)?;
        let topic_of = |slot: &Slot| slot.topic.load(Ordering::Relaxed);
        let is_usable = |slot: &&Slot, old: u32| topic_of(slot) == old;
        if let Some(slot) = set.iter().find(|slot| is_usable(slot, topic.hash)) {
            return Some(slot);
        }
        if let Some(slot) = set.iter().find(|slot| slot.take(0, topic.hash)) {
            return Some(slot);
        }
        let stale = set
            .iter()
            .find(|slot| slot.is_due(second) && slot.take(topic_of(slot), topic.hash));
        stale.or_else(|| self.crowded.get(topic.class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn topic(cause: u32) -> Topic {
        let here = Location::caller();
        Topic::new(Kind::Internal, Severity::Warn, here, cause)
    }

    #[test]
    fn a_clock_at_its_end_still_limits() {
        let limiter = Limiter::new();
        assert_eq!(limiter.admit(topic(0), Instant::MAX), Some(0));
        assert_eq!(limiter.admit(topic(1), Instant::ZERO), Some(0));
        assert_eq!(limiter.admit(topic(1), Instant::ZERO), None);
    }

    #[test]
    fn of_many_threads_one_is_shown() {
        let limiter = Limiter::new();
        let shown: u32 = std::thread::scope(|scope| {
            let admit = || u32::from(limiter.admit(topic(7), Instant::ZERO).is_some());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(admit)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(shown, 1);
    }

    #[test]
    fn a_flood_of_causes_is_limited_too() {
        let limiter = Limiter::new();
        let shown = |second| {
            let now = Instant::from_secs(second);
            let admitted = |cause: &u32| limiter.admit(topic(*cause), now).is_some();
            (0..100_000).filter(admitted).count()
        };
        // Every slot once, and once the slot of all others.
        assert_eq!(shown(0), WAYS * SETS + 1);
        assert_eq!(shown(9), 0);
        assert_eq!(shown(10), WAYS * SETS + 1);
    }
}
