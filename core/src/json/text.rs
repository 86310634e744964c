//! The leaves of a JSON document: text, hexadecimal, base64, numbers.

use core::fmt::{Result, Write};

use crate::id::hex_digit;

/// JSON text of `bytes`, which should be UTF-8; U+FFFD replaces each part that is not.
pub(super) fn text(bytes: &[u8], out: &mut dyn Write) -> Result {
    out.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        escaped(chunk.valid(), out)?;
        if !chunk.invalid().is_empty() {
            out.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    out.write_char('"')
}

fn needs_escape(c: char) -> bool {
    c < ' ' || c == '"' || c == '\\'
}

/// Writes runs of plain text whole; only their last character can need an escape.
fn escaped(text: &str, out: &mut dyn Write) -> Result {
    for run in text.split_inclusive(needs_escape) {
        let mut chars = run.chars();
        match chars.next_back().filter(|&c| needs_escape(c)) {
            None => out.write_str(run)?,
            Some(special) => {
                out.write_str(chars.as_str())?;
                escape(special, out)?;
            }
        }
    }
    Ok(())
}

fn escape(c: char, out: &mut dyn Write) -> Result {
    match c {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        _ => {
            out.write_str("\\u00")?;
            hex_pair(c as u8, out)
        }
    }
}

fn hex_pair(byte: u8, out: &mut dyn Write) -> Result {
    out.write_char(hex_digit(byte >> 4).into())?;
    out.write_char(hex_digit(byte).into())
}

/// Lower-case hexadecimal, as OTLP/JSON writes ids.
pub(super) fn hex(bytes: &[u8], out: &mut dyn Write) -> Result {
    out.write_char('"')?;
    // An id at a time.
    for chunk in bytes.chunks(16) {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(*byte)]);
        }
        let digits = digits.get(..2 * chunk.len()).unwrap_or_default();
        out.write_str(core::str::from_utf8(digits).unwrap_or_default())?;
    }
    out.write_char('"')
}

/// The standard alphabet with padding, as proto3 JSON writes bytes.
pub(super) fn base64(bytes: &[u8], out: &mut dyn Write) -> Result {
    out.write_char('"')?;
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | u32::from(group.get(i).copied().unwrap_or(0))
        });
        // One, two or three bytes give two, three or four digits.
        for i in 0..4 {
            let digit = (bits >> (18 - 6 * i)) as u8 & 0x3f;
            out.write_char(if i <= group.len() {
                base64_digit(digit)
            } else {
                '='
            })?;
        }
    }
    out.write_char('"')
}

fn base64_digit(value: u8) -> char {
    char::from(match value & 0x3f {
        v @ 0..=25 => b'A' + v,
        v @ 26..=51 => b'a' + (v - 26),
        v @ 52..=61 => b'0' + (v - 52),
        62 => b'+',
        _ => b'/',
    })
}

/// A number that reads back as the same double; NaN and the infinities as the text that proto3 JSON
/// has for them.
pub(super) fn double(value: f64, out: &mut dyn Write) -> Result {
    if value.is_nan() {
        out.write_str("\"NaN\"")
    } else if value == f64::INFINITY {
        out.write_str("\"Infinity\"")
    } else if value == f64::NEG_INFINITY {
        out.write_str("\"-Infinity\"")
    } else {
        // `Debug` is the shortest form that round-trips, with an exponent where that is shorter:
        // `Display` would spell out 300 zeros.
        write!(out, "{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn written(write: impl FnOnce(&mut dyn Write) -> Result) -> String {
        let mut out = String::new();
        write(&mut out).unwrap();
        out
    }

    #[test]
    fn text_escapes_what_json_must_and_nothing_else() {
        let plain = "ä\u{7f}\u{2028}🦀/<&>'";
        assert_eq!(
            written(|out| text(plain.as_bytes(), out)),
            std::format!("\"{plain}\"")
        );
        assert_eq!(
            written(|out| text(b"\"a\\\n\r\t\0\x1fb", out)),
            r#""\"a\\\n\r\t\u0000\u001fb""#
        );
        assert_eq!(written(|out| text(b"", out)), r#""""#);
    }

    #[test]
    fn text_that_is_not_utf8_is_repaired() {
        assert_eq!(
            written(|out| text(b"a\xffb\xf0\x9f\xa6", out)),
            "\"a\u{fffd}b\u{fffd}\""
        );
        assert_eq!(written(|out| text(b"\xed\xa0\x80", out)).chars().count(), 5);
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_pads_every_remainder() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff], "+/8="),
        ] {
            assert_eq!(
                written(|out| base64(bytes, out)),
                std::format!("\"{expected}\"")
            );
        }
    }

    #[test]
    fn a_double_keeps_its_value_in_few_digits() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(written(|out| double(value, out)), expected);
        }
    }
}
