//! The current context of the thread, in plain and in async code.
//!
//! A [`Context`] is a span and the values that travel beside it, under typed [keys](ContextKey).
//! [`attach`] makes a context current until its guard is dropped; a child started meanwhile finds
//! its parent with [`current`]. The guard cannot leave its thread. A future may, so it carries
//! its context along and has it attached during each poll: [`WithContext`].
//!
//! ```text
//! attach(a)   attach(b)   drop guard b        drop guard a
//! [a]         [a b]       [a]                 []              guards in order
//!             [a b]       [- b] (a's guard)   []  (b's guard) out of order: b stays current
//! ```
//!
//! A span that is entered takes its place beside the values that are current. So values need be
//! attached once, where they begin to hold, and everything within sees them.
//!
//! Explicit parents always work and never look here. Every function may be called while the
//! thread ends: there is then nothing current, and nothing panics.
//!
//! ```
//! use spandrel_core::context::{SpanContext, TraceFlags};
//! use spandrel_core::hosted::current::{self, Context};
//!
//! let span = SpanContext::new("5b8efff798038103d269b633813fc60c".parse()?,
//!     "eee19b7ec3c1b174".parse()?, TraceFlags::SAMPLED);
//! {
//!     let _guard = current::attach(Context::from(span));
//!     assert_eq!(current::current_span_context(), Some(span));
//! }
//! assert_eq!(current::current_span_context(), None);
//! # Ok::<(), spandrel_core::id::ParseIdError>(())
//! ```
//!
//! # Suppression
//!
//! An exporter's own HTTP client may be instrumented, and a span made while exporting would be
//! exported in turn, endlessly. While a guard of [`suppress`] lives on a thread, tracers record no
//! spans there.

mod context;
mod key;

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll};
use std::sync::Arc;
use std::vec::Vec;

use pin_project_lite::pin_project;

pub(super) use context::Beside;
pub use context::Context;
pub use key::ContextKey;

use crate::context::{ParentContext, SpanContext};

/// The deepest nesting; contexts attached beyond it do not become current. It bounds the memory of
/// guards that are never dropped, and of endless recursion.
const MAX_DEPTH: usize = 65_536;

std::thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack::new()) };
    /// The length of the stack, so that most callers learn in one load that nothing is current.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    // No destructor, so it works even while the thread's other locals are dropped.
    static SUPPRESSED: Cell<u32> = const { Cell::new(0) };
}

/// Contexts by attachment. Every live guard owns the slot it was given; a slot is vacated by its
/// own guard only and goes away when nothing is left above it.
///
/// A context is written field by field in its place, and read the same way: a wide read of bytes
/// that were just written in parts makes the processor wait until they are in memory.
struct Stack {
    /// The slots from `len` on are kept for reuse. They and the vacant ones have nothing beside a span.
    slots: Vec<Slot>,
    len: usize,
    /// The number of contexts with more than a span. Nearly always 0, so that a span that is entered
    /// learns in one load that there is nothing to inherit.
    carrying: usize,
}

#[derive(Default)]
struct Slot {
    context: Context,
    is_vacant: bool,
}

impl Stack {
    const fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
            carrying: 0,
        }
    }

    /// The place of a new context, which is to be written; `None` if there is no room.
    #[inline(always)]
    fn push(&mut self) -> Option<(usize, &mut Context)> {
        let slot = self.len;
        if slot >= self.slots.len() {
            if slot >= MAX_DEPTH {
                return None;
            }
            self.grow();
        }
        let next = self.slots.get_mut(slot)?;
        next.is_vacant = false;
        self.len = slot + 1;
        Some((slot, &mut next.context))
    }

    #[cold]
    fn grow(&mut self) {
        self.slots.push(Slot::default());
    }

    /// A span without tracestate, beside the values that are current.
    #[inline(always)]
    fn push_span(&mut self, span_context: &SpanContext) -> Option<usize> {
        if self.carrying != 0 {
            return self.push_inheriting(Context::of(*span_context, None));
        }
        let (slot, place) = self.push()?;
        place.span_context = *span_context;
        Some(slot)
    }

    #[cold]
    #[inline(never)]
    fn push_inheriting(&mut self, mut context: Context) -> Option<usize> {
        if let Some(around) = self.top_values() {
            context.beside = Beside::with_values_of(context.beside.as_ref(), around);
        }
        self.push_whole(context)
    }

    fn push_whole(&mut self, context: Context) -> Option<usize> {
        let carries = usize::from(context.beside.is_some());
        let (slot, place) = self.push()?;
        *place = context;
        self.carrying += carries;
        Some(slot)
    }

    /// Vacates `slot`. Returns what it owned, to be dropped after the borrow of the stack.
    #[inline]
    fn remove(&mut self, slot: usize) -> Option<Arc<Beside>> {
        let left = self.slots.get_mut(slot)?;
        left.is_vacant = true;
        let beside = &mut left.context.beside;
        let owned = if beside.is_some() {
            self.carrying -= 1;
            beside.take()
        } else {
            None
        };
        while self.top_slot().is_some_and(|slot| slot.is_vacant) {
            self.len -= 1;
        }
        owned
    }

    #[inline]
    fn top_slot(&self) -> Option<&Slot> {
        self.slots.get(self.len.checked_sub(1)?)
    }

    /// The top slot is never vacant.
    #[inline]
    fn top(&self) -> Option<&Context> {
        Some(&self.top_slot()?.context)
    }

    /// What is beside the current span, if there are values in it.
    fn top_values(&self) -> Option<&Arc<Beside>> {
        let beside = self.top()?.beside.as_ref();
        beside.filter(|beside| beside.has_values())
    }
}

/// Makes `context` current on this thread until the guard is dropped.
pub fn attach(context: Context) -> Guard {
    if context.beside.is_some() {
        return attach_by(|stack| stack.push_whole(context));
    }
    attach_by(|stack| {
        let (slot, place) = stack.push()?;
        place.span_context = context.span_context;
        Some(slot)
    })
}

/// Makes a span without tracestate current, beside the values that are current.
#[inline]
pub(super) fn attach_span(span_context: &SpanContext) -> Guard {
    attach_by(|stack| stack.push_span(span_context))
}

/// Makes `context` current. Its values are the current ones, or its own if there are none.
#[cfg(feature = "tracing")]
#[inline]
pub(super) fn attach_inheriting(context: Context) -> Guard {
    if context.beside.is_none() {
        return attach_span(&context.span_context);
    }
    attach_by(|stack| stack.push_inheriting(context))
}

#[inline(always)]
fn attach_by(push: impl FnOnce(&mut Stack) -> Option<usize>) -> Guard {
    let slot = STACK
        .try_with(|stack| {
            let mut stack = stack.try_borrow_mut().ok()?;
            let slot = push(&mut stack);
            DEPTH.set(stack.len);
            slot
        })
        .ok()
        .flatten();
    Guard {
        slot,
        _thread: PhantomData,
    }
}

/// Replaces the context that `guard` keeps current, and its values too if `context` is to bring its
/// own. If it keeps none, a context with a span is attached.
#[cfg(feature = "tracing")]
pub(super) fn replace(guard: &mut Guard, mut context: Context, brings_values: bool) {
    let Some(slot) = guard.slot else {
        if brings_values {
            *guard = attach(context);
        } else if context.span_context.is_valid() {
            *guard = attach_inheriting(context);
        }
        return;
    };
    let old = STACK.try_with(|stack| {
        let mut stack = stack.try_borrow_mut().ok()?;
        let stack = &mut *stack;
        let place = &mut stack.slots.get_mut(slot)?.context;
        let kept = place.beside.as_ref().filter(|beside| beside.has_values());
        if let (Some(kept), false) = (kept, brings_values) {
            context.beside = Beside::with_values_of(context.beside.as_ref(), kept);
        }
        stack.carrying += usize::from(context.beside.is_some());
        stack.carrying -= usize::from(place.beside.is_some());
        Some(core::mem::replace(place, context))
    });
    drop(old);
}

/// The context of `span`, owned, with the values that are current on this thread.
pub(super) fn context_of(span: ParentContext<'_>) -> Context {
    let around = match is_nothing() {
        true => None,
        false => with_top(|context| context.beside.clone()).flatten(),
    };
    let beside = Beside::with_trace_state(around.as_ref(), span.trace_state);
    Context::of(span.span_context, beside)
}

/// The context that is current on this thread, if any.
#[must_use]
pub fn current() -> Option<Context> {
    with_top(Clone::clone)
}

/// The span that is current on this thread, if any, without its tracestate.
#[must_use]
#[inline]
pub fn current_span_context() -> Option<SpanContext> {
    with_top(|context| context.span_context)
}

/// Returns true if nothing is current on this thread.
#[inline]
pub(super) fn is_nothing() -> bool {
    DEPTH.get() == 0
}

/// What is current, in the cheapest form: a plain copy if there is nothing beside the span.
#[inline]
pub(super) fn current_in_short() -> Result<Option<SpanContext>, Context> {
    with_top(|context| match context.beside {
        None => Ok(context.span_context),
        Some(_) => Err(context.clone()),
    })
    .transpose()
}

// `read` must not call back into this module, so this function stays private.
#[inline]
fn with_top<T>(read: impl FnOnce(&Context) -> T) -> Option<T> {
    if is_nothing() {
        return None;
    }
    STACK
        .try_with(|stack| stack.try_borrow().ok()?.top().map(read))
        .ok()
        .flatten()
}

#[cfg(feature = "tracing")]
impl Guard {
    /// A guard that keeps nothing current.
    pub(super) const fn of_nothing() -> Self {
        Self {
            slot: None,
            _thread: PhantomData,
        }
    }
}

/// Keeps a context current; see [`attach`]. Guards may be dropped in any order, but only on the
/// thread where they were made.
#[must_use = "the context is current only as long as its guard lives"]
pub struct Guard {
    slot: Option<usize>,
    /// Neither `Send` nor `Sync`: the slot belongs to this thread.
    _thread: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let owned = STACK.try_with(|stack| {
            let mut stack = stack.try_borrow_mut().ok()?;
            let owned = stack.remove(slot);
            DEPTH.set(stack.len);
            owned
        });
        drop(owned);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future whose context is attached whenever it is polled; see [`ContextFutureExt`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WithContext<F> {
        #[pin]
        future: F,
        context: Option<Context>,
    }
}

impl<F: Future> Future for WithContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _guard = this.context.clone().map(attach);
        this.future.poll(task)
    }
}

pin_project! {
    /// A future during whose polls no spans are recorded; see [`ContextFutureExt::suppressed`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Suppressed<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Suppressed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let _guard = suppress();
        self.project().future.poll(task)
    }
}

/// Attaches a context to a future, whichever thread polls it.
pub trait ContextFutureExt: Future + Sized {
    /// Makes `context` current whenever the future is polled.
    fn with_context(self, context: Context) -> WithContext<Self> {
        WithContext {
            future: self,
            context: Some(context),
        }
    }

    /// Makes `span` current whenever the future is polled: `future.in_span(&span)`. The future does
    /// not end the span, and may outlive it.
    fn in_span(self, span: impl Into<Context>) -> WithContext<Self> {
        self.with_context(span.into())
    }

    /// Makes the context that is current now current whenever the future is polled. If there is
    /// none, the future is polled without one.
    fn with_current_context(self) -> WithContext<Self> {
        WithContext {
            future: self,
            context: current(),
        }
    }

    /// Suppresses spans whenever the future is polled: for a future that does an exporter's work.
    fn suppressed(self) -> Suppressed<Self> {
        Suppressed { future: self }
    }
}

impl<F: Future> ContextFutureExt for F {}

/// Suppresses spans on this thread until the guard is dropped. Guards nest.
pub fn suppress() -> SuppressGuard {
    let _ = SUPPRESSED.try_with(|depth| depth.set(depth.get().saturating_add(1)));
    SuppressGuard {
        _thread: PhantomData,
    }
}

/// Returns true if spans are suppressed on this thread.
#[inline]
#[must_use]
pub fn is_suppressed() -> bool {
    SUPPRESSED.try_with(|depth| depth.get() > 0).unwrap_or(true)
}

/// Keeps spans suppressed; see [`suppress`].
#[derive(Debug)]
#[must_use = "spans are suppressed only as long as the guard lives"]
pub struct SuppressGuard {
    _thread: PhantomData<*const ()>,
}

impl Drop for SuppressGuard {
    fn drop(&mut self) {
        let _ = SUPPRESSED.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests;
