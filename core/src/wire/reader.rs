//! Reading protobuf: an iterator over the fields of one message.

use super::{BYTES, FIXED32, FIXED64, VARINT, get_varint};

/// The reason why bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// The message ends inside a field.
    Truncated,
    /// A varint is longer than ten bytes, or a field has the number 0.
    Malformed,
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the protobuf message ends inside a field",
            Self::Malformed => "the bytes are not a protobuf message",
        })
    }
}

impl core::error::Error for WireError {}

/// One field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FieldValue<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little endian.
    Fixed64(u64),
    /// Wire type 2: text, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire type 5, little endian.
    Fixed32(u32),
    /// A group (wire types 3 and 4), skipped; OTLP has none.
    Group,
}

/// Iterates over the fields of a message, in wire order, unknown ones included.
///
/// The work is bounded by the length of the input. After the first error the iterator ends.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads `message`.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The bytes that have not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all keys and lengths take one byte.
        if let Some((&byte @ 0..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let (value, len) = get_varint(self.rest).ok_or(if self.rest.len() < 10 {
            WireError::Truncated
        } else {
            WireError::Malformed
        })?;
        self.take(len)?;
        Ok(value)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn field(&mut self) -> Result<(u32, FieldValue<'a>), WireError> {
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            3 => {
                self.skip_group(number)?;
                FieldValue::Group
            }
            _ => self.value(wire_type)?,
        };
        Ok((number, value))
    }

    fn key(&mut self) -> Result<(u32, u8), WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Malformed)?;
        if number == 0 {
            return Err(WireError::Malformed);
        }
        Ok((number, (key & 7) as u8))
    }

    fn value(&mut self, wire_type: u8) -> Result<FieldValue<'a>, WireError> {
        Ok(match wire_type {
            VARINT => FieldValue::Varint(self.varint()?),
            FIXED64 => FieldValue::Fixed64(u64::from_le_bytes(self.fixed()?)),
            BYTES => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                FieldValue::Bytes(self.take(len)?)
            }
            FIXED32 => FieldValue::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(WireError::Malformed),
        })
    }

    /// Skips a group with everything nested in it. A counter instead of recursion, because the
    /// sender chooses the depth.
    fn skip_group(&mut self, outer: u32) -> Result<(), WireError> {
        let mut depth = 1_u32;
        loop {
            let (number, wire_type) = self.key()?;
            match wire_type {
                3 => depth = depth.saturating_add(1),
                4 => {
                    depth -= 1;
                    if depth == 0 {
                        return if number == outer {
                            Ok(())
                        } else {
                            Err(WireError::Malformed)
                        };
                    }
                }
                other => {
                    self.value(other)?;
                }
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, FieldValue<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read_and_groups_are_skipped() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed64 1
            0x1b, 0x23, 0x24, 0x08, 0x01, 0x1c, // 3: group { 4: group {} 1: 1 }
            0x2d, 2, 0, 0, 0, // 5: fixed32 2
            0x32, 1, b'x', // 6: "x"
        ];
        let fields: Result<std::vec::Vec<_>, _> = Fields::new(&bytes).collect();
        assert_eq!(
            fields.unwrap(),
            [
                (1, FieldValue::Varint(150)),
                (2, FieldValue::Fixed64(1)),
                (3, FieldValue::Group),
                (5, FieldValue::Fixed32(2)),
                (6, FieldValue::Bytes(b"x")),
            ]
        );
    }

    #[test]
    fn hostile_bytes_end_in_one_error() {
        for (bytes, error) in [
            (&[0x0a, 5, 1][..], WireError::Truncated),
            (
                &[
                    0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                ],
                WireError::Truncated,
            ),
            (&[0x00], WireError::Malformed),
            (&[0x0e], WireError::Malformed),
            (&[0x0b, 0x0b, 0x0c], WireError::Truncated),
            (&[0x0b, 0x14], WireError::Malformed),
            (&[0x11, 1], WireError::Truncated),
            (&[0x80], WireError::Truncated),
        ] {
            let mut fields = Fields::new(bytes);
            assert_eq!(fields.next(), Some(Err(error)), "{bytes:x?}");
            assert_eq!(fields.next(), None);
        }
    }
}
