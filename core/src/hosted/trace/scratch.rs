//! Where live spans write: boxes that are used again and again, so that recording allocates
//! nothing at steady state.
//!
//! Each thread keeps a few boxes. A program that starts spans on one thread and ends them on
//! another would run one pool dry and fill the other, so the pools exchange boxes in bulk through
//! a shared reserve.

use std::boxed::Box;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

/// Boxes that a thread keeps; half of them move at a time.
const LOCAL: usize = 32;
const HALF: usize = LOCAL / 2;
/// Boxes that the reserve keeps; more are freed.
const RESERVE: usize = 512;

/// The memory of one live span. Also what a span knows of its pool: boxes of different providers
/// differ in length and must not mix.
#[derive(Debug)]
pub(crate) struct Scratch(Box<[u8]>);

impl AsRef<[u8]> for Scratch {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Scratch {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The reserve that the threads of one provider share.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserve(Arc<Mutex<Vec<Scratch>>>);

impl Reserve {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<Scratch>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The boxes of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    boxes: Vec<Scratch>,
    reserve: Reserve,
    bytes: usize,
}

impl Pool {
    pub(super) fn new(reserve: Reserve, bytes: usize) -> Self {
        Self {
            boxes: Vec::with_capacity(LOCAL),
            reserve,
            bytes,
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Scratch {
        match self.boxes.pop() {
            Some(scratch) => scratch,
            None => self.refill(),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, scratch: Scratch) {
        if self.boxes.len() >= LOCAL {
            self.spill(HALF);
        }
        self.boxes.push(scratch);
    }

    #[cold]
    fn refill(&mut self) -> Scratch {
        self.reserve.with(|reserve| {
            let keep = reserve.len().saturating_sub(HALF);
            self.boxes.extend(reserve.drain(keep..));
        });
        self.boxes
            .pop()
            .unwrap_or_else(|| Scratch(vec![0; self.bytes].into_boxed_slice()))
    }

    #[cold]
    fn spill(&mut self, count: usize) {
        let keep = self.boxes.len().saturating_sub(count);
        self.reserve.with(|reserve| {
            let free = RESERVE.saturating_sub(reserve.len());
            reserve.extend(self.boxes.drain(keep..).take(free));
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.spill(LOCAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_end_on_another_thread_come_back_through_the_reserve() {
        let reserve = Reserve::default();
        let mut starts = Pool::new(reserve.clone(), 8);
        let mut ends = Pool::new(reserve.clone(), 8);
        for _ in 0..10 * LOCAL {
            ends.put(starts.take());
        }
        let waiting = reserve.with(|boxes| boxes.len()) + ends.boxes.len() + starts.boxes.len();
        assert!(waiting <= 2 * LOCAL, "{waiting} boxes were made");
    }

    #[test]
    fn the_reserve_is_bounded_and_takes_the_boxes_of_a_finished_thread() {
        let reserve = Reserve::default();
        let mut pool = Pool::new(reserve.clone(), 8);
        let boxes: Vec<_> = (0..2 * RESERVE).map(|_| pool.take()).collect();
        for scratch in boxes {
            pool.put(scratch);
        }
        drop(pool);
        assert_eq!(reserve.with(|boxes| boxes.len()), RESERVE);
    }
}
