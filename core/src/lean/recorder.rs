//! The device's side: spans under way, and the ring of finished ones.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

use critical_section::Mutex;

use super::{LeanValue, Text};
use crate::context::SpanKind;

/// Two words of the ring.
pub(super) type Slot = [u32; 2];

/// The kinds of records.
pub(super) const SPAN: u32 = 0;
pub(super) const BEGIN: u32 = 1;
pub(super) const EVENT: u32 = 2;

const RECORD_SHIFT: u32 = 16;
const KIND_SHIFT: u32 = 18;
const STATUS_SHIFT: u32 = 21;
/// The span has never been current.
const DETACHED: u32 = 1 << 23;
const COUNT_SHIFT: u32 = 24;

/// A timer that counts up and turns over after 2^32 ticks.
pub trait TickClock {
    /// The ticks now.
    fn ticks() -> u32;
}

/// Where spans start and end: for a `static`. `SLOTS` is a power of two; a span takes three, and one
/// for each attribute.
///
/// All calls may come from interrupts, which are off for the writing of one record and no longer.
pub struct Recorder<C, const SLOTS: usize> {
    state: Mutex<State<SLOTS>>,
    clock: PhantomData<fn() -> C>,
}

// The ring last: a Cortex-M0 reaches only what is near with one instruction.
#[repr(C)]
struct State<const SLOTS: usize> {
    head: Cell<u32>,
    tail: Cell<u32>,
    next: Cell<u32>,
    current: Cell<LeanContext>,
    ended: Cell<u32>,
    dropped: Cell<u32>,
    ring: [Cell<Slot>; SLOTS],
}

/// A span as its children know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeanContext {
    number: u32,
    root: u32,
}

impl LeanContext {
    /// The number of the span; 0 for none.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// The number of the root of its trace.
    #[must_use]
    pub const fn root(self) -> u32 {
        self.root
    }
}

/// A span under way, with room for `ATTRIBUTES` of them.
///
/// One that is dropped is never reported; its children then lack their parent.
#[derive(Debug)]
#[must_use = "a span is reported by `Recorder::end`"]
pub struct LeanSpan<const ATTRIBUTES: usize = 0> {
    live: Live,
    attributes: [Slot; ATTRIBUTES],
}

#[derive(Debug)]
struct Live {
    head: u32,
    context: LeanContext,
    /// The parent, which becomes current again at the end unless the span is detached.
    before: LeanContext,
    start: u32,
}

/// The totals of a recorder, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) ended: u32,
    pub(super) dropped: u32,
}

impl<const SLOTS: usize> State<SLOTS> {
    /// Returns where the next slot goes, if `need` more fit.
    #[inline]
    fn tail(&self, need: u32) -> Option<u32> {
        let tail = self.tail.get();
        let held = tail.wrapping_sub(self.head.get());
        (held + need <= SLOTS as u32).then_some(tail)
    }

    /// Writes a slot, and returns where the next one goes.
    #[inline]
    fn put(&self, tail: u32, slot: Slot) -> u32 {
        if let Some(place) = self.ring.get(tail as usize & (SLOTS - 1)) {
            place.set(slot);
        }
        tail.wrapping_add(1)
    }
}

impl<C: TickClock, const SLOTS: usize> Recorder<C, SLOTS> {
    /// A recorder without spans.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(SLOTS.is_power_of_two(), "the slots must be a power of two") };
        Self {
            state: Mutex::new(State {
                head: Cell::new(0),
                tail: Cell::new(0),
                next: Cell::new(0),
                current: Cell::new(LeanContext { number: 0, root: 0 }),
                ended: Cell::new(0),
                dropped: Cell::new(0),
                ring: [const { Cell::new([0; 2]) }; SLOTS],
            }),
            clock: PhantomData,
        }
    }

    /// Starts a child of the current span, which it replaces until its end. Spans that are started
    /// so must end in the reverse order, as they do in blocks and in interrupt handlers.
    #[inline]
    pub fn start<const ATTRIBUTES: usize>(&self, name: Text) -> LeanSpan<ATTRIBUTES> {
        LeanSpan {
            live: self.begin(name),
            attributes: [[0; 2]; ATTRIBUTES],
        }
    }

    /// Starts a child of `parent`, or a root for the default [`LeanContext`], without making it current:
    /// for a task, which keeps it over an await.
    pub fn start_child<const ATTRIBUTES: usize>(
        &self,
        name: Text,
        parent: LeanContext,
    ) -> LeanSpan<ATTRIBUTES> {
        let context = critical_section::with(|cs| self.number(self.state.borrow(cs), parent));
        LeanSpan {
            live: Live {
                head: u32::from(name.0) | DETACHED,
                context,
                before: parent,
                start: C::ticks(),
            },
            attributes: [[0; 2]; ATTRIBUTES],
        }
    }

    /// The current span.
    #[must_use]
    pub fn current(&self) -> LeanContext {
        critical_section::with(|cs| self.state.borrow(cs).current.get())
    }

    /// Reports that `span` has begun, for a span that a reset or a crash may leave open: a host then
    /// shows it as such.
    pub fn report_begin<const ATTRIBUTES: usize>(&self, span: &LeanSpan<ATTRIBUTES>) {
        let live = &span.live;
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            if let Some(tail) = state.tail(3) {
                let head = live.head & 0x00ff_ffff | BEGIN << RECORD_SHIFT;
                let tail = state.put(tail, [head, live.context.number]);
                let tail = state.put(tail, [live.before.number, live.context.root]);
                state.tail.set(state.put(tail, [live.start, 0]));
            }
        });
    }

    /// Records that something happened in `span`; it is left out where there is no room.
    pub fn event<const ATTRIBUTES: usize>(
        &self,
        span: &LeanSpan<ATTRIBUTES>,
        name: Text,
        attributes: &[(Text, LeanValue)],
    ) {
        let count = attributes.len().min(0xff) as u32;
        let head = u32::from(name.0) | EVENT << RECORD_SHIFT | count << COUNT_SHIFT;
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            if let Some(tail) = state.tail(2 + count) {
                let tail = state.put(tail, [head, span.live.context.number]);
                let mut tail = state.put(tail, [C::ticks(), 0]);
                for (key, value) in attributes.iter().take(count as usize) {
                    tail = state.put(tail, attribute(*key, *value));
                }
                state.tail.set(tail);
            }
        });
    }

    /// Ends `span` now. It is dropped and counted where there is no room.
    #[inline]
    pub fn end<const ATTRIBUTES: usize>(&self, span: LeanSpan<ATTRIBUTES>) {
        self.finish(&span.live, &span.attributes);
    }

    #[inline(never)]
    fn begin(&self, name: Text) -> Live {
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            let before = state.current.get();
            let context = self.number(state, before);
            state.current.set(context);
            Live {
                head: name.0.into(),
                context,
                before,
                start: C::ticks(),
            }
        })
    }

    fn number(&self, state: &State<SLOTS>, parent: LeanContext) -> LeanContext {
        // 0 stands for none.
        let number = state.next.get().checked_add(1).unwrap_or(1);
        state.next.set(number);
        let root = if parent.number == 0 {
            number
        } else {
            parent.root
        };
        LeanContext { number, root }
    }

    #[inline(never)]
    fn finish(&self, live: &Live, attributes: &[Slot]) {
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            if live.head & DETACHED == 0 {
                state.current.set(live.before);
            }
            state.ended.set(state.ended.get().wrapping_add(1));
            let count = live.head >> COUNT_SHIFT;
            let Some(tail) = state.tail(3 + count) else {
                state.dropped.set(state.dropped.get().wrapping_add(1));
                return;
            };
            let tail = state.put(tail, [live.head, live.context.number]);
            let tail = state.put(tail, [live.before.number, live.context.root]);
            let duration = C::ticks().wrapping_sub(live.start);
            let mut tail = state.put(tail, [live.start, duration]);
            for attribute in attributes.iter().take(count as usize) {
                tail = state.put(tail, *attribute);
            }
            state.tail.set(tail);
        });
    }

    /// Takes the slot at the front out.
    pub(super) fn take(&self) -> Option<Slot> {
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            let head = state.head.get();
            if head == state.tail.get() {
                return None;
            }
            state.head.set(head.wrapping_add(1));
            state.ring.get(head as usize & (SLOTS - 1)).map(Cell::get)
        })
    }

    /// The first word of the record at the front.
    pub(super) fn front(&self) -> Option<Head> {
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            let head = state.head.get();
            let slot = state.ring.get(head as usize & (SLOTS - 1))?;
            (head != state.tail.get()).then(|| Head(slot.get()[0]))
        })
    }

    pub(super) fn totals(&self) -> Totals {
        critical_section::with(|cs| {
            let state = self.state.borrow(cs);
            Totals {
                ended: state.ended.get(),
                dropped: state.dropped.get(),
            }
        })
    }

    /// Counts a span that was taken out and could not be sent.
    pub(super) fn count_dropped(&self) {
        critical_section::with(|cs| {
            let dropped = &self.state.borrow(cs).dropped;
            dropped.set(dropped.get().wrapping_add(1));
        });
    }
}

impl<C: TickClock, const SLOTS: usize> Default for Recorder<C, SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C, const SLOTS: usize> fmt::Debug for Recorder<C, SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

fn attribute(key: Text, value: LeanValue) -> Slot {
    let (kind, value) = value.to_words();
    [u32::from(key.0) | kind << 16, value]
}

/// The first word of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head(u32);

impl Head {
    pub(super) const fn name(self) -> u16 {
        self.0 as u16
    }

    pub(super) const fn record(self) -> u32 {
        self.0 >> RECORD_SHIFT & 3
    }

    /// Record, kind and status, as they are on the line.
    pub(super) const fn tag(self) -> u8 {
        (self.0 >> RECORD_SHIFT) as u8 & 0x7f
    }

    pub(super) const fn attributes(self) -> u32 {
        self.0 >> COUNT_SHIFT
    }
}

impl<const ATTRIBUTES: usize> LeanSpan<ATTRIBUTES> {
    /// The span, for children that name their parent.
    #[must_use]
    pub const fn context(&self) -> LeanContext {
        self.live.context
    }

    /// Sets the kind; [`SpanKind::Internal`] is the default.
    pub const fn set_kind(&mut self, kind: SpanKind) {
        let code = match kind {
            SpanKind::Internal => 0,
            SpanKind::Server => 1,
            SpanKind::Client => 2,
            SpanKind::Producer => 3,
            SpanKind::Consumer => 4,
        };
        self.live.head = self.live.head & !(7 << KIND_SHIFT) | code << KIND_SHIFT;
    }

    /// Sets the status to error.
    pub const fn set_error(&mut self) {
        self.live.head = self.live.head & !(3 << STATUS_SHIFT) | 2 << STATUS_SHIFT;
    }

    /// Sets the status to ok.
    pub const fn set_ok(&mut self) {
        self.live.head = self.live.head & !(3 << STATUS_SHIFT) | 1 << STATUS_SHIFT;
    }

    /// Adds an attribute; where there is no room for it, it is left out. Of a key that is set twice
    /// the host keeps the last value.
    #[inline]
    pub fn set(&mut self, key: Text, value: LeanValue) {
        let place = (self.live.head >> COUNT_SHIFT) as usize;
        if let Some(slot) = self.attributes.get_mut(place).filter(|_| place < 0xff) {
            *slot = attribute(key, value);
            self.live.head += 1 << COUNT_SHIFT;
        }
    }
}
