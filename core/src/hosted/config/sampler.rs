//! The sampler of a hosted pipeline.

use core::fmt;
use std::format;
use std::string::ToString;
use std::sync::Arc;

use super::doubt::doubted;
use super::notes::Notes;
use crate::context::is_trace_state;
use crate::env::SamplerChoice;
use crate::hosted::diagnostics::{Kind, Severity, report};
use crate::hosted::sampling::RateLimiter;
use crate::sampler::{
    AlwaysOn, BuiltinSampler, Description, ParentBased, ProbabilitySampler, Sampler,
    SamplingParameters, SamplingResult, TraceIdRatioBased,
};

/// The most bytes of a tracestate that is carried.
const MAX_TRACE_STATE: usize = 512;

/// A sampler that configuration can name, called without dynamic dispatch, or the program's own.
#[derive(Clone)]
pub enum HostedSampler {
    /// From a sample rate, from most variables, or the default.
    Builtin(BuiltinSampler),
    /// Given in code, or one of those that a variable can name and that count or compute.
    Custom(Arc<dyn Sampler + Send + Sync>),
}

impl Sampler for HostedSampler {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        match self {
            Self::Builtin(sampler) => sampler.should_sample(parameters),
            Self::Custom(sampler) => checked(
                sampler.should_sample(parameters),
                parameters.parent.trace_state,
                sampler,
            ),
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(sampler) => sampler.description(f),
            Self::Custom(sampler) => sampler.description(f),
        }
    }

    fn shutdown(&self) {
        if let Self::Custom(sampler) = self {
            sampler.shutdown();
        }
    }
}

/// A tracestate that is not valid gives way to the parent's, with a report: such a sampler has a fault.
fn checked<'a>(
    result: SamplingResult<'a>,
    parents: &'a str,
    sampler: &Arc<dyn Sampler + Send + Sync>,
) -> SamplingResult<'a> {
    let state = result.trace_state;
    if state.is_empty() || core::ptr::eq(state, parents) {
        return result;
    }
    if state.len() <= MAX_TRACE_STATE && is_trace_state(state) {
        return result;
    }
    if state != parents {
        report(
            Kind::Misuse,
            Severity::Warn,
            format_args!(
                "the sampler {:.60} gave a tracestate that is not valid or longer than \
                 {MAX_TRACE_STATE} bytes; spans keep their parent's",
                Description(&**sampler).to_string()
            ),
        );
    }
    SamplingResult {
        trace_state: parents,
        ..result
    }
}

impl Default for HostedSampler {
    fn default() -> Self {
        Self::Builtin(BuiltinSampler::default())
    }
}

/// The sampler's description, which is what matters in a log.
impl fmt::Debug for HostedSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Description(self), f)
    }
}

/// A sampler as code or environment asked for it.
pub(super) enum SamplerSource<'a> {
    Custom(&'a Arc<dyn Sampler + Send + Sync>),
    /// The share of traces without a parent.
    Rate(f64),
    Named(Option<SamplerChoice>),
}

impl SamplerSource<'_> {
    pub(super) fn check(&self, notes: &mut Notes) -> HostedSampler {
        HostedSampler::Builtin(match *self {
            Self::Custom(sampler) => return HostedSampler::Custom(doubted(sampler.clone())),
            Self::Rate(rate) => {
                let root = TraceIdRatioBased::new(rate);
                if !(0.0..=1.0).contains(&rate) {
                    notes.push(format!(
                        "sample_rate: {rate} is not a number from 0 to 1; using {}",
                        root.ratio()
                    ));
                }
                BuiltinSampler::ParentBasedTraceIdRatio(root)
            }
            Self::Named(choice) => return choice.map(named).unwrap_or_default(),
        })
    }
}

fn named(choice: SamplerChoice) -> HostedSampler {
    let ratio = TraceIdRatioBased::new;
    HostedSampler::Builtin(match choice {
        SamplerChoice::AlwaysOn => BuiltinSampler::AlwaysOn,
        SamplerChoice::AlwaysOff => BuiltinSampler::AlwaysOff,
        SamplerChoice::TraceIdRatio(r) => return custom(ratio(r)),
        SamplerChoice::ParentBasedAlwaysOn => BuiltinSampler::ParentBasedAlwaysOn,
        SamplerChoice::ParentBasedAlwaysOff => BuiltinSampler::ParentBasedAlwaysOff,
        SamplerChoice::ParentBasedTraceIdRatio(r) => {
            BuiltinSampler::ParentBasedTraceIdRatio(ratio(r))
        }
        // Zero is no probability.
        SamplerChoice::Probability(r) => match ProbabilitySampler::new(r) {
            Some(sampler) => return custom(sampler),
            None => BuiltinSampler::AlwaysOff,
        },
        SamplerChoice::ParentBasedProbability(r) => match ProbabilitySampler::new(r) {
            Some(sampler) => return custom(ParentBased::new(sampler)),
            None => BuiltinSampler::ParentBasedAlwaysOff,
        },
        SamplerChoice::RateLimited(rate) => return custom(RateLimiter::new(AlwaysOn, rate)),
        SamplerChoice::ParentBasedRateLimited(rate) => {
            return custom(ParentBased::new(RateLimiter::new(AlwaysOn, rate)));
        }
    })
}

fn custom(sampler: impl Sampler + Send + Sync + 'static) -> HostedSampler {
    HostedSampler::Custom(doubted(Arc::new(sampler)))
}
