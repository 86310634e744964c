//! The writer: members that are appended whole or not at all, within the limits.

use core::fmt;

use super::grammar::{is_key, is_metadata, is_value_octet, trimmed};
use super::{MAX_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS};

/// Writes the value of one header, within the limits of the [module](super).
#[derive(Clone, Debug)]
pub struct Writer<W> {
    out: W,
    room: usize,
    members: usize,
    left_out: u32,
}

impl<W: fmt::Write> Writer<W> {
    /// Appends to `out`, which is to be empty.
    pub const fn new(out: W) -> Self {
        Self::with_room(out, MAX_BYTES)
    }

    /// As [`Writer::new`], for an `out` that has room for `bytes` bytes only.
    pub const fn with_room(out: W, bytes: usize) -> Self {
        Self {
            out,
            room: if bytes < MAX_BYTES { bytes } else { MAX_BYTES },
            members: 0,
            left_out: 0,
        }
    }

    /// Appends a member and returns true. Leaves out, and counts, one that is over a limit, whose key
    /// is not a [key](super::is_key), or whose metadata would end the member.
    ///
    /// A `value` is any text, and is percent-coded. `metadata` is sent as it is; empty for none.
    pub fn add(&mut self, key: &str, value: &str, metadata: &str) -> bool {
        let is_written = self.written(key, value, trimmed(metadata)).is_some();
        if !is_written {
            self.left_out = self.left_out.saturating_add(1);
        }
        is_written
    }

    fn written(&mut self, key: &str, value: &str, metadata: &str) -> Option<()> {
        // Lengths first, so that the work is bounded.
        let most = MAX_MEMBER_BYTES - 1;
        let sum = key.len().checked_add(metadata.len())?;
        if self.members >= MAX_MEMBERS || sum.checked_add(value.len())? > most {
            return None;
        }
        let coded: usize = value.bytes().map(coded_len).sum();
        let properties = match metadata {
            "" => 0,
            metadata => 1 + metadata.len(),
        };
        let len = key.len() + 1 + coded + properties;
        let comma = usize::from(self.members > 0);
        let fits = len <= MAX_MEMBER_BYTES && len + comma <= self.room;
        if !(fits && is_key(key) && is_metadata(metadata)) {
            return None;
        }
        self.room -= len + comma;
        self.members += 1;
        self.write(comma > 0, key, value, metadata).ok()
    }

    fn write(&mut self, comma: bool, key: &str, value: &str, metadata: &str) -> fmt::Result {
        if comma {
            self.out.write_char(',')?;
        }
        self.out.write_str(key)?;
        self.out.write_char('=')?;
        let mut plain = 0;
        for (at, byte) in value.bytes().enumerate() {
            if coded_len(byte) > 1 {
                // Only ASCII is plain, so these are the borders of characters.
                self.out
                    .write_str(value.get(plain..at).unwrap_or_default())?;
                plain = at + 1;
                self.out.write_char('%')?;
                self.out.write_char(hex_digit(byte >> 4))?;
                self.out.write_char(hex_digit(byte & 0xf))?;
            }
        }
        self.out.write_str(value.get(plain..).unwrap_or_default())?;
        if !metadata.is_empty() {
            self.out.write_char(';')?;
            self.out.write_str(metadata)?;
        }
        Ok(())
    }

    /// The number of members that were left out.
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Returns true if nothing was written: no header is to be sent.
    pub const fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// The text.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// The length of a byte of a value in the header.
const fn coded_len(byte: u8) -> usize {
    if is_value_octet(byte) && byte != b'%' {
        1
    } else {
        3
    }
}

fn hex_digit(value: u8) -> char {
    char::from(match value {
        0..10 => b'0' + value,
        _ => b'A' + value - 10,
    })
}
