//! Room that a recording thread waits for, and the handshake by which it hears of it.
//!
//! The drainer moves the head of a queue, and then asks whether a thread waits. A thread says that it
//! waits, and then looks at the head. Both put a sequentially consistent fence between their two steps,
//! so at least one of them sees what the other has done: either the thread finds the room, or the drainer
//! rings. A ring is a number that changes under a lock, read before the look at the queue, so a ring
//! between that look and the sleep ends the sleep. Without waiting threads the drainer pays a fence and a
//! load for each drain.

use core::time::Duration;
#[cfg(not(all(test, spandrel_loom)))]
use std::sync::{Condvar, Mutex, PoisonError};

#[cfg(all(test, spandrel_loom))]
use loom::sync::{Condvar, Mutex};
#[cfg(all(test, spandrel_loom))]
use std::sync::PoisonError;

use super::atomic::{AtomicUsize, Ordering, fence};

/// Where threads wait for room.
#[derive(Debug)]
pub(super) struct Room {
    waiting: AtomicUsize,
    rings: Mutex<usize>,
    rung: Condvar,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            rings: Mutex::new(0),
            rung: Condvar::new(),
        }
    }

    /// Makes the caller one of those that wait. What was freed before is seen after this.
    pub(super) fn enter(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Waiting(self)
    }

    /// Has all that wait look again, after room was made or the intake was closed.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            *rings = rings.wrapping_add(1);
            self.rung.notify_all();
        }
    }
}

/// A thread that waits.
pub(super) struct Waiting<'a>(&'a Room);

impl Waiting<'_> {
    /// The rings so far, to be read before the look at the queue.
    pub(super) fn heard(&self) -> usize {
        let rings = self.0.rings.lock();
        *rings.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is another ring than those `heard`, `limit` at most, or for no reason.
    pub(super) fn sleep(&self, heard: usize, limit: Duration) {
        let rings = self.0.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if *rings == heard {
            drop(self.0.rung.wait_timeout(rings, limit));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time that one span may wait, in sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { left: limit }
    }

    /// The time that is left after `spent` of the time before; `None` if it is used up.
    pub(super) fn after(&mut self, spent: Duration) -> Option<Duration> {
        self.left = self.left.saturating_sub(spent);
        (!self.left.is_zero()).then_some(self.left)
    }
}
