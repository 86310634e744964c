//! [Consistent probability sampling]: thresholds and randomness that all services of a trace share.
//!
//! A trace has 56 random bits, which every service sees: the last seven bytes of the trace id, or
//! the `rv` value of the tracestate's `ot` member. A sampler that keeps a share of all traces has a
//! rejection threshold, and keeps a trace whose randomness is not below it. So a service with a higher
//! share keeps all traces that one with a lower share keeps. The threshold of a kept span travels
//! as `th` in the same member, and a backend computes from it how many spans one stands for.
//!
//! [Consistent probability sampling]: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/

mod composite;
#[cfg(test)]
mod composite_tests;
mod ot;
mod parts;
mod probability;
mod rules;

pub use composite::{
    ComposableSampler, CompositeSampler, IntentParameters, SamplingIntent, TraceStateProvider,
};
pub use ot::OtelTraceState;
pub use parts::{
    ComposableAlwaysOff, ComposableAlwaysOn, ComposableAnnotating, ComposableParentThreshold,
    ComposableProbability,
};
pub use probability::ProbabilitySampler;
pub use rules::{ComposableRuleBased, Condition, Rule};

use core::fmt;
use core::str::FromStr;

use heapless::String;

use super::SamplingParameters;
use crate::id::TraceId;

/// `state` without a threshold: nobody knows how many spans one stands for.
pub(super) fn settled_without_threshold<'a>(
    parameters: &SamplingParameters<'a>,
    state: &'a str,
) -> &'a str {
    probability::settled(parameters, state, OtelTraceState::of(state), None)
}

/// The number of different values of randomness.
const ALL: u64 = 1 << 56;
/// Hexadecimal digits of 56 bits.
const DIGITS: u32 = 14;

/// The reason why a text is not a [`Threshold`] or a [`Randomness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseSamplingValueError {
    /// There are too few or too many digits.
    Length,
    /// There is a character other than `0` to `9` and `a` to `f`.
    Digit,
}

impl fmt::Display for ParseSamplingValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a sampling value has 1 to 14 digits as th and 14 as rv",
            Self::Digit => "a sampling value has lower-case hexadecimal digits only",
        })
    }
}

impl core::error::Error for ParseSamplingValueError {}

/// A rejection threshold: how many of 2^56 traces are dropped. The [`th`
/// value](https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/#sampling-threshold-value-th)
/// of a tracestate.
///
/// Its text has one to fourteen hexadecimal digits: leading zeros stay, trailing zeros are left out.
///
/// ```
/// use spandrel_core::sampler::Threshold;
///
/// let quarter: Threshold = "c".parse()?;
/// assert_eq!(Threshold::from_ratio(0.25), Some(quarter));
/// assert_eq!(quarter.ratio(), 0.25);
/// assert_eq!(Threshold::from_ratio(0.1).unwrap().to_string(), "e666");
/// # Ok::<(), spandrel_core::sampler::ParseSamplingValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Threshold(u64);

impl Threshold {
    /// Drops nothing.
    pub const ALWAYS: Self = Self(0);

    /// The significant digits that the specification recommends.
    pub const DEFAULT_PRECISION: u32 = 4;

    /// The threshold that keeps `ratio` of all traces, with four significant digits. `None` for a
    /// ratio that is not from 2^-56 to 1: to keep nothing is no probability.
    #[must_use]
    pub const fn from_ratio(ratio: f64) -> Option<Self> {
        Self::from_ratio_with_precision(ratio, Self::DEFAULT_PRECISION)
    }

    /// The same with 1 to 14 significant hexadecimal digits; a precision outside of that is moved
    /// into it. Leading `f` digits do not count, so small ratios are as precise as large ones.
    #[must_use]
    pub const fn from_ratio_with_precision(ratio: f64, precision: u32) -> Option<Self> {
        let scaled = ratio * ALL as f64;
        // So written, it is also false for NaN.
        if !(scaled >= 1.0 && ratio <= 1.0) {
            return None;
        }
        // Half is added after the whole part is taken off: it could round the sum up otherwise.
        let whole = scaled as u64;
        let kept = whole + (scaled - whole as f64 >= 0.5) as u64;
        // The ratio is `m * 2^exponent` with `m` from 0.5 to below 1; it is no subnormal number.
        let exponent = ((ratio.to_bits() >> 52) & 0x7ff) as i32 - 1022;
        let leading = if exponent < 0 {
            exponent.unsigned_abs() / 4
        } else {
            0
        };
        let precision = if precision == 0 { 1 } else { precision };
        let digits = precision.saturating_add(leading);
        let digits = if digits > DIGITS { DIGITS } else { digits };
        let unit = 1_u64 << (4 * (DIGITS - digits));
        let rounded = (ALL - kept + unit / 2) / unit * unit;
        // Rounded up to the end, it would keep nothing.
        Some(Self(if rounded >= ALL { ALL - unit } else { rounded }))
    }

    /// From a number of dropped traces in 2^56; `None` from 2^56 on.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits < ALL { Some(Self(bits)) } else { None }
    }

    /// Returns how many of 2^56 traces are dropped.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the share of traces that is kept: above 0, up to 1.
    #[must_use]
    pub const fn ratio(self) -> f64 {
        (ALL - self.0) as f64 / ALL as f64
    }

    /// Returns true if a trace of this randomness is kept.
    #[inline]
    #[must_use]
    pub const fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }

    /// The digits, without trailing zeros.
    fn text(self) -> String<14, u8> {
        let mut text = String::new();
        let mut left = self.0;
        loop {
            let digit = (left >> 52 & 0xf) as u32;
            // There is room for fourteen, after which nothing is left.
            let _ = text.push(char::from_digit(digit, 16).unwrap_or('0'));
            left = left << 4 & (ALL - 1);
            if left == 0 {
                return text;
            }
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl FromStr for Threshold {
    type Err = ParseSamplingValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() as u32;
        if digits == 0 || digits > DIGITS {
            return Err(ParseSamplingValueError::Length);
        }
        Ok(Self(parse_hex(text)? << (4 * (DIGITS - digits))))
    }
}

/// The 56 random bits of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Randomness(u64);

impl Randomness {
    /// The last seven bytes of a trace id, which [W3C Trace Context level
    /// 2](https://www.w3.org/TR/trace-context-2/#randomness-of-trace-id) asks to be random.
    #[inline]
    #[must_use]
    pub const fn of_trace_id(trace_id: TraceId) -> Self {
        Self(trace_id.low_u64() & (ALL - 1))
    }

    /// The lowest 56 bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & (ALL - 1))
    }

    /// Returns the value, below 2^56.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The text of an [`rv`
/// value](https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/#explicit-randomness-value-rv):
/// fourteen digits.
impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

impl FromStr for Randomness {
    type Err = ParseSamplingValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() as u32 != DIGITS {
            return Err(ParseSamplingValueError::Length);
        }
        parse_hex(text).map(Self)
    }
}

/// Up to fourteen lower-case digits.
fn parse_hex(text: &str) -> Result<u64, ParseSamplingValueError> {
    let mut value = 0;
    for &byte in text.as_bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return Err(ParseSamplingValueError::Digit),
        };
        value = value << 4 | u64::from(digit);
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
