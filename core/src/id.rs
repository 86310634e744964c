//! Trace and span identifiers, and the generator that draws them.
//!
//! Ids come from a [`rand_core::Rng`] of the caller; the core has no source of randomness. A
//! generated id is never all zero.
//!
//! ```
//! use spandrel_core::id::{SpanId, TraceId};
//!
//! let id: TraceId = "5b8efff798038103d269b633813fc60c".parse()?;
//! assert!(id.is_valid());
//! assert_eq!(id.to_string(), "5b8efff798038103d269b633813fc60c");
//! assert!(!SpanId::INVALID.is_valid());
//! # Ok::<(), spandrel_core::id::ParseIdError>(())
//! ```

use core::fmt;
use core::str::FromStr;

use rand_core::Rng;

/// The reason why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseIdError {
    /// The text does not have exactly 32 (trace) or 16 (span) characters.
    Length,
    /// A character is not a hexadecimal digit.
    Digit,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "an id has 32 (trace) or 16 (span) hexadecimal digits",
            Self::Digit => "an id has hexadecimal digits only",
        })
    }
}

impl core::error::Error for ParseIdError {}

/// The value of one hexadecimal digit of either case.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The lower-case hexadecimal digit of a value below 16.
pub(crate) const fn hex_digit(value: u8) -> u8 {
    let value = value & 0xf;
    // A sum instead of a choice, so that loops over it are vectorized.
    value + b'0' + if value > 9 { b'a' - b'9' - 1 } else { 0 }
}

fn parse_hex<const N: usize>(text: &[u8]) -> Result<[u8; N], ParseIdError> {
    if text.len() != 2 * N {
        return Err(ParseIdError::Length);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for &digit in pair {
            *byte = *byte << 4 | hex_value(digit).ok_or(ParseIdError::Digit)?;
        }
    }
    Ok(bytes)
}

fn fmt_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 32];
    for (pair, &byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte)]);
    }
    let text = text.get(..2 * bytes.len()).unwrap_or_default();
    f.pad(core::str::from_utf8(text).unwrap_or_default())
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $number:ty, $digits:literal, $defmt:literal) => {
        $(#[$doc])*
        // Aligned, so that an id is moved in whole words: built byte by byte and then read across
        // words, it would stall the processor's store buffer for longer than a span takes to start.
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(align(8))]
        pub struct $name([u8; $len]);

        impl $name {
            /// The all-zero id, which is not valid.
            pub const INVALID: Self = Self([0; $len]);

            /// The id of these bytes, big endian as on the wire.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            #[doc = concat!("The ", stringify!($len), " bytes, big endian as on the wire.")]
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $len] {
                self.0
            }

            /// The bytes, borrowed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Returns true if the id is not all zero.
            #[must_use]
            pub fn is_valid(self) -> bool {
                // As one number: as bytes it would be a loop on small processors.
                <$number>::from_ne_bytes(self.0) != 0
            }
        }

        #[doc = concat!("The ", $digits, " lower-case hexadecimal digits.")]
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.0, f)
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $name {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, $defmt, <$number>::from_be_bytes(self.0));
            }
        }

        #[doc = concat!("Reads ", $digits, " hexadecimal digits of either case; zero is accepted.")]
        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text.as_bytes()).map(Self)
            }
        }
    };
}

id_type!(
    /// The id of a trace: 16 bytes, valid when not all zero.
    TraceId, 16, u128, "32", "{=u128:032x}"
);
id_type!(
    /// The id of a span: 8 bytes, valid when not all zero.
    SpanId, 8, u64, "16", "{=u64:016x}"
);

impl TraceId {
    /// The bytes as one number in the processor's byte order. Passed in registers, it is never
    /// written in halves and read as a whole, which costs a processor a dozen cycles.
    #[inline(always)]
    pub(crate) const fn to_word(self) -> u128 {
        u128::from_ne_bytes(self.0)
    }

    /// From [`TraceId::to_word`].
    #[inline(always)]
    pub(crate) const fn from_word(word: u128) -> Self {
        Self(word.to_ne_bytes())
    }

    /// Returns the last eight bytes as a big-endian number, the input of ratio sampling.
    #[must_use]
    pub const fn low_u64(self) -> u64 {
        let [_, _, _, _, _, _, _, _, low @ ..] = self.0;
        u64::from_be_bytes(low)
    }
}

/// A source of trace and span ids.
///
/// What it gives is not trusted: a zero id is drawn again up to three times. A generator that still
/// gives zero has failed; then the span is not recorded, stands for its parent, and is counted in
/// [`Started::not_sampled`](crate::tracer::Started::not_sampled).
pub trait IdGenerator {
    /// True if the lowest 56 bits of generated trace ids are uniformly random. Only then do root
    /// spans carry the [random flag] of W3C Trace Context level 2.
    ///
    /// [random flag]: https://www.w3.org/TR/trace-context-2/#random-trace-id-flag
    const RANDOM: bool;

    /// True for a generator whose ids need no check.
    #[doc(hidden)]
    const NEVER_ZERO: bool = false;

    /// [`Self::RANDOM`], unless it is known at run time only.
    #[doc(hidden)]
    #[inline(always)]
    fn is_random(&self) -> bool {
        Self::RANDOM
    }

    /// Returns a new valid trace id.
    fn trace_id(&mut self) -> TraceId;

    /// Returns a new valid span id.
    fn span_id(&mut self) -> SpanId;
}

/// Ids from a random number generator: all bits uniform, zero excluded.
#[derive(Clone, Debug)]
pub struct RandomIdGenerator<R> {
    rng: R,
}

impl<R: Rng> RandomIdGenerator<R> {
    /// A generator over `rng`. Seed it differently in every process and on every device: equal
    /// seeds give equal ids.
    pub const fn new(rng: R) -> Self {
        Self { rng }
    }

    /// Returns the random number generator, for other draws.
    pub const fn rng_mut(&mut self) -> &mut R {
        &mut self.rng
    }

    /// Sets the lowest bit of a zero instead of drawing again: with a generator that is stuck at
    /// zero that would never end.
    fn nonzero_u64(&mut self) -> u64 {
        match self.rng.next_u64() {
            0 => 1,
            value => value,
        }
    }
}

impl<R: Rng> IdGenerator for RandomIdGenerator<R> {
    const RANDOM: bool = true;
    const NEVER_ZERO: bool = true;

    #[inline]
    fn trace_id(&mut self) -> TraceId {
        let high = u128::from(self.rng.next_u64());
        TraceId::from_bytes((high << 64 | u128::from(self.nonzero_u64())).to_be_bytes())
    }

    #[inline]
    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(self.nonzero_u64().to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use rand_core::TryRng;
    use std::string::ToString;

    struct Constant(u64);

    impl TryRng for Constant {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(self.0 as u32)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(self.0)
        }
        fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
            dst.fill(self.0 as u8);
            Ok(())
        }
    }

    #[test]
    fn a_generator_stuck_at_any_value_gives_valid_ids() {
        for value in [0, 1, u64::MAX] {
            let mut generator = RandomIdGenerator::new(Constant(value));
            assert!(generator.trace_id().is_valid());
            assert!(generator.span_id().is_valid());
        }
    }

    #[test]
    fn text_round_trips_and_bad_text_is_refused() {
        let id: SpanId = "EEE19b7ec3c1b174".parse().unwrap();
        assert_eq!(id.to_string(), "eee19b7ec3c1b174");
        assert_eq!(
            "eee19b7ec3c1b17".parse::<SpanId>(),
            Err(ParseIdError::Length)
        );
        assert_eq!(
            "+ee19b7ec3c1b174".parse::<SpanId>(),
            Err(ParseIdError::Digit)
        );
        assert_eq!("".parse::<TraceId>(), Err(ParseIdError::Length));
        assert!(!TraceId::default().is_valid());
    }

    #[test]
    fn low_u64_is_the_end_of_the_id() {
        let id: TraceId = "5b8efff798038103d269b633813fc60c".parse().unwrap();
        assert_eq!(id.low_u64(), 0xd269_b633_813f_c60c);
    }
}
