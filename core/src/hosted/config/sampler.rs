//! The sampler of a hosted pipeline.

use core::fmt;
use std::sync::Arc;

use crate::sampler::{BuiltinSampler, Description, Sampler, SamplingParameters, SamplingResult};

/// One of the samplers that configuration can name, without dynamic dispatch, or the program's
/// own.
#[derive(Clone)]
pub enum HostedSampler {
    /// Named by a sample rate, by a variable, or by nothing.
    Builtin(BuiltinSampler),
    /// Given in code.
    Custom(Arc<dyn Sampler + Send + Sync>),
}

impl Sampler for HostedSampler {
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        match self {
            Self::Builtin(sampler) => sampler.should_sample(parameters),
            Self::Custom(sampler) => sampler.should_sample(parameters),
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(sampler) => sampler.description(f),
            Self::Custom(sampler) => sampler.description(f),
        }
    }
}

impl Default for HostedSampler {
    fn default() -> Self {
        Self::Builtin(BuiltinSampler::default())
    }
}

/// The description: what matters about a sampler in a log.
impl fmt::Debug for HostedSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Description(self), f)
    }
}
