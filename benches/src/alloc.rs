//! What the calling thread allocates, counted by the allocator of the bench binaries.
//!
//! Counting is on during the counting pass only, so that timed rounds pay one relaxed load.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Calls for memory and bytes asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Calls, growing included.
    pub calls: u64,
    /// Bytes; a grown allocation adds its growth.
    pub bytes: u64,
}

/// The system's allocator with a counter per thread.
pub struct CountingAllocator;

static COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    // A constant without a destructor: touching it cannot allocate.
    static COUNTED: Cell<Allocations> = const { Cell::new(Allocations { calls: 0, bytes: 0 }) };
}

/// What `body` allocates on this thread. What its background threads allocate is not seen.
pub fn measure(body: impl FnOnce()) -> Allocations {
    let before = COUNTED.get();
    COUNTING.store(true, Ordering::SeqCst);
    body();
    COUNTING.store(false, Ordering::SeqCst);
    let after = COUNTED.get();
    Allocations {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
    }
}

#[inline]
fn add(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        let _ = COUNTED.try_with(|counted| {
            let now = counted.get();
            counted.set(Allocations {
                calls: now.calls + 1,
                bytes: now.bytes + bytes as u64,
            });
        });
    }
}

// SAFETY: every call goes to `System` with the arguments that came in and returns what came out;
// the counting beside it neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size.saturating_sub(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
