//! The `tracing` spans that a thread has entered, with the guards that keep them current.
//!
//! ```text
//! enter(a)  enter(b)  exit(a)   exit(b)
//! [a]       [a b]     [b]       []
//! ```

use core::cell::RefCell;
use std::vec::Vec;

use crate::hosted::current::{self, Context, Guard};

/// A span that was entered and not left.
struct Entered {
    key: Key,
    state: SpanState,
    guard: Guard,
}

/// Layer and span: ids of different subscribers may be equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) layer: u32,
    pub(super) id: u64,
}

/// The state of a span, as far as this thread knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanState {
    /// Its parent may still change.
    Fresh,
    /// It is settled and records.
    Recording,
    /// It is settled and records nothing.
    Inert,
}

std::thread_local! {
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
}

/// Works on the list; `None` while the thread ends.
fn with<T>(work: impl FnOnce(&mut Vec<Entered>) -> T) -> Option<T> {
    let done = ENTERED.try_with(|entered| Some(work(&mut *entered.try_borrow_mut().ok()?)));
    done.ok().flatten()
}

/// Makes `context` current for the span of `key`, with the values that are current if there are any
/// and it does not bring its own.
pub(super) fn push(key: Key, state: SpanState, context: Context, brings_values: bool) {
    let guard = if brings_values {
        current::attach(context)
    } else if context.span_context().is_valid() {
        current::attach_inheriting(context)
    } else if context.has_values() && current::current_span_context().is_none() {
        current::attach(context)
    } else {
        // It stands for no parent, so what is current stays current.
        Guard::of_nothing()
    };
    with(|entered| entered.push(Entered { key, state, guard }));
}

/// Ends the last stay in the span of `key`, in any order. Returns the state known of it.
pub(super) fn pop(key: Key) -> Option<SpanState> {
    let found = with(|entered| {
        let at = entered.iter().rposition(|entered| entered.key == key)?;
        Some(entered.remove(at))
    })??;
    Some(found.state)
}

/// Ends the last stay in the span `id` of a layer that `is_gone`.
#[cold]
pub(super) fn pop_of_gone(id: u64, is_gone: impl Fn(u32) -> bool) {
    // Dropped without the borrow.
    let _left = with(|entered| {
        let left = |entered: &Entered| entered.key.id == id && is_gone(entered.key.layer);
        let at = entered.iter().rposition(left)?;
        Some(entered.remove(at))
    });
}

/// Ends all stays of this thread in spans of `layer`.
#[cold]
pub(super) fn leave_all(layer: u32) {
    loop {
        // Dropped without the borrow, the innermost first.
        let left = with(|entered| {
            let at = entered.iter().rposition(|it| it.key.layer == layer)?;
            Some(entered.remove(at))
        });
        if left.flatten().is_none() {
            return;
        }
    }
}

/// The innermost span of `layer` that this thread is in.
pub(super) fn top(layer: u32) -> Option<(u64, SpanState)> {
    with(|entered| {
        let mut newest = entered.iter().rev();
        let top = newest.find(|entered| entered.key.layer == layer)?;
        Some((top.key.id, top.state))
    })?
}

/// The innermost span of any layer that this thread is in.
pub(super) fn innermost() -> Option<(Key, SpanState)> {
    with(|entered| entered.last().map(|top| (top.key, top.state)))?
}

/// Notes the state of the span of `key`.
pub(super) fn set_state(key: Key, state: SpanState) {
    with(|entered| {
        for entered in entered.iter_mut().filter(|entered| entered.key == key) {
            entered.state = state;
        }
    });
}

/// The number of times that this thread is in the span of `key`.
pub(super) fn count(key: Key) -> usize {
    with(|entered| entered.iter().filter(|entered| entered.key == key).count()).unwrap_or(0)
}

/// Replaces the context that the span of `key` keeps current; its values too if the context brings
/// some.
pub(super) fn replace(key: Key, context: &Context, brings_values: bool) {
    with(|entered| {
        for entered in entered.iter_mut().filter(|entered| entered.key == key) {
            current::replace(&mut entered.guard, context.clone(), brings_values);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{SpanContext, TraceFlags};
    use crate::id::{SpanId, TraceId};

    fn key(id: u64) -> Key {
        Key { layer: 7, id }
    }

    fn context(n: u8) -> Context {
        let trace = TraceId::from_bytes([n; 16]);
        SpanContext::new(trace, SpanId::from_bytes([n; 8]), TraceFlags::SAMPLED).into()
    }

    fn current_number() -> Option<u8> {
        current::current_span_context().map(|context| context.span_id().to_bytes()[0])
    }

    #[test]
    fn spans_are_left_in_any_order() {
        push(key(1), SpanState::Fresh, context(1), false);
        push(key(2), SpanState::Inert, context(2), false);
        push(key(1), SpanState::Recording, context(1), false);
        assert_eq!(count(key(1)), 2);
        assert_eq!(pop(key(2)), Some(SpanState::Inert));
        assert_eq!(current_number(), Some(1));
        assert_eq!(pop(key(1)), Some(SpanState::Recording));
        assert_eq!(top(7), Some((1, SpanState::Fresh)));
        assert_eq!(pop(key(1)), Some(SpanState::Fresh));
        assert_eq!(pop(key(1)), None);
        assert_eq!((top(7), current_number()), (None, None));
    }

    #[test]
    fn layers_do_not_see_each_other() {
        let other = Key { layer: 8, id: 1 };
        push(key(1), SpanState::Fresh, context(1), false);
        push(other, SpanState::Fresh, context(2), false);
        set_state(other, SpanState::Inert);
        assert_eq!(top(7), Some((1, SpanState::Fresh)));
        assert_eq!(top(8), Some((1, SpanState::Inert)));
        assert_eq!(pop(other), Some(SpanState::Inert));
        pop(key(1));
    }

    #[test]
    fn what_is_current_can_be_exchanged() {
        push(key(1), SpanState::Fresh, context(1), false);
        push(key(2), SpanState::Fresh, context(2), false);
        replace(key(1), &context(9), false);
        assert_eq!(current_number(), Some(2));
        pop(key(2));
        assert_eq!(current_number(), Some(9));
        pop(key(1));
    }
}
