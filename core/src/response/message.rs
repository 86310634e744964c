//! Text that a server sent for people, made safe to print.

use core::fmt::{self, Write as _};

use crate::id::hex_value;

/// A request in protobuf must be answered in protobuf, so a device that is short of flash does not
/// read JSON, and treats it like any other media type.
pub(super) const READS_JSON: bool = cfg!(any(test, feature = "json-answers"));

/// A message from a response body: a view, at most [`MAX_BYTES`](Self::MAX_BYTES) long.
///
/// It is always valid text: bytes that are not UTF-8 and lone surrogates become U+FFFD. `Display`
/// also escapes control characters, so that a server cannot forge log lines or send terminal
/// sequences.
#[derive(Clone, Copy, Default)]
pub struct MessageText<'a> {
    raw: &'a [u8],
    /// `raw` is the inside of a JSON string, escapes included.
    escaped: bool,
}

impl<'a> MessageText<'a> {
    /// The most bytes of UTF-8 that are shown: 1 KiB. The rest is cut.
    pub const MAX_BYTES: usize = 1024;

    /// The text of a protobuf string.
    pub(super) const fn plain(raw: &'a [u8]) -> Self {
        Self {
            raw,
            escaped: false,
        }
    }

    /// The text between the quotes of a JSON string whose escapes are well formed.
    pub(super) const fn escaped(raw: &'a [u8]) -> Self {
        Self { raw, escaped: true }
    }

    /// Returns true if there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The characters up to [`MAX_BYTES`](Self::MAX_BYTES), control characters included.
    pub fn chars(&self) -> impl Iterator<Item = char> + 'a {
        let mut rest = self.raw;
        let mut room = Self::MAX_BYTES;
        let escaped = self.escaped;
        core::iter::from_fn(move || {
            let (c, len) = match rest.first()? {
                b'\\' if READS_JSON && escaped => unescape(rest),
                _ => decode(rest),
            };
            room = room.checked_sub(c.len_utf8())?;
            rest = rest.get(len..).unwrap_or_default();
            Some(c)
        })
    }
}

/// The first character of bytes that are not empty, and its length.
fn decode(bytes: &[u8]) -> (char, usize) {
    let len = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    match bytes.get(..len).and_then(whole_char) {
        Some(c) => (c, len),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// The character that these one to four bytes encode. Takes less code than the standard library's
/// check of text of any length.
fn whole_char(bytes: &[u8]) -> Option<char> {
    let (&first, rest) = bytes.split_first()?;
    // The first byte's bits beside those of the length, and the least code point for which that
    // length is allowed.
    let (mask, least) = match rest.len() {
        0 => (0x7f, 0),
        1 => (0x1f, 0x80),
        2 => (0x0f, 0x800),
        _ => (0x07, 0x1_0000),
    };
    if rest.is_empty() && first >= 0x80 {
        return None;
    }
    let code = rest
        .iter()
        .try_fold(u32::from(first) & mask, |code, &byte| {
            (byte & 0xc0 == 0x80).then_some(code << 6 | u32::from(byte & 0x3f))
        })?;
    char::from_u32(code).filter(|_| code >= least)
}

/// The character of the JSON escape at the start of `bytes`, and its length.
fn unescape(bytes: &[u8]) -> (char, usize) {
    let c = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(bytes),
        Some(&other) => char::from(other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (c, 2)
}

fn unescape_unicode(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = bytes.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0_u16, |unit, &digit| {
            Some(unit << 4 | u16::from(hex_value(digit)?))
        })
    };
    let Some(first) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    let units = [first, unit(6).unwrap_or(0)];
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => (c, 6 * c.len_utf16()),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

impl fmt::Display for MessageText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_unicode())
            } else {
                f.write_char(c)
            }
        })
    }
}

/// The same as `Display`: the raw bytes are never shown.
impl fmt::Debug for MessageText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same as `Display`.
#[cfg(feature = "defmt")]
impl defmt::Format for MessageText<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        for c in self.chars() {
            if c.is_control() {
                defmt::write!(f, "\\u{{{=u32:x}}}", u32::from(c));
            } else {
                defmt::write!(f, "{=char}", c);
            }
        }
    }
}

/// Equal when the texts are, whatever their encoding.
impl PartialEq for MessageText<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for MessageText<'_> {}

impl PartialEq<str> for MessageText<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }
}

impl PartialEq<&str> for MessageText<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn json_escapes_are_resolved() {
        let text = MessageText::escaped(br#"a\"\\\/\b\f\n\r\t\u00e4\uD83E\udd80"#);
        assert_eq!(text, "a\"\\/\u{8}\u{c}\n\r\tä🦀");
        for (raw, shown) in [
            (&br"\ud83e"[..], "\u{fffd}"),
            (br"\ud83e\u0041", "\u{fffd}A"),
            (br"\udd80x", "\u{fffd}x"),
            (br"\u12", "\u{fffd}12"),
            (br"\", "\u{fffd}"),
        ] {
            assert_eq!(MessageText::escaped(raw), shown);
        }
        assert_eq!(MessageText::plain(br"\n"), r"\n");
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let text = MessageText::plain(b"a\xff\xc3(\xf0\x9f\xa6");
        assert_eq!(text, "a\u{fffd}\u{fffd}(\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(MessageText::plain("äö🦀".as_bytes()), "äö🦀");
    }

    // fault I2
    #[test]
    fn control_characters_cannot_reach_a_log() {
        let text = MessageText::plain(b"a\x1b[31m\r\nerror\x7f");
        let shown = text.to_string();
        assert!(!shown.contains(char::is_control), "{shown}");
        assert_eq!(shown, "a\\u{1b}[31m\\u{d}\\u{a}error\\u{7f}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long: String = core::iter::repeat_n('ä', 600).collect();
        assert_eq!(MessageText::plain(long.as_bytes()).chars().count(), 512);
        let odd = std::format!("x{long}");
        let cut: String = MessageText::plain(odd.as_bytes()).chars().collect();
        assert_eq!(cut.len(), 1023);
    }
}
