//! The model of the ratio sampler: a fraction, compared in arithmetic that cannot round.

use spandrel_core::id::TraceId;

/// A share of all traces, as the fraction `numerator` / 2^`shift`.
///
/// ```
/// use spandrel_core::id::TraceId;
/// use spandrel_core::sampler::TraceIdRatioBased;
/// use spandrel_testkit::models::sampler::Fraction;
///
/// let one_in_four = Fraction { numerator: 1, shift: 2 };
/// let sampler = TraceIdRatioBased::new(one_in_four.to_f64());
/// for low in [1, u64::MAX / 8, u64::MAX / 2, u64::MAX] {
///     let id = TraceId::from_bytes(u128::from(low).to_be_bytes());
///     assert_eq!(sampler.samples(id), one_in_four.samples(id));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// From zero to two to the power of `shift`.
    pub numerator: u64,
    /// From 0 to 53, so that a float expresses the fraction exactly.
    pub shift: u32,
}

impl Fraction {
    /// The fraction as the argument of a sampler.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / (1_u64 << self.shift) as f64
    }

    /// Returns true if a trace of this id is sampled: the low 63 bits of the id lie below that share of
    /// all their values.
    #[must_use]
    pub fn samples(self, id: TraceId) -> bool {
        let id = u128::from(id.low_u64() >> 1);
        id << self.shift < u128::from(self.numerator) << 63
    }
}
