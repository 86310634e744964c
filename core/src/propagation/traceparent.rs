//! The traceparent header: pure functions over bytes, on the path of every request.

use core::fmt;

use crate::context::{SpanContext, TraceFlags};
use crate::id::{SpanId, TraceId, hex_digit};

/// The length of a traceparent of version 00, and of the part that later versions share with it.
const LEN: usize = 55;

/// The most blanks accepted on either side of a traceparent, which bounds the work.
const MAX_BLANKS: usize = 256;

/// Why bytes are not a traceparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TraceParentError {
    /// There are fewer than 55 bytes.
    Length,
    /// A byte is not a lower-case hexadecimal digit or hyphen where one must be.
    Character,
    /// The version is `ff`, which is forbidden.
    Version,
    /// The trace id is zero.
    TraceId,
    /// The span id is zero.
    SpanId,
    /// Something follows the flags that must not.
    Trailing,
}

impl fmt::Display for TraceParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "traceparent is too short",
            Self::Character => "invalid character in traceparent",
            Self::Version => "forbidden version of traceparent",
            Self::TraceId => "trace id in traceparent is zero",
            Self::SpanId => "parent id in traceparent is zero",
            Self::Trailing => "unexpected text after traceparent",
        })
    }
}

impl core::error::Error for TraceParentError {}

/// Reads the value of a traceparent header (checklist E-002 to E-012).
///
/// Spaces and tabs around it are ignored. Versions after 00 are read as far as they are known.
/// The flags are kept as received, unknown bits included. Looks at 567 bytes at most.
///
/// # Errors
///
/// When the value is not valid; it is then to be treated as absent.
pub fn parse_traceparent(value: impl AsRef<[u8]>) -> Result<SpanContext, TraceParentError> {
    parse(value.as_ref())
}

fn parse(value: &[u8]) -> Result<SpanContext, TraceParentError> {
    let blanks = value.iter().take(MAX_BLANKS).take_while(|b| is_blank(b));
    let value = value.get(blanks.count()..).unwrap_or_default();
    let (known, tail) = value
        .split_at_checked(LEN)
        .ok_or(TraceParentError::Length)?;

    let ([version], rest) = hex_field::<1>(known)?;
    let (trace_id, rest) = hex_field::<16>(after_hyphen(rest)?)?;
    let (span_id, rest) = hex_field::<8>(after_hyphen(rest)?)?;
    let ([flags], _) = hex_field::<1>(after_hyphen(rest)?)?;

    match (version, tail) {
        (0xff, _) => return Err(TraceParentError::Version),
        // A later version may append fields; this one may not.
        (_, []) | (1.., [b'-', ..]) => {}
        (_, tail) if tail.len() <= MAX_BLANKS && tail.iter().all(is_blank) => {}
        _ => return Err(TraceParentError::Trailing),
    }
    let trace_id = TraceId::from_bytes(trace_id);
    let span_id = SpanId::from_bytes(span_id);
    if !trace_id.is_valid() {
        return Err(TraceParentError::TraceId);
    }
    if !span_id.is_valid() {
        return Err(TraceParentError::SpanId);
    }
    Ok(SpanContext::remote(
        trace_id,
        span_id,
        TraceFlags::from_bits(flags),
    ))
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn after_hyphen(text: &[u8]) -> Result<&[u8], TraceParentError> {
    text.strip_prefix(b"-").ok_or(TraceParentError::Character)
}

/// The first `N` bytes written as `2 N` digits, and what follows them.
///
/// One test at the end in place of one per digit lets the compiler work on many at a time.
#[inline]
fn hex_field<const N: usize>(text: &[u8]) -> Result<([u8; N], &[u8]), TraceParentError> {
    let (digits, rest) = text
        .split_at_checked(2 * N)
        .ok_or(TraceParentError::Length)?;
    let mut bytes = [0; N];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        if let [high, low] = *pair {
            let (high, low) = (lower_hex_value(high), lower_hex_value(low));
            *byte = high << 4 | low & 0xf;
            all |= high | low;
        }
    }
    if all > 0xf {
        return Err(TraceParentError::Character);
    }
    Ok((bytes, rest))
}

/// The value of a lower-case hexadecimal digit, or 255 (checklist E-004).
const fn lower_hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0xff,
    }
}

/// The value of a traceparent header: 55 ASCII bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent([u8; LEN]);

impl TraceParent {
    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written to it.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The value as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceParent").field(&self.as_str()).finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for TraceParent {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "TraceParent({=str:?})", self.as_str());
    }
}

/// Writes a span context as the value of a traceparent header, or `None` when it is not valid
/// (checklist E-013, E-014).
///
/// Always version 00, and only flags of known meaning (checklist E-008, E-011).
#[must_use]
pub fn format_traceparent(context: &SpanContext) -> Option<TraceParent> {
    if !context.is_valid() {
        return None;
    }
    let mut text = [b'-'; LEN];
    put_hex(&mut text[..2], &[0]);
    put_hex(&mut text[3..35], context.trace_id().as_bytes());
    put_hex(&mut text[36..52], context.span_id().as_bytes());
    put_hex(&mut text[53..], &[context.trace_flags().known().bits()]);
    Some(TraceParent(text))
}

#[inline]
fn put_hex(text: &mut [u8], bytes: &[u8]) {
    for (pair, &byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte)]);
    }
}

#[cfg(test)]
mod tests {
    use super::TraceParentError::*;
    use super::*;
    use std::format;
    use std::string::ToString;

    const IDS: &str = "12345678901234567890123456789012-1234567890123456";

    fn bits(value: &str) -> Result<u8, TraceParentError> {
        parse_traceparent(value).map(|context| context.trace_flags().bits())
    }

    #[test]
    fn a_traceparent_is_read_field_by_field() {
        let context = parse_traceparent("00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-03")
            .expect("valid");
        assert_eq!(
            context.trace_id().to_string(),
            "5b8efff798038103d269b633813fc60c"
        );
        assert_eq!(context.span_id().to_string(), "eee19b7ec3c1b174");
        assert!(context.is_remote());
        assert!(context.trace_flags().is_sampled() && context.trace_flags().is_random());
        assert_eq!(parse_traceparent(b"00-"), Err(Length));
    }

    #[test]
    fn every_byte_and_every_length_is_checked() {
        let valid = format!("00-{IDS}-01");
        assert!(parse_traceparent(&valid).is_ok());
        for at in 0..LEN {
            for byte in [
                b'.', b'+', b'A', b'g', b'`', b'/', b':', b'@', 0, 0xff, b' ',
            ] {
                let mut bytes = valid.clone().into_bytes();
                bytes[at] = byte;
                assert!(parse_traceparent(&bytes).is_err(), "{at} {byte}");
            }
            assert!(parse_traceparent(&valid[..at]).is_err());
            let mut longer = valid.clone();
            longer.insert(at, '0');
            assert!(parse_traceparent(&longer).is_err(), "{longer}");
        }
        for (bad, error) in [
            (format!("+1-{IDS}-01"), Character),
            (format!("00-{IDS}-1"), Length),
            (format!("00-{IDS}-001"), Trailing),
            (format!("00-{}-01", IDS.replace('1', "B")), Character),
        ] {
            assert_eq!(parse_traceparent(&bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        assert_eq!(bits(&format!("cc-{IDS}-01")), Ok(1));
        assert_eq!(bits(&format!("01-{IDS}-01-what-the-future")), Ok(1));
        assert_eq!(bits(&format!("fe-{IDS}-01-")), Ok(1));
        assert_eq!(bits(&format!("cc-{IDS}-01.what")), Err(Trailing));
        assert_eq!(bits(&format!("cc-{IDS}-01 -what")), Err(Trailing));
        assert_eq!(bits(&format!("cc-{IDS}-0")), Err(Length));
        assert_eq!(bits(&format!("ff-{IDS}-01")), Err(Version));
        for tail in [".", "-", "-x", ",", "0", "\0"] {
            assert_eq!(bits(&format!("00-{IDS}-01{tail}")), Err(Trailing));
        }
    }

    #[test]
    fn zero_ids_are_refused() {
        let zeros = "0".repeat(32);
        assert_eq!(
            bits(&format!("00-{zeros}-1234567890123456-01")),
            Err(TraceId)
        );
        assert_eq!(
            bits(&format!("00-{}-{}-01", &IDS[..32], &zeros[..16])),
            Err(SpanId)
        );
    }

    #[test]
    fn blanks_around_are_ignored_up_to_a_bound() {
        assert_eq!(bits(&format!("\t 00-{IDS}-01 \t")), Ok(1));
        assert_eq!(bits(&format!("cc-{IDS}-01 ")), Ok(1));
        let most = " ".repeat(MAX_BLANKS);
        assert_eq!(bits(&format!("{most}00-{IDS}-01{most}")), Ok(1));
        assert_eq!(bits(&format!("{most} 00-{IDS}-01")), Err(Character));
        assert_eq!(bits(&format!("00-{IDS}-01{most} ")), Err(Trailing));
        assert_eq!(bits(&format!("00-{IDS}-01\n")), Err(Trailing));
        assert_eq!(bits(""), Err(Length));
        assert_eq!(bits(&most), Err(Length));
    }

    #[test]
    fn any_flags_are_read_and_only_known_ones_are_written() {
        for flags in 0..=u8::MAX {
            let text = format!("00-{IDS}-{flags:02x}");
            let context = parse_traceparent(&text).expect("valid");
            assert_eq!(context.trace_flags().bits(), flags);
            let written = format_traceparent(&context).expect("valid");
            assert_eq!(written.as_str(), format!("00-{IDS}-{:02x}", flags & 3));
        }
    }
}
