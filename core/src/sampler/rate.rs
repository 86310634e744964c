//! So many spans a second and no more.

use core::cell::Cell;
use core::fmt;

use super::consistent::settled_without_threshold;
use super::{Description, Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use crate::time::Instant;

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// Gives out so many tokens a second, as a pure state machine: time is an argument.
///
/// It begins full, so that a burst goes through, and refills with time. Time that goes back refills
/// nothing.
///
/// ```
/// use spandrel_core::sampler::TokenBucket;
/// use spandrel_core::time::Instant;
///
/// let mut bucket = TokenBucket::new(2, 1);
/// assert!(bucket.take(Instant::ZERO));
/// assert!(!bucket.take(Instant::from_millis(499)));
/// assert!(bucket.take(Instant::from_millis(500)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TokenBucket {
    per_second: u32,
    burst: u32,
    /// Billionths of a token.
    tokens: u64,
    filled: Instant,
}

impl TokenBucket {
    /// `per_second` tokens a second, of which up to `burst` wait. A burst of 0 counts as 1; a rate of
    /// 0 gives the first burst and then nothing.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        Self {
            per_second,
            burst,
            tokens: burst as u64 * NANOS_PER_SEC as u64,
            filled: Instant::ZERO,
        }
    }

    /// Takes a token. Returns false if there is none at `now`.
    pub fn take(&mut self, now: Instant) -> bool {
        let since = now.as_nanos().saturating_sub(self.filled.as_nanos());
        let new = u128::from(since) * u128::from(self.per_second);
        let full = u128::from(self.burst) * NANOS_PER_SEC;
        // At most 2^32 * 10^9, which fits.
        self.tokens = (u128::from(self.tokens) + new).min(full) as u64;
        self.filled = self.filled.max(now);
        let left = self.tokens.checked_sub(NANOS_PER_SEC as u64);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

/// Samples what its sampler samples, up to so many spans a second.
///
/// Put it in a [`ParentBased`](super::ParentBased) to limit traces instead: then only spans without a
/// parent take a token, and the others follow. How many spans one stands for is not known any more,
/// so the `th` value of a consistent sampler is taken out of the tracestate.
///
/// It is for a single thread, with a clock of yours; on a host, use `hosted::RateLimiter`.
///
/// ```
/// use spandrel_core::sampler::*;
/// use spandrel_core::time::Instant;
///
/// let clock = || Instant::ZERO; // The board's timer.
/// let sampler = ParentBased::new(RateLimited::new(AlwaysOn, TokenBucket::new(10, 10), clock));
/// # let _ = sampler;
/// ```
#[derive(Clone, Debug)]
pub struct RateLimited<S, C> {
    sampler: S,
    bucket: Cell<TokenBucket>,
    clock: C,
}

impl<S: Sampler, C: Fn() -> Instant> RateLimited<S, C> {
    /// Takes a token from `bucket`, at the time that `clock` tells, for each span that `sampler`
    /// samples.
    #[must_use]
    pub const fn new(sampler: S, bucket: TokenBucket, clock: C) -> Self {
        Self {
            sampler,
            bucket: Cell::new(bucket),
            clock,
        }
    }
}

impl<S: Sampler, C: Fn() -> Instant> Sampler for RateLimited<S, C> {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        limited(self.sampler.should_sample(parameters), parameters, || {
            let mut bucket = self.bucket.get();
            let taken = bucket.take((self.clock)());
            self.bucket.set(bucket);
            taken
        })
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, &self.sampler, &self.bucket.get())
    }

    fn shutdown(&self) {
        self.sampler.shutdown();
    }
}

/// `result` if it samples nothing or `take` gives a token, else a drop.
pub(crate) fn limited<'a>(
    result: SamplingResult<'a>,
    parameters: &SamplingParameters<'a>,
    take: impl FnOnce() -> bool,
) -> SamplingResult<'a> {
    if result.decision != SamplingDecision::RecordAndSample {
        return result;
    }
    let mut limited = match take() {
        true => result,
        false => SamplingResult::new(SamplingDecision::Drop, parameters),
    };
    limited.trace_state = settled_without_threshold(parameters, limited.trace_state);
    limited
}

pub(crate) fn describe(
    f: &mut fmt::Formatter<'_>,
    sampler: &(impl Sampler + ?Sized),
    bucket: &TokenBucket,
) -> fmt::Result {
    let per_second = bucket.per_second;
    write!(f, "RateLimited{{{per_second}/s,{}}}", Description(sampler))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{child, root, trace_id};
    use super::super::{AlwaysOff, AlwaysOn, ParentBased, ProbabilitySampler};
    use super::*;
    use std::string::ToString;

    #[test]
    fn no_second_has_more_than_the_burst_and_the_rate() {
        let mut bucket = TokenBucket::new(10, 5);
        let mut taken = std::vec::Vec::new();
        for millis in 0..5000 {
            if bucket.take(Instant::from_millis(millis)) {
                taken.push(millis);
            }
        }
        assert_eq!(taken.len(), 5 + 49);
        for &from in &taken {
            let within = taken.iter().filter(|&&at| at >= from && at < from + 1000);
            assert!(within.count() <= 15);
        }
    }

    #[test]
    fn extremes_of_time_and_rate_do_no_harm() {
        let mut none = TokenBucket::new(0, 0);
        assert!(none.take(Instant::MAX));
        assert!(!none.take(Instant::MAX));
        let mut most = TokenBucket::new(u32::MAX, u32::MAX);
        assert!(most.take(Instant::MAX) && most.take(Instant::ZERO) && most.take(Instant::MAX));
        let mut back = TokenBucket::new(1, 1);
        assert!(back.take(Instant::from_secs(10)));
        assert!(!back.take(Instant::from_secs(5)));
        assert!(!back.take(Instant::from_millis(10_999)));
        assert!(back.take(Instant::from_secs(11)));
    }

    #[test]
    fn traces_are_limited_under_a_parent_based_sampler_and_children_follow() {
        let now = Cell::new(Instant::ZERO);
        let limited = RateLimited::new(AlwaysOn, TokenBucket::new(1, 2), || now.get());
        let sampler = ParentBased::new(limited);
        let decide = |parameters: &_| sampler.should_sample(parameters).decision.is_sampled();
        let roots = [(); 3].map(|()| decide(&root(trace_id(1))));
        assert_eq!(roots, [true, true, false]);
        assert!(decide(&child(true, true)) && !decide(&child(true, false)));
        now.set(Instant::from_secs(1));
        assert!(decide(&root(trace_id(1))) && !decide(&root(trace_id(1))));
    }

    #[test]
    fn what_is_dropped_anyway_takes_no_token() {
        let limited = |sampler| RateLimited::new(sampler, TokenBucket::new(0, 1), || Instant::ZERO);
        let off = limited(&AlwaysOff as &dyn Sampler);
        off.should_sample(&root(trace_id(1)));
        assert_eq!(off.bucket.get(), TokenBucket::new(0, 1));
    }

    #[test]
    fn a_share_that_is_not_known_any_more_is_not_told() {
        let share = ProbabilitySampler::new(0.5).unwrap();
        let sampler = RateLimited::new(share, TokenBucket::new(0, 1), || Instant::ZERO);
        for sampled in [true, false] {
            let mut parameters = child(true, true);
            parameters.parent.trace_state = "ot=th:8;rv:8123456789abcd,a=b";
            let result = sampler.should_sample(&parameters);
            assert_eq!(result.decision.is_sampled(), sampled);
            assert_eq!(result.trace_state, "ot=rv:8123456789abcd,a=b");
        }
        assert_eq!(
            Description(&sampler).to_string(),
            "RateLimited{0/s,ProbabilitySampler{0.5}}"
        );
    }
}
