//! Counts the allocations that one thread makes inside one closure.
//!
//! Problem: "no allocation per span" must be a test and not a claim, and tests run on many threads.
//! Answer: an allocator that passes everything on to the system's and adds to counters of the
//! calling thread. A test binary installs it; [`measure`] refuses to run where nobody did, since
//! its zeros would prove nothing. While nobody measures, an allocation pays one relaxed load, which
//! is what lets the timed rounds of the benches run with it.
//!
//! ```
//! use spandrel_alloc_counter::{CountingAllocator, measure};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! assert_eq!(measure(|| ()).count, 0);
//! assert_eq!(measure(|| drop(std::hint::black_box(vec![0u8; 100]))).bytes, 100);
//! ```
#![allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait, and this crate is nothing else"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a closure allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocations {
    /// Calls that asked for memory, growing an allocation included.
    pub count: u64,
    /// Bytes asked for; a grown allocation adds its growth, a shrunk one nothing.
    pub bytes: u64,
    /// Bytes given back; a shrunk allocation adds what it lost.
    pub freed: u64,
}

/// The system's allocator with a counter per thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

/// Closures that are being measured at this moment, on any thread.
static MEASURING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Constant initialiser, nothing to drop: touching it allocates nothing, so the allocator cannot
    // call itself.
    static COUNTED: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0, freed: 0 }) };
}

/// Runs `body` and returns what this thread allocated meanwhile; other threads do not count.
///
/// # Panics
/// If the binary has not installed [`CountingAllocator`] as its global allocator.
pub fn measure(body: impl FnOnce()) -> Allocations {
    let probe = since(|| drop(black_box(Box::new(0u8))));
    assert!(
        probe.count > 0,
        "CountingAllocator is not this binary's #[global_allocator]"
    );
    since(body)
}

fn since(body: impl FnOnce()) -> Allocations {
    let measuring = Measuring::start();
    let before = COUNTED.get();
    body();
    let after = COUNTED.get();
    drop(measuring);
    Allocations {
        count: after.count - before.count,
        bytes: after.bytes - before.bytes,
        freed: after.freed - before.freed,
    }
}

/// Counting is on for as long as one of these is there, also when the closure panics.
struct Measuring;

impl Measuring {
    fn start() -> Self {
        MEASURING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        MEASURING.fetch_sub(1, Ordering::SeqCst);
    }
}

#[inline]
fn add(bytes: usize) {
    change(|counted| {
        counted.count += 1;
        counted.bytes += bytes as u64;
    });
}

#[inline]
fn take(bytes: usize) {
    change(|counted| counted.freed += bytes as u64);
}

#[inline]
fn change(change: impl FnOnce(&mut Allocations)) {
    if MEASURING.load(Ordering::Relaxed) == 0 {
        return;
    }
    // While a thread is being torn down its counters may be gone; then it is not measured either.
    let _ = COUNTED.try_with(|counted| {
        let mut now = counted.get();
        change(&mut now);
        counted.set(now);
    });
}

// SAFETY: every call goes to `System` with the arguments that came in and returns what came out, so
// the contract of `GlobalAlloc` holds because `System` keeps it. The counting beside it neither
// allocates nor panics nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size.saturating_sub(layout.size()));
        take(layout.size().saturating_sub(size));
        // SAFETY: `pointer` came from `System` through this allocator with this `layout`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: `pointer` came from `System` through this allocator with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
