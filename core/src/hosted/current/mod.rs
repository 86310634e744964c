//! The current span of the thread, in plain and in async code.
//!
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

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll};
use std::sync::Arc;
use std::vec::Vec;

use pin_project_lite::pin_project;

use crate::context::{ParentContext, SpanContext};

/// The deepest nesting; contexts attached beyond it do not become current. It bounds the memory of
/// guards that are never dropped, and of endless recursion.
const MAX_DEPTH: usize = 65_536;

/// A span's context with its tracestate, owned. This is what is current on a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The span. [`SpanContext::INVALID`] means "no span": a child becomes a root.
    pub span_context: SpanContext,
    /// Its tracestate as header text. Most traces have none. Cloning does not allocate.
    pub trace_state: Option<Arc<str>>,
}

impl Context {
    /// As the parent of a new span.
    #[must_use]
    pub fn as_parent(&self) -> ParentContext<'_> {
        ParentContext {
            span_context: self.span_context,
            trace_state: self.trace_state.as_deref().unwrap_or_default(),
        }
    }
}

/// As [`Context::as_parent`] does.
impl<'a> From<&'a Context> for ParentContext<'a> {
    fn from(context: &'a Context) -> Self {
        context.as_parent()
    }
}

/// A span without tracestate.
impl From<SpanContext> for Context {
    fn from(span_context: SpanContext) -> Self {
        Self {
            span_context,
            trace_state: None,
        }
    }
}

/// A parent's context, made owned.
impl From<ParentContext<'_>> for Context {
    fn from(parent: ParentContext<'_>) -> Self {
        Self {
            span_context: parent.span_context,
            trace_state: (!parent.trace_state.is_empty()).then(|| parent.trace_state.into()),
        }
    }
}

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
    /// The slots from `len` on are kept for reuse.
    slots: Vec<Slot>,
    len: usize,
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
        }
    }

    /// Returns the slot of the pushed context; `None` if there is no room.
    #[inline(always)]
    fn push(&mut self, put: impl FnOnce(&mut Context)) -> Option<usize> {
        let slot = self.len;
        if slot >= self.slots.len() {
            if slot >= MAX_DEPTH {
                return None;
            }
            self.grow();
        }
        let next = self.slots.get_mut(slot)?;
        put(&mut next.context);
        next.is_vacant = false;
        self.len = slot + 1;
        Some(slot)
    }

    #[cold]
    fn grow(&mut self) {
        self.slots.push(Slot::default());
    }

    /// Vacates `slot`. Returns what it owned, to be dropped after the borrow of the stack.
    #[inline]
    fn remove(&mut self, slot: usize) -> Option<Arc<str>> {
        let left = self.slots.get_mut(slot)?;
        left.is_vacant = true;
        let state = &mut left.context.trace_state;
        let owned = if state.is_some() { state.take() } else { None };
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
}

/// Makes `context` current on this thread until the guard is dropped.
pub fn attach(context: Context) -> Guard {
    match &context.trace_state {
        None => attach_span(&context.span_context),
        Some(_) => attach_by(|place| *place = context),
    }
}

/// As [`attach`], for a span without tracestate.
#[inline]
pub(super) fn attach_span(span_context: &SpanContext) -> Guard {
    attach_by(|place| {
        place.span_context = *span_context;
        place.trace_state = None;
    })
}

#[inline(always)]
fn attach_by(put: impl FnOnce(&mut Context)) -> Guard {
    let slot = STACK
        .try_with(|stack| {
            let mut stack = stack.try_borrow_mut().ok()?;
            let slot = stack.push(put);
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

/// Replaces the context that `guard` keeps current. If it keeps none, a valid one is attached.
#[cfg(feature = "tracing")]
pub(super) fn replace(guard: &mut Guard, context: Context) {
    let Some(slot) = guard.slot else {
        if context.span_context.is_valid() {
            *guard = attach(context);
        }
        return;
    };
    let old = STACK.try_with(|stack| {
        let mut stack = stack.try_borrow_mut().ok()?;
        let slot = stack.slots.get_mut(slot)?;
        Some(core::mem::replace(&mut slot.context, context))
    });
    drop(old);
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

/// What is current, in the cheapest form: a plain copy if there is no tracestate.
#[inline]
pub(super) fn current_without_trace_state() -> Result<Option<SpanContext>, Context> {
    with_top(|context| match context.trace_state {
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
mod tests {
    use super::*;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};
    use core::pin::pin;
    use core::task::Waker;

    fn span(n: u8) -> SpanContext {
        let trace = TraceId::from_bytes([n; 16]);
        SpanContext::new(trace, SpanId::from_bytes([n; 8]), TraceFlags::SAMPLED)
    }

    fn attached(n: u8) -> Guard {
        attach(span(n).into())
    }

    fn current_number() -> Option<u8> {
        current_span_context().map(|s| s.span_id().to_bytes()[0])
    }

    #[test]
    fn guards_restore_what_was_current() {
        assert_eq!(current_number(), None);
        let a = attached(1);
        {
            let _b = attached(2);
            assert_eq!(current_number(), Some(2));
        }
        assert_eq!(current_number(), Some(1));
        drop(a);
        assert_eq!(current_number(), None);
    }

    #[test]
    fn guards_may_be_dropped_in_any_order() {
        // Every order of dropping four guards: what stays current is the newest one left.
        for order in 0..24 {
            let mut left: Vec<(u8, Guard)> = (1..=4).map(|n| (n, attached(n))).collect();
            let mut choice = order;
            while !left.is_empty() {
                let index = choice % left.len();
                choice /= left.len();
                drop(left.remove(index));
                assert_eq!(current_number(), left.last().map(|(n, _)| *n));
            }
        }
        STACK.with_borrow(|stack| assert_eq!(stack.len, 0));
    }

    #[test]
    fn a_slot_is_not_given_away_under_a_live_guard() {
        let a = attached(1);
        let b = attached(2);
        drop(a);
        let c = attached(3);
        drop(b);
        assert_eq!(current_number(), Some(3));
        drop(c);
        assert_eq!(current_number(), None);
    }

    #[test]
    fn the_tracestate_travels_along() {
        let parent = ParentContext {
            span_context: span(1),
            trace_state: "vendor=value",
        };
        let _guard = attach(parent.into());
        assert_eq!(current().unwrap().as_parent(), parent);
        let none = Context::from(ParentContext::from(span(1)));
        assert_eq!(none.trace_state, None);
        assert_eq!(none.as_parent().trace_state, "");
    }

    #[test]
    fn nesting_is_bounded() {
        let guards: Vec<_> = (0..MAX_DEPTH + 10).map(|_| attached(1)).collect();
        STACK.with_borrow(|stack| assert_eq!(stack.len, MAX_DEPTH));
        let _beyond = attached(2);
        assert_eq!(current_number(), Some(1));
        drop(guards);
        assert_eq!(current_number(), None);
    }

    /// Is ready at the second poll, with what was current at each.
    struct Witness(Vec<(Option<u8>, bool)>);

    impl Future for Witness {
        type Output = Vec<(Option<u8>, bool)>;

        fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
            self.0.push((current_number(), is_suppressed()));
            match self.0.len() {
                1 => Poll::Pending,
                _ => Poll::Ready(core::mem::take(&mut self.0)),
            }
        }
    }

    #[test]
    fn a_future_runs_under_its_own_context_and_leaves_no_trace() {
        let mut task = TaskContext::from_waker(Waker::noop());
        let mut future = pin!(Witness(Vec::new()).with_context(span(7).into()));
        assert!(future.as_mut().poll(&mut task).is_pending());
        assert_eq!(current_number(), None);
        let _other = attached(9);
        let seen = future.as_mut().poll(&mut task);
        assert_eq!(
            seen,
            Poll::Ready(std::vec![(Some(7), false), (Some(7), false)])
        );
        assert_eq!(current_number(), Some(9));
    }

    #[test]
    fn a_future_runs_in_a_span_that_has_ended_as_well() {
        let mut task = TaskContext::from_waker(Waker::noop());
        let ended = crate::hosted::trace::Span::non_recording(span(5));
        let mut future = pin!(Witness(Vec::new()).in_span(&ended));
        ended.end();
        assert!(future.as_mut().poll(&mut task).is_pending());
        let seen = future.as_mut().poll(&mut task);
        assert_eq!(
            seen,
            Poll::Ready(std::vec![(Some(5), false), (Some(5), false)])
        );
        assert_eq!(current_number(), None);
    }

    #[test]
    fn a_future_without_context_sees_the_context_of_its_thread() {
        let mut task = TaskContext::from_waker(Waker::noop());
        let mut future = pin!(Witness(Vec::new()).with_current_context().suppressed());
        assert!(future.as_mut().poll(&mut task).is_pending());
        let _other = attached(9);
        let seen = future.as_mut().poll(&mut task);
        assert_eq!(seen, Poll::Ready(std::vec![(None, true), (Some(9), true)]));
        assert!(!is_suppressed());
    }

    #[test]
    fn suppression_nests_and_stays_on_its_thread() {
        let a = suppress();
        let b = suppress();
        drop(a);
        assert!(is_suppressed());
        assert!(!std::thread::spawn(is_suppressed).join().unwrap());
        drop(b);
        assert!(!is_suppressed());
    }

    #[test]
    fn a_thread_may_end_with_everything_attached() {
        struct AtExit(Option<(Guard, SuppressGuard)>);
        impl Drop for AtExit {
            fn drop(&mut self) {
                let _late = attached(2);
                let _ = (current(), is_suppressed());
                self.0.take();
            }
        }
        std::thread_local! {
            static LATE: RefCell<AtExit> = const { RefCell::new(AtExit(None)) };
        }
        std::thread::spawn(|| {
            // Made first, so dropped in either order against the stack.
            LATE.with_borrow_mut(|late| late.0 = Some((attached(1), suppress())));
            core::mem::forget(attached(3));
        })
        .join()
        .unwrap();
    }
}
