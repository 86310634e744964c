//! The protobuf wire format over slices: varints, tags, a reader and a value writer.
//!
//! Only what OTLP's trace messages need (checklist F-001 to F-004). Nothing allocates, nothing
//! panics on any input, and every write is preceded by its exact length, so a message is either
//! written whole or not at all.
//!
//! ```
//! use spandrel_core::wire::{FieldValue, Fields};
//!
//! // ExportTracePartialSuccess { rejected_spans: 5, error_message: "too old" } (golden V11).
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

/// Field numbers below 16 take a one-byte tag; this is it.
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

/// Copies `src` to `dst`, which is as long. Names and keys are short, and calling `memcpy` costs more
/// instructions than copying them: two words that overlap take any length from one word to two.
/// A device saves the room instead.
#[inline(always)]
pub(crate) fn copy_short(dst: &mut [u8], src: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(dst: &mut [u8], src: &[u8]) -> Option<()> {
        *dst.first_chunk_mut::<N>()? = *src.first_chunk::<N>()?;
        *dst.last_chunk_mut::<N>()? = *src.last_chunk::<N>()?;
        Some(())
    }
    let done = match src.len() {
        _ if cfg!(target_os = "none") => None,
        8..=16 => ends::<8>(dst, src),
        4..=7 => ends::<4>(dst, src),
        17..=32 => ends::<16>(dst, src),
        _ => None,
    };
    if done.is_none() && dst.len() == src.len() {
        dst.copy_from_slice(src);
    }
}

/// Moves `len` bytes from one offset to another; nothing happens when a range is out of bounds.
/// Not inlined, so that the checks of `copy_within` meet those made here and vanish.
#[inline(never)]
pub(crate) fn move_within(bytes: &mut [u8], from: usize, len: usize, to: usize) {
    let last = bytes.len().checked_sub(len);
    if last.is_some_and(|last| from <= last && to <= last) {
        bytes.copy_within(from..from + len, to);
    }
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
    fn a_writer_that_is_too_small_reports_it() {
        let mut buf = [0; 3];
        let mut writer = Writer::new(&mut buf);
        writer.put_bytes_field(1, b"abc");
        assert_eq!(writer.finish(), None);
    }
}
