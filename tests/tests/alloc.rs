//! Alone in its process: it installs the global allocator that it tests.
//!
//! The counting allocator counts this thread, and only what it asked for.

use std::hint::black_box;
use std::sync::Barrier;

use spandrel_tests::alloc::{Allocations, CountingAllocator, measure};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn each_way_to_ask_for_memory_is_counted() {
    assert_eq!(measure(|| {}), Allocations::default());
    let expect = |count, bytes| Allocations {
        count,
        bytes,
        freed: bytes,
    };
    let boxed = measure(|| drop(black_box(Box::new([1u8; 24]))));
    assert_eq!(boxed, expect(1, 24));
    let zeroed = measure(|| drop(black_box(vec![0u8; 100])));
    assert_eq!(zeroed, expect(1, 100));
    let grown = measure(|| {
        let mut list = black_box(Vec::<u8>::with_capacity(10));
        list.reserve_exact(40);
        black_box(list);
    });
    assert_eq!(grown, expect(2, 40));
    let freed_only = black_box(vec![1u8; 100]);
    let expected = Allocations {
        freed: 100,
        ..Allocations::default()
    };
    assert_eq!(measure(|| drop(freed_only)), expected);
    let mut shrunk = black_box(Vec::<u8>::with_capacity(50));
    let shrinking = measure(|| shrunk.shrink_to(20));
    assert_eq!((shrinking.bytes, shrinking.freed), (0, 30));
}

#[test]
fn other_threads_do_not_count() {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            drop(black_box(vec![1u8; 1000]));
            barrier.wait();
        });
        let seen = measure(|| {
            barrier.wait();
            barrier.wait();
        });
        assert_eq!(seen, Allocations::default());
    });
}
