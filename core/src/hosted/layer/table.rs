//! The open spans of a layer, by the subscriber's ids.
//!
//! They are not kept in the extensions of the subscriber's spans: those are behind a lock that
//! other layers hold while they format fields, and each of them is an allocation. A shard's lock is
//! held for a few moves of memory and never while code of the program runs.

use core::hash::{BuildHasherDefault, Hasher};
use std::boxed::Box;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::hosted::process::Home;

/// A power of two.
const SHARDS: usize = 64;

/// The position in an id at which the registry of `tracing-subscriber` 0.3 puts the number of the
/// thread that made the span. So each thread has its spans in its own shard. Ids of another kind
/// only collide more often.
const THREAD_SHIFT: u32 = 38;

/// Aligned, so that neighbours share no cache line.
#[repr(align(128))]
struct Shard<T>(Mutex<Slots<T>>);

type Slots<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

/// Values by span id. Memory grows to the most spans that were open at a time.
pub(super) struct Table<T> {
    shards: Box<[Shard<T>]>,
    home: Home,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        let shard = |_| Shard(Mutex::new(Slots::default()));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            home: Home::here(),
        }
    }

    /// Inserts `value`. Returns a value that was left under the same id.
    #[inline]
    pub(super) fn insert(&self, id: u64, value: T) -> Option<T> {
        self.shard(id)?.insert(id, value)
    }

    /// Removes the value of `id`.
    #[inline]
    pub(super) fn remove(&self, id: u64) -> Option<T> {
        self.shard(id)?.remove(&id)
    }

    /// Works on the value of `id`. `work` must neither use the table nor call the program.
    #[inline]
    pub(super) fn with<R>(&self, id: u64, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.shard(id)?.get_mut(&id).map(work)
    }

    /// Takes out all values.
    pub(super) fn take_all(&self, mut take: impl FnMut(T)) {
        for shard in &self.shards {
            let slots = self.home.lock(&shard.0);
            let slots = slots.map(|mut slots| core::mem::take(&mut *slots));
            slots
                .into_iter()
                .flatten()
                .for_each(|(_, value)| take(value));
        }
    }

    /// `None` also in a forked child, if a thread of the parent was at this shard.
    #[inline]
    fn shard(&self, id: u64) -> Option<MutexGuard<'_, Slots<T>>> {
        let at = (id >> THREAD_SHIFT) as usize % SHARDS;
        let shard = self.shards.get(at)?;
        // The map is whole even after a panic under the lock.
        self.home.lock(&shard.0)
    }
}

/// Spreads ids, whose differences are in their lower bits, over all bits.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, id: u64) {
        // Fibonacci hashing; the map takes its bits from both ends.
        let product = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_id_until_it_is_taken_out() {
        let table = Table::new();
        let ids = || (1..500_u64).flat_map(|n| [n, n << THREAD_SHIFT, n << 51 | n]);
        for id in ids() {
            assert_eq!(table.insert(id, id), None);
        }
        for id in ids() {
            assert_eq!(table.with(id, core::mem::take), Some(id));
            assert_eq!(table.remove(id), Some(0));
            assert_eq!(table.with(id, |value| *value), None);
        }
    }

    #[test]
    fn what_was_left_under_an_id_is_given_back() {
        let table = Table::new();
        assert_eq!(table.insert(1, 'a'), None);
        assert_eq!(table.insert(1, 'b'), Some('a'));
    }
}
