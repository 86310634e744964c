//! The ids of the traces that an example made.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use spandrel_core::hosted::config::HostedSampler;
use spandrel_core::id::TraceId;
use spandrel_core::sampler::{Sampler, SamplingParameters, SamplingResult};

/// Trace ids, each once, in the order in which the traces began. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SeenTraces(Arc<Mutex<Vec<TraceId>>>);

impl SeenTraces {
    /// Notes every trace that `sampler` decides about from now on.
    pub(super) fn listen(sampler: &mut HostedSampler) -> Self {
        let seen = Self::default();
        *sampler = HostedSampler::Custom(Arc::new(Listener {
            sampler: std::mem::take(sampler),
            seen: seen.clone(),
        }));
        seen
    }

    pub(super) fn ids(&self) -> Vec<TraceId> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Decides as `sampler` does.
struct Listener {
    sampler: HostedSampler,
    seen: SeenTraces,
}

impl Sampler for Listener {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(&parameters.trace_id) {
            seen.push(parameters.trace_id);
        }
        drop(seen);
        self.sampler.should_sample(parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sampler.description(f)
    }
}
