//! The recording of an open span, and the provider that it belongs to.

use core::any::Any;
use std::boxed::Box;
use std::sync::{Arc, Weak};

use crate::attribute::Value;
use crate::context::{SpanContext, SpanKind};
use crate::hosted::current::Beside;
use crate::hosted::growing::GrowingRecording;
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::span::{Begin, Beginning, MIN_SCRATCH_BYTES};
use crate::time::Instant;

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

/// The provider of a recorder. Of which type it is, only its maker knows, which uses recorders.
pub(super) type Owner = Weak<dyn Any + Send + Sync>;

/// The owner of recorders without a provider.
pub(super) fn no_owner() -> Owner {
    Weak::<()>::new()
}

/// The recording of an open span, boxed so that it is never moved. It knows its provider, because
/// recorders of different providers differ in size and must not mix.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) recording: GrowingRecording,
    /// The number of the provider, with [`MARKS`].
    pub(super) provider: u32,
    /// The values that become current with the span; set exactly if it is [`CARRYING`].
    pub(super) values: Option<Arc<Beside>>,
    /// The provider, for threads that have no state for it.
    pub(super) owner: Owner,
}

impl Recorder {
    /// A recorder for spans of at most `max` bytes of the provider `owner`, whose number is
    /// `provider`.
    pub(super) fn new(max: usize, provider: u32, owner: Owner) -> Self {
        Self {
            recording: GrowingRecording::new(max),
            provider,
            values: None,
            owner,
        }
    }

    /// One of no provider, which carries a tracestate and nothing else.
    #[cold]
    pub(super) fn carrying(trace_state: &str) -> Box<Self> {
        // The least scratch has room for a name of 10 bytes. The field's tag and length take 6.
        let bytes = MIN_SCRATCH_BYTES + 6 + trace_state.len();
        let mut recorder = Box::new(Self::new(bytes, NO_PROVIDER, no_owner()));
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
