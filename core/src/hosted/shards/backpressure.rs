//! Whether and how long a recording thread waits for room.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::boxed::Box;
use std::sync::OnceLock;
use std::time::Instant;

use super::room::{Patience, Room};
use crate::hosted::process::Home;
use crate::hosted::{current, diagnostics};

pub(super) type Hook = Box<dyn Fn() + Send + Sync>;

/// What all shards of a provider share about waiting, and what wakes the drainer.
pub(in crate::hosted) struct Backpressure {
    /// How long a span may wait; zero if it does not.
    limit: Duration,
    home: Home,
    pub(super) room: Room,
    /// The spans that have waited.
    waited: AtomicU64,
    waker: OnceLock<Hook>,
}

impl Backpressure {
    pub(in crate::hosted) fn new(limit: Duration) -> Self {
        Self {
            limit,
            home: Home::here(),
            room: Room::new(),
            waited: AtomicU64::new(0),
            waker: OnceLock::new(),
        }
    }

    /// Sets what wakes the drainer. Only the first waker counts: a hub has one drainer.
    pub(super) fn set_waker(&self, waker: Hook) {
        let _ = self.waker.set(waker);
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }

    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    /// Has the threads that wait look again.
    pub(super) fn ring(&self) {
        if !self.limit.is_zero() {
            self.room.ring();
        }
    }

    /// Returns true if this thread may wait: it neither is the sender's nor keeps it from making room,
    /// and there is a sender.
    pub(super) fn may_wait(&self) -> bool {
        !self.limit.is_zero()
            && self.waker.get().is_some()
            && !current::is_suppressed()
            && !diagnostics::is_reporting()
            && !std::thread::panicking()
            && self.home.is_here()
    }

    /// Repeats `attempt` whenever there may be room, until it gives something. `None` if there was no
    /// room in time.
    pub(super) fn wait<T>(&self, attempt: impl FnMut() -> Option<T>) -> Option<T> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        let waiting = self.room.enter();
        let mut last = Instant::now();
        self.wait_by(
            &mut || {
                let before = last;
                last = Instant::now();
                last - before
            },
            &mut || waiting.heard(),
            &mut |heard, left| {
                self.wake();
                waiting.sleep(heard, left);
            },
            attempt,
        )
    }

    /// As [`wait`](Self::wait): `spent` gives the time since it was asked last, and `sleep` sleeps until
    /// there is another ring than those `heard`, or for a time.
    fn wait_by<T>(
        &self,
        spent: &mut dyn FnMut() -> Duration,
        heard: &mut dyn FnMut() -> usize,
        sleep: &mut dyn FnMut(usize, Duration),
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let mut patience = Patience::new(self.limit);
        loop {
            // Before the attempt, so that a ring in between ends the sleep.
            let rings = heard();
            if let Some(done) = attempt() {
                return Some(done);
            }
            let left = patience.after(spent())?;
            sleep(rings, left);
        }
    }
}

impl fmt::Debug for Backpressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backpressure")
            .field("limit", &self.limit)
            .field("waited", &self.waited())
            .finish_non_exhaustive()
    }
}

// Loom's atomics exist within its models only.
#[cfg(all(test, not(spandrel_loom)))]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};
    use rand_core::Rng;

    fn waits(limit: Duration) -> Backpressure {
        let backpressure = Backpressure::new(limit);
        backpressure.set_waker(Box::new(|| {}));
        backpressure
    }

    /// On a virtual clock, with rings, spurious ends of sleeps and room at random times.
    #[test]
    fn a_span_waits_no_longer_than_it_may_in_sum_and_finds_room_that_comes_in_time() {
        let mut rng = crate::hosted::rng::ThreadRng;
        for _ in 0..20_000 {
            let limit = Duration::from_millis(1 + rng.next_u64() % 100);
            let room_at = Duration::from_millis(rng.next_u64() % 150);
            let waits = waits(limit);
            let (now, asked) = (Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));
            let slept = Cell::new(Duration::ZERO);
            let random = RefCell::new(crate::hosted::rng::ThreadRng);
            let done = waits.wait_by(
                &mut || now.get() - asked.replace(now.get()),
                &mut || 0,
                &mut |_, left| {
                    assert!(left <= limit - now.get(), "{left:?} at {:?}", now.get());
                    // A ring when the room comes, or one for others before it.
                    let until_room = room_at.saturating_sub(now.get());
                    let until_room = if until_room.is_zero() {
                        left
                    } else {
                        until_room
                    };
                    let mut slice = left.min(until_room);
                    if random.borrow_mut().next_u64().is_multiple_of(2) {
                        slice =
                            slice.min(Duration::from_millis(random.borrow_mut().next_u64() % 9));
                    }
                    slept.set(slept.get() + slice);
                    now.set(now.get() + slice);
                },
                || (now.get() >= room_at).then_some(()),
            );
            assert!(slept.get() <= limit, "{:?} of {limit:?}", slept.get());
            assert_eq!(done.is_some(), room_at <= limit, "{room_at:?} of {limit:?}");
            if done.is_some() {
                assert_eq!(slept.get(), room_at, "no longer than until there is room");
            }
        }
    }

    #[test]
    fn nothing_waits_without_a_limit_or_a_sender_nor_where_it_would_hinder() {
        assert!(!waits(Duration::ZERO).may_wait());
        let limit = Duration::from_secs(1);
        assert!(!Backpressure::new(limit).may_wait(), "there is no sender");
        let waits = waits(limit);
        assert!(waits.may_wait());
        {
            let _quiet = current::suppress();
            assert!(!waits.may_wait());
        }
        struct Unwinding<'a>(&'a Backpressure, &'a Cell<Option<bool>>);
        impl Drop for Unwinding<'_> {
            fn drop(&mut self) {
                self.1.set(Some(self.0.may_wait()));
            }
        }
        let seen = Cell::new(None);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _last = Unwinding(&waits, &seen);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert_eq!(seen.get(), Some(false));
        assert!(waits.may_wait());
    }

    #[test]
    fn a_ring_ends_the_sleep_of_all_that_wait() {
        let waits = waits(Duration::from_secs(60));
        let is_free = core::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let attempt = || is_free.load(Ordering::Relaxed).then_some(());
                    assert!(waits.wait(attempt).is_some());
                });
            }
            while waits.waited() < 4 {
                std::thread::yield_now();
            }
            is_free.store(true, Ordering::Relaxed);
            waits.ring();
        });
    }
}
