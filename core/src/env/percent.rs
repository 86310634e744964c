//! Percent-encoded text, decoded while it is read ([RFC
//! 3986](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)).
//!
//! Only `%` followed by two hexadecimal digits is special. A `+` is a plus: turning it into a
//! space is a rule of HTML forms and would break base64 tokens.
//!
//! ```
//! use spandrel_core::env::PercentDecoded;
//!
//! let text = PercentDecoded::new("caf%C3%A9+%F0").expect("well-formed");
//! assert_eq!(text.to_string(), "café+\u{fffd}");
//! assert_eq!(text.write_to(&mut [0; 16]), Some(b"caf\xc3\xa9+\xf0".as_slice()));
//! assert!(PercentDecoded::new("%zz").is_none());
//! ```

use core::fmt;

use crate::id::hex_value;

/// Well-formed percent-encoded text that compares and displays as its decoded form.
///
/// It may be the value of a header, so a secret: `Debug` does not show it. `Display` does, with
/// U+FFFD in place of bytes that are not UTF-8.
#[derive(Clone, Copy)]
pub struct PercentDecoded<'a> {
    encoded: &'a str,
}

impl<'a> PercentDecoded<'a> {
    /// Wraps `encoded`, or returns `None` if a `%` is not followed by two hexadecimal digits.
    #[must_use]
    pub fn new(encoded: &'a str) -> Option<Self> {
        let mut rest = encoded.as_bytes();
        while let Some((_, after)) = decode_first(rest)? {
            rest = after;
        }
        Some(Self { encoded })
    }

    /// Returns the encoded text.
    #[must_use]
    pub const fn encoded(&self) -> &'a str {
        self.encoded
    }

    /// The decoded bytes.
    #[must_use]
    pub const fn bytes(&self) -> PercentBytes<'a> {
        PercentBytes {
            rest: self.encoded.as_bytes(),
        }
    }

    /// Returns the decoded characters; each run of bytes that is not UTF-8 gives one U+FFFD.
    #[must_use]
    pub const fn chars(&self) -> PercentChars<'a> {
        PercentChars {
            bytes: self.bytes(),
            held: [0; 4],
            len: 0,
        }
    }

    /// Copies the decoded bytes to the front of `dst` and returns them, or `None` if they do not
    /// fit; `encoded().len()` bytes always suffice.
    pub fn write_to<'d>(&self, dst: &'d mut [u8]) -> Option<&'d [u8]> {
        let mut len = 0;
        for byte in self.bytes() {
            *dst.get_mut(len)? = byte;
            len += 1;
        }
        dst.get(..len)
    }
}

impl fmt::Display for PercentDecoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|c| f.write_char(c))
    }
}

impl fmt::Debug for PercentDecoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PercentDecoded(..)")
    }
}

/// Equal if the decoded bytes are equal.
impl PartialEq for PercentDecoded<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for PercentDecoded<'_> {}

/// Equal if the decoded bytes are the bytes of the text.
impl PartialEq<str> for PercentDecoded<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for PercentDecoded<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

/// The bytes of a [`PercentDecoded`].
#[derive(Clone)]
pub struct PercentBytes<'a> {
    rest: &'a [u8],
}

impl Iterator for PercentBytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = decode_first(self.rest)??;
        self.rest = rest;
        Some(byte)
    }
}

/// Does not show the bytes: they may be a secret.
impl fmt::Debug for PercentBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PercentBytes(..)")
    }
}

/// The characters of a [`PercentDecoded`].
#[derive(Clone)]
pub struct PercentChars<'a> {
    bytes: PercentBytes<'a>,
    /// The start of a character, or the bytes after a broken one: never more than four.
    held: [u8; 4],
    len: usize,
}

impl PercentChars<'_> {
    fn forget(&mut self, count: usize) {
        self.held.rotate_left(count.min(4));
        self.len = self.len.saturating_sub(count);
    }
}

impl Iterator for PercentChars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            let held = self.held.get(..self.len).unwrap_or_default();
            match core::str::from_utf8(held) {
                Ok(text) => {
                    if let Some(c) = text.chars().next() {
                        self.forget(c.len_utf8());
                        return Some(c);
                    }
                }
                Err(error) if error.valid_up_to() > 0 => {
                    let (start, _) = held.split_at_checked(error.valid_up_to())?;
                    let c = core::str::from_utf8(start).ok()?.chars().next()?;
                    self.forget(c.len_utf8());
                    return Some(c);
                }
                Err(error) => {
                    if let Some(broken) = error.error_len() {
                        self.forget(broken);
                        return Some(char::REPLACEMENT_CHARACTER);
                    }
                }
            }
            // Nothing held, or the start of a character.
            match (self.bytes.next(), self.held.get_mut(self.len)) {
                (Some(byte), Some(place)) => {
                    *place = byte;
                    self.len += 1;
                }
                _ if self.len > 0 => {
                    self.len = 0;
                    return Some(char::REPLACEMENT_CHARACTER);
                }
                _ => return None,
            }
        }
    }
}

/// Does not show the characters: they may be a secret.
impl fmt::Debug for PercentChars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PercentChars(..)")
    }
}

/// The first decoded byte and what follows it: `Some(None)` at the end, `None` when malformed.
fn decode_first(encoded: &[u8]) -> Option<Option<(u8, &[u8])>> {
    match encoded {
        [] => Some(None),
        [b'%', high, low, rest @ ..] => {
            let byte = hex_value(*high)? << 4 | hex_value(*low)?;
            Some(Some((byte, rest)))
        }
        [b'%', ..] => None,
        [byte, rest @ ..] => Some(Some((*byte, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn octets_are_decoded_and_a_plus_stays() {
        let decode = |text| PercentDecoded::new(text).unwrap().to_string();
        assert_eq!(decode(""), "");
        assert_eq!(decode("a+b"), "a+b");
        assert_eq!(decode("a%2Cb%3d%25"), "a,b=%");
        assert_eq!(decode("%2525"), "%25");
        for text in ["%", "%a", "a%", "%g0", "%0g", "%+1", "%%41"] {
            assert!(PercentDecoded::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn broken_utf8_reads_as_the_standard_library_reads_it() {
        // Every mix of starts, continuations and plain bytes up to five long.
        let alphabet = [0x41, 0x80, 0xc3, 0xa9, 0xe2, 0x82, 0xf0, 0x9f, 0xff];
        let mut inputs: Vec<Vec<u8>> = [Vec::new()].into();
        for _ in 0..5 {
            let longer: Vec<Vec<u8>> = inputs
                .iter()
                .flat_map(|input| alphabet.map(|byte| [input.as_slice(), &[byte]].concat()))
                .collect();
            for bytes in &longer {
                let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
                let decoded = PercentDecoded::new(&encoded).unwrap();
                assert_eq!(decoded.to_string(), String::from_utf8_lossy(bytes));
            }
            inputs = longer;
        }
    }

    #[test]
    fn a_destination_that_is_too_small_gets_no_result() {
        let text = PercentDecoded::new("%41BC").unwrap();
        assert_eq!(text.write_to(&mut [0; 2]), None);
        assert_eq!(text.write_to(&mut [0; 3]), Some(b"ABC".as_slice()));
        assert_eq!(text, "ABC");
        assert_ne!(text, "AB");
    }
}
