//! What samplers and generators of ids have on a host: a limit of the rate for all threads, and ids
//! of the program's own.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use spandrel_core::hosted::config::Config;
//! use spandrel_core::hosted::sampling::RateLimiter;
//! use spandrel_core::id::{IdGenerator, SpanId, TraceId};
//! use spandrel_core::sampler::{AlwaysOn, ParentBased};
//!
//! /// Numbers, for tests that compare texts.
//! struct Counting(u64);
//!
//! impl IdGenerator for Counting {
//!     const RANDOM: bool = false;
//!
//!     fn trace_id(&mut self) -> TraceId {
//!         self.0 += 1;
//!         TraceId::from_bytes(u128::from(self.0).to_be_bytes())
//!     }
//!
//!     fn span_id(&mut self) -> SpanId {
//!         self.0 += 1;
//!         SpanId::from_bytes(self.0.to_be_bytes())
//!     }
//! }
//!
//! let config = Config {
//!     // A hundred traces a second, whatever the load; children follow their parents.
//!     sampler: Some(Arc::new(ParentBased::new(RateLimiter::new(AlwaysOn, 100)))),
//!     id_generator: Some(Arc::new(Mutex::new(Counting(0)))),
//!     ..Config::default()
//! };
//! # let _ = config;
//! ```

use core::fmt;
use std::sync::{Mutex, MutexGuard};

use super::{clock, process};
use crate::id::{IdGenerator, SpanId, TraceId};
use crate::sampler::{Sampler, SamplingParameters, SamplingResult, TokenBucket, rate};

/// Samples what its sampler samples, up to so many spans a second in all threads together.
///
/// Put it in a [`ParentBased`](crate::sampler::ParentBased) to limit traces instead: then only spans
/// without a parent count, and the others follow. Up to a second's worth may come at once. How many
/// spans one stands for is not known any more, so the `th` value of a consistent sampler is taken out
/// of the tracestate.
#[derive(Debug)]
pub struct RateLimiter<S> {
    sampler: S,
    bucket: Mutex<TokenBucket>,
}

impl<S: Sampler> RateLimiter<S> {
    /// Lets up to `per_second` of the spans through that `sampler` samples.
    #[must_use]
    pub fn new(sampler: S, per_second: u32) -> Self {
        Self {
            sampler,
            bucket: Mutex::new(TokenBucket::new(per_second, per_second)),
        }
    }

    /// `None` in a forked child that cannot have it.
    fn bucket(&self) -> Option<MutexGuard<'_, TokenBucket>> {
        process::lock(&self.bucket)
    }
}

impl<S: Sampler> Sampler for RateLimiter<S> {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let result = self.sampler.should_sample(parameters);
        rate::limited(result, parameters, || {
            self.bucket()
                .is_some_and(|mut bucket| bucket.take(clock::now()))
        })
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bucket().map(|bucket| *bucket) {
            Some(bucket) => rate::describe(f, &self.sampler, &bucket),
            None => self.sampler.description(f),
        }
    }

    fn shutdown(&self) {
        self.sampler.shutdown();
    }
}

/// A source of ids that all threads share. `Mutex` makes one of every [`IdGenerator`].
///
/// What it gives is not trusted: in the place of a zero id, and if it panics, a random id is used,
/// which is counted in [`SpanCounts::ids_replaced`](super::trace::SpanCounts::ids_replaced) and
/// reported once.
///
/// It is called once for each span and twice for each root, and must be quick.
///
/// <https://opentelemetry.io/docs/specs/otel/trace/sdk/#id-generators>
pub trait SharedIdGenerator: Send + Sync {
    /// Returns true if the lowest 56 bits of its trace ids are uniformly random; always the same.
    /// Only then root spans carry the [random
    /// flag](https://www.w3.org/TR/trace-context-2/#random-trace-id-flag).
    fn is_random(&self) -> bool;

    /// Returns a new valid trace id.
    fn trace_id(&self) -> TraceId;

    /// Returns a new valid span id.
    fn span_id(&self) -> SpanId;
}

impl<G: IdGenerator + Send> SharedIdGenerator for Mutex<G> {
    fn is_random(&self) -> bool {
        G::RANDOM
    }

    fn trace_id(&self) -> TraceId {
        process::lock(self).map_or(TraceId::INVALID, |mut ids| ids.trace_id())
    }

    fn span_id(&self) -> SpanId {
        process::lock(self).map_or(SpanId::INVALID, |mut ids| ids.span_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::{AlwaysOn, Description, ParentBased, SamplingScratch};
    use std::string::ToString;

    #[test]
    fn threads_share_one_limit() {
        let limiter = ParentBased::new(RateLimiter::new(AlwaysOn, 1000));
        let sampled: usize = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    let ask = |_: &u64| {
                        let scratch = SamplingScratch::new();
                        let id = TraceId::from_bytes([1; 16]);
                        let parameters = SamplingParameters::new(id, "name", &scratch);
                        limiter.should_sample(&parameters).decision.is_sampled()
                    };
                    (0..1000_u64).filter(ask).count()
                })
            });
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        // A second's worth, and what came while they asked.
        assert!((1000..4000).contains(&sampled), "{sampled}");
        let text = Description(&RateLimiter::new(AlwaysOn, 7)).to_string();
        assert_eq!(text, "RateLimited{7/s,AlwaysOnSampler}");
    }
}
