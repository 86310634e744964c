//! Pooled recorders: the memory of open spans is reused, so that recording allocates nothing at
//! steady state.
//!
//! Each thread keeps a few recorders. A program that starts spans on one thread and ends them on
//! another would drain one pool and fill the other, so the pools exchange recorders in bulk through
//! a common reserve. Of recorders that have grown for a large span only a few are kept, so that the
//! memory of a burst goes back.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::recorder::{Owner, Recorder};
use crate::hosted::process::Home;

/// The most recorders that a thread keeps; half of them move at a time.
const LOCAL: usize = 32;
const HALF: usize = LOCAL / 2;
/// The most recorders that the reserve keeps; others are freed.
const RESERVE: usize = 512;
/// The most bytes of recorders that have grown, in a thread and in the reserve.
const LARGE_LOCAL: usize = 64 * 1024;
const LARGE_RESERVE: usize = 256 * 1024;

#[allow(
    clippy::vec_box,
    reason = "a recorder never moves, only its pointer does"
)]
type Boxes = Vec<Box<Recorder>>;

/// The recorders that the threads of one provider exchange.
#[derive(Clone, Debug)]
pub(super) struct Reserve {
    boxes: Arc<Mutex<Boxes>>,
    home: Home,
}

/// The bytes of those that have grown.
fn large_bytes(boxes: &Boxes) -> usize {
    let large = boxes
        .iter()
        .filter(|recorder| recorder.recording.is_large());
    large.map(|recorder| recorder.recording.capacity()).sum()
}

impl Reserve {
    /// The reserve of a provider that works in `home`.
    pub(super) fn new(home: Home) -> Self {
        Self {
            boxes: Arc::default(),
            home,
        }
    }

    /// `None` in a forked child that cannot have the lock.
    fn with<T>(&self, f: impl FnOnce(&mut Boxes) -> T) -> Option<T> {
        self.home.lock(&self.boxes).map(|mut boxes| f(&mut boxes))
    }
}

/// The free recorders of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    boxes: Boxes,
    reserve: Reserve,
    /// The most bytes of a span.
    max: usize,
    provider: u32,
    owner: Owner,
}

impl Pool {
    /// A pool for spans of at most `max` bytes of the provider `owner`, whose number is `provider`.
    pub(super) fn new(reserve: Reserve, max: usize, provider: u32, owner: Owner) -> Self {
        Self {
            boxes: Vec::with_capacity(LOCAL),
            reserve,
            max,
            provider,
            owner,
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Box<Recorder> {
        match self.boxes.pop() {
            Some(recorder) => recorder,
            None => self.refill(),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, recorder: Box<Recorder>) {
        if recorder.recording.is_large() {
            return self.put_large(recorder);
        }
        if self.boxes.len() >= LOCAL {
            self.spill(HALF);
        }
        self.boxes.push(recorder);
    }

    #[cold]
    #[inline(never)]
    fn put_large(&mut self, recorder: Box<Recorder>) {
        if self.boxes.len() >= LOCAL {
            self.spill(HALF);
        }
        if large_bytes(&self.boxes) + recorder.recording.capacity() <= LARGE_LOCAL {
            self.boxes.push(recorder);
        }
    }

    #[cold]
    fn refill(&mut self) -> Box<Recorder> {
        self.reserve.with(|reserve| {
            let keep = reserve.len().saturating_sub(HALF);
            self.boxes.extend(reserve.drain(keep..));
        });
        self.boxes
            .pop()
            .unwrap_or_else(|| Box::new(Recorder::new(self.max, self.provider, self.owner.clone())))
    }

    #[cold]
    fn spill(&mut self, count: usize) {
        let keep = self.boxes.len().saturating_sub(count);
        self.reserve.with(|reserve| {
            let free = RESERVE.saturating_sub(reserve.len());
            let mut large = LARGE_RESERVE.saturating_sub(large_bytes(reserve));
            let spilled = self.boxes.drain(keep..).filter(|recorder| {
                let taken = match recorder.recording.is_large() {
                    true => recorder.recording.capacity(),
                    false => 0,
                };
                let left = large.checked_sub(taken);
                large = left.unwrap_or(large);
                left.is_some()
            });
            reserve.extend(spilled.take(free));
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
    use super::super::recorder::no_owner;
    use super::*;

    #[test]
    fn recorders_put_back_on_another_thread_return_through_the_reserve() {
        let reserve = Reserve::new(Home::here());
        let mut starts = Pool::new(reserve.clone(), 8, 1, no_owner());
        let mut ends = Pool::new(reserve.clone(), 8, 1, no_owner());
        for _ in 0..10 * LOCAL {
            ends.put(starts.take());
        }
        let waiting =
            reserve.with(|boxes| boxes.len()).unwrap() + ends.boxes.len() + starts.boxes.len();
        assert!(waiting <= 2 * LOCAL, "{waiting} recorders were made");
    }

    #[test]
    fn the_reserve_is_bounded_and_takes_the_recorders_of_a_finished_thread() {
        let reserve = Reserve::new(Home::here());
        let mut pool = Pool::new(reserve.clone(), 8, 1, no_owner());
        let boxes: Vec<_> = (0..2 * RESERVE).map(|_| pool.take()).collect();
        for recorder in boxes {
            pool.put(recorder);
        }
        drop(pool);
        assert_eq!(reserve.with(|boxes| boxes.len()), Some(RESERVE));
    }
}
