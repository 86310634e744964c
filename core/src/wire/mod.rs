//! The protobuf wire format over slices: varints, tags, a reader and a value writer.
//!
//! Only the parts of the [format] that OTLP's trace messages need. Nothing allocates and nothing
//! panics on any input. The exact length is computed before a message is written, so it is written
//! whole or not at all.
//!
//! [format]: https://protobuf.dev/programming-guides/encoding/
//!
//! ```
//! use spandrel_core::wire::{FieldValue, Fields};
//!
//! // ExportTracePartialSuccess { rejected_spans: 5, error_message: "too old" }
//! let bytes = b"\x08\x05\x12\x07too old";
//! let mut fields = Fields::new(bytes);
//! assert_eq!(fields.next(), Some(Ok((1, FieldValue::Varint(5)))));
//! assert_eq!(fields.next(), Some(Ok((2, FieldValue::Bytes(b"too old")))));
//! assert_eq!(fields.next(), None);
//! ```

mod reader;
mod value;

pub use reader::{FieldValue, Fields, WireError};
pub(crate) use value::{key_value_len, put_key_value, put_short_attribute, short_attribute_len};

/// The one-byte tag of a field whose number is below 16.
pub(crate) const fn tag(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

/// Wire type of varints.
pub(crate) const VARINT: u8 = 0;
/// Wire type of 64-bit little-endian values.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of length-prefixed bytes.
pub(crate) const BYTES: u8 = 2;
/// Wire type of 32-bit little-endian values.
pub(crate) const FIXED32: u8 = 5;

/// Bytes that `value` takes as a varint: 1 to 10.
pub(crate) const fn varint_len(value: u64) -> usize {
    // ceil(significant bits / 7), with at least one byte; by a multiplication and a shift, because
    // a Cortex-M0 has no division.
    (73 + 9 * (63 - (value | 1).leading_zeros() as usize)) / 64
}

/// Bytes that a length-prefixed field with a one-byte tag takes: tag, length, content.
pub(crate) const fn field_len(content: usize) -> usize {
    1 + varint_len(content as u64) + content
}

/// The `len` bytes from `at`. Cut so that the compiler knows their number: a copy of as many bytes
/// into them then needs no check that could panic.
#[inline]
pub(crate) fn slot(bytes: &mut [u8], at: usize, len: usize) -> Option<&mut [u8]> {
    bytes.get_mut(at..)?.get_mut(..len)
}

/// Copies `source` over `target`, which is as long; nothing happens when it is not.
///
/// The library's copy for bare metal takes ten instructions a word where the two sides differ in
/// alignment, as a span and its place in the ring do; Cortex-M3 and up read and write words
/// anywhere.
#[inline(always)]
pub(crate) fn copy(target: &mut [u8], source: &[u8]) {
    if target.len() != source.len() {
        return;
    }
    if HAS_UNALIGNED_WORDS {
        copy_words(target, source);
    } else {
        target.copy_from_slice(source);
    }
}

/// The same for keys, names and texts. They are short: a call of a host's `memcpy` takes more
/// instructions than two overlapping copies of a word. The most frequent lengths are tested first.
#[inline(always)]
pub(crate) fn copy_short(target: &mut [u8], source: &[u8]) {
    match source.len() {
        _ if cfg!(target_os = "none") || target.len() != source.len() => copy(target, source),
        8..17 => copy_ends::<8>(target, source),
        17..33 => copy_ends::<16>(target, source),
        4..8 => copy_ends::<4>(target, source),
        2..4 => copy_ends::<2>(target, source),
        0 => {}
        1 => copy_ends::<1>(target, source),
        _ => target.copy_from_slice(source),
    }
}

/// On bare metal only the larger Arm profiles have them.
const HAS_UNALIGNED_WORDS: bool = cfg!(all(
    target_arch = "arm",
    target_os = "none",
    target_has_atomic = "32"
));

/// From both ends: the middle may be copied twice, and no rest is left.
#[inline(never)]
fn copy_words(target: &mut [u8], source: &[u8]) {
    match source.len() {
        0 => {}
        1 => copy_ends::<1>(target, source),
        2..4 => copy_ends::<2>(target, source),
        4..8 => copy_ends::<4>(target, source),
        8..16 => copy_ends::<8>(target, source),
        _ => {
            for (target, source) in target.chunks_exact_mut(16).zip(source.chunks_exact(16)) {
                copy_four_words(target, source);
            }
            if let (Some(target), Some(source)) =
                (target.last_chunk_mut::<16>(), source.last_chunk::<16>())
            {
                copy_four_words(target, source);
            }
        }
    }
}

/// The first and the last `N` bytes.
#[inline(always)]
fn copy_ends<const N: usize>(target: &mut [u8], source: &[u8]) {
    if let (Some(target), Some(source)) = (target.first_chunk_mut::<N>(), source.first_chunk()) {
        *target = *source;
    }
    if let (Some(target), Some(source)) = (target.last_chunk_mut::<N>(), source.last_chunk()) {
        *target = *source;
    }
}

/// One by one: a loop over words would be made the library's copy again.
#[inline(always)]
fn copy_four_words(target: &mut [u8], source: &[u8]) -> Option<()> {
    let (a, target) = target.split_first_chunk_mut::<4>()?;
    let (b, target) = target.split_first_chunk_mut::<4>()?;
    let (c, target) = target.split_first_chunk_mut::<4>()?;
    let d = target.first_chunk_mut::<4>()?;
    let (e, source) = source.split_first_chunk::<4>()?;
    let (f, source) = source.split_first_chunk::<4>()?;
    let (g, source) = source.split_first_chunk::<4>()?;
    let h = source.first_chunk::<4>()?;
    (*a, *b, *c, *d) = (*e, *f, *g, *h);
    Some(())
}

/// Copies a trace id, by the same rule.
#[inline(always)]
pub(crate) fn copy_id(target: &mut [u8; 16], source: &[u8; 16]) {
    if HAS_UNALIGNED_WORDS {
        copy_four_words(target, source);
    } else {
        *target = *source;
    }
}

/// Moves `len` bytes from one offset to another; nothing happens when a range is out of bounds. Not
/// inlined, so that the compiler sees both these checks and `copy_within`'s and drops the latter.
#[inline(never)]
pub(crate) fn move_within(bytes: &mut [u8], from: usize, len: usize, to: usize) {
    let last = bytes.len().checked_sub(len);
    if !last.is_some_and(|last| from <= last && to <= last) {
        return;
    }
    if cfg!(target_os = "none") {
        move_in_steps(bytes, from, len, to);
    } else {
        bytes.copy_within(from..from + len, to);
    }
}

/// The same in steps that do not overlap: `memmove` would add 1.3 KB to firmware that needs it for
/// nothing else.
fn move_in_steps(bytes: &mut [u8], from: usize, len: usize, to: usize) -> Option<()> {
    let step = from.abs_diff(to);
    let mut left = len;
    while left > 0 && step > 0 {
        let part = step.min(left);
        // Towards the start from the first byte on, towards the end from the last one.
        let done = if to < from { len - left } else { left - part };
        let (below, above) = bytes.split_at_mut_checked(from.max(to) + done)?;
        let (below, above) = (
            slot(below, from.min(to) + done, part)?,
            slot(above, 0, part)?,
        );
        if to < from {
            below.copy_from_slice(above);
        } else {
            above.copy_from_slice(below);
        }
        left -= part;
    }
    Some(())
}

/// A write position in a slice that the caller has checked to be large enough.
///
/// Writing past the end changes nothing and marks the writer as overflowed: a wrong length
/// computation shows up as `Err` in [`Writer::finish`] and never as a panic or a torn record.
pub(crate) struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self {
            buf,
            at: 0,
            overflow: false,
        }
    }

    /// A writer without room, which only measures.
    pub(crate) fn measuring() -> Self {
        Self {
            buf: &mut [],
            at: 0,
            overflow: true,
        }
    }

    /// Bytes put so far, whether they fitted or not.
    pub(crate) const fn measured(&self) -> usize {
        self.at
    }

    /// Writes the tag and the length of a field; if it returns true, the caller writes the
    /// `content` bytes next. A measuring writer counts them at once and returns false, so no part
    /// of a nested value is measured again at each level.
    pub(crate) fn open(&mut self, field: u8, content: usize) -> bool {
        if self.buf.is_empty() {
            self.at += field_len(content);
            self.overflow = true;
            return false;
        }
        self.put_header(field, content);
        true
    }

    /// The bytes written, or `None` when they did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.at)
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        match slot(self.buf, self.at, bytes.len()) {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.overflow = true,
        }
    }

    /// As [`Self::put`], for few bytes whose number the compiler knows.
    #[inline]
    pub(crate) fn put_array<const N: usize>(&mut self, bytes: &[u8; N]) {
        match self
            .buf
            .get_mut(self.at..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            Some(target) => {
                *target = *bytes;
                self.at += N;
            }
            None => self.overflow = true,
        }
    }

    /// As [`Self::put`], for keys, names and texts; see [`copy_short`].
    #[inline]
    pub(crate) fn put_short(&mut self, bytes: &[u8]) {
        if let Some(target) = self.claim(bytes.len()) {
            copy_short(target, bytes);
        }
    }

    /// The next `len` bytes, to be written by the caller.
    #[inline]
    pub(crate) fn claim(&mut self, len: usize) -> Option<&mut [u8]> {
        let target = slot(self.buf, self.at, len);
        match target {
            Some(_) => self.at += len,
            None => self.overflow = true,
        }
        target
    }

    #[inline]
    pub(crate) fn put_byte(&mut self, byte: u8) {
        match self.buf.get_mut(self.at) {
            Some(target) => {
                *target = byte;
                self.at += 1;
            }
            None => self.overflow = true,
        }
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_byte(value as u8);
    }

    /// Tag and length of a length-prefixed field; the content follows.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put_header(&mut self, field: u8, content: usize) {
        self.put_byte(tag(field, BYTES));
        self.put_varint(content as u64);
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn put_bytes_field(&mut self, field: u8, content: &[u8]) {
        self.put_header(field, content.len());
        self.put(content);
    }

    /// A length-prefixed field that proto3 leaves out when it is empty.
    pub(crate) fn put_nonempty(&mut self, field: u8, content: &[u8]) {
        if !content.is_empty() {
            self.put_bytes_field(field, content);
        }
    }

    /// A varint field that proto3 leaves out when it is zero.
    pub(crate) fn put_nonzero(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.put_byte(tag(field, VARINT));
            self.put_varint(value);
        }
    }
}

/// Length of what [`Writer::put_nonempty`] writes.
pub(crate) const fn nonempty_len(content: usize) -> usize {
    if content == 0 { 0 } else { field_len(content) }
}

/// Length of what [`Writer::put_nonzero`] writes.
pub(crate) const fn nonzero_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

/// Reads the varint at the start of `bytes`: its value and its length.
#[inline]
pub(crate) fn get_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_length_matches_what_is_written_and_read() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut buf = [0; 10];
                let mut writer = Writer::new(&mut buf);
                writer.put_varint(value);
                let len = writer.finish().unwrap();
                assert_eq!(len, varint_len(value), "{value}");
                assert_eq!(get_varint(&buf), Some((value, len)));
            }
        }
    }

    #[test]
    fn an_overlong_or_unfinished_varint_is_refused() {
        assert_eq!(get_varint(&[0x80; 11]), None);
        assert_eq!(get_varint(&[0x80, 0x80]), None);
        assert_eq!(
            get_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
        assert_eq!(get_varint(&[]), None);
    }

    #[test]
    fn what_is_copied_by_words_is_copied_at_every_length() {
        let source: [u8; 70] = core::array::from_fn(|i| i as u8 + 1);
        for len in 0..=source.len() {
            let mut target = [0; 72];
            copy_words(&mut target[1..=len], &source[..len]);
            assert_eq!(target[1..=len], source[..len]);
            assert_eq!((target[0], target[len + 1]), (0, 0));
        }
    }

    #[test]
    fn bytes_moved_in_steps_are_moved_as_at_once() {
        const LEN: usize = 12;
        for (from, to, len) in (0..LEN * LEN * LEN).map(|i| (i % LEN, i / LEN % LEN, i / LEN / LEN))
        {
            let mut steps: [u8; LEN] = core::array::from_fn(|i| i as u8);
            let mut at_once = steps;
            if from.max(to) + len > LEN {
                continue;
            }
            assert!(move_in_steps(&mut steps, from, len, to).is_some());
            at_once.copy_within(from..from + len, to);
            assert_eq!(steps, at_once, "{len} from {from} to {to}");
        }
    }

    #[test]
    fn a_writer_that_is_too_small_reports_it() {
        let mut buf = [0; 3];
        let mut writer = Writer::new(&mut buf);
        writer.put_bytes_field(1, b"abc");
        assert_eq!(writer.finish(), None);
    }
}
