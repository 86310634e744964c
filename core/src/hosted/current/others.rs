//! Other libraries' stacks of contexts beside ours, so that all of them behave as one.
//!
//! A bridge [adds](add) the stack of its library once. From then on, whatever becomes current here is
//! entered there as well, and so the other stack knows the order of both. Threads learn of it when
//! they next look, which costs the others nothing: see [`BESIDE_OTHERS`](super::BESIDE_OTHERS).
//!
//! Of several stacks none sees what is entered in another. Their order is what was seen whenever a
//! bridge was asked: the one that changed last is the innermost, and of two that changed meanwhile,
//! the one whose span started later.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::vec::Vec;

use super::Context;

/// The stack of another library, on the thread that asks.
pub(in crate::hosted) trait OtherStack: Sync {
    /// Makes `context` current until [`leave`](Self::leave) is called with the same `key`. If it
    /// `inherits`, it takes over baggage that was set there. Returns false if that is not possible now.
    fn enter(&self, key: usize, context: &mut Context, inherits: bool) -> bool;

    /// Makes what is current there suppressed, until [`leave`](Self::leave).
    fn enter_suppressed(&self, key: usize) -> bool;

    /// Ends a stay.
    fn leave(&self, key: usize);

    /// What is current there; `ours` is our innermost context.
    fn innermost(&self, ours: Option<&Context>) -> Innermost;

    /// Returns true if telemetry is suppressed there.
    fn is_suppressed(&self) -> bool;

    /// The id of the span that is current there; 0 for none.
    fn span_id(&self) -> u64;
}

/// What is current in another stack.
#[derive(Debug)]
pub(in crate::hosted) enum Innermost {
    Nothing,
    /// Our innermost context.
    Ours,
    Other(Context),
}

const MOST: usize = 3;

static STACKS: [OnceLock<&'static dyn OtherStack>; MOST] = [const { OnceLock::new() }; MOST];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The numbers of the spans that started last, by the low bits of their ids: id and number in halves.
/// Only written with several stacks.
static STARTED: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
static NEXT_START: AtomicU32 = AtomicU32::new(1);

std::thread_local! {
    static ORDER: RefCell<Order> = const { RefCell::new(Order::new()) };
    /// The stacks may not be changed now, because one of them is being read.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Adds `stack` as the one with the number `at`, below 3. Later calls with this number do nothing.
pub(in crate::hosted) fn add(at: usize, stack: &'static dyn OtherStack) {
    if let Some(place) = STACKS.get(at) {
        if place.set(stack).is_ok() {
            COUNT.fetch_add(1, Ordering::Release);
        }
    }
}

/// Returns true if there are other stacks.
#[inline]
pub(super) fn are_there() -> bool {
    COUNT.load(Ordering::Acquire) != 0
}

fn are_several() -> bool {
    COUNT.load(Ordering::Relaxed) > 1
}

fn stacks() -> impl Iterator<Item = (usize, &'static dyn OtherStack)> {
    let stacks = STACKS.iter().enumerate();
    stacks.filter_map(|(at, stack)| Some((at, *stack.get()?)))
}

/// The time in which nothing is entered in the other stacks, because their libraries read them.
pub(in crate::hosted) struct Reading {
    was_busy: bool,
}

impl Reading {
    pub(in crate::hosted) fn begin() -> Self {
        Self {
            was_busy: IS_BUSY.replace(true),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        IS_BUSY.set(self.was_busy);
    }
}

/// Enters `context` in all stacks. Returns false if that is not possible now.
pub(super) fn enter(key: usize, context: &mut Context, inherits: bool) -> bool {
    if IS_BUSY.get() {
        return false;
    }
    if are_several() {
        look();
    }
    let mut entered = false;
    for (_, stack) in stacks() {
        entered |= stack.enter(key, context, inherits);
    }
    if are_several() {
        look();
    }
    entered
}

pub(super) fn enter_suppressed(key: usize) -> bool {
    !IS_BUSY.get() && stacks().fold(false, |any, (_, stack)| stack.enter_suppressed(key) | any)
}

pub(super) fn leave(key: usize) {
    stacks().for_each(|(_, stack)| stack.leave(key));
}

/// What is current in the innermost of the stacks.
pub(super) fn innermost(ours: Option<&Context>) -> Innermost {
    if !are_several() {
        let only = stacks().next();
        return only.map_or(Innermost::Nothing, |(_, stack)| stack.innermost(ours));
    }
    let newest = look();
    if let Some(stack) = newest {
        return stack.innermost(ours);
    }
    // No span anywhere. There may be baggage in one of them.
    let found = stacks().map(|(_, stack)| stack.innermost(ours));
    let mut left = found.filter(|found| !matches!(found, Innermost::Nothing));
    left.next().unwrap_or(Innermost::Nothing)
}

pub(super) fn is_suppressed() -> bool {
    stacks().any(|(_, stack)| stack.is_suppressed())
}

/// Notes the order of the stacks, and that a span of this id starts.
pub(in crate::hosted) fn note_start(span_id: u64) {
    if are_several() {
        let number = NEXT_START.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = started(span_id) {
            let entry = span_id & !u64::from(u32::MAX) | u64::from(number);
            place.store(entry, Ordering::Relaxed);
        }
    }
}

fn started(span_id: u64) -> Option<&'static AtomicU64> {
    STARTED.get(span_id as usize % STARTED.len())
}

/// The number of the start of a span; 0 if it is not known.
fn start_of(span_id: u64) -> u32 {
    let entry = started(span_id).map_or(0, |place| place.load(Ordering::Relaxed));
    match entry >> 32 == span_id >> 32 {
        true => entry as u32,
        false => 0,
    }
}

/// What a thread has seen of the stacks.
struct Order {
    seen: [Vec<Seen>; MOST],
    stamp: u64,
}

/// A span that was current in a stack, and since when.
#[derive(Clone, Copy)]
struct Seen {
    span_id: u64,
    stamp: u64,
}

impl Order {
    const fn new() -> Self {
        Self {
            seen: [const { Vec::new() }; MOST],
            stamp: 0,
        }
    }

    /// Takes in which spans are current now: number of the stack and span.
    fn update(&mut self, now: &mut [(usize, u64)]) {
        // What a stack has gone back to was seen before, and what lay over it is gone.
        now.sort_by_key(|(_, id)| start_of(*id));
        let mut last = None;
        for &mut (at, span_id) in now {
            let Some(seen) = self.seen.get_mut(at) else {
                continue;
            };
            if span_id == 0 {
                seen.clear();
            } else if let Some(known) = seen.iter().rposition(|seen| seen.span_id == span_id) {
                seen.truncate(known + 1);
            } else {
                // Ours is entered in all of them at a time.
                if last != Some(span_id) {
                    self.stamp += 1;
                    last = Some(span_id);
                }
                let stamp = self.stamp;
                seen.push(Seen { span_id, stamp });
            }
        }
    }

    /// The number of the stack that changed last.
    fn newest(&self) -> Option<usize> {
        let last = |seen: &Vec<Seen>| seen.last().map_or(0, |seen| seen.stamp);
        let newest = self.seen.iter().map(last).enumerate();
        let (at, stamp) = newest.max_by_key(|(_, stamp)| *stamp)?;
        (stamp != 0).then_some(at)
    }
}

/// Looks at all stacks. Returns the innermost; `None` if there is no span in any of them.
#[cold]
fn look() -> Option<&'static dyn OtherStack> {
    let mut now = [(0, 0); MOST];
    let mut count = 0;
    for ((at, stack), place) in stacks().zip(&mut now) {
        *place = (at, stack.span_id());
        count += 1;
    }
    let newest = ORDER.try_with(|order| {
        let mut order = order.try_borrow_mut().ok()?;
        order.update(now.get_mut(..count)?);
        order.newest()
    });
    STACKS.get(newest.ok().flatten()?)?.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_that_changed_last_is_the_innermost() {
        let mut order = Order::new();
        assert_eq!(order.newest(), None);
        order.update(&mut [(0, 1), (2, 0)]);
        assert_eq!(order.newest(), Some(0));
        order.update(&mut [(0, 1), (2, 2)]);
        assert_eq!(order.newest(), Some(2));
        order.update(&mut [(0, 3), (2, 2)]);
        assert_eq!(order.newest(), Some(0));
        order.update(&mut [(0, 1), (2, 2)]);
        assert_eq!(
            order.newest(),
            Some(2),
            "what was gone back to is no change"
        );
        order.update(&mut [(0, 1), (2, 0)]);
        assert_eq!(order.newest(), Some(0));
        order.update(&mut [(0, 0), (2, 0)]);
        assert_eq!(order.newest(), None);
    }

    #[test]
    fn of_two_changes_the_span_that_started_later_is_the_innermost() {
        let number = |id: u64, number: u64| {
            if let Some(place) = started(id) {
                place.store(id & !u64::from(u32::MAX) | number, Ordering::Relaxed);
            }
        };
        let (a, b) = (7 << 40 | 901, 8 << 40 | 902);
        for (first, second, newest) in [(1, 2, 1), (2, 1, 0)] {
            number(a, first);
            number(b, second);
            let mut order = Order::new();
            order.update(&mut [(0, a), (1, b)]);
            assert_eq!(order.newest(), Some(newest));
        }
    }
}
