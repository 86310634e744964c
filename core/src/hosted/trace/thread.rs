//! What each thread keeps: its shard, its boxes, its generator of ids.
//!
//! One entry per provider that the thread has recorded for; nearly always there is one. A span
//! knows its provider by number and comes back here when it ends, so that recording touches no
//! counter that threads share. What is `inline(always)` here and in `tracer.rs` makes starting a
//! span one function, through which the builder goes in registers; it halves the instructions.
//! Starting and ending a span is one look into this module each.

use core::cell::Cell;
use std::boxed::Box;
use std::sync::Arc;

use super::inner::ProviderInner;
use super::pool::{Live, Pool};
use crate::buffer::{PushError, Record, RecordSink};
use crate::hosted::rng::{self, ThreadRng};
use crate::hosted::shards::Shard;
use crate::id::RandomIdGenerator;
use crate::time::Instant;

/// A thread's generator of ids.
pub(super) type Ids = RandomIdGenerator<rand_xoshiro::Xoroshiro128PlusPlus>;

/// One provider's part of a thread.
pub(super) struct Entry {
    /// The entry of another provider, not used since.
    next: Option<Box<Entry>>,
    provider: u32,
    pub(super) shard: Arc<Shard>,
    pub(super) pool: Pool,
    pub(super) ids: Ids,
    fork: u32,
}

impl Entry {
    fn new(inner: &ProviderInner) -> Self {
        Self {
            next: None,
            provider: inner.id(),
            shard: inner.claim_shard(),
            pool: inner.pool(),
            ids: RandomIdGenerator::new(ThreadRng::owned()),
            fork: rng::fork_generation(),
        }
    }

    /// The entry for a start. A forked child must not draw the ids of its parent (fault catalogue
    /// D6).
    #[inline]
    pub(super) fn ready(&mut self) -> &mut Self {
        let fork = rng::fork_generation();
        if self.fork != fork {
            self.fork = fork;
            self.ids = RandomIdGenerator::new(ThreadRng::owned());
        }
        self
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shard.disown();
    }
}

std::thread_local! {
    /// The entry used last. Whoever works with it takes it out and puts it back: that leaves
    /// straight code where a closure over a borrow would move its captures through memory.
    static ENTRY: Cell<Option<Box<Entry>>> = const { Cell::new(None) };
}

/// Takes out this thread's entry of the provider `id`, to be [given back](give_back); `inner`
/// brings the provider when there is no entry yet. `None` while the thread ends, and when the
/// provider is gone.
#[inline(always)]
fn take_entry(id: u32, inner: impl FnOnce() -> Option<Arc<ProviderInner>>) -> Option<Box<Entry>> {
    match ENTRY.try_with(Cell::take) {
        Ok(Some(entry)) if entry.provider == id => Some(entry),
        Ok(entry) => find_entry(entry, id, inner),
        Err(_) => None,
    }
}

/// Puts an entry back as the one used last.
#[inline(always)]
pub(super) fn give_back(entry: Box<Entry>) {
    // While the thread ends it is dropped instead.
    let _ = ENTRY.try_with(|place| place.set(Some(entry)));
}

/// The entry of `id` out of the chain that begins with `first`, or a new one; the rest of the
/// chain is behind it. Entries of providers that are gone are forgotten on the way.
#[cold]
fn find_entry(
    first: Option<Box<Entry>>,
    id: u32,
    inner: impl FnOnce() -> Option<Arc<ProviderInner>>,
) -> Option<Box<Entry>> {
    let (mut found, mut others) = (None, None);
    let mut rest = first;
    while let Some(mut entry) = rest {
        rest = entry.next.take();
        if entry.provider == id {
            found = Some(entry);
        } else if ProviderInner::find(entry.provider).is_some() {
            entry.next = others;
            others = Some(entry);
        }
    }
    let found = found.or_else(|| inner().map(|inner| Box::new(Entry::new(&inner))));
    match found {
        Some(mut entry) => {
            entry.next = others;
            Some(entry)
        }
        None => {
            if let Some(entry) = others {
                give_back(entry);
            }
            None
        }
    }
}

/// This thread's entry for `inner`, or a passing one while the thread ends.
#[inline(always)]
pub(super) fn entry_for(inner: &Arc<ProviderInner>) -> Box<Entry> {
    take_entry(inner.id(), || Some(Arc::clone(inner))).unwrap_or_else(|| passing(inner))
}

#[cold]
fn passing(inner: &ProviderInner) -> Box<Entry> {
    Box::new(Entry::new(inner))
}

/// Ends the span in `live` and leaves it in this thread's shard; the box goes back to the pool.
#[inline(always)]
pub(super) fn finish(live: Box<Live>, now: Instant) {
    let provider = live.provider;
    let Some(mut entry) = take_entry(provider, || ProviderInner::find(provider)) else {
        // The thread's locals are gone, or the provider is; then nobody can miss the span.
        if let Some(inner) = ProviderInner::find(provider) {
            passing(&inner).finish(live, now);
        }
        return;
    };
    let wake = entry.finish(live, now);
    give_back(entry);
    if wake {
        wake_drainer(provider);
    }
}

#[cold]
fn wake_drainer(provider: u32) {
    if let Some(inner) = ProviderInner::find(provider) {
        inner.hub.wake();
    }
}

impl Entry {
    /// Whether it is time to wake the drainer.
    #[inline(always)]
    fn finish(&mut self, mut live: Box<Live>, now: Instant) -> bool {
        let mut sink = Sink {
            shard: &self.shard,
            wake: false,
        };
        // A loss has been counted where it happened.
        let _ = live.recording.push_into(now, &mut sink);
        let wake = sink.wake;
        self.pool.put(live);
        wake
    }
}

/// The shard of a thread as the place where a span goes.
struct Sink<'a> {
    shard: &'a Shard,
    wake: bool,
}

impl RecordSink for Sink<'_> {
    #[inline(always)]
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.wake = self.shard.push(record)?;
        Ok(())
    }
}
