//! The state of a thread: its shard, its pool of recorders, its generator of ids.
//!
//! A thread has one [`ThreadState`] per provider that it has recorded for, so nearly always a
//! single one. A span knows its provider by number and looks the state up again when it ends, so
//! recording touches no counter that threads share. Starting and ending a span take one look-up
//! each.
//!
//! `inline(always)` here and in `tracer.rs` makes starting a span one function, in which the
//! builder stays in registers. That halves the instructions.

use core::cell::Cell;
use std::boxed::Box;
use std::sync::{Arc, Weak};

use super::hooks::{self, Inside};
use super::incomplete::Shortage;
use super::inner::ProviderInner;
use super::pool::Pool;
#[cfg(feature = "tracing")]
use super::recorder::UNSTARTED;
use super::recorder::{HOOKED, MARKS, NO_PROVIDER, Recorder};
use crate::buffer::{PushError, Record, RecordSink};
use crate::context::SpanContext;
use crate::hosted::current::Context;
use crate::hosted::process::fork_generation;
use crate::hosted::processor::SpanFate;
use crate::hosted::rng::ThreadRng;
use crate::hosted::shards::Shard;
use crate::id::RandomIdGenerator;
use crate::time::Instant;

/// A thread's generator of ids.
pub(super) type Ids = RandomIdGenerator<rand_xoshiro::Xoroshiro128PlusPlus>;

/// The state of a thread for one provider.
pub(super) struct ThreadState {
    /// The states for other providers, in the order of last use.
    next: Option<Box<ThreadState>>,
    provider: u32,
    owner: Weak<ProviderInner>,
    pub(super) shard: Arc<Shard>,
    pub(super) pool: Pool,
    pub(super) ids: Ids,
    fork: u32,
}

impl ThreadState {
    fn new(inner: &Arc<ProviderInner>) -> Self {
        Self {
            next: None,
            provider: inner.id(),
            owner: Arc::downgrade(inner),
            shard: inner.claim_shard(),
            pool: inner.pool(),
            ids: RandomIdGenerator::new(ThreadRng::owned()),
            fork: fork_generation(),
        }
    }

    // A forked child must not draw its parent's ids (fault D6).
    #[inline]
    pub(super) fn ready(&mut self) -> &mut Self {
        let fork = fork_generation();
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
    /// The state used last. It is taken out for use and put back, because a closure over a borrow
    /// would move its captures through memory.
    static STATE: Cell<Option<Box<ThreadState>>> = const { Cell::new(None) };
}

/// Takes out this thread's state for the provider `id`, to be [given back](give_back); `inner`
/// looks up the provider if there is no state yet. `None` while the thread ends, and when the
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

/// Puts a state back as the one used last.
#[inline(always)]
pub(super) fn give_back(state: Box<ThreadState>) {
    // While the thread ends it is dropped instead.
    let _ = STATE.try_with(|place| place.set(Some(state)));
}

/// The state for `id` from the chain that begins with `first`, or a new one, with the rest of the
/// chain behind it. States for providers that are gone are dropped.
#[cold]
fn find_state(
    first: Option<Box<ThreadState>>,
    id: u32,
    inner: impl FnOnce() -> Option<Arc<ProviderInner>>,
) -> Option<Box<ThreadState>> {
    if id == NO_PROVIDER || id & MARKS != 0 {
        if let Some(first) = first {
            give_back(first);
        }
        return None;
    }
    let (mut found, mut others) = (None, None);
    let mut rest = first;
    while let Some(mut state) = rest {
        rest = state.next.take();
        if state.provider == id {
            found = Some(state);
        } else if state.owner.strong_count() > 0 {
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

/// This thread's state for `inner`, or a temporary one while the thread ends.
#[inline(always)]
pub(super) fn state_for(inner: &Arc<ProviderInner>) -> Box<ThreadState> {
    take_state(inner.id(), || Some(Arc::clone(inner))).unwrap_or_else(|| temporary(inner))
}

/// This thread's state for `inner`; `None` where a start takes the slow way: after the shutdown, while
/// the thread ends, and with processors.
#[inline(always)]
pub(super) fn open_state_for(inner: &Arc<ProviderInner>) -> Option<Box<ThreadState>> {
    take_state(inner.open_id(), || Some(Arc::clone(inner)))
}

#[cold]
fn temporary(inner: &Arc<ProviderInner>) -> Box<ThreadState> {
    Box::new(ThreadState::new(inner))
}

/// Ends the span in `recorder` and pushes it into this thread's shard. The recorder goes back to
/// the pool.
#[inline(always)]
pub(super) fn finish(recorder: Box<Recorder>, now: Instant) {
    if recorder.recording.is_incomplete() {
        return finish_incomplete(recorder, now);
    }
    finish_complete(recorder, now);
}

/// The same for a span that does not hold all that was set on it.
#[cold]
#[inline(never)]
fn finish_incomplete(mut recorder: Box<Recorder>, now: Instant) {
    if recorder.provider & HOOKED != 0 {
        return finish_hooked(recorder, now);
    }
    recorder.unmark();
    let (provider, owner) = (recorder.provider, provider_of(&recorder));
    let shortage = Shortage::of(&recorder.recording);
    let new = shortage.as_ref().map_or(0, |shortage| {
        let state = take_state(provider, || owner.clone());
        state.map_or(0, |state| {
            let new = state.shard.count_incomplete(shortage.causes());
            give_back(state);
            new
        })
    });
    finish_complete(recorder, now);
    // Last, because the application's handler may start spans itself.
    if let (Some(shortage), true) = (shortage, new != 0) {
        if let Some(inner) = owner {
            inner.report_shortage(&shortage, new);
        }
    }
}

#[inline(always)]
fn finish_complete(recorder: Box<Recorder>, now: Instant) {
    let provider = recorder.provider;
    let Some(mut state) = take_state(provider, || provider_of(&recorder)) else {
        return finish_elsewhere(recorder, now);
    };
    let wake = state.finish(recorder, now);
    if wake {
        return wake_drainer(state);
    }
    give_back(state);
}

/// The provider of a recorder, if it still exists.
#[cold]
fn provider_of(recorder: &Recorder) -> Option<Arc<ProviderInner>> {
    recorder.owner.upgrade()?.downcast().ok()
}

/// Ends a span that processors see, that was started while its thread unwound, that carries values,
/// or whose thread's
/// locals are gone, or its provider. Without a provider it has no exporter to go to.
#[cold]
#[inline(never)]
fn finish_elsewhere(mut recorder: Box<Recorder>, now: Instant) {
    if recorder.provider & HOOKED != 0 {
        return finish_hooked(recorder, now);
    }
    recorder.unmark();
    let Some(inner) = provider_of(&recorder) else {
        return;
    };
    let mut state = state_for(&inner);
    if state.finish(recorder, now) {
        return wake_drainer(state);
    }
    give_back(state);
}

/// Shows a span that has started to the processors of `inner`, unless a processor started it.
#[cold]
#[inline(never)]
pub(super) fn show_start(
    inner: &ProviderInner,
    context: SpanContext,
    recorder: &mut Recorder,
    parent: &Context,
) {
    if let (Some(hooks), Some(inside)) = (&inner.hooks, Inside::enter()) {
        if let Some(origin) = hooks.origin(recorder, &inner.hub) {
            hooks.start(context, recorder, parent, &origin);
        }
        finish_deferred(&inside);
    }
}

/// Marks a span whose start is shown before its end.
#[cfg(feature = "tracing")]
pub(super) fn show_start_later(inner: &ProviderInner, recorder: &mut Recorder) {
    if inner.hooks.is_some() && !hooks::is_inside() {
        recorder.provider |= HOOKED | UNSTARTED;
    }
}

/// Ends a span that processors see, when no processor is running.
fn finish_hooked(mut recorder: Box<Recorder>, now: Instant) {
    if !recorder.recording.is_recording() {
        recorder.unmark();
        return finish(recorder, now);
    }
    let Some(inside) = Inside::enter() else {
        // Without a place to wait in, its processors see it at once.
        if let Err(recorder) = hooks::defer(recorder, now) {
            finish_shown(recorder, now);
        }
        return;
    };
    finish_shown(recorder, now);
    finish_deferred(&inside);
}

fn finish_deferred(inside: &Inside) {
    while let Some((recorder, end)) = inside.next_deferred() {
        finish_shown(recorder, end);
    }
}

/// Shows the end of a span to its processors, and ends it as they say.
fn finish_shown(mut recorder: Box<Recorder>, now: Instant) {
    let Some(inner) = provider_of(&recorder) else {
        return;
    };
    let hooks = inner.hooks.as_ref().filter(|_| inner.is_open());
    let found = hooks.and_then(|hooks| Some((hooks, hooks.origin(&recorder, &inner.hub)?)));
    let Some((hooks, origin)) = found else {
        recorder.unmark();
        return finish(recorder, now);
    };
    hooks.ending(&mut recorder, now, &origin);
    recorder.unmark();
    let is_sampled = recorder.recording.is_sampled();
    let shortage = match recorder.recording.is_incomplete() {
        true => Shortage::of(&recorder.recording),
        false => None,
    };
    let record = recorder.recording.complete(now);
    let fate = hooks.end(&record, inner.clock.wall(), &origin);
    let mut state = state_for(&inner);
    let (mut wake, mut new) = (false, 0);
    match fate {
        _ if !is_sampled => state.shard.count_record_only_ended(),
        SpanFate::Drop => state.shard.count_filtered(),
        SpanFate::Keep => {
            new = shortage.as_ref().map_or(0, |shortage| {
                state.shard.count_incomplete(shortage.causes())
            });
            // A loss has been counted where it happened.
            wake = state.shard.push(&record).unwrap_or(false);
        }
    }
    recorder.recording.clear();
    state.pool.put(recorder);
    match wake {
        true => wake_drainer(state),
        false => give_back(state),
    }
    if let (Some(shortage), true) = (shortage, new != 0) {
        inner.report_shortage(&shortage, new);
    }
}

#[cold]
fn wake_drainer(state: Box<ThreadState>) {
    let (owner, shard) = (state.owner.upgrade(), Arc::clone(&state.shard));
    give_back(state);
    if owner.is_some_and(|inner| !inner.hub.wake()) {
        // A copy in a forked child, which is never drained.
        shard.close();
    }
}

impl ThreadState {
    /// Returns true if it is time to wake the drainer.
    #[inline(always)]
    fn finish(&mut self, mut recorder: Box<Recorder>, now: Instant) -> bool {
        if !recorder.recording.is_sampled() {
            self.finish_unsampled(recorder);
            return false;
        }
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

    /// Ends a span that was recorded only, or that carried a tracestate.
    #[inline(never)]
    fn finish_unsampled(&mut self, mut recorder: Box<Recorder>) {
        if recorder.recording.is_recording() {
            self.shard.count_record_only_ended();
        }
        recorder.recording.clear();
        self.pool.put(recorder);
    }
}

/// The sink of a span that ends: a shard.
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
