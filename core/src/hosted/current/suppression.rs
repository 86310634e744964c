//! Suppression of spans on a thread.

use core::cell::Cell;
use core::marker::PhantomData;

use super::others;

/// Marks the number of suppressions of a thread on which telemetry may be suppressed in other
/// libraries' stacks. A thread begins marked: it does not know yet whether there are others.
const BESIDE_OTHERS: u32 = 1 << (u32::BITS - 1);

/// Makes a number of a suppression unlike the number of any slot.
const FROM_HERE: usize = 1 << (usize::BITS - 1);

std::thread_local! {
    // No destructor, so it works even while the thread's other locals are dropped.
    static SUPPRESSED: Cell<u32> = const { Cell::new(BESIDE_OTHERS) };
    /// The number of the next suppression that is entered in other stacks.
    static NEXT: Cell<usize> = const { Cell::new(1) };
}

/// Has this thread ask the other stacks from now on.
#[cfg(feature = "_bridge")]
pub(super) fn join_others() {
    SUPPRESSED.set(SUPPRESSED.get() | BESIDE_OTHERS);
}

/// Suppresses spans on this thread until the guard is dropped. Guards nest.
pub fn suppress() -> SuppressGuard {
    let mut guard = suppress_here();
    guard.key = suppress_others();
    guard
}

/// Suppresses spans without a word to other libraries.
pub(in crate::hosted) fn suppress_here() -> SuppressGuard {
    SUPPRESSED.set(SUPPRESSED.get() + 1);
    SuppressGuard {
        key: None,
        _thread: PhantomData,
    }
}

/// Enters a suppression in the other stacks, if there are any.
fn suppress_others() -> Option<usize> {
    if !others::are_there() {
        return None;
    }
    let number = NEXT.get();
    NEXT.set(number.wrapping_add(1));
    let key = number | FROM_HERE;
    others::enter_suppressed(key).then_some(key)
}

/// Returns true if spans are suppressed on this thread.
#[inline]
#[must_use]
pub fn is_suppressed() -> bool {
    SUPPRESSED.get() != 0 && is_suppressed_somewhere()
}

#[cold]
#[inline(never)]
fn is_suppressed_somewhere() -> bool {
    if SUPPRESSED.get() & !BESIDE_OTHERS != 0 {
        return true;
    }
    if others::are_there() {
        return others::is_suppressed();
    }
    SUPPRESSED.set(0);
    false
}

/// Keeps spans suppressed; see [`suppress`].
#[derive(Debug)]
#[must_use = "spans are suppressed only as long as the guard lives"]
pub struct SuppressGuard {
    /// If it was entered in the other stacks.
    key: Option<usize>,
    _thread: PhantomData<*const ()>,
}

impl Drop for SuppressGuard {
    fn drop(&mut self) {
        let depth = SUPPRESSED.get();
        let mark = depth & BESIDE_OTHERS;
        SUPPRESSED.set((depth & !BESIDE_OTHERS).saturating_sub(1) | mark);
        if let Some(key) = self.key.take() {
            others::leave(key);
        }
    }
}
