//! Pooled recorders: the memory of open spans is reused, so that recording allocates nothing at
//! steady state.
//!
//! Each thread keeps a few recorders. A program that starts spans on one thread and ends them on
//! another would drain one pool and fill the other, so the pools exchange recorders in bulk through
//! a common reserve.

use std::boxed::Box;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

use crate::attribute::Value;
use crate::context::{SpanContext, SpanKind};
use crate::hosted::current::Beside;
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::span::{Beginning, MIN_SCRATCH_BYTES, Recording};
use crate::time::Instant;

/// The most recorders that a thread keeps; half of them move at a time.
const LOCAL: usize = 32;
const HALF: usize = LOCAL / 2;
/// The most recorders that the reserve keeps; others are freed.
const RESERVE: usize = 512;

/// The number that no provider has.
pub(super) const NO_PROVIDER: u32 = 0;
/// Beside a provider's number: the span was started while its thread unwound from a panic. It is no
/// number of a provider, so the end of such a span takes the long way, and others pay nothing.
pub(super) const WHILE_UNWINDING: u32 = 1 << 31;
/// Likewise: processors see the end of the span.
pub(super) const HOOKED: u32 = 1 << 30;
/// Beside [`HOOKED`]: processors have not seen the start of the span.
pub(super) const UNSTARTED: u32 = 1 << 29;
/// Likewise: the span carries the values of a context.
pub(super) const CARRYING: u32 = 1 << 28;
/// All bits that are no part of a provider's number.
pub(super) const MARKS: u32 = WHILE_UNWINDING | HOOKED | UNSTARTED | CARRYING;

/// The recording of an open span, boxed so that it is never moved. It knows its provider, because
/// recorders of different providers differ in size and must not mix.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) recording: Recording<Box<[u8]>>,
    /// The number of the provider, with [`MARKS`].
    pub(super) provider: u32,
    /// The values that become current with the span; set exactly if it is [`CARRYING`].
    pub(super) values: Option<Arc<Beside>>,
}

impl Recorder {
    pub(super) const fn new(scratch: Box<[u8]>, provider: u32) -> Self {
        Self {
            recording: Recording::idle(scratch),
            provider,
            values: None,
        }
    }

    /// One of no provider, which carries a tracestate and nothing else.
    #[cold]
    pub(super) fn carrying(trace_state: &str) -> Box<Self> {
        // The least scratch has room for a name of 10 bytes. The field's tag and length take 6.
        let bytes = MIN_SCRATCH_BYTES + 6 + trace_state.len();
        let mut recorder = Box::new(Self::new(vec![0; bytes].into_boxed_slice(), NO_PROVIDER));
        recorder.recording.begin(&Beginning {
            limits: &SpanLimits::DEFAULT,
            context: &SpanContext::INVALID,
            parent: None,
            trace_state,
            inherited_state: "",
            name: "",
            kind: SpanKind::Internal,
            scope: ScopeId(0),
            start: Instant::ZERO,
            is_recording: false,
        });
        recorder
    }
}

impl Recorder {
    /// Returns true if the span's context is more than ids and flags.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.values.is_some() || !self.recording.trace_state().is_empty()
    }

    pub(super) fn carry(&mut self, values: &Arc<Beside>) {
        self.provider |= CARRYING;
        self.values = Some(Arc::clone(values));
    }

    /// Forgets all that is beside the number of the provider.
    pub(super) fn unmark(&mut self) {
        self.provider &= !MARKS;
        self.values = None;
    }
}

/// Setters by kind of value. At nearly every call the kind is known at compile time, so the `match`
/// folds away and one call is left, with the value in registers.
impl Recorder {
    #[inline(always)]
    pub(super) fn set_attribute(&mut self, key: &str, value: Value<'_>) {
        match value {
            Value::String(text) => self.set_text(key, text),
            Value::I64(number) => self.set_int(key, number),
            Value::U64(number) if number <= i64::MAX as u64 => self.set_int(key, number as i64),
            Value::F64(number) => self.set_double(key, number),
            Value::Bool(truth) => self.set_bool(key, truth),
            value => self.set_any(key, value),
        }
    }

    // Takes the value by value, so that the others write theirs to memory only on the way here.
    #[inline(never)]
    fn set_any(&mut self, key: &str, value: Value<'_>) {
        self.recording.set_attribute(key, &value);
    }

    #[inline(never)]
    fn set_text(&mut self, key: &str, text: &str) {
        if !self.recording.add_attribute(key, &Value::String(text)) {
            self.set_any(key, Value::String(text));
        }
    }

    #[inline(never)]
    fn set_int(&mut self, key: &str, number: i64) {
        if !self.recording.add_attribute(key, &Value::I64(number)) {
            self.set_any(key, Value::I64(number));
        }
    }

    #[inline(never)]
    fn set_double(&mut self, key: &str, number: f64) {
        if !self.recording.add_attribute(key, &Value::F64(number)) {
            self.set_any(key, Value::F64(number));
        }
    }

    #[inline(never)]
    fn set_bool(&mut self, key: &str, truth: bool) {
        if !self.recording.add_attribute(key, &Value::Bool(truth)) {
            self.set_any(key, Value::Bool(truth));
        }
    }
}

#[allow(
    clippy::vec_box,
    reason = "a recorder never moves, only its pointer does"
)]
type Boxes = Vec<Box<Recorder>>;

/// The recorders that the threads of one provider exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserve(Arc<Mutex<Boxes>>);

impl Reserve {
    fn with<T>(&self, f: impl FnOnce(&mut Boxes) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The free recorders of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    boxes: Boxes,
    reserve: Reserve,
    bytes: usize,
    provider: u32,
}

impl Pool {
    /// A pool for spans of `bytes` bytes of the provider numbered `provider`.
    pub(super) fn new(reserve: Reserve, bytes: usize, provider: u32) -> Self {
        Self {
            boxes: Vec::with_capacity(LOCAL),
            reserve,
            bytes,
            provider,
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Box<Recorder> {
        match self.boxes.pop() {
            Some(recorder) => recorder,
            None => self.refill(),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, recorder: Box<Recorder>) {
        if self.boxes.len() >= LOCAL {
            self.spill(HALF);
        }
        self.boxes.push(recorder);
    }

    #[cold]
    fn refill(&mut self) -> Box<Recorder> {
        self.reserve.with(|reserve| {
            let keep = reserve.len().saturating_sub(HALF);
            self.boxes.extend(reserve.drain(keep..));
        });
        self.boxes.pop().unwrap_or_else(|| {
            let scratch = vec![0; self.bytes].into_boxed_slice();
            Box::new(Recorder::new(scratch, self.provider))
        })
    }

    #[cold]
    fn spill(&mut self, count: usize) {
        let keep = self.boxes.len().saturating_sub(count);
        self.reserve.with(|reserve| {
            let free = RESERVE.saturating_sub(reserve.len());
            reserve.extend(self.boxes.drain(keep..).take(free));
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.spill(LOCAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorders_put_back_on_another_thread_return_through_the_reserve() {
        let reserve = Reserve::default();
        let mut starts = Pool::new(reserve.clone(), 8, 1);
        let mut ends = Pool::new(reserve.clone(), 8, 1);
        for _ in 0..10 * LOCAL {
            ends.put(starts.take());
        }
        let waiting = reserve.with(|boxes| boxes.len()) + ends.boxes.len() + starts.boxes.len();
        assert!(waiting <= 2 * LOCAL, "{waiting} recorders were made");
    }

    #[test]
    fn the_reserve_is_bounded_and_takes_the_recorders_of_a_finished_thread() {
        let reserve = Reserve::default();
        let mut pool = Pool::new(reserve.clone(), 8, 1);
        let boxes: Vec<_> = (0..2 * RESERVE).map(|_| pool.take()).collect();
        for recorder in boxes {
            pool.put(recorder);
        }
        drop(pool);
        assert_eq!(reserve.with(|boxes| boxes.len()), RESERVE);
    }
}
