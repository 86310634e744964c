//! A recording in memory that grows with its span.
//!
//! Most spans take some hundred bytes, and few come near the most that one may take. So a recorder
//! starts small. What does not fit whole is tried again in more memory, up to that most; only there
//! is anything cut or left out, by the same rule as if all the memory had been there from the start.

use core::any::Any;
use core::fmt;
use std::boxed::Box;
use std::sync::Weak;
use std::vec;
use std::vec::Vec;

use crate::attribute::{KeyValue, Value};
#[cfg(feature = "tracing")]
use crate::context::ParentContext;
use crate::context::{Link, SpanContext, SpanKind};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::span::{Begin, Beginning, MIN_SCRATCH_BYTES, PutLink, Recording, Status};
use crate::time::Instant;

/// The number that no provider has.
pub(super) const NO_PROVIDER: u32 = 0;
/// Beside a provider's number: the span was started while its thread unwound from a panic. It is no
/// number of a provider, so the end of such a span takes the long way, and others pay nothing.
pub(super) const WHILE_UNWINDING: u32 = 1 << 31;

/// The memory of a span at its start.
pub(super) const START: usize = 1024;
/// Name and tracestate of together as many bytes fit whole into a recorder that has not grown.
const SHORT: usize = 400;
/// More than a span takes at its start beside its texts, and what it holds back.
const FRAME: usize = 128;

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
    pub(super) recording: Recording<Box<[u8]>>,
    /// The number of the provider, with [`WHILE_UNWINDING`].
    pub(super) provider: u32,
    /// The most bytes of the recording.
    max: u32,
    /// The provider, for threads that have no state for it.
    pub(super) owner: Owner,
}

impl Recorder {
    /// A recorder for spans of at most `max` bytes of the provider `owner`, whose number is
    /// `provider`.
    pub(super) fn new(max: usize, provider: u32, owner: Owner) -> Self {
        Self {
            recording: Recording::idle(vec![0; max.min(START)].into_boxed_slice()),
            provider,
            max: u32::try_from(max).unwrap_or(u32::MAX),
            owner,
        }
    }

    /// One of no provider, which carries a tracestate and nothing else.
    #[cold]
    pub(super) fn carrying(trace_state: &str) -> Box<Self> {
        // The least scratch has room for a name of 10 bytes. The field's tag and length take 6.
        let bytes = MIN_SCRATCH_BYTES + 6 + trace_state.len();
        let mut recorder = Box::new(Self::new(bytes, NO_PROVIDER, no_owner()));
        recorder.begin(&Beginning {
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

    /// The most bytes of the span.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max as usize
    }

    /// The bytes of memory.
    pub(super) const fn bytes(&self) -> usize {
        self.recording.scratch.len()
    }

    /// Returns true if it has grown.
    #[inline(always)]
    pub(super) const fn is_large(&self) -> bool {
        self.bytes() > START
    }

    /// Doubles the memory. Returns false if it is as large as it may be, or if there is no more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let old = &mut self.recording.scratch;
        let size = (2 * old.len()).min(self.max as usize);
        let mut new = Vec::new();
        if size <= old.len() || new.try_reserve_exact(size).is_err() {
            return false;
        }
        new.extend_from_slice(old);
        new.resize(size, 0);
        *old = new.into_boxed_slice();
        true
    }

    #[cold]
    #[inline(never)]
    fn grow_for(&mut self, needed: usize) {
        while self.bytes() < needed && self.grow() {}
    }

    pub(super) fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>], at: Instant) {
        if !self.recording.add_whole_event(name, attributes, at) {
            self.add_long_event(name, attributes, at);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_long_event(&mut self, name: &str, attributes: &[KeyValue<'_>], at: Instant) {
        while self.grow() {
            if self.recording.add_whole_event(name, attributes, at) {
                return;
            }
        }
        self.recording.add_event(name, attributes, at);
    }

    pub(super) fn add_link(&mut self, link: &Link<'_>) {
        while !self.recording.add_whole_link(link) {
            if !self.grow() {
                return self.recording.add_link(link);
            }
        }
    }

    pub(super) fn record_error<E: fmt::Display + ?Sized>(
        &mut self,
        error: &E,
        attributes: &[KeyValue<'_>],
        at: Instant,
    ) {
        let mut may_be_cut = false;
        while !self
            .recording
            .record_error_cut(error, attributes, at, may_be_cut)
        {
            may_be_cut = !self.grow();
        }
    }

    pub(super) fn set_status(&mut self, status: Status<'_>) {
        if let Status::Error { description } = status {
            while !self.recording.takes_description(description) && self.grow() {}
        }
        self.recording.set_status(status);
    }

    pub(super) fn update_name(&mut self, name: &str) {
        while !self.recording.takes_name(name) && self.grow() {}
        self.recording.update_name(name);
    }

    /// Moves the span into another trace; see [`Recording::reparent`].
    #[cfg(feature = "tracing")]
    pub(super) fn reparent(&mut self, context: &SpanContext, parent: &ParentContext<'_>) -> bool {
        self.grow_for(self.recording.used() + FRAME + parent.trace_state.len());
        self.recording.reparent(context, parent)
    }
}

impl Begin for Recorder {
    #[inline(always)]
    fn begin(&mut self, beginning: &Beginning<'_>) -> bool {
        let texts = beginning.name.len() + beginning.trace_state.len();
        if texts > SHORT {
            // A text takes at most half of what is free of fifteen sixteenths.
            self.grow_for(texts.saturating_mul(2).saturating_add(FRAME) / 15 * 16 + 16);
        }
        self.recording.begin(beginning)
    }

    fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        for attribute in attributes {
            self.set_any(attribute.key, &attribute.value);
        }
    }

    #[inline]
    fn add_link_by(&mut self, put: Option<PutLink>, link: &Link<'_>) {
        if put.is_some() {
            self.add_link(link);
        }
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
            value => self.set_any(key, &value),
        }
    }

    #[inline(never)]
    fn set_any(&mut self, key: &str, value: &Value<'_>) {
        while !self.recording.set_whole_attribute(key, value) {
            if !self.grow() {
                return self.recording.set_attribute(key, value);
            }
        }
    }

    #[inline(never)]
    fn set_text(&mut self, key: &str, text: &str) {
        if !self.recording.add_attribute(key, &Value::String(text)) {
            self.set_any(key, &Value::String(text));
        }
    }

    #[inline(never)]
    fn set_int(&mut self, key: &str, number: i64) {
        if !self.recording.add_attribute(key, &Value::I64(number)) {
            self.set_any(key, &Value::I64(number));
        }
    }

    #[inline(never)]
    fn set_double(&mut self, key: &str, number: f64) {
        if !self.recording.add_attribute(key, &Value::F64(number)) {
            self.set_any(key, &Value::F64(number));
        }
    }

    #[inline(never)]
    fn set_bool(&mut self, key: &str, truth: bool) {
        if !self.recording.add_attribute(key, &Value::Bool(truth)) {
            self.set_any(key, &Value::Bool(truth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{PushError, Record, RecordSink};
    use crate::context::{ParentContext, TraceFlags};
    use crate::id::{RandomIdGenerator, SpanId, TraceId};
    use crate::sampler::AlwaysOn;
    use crate::test_support::TestRng;
    use crate::tracer::{Plan, SpanBuilder};
    use rand_core::Rng;
    use std::string::String;

    #[derive(Debug, Default, PartialEq)]
    struct Kept {
        body: Vec<u8>,
        dropped: [u32; 3],
        cut: u16,
    }

    impl RecordSink for Kept {
        fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
            self.body = record.body.to_vec();
            Ok(())
        }
    }

    /// A text that is usually short and sometimes longer than the memory at the start.
    fn text(rng: &mut TestRng) -> String {
        let len = match rng.next_u32() % 8 {
            0 => rng.next_u32() % 6000,
            1 => rng.next_u32() % 900,
            _ => rng.next_u32() % 60,
        };
        "x".repeat(len as usize)
    }

    fn record(recorder: &mut Recorder, seed: u64) -> Kept {
        let mut rng = TestRng::new(seed);
        let (name, first, state) = (text(&mut rng), text(&mut rng), text(&mut rng));
        let state = std::format!("a={}", &state[..state.len().min(200)]);
        let first = [KeyValue::new("first", first.as_str())];
        let ids = (TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]));
        let parent = ParentContext {
            span_context: SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED),
            trace_state: &state,
        };
        let links = [Link {
            attributes: &first,
            ..parent.span_context.into()
        }];
        let builder = SpanBuilder::new(&name).parent(parent).attributes(&first);
        let builder = match seed % 3 {
            0 => builder.links(&links),
            _ => builder,
        };
        let mut ids = RandomIdGenerator::new(TestRng::new(seed));
        let plan = Plan::new(&AlwaysOn, &mut ids, &builder);
        assert!(plan.begin(recorder, &SpanLimits::DEFAULT, &builder, Instant::ZERO));
        for _ in 0..rng.next_u32() % 30 {
            let (key, value) = (std::format!("key.{}", rng.next_u32() % 20), text(&mut rng));
            let texts = [value.as_str(), "b"];
            let list = [
                KeyValue::new(&key, value.as_str()),
                KeyValue::new("n", 1_i64),
            ];
            match rng.next_u32() % 11 {
                0 => recorder.set_attributes(&list),
                1 => recorder.add_event(&key, &list, Instant::ZERO),
                2 => recorder.record_error(&value, &list, Instant::ZERO),
                3 => recorder.set_status(Status::error(&value)),
                4 => recorder.update_name(&value),
                5 => recorder.add_link(&Link {
                    attributes: &list,
                    ..plan.context.into()
                }),
                6 => recorder.set_attribute(&key, Value::Strings(&texts)),
                7 => recorder.set_attribute(&key, Value::Bytes(value.as_bytes())),
                8 => recorder.set_attribute(&key, Value::I64(7)),
                9 => drop(reparent(recorder, &plan.context, &parent)),
                _ => recorder.set_attribute(&key, Value::String(&value)),
            }
        }
        let mut kept = Kept {
            dropped: recorder.recording.dropped(),
            cut: recorder.recording.cut(),
            ..Kept::default()
        };
        let pushed = recorder.recording.push_into(Instant::ZERO, &mut kept);
        pushed.unwrap();
        kept
    }

    #[cfg(feature = "tracing")]
    fn reparent(
        recorder: &mut Recorder,
        context: &SpanContext,
        parent: &ParentContext<'_>,
    ) -> bool {
        recorder.reparent(context, parent)
    }
    #[cfg(not(feature = "tracing"))]
    fn reparent(_: &mut Recorder, _: &SpanContext, _: &ParentContext<'_>) -> bool {
        false
    }

    #[test]
    fn x101_a_recorder_that_grows_records_what_a_large_one_does() {
        for max in [MIN_SCRATCH_BYTES, START / 2, START, 1500, 4000, 16 * 1024] {
            let (mut grown, mut cut) = (0, 0);
            for seed in 0..300 {
                let mut small = Recorder::new(max, 1, no_owner());
                let mut large = Recorder::new(max, 1, no_owner());
                large.recording.scratch = vec![0; max].into_boxed_slice();
                let expected = record(&mut large, seed);
                assert_eq!(record(&mut small, seed), expected, "max {max}, seed {seed}");
                assert!(small.bytes() <= max);
                grown += usize::from(small.is_large());
                cut += usize::from(expected.cut > 0);
            }
            assert_eq!(grown > 50, max > START, "{grown} of 300 with {max}");
            assert!(grown < 300 && cut > 50, "{grown}, {cut}");
        }
    }
}
