//! A span that is being recorded: its bytes, and the log of what they hold.
//!
//! It is separate from the span's context, which most calls do not go beyond, so its owner decides
//! where it lives: inside the span on a device, in a pooled box that never moves on a host. To move
//! it costs more than the copy of the record.

use super::Status;
use super::beginning::Beginning;
use super::log::Log;
use crate::attribute::{KeyValue, Value};
use crate::buffer::{PushError, Record, RecordFlags, RecordSink};
use crate::context::Link;
#[cfg(feature = "tracing")]
use crate::context::{ParentContext, SpanContext, SpanKind};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::time::Instant;

/// The content of a recording span, or of one that only carries a tracestate.
#[derive(Debug)]
pub(crate) struct Recording<B> {
    scope: ScopeId,
    /// If false, only a tracestate is carried.
    is_recording: bool,
    /// If true, the record is exported at the end.
    is_sampled: bool,
    pub(super) log: Log,
    scratch: B,
}

/// The function that writes a link.
pub(crate) type PutLink = fn(&mut Log, &mut [u8], &Link<'_>);

/// Memory in which a span begins.
pub(crate) trait Begin {
    /// Begins a span, whatever was here before. Returns false, and stays idle, if there is too little
    /// memory to record anything.
    fn begin(&mut self, beginning: &Beginning<'_>) -> bool;

    fn set_attributes(&mut self, attributes: &[KeyValue<'_>]);

    /// Writes a link by `put`, which is [`Log::add_link`] or nothing.
    fn add_link_by(&mut self, put: Option<PutLink>, link: &Link<'_>);
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Begin for Recording<B> {
    #[inline(always)]
    fn begin(&mut self, beginning: &Beginning<'_>) -> bool {
        let begun = self.log.begin(self.scratch.as_mut(), beginning);
        self.scope = beginning.scope;
        self.is_recording = begun && beginning.is_recording;
        self.is_sampled = begun && beginning.context.is_sampled();
        begun
    }

    fn set_attributes(&mut self, attributes: &[KeyValue<'_>]) {
        if let Some((bytes, log)) = self.recorder() {
            for attribute in attributes {
                log.set_attribute(bytes, attribute.key, &attribute.value);
            }
        }
    }

    #[inline]
    fn add_link_by(&mut self, put: Option<PutLink>, link: &Link<'_>) {
        if let (Some(put), Some((bytes, log))) = (put, self.recorder()) {
            put(log, bytes, link);
        }
    }
}

impl<B> Recording<B> {
    /// Memory for a span that has not begun; it ignores whatever is set.
    #[inline]
    pub(crate) const fn idle(scratch: B) -> Self {
        Self {
            scope: ScopeId(0),
            is_recording: false,
            is_sampled: false,
            log: Log::new(&SpanLimits::DEFAULT),
            scratch,
        }
    }

    /// Forgets what was recorded.
    #[inline]
    pub(crate) const fn clear(&mut self) {
        self.is_recording = false;
        self.is_sampled = false;
        self.log = Log::new(&SpanLimits::DEFAULT);
    }

    pub(crate) fn into_scratch(self) -> B {
        self.scratch
    }

    pub(crate) const fn is_recording(&self) -> bool {
        self.is_recording
    }

    pub(crate) const fn dropped(&self) -> [u32; 3] {
        self.log.dropped()
    }

    /// Returns true if the record is exported at the end.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// Returns true if something was cut or left out.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.log.is_incomplete()
    }

    /// The number of items that were cut.
    pub(crate) const fn cut(&self) -> u16 {
        self.log.cut()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Recording<B> {
    #[inline]
    pub(crate) fn set_attribute(&mut self, key: &str, value: &Value<'_>) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_attribute(bytes, key, value);
        }
    }

    /// As [`Self::set_attribute`]. Returns false, without a change, if the attribute would have to be
    /// cut or left out for lack of memory.
    #[cfg(feature = "std")]
    pub(crate) fn set_whole_attribute(&mut self, key: &str, value: &Value<'_>) -> bool {
        self.recorder()
            .is_none_or(|(bytes, log)| log.set_whole_attribute(bytes, key, value))
    }

    pub(crate) fn add_event(&mut self, name: &str, attributes: &[KeyValue<'_>], now: Instant) {
        if let Some((bytes, log)) = self.recorder() {
            log.add_event(bytes, name, attributes, now);
        }
    }

    /// As [`Self::add_event`]. Returns false, without a change, if the event would have to be cut or
    /// left out for lack of memory.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn add_whole_event(
        &mut self,
        name: &str,
        attributes: &[KeyValue<'_>],
        now: Instant,
    ) -> bool {
        self.recorder()
            .is_none_or(|(bytes, log)| log.add_whole_event(bytes, name, attributes, now))
    }

    /// As [`Self::add_link`]. Returns false, without a change, if the link would have to be cut or
    /// left out for lack of memory.
    #[cfg(feature = "std")]
    pub(crate) fn add_whole_link(&mut self, link: &Link<'_>) -> bool {
        self.recorder()
            .is_none_or(|(bytes, log)| log.add_whole_link(bytes, link))
    }

    pub(crate) fn add_link(&mut self, link: &Link<'_>) {
        if let Some((bytes, log)) = self.recorder() {
            log.add_link(bytes, link);
        }
    }

    pub(crate) fn set_status(&mut self, status: Status<'_>) {
        if let Some((bytes, log)) = self.recorder() {
            match status {
                Status::Unset => {}
                Status::Ok => log.set_status(bytes, 1, ""),
                Status::Error { description } => log.set_status(bytes, 2, description),
            }
        }
    }

    /// Returns true if the description of an error would not be cut.
    #[cfg(feature = "std")]
    pub(crate) fn takes_description(&mut self, description: &str) -> bool {
        self.recorder()
            .is_none_or(|(bytes, log)| log.takes_description(bytes, description))
    }

    /// Returns true if `name` would not be cut.
    #[cfg(feature = "std")]
    pub(crate) fn takes_name(&mut self, name: &str) -> bool {
        self.recorder()
            .is_none_or(|(bytes, log)| log.takes_name(bytes, name))
    }

    pub(crate) fn update_name(&mut self, name: &str) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_name(bytes, name);
        }
    }

    /// Completes the record and hands it to `sink`, if it is sampled. The recording is idle
    /// afterwards.
    #[inline(always)]
    pub(crate) fn push_into(
        &mut self,
        now: Instant,
        sink: &mut impl RecordSink,
    ) -> Result<(), PushError> {
        self.is_recording = false;
        if !core::mem::take(&mut self.is_sampled) {
            return Ok(());
        }
        let (len, flags): (usize, RecordFlags) = self.log.end(self.scratch.as_mut(), now);
        sink.push_record(&Record {
            scope: self.scope,
            flags,
            body: self.scratch.as_ref().get(..len).unwrap_or_default(),
        })
    }

    /// What is recorded so far, as a record. The end is zero before [`Self::set_end`].
    #[cfg(feature = "std")]
    pub(crate) fn so_far(&self) -> Record<'_> {
        Record {
            scope: self.scope,
            flags: RecordFlags::NONE,
            body: self.log.written(self.scratch.as_ref()),
        }
    }

    /// Takes over all that `other`, a recording of the same span, holds.
    #[cfg(feature = "std")]
    pub(crate) fn absorb(&mut self, other: &Self) {
        if let Some((bytes, log)) = self.recorder() {
            log.absorb(bytes, &other.log, other.scratch.as_ref());
        }
    }

    /// Goes on in `scratch`, which is larger.
    #[cfg(feature = "std")]
    pub(crate) fn grow(&mut self, mut scratch: B) {
        let written = self.log.written(self.scratch.as_ref());
        if let Some(target) = scratch.as_mut().get_mut(..written.len()) {
            target.copy_from_slice(written);
            self.scratch = scratch;
        }
    }

    /// Sets the end for those who look at the span before it is completed.
    #[cfg(feature = "std")]
    pub(crate) fn set_end(&mut self, now: Instant) {
        if let Some((bytes, _)) = self.recorder() {
            super::log::set_end(bytes, now);
        }
    }

    /// Completes the record, sampled or not. The recording takes nothing more, and is to be
    /// [cleared](Self::clear).
    #[cfg(feature = "std")]
    pub(crate) fn complete(&mut self, now: Instant) -> Record<'_> {
        self.is_recording = false;
        let (len, flags) = self.log.end(self.scratch.as_mut(), now);
        Record {
            scope: self.scope,
            flags,
            body: self.scratch.as_ref().get(..len).unwrap_or_default(),
        }
    }

    /// The bytes in use.
    #[cfg(feature = "std")]
    pub(crate) const fn used(&self) -> usize {
        self.log.used()
    }

    /// The bytes of the scratch.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        self.scratch.as_ref().len()
    }

    /// The name of the span, for reports.
    #[cfg(feature = "std")]
    pub(crate) fn name(&self) -> &str {
        self.log.name(self.scratch.as_ref())
    }

    /// Returns true for attributes, events and links if there are as many as their limit allows.
    #[cfg(feature = "std")]
    pub(crate) const fn limits_reached(&self) -> [bool; 3] {
        self.log.limits_reached()
    }

    pub(crate) fn trace_state(&self) -> &str {
        self.log.trace_state(self.scratch.as_ref())
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn set_kind(&mut self, kind: SpanKind) {
        if let Some((bytes, log)) = self.recorder() {
            log.set_kind(bytes, kind);
        }
    }

    /// Moves the span, with all that it recorded, into the trace of `context` and under `parent`.
    /// Returns false if there was no room for that. Its ids must not be in use yet.
    #[cfg(feature = "tracing")]
    pub(crate) fn reparent(&mut self, context: &SpanContext, parent: &ParentContext<'_>) -> bool {
        let moved = self.log.reparent(self.scratch.as_mut(), context, parent);
        if moved {
            self.is_sampled = context.is_sampled();
        }
        moved
    }

    /// The scratch and its log, if what is set is kept.
    #[inline]
    pub(crate) fn recorder(&mut self) -> Option<(&mut [u8], &mut Log)> {
        if !self.is_recording {
            return None;
        }
        Some((self.scratch.as_mut(), &mut self.log))
    }
}
