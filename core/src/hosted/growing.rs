//! A recording in memory that grows with its span.
//!
//! Most spans take some hundred bytes, and few come near the most that one may take. So a recording
//! starts small. What does not fit whole is tried again in more memory, up to that most; only there
//! is anything cut or left out, by the same rule as if all the memory had been there from the start.

use core::fmt;
use core::ops::{Deref, DerefMut};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use crate::attribute::{KeyValue, Value};
use crate::context::Link;
#[cfg(feature = "tracing")]
use crate::context::{ParentContext, SpanContext};
use crate::span::{Begin, Beginning, PutLink, Recording, Status};
use crate::time::Instant;

/// The memory of a span at its start.
const START: usize = 1024;
/// Name and tracestate of together as many bytes fit whole into a recording that has not grown.
const SHORT: usize = 400;
/// More than a span takes at its start beside its texts, and what it holds back.
const FRAME: usize = 128;

/// A recording on a host. What may need more memory is a method here; the rest is [`Recording`]'s.
#[derive(Debug)]
pub(super) struct GrowingRecording {
    recording: Recording<Box<[u8]>>,
    /// The most bytes.
    max: u32,
}

impl Deref for GrowingRecording {
    type Target = Recording<Box<[u8]>>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.recording
    }
}

impl DerefMut for GrowingRecording {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.recording
    }
}

impl GrowingRecording {
    /// Memory for a span of at most `max` bytes.
    pub(in crate::hosted) fn new(max: usize) -> Self {
        Self {
            recording: Recording::idle(vec![0; max.min(START)].into_boxed_slice()),
            max: u32::try_from(max).unwrap_or(u32::MAX),
        }
    }

    /// The most bytes of the span.
    pub(in crate::hosted) const fn max_bytes(&self) -> usize {
        self.max as usize
    }

    /// Returns true if it has grown.
    #[inline(always)]
    pub(in crate::hosted) fn is_large(&self) -> bool {
        self.recording.capacity() > START
    }

    /// Doubles the memory. Returns false if it is as large as it may be, or if there is no more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let bytes = self.recording.capacity();
        let size = (2 * bytes).min(self.max as usize);
        let mut new = Vec::new();
        if size <= bytes || new.try_reserve_exact(size).is_err() {
            return false;
        }
        new.resize(size, 0);
        self.recording.grow(new.into_boxed_slice());
        true
    }

    #[cold]
    #[inline(never)]
    fn grow_for(&mut self, needed: usize) {
        while self.recording.capacity() < needed && self.grow() {}
    }

    pub(in crate::hosted) fn add_event(
        &mut self,
        name: &str,
        attributes: &[KeyValue<'_>],
        at: Instant,
    ) {
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

    pub(in crate::hosted) fn add_link(&mut self, link: &Link<'_>) {
        while !self.recording.add_whole_link(link) {
            if !self.grow() {
                return self.recording.add_link(link);
            }
        }
    }

    pub(in crate::hosted) fn record_error<E: fmt::Display + ?Sized>(
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

    pub(in crate::hosted) fn set_status(&mut self, status: Status<'_>) {
        if let Status::Error { description } = status {
            while !self.recording.takes_description(description) && self.grow() {}
        }
        self.recording.set_status(status);
    }

    pub(in crate::hosted) fn update_name(&mut self, name: &str) {
        while !self.recording.takes_name(name) && self.grow() {}
        self.recording.update_name(name);
    }

    /// Moves the span into another trace; see [`Recording::reparent`].
    #[cfg(feature = "tracing")]
    pub(in crate::hosted) fn reparent(
        &mut self,
        context: &SpanContext,
        parent: &ParentContext<'_>,
    ) -> bool {
        self.grow_for(self.recording.used() + FRAME + parent.trace_state.len());
        self.recording.reparent(context, parent)
    }

    /// Takes over all that `other`, a recording of the same span, holds.
    pub(in crate::hosted) fn absorb(&mut self, other: &Recording<Box<[u8]>>) {
        let (used, more) = (self.recording.used(), other.used());
        self.grow_for(room_for(used + 2 * more));
        self.recording.absorb(other);
    }

    pub(in crate::hosted) fn set_attribute(&mut self, key: &str, value: &Value<'_>) {
        while !self.recording.set_whole_attribute(key, value) {
            if !self.grow() {
                return self.recording.set_attribute(key, value);
            }
        }
    }
}

/// Memory in which texts take `bytes` bytes, if each takes at most half of what is free of fifteen
/// sixteenths.
const fn room_for(bytes: usize) -> usize {
    bytes.saturating_add(FRAME) / 15 * 16 + 16
}

impl Begin for GrowingRecording {
    #[inline(always)]
    fn begin(&mut self, beginning: &Beginning<'_>) -> bool {
        let texts = beginning.name.len() + beginning.trace_state.len();
        if texts > SHORT {
            self.grow_for(room_for(texts.saturating_mul(2)));
        }
        self.recording.begin(beginning)
    }

    fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        for attribute in attributes {
            self.set_attribute(attribute.key, &attribute.value);
        }
    }

    #[inline]
    fn add_link_by(&mut self, put: Option<PutLink>, link: &Link<'_>) {
        if put.is_some() {
            self.add_link(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{PushError, Record, RecordSink};
    use crate::context::{ParentContext, SpanContext, TraceFlags};
    use crate::id::{RandomIdGenerator, SpanId, TraceId};
    use crate::limits::SpanLimits;
    use crate::sampler::{AlwaysOn, SamplingScratch};
    use crate::span::MIN_SCRATCH_BYTES;
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

    fn record(recording: &mut GrowingRecording, seed: u64) -> Kept {
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
        let memory = SamplingScratch::new();
        let plan = Plan::new(&AlwaysOn, &mut ids, &builder, None, &memory);
        assert!(plan.begin(recording, &SpanLimits::DEFAULT, &builder, Instant::ZERO));
        for _ in 0..rng.next_u32() % 30 {
            let (key, value) = (std::format!("key.{}", rng.next_u32() % 20), text(&mut rng));
            let texts = [value.as_str(), "b"];
            let list = [
                KeyValue::new(&key, value.as_str()),
                KeyValue::new("n", 1_i64),
            ];
            match rng.next_u32() % 11 {
                0 => recording.set_attributes(&list),
                1 => recording.add_event(&key, &list, Instant::ZERO),
                2 => recording.record_error(&value, &list, Instant::ZERO),
                3 => recording.set_status(Status::error(&value)),
                4 => recording.update_name(&value),
                5 => recording.add_link(&Link {
                    attributes: &list,
                    ..plan.context.into()
                }),
                6 => recording.set_attribute(&key, &Value::Strings(&texts)),
                7 => recording.set_attribute(&key, &Value::Bytes(value.as_bytes())),
                8 => recording.set_attribute(&key, &Value::I64(7)),
                9 => drop(reparent(recording, &plan.context, &parent)),
                _ => recording.set_attribute(&key, &Value::String(&value)),
            }
        }
        let mut kept = Kept {
            dropped: recording.dropped(),
            cut: recording.cut(),
            ..Kept::default()
        };
        let pushed = recording.push_into(Instant::ZERO, &mut kept);
        pushed.unwrap();
        kept
    }

    #[cfg(feature = "tracing")]
    fn reparent(
        recording: &mut GrowingRecording,
        context: &SpanContext,
        parent: &ParentContext<'_>,
    ) -> bool {
        recording.reparent(context, parent)
    }
    #[cfg(not(feature = "tracing"))]
    fn reparent(_: &mut GrowingRecording, _: &SpanContext, _: &ParentContext<'_>) -> bool {
        false
    }

    #[test]
    fn x101_a_recorder_that_grows_records_what_a_large_one_does() {
        for max in [MIN_SCRATCH_BYTES, START / 2, START, 1500, 4000, 16 * 1024] {
            let (mut grown, mut cut) = (0, 0);
            for seed in 0..300 {
                let mut small = GrowingRecording::new(max);
                let mut large = GrowingRecording::new(max);
                large.recording = Recording::idle(vec![0; max].into_boxed_slice());
                let expected = record(&mut large, seed);
                assert_eq!(record(&mut small, seed), expected, "max {max}, seed {seed}");
                assert!(small.capacity() <= max);
                grown += usize::from(small.is_large());
                cut += usize::from(expected.cut > 0);
            }
            assert_eq!(grown > 50, max > START, "{grown} of 300 with {max}");
            assert!(grown < 300 && cut > 50, "{grown}, {cut}");
        }
    }
}
