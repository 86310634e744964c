//! The process that something belongs to.
//!
//! A forked child has a copy of all memory but only the thread that forked. A lock that another
//! thread held at that moment is never released there, and the sender is gone. So what belongs to
//! the parent does nothing in the child: before anything waits, it asks in which process it is. Only
//! a lock that is held costs that question, which is a system call.

#[cfg(all(feature = "_signal", unix))]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::thread::yield_now;

/// Counts forks; starts at 1.
static GENERATION: AtomicU32 = AtomicU32::new(1);
/// The process that asked last whether it is a forked child; 0 before the first.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// The next signal ends the process in its handler: the first one has come, or this is a forked child,
/// which has no thread that would hear it.
#[cfg(all(feature = "_signal", unix))]
pub(super) static ENDS_AT_ONCE: AtomicBool = AtomicBool::new(false);
/// How often a lock is tried that may never be released.
const TRIES: usize = 1000;

/// The process in which a value was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home(u32);

impl Home {
    /// The calling process.
    pub(super) fn here() -> Self {
        Self(std::process::id())
    }

    /// Returns true in this process, and false in a forked child.
    #[cold]
    pub(super) fn is_here(self) -> bool {
        self == Self::here()
    }

    /// Locks `mutex`, which belongs to this process. `None` in a forked child whose parent held it on
    /// another thread.
    #[inline]
    pub(super) fn lock<T>(self, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        match mutex.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => self.wait(mutex),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait<T>(self, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        self.is_here()
            .then(|| mutex.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes that this process is a forked child.
pub(super) fn after_fork_child() {
    PROCESS.store(std::process::id(), Ordering::Relaxed);
    let next = GENERATION.load(Ordering::Relaxed).wrapping_add(1).max(1);
    GENERATION.store(next, Ordering::Relaxed);
    #[cfg(all(feature = "_signal", unix))]
    ENDS_AT_ONCE.store(true, Ordering::Relaxed);
}

/// As [`after_fork_child`], if this process is a child that did not call it.
pub(super) fn notice_fork() {
    let process = std::process::id();
    let known = PROCESS.swap(process, Ordering::Relaxed);
    if known != 0 && known != process {
        after_fork_child();
    }
}

/// The number of forks that were noted, plus one. A cache of random numbers or of the process id is
/// stale when it changes.
#[inline]
pub(super) fn fork_generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Returns true in a forked child, also in one that did not note it.
#[cold]
pub(super) fn is_child() -> bool {
    let known = PROCESS.load(Ordering::Relaxed);
    fork_generation() != 1 || (known != 0 && known != std::process::id())
}

/// Locks a `mutex` that belongs to no process. `None` in a forked child where it is not free soon:
/// the parent may have held it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    get(
        || mutex.try_lock(),
        || mutex.lock().unwrap_or_else(PoisonError::into_inner),
    )
}

/// As [`lock`], for reading.
pub(super) fn read<T>(lock: &RwLock<T>) -> Option<RwLockReadGuard<'_, T>> {
    get(
        || lock.try_read(),
        || lock.read().unwrap_or_else(PoisonError::into_inner),
    )
}

/// As [`lock`], for writing.
pub(super) fn write<T>(lock: &RwLock<T>) -> Option<RwLockWriteGuard<'_, T>> {
    get(
        || lock.try_write(),
        || lock.write().unwrap_or_else(PoisonError::into_inner),
    )
}

#[inline]
fn get<G>(attempt: impl Fn() -> Result<G, TryLockError<G>>, wait: impl FnOnce() -> G) -> Option<G> {
    let attempt = || match attempt() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    if let Some(guard) = attempt() {
        return Some(guard);
    }
    if !is_child() {
        return Some(wait());
    }
    (0..TRIES).find_map(|_| {
        yield_now();
        attempt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_at_home_only() {
        let (home, foreign) = (Home::here(), Home(0));
        let mutex = Mutex::new(1);
        let held = home.lock(&mutex).unwrap();
        assert!(foreign.lock(&mutex).is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| home.lock(&mutex).is_some());
            drop(held);
            assert!(waits.join().unwrap());
        });
        assert!(foreign.lock(&mutex).is_some(), "what is free is taken");
    }
}
