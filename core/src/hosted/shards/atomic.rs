//! The atomics of the queue: the processor's, or Loom's, which a model check tries in every order
//! that the memory model allows.

#[cfg(not(all(test, spandrel_loom)))]
pub(super) use core::sync::atomic::{AtomicUsize, Ordering, fence};
#[cfg(all(test, spandrel_loom))]
pub(super) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
