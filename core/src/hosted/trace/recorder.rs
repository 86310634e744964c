//! The recording of an open span.

use std::boxed::Box;
use std::vec;

use crate::attribute::Value;
use crate::context::{SpanContext, SpanKind};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::span::{Beginning, MIN_SCRATCH_BYTES, Recording};
use crate::time::Instant;

/// The number that no provider has.
pub(super) const NO_PROVIDER: u32 = 0;
/// Beside a provider's number: the span was started while its thread unwound from a panic. It is no
/// number of a provider, so the end of such a span takes the long way, and others pay nothing.
pub(super) const WHILE_UNWINDING: u32 = 1 << 31;

/// The recording of an open span, boxed so that it is never moved. It knows its provider, because
/// recorders of different providers differ in size and must not mix.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) recording: Recording<Box<[u8]>>,
    /// The number of the provider, with [`WHILE_UNWINDING`].
    pub(super) provider: u32,
}

impl Recorder {
    pub(super) const fn new(scratch: Box<[u8]>, provider: u32) -> Self {
        Self {
            recording: Recording::idle(scratch),
            provider,
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
