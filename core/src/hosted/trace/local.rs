//! What each thread keeps: its shard, its boxes, its generator of ids, its counts.
//!
//! One entry per provider that the thread has recorded for; nearly always there is one. A span
//! knows its provider by number and comes back here when it ends, so that recording touches no
//! counter that threads share. What is `inline(always)` here and in `tracer.rs` makes starting a
//! span one function, through which the builder goes in registers; it halves the instructions.
//! Starting and ending a span is one look into this module each.

use core::cell::RefCell;
use std::sync::Arc;
use std::vec::Vec;

use super::scratch::{Pool, Scratch};
use super::shard::{Pushed, Shard};
use super::shared::Shared;
use crate::hosted::rng::{self, ThreadRng};
use crate::id::RandomIdGenerator;
use crate::span::Span as CoreSpan;
use crate::time::Instant;
use crate::tracer::Started;

/// Unpublished starts after which the shard is told, for threads that never end a span.
const PUBLISH_EVERY: u64 = 256;

/// A thread's generator of ids.
pub(super) type Ids = RandomIdGenerator<rand_xoshiro::Xoshiro256PlusPlus>;

/// One provider's part of a thread.
pub(super) struct Entry {
    provider: u32,
    shard: Arc<Shard>,
    pub(super) pool: Pool,
    pub(super) ids: Ids,
    fork: u32,
    pub(super) started: Started,
}

impl Entry {
    fn new(shared: &Shared) -> Self {
        Self {
            provider: shared.id(),
            shard: shared.claim_shard(),
            pool: shared.pool(),
            ids: RandomIdGenerator::new(ThreadRng::owned()),
            fork: rng::fork_generation(),
            started: Started::default(),
        }
    }

    /// Publishes the counts now and then.
    #[inline]
    pub(super) fn after_start(&mut self) {
        let started = &self.started;
        // One of them has reached it exactly when their union has, for it is a power of two.
        if started.recorded | started.record_only | started.not_sampled >= PUBLISH_EVERY {
            self.publish();
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

    #[cold]
    fn publish(&mut self) {
        self.shard.lock().add_started(&mut self.started);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.publish();
        self.shard.disown();
    }
}

std::thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with this thread's entry of the provider `id`; `shared` brings the provider when
/// there is no entry yet. `None` while the thread ends, and when the provider is gone.
#[inline(always)]
fn with_entry<T>(
    id: u32,
    shared: impl FnOnce() -> Option<Arc<Shared>>,
    f: impl FnOnce(&mut Entry) -> T,
) -> Option<T> {
    ENTRIES
        .try_with(|entries| {
            let mut entries = entries.try_borrow_mut().ok()?;
            if entries.first().is_none_or(|entry| entry.provider != id) {
                bring_to_front(&mut entries, id, shared)?;
            }
            // One call of `f` only, so that it is inlined.
            entries.first_mut().map(f)
        })
        .ok()
        .flatten()
}

/// Makes the entry of `id` the first, a new one when there is none; entries of providers that are
/// gone are forgotten on the way.
#[cold]
fn bring_to_front(
    entries: &mut Vec<Entry>,
    id: u32,
    shared: impl FnOnce() -> Option<Arc<Shared>>,
) -> Option<()> {
    let at = match entries.iter().position(|entry| entry.provider == id) {
        Some(at) => at,
        None => {
            let shared = shared()?;
            entries.retain(|entry| Shared::find(entry.provider).is_some());
            entries.push(Entry::new(&shared));
            entries.len() - 1
        }
    };
    entries.swap(0, at);
    Some(())
}

/// Runs `f` with this thread's entry for `shared`. `None`, and `f` is not run, while the thread
/// ends; [`passing`] does then.
#[inline(always)]
pub(super) fn with_thread<T>(shared: &Arc<Shared>, f: impl FnOnce(&mut Entry) -> T) -> Option<T> {
    with_entry(shared.id(), || Some(Arc::clone(shared)), f)
}

/// An entry for a single use, where the thread's own is out of reach.
#[cold]
pub(super) fn passing(shared: &Shared) -> Entry {
    Entry::new(shared)
}

/// Ends `span` and leaves it in this thread's shard; its box goes back to the pool.
#[inline]
pub(super) fn finish(provider: u32, span: &mut CoreSpan<Scratch>, now: Instant) {
    let wake = with_entry(
        provider,
        || Shared::find(provider),
        |entry| entry.finish(span, now),
    );
    if wake != Some(false) {
        finish_slowly(provider, span, now, wake);
    }
}

/// The rare rest of [`finish`]: the drainer is to be woken, or the thread's locals are gone.
#[cold]
fn finish_slowly(provider: u32, span: &mut CoreSpan<Scratch>, now: Instant, wake: Option<bool>) {
    let Some(shared) = Shared::find(provider) else {
        return;
    };
    if wake.unwrap_or_else(|| Entry::new(&shared).finish(span, now)) {
        shared.wake();
    }
}

impl Entry {
    /// Whether it is time to wake the drainer.
    #[inline]
    fn finish(&mut self, span: &mut CoreSpan<Scratch>, now: Instant) -> bool {
        let mut sink = Sink {
            shard: &self.shard,
            started: &mut self.started,
            now,
            wake: false,
        };
        // A loss has been counted where it happened.
        let (_, scratch) = span.finish_in_place(now, &mut sink);
        let wake = sink.wake;
        if let Some(scratch) = scratch {
            self.pool.put(scratch);
        }
        wake
    }
}

/// The shard of a thread as the place where a span goes.
struct Sink<'a> {
    shard: &'a Shard,
    started: &'a mut Started,
    now: Instant,
    wake: bool,
}

impl crate::buffer::RecordSink for Sink<'_> {
    #[inline]
    fn push_record(
        &mut self,
        record: &crate::buffer::Record<'_>,
    ) -> Result<(), crate::buffer::PushError> {
        match self.shard.lock().push(record, self.now, self.started) {
            Pushed::Kept => Ok(()),
            Pushed::Wake => {
                self.wake = true;
                Ok(())
            }
            Pushed::Lost(error) => Err(error),
        }
    }
}
