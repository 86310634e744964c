//! The bytes of a span that is being recorded: a log of protobuf fields in the caller's scratch.
//!
//! Every call appends one whole field behind the fixed start, or changes nothing and counts the
//! item as dropped. A field that is set again (name, status, an attribute of the same key) is
//! replaced in place. Room for the dropped counts and a status code is held back, so the end of a
//! span always fits. Long texts are cut by the rule in [`fit`], so that small items fit, too.

#[cfg(feature = "std")]
mod absorb;
mod fit;
mod items;
mod list;
#[cfg(feature = "tracing")]
mod reparent;
#[cfg(feature = "std")]
mod whole;

use fit::is_too_long;
pub(super) use fit::{Cut, search};
pub(super) use items::exception_len;
pub(super) use list::AttributeList;

use super::beginning::Beginning;
use crate::attribute::{Value, ValueLimits};
use crate::buffer::RecordFlags;
use crate::context::SpanContext;
use crate::limits::SpanLimits;
use crate::span::stored::{self, FIXED_LEN, length_prefixed};
use crate::time::Instant;
use crate::wire::{
    BYTES, Writer, copy_id, copy_short, field_len, key_value_len, move_within, nonempty_len,
    nonzero_len, put_key_value, put_short_attribute, short_attribute_len, slot, tag,
};

const TRACE_STATE: u8 = 3;
const PARENT: u8 = 4;
const NAME: u8 = 5;
const ATTRIBUTE: u8 = 9;
const EVENT: u8 = 11;
const LINK: u8 = 13;
const STATUS: u8 = 15;

/// Three dropped counts of six bytes at most.
const COUNTS_RESERVE: usize = 18;
/// A status without a description.
const STATUS_RESERVE: usize = 4;
const PARENT_LEN: usize = 10;
/// The most bytes of a tracestate that W3C asks to carry.
const MAX_TRACE_STATE: usize = 512;

/// The least scratch that a span can be recorded in: its fixed part, the reserves, and 10 bytes of
/// name.
pub const MIN_SCRATCH_BYTES: usize = FIXED_LEN + PARENT_LEN + 12 + STATUS_RESERVE + COUNTS_RESERVE;

/// The state of a recording span without its bytes.
///
/// In this order no more than 16 bytes in a row start as zeros, which small processors store at
/// once. For more the compiler calls a routine of 40 instructions.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Log {
    dropped_attributes: u32,
    dropped_events: u32,
    /// The number of links that were dropped, and in the upper half the number of items whose texts
    /// or arrays were cut. As two fields they would have the compiler build a log elsewhere and copy
    /// it.
    links_and_cuts: u32,
    limits: SpanLimits,
    len: usize,
    /// A Bloom filter of the attribute keys: a clear bit proves that a key is new.
    keys: usize,
    attributes: u16,
    events: u16,
    links: u16,
    status: u8,
    /// Bits, clear for nearly all spans: [`HAS_TRACE_STATE`] saves a search, [`INCOMPLETE`] the
    /// counts.
    facts: u8,
}

/// A tracestate is written.
const HAS_TRACE_STATE: u8 = 1;
/// Something was cut or left out.
const INCOMPLETE: u8 = 2;

/// Status codes as OTLP numbers them.
const UNSET: u8 = 0;
const OK: u8 = 1;
const ERROR: u8 = 2;

impl Log {
    /// Two bits of the filter. With names of the semantic conventions, spans of four attributes need a
    /// search a quarter as often as with one bit, spans of ten less than half as often.
    #[inline]
    pub(crate) fn key_bits(key: &str) -> usize {
        let key = key.as_bytes();
        let middle = key.get(key.len() / 2).copied().unwrap_or(0);
        let last = key.last().copied().unwrap_or(0);
        let seen = key.len() as u32 | u32::from(middle) << 8 | u32::from(last) << 16;
        // The highest bits of a product depend on all of its factor's.
        let hash = seen.wrapping_mul(0x9e37_79b9);
        1 << ((hash >> 26) % usize::BITS) | 1 << ((hash >> 20) % usize::BITS)
    }

    /// A log of nothing.
    #[inline]
    pub(super) const fn new(limits: &SpanLimits) -> Self {
        Self {
            len: 0,
            limits: *limits,
            keys: 0,
            attributes: 0,
            events: 0,
            links: 0,
            status: UNSET,
            facts: 0,
            dropped_attributes: 0,
            dropped_events: 0,
            links_and_cuts: 0,
        }
    }

    /// Makes this a log of nothing, field by field, so that nothing is built elsewhere and copied.
    #[inline(always)]
    const fn reset(&mut self, limits: &SpanLimits) {
        self.dropped_attributes = 0;
        self.dropped_events = 0;
        self.links_and_cuts = 0;
        self.limits = *limits;
        self.len = 0;
        self.keys = 0;
        self.attributes = 0;
        self.events = 0;
        self.links = 0;
        self.status = UNSET;
        self.facts = 0;
    }

    /// Writes the start of a span. Returns false, with an empty log, if the scratch is below
    /// [`MIN_SCRATCH_BYTES`].
    #[inline(always)]
    pub(super) fn begin(&mut self, bytes: &mut [u8], with: &Beginning<'_>) -> bool {
        self.reset(with.limits);
        if bytes.len() < MIN_SCRATCH_BYTES {
            return false;
        }
        let (context, parent) = (with.context, with.parent);
        let flags = u32::from(context.trace_flags().known().bits())
            | remote_flags(parent.is_some_and(SpanContext::is_remote));
        // Constant places in an array: plain stores, without a check or a call.
        let Some(fixed) = bytes.first_chunk_mut::<FIXED_LEN>() else {
            return false;
        };
        *fixed = stored::TEMPLATE;
        if let Some(id) = fixed[stored::TRACE_ID..].first_chunk_mut() {
            copy_id(id, context.trace_id().as_bytes());
        }
        fixed[stored::SPAN_ID..stored::SPAN_ID + 8].copy_from_slice(context.span_id().as_bytes());
        fixed[stored::START..stored::START + 8]
            .copy_from_slice(&with.start.as_nanos().to_le_bytes());
        fixed[stored::FLAGS..stored::FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
        fixed[stored::KIND] = with.kind as u8;
        self.len = FIXED_LEN;
        if let Some(parent) = parent {
            let field = bytes
                .get_mut(FIXED_LEN..)
                .and_then(<[u8]>::first_chunk_mut::<PARENT_LEN>);
            if let Some(field) = field {
                field[0] = tag(PARENT, BYTES);
                field[1] = 8;
                field[2..].copy_from_slice(parent.span_id().as_bytes());
                self.len += PARENT_LEN;
            }
        }
        if !with.trace_state.is_empty() {
            let inherited = parent.map_or("", |_| with.inherited_state);
            self.put_trace_state(bytes, with.trace_state, inherited);
        }
        self.put_name(bytes, with.name);
        true
    }

    /// Writes `state`, or `inherited` if it is not valid: a sampler or a propagator of the program may
    /// give any text. Leaves out a tracestate that would leave no room for a name.
    #[inline(never)]
    fn put_trace_state(&mut self, bytes: &mut [u8], state: &str, inherited: &str) {
        let mut states = [state, inherited].into_iter();
        let Some(state) = states.find(|state| is_valid_trace_state(state)) else {
            return;
        };
        let state = state.as_bytes();
        if self.room(bytes) >= field_len(state.len()) + field_len(10) {
            self.append(bytes, field_len(state.len()), |w| {
                w.put_bytes_field(TRACE_STATE, state);
            });
            self.facts |= HAS_TRACE_STATE;
        }
    }

    #[inline(always)]
    fn put_name(&mut self, bytes: &mut [u8], name: &str) {
        let len = name.len();
        let end = self.len + 2 + len;
        if len < 0x80 && end + self.reserve() <= bytes.len() {
            let target = bytes.get_mut(self.len..end).unwrap_or_default();
            if let Some((start, rest)) = target.split_first_chunk_mut::<2>() {
                *start = [tag(NAME, BYTES), len as u8];
                copy_short(rest, name.as_bytes());
                self.len = end;
            }
            return;
        }
        self.put_long_name(bytes, name);
    }

    #[inline(never)]
    fn put_long_name(&mut self, bytes: &mut [u8], name: &str) {
        let name = self.name_for(bytes, name, 0).as_bytes();
        self.append(bytes, field_len(name.len()), |w| {
            w.put_bytes_field(NAME, name);
        });
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn set_attribute(&mut self, bytes: &mut [u8], key: &str, value: &Value<'_>) {
        if key.is_empty() {
            return;
        }
        let bits = Self::key_bits(key);
        if self.add_short(bytes, key, value, bits).is_none() {
            self.set_any(bytes, key, value, bits);
        }
    }

    /// The common case: a key that is certainly new, a value whose lengths take one byte each, and
    /// room for it. In all other cases `None`, and no change.
    #[inline(always)]
    pub(crate) fn add_short(
        &mut self,
        bytes: &mut [u8],
        key: &str,
        value: &Value<'_>,
        bits: usize,
    ) -> Option<()> {
        if self.keys & bits == bits || self.attributes >= self.limits.attribute_count {
            return None;
        }
        let len = short_attribute_len(key, value, self.limits.value)?;
        let room = bytes.get_mut(self.len..)?;
        // As if there was no status yet; the general way may still find room.
        if len + COUNTS_RESERVE + STATUS_RESERVE > room.len() {
            return None;
        }
        let target = room.get_mut(..len)?;
        // Before the write, so that no register has to hold it meanwhile.
        self.len += len;
        self.keys |= bits;
        self.attributes += 1;
        put_short_attribute(target, ATTRIBUTE, key, value);
        Some(())
    }

    #[inline(never)]
    fn set_any(&mut self, bytes: &mut [u8], key: &str, value: &Value<'_>, bits: usize) {
        let limits = self.limits.value;
        let Err(share) = self.put_any(bytes, key, value, bits, limits) else {
            return;
        };
        let put = share
            .and_then(|share| fit::shortened(key, value, limits, share))
            .and_then(|(value, limits)| self.put_any(bytes, key, &value, bits, limits).ok());
        match put {
            Some(()) => self.count_cut(),
            None => self.drop_attribute(),
        }
    }

    /// Puts an attribute if it fits whole. The error, without a change, is the most bytes to which
    /// it may be cut, or `None` if there are too many attributes.
    #[inline(never)]
    fn put_any(
        &mut self,
        bytes: &mut [u8],
        key: &str,
        value: &Value<'_>,
        bits: usize,
        limits: ValueLimits,
    ) -> Result<(), Option<usize>> {
        let old = if self.keys & bits != bits {
            None
        } else {
            self.find(bytes, ATTRIBUTE, key.as_bytes())
        };
        if old.is_none() && self.attributes >= self.limits.attribute_count {
            return Err(None);
        }
        let (at, old_len) = old.unwrap_or((self.len, 0));
        let content = key_value_len(key, value, limits);
        let len = field_len(content);
        let share = self.fit(bytes, old_len).share();
        if is_too_long(len, share) {
            return Err(Some(share));
        }
        let reserve = self.reserve();
        let target = self
            .splice(bytes, at, old_len, len, reserve)
            .ok_or(Some(share))?;
        self.keys |= bits;
        if old.is_none() {
            self.attributes += 1;
        }
        let mut writer = Writer::new(target);
        writer.put_header(ATTRIBUTE, content);
        put_key_value(&mut writer, key, value, limits);
        Ok(())
    }

    fn drop_attribute(&mut self) {
        self.facts |= INCOMPLETE;
        self.dropped_attributes = self.dropped_attributes.saturating_add(1);
    }

    pub(super) fn set_name(&mut self, bytes: &mut [u8], name: &str) {
        let Some((at, old_len)) = self.find(bytes, NAME, b"") else {
            return;
        };
        let name = self.name_for(bytes, name, old_len).as_bytes();
        let len = field_len(name.len());
        if let Some(target) = self.splice(bytes, at, old_len, len, self.reserve()) {
            Writer::new(target).put_bytes_field(NAME, name);
        }
    }

    /// Returns true if a status is set.
    #[cfg(feature = "std")]
    pub(crate) const fn has_status(&self) -> bool {
        self.status != UNSET
    }

    /// Sets a status by the total order; the description is cut by the rule for long texts.
    pub(super) fn set_status(&mut self, bytes: &mut [u8], code: u8, description: &str) {
        if code == UNSET || self.status == OK {
            return;
        }
        let (at, old_len) = match self.status {
            UNSET => (self.len, 0),
            _ => self.find(bytes, STATUS, b"").unwrap_or((self.len, 0)),
        };
        let description = self.description_for(bytes, description, old_len).as_bytes();
        let content = nonempty_len(description.len()) + 2;
        let Some(target) = self.splice(bytes, at, old_len, field_len(content), COUNTS_RESERVE)
        else {
            return;
        };
        let mut writer = Writer::new(target);
        writer.put_header(STATUS, content);
        writer.put_nonempty(2, description);
        writer.put_nonzero(3, u64::from(code));
        self.status = code;
    }

    /// The bytes written so far.
    #[cfg(feature = "std")]
    pub(super) fn written<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(..self.len).unwrap_or_default()
    }

    /// Completes the record with the end time and the dropped counts, and returns its length and
    /// flags. An end before the start is moved to the start.
    #[inline(always)]
    pub(super) fn end(&mut self, bytes: &mut [u8], end: Instant) -> (usize, RecordFlags) {
        set_end(bytes, end);
        if self.facts & INCOMPLETE != 0 {
            let counts = [
                (10, self.dropped_attributes),
                (12, self.dropped_events),
                (14, self.dropped_links().into()),
            ];
            let len: usize = counts.iter().map(|(_, n)| nonzero_len(u64::from(*n))).sum();
            let at = self.len;
            if let Some(target) = self.splice(bytes, at, 0, len, 0) {
                let mut writer = Writer::new(target);
                for (field, count) in counts {
                    writer.put_nonzero(field, u64::from(count));
                }
            }
        }
        let mut flags = RecordFlags::NONE;
        if self.events > 0 {
            flags = flags.with(RecordFlags::HAS_EVENTS);
        }
        if self.status == ERROR {
            flags = flags.with(RecordFlags::ERROR);
        }
        (self.len, flags)
    }

    /// The bytes in use.
    #[cfg(feature = "std")]
    pub(super) const fn used(&self) -> usize {
        self.len
    }

    pub(super) const fn limits(&self) -> &SpanLimits {
        &self.limits
    }

    /// The number of items that were cut.
    pub(super) const fn cut(&self) -> u16 {
        (self.links_and_cuts >> 16) as u16
    }

    const fn dropped_links(&self) -> u16 {
        self.links_and_cuts as u16
    }

    /// Returns true if anything was cut or left out.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.facts & INCOMPLETE != 0
    }

    /// The numbers of attributes, events and links that were left out.
    pub(super) const fn dropped(&self) -> [u32; 3] {
        [
            self.dropped_attributes,
            self.dropped_events,
            self.dropped_links() as u32,
        ]
    }

    /// The tracestate text that the span carries.
    #[inline]
    pub(super) fn trace_state<'b>(&self, bytes: &'b [u8]) -> &'b str {
        match self.facts & HAS_TRACE_STATE {
            0 => "",
            _ => self.find_trace_state(bytes),
        }
    }

    #[cfg(feature = "std")]
    pub(super) fn name<'b>(&self, bytes: &'b [u8]) -> &'b str {
        self.find_text(bytes, NAME)
    }

    /// Returns true for attributes, events and links if there are as many as their limit allows.
    #[cfg(feature = "std")]
    pub(super) const fn limits_reached(&self) -> [bool; 3] {
        [
            self.attributes >= self.limits.attribute_count,
            self.events >= self.limits.event_count,
            self.links >= self.limits.link_count,
        ]
    }

    #[inline(never)]
    fn find_trace_state<'b>(&self, bytes: &'b [u8]) -> &'b str {
        self.find_text(bytes, TRACE_STATE)
    }

    fn find_text<'b>(&self, bytes: &'b [u8], field: u8) -> &'b str {
        self.find(bytes, field, b"")
            .and_then(|(at, len)| bytes.get(at..at + len))
            .and_then(|field| field.get(length_prefixed(field)?.1..))
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or_default()
    }

    /// Bytes held back for the dropped counts and, until there is a status, for its code. The text
    /// of a status may use all the rest.
    const fn reserve(&self) -> usize {
        if self.status == UNSET {
            COUNTS_RESERVE + STATUS_RESERVE
        } else {
            COUNTS_RESERVE
        }
    }

    /// Bytes left for one more field.
    fn room(&self, bytes: &[u8]) -> usize {
        bytes.len().saturating_sub(self.len + self.reserve())
    }

    fn append(&mut self, bytes: &mut [u8], len: usize, put: impl FnOnce(&mut Writer<'_>)) {
        let at = self.len;
        if let Some(target) = self.splice(bytes, at, 0, len, self.reserve()) {
            put(&mut Writer::new(target));
        }
    }

    /// Room for a length-prefixed field of `content` bytes; `None` leaves everything as it was.
    fn claim<'b>(&mut self, bytes: &'b mut [u8], content: usize) -> Option<Writer<'b>> {
        let at = self.len;
        let target = self.splice(bytes, at, 0, field_len(content), self.reserve())?;
        Some(Writer::new(target))
    }

    /// Resizes the `old_len` bytes at `at` to `new_len`, moves the bytes behind them, and returns
    /// the new ones to be written. `None`, and no change, if less than `reserve` would stay free.
    #[inline]
    fn splice<'b>(
        &mut self,
        bytes: &'b mut [u8],
        at: usize,
        old_len: usize,
        new_len: usize,
        reserve: usize,
    ) -> Option<&'b mut [u8]> {
        let new_total = self.len - old_len + new_len;
        if new_total > bytes.len().saturating_sub(reserve) {
            return None;
        }
        if at + old_len < self.len && old_len != new_len {
            let moved = at + old_len;
            move_within(bytes, moved, self.len - moved, at + new_len);
        }
        self.len = new_total;
        bytes.get_mut(at..at + new_len)
    }

    /// The offset and length of the first field `field` behind the fixed start whose content begins
    /// with the text field 1 `key`; of any content if `key` is empty.
    fn find(&self, bytes: &[u8], field: u8, key: &[u8]) -> Option<(usize, usize)> {
        let wanted = tag(field, BYTES);
        let mut at = FIXED_LEN;
        while at < self.len {
            let rest = bytes.get(at..self.len)?;
            let (tag_byte, content, len) = length_prefixed(rest)?;
            if tag_byte == wanted && (key.is_empty() || has_key(rest.get(content..len)?, key)) {
                return Some((at, len));
            }
            at += len;
        }
        None
    }
}

/// Sets the end of a span; one before the start is moved to the start.
#[inline(always)]
pub(super) fn set_end(bytes: &mut [u8], end: Instant) {
    let start = bytes
        .get(stored::START..)
        .and_then(<[u8]>::first_chunk::<8>)
        .map_or(0, |b| u64::from_le_bytes(*b));
    let end = end.as_nanos().max(start);
    if let Some(target) = slot(bytes, stored::END, 8) {
        target.copy_from_slice(&end.to_le_bytes());
    }
}

/// Returns true if the content of a `KeyValue` has this key.
#[inline]
fn has_key(content: &[u8], key: &[u8]) -> bool {
    length_prefixed(content).is_some_and(|(_, start, end)| content.get(start..end) == Some(key))
}

/// OTLP's flag bits 8 and 9: "is remote" is known, and its value.
fn remote_flags(is_remote: bool) -> u32 {
    if is_remote { 0x300 } else { 0x100 }
}

/// Returns true if `state` may be exported and propagated. Devices, where the full check would take
/// flash, look at length and characters; a propagator checks the rest.
fn is_valid_trace_state(state: &str) -> bool {
    let is_harmless = (1..=MAX_TRACE_STATE).contains(&state.len())
        && state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_harmless && (cfg!(target_os = "none") || crate::context::is_trace_state(state))
}
