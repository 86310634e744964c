//! What each thread keeps: its shard, its boxes, its counts.
//!
//! One entry per provider that the thread has recorded for; nearly always there is one. An entry
//! holds no reference to the provider's own state, so recording touches no counter that threads
//! share.

use core::cell::RefCell;
use std::sync::Arc;
use std::vec::Vec;

use super::scratch::{Pool, Scratch};
use super::shard::{Pushed, Shard};
use super::shared::Shared;
use crate::buffer::{PushError, Record};
use crate::time::Instant;
use crate::tracer::Started;

/// Unpublished starts after which the shard is told, for threads that never end a span.
const PUBLISH_EVERY: u64 = 256;

/// One provider's part of a thread.
struct Entry {
    provider: u32,
    shard: Arc<Shard>,
    pool: Pool,
    started: Started,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shard.lock().add_started(&mut self.started);
        self.shard.disown();
    }
}

std::thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with the entry of this thread for `shared`. `None` while the thread ends.
#[inline]
fn with_entry<T>(shared: &Arc<Shared>, f: impl FnOnce(&mut Entry) -> T) -> Option<T> {
    ENTRIES
        .try_with(|entries| {
            let mut entries = entries.try_borrow_mut().ok()?;
            let id = shared.id();
            if entries.first().is_none_or(|entry| entry.provider != id) {
                find(&mut entries, shared);
            }
            entries.first_mut().map(f)
        })
        .ok()
        .flatten()
}

/// Brings the entry of `shared` to the front, made new when there is none; entries of providers
/// that are gone are forgotten on the way.
#[cold]
fn find(entries: &mut Vec<Entry>, shared: &Arc<Shared>) {
    let id = shared.id();
    if let Some(at) = entries.iter().position(|entry| entry.provider == id) {
        entries.swap(0, at);
        return;
    }
    entries.retain(|entry| Shared::is_alive(entry.provider));
    entries.push(Entry {
        provider: id,
        shard: shared.claim_shard(),
        pool: shared.pool(),
        started: Started::default(),
    });
    let last = entries.len() - 1;
    entries.swap(0, last);
}

/// A box to record a span in.
#[inline]
pub(super) fn take_scratch(shared: &Arc<Shared>) -> Scratch {
    with_entry(shared, |entry| entry.pool.take()).unwrap_or_else(|| shared.pool().take())
}

/// Counts what was started on this thread.
#[inline]
pub(super) fn count_started(shared: &Arc<Shared>, started: &Started) {
    with_entry(shared, |entry| {
        let pending = &mut entry.started;
        pending.recorded += started.recorded;
        pending.record_only += started.record_only;
        pending.not_sampled += started.not_sampled;
        let count = pending.recorded + pending.record_only + pending.not_sampled;
        if count >= PUBLISH_EVERY {
            entry.shard.lock().add_started(pending);
        }
    });
}

/// Leaves a finished span in this thread's shard.
#[inline]
pub(super) fn push(
    shared: &Arc<Shared>,
    record: &Record<'_>,
    now: Instant,
) -> Result<(), PushError> {
    let pushed = with_entry(shared, |entry| {
        entry.shard.lock().push(record, now, &mut entry.started)
    });
    let pushed = pushed.unwrap_or_else(|| {
        // The thread's locals are gone: any shard will do.
        let shard = shared.claim_shard();
        let pushed = shard.lock().push(record, now, &mut Started::default());
        shard.disown();
        pushed
    });
    match pushed {
        Pushed::Kept => Ok(()),
        Pushed::Wake => {
            shared.wake();
            Ok(())
        }
        Pushed::Lost(error) => Err(error),
    }
}

/// Gives a box back.
#[inline]
pub(super) fn put_scratch(shared: &Arc<Shared>, scratch: Scratch) {
    with_entry(shared, |entry| entry.pool.put(scratch));
}
