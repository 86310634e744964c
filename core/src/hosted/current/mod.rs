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
#[cfg_attr(
    not(feature = "_bridge"),
    allow(dead_code, reason = "there are no other stacks without a bridge")
)]
pub(super) mod others;
mod suppression;

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
#[cfg(feature = "_bridge")]
pub(super) use suppression::suppress_here;
pub use suppression::{SuppressGuard, is_suppressed, suppress};

use self::others::Innermost;
use crate::context::{ParentContext, SpanContext};

/// The deepest nesting; contexts attached beyond it do not become current. It bounds the memory of
/// guards that are never dropped, and of endless recursion.
const MAX_DEPTH: usize = 65_536;

/// Marks the length of a stack that lies beside [other libraries' stacks](others). No slot has such a
/// number, so marked stacks are left to the slow functions, and unmarked ones pay nothing. A thread
/// begins marked: it does not know yet whether there are others.
const BESIDE_OTHERS: usize = 1 << (usize::BITS - 1);

std::thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack::new()) };
    /// The length of the stack, so that most callers learn in one load that nothing is current.
    static DEPTH: Cell<usize> = const { Cell::new(BESIDE_OTHERS) };
}

/// Has this thread look at the other stacks from now on.
#[cfg(feature = "_bridge")]
pub(super) fn join_others() {
    if DEPTH.get() & BESIDE_OTHERS == 0 {
        let _ = STACK.try_with(|stack| {
            if let Ok(mut stack) = stack.try_borrow_mut() {
                stack.len |= BESIDE_OTHERS;
                DEPTH.set(stack.len);
            }
        });
    }
    suppression::join_others();
}

/// Contexts by attachment. Every live guard owns the slot it was given; a slot is vacated by its
/// own guard only and goes away when nothing is left above it.
///
/// A context is written field by field in its place, and read the same way: a wide read of bytes
/// that were just written in parts makes the processor wait until they are in memory.
struct Stack {
    /// The slots from `len` on are kept for reuse. They and the vacant ones have nothing beside a span.
    slots: Vec<Slot>,
    /// Marked [`BESIDE_OTHERS`], or not.
    len: usize,
    /// The number of contexts with more than a span. Nearly always 0, so that a span that is entered
    /// learns in one load that there is nothing to inherit.
    carrying: usize,
}

#[derive(Default)]
struct Slot {
    context: Context,
    is_vacant: bool,
    /// It was entered in the other stacks.
    is_mirrored: bool,
}

impl Stack {
    const fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: BESIDE_OTHERS,
            carrying: 0,
        }
    }

    /// A span without tracestate, beside the values that are current.
    #[inline(always)]
    fn push_span(&mut self, span_context: &SpanContext) -> Option<usize> {
        if self.carrying != 0 {
            return self.push_inheriting(Context::of(*span_context, None));
        }
        self.push_plain(span_context, true)
    }

    /// A span with nothing beside it.
    #[inline(always)]
    fn push_plain(&mut self, span_context: &SpanContext, inherits: bool) -> Option<usize> {
        let slot = self.len;
        let Some(next) = self.slots.get_mut(slot) else {
            return self.push_slowly(Context::of(*span_context, None), inherits);
        };
        next.is_vacant = false;
        next.context.span_context = *span_context;
        self.len = slot + 1;
        Some(slot)
    }

    #[cold]
    #[inline(never)]
    fn push_inheriting(&mut self, mut context: Context) -> Option<usize> {
        if let Some(around) = self.top_values() {
            context.beside = Beside::with_values_of(context.beside.as_ref(), around);
        }
        if self.len & BESIDE_OTHERS != 0 {
            return self.push_slowly(context, true);
        }
        self.push_whole(context)
    }

    fn push_whole(&mut self, context: Context) -> Option<usize> {
        let slot = self.len;
        let Some(next) = self.slots.get_mut(slot) else {
            return self.push_slowly(context, false);
        };
        next.is_vacant = false;
        self.carrying += usize::from(context.beside.is_some());
        next.context = context;
        self.len = slot + 1;
        Some(slot)
    }

    /// A context with more than a span, one for which there is no slot yet, and any beside others.
    /// One that `inherits` has the values of our innermost context already.
    #[cold]
    #[inline(never)]
    fn push_slowly(&mut self, mut context: Context, inherits: bool) -> Option<usize> {
        let mark = match others::are_there() {
            true => BESIDE_OTHERS,
            false => 0,
        };
        let slot = self.len & !BESIDE_OTHERS;
        self.len = slot | mark;
        if slot >= MAX_DEPTH {
            return None;
        }
        if slot == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let is_mirrored = mark != 0 && others::enter(slot, &mut context, inherits);
        self.carrying += usize::from(context.beside.is_some());
        *self.slots.get_mut(slot)? = Slot {
            context,
            is_vacant: false,
            is_mirrored,
        };
        self.len = (slot + 1) | mark;
        Some(slot | mark)
    }

    /// Vacates `slot`. Returns what it owned, to be dropped after the borrow of the stack.
    #[inline]
    fn remove(&mut self, slot: usize) -> Option<Arc<Beside>> {
        let Some(left) = self.slots.get_mut(slot) else {
            return self.remove_slowly(slot & !BESIDE_OTHERS);
        };
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

    /// The same beside others.
    #[cold]
    #[inline(never)]
    fn remove_slowly(&mut self, slot: usize) -> Option<Arc<Beside>> {
        let left = self.slots.get_mut(slot)?;
        left.is_vacant = true;
        if core::mem::take(&mut left.is_mirrored) {
            others::leave(slot);
        }
        let owned = left.context.beside.take();
        self.carrying -= usize::from(owned.is_some());
        while self.innermost_slot().is_some_and(|slot| slot.is_vacant) {
            self.len -= 1;
        }
        owned
    }

    /// `None` also beside others.
    #[inline]
    fn top_slot(&self) -> Option<&Slot> {
        self.slots.get(self.len.checked_sub(1)?)
    }

    fn innermost_slot(&self) -> Option<&Slot> {
        self.slots.get((self.len & !BESIDE_OTHERS).checked_sub(1)?)
    }

    /// The top slot is never vacant. `None` also beside others.
    #[inline]
    fn top(&self) -> Option<&Context> {
        Some(&self.top_slot()?.context)
    }

    /// What is beside the current span, if there are values in it.
    fn top_values(&self) -> Option<&Arc<Beside>> {
        let beside = self.innermost_slot()?.context.beside.as_ref();
        beside.filter(|beside| beside.has_values())
    }

    /// Reads what is current where our own stack does not show it.
    #[cold]
    #[inline(never)]
    fn read_beside_others<T>(&self, read: impl FnOnce(&Context) -> T) -> Option<T> {
        if self.len & BESIDE_OTHERS == 0 {
            return None;
        }
        let ours = self.innermost_slot();
        if !others::are_there() {
            // The next who asks learns it at once.
            DEPTH.set(self.len & !BESIDE_OTHERS);
            return ours.map(|slot| read(&slot.context));
        }
        if let Some(unknown) = ours.filter(|slot| !slot.is_mirrored) {
            return Some(read(&unknown.context));
        }
        let ours = ours.map(|slot| &slot.context);
        match others::innermost(ours) {
            Innermost::Nothing => None,
            Innermost::Ours => ours.map(read),
            Innermost::Other(context) => Some(read(&context)),
        }
    }
}

#[cfg(feature = "tracing")]
impl Stack {
    /// Enters the context of `slot`, which was `old`, in the other stacks again. Below others it stays
    /// there as it was, because nothing can be exchanged in them.
    #[cold]
    fn mirror_again(&mut self, slot: usize, old: &Context) {
        let is_innermost = slot + 1 == self.len & !BESIDE_OTHERS;
        if let Some(left) = self.slots.get_mut(slot) {
            let is_entered = left.is_mirrored
                && is_innermost
                && matches!(others::innermost(Some(old)), Innermost::Ours);
            if is_entered {
                others::leave(slot);
                let carried = usize::from(left.context.beside.is_some());
                left.is_mirrored = others::enter(slot, &mut left.context, false);
                self.carrying += usize::from(left.context.beside.is_some());
                self.carrying -= carried;
            }
        }
    }
}

/// Makes `context` current on this thread until the guard is dropped.
pub fn attach(context: Context) -> Guard {
    if context.beside.is_some() {
        return attach_by(|stack| stack.push_whole(context));
    }
    attach_by(|stack| stack.push_plain(&context.span_context, false))
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
        let place = &mut stack.slots.get_mut(slot & !BESIDE_OTHERS)?.context;
        let kept = place.beside.as_ref().filter(|beside| beside.has_values());
        if let (Some(kept), false) = (kept, brings_values) {
            context.beside = Beside::with_values_of(context.beside.as_ref(), kept);
        }
        stack.carrying += usize::from(context.beside.is_some());
        stack.carrying -= usize::from(place.beside.is_some());
        let old = core::mem::replace(place, context);
        if slot & BESIDE_OTHERS != 0 {
            stack.mirror_again(slot & !BESIDE_OTHERS, &old);
        }
        Some(old)
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

/// Returns true if nothing is current on this thread. False may mean that nobody has looked yet.
#[inline]
pub(super) fn is_nothing() -> bool {
    DEPTH.get() == 0
}

/// What is current, if another library made it so.
#[cfg(all(feature = "tracing", feature = "_bridge"))]
pub(super) fn current_of_others() -> Option<Context> {
    if DEPTH.get() & BESIDE_OTHERS == 0 || !others::are_there() {
        return None;
    }
    let found = STACK.try_with(|stack| {
        let stack = stack.try_borrow().ok()?;
        let ours = stack.innermost_slot();
        if ours.is_some_and(|slot| !slot.is_mirrored) {
            return None;
        }
        match others::innermost(ours.map(|slot| &slot.context)) {
            Innermost::Other(context) => Some(context),
            Innermost::Ours | Innermost::Nothing => None,
        }
    });
    found.ok().flatten()
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
        .try_with(|stack| {
            let stack = stack.try_borrow().ok()?;
            match stack.top() {
                Some(top) => Some(read(top)),
                None => stack.read_beside_others(read),
            }
        })
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

#[cfg(test)]
mod tests;
