//! The traceparent header: pure functions over bytes, on the path of every request.

use core::fmt;

use crate::context::{SpanContext, TraceFlags};
use crate::id::{SpanId, TraceId, hex_digit};

/// The length of a traceparent of version 00, and of the part that later versions share with it.
const LEN: usize = 55;

/// The most blanks accepted on either side of a traceparent, which bounds the work.
const MAX_BLANKS: usize = 256;

/// The reason why bytes are not a traceparent.
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
    /// The flags are followed by text that must not be there.
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

/// Reads the value of a [traceparent
/// header](https://www.w3.org/TR/trace-context-2/#traceparent-header).
///
/// Spaces and tabs around it are ignored. Of later versions than 00 the known part is read. The
/// flags are kept as received, with unknown bits. At most 567 bytes are read.
///
/// # Errors
///
/// The value is not valid. Treat it as absent.
pub fn parse_traceparent(value: impl AsRef<[u8]>) -> Result<SpanContext, TraceParentError> {
    parse(value.as_ref())
}

fn parse(value: &[u8]) -> Result<SpanContext, TraceParentError> {
    let blanks = value.iter().take(MAX_BLANKS).take_while(|b| is_blank(b));
    let value = value.get(blanks.count()..).unwrap_or_default();
    let (known, tail) = value
        .split_at_checked(LEN)
        .ok_or(TraceParentError::Length)?;

    let (&[v1, v2, h1], rest) = chunk(known)?;
    let (trace_id, rest) = chunk::<32>(rest)?;
    let (&[h2], rest) = chunk(rest)?;
    let (span_id, rest) = chunk::<16>(rest)?;
    let (&[h3, f1, f2], _) = chunk(rest)?;
    if [h1, h2, h3] != [b'-'; 3] {
        return Err(TraceParentError::Character);
    }

    // All digits in one piece; the last four only fill it up.
    let mut digits = [b'0'; 56];
    digits[..32].copy_from_slice(trace_id);
    digits[32..48].copy_from_slice(span_id);
    digits[48..52].copy_from_slice(&[v1, v2, f1, f2]);
    let bytes = lower_hex(&digits).ok_or(TraceParentError::Character)?;
    let (trace_id, rest) = chunk(&bytes)?;
    let (span_id, rest) = chunk(rest)?;
    let (&[version, flags], _) = chunk(rest)?;

    match (version, tail) {
        (0xff, _) => return Err(TraceParentError::Version),
        // A later version may append fields; this one may not.
        (_, []) | (1.., [b'-', ..]) => {}
        (_, tail) if tail.len() <= MAX_BLANKS && tail.iter().all(is_blank) => {}
        _ => return Err(TraceParentError::Trailing),
    }
    let trace_id = TraceId::from_bytes(*trace_id);
    let span_id = SpanId::from_bytes(*span_id);
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

/// The first `N` bytes, and what follows them.
#[inline]
fn chunk<const N: usize>(text: &[u8]) -> Result<(&[u8; N], &[u8]), TraceParentError> {
    text.split_first_chunk().ok_or(TraceParentError::Length)
}

/// Decodes lower-case hexadecimal digits; upper-case ones are invalid here.
///
/// A word holds eight digits, and all are tested at once at the end: half the time of a decoder
/// with a branch for each digit, and less code on small processors.
#[inline]
fn lower_hex(digits: &[u8; 56]) -> Option<[u8; 28]> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let mut bytes = [0; 28];
    let mut bad = 0;
    for (four, eight) in bytes.chunks_exact_mut(4).zip(digits.chunks_exact(8)) {
        let text = u64::from_le_bytes(*eight.first_chunk()?);
        // The top bit of a byte means: this character or one above it. That holds as long as all
        // are ASCII; a carry comes only from a byte whose top bit is set, which is bad already.
        let from = |first: u8| text.wrapping_add(EACH * u64::from(0x80 - first));
        let good = from(b'0') ^ from(b'9' + 1) ^ from(b'a') ^ from(b'f' + 1);
        bad |= !good | text;

        // Nine more for letters, which have bit 6; shifted, because a product of words is a
        // function on some processors.
        let letters = text >> 6 & EACH;
        let values = (text & (EACH * 0xf)) + (letters << 3 | letters);
        // Two digits are a byte: the first, in the lower half of the two bytes, is worth more.
        let pairs = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
        let pairs = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        four.copy_from_slice(&((pairs | pairs >> 16) as u32).to_le_bytes());
    }
    (bad & (EACH << 7) == 0).then_some(bytes)
}

/// The value of a traceparent header: 55 ASCII bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent([u8; LEN]);

impl TraceParent {
    /// Returns the value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written to it.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the value as bytes.
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

/// Formats a span context as the value of a traceparent header; `None` if it is not valid.
///
/// The version is always 00, and only flags of known meaning are written.
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
    use crate::test_support::TestRng;
    use rand_core::Rng;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

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

    /// The rules of version 00, one character after the other.
    fn naive(value: &[u8]) -> Option<(u128, u64, u8)> {
        let text = core::str::from_utf8(value).ok()?;
        let fields: Vec<_> = text.split('-').collect();
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
        if lengths != [2, 32, 16, 2] || !fields.iter().all(|field| field.chars().all(digit)) {
            return None;
        }
        let number = |at: usize| u128::from_str_radix(fields[at], 16).expect("digits");
        let (trace_id, span_id, flags) = (number(1), number(2) as u64, number(3) as u8);
        (number(0) != 0xff && trace_id != 0 && span_id != 0).then_some((trace_id, span_id, flags))
    }

    fn agrees_with_the_naive_one(value: &[u8]) {
        let read = parse_traceparent(value).ok().map(|context| {
            let trace_id = u128::from_be_bytes(context.trace_id().to_bytes());
            let span_id = u64::from_be_bytes(context.span_id().to_bytes());
            (trace_id, span_id, context.trace_flags().bits())
        });
        assert_eq!(read, naive(value), "{}", value.escape_ascii());
    }

    #[test]
    fn random_ids_and_all_their_mutations_are_read_as_by_a_naive_decoder() {
        let mut rng = TestRng::new(0x7ace);
        for _ in 0..20 {
            let (high, low, span_id) = (rng.next_u64(), rng.next_u64(), rng.next_u64());
            let flags = rng.next_u64() as u8;
            let valid = format!("00-{high:016x}{low:016x}-{span_id:016x}-{flags:02x}");
            assert!(parse_traceparent(&valid).is_ok(), "{valid}");
            for at in 0..LEN {
                for byte in 0..=u8::MAX {
                    let mut bytes = valid.clone().into_bytes();
                    bytes[at] = byte;
                    agrees_with_the_naive_one(&bytes);
                }
            }
        }
    }

    #[test]
    fn random_characters_are_read_as_by_a_naive_decoder() {
        // Those at the ends of the ranges, and some outside of ASCII, whose sums carry.
        const CHARACTERS: [u8; 16] = *b"09afg/:`AF-@\x7f\x80\xb0\xff";
        let mut rng = TestRng::new(0xbad);
        for _ in 0..20_000 {
            let mut bytes = format!("00-{IDS}-01").into_bytes();
            let (mut at, mut bits) = (rng.next_u64() as usize % LEN, rng.next_u64());
            // One to four of them in a row, then somewhere else.
            for _ in 0..1 + rng.next_u64() % 8 {
                bytes[at] = CHARACTERS[(bits & 0xf) as usize];
                at = if bits & 0x30 == 0 {
                    bits as usize >> 6
                } else {
                    at + 1
                } % LEN;
                bits = bits.rotate_right(7);
            }
            agrees_with_the_naive_one(&bytes);
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
