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
use super::pool::{Pool, Recorder};
use crate::buffer::{PushError, Record, RecordSink};
use crate::hosted::rng::{self, ThreadRng};
use crate::hosted::shards::Shard;
use crate::id::RandomIdGenerator;
use crate::time::Instant;

/// A thread's generator of ids.
pub(super) type Ids = RandomIdGenerator<rand_xoshiro::Xoroshiro128PlusPlus>;

/// One provider's part of a thread.
pub(super) struct ThreadState {
    /// The entry of another provider, not used since.
    next: Option<Box<ThreadState>>,
    provider: u32,
    pub(super) shard: Arc<Shard>,
    pub(super) pool: Pool,
    pub(super) ids: Ids,
    fork: u32,
}

impl ThreadState {
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

impl Drop for ThreadState {
    fn drop(&mut self) {
        self.shard.disown();
    }
}

std::thread_local! {
    /// The state used last. Whoever works with it takes it out and puts it back: that leaves
    /// straight code where a closure over a borrow would move its captures through memory.
    static STATE: Cell<Option<Box<ThreadState>>> = const { Cell::new(None) };
}

/// Takes out this thread's entry of the provider `id`, to be [given back](give_back); `inner`
/// brings the provider when there is no entry yet. `None` while the thread ends, and when the
/// provider is gone.
#[inline(always)]
fn take_state(
    id: u32,
    inner: impl FnOnce() -> Option<Arc<ProviderInner>>,
) -> Option<Box<ThreadState>> {
    match STATE.try_with(Cell::take) {
        Ok(Some(state)) if state.provider == id => Some(state),
        Ok(state) => find_state(state, id, inner),
        Err(_) => None,
    }
}

/// Puts an entry back as the one used last.
#[inline(always)]
pub(super) fn give_back(state: Box<ThreadState>) {
    // While the thread ends it is dropped instead.
    let _ = STATE.try_with(|place| place.set(Some(state)));
}

/// The entry of `id` out of the chain that begins with `first`, or a new one; the rest of the
/// chain is behind it. Entries of providers that are gone are forgotten on the way.
#[cold]
fn find_state(
    first: Option<Box<ThreadState>>,
    id: u32,
    inner: impl FnOnce() -> Option<Arc<ProviderInner>>,
) -> Option<Box<ThreadState>> {
    let (mut found, mut others) = (None, None);
    let mut rest = first;
    while let Some(mut state) = rest {
        rest = state.next.take();
        if state.provider == id {
            found = Some(state);
        } else if ProviderInner::find(state.provider).is_some() {
            state.next = others;
            others = Some(state);
        }
    }
    let found = found.or_else(|| inner().map(|inner| Box::new(ThreadState::new(&inner))));
    match found {
        Some(mut state) => {
            state.next = others;
            Some(state)
        }
        None => {
            if let Some(state) = others {
                give_back(state);
            }
            None
        }
    }
}

/// This thread's entry for `inner`, or a passing one while the thread ends.
#[inline(always)]
pub(super) fn state_for(inner: &Arc<ProviderInner>) -> Box<ThreadState> {
    take_state(inner.id(), || Some(Arc::clone(inner))).unwrap_or_else(|| passing(inner))
}

#[cold]
fn passing(inner: &ProviderInner) -> Box<ThreadState> {
    Box::new(ThreadState::new(inner))
}

/// Ends the span in `recorder` and leaves it in this thread's shard; the box goes back to the pool.
#[inline(always)]
pub(super) fn finish(recorder: Box<Recorder>, now: Instant) {
    let provider = recorder.provider;
    let Some(mut state) = take_state(provider, || ProviderInner::find(provider)) else {
        // The thread's locals are gone, or the provider is; then nobody can miss the span.
        if let Some(inner) = ProviderInner::find(provider) {
            passing(&inner).finish(recorder, now);
        }
        return;
    };
    let wake = state.finish(recorder, now);
    give_back(state);
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

impl ThreadState {
    /// Whether it is time to wake the drainer.
    #[inline(always)]
    fn finish(&mut self, mut recorder: Box<Recorder>, now: Instant) -> bool {
        let mut sink = Sink {
            shard: &self.shard,
            wake: false,
        };
        // A loss has been counted where it happened.
        let _ = recorder.recording.push_into(now, &mut sink);
        let wake = sink.wake;
        self.pool.put(recorder);
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
