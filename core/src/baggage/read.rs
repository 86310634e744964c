//! The reader: members of one header or several, within the limits.

use core::fmt::{self, Write as _};

use super::grammar::{is_key, is_metadata, is_value_octet, trimmed};
use super::{MAX_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS};

/// A member of the list, which borrows from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Member<'a> {
    key: &'a str,
    value: &'a str,
    metadata: &'a str,
}

impl<'a> Member<'a> {
    /// Returns the key as it was received: keys are not percent-coded.
    #[must_use]
    pub const fn key(&self) -> &'a str {
        self.key
    }

    /// Returns the value, which is decoded when it is printed.
    #[must_use]
    pub const fn value(&self) -> DecodedValue<'a> {
        DecodedValue(self.value)
    }

    /// Returns the properties behind the first `;`, as they were received; empty for none.
    #[must_use]
    pub const fn metadata(&self) -> &'a str {
        self.metadata
    }

    /// Reads a member without its commas.
    fn parse(text: &'a str) -> Option<Self> {
        let (pair, metadata) = split_at_octet(text, b';').unwrap_or((text, ""));
        let (key, value) = split_at_octet(pair, b'=')?;
        let (key, value, metadata) = (trimmed(key), trimmed(value), trimmed(metadata));
        let is_valid = is_key(key) && value.bytes().all(is_value_octet) && is_metadata(metadata);
        is_valid.then_some(Self {
            key,
            value,
            metadata,
        })
    }
}

/// Splits `text` in two around the first `octet` of ASCII. The library's search by a `char` is made for
/// long texts, and whether it is inlined changes with unrelated code.
#[inline]
fn split_at_octet(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|found| found == octet)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// A value with its percent-coding, which its `Display` undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DecodedValue<'a>(&'a str);

impl<'a> DecodedValue<'a> {
    /// Returns the value as it was received, percent-coded.
    #[must_use]
    pub const fn coded(self) -> &'a str {
        self.0
    }

    /// Returns the value without decoding it, if there is nothing to decode.
    #[must_use]
    pub fn as_plain(self) -> Option<&'a str> {
        (!self.0.contains('%')).then_some(self.0)
    }
}

impl fmt::Display for DecodedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut utf8 = LossyUtf8::default();
        let mut rest = self.0;
        while let Some((plain, behind)) = split_at_octet(rest, b'%') {
            utf8.text(plain, f)?;
            rest = match leading_octet(behind) {
                Some((octet, left)) => {
                    utf8.octet(octet, f)?;
                    left
                }
                None => {
                    utf8.text("%", f)?;
                    behind
                }
            };
        }
        utf8.text(rest, f)?;
        utf8.end(f)
    }
}

/// The octet of the two hexadecimal digits at the start of `text`, and the text behind them.
fn leading_octet(text: &str) -> Option<(u8, &str)> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let octet = digit(0)? << 4 | digit(1)?;
    Some((octet as u8, text.get(2..)?))
}

/// Text from octets, of which each part that is no UTF-8 becomes U+FFFD.
#[derive(Default)]
struct LossyUtf8 {
    /// The start of a character that is not complete.
    begun: [u8; 4],
    len: usize,
}

impl LossyUtf8 {
    fn text(&mut self, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !text.is_empty() {
            self.end(f)?;
            f.write_str(text)?;
        }
        Ok(())
    }

    fn octet(&mut self, octet: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.begun.get_mut(self.len) {
            *place = octet;
            self.len += 1;
        }
        while let Some(begun) = self.begun.get(..self.len).filter(|it| !it.is_empty()) {
            let bad = match core::str::from_utf8(begun) {
                Ok(text) => {
                    f.write_str(text)?;
                    self.len
                }
                Err(error) => match error.error_len() {
                    Some(bad) => {
                        f.write_char(char::REPLACEMENT_CHARACTER)?;
                        bad
                    }
                    None => break,
                },
            };
            self.begun.copy_within(bad.min(self.len).., 0);
            self.len = self.len.saturating_sub(bad);
        }
        Ok(())
    }

    fn end(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len > 0 {
            self.len = 0;
            f.write_char(char::REPLACEMENT_CHARACTER)?;
        }
        Ok(())
    }
}

/// Reads the headers of one request, within the limits of the [module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reader {
    bytes_read: usize,
    members: usize,
    left_out: u32,
    malformed: u32,
    is_first: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader that has read nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes_read: 0,
            members: 0,
            left_out: 0,
            malformed: 0,
            is_first: true,
        }
    }

    /// Reads one header and passes its members to `visit`, in order; of equal keys the last one
    /// counts. Several headers of one request are one list, and share the limits.
    pub fn read<'a>(&mut self, header: &'a str, mut visit: impl FnMut(Member<'a>)) {
        // The comma that would join it to the one before.
        let joint = usize::from(!core::mem::take(&mut self.is_first));
        self.bytes_read = MAX_BYTES.min(self.bytes_read + joint);
        let room = MAX_BYTES - self.bytes_read;
        let bytes = header.as_bytes();
        let window = bytes.get(..room).unwrap_or(bytes);
        self.bytes_read += window.len();
        let mut start = 0;
        for end in 0..=window.len() {
            let is_end = match bytes.get(end) {
                Some(byte) => *byte == b',',
                None => true,
            };
            if is_end {
                if let Some(text) = header.get(start..end) {
                    self.member(text, &mut visit);
                }
                start = end + 1;
            }
        }
        // The last member goes on beyond the limit, or there are others.
        if start < bytes.len() {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn member<'a>(&mut self, text: &'a str, visit: &mut impl FnMut(Member<'a>)) {
        let text = trimmed(text);
        if text.is_empty() {
            return;
        }
        if text.len() > MAX_MEMBER_BYTES || self.members >= MAX_MEMBERS {
            self.left_out = self.left_out.saturating_add(1);
        } else if let Some(member) = Member::parse(text) {
            self.members += 1;
            visit(member);
        } else {
            self.malformed = self.malformed.saturating_add(1);
        }
    }

    /// The number of members that were over a limit. What is behind the last byte that is read
    /// counts as one for each header.
    #[must_use]
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// The number of members that were skipped because they break the grammar.
    #[must_use]
    pub const fn malformed(&self) -> u32 {
        self.malformed
    }

    /// The number of bytes that were looked at, commas between headers included: [`MAX_BYTES`] at
    /// most.
    #[must_use]
    pub const fn bytes_read(&self) -> usize {
        self.bytes_read
    }

    /// Returns true if further headers are not looked at.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes_read >= MAX_BYTES
    }
}
